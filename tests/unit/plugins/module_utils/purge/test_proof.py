# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The proof after a purge, on an API server in memory."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.purge import proof
from fakes.api_server import ApiServer
from fakes.objects import obj

ANSWER = {"phase": "Running"}


@pytest.fixture
def server():
    """An API server whose pods run as soon as they are created."""
    found = ApiServer([obj("Namespace", "shop", None), obj("Namespace", "default", None)])

    def kubelet(request):
        if request.method == "GET" and request.kind and request.kind.kind == "Pod" and request.name:
            live = found.find("Pod", request.name, request.namespace)
            if live and not live.get("status"):
                found.put({**live, "status": ANSWER, "spec": {**live["spec"], "nodeName": "node-1"}})

    found.on_request(kubelet)
    return found


def prove(server, *namespaces, mesh_objects=False):
    return proof.prove(server, namespaces, "pause", 1, mesh_objects=mesh_objects)


def test_a_pod_starts_and_is_removed_again(server):
    assert prove(server, "shop") == [
        "a ConfigMap can be created in namespace shop",
        "a Pod can be created in namespace shop",
        "a new pod started in namespace shop on node node-1, without a sidecar",
    ]
    assert server.all("Pod", "ConfigMap") == []


def test_without_a_namespace_no_pod_is_started(server):
    shown = prove(server, "gone")
    assert "a Pod can be created in namespace default" in shown
    assert not [line for line in shown if "started" in line]


def test_the_mesh_api_is_tried_where_it_stays(server):
    assert "a Sidecar can be created in namespace shop" in prove(server, "shop", mesh_objects=True)


def test_a_pod_that_still_gets_a_sidecar_fails_the_proof(server):
    def inject(request):
        if request.method == "POST" and request.kind.kind == "Pod":
            request.body["spec"]["containers"].append({"name": "istio-proxy", "image": "proxyv2"})
            request.body["metadata"]["annotations"] = {"sidecar.istio.io/status": '{"containers":["istio-proxy"]}'}

    server.on_request(inject)
    with pytest.raises(MeshopsError, match="sidecar is still injected after the purge"):
        prove(server, "shop")
    assert server.all("Pod") == []


def refuse_pods(server, status, message):
    def refusal(request):
        is_pod = request.method == "POST" and request.kind.kind == "Pod"
        return ApiError(message, status=status) if is_pod else None

    server.refuse(refusal)


def test_a_users_own_rules_may_refuse_the_pod(server):
    refuse_pods(server, 403, 'pods "x" is forbidden: exceeded quota: none')
    assert prove(server, "shop")[-1].startswith("a Pod in namespace shop is refused by its own rules: ")


@pytest.mark.parametrize("status", [400, 500])
def test_a_webhook_that_was_left_fails_the_proof(server, status):
    refuse_pods(server, status, 'failed calling webhook "rev.namespace.sidecar-injector.istio.io"')
    with pytest.raises(MeshopsError, match="Pod in namespace shop: creation failed after the purge"):
        prove(server, "shop")


def test_a_pod_that_does_not_start_is_named_with_the_reason(server, monkeypatch):
    condition = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}
    monkeypatch.setitem(ANSWER, "phase", "Pending")
    monkeypatch.setitem(ANSWER, "conditions", [condition])
    with pytest.raises(MeshopsError, match=r"not started 1 s after the purge \(Timeout\): 0/1 nodes are available"):
        prove(server, "shop")
    assert server.all("Pod") == []


@pytest.mark.parametrize(
    ("status", "started"),
    [
        ({"phase": "Running"}, True),
        ({"phase": "Succeeded"}, True),
        ({"podIP": "10.0.0.1", "containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]}, True),
        ({"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]}, False),
        ({"podIP": "10.0.0.1", "containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}, False),
        ({}, False),
    ],
)
def test_a_pod_has_started_when_only_its_image_is_missing(status, started):
    assert proof.has_started({"status": status}) is started
