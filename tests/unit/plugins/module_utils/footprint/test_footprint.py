# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What belongs to Istio, and what only looks like it."""

from __future__ import annotations

import base64
import gzip
import json

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.footprint import evidence, item
from ansible_collections.meshops.istio.plugins.module_utils.footprint import footprint as fp
from ansible_collections.meshops.istio.plugins.module_utils.footprint import item as item_module
from ansible_collections.meshops.istio.plugins.module_utils.mesh import names
from hypothesis import given
from hypothesis import strategies as st

CHART = {"app.kubernetes.io/part-of": "istio", "helm.sh/chart": "istiod-1.31.0"}


def obj(kind, name, namespace="", api="v1", labels=None, annotations=None, **rest):
    meta = {"name": name, "uid": f"{kind}/{namespace}/{name}"}
    if namespace:
        meta["namespace"] = namespace
    if labels:
        meta["labels"] = labels
    if annotations:
        meta["annotations"] = annotations
    meta.update(rest.pop("meta", {}))
    return {"apiVersion": api, "kind": kind, "metadata": meta, **rest}


def workload(name, namespace, kind="Deployment", labels=None, template=None, containers=(), init=(), **spec):
    pods = {"containers": list(containers), "initContainers": list(init)}
    return obj(
        kind, name, namespace, "apps/v1", labels, spec={"template": {"metadata": template or {}, "spec": pods}, **spec}
    )


def pod(name, namespace, owner=None, sidecar=True, revision="default", phase="Running", **meta):
    annotations = {"sidecar.istio.io/status": json.dumps({"revision": revision})} if sidecar else {}
    owners = [{"kind": owner[0], "name": owner[1], "uid": "x", "controller": True}] if owner else []
    return obj(
        "Pod",
        name,
        namespace,
        annotations=annotations,
        status={"phase": phase},
        meta={"ownerReferences": owners, **meta},
    )


def owned(release, namespace="istio-system"):
    """The marks that Helm sets on everything that it installs."""
    return {
        "labels": {"app.kubernetes.io/managed-by": "Helm"},
        "annotations": {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": namespace},
    }


def release_secret(
    name,
    chart,
    manifest="",
    config=None,
    namespace="istio-system",
    sources=("https://github.com/istio/istio",),
    version=1,
    status="deployed",
    **metadata,
):
    release = {
        "name": name,
        "namespace": namespace,
        "manifest": manifest,
        "config": config,
        "version": version,
        "info": {"status": status},
        "chart": {"metadata": {"name": chart, "version": "1.31.0", "sources": list(sources), **metadata}},
    }
    data = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(release).encode()))).decode()
    return obj(
        "Secret",
        f"sh.helm.release.v1.{name}.v{version}",
        namespace,
        labels={"owner": "helm", "name": name, "version": str(version)},
        type="helm.sh/release.v1",
        data={"release": data},
    )


def read(*listed, complete=()):
    return fp.footprint(list(listed), complete)


def keys(item):
    return [str(key) for key in item.keys]


def only(*listed, **options):
    found = read(*listed, **options)
    assert len(found.items) == 1, found.items
    return found.items[0]


