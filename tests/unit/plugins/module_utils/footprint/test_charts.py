# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Helm releases of Istio's charts: what their records prove, and what they do not."""

from __future__ import annotations

import base64
import gzip
import json

import pytest
import yaml
from ansible_collections.meshops.istio.plugins.module_utils.footprint import charts
from ansible_collections.meshops.istio.plugins.module_utils.footprint.footprint import footprint
from ansible_collections.meshops.istio.plugins.module_utils.footprint.item import Reason
from hypothesis import given, settings
from hypothesis import strategies as st

ISTIO = ("https://github.com/istio/istio",)


def obj(kind, name, namespace="", api="v1", **rest):
    meta = {"name": name, "uid": f"{kind}/{namespace}/{name}", **rest.pop("meta", {})}
    if namespace:
        meta["namespace"] = namespace
    return {"apiVersion": api, "kind": kind, "metadata": meta, **rest}


def encoded(release):
    return base64.b64encode(base64.b64encode(gzip.compress(json.dumps(release).encode()))).decode()


def record(name, chart, objects=(), namespace="tenant", version=1, status="deployed", config=None, **metadata):
    release = {
        "name": name,
        "namespace": namespace,
        "version": version,
        "info": {"status": status},
        "config": config or {},
        "manifest": yaml.safe_dump_all(list(objects)),
        "chart": {"metadata": {"name": chart, "version": "1.31.0", "sources": list(ISTIO), **metadata}},
    }
    labels = {"owner": "helm", "name": name, "version": str(version), "status": status}
    return obj("Secret", f"sh.helm.release.v1.{name}.v{version}", namespace, meta={"labels": labels},
               type="helm.sh/release.v1", data={"release": encoded(release)})  # fmt: skip


def owned(kind, name, namespace="", api="v1", release="x", release_namespace="tenant", managed_by="Helm"):
    annotations = {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": release_namespace}
    return obj(kind, name, namespace, api,
               meta={"annotations": annotations, "labels": {"app.kubernetes.io/managed-by": managed_by}})  # fmt: skip


def deleted(*listed):
    return {item.where for item in footprint(list(listed)).items if item.action == "delete" and item.part != "releases"}


PLAIN = [
    obj("PersistentVolumeClaim", "data", "bank"),
    obj("ClusterRole", "someone-elses", api="rbac.authorization.k8s.io/v1"),
    obj("ClusterRole", "cluster-admin", api="rbac.authorization.k8s.io/v1"),
    obj("ConfigMap", "coredns", "kube-system"),
    obj("Deployment", "shop", "bank", "apps/v1"),
    obj("ServiceAccount", "istio-reader", "bank"),
]


def test_a_planted_record_deletes_nothing_that_does_not_name_it():
    """A tenant's Secret names objects anywhere in the cluster in its manifest."""
    assert deleted(record("x", "gateway", PLAIN), *PLAIN) == set()
    whole = footprint([record("x", "gateway", PLAIN), *PLAIN])
    assert {item.where for item in whole.unsure if item.has(Reason.RELEASE_NOT_PROVEN)} == {
        f"{o['kind']} {o['metadata'].get('namespace', '')}/{o['metadata']['name']}".replace(" /", " ") for o in PLAIN
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"release": "y"},
        {"release_namespace": "monitoring"},
        {"managed_by": "kubectl"},
    ],
)
def test_an_object_must_name_the_release_its_namespace_and_helm(wrong):
    manifest = [obj("Service", "edge")]
    assert deleted(record("x", "gateway", manifest), owned("Service", "edge", "tenant")) == {"Service tenant/edge"}
    assert deleted(record("x", "gateway", manifest), owned("Service", "edge", "tenant", **wrong)) == set()


@pytest.mark.parametrize(
    ("kind", "api"), [("PersistentVolumeClaim", "v1"), ("Secret", "v1"), ("Namespace", "v1"), ("Widget", "a.com/v1")]
)
def test_kinds_that_no_chart_of_istio_contains_are_never_deleted_with_a_release(kind, api):
    mine = owned(kind, "istio-data", "tenant", api)
    assert deleted(record("x", "gateway", [obj(kind, "istio-data", "tenant", api)]), mine) == set()


