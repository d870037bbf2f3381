# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Releases over time: drift, what others own, runs that are killed, upgrades that fail."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import random
import signal
import subprocess
import time

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.client import PatchOptions
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.helm.stored import decode

ROOT = pathlib.Path(__file__).parents[2]
BIN = ROOT / ".venv/bin"
SECRET, NAMESPACE, CONFIG_MAP = KNOWN["", "Secret"], KNOWN["", "Namespace"], KNOWN["", "ConfigMap"]
DEPLOYMENT, SERVICE = KNOWN["apps", "Deployment"], KNOWN["", "Service"]
INJECTOR = KNOWN["admissionregistration.k8s.io", "MutatingWebhookConfiguration"]
VALIDATOR = KNOWN["admissionregistration.k8s.io", "ValidatingWebhookConfiguration"]
SCALER = KNOWN["autoscaling", "HorizontalPodAutoscaler"]


def records(mesh, namespace: str, name: str) -> dict[int, str]:
    """Revision to status, of all of a release's records."""
    found = [decode(s) for s in mesh.cluster.list(SECRET, namespace, labels=f"owner=helm,name={name}")]
    return {one.revision: one.status for one in found}


def playbook(path: pathlib.Path, **module) -> str:
    path.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [module]}]))
    return str(path)


# -- drift --------------------------------------------------------------------


def add_by_kubectl(cluster) -> None:
    """What the charts don't declare: a key in a selector, an environment variable, a webhook."""
    cluster.patch(
        SERVICE, "istiod", {"spec": {"selector": {"added": "1"}}}, "istio-system", PatchOptions(manager="kubectl-patch")
    )
    container = {"name": "discovery", "env": [{"name": "ADDED", "value": "1"}]}
    change = {"spec": {"template": {"spec": {"containers": [container]}}}}
    cluster.patch(DEPLOYMENT, "istiod", change, "istio-system", PatchOptions(how="strategic", manager="kubectl-edit"))
    webhook = {
        "name": "added.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "failurePolicy": "Ignore",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    change = {"webhooks": [webhook]}
    cluster.patch(
        INJECTOR, "istio-sidecar-injector", change, options=PatchOptions(how="strategic", manager="kubectl-edit")
    )


def test_drift_is_repaired_without_a_new_revision(mesh):
    before = records(mesh, "istio-system", "istiod")
    role = KNOWN["rbac.authorization.k8s.io", "ClusterRole"]
    mesh.cluster.delete(role, "istio-reader-clusterrole-istio-system")
    mesh.cluster.patch(CONFIG_MAP, "istio", {"data": {"mesh": "accessLogFile: /tmp/elsewhere\n"}}, "istio-system")
    container = {"name": "discovery", "env": [{"name": "PILOT_TRACE_SAMPLING", "value": "7"}]}
    change = {"spec": {"template": {"spec": {"containers": [container]}}}}
    mesh.cluster.patch(DEPLOYMENT, "istiod", change, "istio-system", PatchOptions(how="strategic"))
    add_by_kubectl(mesh.cluster)
    looked = mesh.play("site", "--check", "--diff")
    assert looked.count("changed") == 1
    for name in (
        "ClusterRole istio-reader-clusterrole-istio-system",
        "ConfigMap istio-system/istio",
        "Deployment istio-system/istiod",
        "MutatingWebhookConfiguration istio-sidecar-injector",
        "Service istio-system/istiod",
    ):
        assert f"+++ after: {name}" in looked.text

    assert mesh.play("site").count("changed") == 1
    assert mesh.cluster.get(role, "istio-reader-clusterrole-istio-system")
    assert "accessLogFile: /dev/stdout" in mesh.cluster.get(CONFIG_MAP, "istio", "istio-system")["data"]["mesh"]
    (container,) = mesh.cluster.get(DEPLOYMENT, "istiod", "istio-system")["spec"]["template"]["spec"]["containers"]
    assert {"name": "PILOT_TRACE_SAMPLING", "value": "100"} in container["env"]
    assert "ADDED" not in [one["name"] for one in container["env"]]
    assert "added" not in mesh.cluster.get(SERVICE, "istiod", "istio-system")["spec"]["selector"]
    webhooks = mesh.cluster.get(INJECTOR, "istio-sidecar-injector")["webhooks"]
    assert "added.example.com" not in [one["name"] for one in webhooks]
    assert records(mesh, "istio-system", "istiod") == before
    assert mesh.play("site").count("changed") == 0


def test_what_istiod_writes_into_its_webhooks_stays(mesh):
    def written():
        webhook = mesh.cluster.get(VALIDATOR, "istio-validator-istio-system")["webhooks"][0]
        return webhook["failurePolicy"], bool(webhook["clientConfig"].get("caBundle"))

    assert written() == ("Fail", True)
    assert mesh.play("site").count("changed") == 0
    assert written() == ("Fail", True)


def test_replicas_belong_to_the_autoscaler(mesh):
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "echo-v2", "namespace": "demo"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "echo-v2"},
            "minReplicas": 2,
            "maxReplicas": 2,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
                }
            ],
        },
    }
    mesh.cluster.create(scaler)
    try:
        end = time.monotonic() + 120
        while mesh.cluster.get(DEPLOYMENT, "echo-v2", "demo")["spec"]["replicas"] != 2:
            assert time.monotonic() < end
            time.sleep(1)
        assert mesh.play("site").count("changed") == 0
        assert mesh.cluster.get(DEPLOYMENT, "echo-v2", "demo")["spec"]["replicas"] == 2
    finally:
        mesh.cluster.delete(SCALER, "echo-v2", "demo")
    assert mesh.play("site").count("changed") == 1
    assert mesh.cluster.get(DEPLOYMENT, "echo-v2", "demo")["spec"]["replicas"] == 1


