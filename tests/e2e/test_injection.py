# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Workloads that ran before their namespace came into the mesh."""

from __future__ import annotations

import json

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.cluster.workloads import wait_ready
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.readiness import unready

NAMESPACE = KNOWN["", "Namespace"]


def workload(mesh, name: str, **labels: str) -> dict:
    labels = {"app": name, **labels}
    container = {"name": "echo", "image": mesh.env["LAB_PROBE_IMAGE"], "args": ["echo"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "older"},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


@pytest.fixture
def older(mesh):
    """A namespace with a workload, and with one that wants no sidecar."""
    mesh.cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "older"}})
    made = [workload(mesh, "plain"), workload(mesh, "outside", **{"sidecar.istio.io/inject": "false"})]
    for one in made:
        mesh.cluster.create(one)
    wait_ready(mesh.cluster, made, unready, 120)
    yield mesh
    mesh.cluster.delete(NAMESPACE, "older")


def containers(mesh, app: str) -> set[str]:
    (pod,) = mesh.pods("older", f"app={app}")
    return {c["name"] for c in [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]}


def test_what_has_no_sidecar_is_restarted_once_and_the_rest_left_alone(older, tmp_path):
    task = {"meshops.istio.injection": {"namespaces": ["older"]}}
    path = tmp_path / "play.yml"
    path.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [task]}]))
    outside = older.pods("older", "app=outside")[0]["metadata"]["uid"]

    looked = older.play(str(path), "--check", "--diff")
    assert "+++ after: Deployment older/plain" in looked.text
    assert "outside" not in looked.text
    assert containers(older, "plain") == {"echo"}

    assert older.play(str(path)).count("changed") == 1
    assert {"echo", "istio-proxy"} <= containers(older, "plain")
    assert older.pods("older", "app=outside")[0]["metadata"]["uid"] == outside
    assert older.cluster.get(NAMESPACE, "older")["metadata"]["labels"]["istio-injection"] == "enabled"
    assert older.play(str(path)).count("changed") == 0