def test_cluster_scoped_objects_of_a_release_are_named_as_istio_names_them():
    """Whoever can write the record of a release could otherwise have that release's other objects deleted."""
    rbac = "rbac.authorization.k8s.io/v1"
    manifest = [obj("ClusterRole", name, api=rbac) for name in ("istiod-clusterrole-tenant", "team-admin")]
    live = [owned("ClusterRole", o["metadata"]["name"], api=rbac) for o in manifest]
    assert deleted(record("x", "istiod", manifest), *live) == {"ClusterRole istiod-clusterrole-tenant"}


@pytest.mark.parametrize(
    "metadata",
    [
        {"sources": [], "keywords": ["api", "istio"], "home": "https://istio.io"},
        {"sources": ["https://git.example.com/platform/istio"]},
        {"sources": ["https://github.com/istio/istio.example.com"]},
        {"sources": "https://github.com/istio/istio"},
    ],
)
def test_a_chart_is_istios_by_its_repository_and_not_by_a_word(metadata):
    manifest = [obj("Deployment", "edge", api="apps/v1")]
    live = owned("Deployment", "edge", "tenant", "apps/v1")
    assert deleted(record("x", "gateway", manifest, **metadata), live) == set()


@pytest.mark.parametrize(
    "source", ["https://github.com/istio/istio/tree/master/manifests", "http://github.com/istio/istio"]
)
def test_older_charts_name_their_repository_in_other_ways(source):
    assert deleted(
        record("x", "gateway", [obj("Service", "edge")], sources=[source]), owned("Service", "edge", "tenant")
    ) == {"Service tenant/edge"}


def test_only_the_newest_record_of_a_release_counts():
    """v1 was Istio's chart; v2 is the user's own under the same name."""
    live = owned("Deployment", "edge", "tenant", "apps/v1")
    manifest = [obj("Deployment", "edge", api="apps/v1")]
    old = record("x", "gateway", manifest, status="failed")
    new = record("x", "mine", manifest, version=2)
    for listed in ([old, new, live], [new, old, live]):
        assert footprint(listed).items == ()


def test_an_uninstalled_release_owns_nothing():
    live = owned("Deployment", "edge", "tenant", "apps/v1")
    kept = record("x", "gateway", [obj("Deployment", "edge", api="apps/v1")], status="uninstalled")
    assert deleted(kept, live) == set()


@pytest.mark.parametrize("chart", ["base", "cni", "ztunnel", "ambient"])
def test_charts_of_every_revision_belong_to_none(chart):
    (release,) = charts.read_releases([record("x", chart, config={"revision": "1-30-2"})])
    assert release.revision == ""


RECORD_KEYS = ["name", "namespace", "version", "info", "status", "manifest", "chart", "metadata", "config", "sources"]
BROKEN = st.one_of(
    st.text(max_size=20),
    st.binary(max_size=20).map(lambda b: base64.b64encode(base64.b64encode(b)).decode()),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda leaf: st.lists(leaf, max_size=3) | st.dictionaries(
            st.sampled_from(RECORD_KEYS), leaf, max_size=5),
        max_leaves=12,
    ).map(encoded),
)  # fmt: skip


@given(BROKEN)
def test_a_broken_record_is_none(data):
    secret = obj(
        "Secret", "s", "tenant", meta={"labels": {"name": "x"}}, type="helm.sh/release.v1", data={"release": data}
    )
    assert all(isinstance(r.name, str) for r in charts.read_releases([secret]))


# -- a tenant with every right in one namespace ----------------------------------

