# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Clusters for the stories: one mesh that they share, and one of its own for a story that takes the mesh apart.

MESHOPS_CLUSTER names a running lab cluster to use for all of it, which then is left running.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import subprocess
import urllib.error
import urllib.request

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.client import Cluster
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN

ROOT = pathlib.Path(__file__).parents[2]
BIN = ROOT / ".venv/bin"
INVENTORY = ROOT / "playbooks/inventory/demo"
ARTIFACTS = ROOT / ".cache/artifacts"


class Run:
    """What a playbook did.

    :ivar code: ansible-playbook's return code
    :ivar text: all that it printed
    """

    def __init__(self, done: subprocess.CompletedProcess) -> None:
        self.code = done.returncode
        self.text = done.stdout + done.stderr

    def count(self, word: str) -> int:
        """A number out of the recap, over all hosts: changed, failed, ok, ..."""
        recap = self.text.partition("PLAY RECAP")[2]
        return sum(int(number) for number in re.findall(rf"\b{word}=(\d+)", recap))


class Mesh:
    """A mesh in a lab cluster.

    :ivar env: the environment of `lab env`
    :ivar kubeconfig: path
    :ivar cluster: the collection's own client
    """

    def __init__(self, env: dict[str, str]) -> None:
        # Ansible's own settings of whoever runs the tests don't count here.
        self.env = {key: value for key, value in env.items() if not key.startswith("ANSIBLE_")}
        self.env["PATH"] = f"{BIN}:{self.env['PATH']}"
        self.kubeconfig = env["KUBECONFIG"]
        self.cluster = Cluster({"kubeconfig": self.kubeconfig})

    def play(
        self, playbook: str, *options: str, fails: bool = False, inventory: object = INVENTORY, timeout: float = 800
    ) -> Run:
        """Run a playbook (a name in playbooks/, or a path) as a user does, on the demo's inventory."""
        path = ROOT / "playbooks" / f"{playbook}.yml"
        command = [BIN / "ansible-playbook", path if path.exists() else playbook, "-i", inventory, *options]
        run = Run(
            subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=timeout, env=self.env, cwd=ROOT
            )
        )
        assert (run.code != 0) == fails, run.text
        return run

    def pods(self, namespace: str, selector: str) -> list[dict]:
        """The running pods, the ones that are going excepted."""
        found = self.cluster.list(KNOWN["", "Pod"], namespace, labels=selector)
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def execute(
        self, namespace: str, selector: str, *command: str, container: str | None = None, timeout: float = 120
    ) -> str:
        """Run a command in the first pod that the selector names."""
        pod = self.pods(namespace, selector)[0]["metadata"]["name"]
        return self.cluster.execute(namespace, pod, command, container=container, timeout=timeout)

    def ingress(self, path: str = "/", host: str | None = None, timeout: float = 20) -> tuple[int, str]:
        """Ask the ingress gateway from 127.0.0.1: status and body."""
        request = urllib.request.Request(
            f"http://{self.env['LAB_INGRESS_HTTP']}{path}", headers={"Host": host} if host else {}
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


_shared = contextlib.ExitStack()


@pytest.fixture(scope="session")
def mesh(lab) -> Mesh:
    """The mesh of the demo, installed by site.yml; stories that use it leave it as it was."""
    with _shared:
        mesh = Mesh(_shared.enter_context(lab.cluster(os.environ.get("MESHOPS_CLUSTER", "e2e"))))
        try:
            mesh.play("site")
        except BaseException:
            write_state("site", mesh.env)
            raise
        yield mesh


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item, nextitem):
    """The shared cluster goes with the last story that uses it: those that come then have clusters of their own."""
    if "mesh" in item.fixturenames and "mesh" not in getattr(nextitem, "fixturenames", ()):
        _shared.close()


@pytest.fixture(scope="module")
def own_cluster(lab, request):
    """An empty cluster for one file of stories. Its environment is in os.environ as well, and so for all subprocesses.

    With `pytestmark = pytest.mark.previous` the older Istio's images are in it too (LAB_PREVIOUS_CHARTS, _TAG).
    """
    name = os.environ.get("MESHOPS_CLUSTER") or f"e2e-{request.path.stem.removeprefix('test_').replace('_', '-')}"
    older = ["--previous"] if request.node.get_closest_marker("previous") else []
    with lab.cluster(name, *older) as env, pytest.MonkeyPatch.context() as patch:
        for key, value in env.items():
            patch.setenv(key, value)
        yield env


@pytest.fixture(scope="module")
def own_mesh(own_cluster) -> Mesh:
    """The empty cluster, for stories that make it a mesh of their own kind."""
    return Mesh(own_cluster)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed and call.when in ("setup", "call"):
        found = item.funcargs.get("mesh") or item.funcargs.get("own_cluster")
        env = found.env if isinstance(found, Mesh) else found
        if env:
            place = write_state(re.sub(r"\W+", "-", item.nodeid), env)
            report.sections.append(("state of the cluster", f"written to {place}"))
    return report


def write_state(name: str, env: dict[str, str]) -> pathlib.Path:
    """Pods, events and logs of a cluster, into files below .cache/artifacts."""
    place = ARTIFACTS / name
    place.mkdir(parents=True, exist_ok=True)
    for file, command in {
        "pods": "get pods -A -o wide",
        "events": "get events -A --sort-by=.lastTimestamp",
        "describe": "describe pods -A",
        "routes": "get gateways.networking.istio.io,virtualservices,destinationrules,peerauthentications -A -o yaml",
        "webhooks": "get mutatingwebhookconfigurations,validatingwebhookconfigurations -o yaml",
        "istiod": "logs -n istio-system -l app=istiod --tail=2000 --prefix",
    }.items():
        with (place / f"{file}.txt").open("w") as stream, contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                ["kubectl", *command.split()], stdout=stream, stderr=stream, env=env, check=False, timeout=60
            )
    return place
