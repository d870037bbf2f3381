# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Istio's CNI plugin on kind: no container of a pod in the mesh may change the network; and without it again."""

from __future__ import annotations

import json

from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.cluster.workloads import restart
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.readiness import unready

DAEMON_SET = KNOWN["apps", "DaemonSet"]


def capabilities(mesh) -> set[str]:
    """What the containers of a client that was made just now may do beyond what every container may."""
    workload = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "client", "namespace": "demo"}}
    restart(mesh.cluster, workload, unready, 180)
    spec = mesh.pods("demo", "app=client")[0]["spec"]
    contexts = [c.get("securityContext") or {} for c in [*spec["initContainers"], *spec["containers"]]]
    return {name for context in contexts for name in (context.get("capabilities") or {}).get("add") or ()}


def identities(mesh) -> str:
    said = mesh.execute("demo", "app=client", "probe", "get", "-n", "1", "http://echo/", container="client")
    return json.loads(said)["first"]["body"]["client_certificate"]


def test_with_the_plugin_no_pod_may_change_the_network(mesh):
    assert capabilities(mesh) == {"NET_ADMIN", "NET_RAW"}
    try:
        mesh.play("site", "-e", json.dumps({"control_plane_cni": True}))
        assert mesh.cluster.get(DAEMON_SET, "istio-cni-node", "istio-system")
        assert capabilities(mesh) == set()
        assert "URI=spiffe://cluster.local/ns/demo/sa/client" in identities(mesh)
        assert mesh.play("site", "-e", json.dumps({"control_plane_cni": True})).count("changed") == 0
    finally:
        mesh.play("site", "-e", json.dumps({"control_plane_cni": False}))
    assert mesh.cluster.get(DAEMON_SET, "istio-cni-node", "istio-system") is None
    assert capabilities(mesh) == {"NET_ADMIN", "NET_RAW"}
    assert "URI=spiffe://cluster.local/ns/demo/sa/client" in identities(mesh)
    assert mesh.play("site").count("changed") == 0
