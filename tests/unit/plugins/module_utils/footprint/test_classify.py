# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The revision that an object of Istio's belongs to."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.footprint.footprint import footprint

CHART = {"app.kubernetes.io/part-of": "istio", "helm.sh/chart": "istiod-1.31.0"}


def obj(kind, name, namespace="", api="v1", labels=None):
    meta = {"name": name, "labels": labels or {}, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": api, "kind": kind, "metadata": meta}


@pytest.mark.parametrize(
    ("name", "revision"),
    [
        ("istiod-clusterrole-canary-istio-system", "canary"),
        ("istiod-clusterrole-1-31-0-istio-system", "1-31-0"),
        ("istio-reader-clusterrole-istio-system", "default"),
        ("istiod-gateway-controller-istio-system", "default"),
        ("istiod-canary", "canary"),
        ("istiod", "default"),
    ],
)
def test_the_revision_of_objects_without_a_revision_label(name, revision):
    assert [
        i.revision
        for i in footprint([obj("ClusterRole", name, api="rbac.authorization.k8s.io/v1", labels=CHART)]).items
    ] == [revision]


@pytest.mark.parametrize(
    ("name", "revision"),
    [("istio-gateway-deployment-canary", "canary"), ("istio-gateway-status-leader-1-31", "1-31"), ("istio-leader", "")],
)
def test_the_revision_of_elections(name, revision):
    lease = obj("Lease", name, "mesh", "coordination.k8s.io/v1")
    items = footprint([obj("Deployment", "istiod", "mesh", "apps/v1", CHART), lease]).items
    assert [item.revision for item in items if item.kind == "Lease"] == [revision]
