# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What mesh_info reads out of listed objects."""

from __future__ import annotations

import datetime
import json

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.mesh_info import read
from ansible_collections.meshops.istio.plugins.module_utils.mesh_info.findings import findings
from ansible_collections.meshops.istio.plugins.module_utils.mesh_info.read import (
    ca,
    control_planes,
    gateways,
    image_version,
    namespaces,
    proxies,
    read_mesh,
    tags,
)

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


def istiod(revision="default", version="1.31.0", ready=1):
    return {
        "metadata": {
            "name": "istiod" if revision == "default" else f"istiod-{revision}",
            "namespace": "istio-system",
            "labels": {"app": "istiod", "istio.io/rev": revision},
        },
        "spec": {
            "replicas": 1,
            "template": {"spec": {"containers": [{"name": "discovery", "image": f"docker.io/istio/pilot:{version}"}]}},
        },
        "status": {"readyReplicas": ready},
    }


def pod(name, namespace="shop", kind="sidecar", revision="default", version="1.31.0", native=False, **more):
    proxy = {"name": "istio-proxy", "image": f"docker.io/istio/proxyv2:{version}", "args": ["proxy", kind]}
    app = {"name": "app", "image": "app:1"}
    return {
        "metadata": {
            "name": f"{name}-5d4-x",
            "namespace": namespace,
            "labels": {"app": name, "pod-template-hash": "5d4", **more.get("labels", {})},
            "annotations": {"sidecar.istio.io/status": json.dumps({"revision": revision})},
            "ownerReferences": [{"kind": "ReplicaSet", "name": f"{name}-5d4", "controller": True}],
        },
        "spec": {"containers": [app], "initContainers": [proxy]} if native else {"containers": [app, proxy]},
        "status": {
            "phase": more.get("phase", "Running"),
            ("initContainerStatuses" if native else "containerStatuses"): [{"name": "istio-proxy", "ready": True}],
        },
    }


def plain_pod(name, namespace="shop", **annotations):
    return {
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
        "status": {"phase": "Running"},
    }


def namespace(name, **labels):
    return {"metadata": {"name": name, "labels": {k.replace("__", "/"): v for k, v in labels.items()}}}


def tag(name, revision):
    return {"metadata": {"name": f"tag-{name}", "labels": {"istio.io/tag": name, "istio.io/rev": revision}}}


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("docker.io/istio/proxyv2:1.31.0", "1.31.0"),
        ("registry:5000/istio/proxyv2:1.31.0-distroless", "1.31.0"),
        ("istio/proxyv2:1.31.0-debug@sha256:0123", "1.31.0"),
        ("registry:5000/istio/proxyv2", None),
        ("registry:5000/istio/proxyv2@sha256:0123", None),
    ],
)
def test_version_comes_from_the_tag(image, version):
    assert image_version(image) == version


def test_control_planes_count_their_proxies_and_name_their_tags():
    listed = {
        "istiod": [istiod(), istiod("canary", "1.31.1")],
        "Pod": [pod("a"), pod("b", revision="canary"), pod("c", revision="canary"), plain_pod("d")],
        "webhook": [tag("prod", "canary"), {"metadata": {"name": "injector", "labels": {"istio.io/rev": "default"}}}],
    }
    found = {c["revision"]: (c["version"], c["proxies"], c["tags"]) for c in control_planes(listed)}
    assert found == {"default": ("1.31.0", 1, []), "canary": ("1.31.1", 2, ["prod"])}
    assert tags(listed) == [{"name": "prod", "revision": "canary"}]


def test_a_proxy_is_outdated_when_its_revision_has_another_version():
    listed = {
        "istiod": [istiod(version="1.31.1"), istiod("old", "1.30.0")],
        "Pod": [
            pod("new", version="1.31.1"),
            pod("late", version="1.31.0", native=True),
            pod("other", version="1.30.0", revision="old"),
            pod("orphan", version="1.31.1", revision="gone"),
            pod("ended", phase="Succeeded"),
        ],
    }
    found = {p["pod"].partition("-")[0]: p["outdated"] for p in proxies(listed)}
    assert found == {"new": False, "late": True, "other": False, "orphan": True}


def test_a_ztunnel_serves_every_revision():
    listed = {
        "istiod": [istiod("canary", "1.31.1")],
        "Pod": [pod("z", kind="ztunnel", version="1.31.1"), pod("y", kind="ztunnel", version="1.30.0")],
    }
    assert [(p["type"], p["outdated"]) for p in proxies(listed)] == [("ztunnel", False), ("ztunnel", True)]


def test_nothing_is_outdated_where_the_control_plane_is_elsewhere():
    assert not proxies({"istiod": [], "Pod": [pod("a")]})[0]["outdated"]


def test_a_native_sidecar_is_found_and_ready():
    found = proxies({"istiod": [istiod()], "Pod": [pod("a", native=True)]})
    assert [(p["type"], p["ready"], p["version"]) for p in found] == [("sidecar", True, "1.31.0")]


def test_gateways_are_workloads_with_the_services_that_select_them():
    service = {
        "metadata": {"name": "ingress", "namespace": "edge"},
        "spec": {"type": "LoadBalancer", "selector": {"app": "ingress"}, "ports": [{"port": 80, "nodePort": 30080}]},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
    }
    elsewhere = {**service, "metadata": {"name": "ingress", "namespace": "other"}}
    without_selector = {"metadata": {"name": "manual", "namespace": "edge"}, "spec": {}}
    listed = {
        "Pod": [pod("ingress", "edge", "router"), pod("ingress", "edge", "router", version="1.30.0"), pod("a")],
        "Service": [service, elsewhere, without_selector],
    }
    (found,) = gateways(listed)
    assert (found["namespace"], found["name"], found["pods"], found["ready"]) == ("edge", "ingress", 2, 2)
    assert found["versions"] == ["1.30.0", "1.31.0"]
    assert [(s["name"], s["addresses"]) for s in found["services"]] == [("ingress", ["192.0.2.1"])]


