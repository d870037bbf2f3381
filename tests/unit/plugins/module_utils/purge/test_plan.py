# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a purge deletes and what it retains."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.footprint.item import Reason
from ansible_collections.meshops.istio.plugins.module_utils.purge.plan import Scope, plan_purge, plan_summary, plan_text

LABELS = {"operator.istio.io/component": "Pilot", "istio.io/rev": "default"}


def obj(kind, name, namespace="", api="v1", **rest):
    meta = {"name": name, **({"namespace": namespace} if namespace else {}), **rest.pop("meta", {})}
    return {"apiVersion": api, "kind": kind, "metadata": meta, **rest}


def mesh():
    return [
        obj("Namespace", "istio-system"),
        obj("Namespace", "app", meta={"labels": {"istio-injection": "enabled", "team": "a"}}),
        obj("Deployment", "istiod", "istio-system", "apps/v1", meta={"labels": LABELS}, spec={}),
        obj("MutatingWebhookConfiguration", "w", api="admissionregistration.k8s.io/v1", meta={"labels": LABELS}),
        obj("ClusterRole", "shared", meta={"labels": {"operator.istio.io/component": "Base"}}),
        obj("CustomResourceDefinition", "c", spec={"group": "networking.istio.io"}),
        obj(
            "Sidecar",
            "s",
            "app",
            "networking.istio.io/v1",
            meta={"resourceVersion": "7"},
            spec={"a": 1},
            status={"x": 1},
        ),
        obj("Secret", "cacerts", "istio-system", data={"ca-key.pem": "a2V5"}),
        obj(
            "Deployment",
            "shop",
            "app",
            "apps/v1",
            spec={"template": {"metadata": {"labels": {"app": "shop", "sidecar.istio.io/inject": "true"}}}},
        ),
        obj(
            "Pod",
            "shop-77-1",
            "app",
            meta={
                "annotations": {"sidecar.istio.io/status": '{"revision":"default"}'},
                "labels": {"pod-template-hash": "77"},
                "ownerReferences": [{"kind": "ReplicaSet", "name": "shop-77", "uid": "u", "controller": True}],
            },
        ),
    ]


def plan(**options):
    return plan_purge(mesh(), ["istio-system"], Scope(**options))


def steps(plan):
    return [step.name for step, items in plan.steps if items]


def test_everything_goes_in_order():
    assert steps(plan()) == [
        "webhooks",
        "injection",
        "sidecars",
        "control plane and gateway workloads",
        "namespaces",
        "control plane",
        "mesh objects",
        "trust",
        "crds",
    ]


@pytest.mark.parametrize(
    ("keep", "spared"),
    [
        (["crds"], {"crds"}),
        (["mesh_objects"], {"mesh_objects", "crds"}),
        (["ca"], {"ca", "namespaces"}),
        (["namespaces"], {"namespaces"}),
        (["crds", "ca"], {"crds", "ca", "namespaces"}),
    ],
)
def test_keep(keep, spared):
    kept = plan(keep=tuple(keep))
    assert {item.part for item in plan().items} - {item.part for item in kept.items} == spared
    assert {item.part for item in kept.retained if item.action == "leave"} == spared


GATEWAY_API = "gateway.networking.k8s.io/v1"


def gateway_api():
    """A user's Gateway and route, and what istiod made for it; beside a Gateway of Istio's own API of the same name."""
    spec = {"gatewayClassName": "istio"}
    made = {"labels": {"gateway.istio.io/managed": "istio.io-gateway-controller"}}
    return [
        obj("GatewayClass", "istio", "", GATEWAY_API, spec={"controllerName": "istio.io/gateway-controller"}),
        obj("Gateway", "front", "app", GATEWAY_API, spec=spec, status={"x": 1}),
        obj("Gateway", "front", "app", "networking.istio.io/v1", spec={"servers": []}),
        obj("TLSRoute", "front", "app", GATEWAY_API, spec={"parentRefs": [{"name": "front"}]}),
        obj("Deployment", "front-istio", "app", "apps/v1", meta=made, spec={"template": {}}),
    ]