@pytest.mark.parametrize(
    ("listed", "part", "why"),
    [
        (obj("VirtualService", "a", "app", "networking.istio.io/v1"), "mesh_objects", "API group networking.istio.io"),
        (obj("IstioOperator", "i", "x", "install.istio.io/v1alpha1"), "operators", "API group install.istio.io"),
        (obj("IstioRevision", "r", "", "sailoperator.io/v1"), "operators", "API group sailoperator.io"),
        (
            obj("CustomResourceDefinition", "x", api="apiextensions.k8s.io/v1", spec={"group": "security.istio.io"}),
            "crds",
            "API group security.istio.io",
        ),
        (
            obj("MutatingWebhookConfiguration", "any", api="admissionregistration.k8s.io/v1",
                webhooks=[{"name": "rev.namespace.sidecar-injector.istio.io"}]),
            "webhooks",
            "webhook rev.namespace.sidecar-injector.istio.io",
        ),
        (workload("istiod", "mesh", labels=CHART), "control_plane", "label helm.sh/chart=istiod-1.31.0"),
        (
            workload("gw", "mesh", labels={"operator.istio.io/component": "IngressGateways"}),
            "gateways",
            "label operator.istio.io/component=IngressGateways",
        ),
        (workload("gw", "app", labels={"gateway.istio.io/managed": "istio.io-controller"}), "gateway_api", None),
        (
            workload("edge", "app", template={"annotations": {"inject.istio.io/templates": "gateway"}, "labels": {}},
                     containers=[{"name": "istio-proxy", "image": "auto"}]),
            "gateways",
            "its pod template is that of a gateway, which Istio's injector completes",
        ),
        (workload("n", "kube-system", "DaemonSet", labels={"operator.istio.io/component": "Cni"}), "cni", None),
        (
            obj("EndpointSlice", "istiod-remote", "mesh", "discovery.k8s.io/v1", CHART),
            "control_plane",
            "label helm.sh/chart=istiod-1.31.0",
        ),
        (obj("Endpoints", "istiod-remote", "mesh", labels=CHART), "control_plane", None),
        (obj("ConfigMap", "istio-ca-root-cert", "app", labels={"istio.io/config": "true"}), "trust", None),
        (obj("ConfigMap", "istio-ca-root-cert", "app", data={"root-cert.pem": ""}), "trust", None),
        (obj("Secret", "c2", "x", labels={"istio/multiCluster": "true"}), "ca", None),
        (obj("Secret", "istio.default", "app", type="istio.io/key-and-cert"), "trust", "type istio.io/key-and-cert"),
        (
            obj("ClusterTrustBundle", "istio.io:istiod-ca:root-cert", api="certificates.k8s.io/v1beta1",
                spec={"signerName": "istio.io/istiod-ca"}),
            "trust",
            "signer istio.io/istiod-ca",
        ),
        (
            obj("GatewayClass", "istio", api="gateway.networking.k8s.io/v1",
                spec={"controllerName": "istio.io/gateway-controller"}),
            "gateway_api",
            "controller istio.io/gateway-controller",
        ),
        (
            obj("ValidatingAdmissionPolicyBinding", "b", api="admissionregistration.k8s.io/v1",
                spec={"policyName": "stable-channel-policy-istio-system.istio.io"}),
            "webhooks",
            None,
        ),
    ],
)  # fmt: skip
def test_each_reason(listed, part, why):
    item = only(listed)
    assert (item.part, item.action) == (part, "delete")
    assert why is None or why in item.why


@pytest.mark.parametrize(
    "listed",
    [
        obj("Namespace", "istio-demo"),
        obj("Namespace", "my-istio-system"),
        obj("ConfigMap", "istio-leader", "app"),
        obj("Secret", "cacerts", "app"),
        obj("Service", "istiod", "app", labels={"app": "istiod"}),
        obj("Widget", "istio", "app", "networking.istio.example.com/v1"),
        obj("Widget", "istio", "app", "notistio.io/v1"),
        obj(
            "CustomResourceDefinition",
            "istios.example.com",
            api="apiextensions.k8s.io/v1",
            spec={"group": "example.com"},
        ),
        obj("ConfigMap", "istio-ca-root-cert", "app", data={"mine": ""}),
        obj("GatewayClass", "istio", spec={"controllerName": "example.com/istio"}),
        obj("ValidatingWebhookConfiguration", "istio-validator", webhooks=[{"name": "istio.example.com"}]),
        workload("thing", "app", labels={"app.kubernetes.io/part-of": "istio", "helm.sh/chart": "shop-1.0"}),
        workload("thing", "app", labels={"app.kubernetes.io/part-of": "shop", "helm.sh/chart": "gateway-1.0"}),
        workload("thing", "app", containers=[{"name": "istio-proxy", "image": "auto"}]),
        release_secret("istiod", "istiod", sources=["https://example.com"]),
        release_secret("shop", "shop"),
    ],
)
def test_what_only_looks_like_istio_stays(listed):
    assert read(listed).items == ()