class Certificate:
    """A root of which only the name counts."""

    def __init__(self, name):
        self.name = name

    def facts(self, _now):
        return {"fingerprint": self.name, "not_after": {"a": "2030", "b": "2027"}[self.name]}


def parsed(text):
    if text == "broken":
        raise MeshopsError("a certificate can't be read")
    return [Certificate(word) for word in text.split()]


def test_roots_name_the_namespaces_that_trust_them(monkeypatch):
    monkeypatch.setattr(read, "certificates", parsed)

    def config_map(where, text):
        return {"metadata": {"namespace": where}, "data": {"root-cert.pem": text}}

    found = ca({"roots": [config_map("y", "a b"), config_map("x", "a")]}, NOW)
    assert [(r["fingerprint"], r["namespaces"]) for r in found["roots"]] == [("b", ["y"]), ("a", ["x", "y"])]
    assert not found["complete"]
    assert ca({"roots": [config_map("y", "a b"), config_map("x", "b a")]}, NOW)["complete"]


def test_roots_that_cannot_be_read_hide_no_others(monkeypatch):
    monkeypatch.setattr(read, "certificates", parsed)

    def config_map(namespace, **data):
        return {"metadata": {"namespace": namespace}, "data": data or None}

    listed = [
        config_map("x", **{"root-cert.pem": "a"}),
        config_map("y", **{"root-cert.pem": "broken"}),
        config_map("z"),
    ]
    found = ca({"roots": listed}, NOW)
    assert [root["namespaces"] for root in found["roots"]] == [["x"]]
    assert not found["complete"]
    assert found["unreadable"] == [
        {"namespace": "y", "reason": "a certificate can't be read"},
        {"namespace": "z", "reason": "it holds no certificate"},
    ]
    wrong = [(finding["severity"], finding["about"]) for finding in findings({"ca": {**found, "roots": []}})]
    assert wrong == [("error", f"ConfigMap {namespace}/istio-ca-root-cert") for namespace in "yz"]


def test_namespaces_follow_tags_and_count_their_pods():
    listed = {
        "istiod": [istiod("canary", "1.31.1")],
        "webhook": [tag("prod", "canary"), tag("default", "canary")],
        "Pod": [
            pod("a", revision="canary"),
            plain_pod("b"),
            plain_pod("z", "ztown", **{"ambient.istio.io/redirection": "enabled"}),
        ],
        "Namespace": [
            namespace("shop", istio__io="x", **{"istio.io/rev": "prod"}),
            namespace("legacy", **{"istio-injection": "enabled"}),
            namespace("off", **{"istio-injection": "disabled", "istio.io/rev": "prod"}),
            namespace("ztown", **{"istio.io/dataplane-mode": "ambient"}),
            namespace("plain"),
        ],
    }
    found = {n["name"]: n for n in namespaces(listed)}
    assert set(found) == {"shop", "legacy", "ztown"}
    shop = found["shop"]
    assert (shop["mode"], shop["revision"], shop["tag"]) == ("sidecar", "canary", "prod")
    assert (shop["pods"], shop["sidecars"], shop["outdated"]) == (2, 1, 1)
    assert found["legacy"]["revision"] == "canary"
    assert (found["ztown"]["mode"], found["ztown"]["ambient"]) == ("ambient", 1)


def test_each_kind_is_listed_once():
    class Cluster:
        concurrency = 4

        def __init__(self):
            self.listed = []

        def list(self, kind, **narrowed):
            self.listed.append(kind.kind)
            return []

    cluster = Cluster()
    report = read_mesh(cluster, ["control_planes", "proxies", "gateways", "ca", "namespaces"])
    assert sorted(cluster.listed) == sorted(set(cluster.listed))
    assert len(cluster.listed) == 6
    assert set(report) == {"control_planes", "tags", "proxies", "proxy_versions", "gateways", "ca", "namespaces"}
    cluster = Cluster()
    assert set(read_mesh(cluster, ["ca"])) == {"ca"}
    assert cluster.listed == ["ConfigMap"]


@pytest.mark.parametrize(
    ("control_plane", "tag", "annotations", "outdated"),
    [
        ("1.31.0", "1.31.0-fips", {}, False),
        ("1.31.0-hotfix1", "1.31.0", {}, False),
        ("1.31.0", "1.31.0-ubi9", {}, False),
        ("1.31.0", "1.30.2-fips", {}, True),
        ("1.31.0", "1.30.0", {"sidecar.istio.io/proxyImage": "istio/proxyv2:1.30.0"}, False),
        ("latest", "1.31.0", {}, False),
        ("1.31.0", "latest", {}, False),
    ],
)
def test_only_numbers_of_versions_are_compared(control_plane, tag, annotations, outdated):
    own = pod("a", version=tag)
    own["metadata"]["annotations"] = {**(own["metadata"].get("annotations") or {}), **annotations}
    (proxy,) = proxies({"istiod": [istiod("default", control_plane)], "Pod": [own]})
    assert proxy["outdated"] is outdated