# -- going back ---------------------------------------------------------------


@pytest.fixture
def small(mesh, tmp_path):
    """A release of the probe's chart, in a namespace of its own."""

    def play(fails: bool = False, **values):
        values = {"image": mesh.env["LAB_PROBE_IMAGE"], "client": {"enabled": False}, **values}
        release = {"name": "small", "namespace": "small", "chart": str(ROOT / "charts/probe"), "values": values}
        options = {"atomic": True, "releases": [release]}
        return mesh.play(playbook(tmp_path / "play.yml", **{"meshops.istio.releases": options}), fails=fails)

    yield play
    mesh.cluster.delete(NAMESPACE, "small")


def test_an_upgrade_that_fails_is_taken_back(mesh, small):
    small()
    run = small(fails=True, image="localhost/no/such:image")
    assert "image localhost/no/such:image: ImagePullBackOff" in run.text
    assert "Release small has been rolled back to revision 1" in run.text
    (container,) = mesh.cluster.get(DEPLOYMENT, "echo-v1", "small")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == mesh.env["LAB_PROBE_IMAGE"]
    assert records(mesh, "small", "small") == {1: "superseded", 2: "superseded", 3: "deployed"}
    assert small().count("changed") == 0


def test_a_patch_is_part_of_the_release(mesh, tmp_path):
    """With both Helms: the post-renderer, a change of the patch, and no change after it."""
    for helm in ("LAB_HELM3", "LAB_HELM4"):
        namespace = helm.lower().replace("_", "-")
        folder = tmp_path / namespace
        folder.mkdir()
        (folder / "helm").symlink_to(mesh.env[helm])

        def play(value, namespace=namespace, folder=folder):
            release = {
                "name": "patched",
                "namespace": namespace,
                "chart": str(ROOT / "charts/probe"),
                "values": {
                    "image": mesh.env["LAB_PROBE_IMAGE"],
                    "echo": {"versions": ["v1"]},
                    "client": {"enabled": False},
                },
                "patches": [
                    {"kind": "Deployment", "name": "echo-v1", "merge": {"metadata": {"labels": {"patched": value}}}}
                ],
            }
            options = {"releases": [release]}
            task = {"meshops.istio.releases": options, "environment": {"PATH": f"{folder}:{mesh.env['PATH']}"}}
            return mesh.play(playbook(folder / "play.yml", **task)).count("changed")

        try:
            assert [play("one"), play("one"), play("two"), play("two")] == [1, 0, 1, 0]
            live = mesh.cluster.get(DEPLOYMENT, "echo-v1", namespace)
            assert live["metadata"]["labels"]["patched"] == "two"
            secrets = mesh.cluster.list(SECRET, namespace, labels="owner=helm,status=deployed")
            assert '"patched": "two"' in decode(secrets[0]).manifest
        finally:
            mesh.cluster.delete(NAMESPACE, namespace)


