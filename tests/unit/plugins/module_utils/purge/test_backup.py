# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The documents of a backup."""

from __future__ import annotations

from ansible_collections.meshops.istio.plugins.module_utils.purge.backup import backup_files
from ansible_collections.meshops.istio.plugins.module_utils.purge.plan import plan_purge

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


def test_what_users_have_written_for_the_gateway_api_is_backed_up():
    listed = [*mesh(), *gateway_api()]
    files = backup_files(plan_purge(listed, ["istio-system"]), listed)
    assert {name for name in files if name.startswith("mesh_objects/")} == {
        "mesh_objects/sidecar.app.s.yml",
        "mesh_objects/gateway.app.front.yml",
        "mesh_objects/gateway.gateway.networking.k8s.io.app.front.yml",
        "mesh_objects/tlsroute.gateway.networking.k8s.io.app.front.yml",
    }


def test_a_gateway_of_the_users_own_manifest_is_backed_up():
    template = {
        "metadata": {"annotations": {"inject.istio.io/templates": "gateway"}},
        "spec": {"containers": [{"name": "istio-proxy", "image": "auto"}]},
    }
    listed = [*mesh(), obj("Deployment", "edge", "app", "apps/v1", spec={"template": template})]
    files = backup_files(plan_purge(listed, ["istio-system"]), listed)
    assert files["mesh_objects/deployment.app.edge.yml"]["spec"] == {"template": template}
    assert not [document for document in files.values() if "gateways_list" in document]


def test_what_an_operator_made_a_mesh_from_is_backed_up():
    listed = [
        *mesh(),
        obj("IstioOperator", "mesh", "istio-system", "install.istio.io/v1alpha1", spec={"profile": "demo"}),
    ]
    files = backup_files(plan_purge(listed, ["istio-system"]), listed)
    assert files["operators/istiooperator.istio-system.mesh.yml"]["spec"] == {"profile": "demo"}


def test_the_backup_holds_what_can_be_applied_again():
    files = backup_files(plan_purge(mesh(), ["istio-system"]), mesh())
    assert files["mesh_objects/sidecar.app.s.yml"] == {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Sidecar",
        "metadata": {"name": "s", "namespace": "app"},
        "spec": {"a": 1},
    }
    assert files["namespaces/namespace.app.yml"]["metadata"] == {
        "name": "app",
        "labels": {"istio-injection": "enabled"},
    }
    assert files["workloads/deployment.app.shop.yml"]["spec"]["template"]["metadata"] == {
        "labels": {"sidecar.istio.io/inject": "true"}
    }
    assert files["ca/secret.istio-system.cacerts.yml"]["data"] == {"ca-key.pem": "a2V5"}


def test_the_ca_may_stay_out_of_the_backup():
    assert not [
        name
        for name in backup_files(plan_purge(mesh(), ["istio-system"]), mesh(), with_ca=False)
        if name.startswith("ca/")
    ]
