# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What all playbooks have in common."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest
import yaml

PLAYBOOKS = pathlib.Path(__file__).parents[2] / "playbooks"
ROLES = PLAYBOOKS.parent / "roles"
NEEDS_NO_CLUSTER = {"render.yml"}


@pytest.mark.parametrize(
    "path",
    [p for of in ("*.yml", "examples/**/*.yml") for p in sorted(PLAYBOOKS.glob(of)) if p.name not in NEEDS_NO_CLUSTER],
    ids=lambda path: path.name,
)
def test_every_playbook_finds_its_cluster_the_same_way(path):
    for play in yaml.safe_load(path.read_text()):
        if "ansible.builtin.import_playbook" in play:
            continue
        defaults = play["module_defaults"]["group/meshops.istio.mesh"]
        assert defaults["kubeconfig"] == "{{ cluster_kubeconfig | default(omit) }}"
        assert defaults["context"] == "{{ cluster_context | default(omit) }}"


@pytest.mark.parametrize("path", sorted(PLAYBOOKS.glob("*.yml")), ids=lambda path: path.name)
def test_every_playbook_names_its_hosts_and_fails_without_one(path):
    plays = yaml.safe_load(path.read_text())
    if path.name == "check_hosts.yml":
        return
    if path.name not in NEEDS_NO_CLUSTER:
        assert plays[0].get("ansible.builtin.import_playbook") == "check_hosts.yml"
    for play in plays:
        if "hosts" in play:
            assert re.match(r"\{\{ mesh_hosts \| default\('all'", play["hosts"])


#: By the environment, which merges with what a play says: a role's module_defaults would replace the play's.
CONNECTION = (
    "{{ dict([['K8S_AUTH_KUBECONFIG', cluster_kubeconfig | default('')],"
    " ['K8S_AUTH_CONTEXT', cluster_context | default('')]] | selectattr(1)) }}"
)


def tasks_of(tasks, environment=None):
    for task in tasks or ():
        own = {"environment": task.get("environment", environment)}
        yield {**task, **own}
        for part in ("block", "rescue", "always"):
            yield from tasks_of(task.get(part), **own)


@pytest.mark.parametrize("path", sorted(ROLES.glob("*/tasks/*.yml")), ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_every_role_finds_its_cluster_alone(path):
    """cluster_kubeconfig and cluster_context count without a playbook of ours around the role."""
    for task in tasks_of(yaml.safe_load(path.read_text())):
        for name in task:
            if name.startswith("meshops.istio.") and name != "meshops.istio.manifests":
                assert task["environment"] == CONNECTION, task["name"]


def ansible_playbook(*words):
    command = [str(PLAYBOOKS.parent / ".venv/bin/ansible-playbook"), *map(str, words)]
    env = {**os.environ, "ANSIBLE_LOCALHOST_WARNING": "false", "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false"}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("words", [(), ("-i", "east,", "-e", "mesh_hosts=nosuch")])
def test_a_playbook_that_matches_no_host_fails(words):
    done = ansible_playbook(PLAYBOOKS / "site.yml", *words)
    assert done.returncode != 0
    assert "No host matches" in done.stdout + done.stderr


def test_a_mistyped_variable_of_a_role_ends_the_run_before_it_begins():
    done = ansible_playbook(PLAYBOOKS / "site.yml", "-i", "east,", "-e", '{"control_plane_mesh_configs": {}}')
    assert done.returncode != 0
    assert "Did you mean control_plane_mesh_config?" in done.stdout + done.stderr


def test_a_role_alone_goes_to_the_cluster_of_the_inventory(tmp_path):
    play = """
- hosts: all
  gather_facts: false
  roles: [meshops.istio.control_plane]
"""
    (tmp_path / "play.yml").write_text(play)
    given = ["-c", "local", "-e", "cluster_kubeconfig=/nonexistent/of-the-inventory"]
    given += ["-e", f"ansible_python_interpreter={sys.executable}"]
    done = ansible_playbook(tmp_path / "play.yml", "-i", "east,", *given)
    assert "/nonexistent/of-the-inventory" in done.stdout + done.stderr
