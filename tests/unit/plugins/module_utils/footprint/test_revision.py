# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What belongs to one revision, and what still uses it."""

from __future__ import annotations

import json

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.footprint.footprint import footprint
from ansible_collections.meshops.istio.plugins.module_utils.footprint.revision import (
    of_revision,
    tags_of,
    uses_of_revision,
)

CHART = {"app.kubernetes.io/part-of": "istio", "helm.sh/chart": "istiod-1.31.0"}


def obj(kind, name, namespace="", api="v1", **rest):
    meta = {"name": name, "uid": f"{kind}/{namespace}/{name}", **rest.pop("meta", {})}
    if namespace:
        meta["namespace"] = namespace
    return {"apiVersion": api, "kind": kind, "metadata": meta, **rest}


def labelled(kind, name, namespace="", api="v1", labels=None, **rest):
    return obj(kind, name, namespace, api, meta={"labels": labels or {}}, **rest)


def pod(name, namespace, revision, phase="Running"):
    annotations = {"sidecar.istio.io/status": json.dumps({"revision": revision})}
    return obj("Pod", name, namespace, meta={"annotations": annotations}, status={"phase": phase})


def template(kind, name, labels, api="apps/v1"):
    pods = {"template": {"metadata": {"labels": labels}}}
    spec = {"jobTemplate": {"spec": pods}} if kind == "CronJob" else {**pods, "replicas": 0}
    return obj(kind, name, "shop", api, spec=spec)


def uses(*listed, revision="canary"):
    return [str(use) for use in uses_of_revision(list(listed), revision)]


ZTUNNEL = labelled("DaemonSet", "ztunnel", "istio-system", "apps/v1", {"app": "ztunnel", "istio.io/rev": "canary"})
AMBIENT = labelled("Namespace", "shop", labels={"istio.io/dataplane-mode": "ambient"})


def test_tags_namespaces_and_proxies_use_a_revision():
    listed = [
        labelled("MutatingWebhookConfiguration", "t", labels={"istio.io/tag": "prod", "istio.io/rev": "canary"}),
        labelled("Namespace", "one", labels={"istio.io/rev": "canary"}),
        labelled("Namespace", "two", labels={"istio-injection": "enabled"}),
        pod("p", "one", "canary"),
        pod("q", "two", "default"),
        pod("old", "two", "canary", phase="Failed"),
    ]
    assert uses(*listed) == ["namespace one", "proxy one/p", "tag prod"]
    assert uses(*listed, revision="default") == ["namespace two", "proxy two/q"]
    assert uses(*listed, revision="stable") == []
    assert tags_of(listed, "canary") == ["prod"]


def test_ztunnel_and_ambient_namespaces_use_its_revision():
    assert uses(ZTUNNEL, AMBIENT) == ["ambient namespace shop", "ztunnel istio-system/ztunnel"]
    assert uses(ZTUNNEL, AMBIENT, revision="stable") == []
    assert uses(AMBIENT) == ["ambient namespace shop"], "its ztunnel is not listed, and may be of any revision"


def test_workloads_without_a_pod_use_the_revision_that_they_choose():
    chosen = {"istio.io/rev": "canary"}
    listed = [
        template("Deployment", "web", chosen),
        template("CronJob", "nightly", chosen, "batch/v1"),
        template("StatefulSet", "other", {"istio.io/rev": "stable"}),
        template("Job", "x", chosen, "batch/v1"),
    ]
    assert uses(*listed) == ["workload CronJob shop/nightly", "workload Deployment shop/web"]


@pytest.mark.parametrize(
    ("service", "expected"), [("istiod-canary", ["validator istiod-default-validator"]), ("istiod", [])]
)
def test_the_default_validator_uses_the_revision_that_it_calls(service, expected):
    hooks = [{"name": "validation.istio.io", "clientConfig": {"service": {"name": service}}}]
    assert uses(obj("ValidatingWebhookConfiguration", "istiod-default-validator", webhooks=hooks)) == expected


def test_gateways_and_waypoints_use_a_revision():
    api = "gateway.networking.k8s.io/v1"
    waypoint = labelled(
        "Gateway", "waypoint", "shop", api, {"istio.io/rev": "canary"}, spec={"gatewayClassName": "istio-waypoint"}
    )
    plain = labelled("Gateway", "front", "shop", api, spec={"gatewayClassName": "istio"})
    foreign = labelled("Gateway", "nginx", "shop", api, {"istio.io/rev": "canary"}, spec={"gatewayClassName": "nginx"})
    default = labelled(
        "MutatingWebhookConfiguration", "d", labels={"istio.io/tag": "default", "istio.io/rev": "stable"}
    )
    assert uses(waypoint, plain, foreign) == ["gateway shop/waypoint"]
    assert uses(plain, revision="default") == ["gateway shop/front"]
    assert uses(plain, default, revision="default") == []


def test_ztunnel_base_and_cni_belong_to_no_revision():
    rev = {"istio.io/rev": "canary"}
    shared = [
        ZTUNNEL,
        labelled(
            "DaemonSet",
            "cni",
            "istio-system",
            "apps/v1",
            {**rev, "k8s-app": "istio-cni-node", "operator.istio.io/component": "Cni"},
        ),
        labelled(
            "ServiceAccount",
            "r",
            "istio-system",
            labels={**rev, "app.kubernetes.io/part-of": "istio", "helm.sh/chart": "base-1.31.0"},
        ),
        labelled("ValidatingWebhookConfiguration", "istiod-default-validator", labels={**rev, **CHART}),
    ]
    own = labelled("Deployment", "istiod-canary", "istio-system", "apps/v1", {**rev, **CHART})
    whole = footprint([*shared, own])
    assert [item.where for item in of_revision(whole, "canary").items] == ["Deployment istio-system/istiod-canary"]


def test_the_istiod_of_a_revision_is_not_its_user():
    from ansible_collections.meshops.istio.plugins.module_utils.footprint.revision import _chosen_by_template

    def deployment(**labels):
        return {"kind": "Deployment", "spec": {"template": {"metadata": {"labels": {"istio.io/rev": "x", **labels}}}}}

    assert _chosen_by_template(deployment(app="istiod")) == ""
    assert _chosen_by_template(deployment(app="web")) == "x"
