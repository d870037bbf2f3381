# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""site.yml where something is wrong: one plain message that names the remedy, and nothing has changed."""

from __future__ import annotations

import copy
import http.server
import json
import pathlib
import re
import threading

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN

BIN = pathlib.Path(__file__).parents[2] / ".venv/bin"
SECRET, NAMESPACE, DEPLOYMENT = KNOWN["", "Secret"], KNOWN["", "Namespace"], KNOWN["apps", "Deployment"]
CONFIG_MAP = KNOWN["", "ConfigMap"]


def state(mesh) -> dict:
    """What a run could have changed: the records of Helm, the namespaces, the workloads' specs.

    Namespaces that the story before has deleted may still be on their way out, and don't count.
    """
    namespaces = mesh.cluster.list(NAMESPACE)
    there = {n["metadata"]["name"] for n in namespaces if "deletionTimestamp" not in n["metadata"]}
    records = mesh.cluster.list(SECRET, labels="owner=helm")
    deployments = mesh.cluster.list(DEPLOYMENT)
    return {
        "records": sorted((m["namespace"], m["name"]) for r in records if (m := r["metadata"])["namespace"] in there),
        "namespaces": sorted(there),
        "workloads": {m["uid"]: m["generation"] for d in deployments if (m := d["metadata"])["namespace"] in there},
    }


def refused(mesh, *options: str, **environment: str) -> str:
    """What a run that must fail said, if it has changed nothing."""
    before = state(mesh)
    other = copy.copy(mesh)
    other.env = {**mesh.env, **environment}
    run = other.play("site", *options, fails=True)
    assert state(mesh) == before
    assert run.count("changed") == 0
    return run.text


@pytest.fixture
def old_kubernetes():
    """Something that calls itself an API server of Kubernetes 1.29, and notes what it is asked to write."""
    written = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps({"gitVersion": "v1.29.3"}).encode()
            self.send_response(200 if self.path == "/version" else 404)
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            written.append(self.path)
            self.send_error(403)

        do_PATCH = do_PUT = do_DELETE = do_POST

        def log_message(self, *_args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", written
    server.shutdown()


def kubeconfig(path, server: str) -> str:
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "x", "cluster": {"server": server}}],
                "users": [{"name": "x", "user": {}}],
                "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
                "current-context": "x",
            }
        )
    )
    return str(path)


def test_no_cluster_answers(mesh, tmp_path):
    said = refused(mesh, KUBECONFIG=kubeconfig(tmp_path / "config", "https://127.0.0.1:1"))
    assert "the API server at https://127.0.0.1:1 does not answer" in said
    assert "check that the cluster runs and that kubeconfig and context name the right one" in said


def test_no_kubeconfig(mesh, tmp_path):
    said = refused(mesh, KUBECONFIG=str(tmp_path / "nowhere"))
    assert f"no kubeconfig at {tmp_path}/nowhere" in said
    assert "set the option kubeconfig" in said


def test_wrong_context(mesh):
    said = refused(mesh, "-e", "cluster_context=elsewhere")
    assert "the kubeconfig has no context named 'elsewhere'" in said
    assert "kubectl config get-contexts" in said


def test_no_helm(mesh, tmp_path):
    for folder in mesh.env["PATH"].split(":"):
        for program in pathlib.Path(folder).glob("*"):
            here = tmp_path / program.name
            if program.name != "helm" and not here.exists() and not here.is_symlink():
                here.symlink_to(program)
    said = refused(mesh, PATH=f"{BIN}:{tmp_path}")
    assert "helm not found on the PATH (NotFound): install Helm" in said


def test_too_old_kubernetes(mesh, tmp_path, old_kubernetes):
    server, written = old_kubernetes
    said = refused(mesh, KUBECONFIG=kubeconfig(tmp_path / "config", server))
    assert "the cluster runs Kubernetes v1.29.3, and Istio 1.31.0 needs 1.32 or newer" in said
    assert written == []


def test_chart_not_found(mesh, tmp_path):
    said = refused(mesh, "-e", f"control_plane_charts={tmp_path}")
    assert f"chart istiod not found in {tmp_path} (NotFound): the folder has no charts" in said
    assert "Set charts to the folder that holds it" in said


