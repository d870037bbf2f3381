# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""mesh_objects and its role as a user runs them: playbooks, files, check mode, diff."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest
import yaml

BIN = pathlib.Path(sys.executable).parent  # the environment that the tests run in
INVENTORY = """\
all:
  hosts:
    here: {ansible_connection: local, ansible_python_interpreter: "{{ ansible_playbook_python }}"}
"""


@pytest.fixture
def play(kubeconfig, tmp_path):
    """Runs tasks (or roles) and gives what ansible-playbook printed."""
    (tmp_path / "hosts.yml").write_text(INVENTORY)

    def run(*words, fails=False, **play):
        play = {"hosts": "all", "gather_facts": False, **play}
        play["module_defaults"] = {"group/meshops.istio.mesh": {"kubeconfig": kubeconfig}}
        (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
        command = [BIN / "ansible-playbook", "-i", "hosts.yml", "play.yml", *words]
        environment = {**os.environ, "ANSIBLE_NOCOLOR": "1"}
        environment.pop("KUBECONFIG", None)
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert bool(done.returncode) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def write(path, namespace, name, hosts):
    obj = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"hosts": hosts, "http": [{"route": [{"destination": {"host": name}}]}]},
    }
    with open(path, "a", encoding="utf-8") as file:
        file.write("---\n" + yaml.safe_dump(obj))


def test_files_owner_and_prune(play, namespace, tmp_path, kubectl):
    (tmp_path / "mesh").mkdir()
    for name in "abc":
        write(tmp_path / "mesh/one.yml", namespace, name, [name])
    task = {"meshops.istio.mesh_objects": {"src": [str(tmp_path / "mesh")], "owner": namespace, "prune": True}}
    assert "changed=1" in play("--check", tasks=[task])
    assert kubectl("get", "virtualservices", "-n", namespace) == ""
    assert "changed=1" in play(tasks=[task])
    assert "changed=0" in play(tasks=[task])

    (tmp_path / "mesh/one.yml").unlink()
    write(tmp_path / "mesh/two.yml", namespace, "a", ["a", "other"])
    shown = play("--diff", tasks=[task])
    assert f"--- before: VirtualService {namespace}/a\n+++ after: VirtualService {namespace}/a\n" in shown
    assert "+  - other\n" in shown
    assert f"before: VirtualService {namespace}/b\n" in shown
    assert kubectl("get", "virtualservices", "-n", namespace, "-o", "name").split() == [
        "virtualservice.networking.istio.io/a"
    ]


def test_the_role(play, namespace, tmp_path):
    write(tmp_path / "one.yml", namespace, "a", ["a"])
    variables = {"mesh_objects_src": [str(tmp_path / "one.yml")], "mesh_objects_owner": namespace}
    role = {"role": "meshops.istio.mesh_objects", **variables}
    tell = {"ansible.builtin.debug": {"msg": "created {{ mesh_objects_result.summary.created }}"}}
    assert "created 1" in play(roles=[role], tasks=[tell])
    assert "changed=0" in play(roles=[role])
    emptied = {**role, "mesh_objects_src": [], "mesh_objects_prune": True}
    assert "nothing is declared, so prune would delete everything" in play(roles=[emptied], fails=True)
    assert "changed=1" in play(roles=[{**emptied, "mesh_objects_prune_all": True}])


def test_a_failed_object_is_told_and_the_others_are_done(play, namespace, tmp_path):
    write(tmp_path / "one.yml", namespace, "a", ["a"])
    write(tmp_path / "one.yml", namespace, "b", "not-a-list")
    task = {
        "meshops.istio.mesh_objects": {"src": [str(tmp_path / "one.yml")]},
        "register": "done",
        "ignore_errors": True,
    }
    tell = {"ansible.builtin.debug": {"msg": "{{ done.objects | map(attribute='action') | join(' ') }}"}}
    shown = play(tasks=[task, tell])
    assert f"VirtualService {namespace}/b: spec.hosts must be a list" in shown
    assert "failed created" in shown


def test_a_broken_file_is_told_by_line(play, tmp_path):
    (tmp_path / "one.yml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\na: b\n c: d\n")
    task = {"meshops.istio.mesh_objects": {"src": ["one.yml"]}}
    assert "one.yml, document 2, line 6, column 3: not YAML" in play(tasks=[task], fails=True)


def test_values_of_secrets_stay_out_of_all_output(play, namespace):
    for value in ("tell-nobody", "nor-this"):
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "key", "namespace": namespace},
            "stringData": {"key": "{{ 'tell-' ~ 'nobody' }}" if value == "tell-nobody" else "{{ 'nor-' ~ 'this' }}"},
        }
        shown = play("-vvv", "--diff", tasks=[{"meshops.istio.mesh_objects": {"objects": [secret]}}])
        assert "changed=1" in shown
        assert value not in shown