# -- killed runs --------------------------------------------------------------


def healthy(mesh) -> None:
    """No release of the cluster is in any other state than deployed."""
    found = [decode(s) for s in mesh.cluster.list(SECRET, labels="owner=helm,status!=superseded")]
    assert {one.status for one in found} == {"deployed"}


@pytest.mark.timeout(3600)
def test_a_killed_run_is_a_normal_event(mesh, tmp_path):
    """kill -9 at random moments of an install and of an upgrade; each time a plain second run converges.

    MESHOPS_KILLS says how many times (make soak: 10), MESHOPS_SEED makes other moments.
    """
    chance = random.Random(os.environ.get("MESHOPS_SEED", "31"))
    rounds = int(os.environ.get("MESHOPS_KILLS", "2"))

    def variables(number: int) -> str:
        values = {"istiod": {"podAnnotations": {"round": str(number)}}, "base": {"defaultRevision": "default"}}
        lab = json.loads(
            subprocess.run(
                [BIN / "ansible-inventory", "-i", "playbooks/inventory/demo", "--host", "demo"],
                capture_output=True,
                text=True,
                check=True,
                env=mesh.env,
                cwd=ROOT,
            ).stdout
        )
        for chart, more in lab["control_plane_values"].items():
            values[chart] = {**more, **values.get(chart, {})}
        return json.dumps({"control_plane_revision": "killed", "control_plane_values": values})

    role = {"ansible.builtin.include_role": {"name": "meshops.istio.control_plane"}}
    path = playbook(tmp_path / "play.yml", **role)
    command = [BIN / "ansible-playbook", path, "-i", "playbooks/inventory/demo"]
    absent = {"name": "istiod-killed", "namespace": "istio-system", "state": "absent"}
    away = playbook(tmp_path / "away.yml", **{"meshops.istio.releases": {"releases": [absent]}})
    begun = time.monotonic()
    mesh.play(path, "-e", variables(0))
    duration = time.monotonic() - begun
    try:
        for number in range(1, rounds + 1):
            if number % 2:
                mesh.play(away)  # the next is an installation, else an upgrade
            options = ["-e", variables(number)]
            run = subprocess.Popen(
                [*command, *options],
                env=mesh.env,
                cwd=ROOT,
                start_new_session=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            time.sleep(chance.uniform(0.1, 0.9) * duration)
            with contextlib.suppress(ProcessLookupError):
                if chance.random() < 0.5:
                    os.killpg(run.pid, signal.SIGKILL)  # everything, as when the machine stops
                else:
                    run.kill()  # only the playbook: what it has begun goes on for a while
            run.wait()
            mesh.play(path, *options)
            healthy(mesh)
            template = mesh.cluster.get(DEPLOYMENT, "istiod-killed", "istio-system")["spec"]["template"]
            assert template["metadata"]["annotations"]["round"] == str(number)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)  # what the killed playbook has left waiting
        assert mesh.play(path, *options).count("changed") == 0
    finally:
        mesh.play(away)
        mesh.play("site")


# -- where charts come from ---------------------------------------------------


@pytest.fixture(params=["repository", "registry"])
def elsewhere(request, lab, mesh):
    """Istio's charts in a Helm repository, and in a container registry."""
    if request.param == "repository":
        with lab.helm_repository(mesh.env["LAB_CHARTS"]) as url:
            yield url
    else:
        with lab.registry("releases") as env:
            yield env["LAB_REGISTRY_CHARTS"]


@pytest.mark.parametrize("version", ["1.31.0", None])
def test_charts_from_elsewhere_are_the_same(mesh, elsewhere, version):
    options = [
        "-e",
        f"control_plane_charts={elsewhere}",
        *(["-e", f"control_plane_version={version}"] if version else []),
    ]
    assert mesh.play("site", *options).count("changed") == 0


def test_a_version_that_is_not_there(mesh, elsewhere):
    options = ["-e", f"control_plane_charts={elsewhere}", "-e", "control_plane_version=1.2.3"]
    run = mesh.play("site", *options, fails=True)
    assert f"chart base 1.2.3 of release istio-base cannot be fetched from {elsewhere}" in run.text