def test_a_likeness_is_listed():
    unsure = read(obj("Namespace", "istio-demo")).unsure
    assert [item.where for item in unsure] == ["Namespace istio-demo"]
    assert unsure[0].action == "leave"


def test_endpoints_that_a_controller_has_made_go_with_their_service():
    service = obj("Service", "istiod", "mesh", labels=CHART, spec={"selector": {"app": "istiod"}})
    owned = {"ownerReferences": [{"kind": "Service", "name": "istiod", "uid": service["metadata"]["uid"]}]}
    item = only(
        service,
        obj("EndpointSlice", "istiod-x", "mesh", "discovery.k8s.io/v1", CHART, meta=owned),
        obj("Endpoints", "istiod", "mesh", labels=CHART),
        obj("Endpoints", "late", "mesh", labels={**CHART, "endpoints.kubernetes.io/managed-by": "endpoint-controller"}),
    )
    assert item.kind == "Service"


def test_a_release_owns_what_its_manifest_names():
    secret = release_secret(
        "mesh", "istiod", "kind: Service\napiVersion: v1\nmetadata: {name: one}\n", {"revision": "canary"}
    )
    found = read(
        secret,
        obj("Service", "one", "istio-system", **owned("mesh")),
        obj("Service", "one", "app"),
        obj("Service", "two", "istio-system", **owned("mesh")),
    )
    assert [(i.part, i.where, i.revision) for i in found.items] == [
        ("control_plane", "Service istio-system/one", "canary"),
        ("releases", "Secret istio-system/sh.helm.release.v1.mesh.v1", "canary"),
    ]


def test_endpoints_of_a_release_go_with_it():
    slices = "kind: EndpointSlice\napiVersion: discovery.k8s.io/v1\nmetadata: {name: istiod}\n"
    found = read(
        release_secret("mesh", "istiod", slices),
        obj("EndpointSlice", "istiod", "istio-system", "discovery.k8s.io/v1", **owned("mesh")),
    )
    assert [i.where for i in found.part("control_plane")] == ["EndpointSlice istio-system/istiod"]


def test_an_object_that_another_release_has_taken_over_stays():
    secret = release_secret("mesh", "istiod", "kind: Service\napiVersion: v1\nmetadata: {name: one}\n")
    taken = obj("Service", "one", "istio-system", **owned("shop"))
    assert [i.part for i in read(secret, taken).items] == ["releases"]


def test_owner_references_are_followed():
    top = obj("Istio", "default", "", "sailoperator.io/v1")
    child = obj(
        "Service",
        "a",
        "app",
        meta={"ownerReferences": [{"uid": top["metadata"]["uid"], "kind": "Istio", "name": "default"}]},
    )
    grandchild = obj(
        "ServiceAccount",
        "b",
        "app",
        meta={"ownerReferences": [{"uid": child["metadata"]["uid"], "kind": "Service", "name": "a"}]},
    )
    assert {i.kind for i in read(grandchild, child, top).items} == {"Istio", "Service", "ServiceAccount"}


def test_what_istiod_writes_into_its_own_namespace():
    istiod = workload("istiod", "mesh", labels=CHART)
    found = read(
        istiod,
        obj("Secret", "cacerts", "mesh"),
        obj("ConfigMap", "istio-leader", "mesh"),
        obj("Lease", "istio-gateway-deployment-canary", "mesh", "coordination.k8s.io/v1"),
        obj("Lease", "istio-gateway-deployment", "app", "coordination.k8s.io/v1"),
    )
    assert {(i.part, i.name) for i in found.items if i.namespace == "mesh"} == {
        ("control_plane", "istiod"),
        ("ca", "cacerts"),
        ("control_plane", "istio-leader"),
        ("control_plane", "istio-gateway-deployment-canary"),
    }
    assert not [i for i in found.items if i.namespace == "app"]


