# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The reading of a pod, as every room takes it."""

from __future__ import annotations

import datetime
import json

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.mesh import pods

STARTED = datetime.datetime(2026, 11, 1, tzinfo=datetime.timezone.utc)
STATUS = "sidecar.istio.io/status"


def pod(arguments=("proxy", "sidecar"), labels=None, annotations=None, env=(), own=("web",), native=True):
    proxy = {
        "name": "istio-proxy",
        "image": "hub.test/proxyv2:1.31.0",
        "args": list(arguments),
        "env": [{"name": name, "value": value} for name, value in env],
    }
    mine = [{"name": name, "image": "app:1"} for name in own]
    spec = {"containers": mine, "initContainers": [proxy]} if native else {"containers": [*mine, proxy]}
    running = {"state": {"running": {"startedAt": "2026-11-01T00:00:00Z"}}, "restartCount": 2, "name": "istio-proxy"}
    return {
        "metadata": {
            "name": "web-6d5f-x",
            "namespace": "app",
            "uid": "u1",
            "labels": {"pod-template-hash": "6d5f", **(labels or {})},
            "annotations": annotations or {},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-6d5f", "controller": True}],
        },
        "spec": spec,
        "status": {"conditions": [{"type": "Ready", "status": "True"}], "initContainerStatuses": [running]},
    }


def plain(labels=None, annotations=None):
    meta = {"name": "plain", "namespace": "app", "labels": labels or {}, "annotations": annotations or {}}
    return {"metadata": meta, "spec": {"containers": [{"name": "web"}]}}


def test_describe_proxy_reads_what_the_pod_says():
    env = [("PROXY_CONFIG_XDS_AGENT", "true"), ("CA_ADDR", "istiod-canary.mesh.svc:15012")]
    found = pods.describe_proxy(pod(env=env, annotations={STATUS: json.dumps({"revision": "canary"})}))
    assert found == {
        "namespace": "app",
        "pod": "web-6d5f-x",
        "kind": "sidecar",
        "control_plane": "mesh",
        "owner": "Deployment/web",
        "revision": "canary",
        "version": "1.31.0",
        "push": True,
        "running": True,
        "ready": True,
        "generation": "u1/2",
        "started": STARTED,
    }
    assert not pods.describe_proxy(pod())["push"]


@pytest.mark.parametrize(
    ("argument", "kind"),
    [("sidecar", "sidecar"), ("router", "gateway"), ("waypoint", "waypoint"), ("ztunnel", "ztunnel")],
)
def test_proxy_kind_is_the_proxys_own_argument(argument, kind):
    assert pods.proxy_kind(pod(("proxy", argument))) == kind
    assert pods.proxy_kind(pod(("proxy", argument, "--domain", "router"))) == kind


def test_proxy_kind_ignores_labels_that_anybody_may_set():
    assert pods.proxy_kind(pod(labels={"app": "ztunnel"})) == "sidecar"
    assert pods.proxy_kind(plain({"app": "ztunnel"})) is None


def test_has_sidecar_needs_a_container_of_its_own():
    assert pods.has_sidecar(pod()) and pods.has_sidecar(pod(native=False))
    assert not pods.has_sidecar(pod(own=(), native=False))
    assert not pods.has_sidecar(plain())
    gateway = pod(("proxy", "router"), own=("telemetry",), native=False)
    assert pods.is_gateway(gateway) and not pods.has_sidecar(gateway) and not pods.is_gateway(pod())


def test_has_proxy_and_was_injected_look_at_different_marks():
    assert pods.has_proxy(pod()) and not pods.was_injected(pod())
    injected = plain(annotations={STATUS: "{}"})
    assert pods.was_injected(injected) and not pods.has_proxy(injected)


@pytest.mark.parametrize(
    ("found", "revision"),
    [
        (pod(annotations={STATUS: '{"revision":"1-31"}'}), "1-31"),
        (pod(labels={"istio.io/rev": "stable"}, annotations={STATUS: '{"revision":"1-31"}'}), "1-31"),
        (pod(annotations={STATUS: '{"revision":"1-31"}', "istio.io/rev": "old"}), "1-31"),
        (pod(labels={"istio.io/rev": "tag"}, annotations={STATUS: "{}", "istio.io/rev": "1-9"}), "1-9"),
        (pod(labels={"istio.io/rev": "tag"}, annotations={STATUS: "not JSON"}), "default"),
        (pod(annotations={STATUS: '["revision"]'}), "default"),
        (pod(annotations={STATUS: '{"revision":{}}'}), "default"),
        (pod(("proxy", "waypoint"), labels={"istio.io/rev": "1-31"}), "1-31"),
        (pod(("proxy", "ztunnel"), annotations={"istio.io/rev": "1-31"}), "1-31"),
        (pod(), "default"),
        (plain(), ""),
        (plain({"istio.io/rev": "1-31"}), ""),
    ],
)
def test_revision_of_a_pod(found, revision):
    assert pods.revision_of(found) == revision


def test_revision_of_istiod_is_its_environment():
    discovery = {"name": "discovery", "env": [{"name": "REVISION", "value": "1-31"}]}
    istiod = plain({"istio.io/rev": "other"}) | {"spec": {"containers": [discovery]}}
    assert pods.revision_of_istiod(istiod) == "1-31"
    assert pods.revision_of_istiod(plain()) == "default"


@pytest.mark.parametrize(
    ("address", "namespace"),
    [
        ("istiod-canary.mesh.svc:15012", "mesh"),
        ("https://istiod.mesh.svc.cluster.local:15012", "mesh"),
        ("ca.example.test:443", ""),
        ("", ""),
    ],
)
def test_control_plane_namespace_comes_from_the_ca_address(address, namespace):
    assert pods.control_plane_namespace(pod(env=[("CA_ADDR", address)])) == namespace


def test_owner_of_a_replica_sets_pod_is_the_deployment():
    assert pods.owner_of(pod()) == ("Deployment", "web")
    assert str(pods.owner_of(pod())) == "Deployment/web"
    named = pod()
    named["metadata"]["ownerReferences"] = [{"kind": "ReplicaSet", "name": "by-hand", "controller": True}]
    assert pods.owner_of(named) == ("ReplicaSet", "by-hand")
    assert pods.owner_of(plain()) is None


def test_injected_pods_are_live_members_of_the_mesh():
    member, ambient = plain(annotations={STATUS: "{}"}), plain(annotations={"ambient.istio.io/redirection": "enabled"})
    assert pods.injected(member) and pods.injected(ambient) and not pods.injected(plain())
    ended = member | {"status": {"phase": "Succeeded"}}
    ending = member | {"metadata": {**member["metadata"], "deletionTimestamp": "2026-11-01T00:00:00Z"}}
    assert not pods.injected(ended) and not pods.injected(ending)


def test_templates_of_workloads():
    def workload(image="auto", templates="gateway", kind="Deployment"):
        meta = {"annotations": {"inject.istio.io/templates": templates}}
        spec = {"containers": [{"name": "istio-proxy", "image": image}]}
        return {"kind": kind, "spec": {"template": {"metadata": meta, "spec": spec}}}

    assert pods.gateway_template(workload()) and pods.gateway_template(workload(templates="a, gateway"))
    assert not pods.gateway_template(workload(image="proxyv2:1")) and not pods.gateway_template(workload(kind="Job"))
    assert not pods.gateway_template(workload(templates="sidecar"))
    assert pods.template_has_proxy(workload()) and not pods.template_has_proxy({"spec": {}})
