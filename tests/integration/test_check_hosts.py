# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One host of an inventory is one cluster."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
NOWHERE = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
    "users": [{"name": "c", "user": {}}],
    "current-context": "c",
}


@pytest.fixture
def check(api_server, kubeconfig, tmp_path):
    """Checks the hosts of an inventory: name -> kubeconfig, None for the API server's."""

    def check(*words: str, **hosts: str | None) -> subprocess.CompletedProcess[str]:
        fixed = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        given = {name: {**fixed, "cluster_kubeconfig": path or kubeconfig} for name, path in hosts.items()}
        (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": given}}))
        command = [pathlib.Path(sys.executable).parent / "ansible-playbook", "-i", tmp_path / "hosts.json"]
        env = {**os.environ, **api_server, "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"), "ANSIBLE_NOCOLOR": "1"}
        return subprocess.run(
            [*command, ROOT / "playbooks/check_hosts.yml", *words],
            capture_output=True, text=True, check=False, env=env, timeout=200,
        )  # fmt: skip

    return check


def test_two_hosts_that_are_one_cluster_are_refused(check):
    done = check(east=None, west=None)
    assert done.returncode != 0
    assert "Hosts east, west: they are one cluster (namespace kube-system has the uid" in " ".join(done.stdout.split())
    for words in (["-e", "mesh_hosts=east"], ["-e", "mesh_allow_same_cluster=true"], ["--limit", "west,localhost"]):
        done = check(*words, east=None, west=None)
        assert done.returncode == 0, done.stdout + done.stderr


def test_host_that_does_not_answer_is_not_refused_here(check, tmp_path):
    (tmp_path / "nowhere").write_text(json.dumps(NOWHERE))
    done = check(east=None, west=str(tmp_path / "nowhere"))
    assert done.returncode == 0, done.stdout + done.stderr