def test_what_users_have_written_for_the_gateway_api_is_kept_with_what_it_needs():
    kept = plan_purge([*mesh(), *gateway_api()], ["istio-system"], Scope(keep=("mesh_objects",)))
    names = {i.name for i in kept.items}
    assert not names & {"istio", "front", "front-istio", "s"}
    assert {"istiod", "w"} <= names


def test_sidecars_stay_where_restarts_are_not_wanted():
    without = plan(restart_workloads=False)
    assert "sidecars" not in steps(without)
    assert any(item.has(Reason.NO_RESTART) for item in without.retained)
    assert any("Sidecars remain in Deployment app/shop" in text for text in without.warnings)


def test_sidecars_that_no_restart_takes_out_are_a_warning():
    assert plan().warnings == ()
    alone = obj("Pod", "alone", "app", meta={"annotations": {"sidecar.istio.io/status": "{}"}})
    warned = plan_purge([*mesh(), alone], ["istio-system"]).warnings
    assert ["Sidecars remain in Pod app/alone" in text for text in warned] == [True]


def test_a_revision_in_use_is_refused_and_names_the_users():
    with pytest.raises(MeshopsError, match=r"namespace app, proxy app/shop-77-1.*revisions in this cluster: default"):
        plan(revision="default")


def test_a_revision_takes_only_what_is_its_own():
    unused = [o for o in mesh() if o["kind"] != "Pod" and o["metadata"]["name"] != "app"]
    going = plan_purge(unused, ["istio-system"], Scope(revision="default"))
    assert [item.where for item in going.ordered] == [
        "MutatingWebhookConfiguration w",
        "Deployment istio-system/istiod",
    ]


def test_an_unknown_revision_is_gone_already_or_mistyped():
    unknown = plan(revision="1-30")
    assert unknown.items == ()
    assert unknown.warnings == ("Revision 1-30 not found. Revisions in this cluster: default",)
    assert plan_purge([], [], Scope(revision="1-30")).warnings == ()


@pytest.mark.parametrize(("keep", "marked"), [([], False), (["namespaces"], True), (["ca"], True)])
def test_the_mark_of_a_purge_is_taken_off_a_namespace_that_stays(keep, marked):
    listed = [o for o in mesh() if o["metadata"]["name"] not in ("istio-system", "istiod")]
    listed.append(obj("Namespace", "istio-system", meta={"annotations": {"meshops.istio/purge": "control-plane"}}))
    plan = plan_purge(listed, ["istio-system"], Scope(keep=tuple(keep)))
    assert [i.where for i in plan.part("proof")] == (["Namespace istio-system"] if marked else [])


def test_the_namespaces_of_control_planes_that_stay():
    assert plan().control_planes == ()
    assert plan(keep=("namespaces",)).control_planes == ("istio-system",)
    assert plan(keep=("ca",)).control_planes == ("istio-system",)


def test_the_text_names_every_object_and_reason_once():
    before, after = plan_text(plan())
    assert "webhooks:\n  delete MutatingWebhookConfiguration w: label operator.istio.io/component=Pilot\n" in before
    assert "remove from Namespace app: label istio-injection" in before
    assert "restart Deployment app/shop and remove template label sidecar.istio.io/inject" in before
    assert after == ""
    assert plan_summary(plan())["ClusterRole"] == 1


def test_operators_can_be_spared_with_the_definitions_of_what_they_read():
    listed = [
        *mesh(),
        obj("CustomResourceDefinition", "istiooperators.install.istio.io", spec={"group": "install.istio.io"}),
        obj("IstioOperator", "mesh", "istio-system", "install.istio.io/v1alpha1"),
    ]
    plan = plan_purge(listed, ["istio-system"], Scope(keep=("operators",)))
    gone = {item.name for item in plan.items if item.action == "delete"}
    assert {"istiod", "w", "c", "s"} <= gone
    assert not gone & {"istiooperators.install.istio.io", "mesh", "istio-system"}
    everything = {item.name for item in plan_purge(listed, ["istio-system"]).items}
    assert {"istiooperators.install.istio.io", "mesh"} <= everything