@pytest.mark.parametrize("name", ["cacerts", "istio-ca-secret", "cacerts-next", "cacerts-previous"])
def test_the_cas_secrets_are_those_beside_a_control_plane(name):
    """A gateway among a user's workloads makes their namespace no control plane's."""
    gateway = workload("edge", "app", labels={"operator.istio.io/component": "IngressGateways"})
    istiod = workload("istiod", "mesh", labels=CHART)
    found = read(
        istiod, gateway, obj("Secret", name, "mesh"), obj("Secret", name, "app"), obj("Secret", name, "istio-egress")
    )
    assert [item.where for item in found.part("ca")] == [f"Secret mesh/{name}"]


def test_where_an_interrupted_purge_has_found_a_control_plane_what_it_wrote_is_still_found():
    marked = obj("Namespace", "mesh", annotations={item.MARK: "control-plane"})
    found = read(marked, obj("Secret", "cacerts", "mesh"), workload("mine", "mesh"), complete=["mesh"])
    assert [(i.part, i.action, i.where) for i in found.items] == [
        ("ca", "delete", "Secret mesh/cacerts"),
        ("proof", "strip", "Namespace mesh"),
    ]
    assert found.control_planes == ("mesh",)
    assert item.marked_injected([marked, obj("Namespace", "app", annotations={item.MARK: "injected"})]) == ["app"]


def test_what_operators_write_into_their_own_namespace():
    lease = "coordination.k8s.io/v1"
    found = read(
        workload("istio-operator", "tools", labels={"operator.istio.io/component": "IstioOperator"}),
        obj("ConfigMap", "istio-operator-lock", "tools"),
        obj("Lease", "istio-operator", "tools", lease),
        obj("Lease", "istio-operator", "app", lease),
    )
    assert {(i.part, i.kind, i.name) for i in found.items if i.namespace == "tools"} == {
        ("operators", "Deployment", "istio-operator"),
        ("operators", "ConfigMap", "istio-operator-lock"),
        ("operators", "Lease", "istio-operator"),
    }
    assert not [i for i in found.items if i.namespace == "app"]


def test_a_namespace_goes_only_when_nothing_else_lives_there():
    namespace, istiod = obj("Namespace", "istio-system"), workload("istiod", "istio-system", labels=CHART)
    ordinary = [obj("ConfigMap", "kube-root-ca.crt", "istio-system"), obj("ServiceAccount", "default", "istio-system")]
    foreign = workload("prometheus", "istio-system")
    assert [i.name for i in read(namespace, istiod, *ordinary, complete=["istio-system"]).part("namespaces")]
    left = read(namespace, istiod, foreign, complete=["istio-system"])
    assert not left.part("namespaces")
    assert any("Deployment prometheus" in why for item in left.unsure for why in item.why)
    assert not read(namespace, istiod).part("namespaces"), "its contents were not listed"


def made_by(manager, name, later=""):
    """A namespace; server-side apply (C(helm) of version 4) owns no label that Kubernetes adds."""
    adds = {"f:metadata": {"f:labels": {"f:kubernetes.io/metadata.name": {}}}}
    fields = [{"manager": manager, "time": "2026-01-01T10:00:00Z", "fieldsV1": {} if manager == "helm" else adds}]
    if later:
        fields.append({"manager": later, "time": "2026-01-01T11:00:00Z", "fieldsV1": {"f:metadata": {}}})
    return obj("Namespace", name, meta={"creationTimestamp": "2026-01-01T10:00:00Z", "managedFields": fields})


GATEWAY = "kind: Service\napiVersion: v1\nmetadata: {name: edge}\n"


