# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which keys of Istio's are removed from pod templates."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.footprint.footprint import footprint
from ansible_collections.meshops.istio.plugins.module_utils.footprint.item import Reason
from ansible_collections.meshops.istio.plugins.module_utils.footprint.sidecars import template_keys

REVISION = "service.istio.io/canonical-revision"


def obj(kind, name, namespace="", api="v1", **rest):
    meta = {"name": name, "uid": f"{kind}/{namespace}/{name}", **rest.pop("meta", {})}
    if namespace:
        meta["namespace"] = namespace
    return {"apiVersion": api, "kind": kind, "metadata": meta, **rest}


def mesh(*others, selector=None):
    spec = {
        "selector": selector or {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web", REVISION: "v2", "sidecar.istio.io/inject": "true"}}},
    }
    meta = {
        "annotations": {"sidecar.istio.io/status": "{}"},
        "labels": {"pod-template-hash": "7"},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "web-7", "uid": "u", "controller": True}],
    }
    return footprint(
        [obj("Deployment", "web", "shop", "apps/v1", spec=spec), obj("Pod", "web-7-1", "shop", meta=meta), *others]
    )


PEER = [{"from": [{"podSelector": {"matchLabels": {REVISION: "v2"}}}]}]


@pytest.mark.parametrize(
    "other",
    [
        obj("Service", "web-v2", "shop", spec={"selector": {REVISION: "v2"}}),
        obj("PodDisruptionBudget", "web", "shop", "policy/v1", spec={"selector": {"matchLabels": {REVISION: "v2"}}}),
        obj("NetworkPolicy", "web", "shop", "networking.k8s.io/v1",
            spec={"podSelector": {"matchExpressions": [{"key": REVISION, "operator": "Exists"}]}}),
        obj("NetworkPolicy", "web", "bank", "networking.k8s.io/v1", spec={"podSelector": {}, "ingress": PEER}),
    ],
)  # fmt: skip
def test_a_label_that_others_select_by_is_retained(other):
    whole = mesh(other)
    (item,) = whole.part("sidecars")
    assert [str(key) for key in item.keys] == ["template label sidecar.istio.io/inject"]
    (kept,) = [each for each in whole.unsure if each.has(Reason.KEY_SELECTED)]
    assert kept.where == "Deployment shop/web"
    assert f"template label {REVISION}" in kept.why[0]


def test_a_label_that_nobody_selects_by_is_removed():
    (item,) = mesh(obj("Service", "other", "bank", spec={"selector": {REVISION: "v2"}})).part("sidecars")
    assert {key.name for key in item.keys} == {REVISION, "sidecar.istio.io/inject"}


def test_the_own_selector_of_a_workload_counts_with_its_expressions():
    selector = {"matchExpressions": [{"key": REVISION, "operator": "In", "values": ["v2"]}]}
    (item,) = mesh(selector=selector).part("sidecars")
    assert {key.name for key in item.keys} == {"sidecar.istio.io/inject"}
    assert template_keys({"kind": "Deployment", "metadata": {}}) == []
