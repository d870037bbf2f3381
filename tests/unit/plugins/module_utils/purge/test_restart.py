# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A workload's restart without its sidecar, on an API server in memory."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.footprint.item import Item, Key, Scope
from ansible_collections.meshops.istio.plugins.module_utils.purge.deletion import Deletions
from ansible_collections.meshops.istio.plugins.module_utils.purge.restart import restart_patch, restart_without_sidecar
from fakes.api_server import ApiServer
from fakes.objects import obj

ITEM = Item(
    "sidecars", "restart", "apps/v1", "Deployment", "shop", "web", (),
    (Key(Scope.TEMPLATE_LABEL, "sidecar.istio.io/inject"), Key(Scope.TEMPLATE_ANNOTATION, "prometheus.istio.io/x")),
)  # fmt: skip
READY = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}


def deployment(**status):
    labels = {"app": "web", "sidecar.istio.io/inject": "true"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "app"}]}}
    live = obj("Deployment", "web", replicas=1, selector={"matchLabels": {"app": "web"}}, template=template)
    live["metadata"]["generation"] = 1
    return {**live, "status": {**READY, **status}}


def pod(template, *, sidecar):
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"web-{template}", "controller": True, "uid": "1"}
    annotations = {"sidecar.istio.io/status": '{"containers":["istio-proxy"]}'} if sidecar else {}
    made = obj("Pod", f"web-{template}-x", labels={"app": "web", "pod-template-hash": template},
               annotations=annotations, ownerReferences=[owner])  # fmt: skip
    names = ["app", "istio-proxy"] if sidecar else ["app"]
    made["spec"] = {"containers": [{"name": name, "image": "i"} for name in names]}
    return {**made, "status": {"phase": "Running"}}


def restart(server, timeout=5):
    return restart_without_sidecar(Deletions(server, 5, 0, [], hurry=False), ITEM, timeout)


@pytest.fixture
def server():
    """An API server whose Deployments replace their pods as soon as they are patched."""
    found = ApiServer([deployment(), pod("old", sidecar=True)])

    def controller(request):
        live = found.find("Deployment", "web", "shop")
        if request.method != "GET" or "restartedAt" not in str(live["spec"]["template"]["metadata"]):
            return
        if live["status"]["observedGeneration"] != live["metadata"]["generation"]:
            found.put({**live, "status": {**live["status"], "observedGeneration": live["metadata"]["generation"]}})
            found.put(pod("new", sidecar=False))
            found.request("DELETE", "/api/v1/namespaces/shop/pods/web-old-x")

    found.on_request(controller)
    return found


def test_pods_come_without_a_sidecar_and_the_keys_are_gone(server):
    assert restart(server) == []
    assert server.all("Pod") == ["Pod shop/web-new-x"]
    meta = server.find("Deployment", "web", "shop")["spec"]["template"]["metadata"]
    assert meta["labels"] == {"app": "web"}
    assert list(meta["annotations"]) == ["kubectl.kubernetes.io/restartedAt"]


def test_a_workload_without_sidecars_is_left_alone():
    server = ApiServer([deployment(), pod("new", sidecar=False)])
    assert restart(server) == []
    assert server.writes == []


def test_a_workload_that_is_gone_needs_nothing():
    assert restart(ApiServer()) == []


def test_a_workload_that_does_not_become_ready_is_named(server):
    server.put(deployment(readyReplicas=0, availableReplicas=0))
    with pytest.raises(MeshopsError, match=r"Deployment shop/web: restart without sidecar failed \(Timeout\)"):
        restart(server, timeout=0.3)


def test_the_patch_restarts_as_kubectl_does_and_removes_istios_keys():
    meta = restart_patch(ITEM)["spec"]["template"]["metadata"]
    assert meta["labels"] == {"sidecar.istio.io/inject": None}
    assert meta["annotations"]["prometheus.istio.io/x"] is None
    assert meta["annotations"]["kubectl.kubernetes.io/restartedAt"].endswith("Z")