@pytest.mark.parametrize(
    ("namespace", "goes"),
    [
        (made_by("helm", "edge"), True),
        (made_by("meshops.istio", "edge", later="kubectl-label"), True),
        (made_by("kubectl-create", "edge", later="helm"), False),
        (obj("Namespace", "edge"), False),
        (made_by("kubectl-create", "istio-ingress"), False),
        (made_by("helm", "istio-ingress"), True),
    ],
)
def test_a_gateways_namespace_goes_only_when_it_was_made_for_it(namespace, goes):
    name = namespace["metadata"]["name"]
    release = release_secret("edge", "gateway", GATEWAY, namespace=name)
    found = read(namespace, release, obj("Service", "edge", name, **owned("edge", name)), complete=[name])
    assert [item.name for item in found.part("namespaces")] == ([name] if goes else [])
    assert goes or any(item.has(item_module.Reason.NOT_PROVEN) for item in found.unsure if item.kind == "Namespace")
    assert (name in evidence.candidate_namespaces([namespace, release])) is goes
    assert not read(namespace, release, obj("Secret", "tls", name), complete=[name]).part("namespaces")


@pytest.mark.parametrize("name", ["istio-egress", "istio-system"])
def test_a_users_own_namespace_that_is_called_as_istios_stays(name):
    trust = obj("ConfigMap", "istio-ca-root-cert", name, labels={"istio.io/config": "true"})
    found = read(made_by("kubectl-create", name), trust, complete=[name])
    assert [item.part for item in found.items] == ["trust"]
    assert [item.where for item in found.unsure] == [f"Namespace {name}"]


@pytest.mark.parametrize("name", ["kube-system", "default", "openshift-operators"])
def test_the_clusters_own_namespaces_never_go(name):
    cni = workload("istio-cni-node", name, "DaemonSet", labels={"operator.istio.io/component": "Cni"})
    assert not read(obj("Namespace", name), cni, complete=[name]).part("namespaces")


def test_a_namespace_that_a_purge_has_marked_goes():
    marked = obj("Namespace", "mesh", annotations={item.MARK: "going"})
    assert [i.name for i in read(marked, complete=["mesh"]).part("namespaces")] == ["mesh"]


def test_istio_keys_are_taken_off_objects_of_others():
    namespace = obj(
        "Namespace", "app", labels={"istio-injection": "enabled", "istio.io/dataplane-mode": "ambient", "team": "a"}
    )
    item = only(namespace)
    assert item.action == "strip"
    assert keys(item) == ["label istio-injection", "label istio.io/dataplane-mode"]
    node = obj("Node", "n", spec={"taints": [{"key": "cni.istio.io/not-ready"}, {"key": "example.com/x"}]})
    assert keys(only(node)) == ["taint cni.istio.io/not-ready"]
    held = obj("Service", "s", "app", meta={"finalizers": ["istio-finalizer.install.istio.io", "example.com/keep"]})
    assert keys(only(held)) == ["finalizer istio-finalizer.install.istio.io"]


@pytest.mark.parametrize("key", ["example.com/istio.io", "istio.io", "istio-injection.example.com/a", "xistio.io/a"])
def test_keys_of_others_stay(key):
    assert not names.istio_key(key)


def test_sidecars_are_found_through_their_pods():
    template = {
        "labels": {"sidecar.istio.io/inject": "true", "app": "a"},
        "annotations": {"proxy.istio.io/config": "x"},
    }
    deployment = workload("a", "app", template=template, selector={"matchLabels": {"app": "a"}})
    running = pod("a-77-1", "app", ("ReplicaSet", "a-77"), labels={"pod-template-hash": "77"})
    item = only(deployment, running)
    assert (item.part, item.action, item.where) == ("sidecars", "restart", "Deployment app/a")
    assert keys(item) == ["template label sidecar.istio.io/inject", "template annotation proxy.istio.io/config"]


def test_a_selected_label_is_not_taken_off():
    template = {"labels": {"sidecar.istio.io/inject": "true"}}
    stateful = workload(
        "a", "app", "StatefulSet", template=template, selector={"matchLabels": {"sidecar.istio.io/inject": "true"}}
    )
    assert only(stateful, pod("a-0", "app", ("StatefulSet", "a"))).keys == ()


