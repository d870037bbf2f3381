# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Modules that run from the collection's folder give what they give where Ansible packs them."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN

BIN = pathlib.Path(sys.executable).parent
FOLDER = "from the collection's folder"


def rule(namespace: str, **spec: object) -> dict:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "a", "namespace": namespace},
        "spec": {"host": "a", **spec},
    }


@pytest.fixture
def results(kubeconfig, tmp_path):
    """Runs tasks with an interpreter; gives their results, and what ansible-playbook printed."""

    def run(interpreter: str, tasks: list[dict], *words: str) -> tuple[dict, str]:
        out = tmp_path / "results.json"
        named = [{**task, "register": f"r{number}", "ignore_errors": True} for number, task in enumerate(tasks)]
        registered = ", ".join(f"r{number}=r{number}" for number in range(len(tasks)))
        shown = "{{ dict(" + registered + ") | to_json }}"
        copy = {"ansible.builtin.copy": {"content": shown, "dest": str(out)}, "check_mode": False}
        play = {"hosts": "all", "gather_facts": False, "environment": {"K8S_AUTH_KUBECONFIG": kubeconfig}}
        (tmp_path / "play.yml").write_text(json.dumps([{**play, "tasks": [*named, copy]}]))
        host = {"ansible_connection": "local", "ansible_python_interpreter": interpreter}
        (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": {"here": host}}}))
        command = [BIN / "ansible-playbook", "-i", "hosts.json", "play.yml", "-vvv", *words]
        environment = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(out.read_text()), done.stdout

    return run


@pytest.fixture
def another(tmp_path):
    """The same Python by another name: Ansible packs modules for it."""
    path = tmp_path / "another-python"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    path.chmod(0o755)
    return str(path)


def test_results_are_those_of_a_packed_module(results, another, namespace):
    module = "meshops.istio.mesh_objects"
    tasks = [
        {module: {"objects": [rule(namespace)]}, "check_mode": True, "diff": True},
        {module: {"objects": [rule(namespace, host=5)]}},
        {module: {"objects": [rule(namespace)], "surprise": 1}},
        {module: {"objects": [rule(namespace)]}, "no_log": True, "check_mode": True},
        {"meshops.istio.destination_rule": {"name": "a", "namespace": namespace, "state": "absent"}},
        {"meshops.istio.mesh_info": {}},
    ]
    packed, shown = results(another, tasks)
    assert FOLDER not in shown
    here, shown = results(sys.executable, tasks)
    assert shown.count(FOLDER) == len(tasks)
    assert here["r0"]["changed"] is True
    assert [here[f"r{n}"].get("failed", False) for n in range(6)] == [False, True, True, False, False, False]
    assert "the output has been hidden due to the fact that 'no_log: true'" in shown
    for number in range(6):
        assert _comparable(here[f"r{number}"]) == _comparable(packed[f"r{number}"])


def _comparable(result: dict) -> dict:
    """A result without times and traces."""
    return {key: value for key, value in result.items() if key not in ("exception", "generated_at", "invocation")}


def test_what_a_module_changes_is_there_afterwards(results, cluster, namespace):
    results(sys.executable, [{"meshops.istio.mesh_objects": {"objects": [rule(namespace)]}}])
    assert cluster.get(KNOWN["networking.istio.io", "DestinationRule"], "a", namespace)["spec"] == {"host": "a"}