NAME = st.sampled_from(["istiod", "istio-system", "cacerts", "edge", "data", "istio-leader", "gw", "x"])
LABELS = st.dictionaries(
    st.sampled_from([
        "operator.istio.io/component", "istio.io/rev", "istio-injection", "app", "helm.sh/chart", "istio.io/config",
        "app.kubernetes.io/part-of", "app.kubernetes.io/managed-by", "istio/multiCluster", "meshops.istio/purge",
        "gateway.istio.io/managed", "app.kubernetes.io/name", "istio.io/tag", "owner", "name",
    ]),
    st.sampled_from(["Pilot", "Cni", "IngressGateways", "canary", "istiod-1.31.0", "istio", "true", "Helm", "cni", "x",
                     "sailoperator", "ztunnel", "helm"]),
    max_size=5,
)  # fmt: skip
ANNOTATIONS = st.dictionaries(
    st.sampled_from(["meta.helm.sh/release-name", "meta.helm.sh/release-namespace", "meshops.istio/purge",
                     "gateway.istio.io/controller-version", "sidecar.istio.io/status",
                     "control-plane.alpha.kubernetes.io/leader"]),
    st.sampled_from(["x", "tenant", "istio-system", "going", "control-plane", "{}", "[]",
                     '{"holderIdentity":"istiod-x"}']),
    max_size=4,
)  # fmt: skip
GATEWAY_API = "gateway.networking.k8s.io/v1"
KINDS = [
    ("v1", "Service"),
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "PersistentVolumeClaim"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "DaemonSet"),
    ("v1", "Pod"),
    ("coordination.k8s.io/v1", "Lease"),
    (GATEWAY_API, "Gateway"),
    (GATEWAY_API, "HTTPRoute"),
    ("networking.istio.io/v1", "VirtualService"),
]
OTHERS = st.tuples(
    st.sampled_from([*KINDS, ("v1", "Namespace"), ("rbac.authorization.k8s.io/v1", "ClusterRole")]), NAME
)


@st.composite
def tenants_object(draw):
    api, kind = draw(st.sampled_from(KINDS))
    meta = {"labels": draw(LABELS), "annotations": draw(ANNOTATIONS)}
    uids = ["Deployment/bank/edge", "ConfigMap/bank/data", "x"]
    if draw(st.booleans()):
        meta["ownerReferences"] = [
            {"apiVersion": "v1", "kind": "Gateway", "name": "gw", "uid": draw(st.sampled_from(uids))}
        ]
    spec = {"gatewayClassName": draw(NAME)} if kind == "Gateway" else {}
    return obj(kind, draw(NAME), "tenant", api, meta=meta, spec=spec)


@st.composite
def others_object(draw):
    """Of somebody else; nothing in it is Istio's, though its name may look so."""
    (api, kind), name = draw(OTHERS)
    namespace = "" if kind in ("Namespace", "ClusterRole") else "bank"
    release = draw(st.sampled_from([None, ("x", "bank"), ("x", "monitoring"), ("y", "tenant")]))
    annotations = (
        {"meta.helm.sh/release-name": release[0], "meta.helm.sh/release-namespace": release[1]} if release else {}
    )
    labels = {"app.kubernetes.io/managed-by": "Helm"} if release else {}
    spec = {"parentRefs": [{"name": "gw", "namespace": "tenant"}]} if kind == "HTTPRoute" else {}
    spec = {"gatewayClassName": "nginx"} if kind == "Gateway" else spec
    api = "example.com/v1" if api == "networking.istio.io/v1" else api
    return obj(kind, name, namespace, api, meta={"annotations": annotations, "labels": labels}, spec=spec)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(tenants_object(), max_size=6),
    st.lists(others_object(), max_size=6),
    st.sampled_from(sorted(charts.CHART_PARTS)),
    st.sampled_from(["deployed", "failed", "uninstalled", "pending-install"]),
)
def test_a_tenant_never_has_anything_deleted_outside_its_namespace(own, others, chart, status):
    """Whatever it writes into its namespace, and whatever its record of a release claims."""
    unique = {charts.key(o): o for o in [*own, *others]}
    listed = [record("x", chart, [*others, *own], status=status), obj("Namespace", "tenant"), *unique.values()]
    whole = footprint(listed, ["tenant", "bank"])
    outside = [i for i in whole.items if i.namespace != "tenant" and i.name != "tenant"]
    assert outside == []