@pytest.mark.parametrize(
    ("listed", "word"),
    [
        ([pod("alone", "app")], "no controller"),
        ([pod("j", "app", ("Job", "j"))], "Job j"),
        (
            [
                workload("d", "app", "DaemonSet", updateStrategy={"type": "OnDelete"}),
                pod("d1", "app", ("DaemonSet", "d")),
            ],
            "OnDelete",
        ),
        ([workload("d", "app", "StatefulSet", paused=True), pod("d1", "app", ("StatefulSet", "d"))], "paused"),
        (
            [
                workload("d", "app", "StatefulSet", updateStrategy={"rollingUpdate": {"partition": 2}},
                         template={"labels": {"sidecar.istio.io/inject": "true"}}),
                pod("d-0", "app", ("StatefulSet", "d")),
            ],
            "updateStrategy.rollingUpdate.partition is 2: set it to 0",
        ),
        (
            [
                workload("d", "app", containers=[{"name": "app"}, {"name": "istio-proxy", "image": "proxyv2"}],
                         template={"annotations": {"sidecar.istio.io/status": "{}"}}),
                pod("d-77-1", "app", ("ReplicaSet", "d-77"), labels={"pod-template-hash": "77"}),
            ],
            "kube-inject",
        ),
        ([workload("d", "app", init=[{"name": "istio-proxy"}])], "kube-inject"),
    ],
)  # fmt: skip
def test_sidecars_that_no_restart_takes_out_are_named(listed, word):
    found = read(*listed)
    assert found.items == ()
    assert len(found.unsure) == 1
    assert word in found.unsure[0].why[0]
    assert found.stuck == found.unsure


def test_pods_that_have_ended_or_have_no_sidecar_need_nothing():
    assert read(pod("done", "app", ("Job", "j"), phase="Succeeded"), pod("plain", "app", sidecar=False)).items == ()


def test_gateway_api_objects_of_istio_and_of_others():
    api = "gateway.networking.k8s.io/v1"
    classes = [
        obj("GatewayClass", "istio", api=api, spec={"controllerName": "istio.io/gateway-controller"}),
        obj("GatewayClass", "other", api=api, spec={"controllerName": "example.com/controller"}),
    ]
    gateways = [
        obj("Gateway", "mine", "app", api, spec={"gatewayClassName": "istio"}),
        obj("Gateway", "theirs", "app", api, spec={"gatewayClassName": "other"}),
    ]
    routes = [
        obj("HTTPRoute", "only-mine", "app", api, spec={"parentRefs": [{"name": "mine"}]}),
        obj("HTTPRoute", "both", "app", api, spec={"parentRefs": [{"name": "mine"}, {"name": "theirs"}]}),
        obj("HTTPRoute", "theirs", "app", api, spec={"parentRefs": [{"name": "theirs"}]}),
        obj("TLSRoute", "nobodys", "app", api, spec={}),
    ]
    owner = {"apiVersion": api, "kind": "Gateway", "name": "mine", "uid": gateways[0]["metadata"]["uid"]}
    made = obj("Service", "mine-istio", "app", meta={"ownerReferences": [owner]})
    assert [(i.part, i.name) for i in read(*classes, *gateways, *routes, made).items] == [
        ("gateway_api", "istio"),
        ("gateway_api", "mine-istio"),
        ("mesh_objects", "mine"),
        ("mesh_objects", "only-mine"),
    ]


@given(st.text(alphabet="abiost.-/0", max_size=30))
def test_only_the_domain_istio_io_counts(key):
    domain = key.partition("/")[0]
    expected = key == "istio-injection" or ("/" in key and (domain == "istio.io" or domain.endswith(".istio.io")))
    assert names.istio_key(key) is expected


ANY_ORDER = [
    obj("Istio", "d", "", "sailoperator.io/v1"),
    workload("istiod", "mesh", labels=CHART),
    obj("Secret", "cacerts", "mesh"),
    obj("Namespace", "mesh"),
    obj("Namespace", "istio-demo"),
]


@given(st.permutations(ANY_ORDER))
def test_the_order_of_the_list_does_not_matter(listed):
    names = [i.where for i in fp.footprint(listed, ["mesh"]).items]
    assert names == ["Secret mesh/cacerts", "Deployment mesh/istiod", "Namespace mesh", "Istio d"]