def test_chart_version_not_found(mesh):
    said = refused(mesh, "-e", "control_plane_version=1.2.3")
    assert "chart base 1.2.3 not found" in said
    assert "base-1.31.0.tgz" in said


def test_unknown_profile(mesh):
    said = refused(mesh, "-e", "control_plane_profile=dmeo")
    assert "unknown profile 'dmeo' (did you mean demo?)" in said


def test_mistakes_in_mesh_config(mesh):
    config = {"acessLogFile": "/dev/stdout", "ingressControllerMode": False}  # what YAML makes of a bare OFF
    said = refused(mesh, "-e", json.dumps({"control_plane_mesh_config": config}))
    assert "acessLogFile: unknown field; did you mean accessLogFile?" in said
    assert "ingressControllerMode: invalid value False: must be one of " in said
    assert "put it in quotes" in said


def test_unknown_chart_in_values(mesh):
    said = refused(mesh, "-e", json.dumps({"control_plane_values": {"istoid": {}}}))
    assert "values has no chart 'istoid' (did you mean istiod?)" in said


def test_typo_in_a_gateway(mesh):
    said = refused(mesh, "-e", json.dumps({"gateways_list": [{"name": "in", "direction": "ingres"}]}))
    assert "ingres" in said
    assert "ingress" in said


def what_runs(mesh) -> dict:
    """The images of all workloads, and what istiod and its injector go by."""
    specs = {
        f"{m['namespace']}/{m['name']}": d["spec"]["template"]["spec"]
        for d in mesh.cluster.list(DEPLOYMENT)
        if (m := d["metadata"])
    }
    config = mesh.cluster.list(CONFIG_MAP, "istio-system")
    return {
        "images": {name: sorted(c["image"] for c in spec["containers"]) for name, spec in specs.items()},
        "config": {c["metadata"]["name"]: c.get("data") for c in config if "leader" not in c["metadata"]["name"]},
    }


def test_control_plane_whose_image_cannot_be_pulled(mesh):
    """It is taken back without being asked to, so that nothing injects an image that nobody can pull."""
    before = what_runs(mesh)
    run = mesh.play("site", "-e", "control_plane_tag=nosuch", fails=True)
    assert " is not ready: " in run.text and "not ready after" not in run.text, "long before the time is over"
    assert f"image {mesh.env['LAB_HUB']}/pilot:nosuch: ImagePullBackOff" in run.text
    assert "Check its name and tag (hub, tag), and that the nodes may pull it (imagePullSecrets)." in run.text
    assert "Release istiod has been rolled back to revision" in run.text
    assert what_runs(mesh) == before
    assert mesh.ingress("/")[0] == 200
    assert mesh.play("site").count("changed") == 0


def test_image_that_cannot_be_pulled(mesh, tmp_path):
    """The pod's own event, long before the five minutes are over; and the release is taken out again."""
    play = tmp_path / "play.yml"
    release = {
        "name": "unpullable",
        "namespace": "unpullable",
        "chart": str(pathlib.Path(__file__).parents[2] / "charts/probe"),
        "values": {"image": "localhost/no/such:image", "client": {"enabled": False}},
    }
    tasks = [{"meshops.istio.releases": {"atomic": True, "releases": [release]}}]
    play.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    try:
        run = mesh.play(str(play), fails=True)
        assert re.search(r"Deployment unpullable/echo-v[12] is not ready: ", run.text), "not after the five minutes"
        assert "image localhost/no/such:image: ImagePullBackOff" in run.text
        assert "Check its name and tag (hub, tag), and that the nodes may pull it (imagePullSecrets)." in run.text
        assert 'Failed to pull image \\"localhost/no/such:image\\"' in run.text
        assert "Release unpullable has been uninstalled again" in run.text
        assert mesh.cluster.list(SECRET, "unpullable", labels="owner=helm") == []
        assert mesh.cluster.list(DEPLOYMENT, "unpullable") == []
    finally:
        mesh.cluster.delete(NAMESPACE, "unpullable")
