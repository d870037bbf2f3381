# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Workloads that ran before their namespace came into the mesh."""

from __future__ import annotations

import json
import time

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.client import DeleteOptions
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.cluster.workloads import wait_ready

NAMESPACE, POD, DEPLOYMENT = KNOWN["", "Namespace"], KNOWN["", "Pod"], KNOWN["apps", "Deployment"]


def workload(mesh, name: str, kind: str = "Deployment", annotations: dict | None = None, **labels: str) -> dict:
    labels = {"app": name, **labels}
    container = {"name": "echo", "image": mesh.env["LAB_PROBE_IMAGE"], "args": ["echo"]}
    template = {"metadata": {"labels": labels, "annotations": annotations or {}}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "older"},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template},
    }


@pytest.fixture
def older(mesh):
    """A namespace with workloads, one of which can't come up with a sidecar, and one wants none."""
    mesh.cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "older"}})
    agent = workload(mesh, "agent", "DaemonSet")
    agent["spec"]["updateStrategy"] = {"type": "OnDelete"}
    made = [
        agent,
        workload(mesh, "api"),
        workload(mesh, "broken", annotations={"sidecar.istio.io/proxyImage": "localhost/no/such:image"}),
        workload(mesh, "cart"),
        workload(mesh, "outside", **{"sidecar.istio.io/inject": "false"}),
        workload(mesh, "web"),
    ]
    for one in made:
        mesh.cluster.create(one)
    wait_ready(mesh.cluster, made, 300)
    yield mesh
    mesh.cluster.delete(NAMESPACE, "older")


def the_pod(mesh, app: str) -> dict:
    """The workload's one pod, once those before it have gone."""
    end = time.monotonic() + 120
    while len(pods := mesh.pods("older", f"app={app}")) != 1:
        assert time.monotonic() < end, [pod["metadata"]["name"] for pod in pods]
        time.sleep(0.5)
    return pods[0]


def containers(mesh, app: str) -> set[str]:
    spec = the_pod(mesh, app)["spec"]
    return {c["name"] for c in [*spec.get("initContainers", ()), *spec["containers"]]}


def ready_since(pod: dict) -> str:
    return next(c["lastTransitionTime"] for c in pod["status"]["conditions"] if c["type"] == "Ready")


def test_what_has_no_sidecar_is_restarted_one_after_the_other_and_the_rest_left_alone(older, tmp_path):
    task = {"meshops.istio.injection": {"namespaces": ["older"]}}
    path = tmp_path / "play.yml"
    path.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [task]}]))
    before = {app: the_pod(older, app)["metadata"]["uid"] for app in ("agent", "api", "cart", "outside", "web")}

    looked = older.play(str(path), "--check", "--diff")
    shown = [name for name in (*before, "broken") if f"+++ after: Deployment older/{name}" in looked.text]
    assert shown == ["api", "cart", "web", "broken"]
    assert {app: the_pod(older, app)["metadata"]["uid"] for app in before} == before

    # the first that doesn't come up ends it
    failed = older.play(str(path), fails=True)
    assert "Deployment older/broken is not ready" in failed.text
    assert "image localhost/no/such:image: " in failed.text
    assert "The workloads after it were not restarted" in failed.text
    assert {"echo", "istio-proxy"} <= containers(older, "api")
    assert containers(older, "cart") == containers(older, "web") == {"echo"}

    older.cluster.delete(DEPLOYMENT, "broken", "older")
    api = the_pod(older, "api")["metadata"]["uid"]
    assert older.play(str(path)).count("changed") == 1
    cart, web = the_pod(older, "cart"), the_pod(older, "web")
    assert {"echo", "istio-proxy"} <= containers(older, "cart") & containers(older, "web")
    assert ready_since(cart) <= web["metadata"]["creationTimestamp"]
    assert the_pod(older, "api")["metadata"]["uid"] == api
    assert the_pod(older, "outside")["metadata"]["uid"] == before["outside"]
    assert older.cluster.get(NAMESPACE, "older")["metadata"]["labels"]["istio-injection"] == "enabled"

    # what no restart replaces is told of until it is as it should be; and a quota that is used up fails nothing
    agent = the_pod(older, "agent")["metadata"]
    assert agent["uid"] == before["agent"]
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full", "namespace": "older"}}
    older.cluster.create({**quota, "spec": {"hard": {"pods": "1"}}})
    again = older.play(str(path))
    assert again.count("changed") == 0
    told = f"DaemonSet older/agent was not restarted, though pod {agent['name']} has no sidecar: its update strategy is"
    assert f"{told} OnDelete: delete its pods" in " ".join(again.text.split())
    older.cluster.delete(KNOWN["", "ResourceQuota"], "full", "older")
    older.cluster.delete(POD, agent["name"], "older", DeleteOptions(grace=0))
    assert {"echo", "istio-proxy"} <= containers(older, "agent")
    last = older.play(str(path))
    assert last.count("changed") == 0
    assert "was not restarted" not in last.text
