# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Istio's CNI plugin on kind: no container of a pod in the mesh may change the network; and without it again.

So with it alone the strictest of Kubernetes' own policies lets pods of the mesh pass.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.cluster.workloads import restart

DAEMON_SET, NAMESPACE = KNOWN["apps", "DaemonSet"], KNOWN["", "Namespace"]


@contextlib.contextmanager
def restricted(mesh) -> Iterator[None]:
    """Pod Security restricted, as a cluster that enforces it everywhere has it."""

    def enforce(level: str | None) -> None:
        for name in ("default", "istio-system"):
            patch = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": level}}}
            mesh.cluster.patch(NAMESPACE, name, patch)

    enforce("restricted")
    try:
        yield
    finally:
        enforce(None)


def capabilities(mesh) -> set[str]:
    """What the containers of a client that was made just now may do beyond what every container may."""
    workload = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "client", "namespace": "demo"}}
    restart(mesh.cluster, workload, 180)
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
        with restricted(mesh):
            again = mesh.play("site", "-e", json.dumps({"control_plane_cni": True}))
        assert again.count("changed") == 0
        assert "not proven" not in again.text
    finally:
        # The first run makes the pods independent of the plugin, the second removes it.
        mesh.play("site", "-e", json.dumps({"control_plane_cni": False}))
        mesh.play("site", "-e", json.dumps({"control_plane_cni": False}))
    assert mesh.cluster.get(DAEMON_SET, "istio-cni-node", "istio-system") is None
    assert capabilities(mesh) == {"NET_ADMIN", "NET_RAW"}
    assert "URI=spiffe://cluster.local/ns/demo/sa/client" in identities(mesh)
    with restricted(mesh):
        again = mesh.play("site")
    assert again.count("changed") == 0
    # Both refuse a pod that needs rights; namespace demo, which chooses the injector, is asked in their place.
    assert "not proven" not in again.text
