# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Two inventories with a revision each, on one API server: neither changes what the other has installed."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN

BIN = pathlib.Path(sys.executable).parent
CRD = KNOWN["apiextensions.k8s.io", "CustomResourceDefinition"]
VALIDATOR = KNOWN["admissionregistration.k8s.io", "ValidatingWebhookConfiguration"]


@pytest.fixture
def site(cluster, api_server, namespace, tmp_path):
    """Runs the roles control_plane and gateways as the inventory of a revision, and gives the number of changes."""
    definitions = [one["metadata"]["name"] for one in cluster.list(CRD)]  # they are the lab's

    def run(revision: str, **variables) -> int:
        fixed = {
            "ansible_python_interpreter": sys.executable,
            "control_plane_charts": api_server["LAB_CHARTS"],
            "control_plane_namespace": namespace,
            "control_plane_values": {"base": {"base": {"excludedCRDs": definitions}}},
            "control_plane_revision": revision,
            "gateways_list": [{"name": f"edge-{revision}"}],
            "site_owner": f"{namespace}-{revision}",
        }
        # No node runs anything here.
        quick = {
            "meshops.istio.control_plane": {"wait": False, "prove": False},
            "meshops.istio.releases": {"wait": False},
        }
        roles = ["meshops.istio.control_plane", "meshops.istio.gateways"]
        play = {"hosts": "all", "gather_facts": False, "module_defaults": quick, "roles": roles}
        path = tmp_path / f"{revision}.yml"
        path.write_text(json.dumps([{**play, "vars": {**fixed, **variables}}]))
        env = {**os.environ, **api_server, "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"), "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run(
            [BIN / "ansible-playbook", "-i", "localhost,", "-c", "local", path],
            capture_output=True, text=True, check=False, env=env, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return int(re.search(r"changed=(\d+)", done.stdout)[1])

    yield run
    names = ["istio-base", "istiod-blue", "istiod-green", "istio-tag-prod"]
    absent = [{"name": name, "namespace": namespace, "state": "absent"} for name in names]
    path = tmp_path / "absent.yml"
    task = {"meshops.istio.releases": {"releases": absent}}
    path.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [task]}]))
    command = [BIN / "ansible-playbook", "-i", "localhost,", "-c", "local", path]
    command += ["-e", f"ansible_python_interpreter={sys.executable}"]
    subprocess.run(command, env={**os.environ, **api_server}, check=True, capture_output=True, timeout=300)


def validates(cluster) -> str:
    return cluster.get(VALIDATOR, "istiod-default-validator")["metadata"]["labels"]["istio.io/rev"]


def test_two_revisions_in_two_inventories_in_turns(cluster, site):
    assert site("blue", control_plane_tags=["prod"]) > 0
    assert site("green") > 0
    for _turn in range(2):
        assert site("blue", control_plane_tags=["prod"]) == 0
        assert site("green") == 0
        assert validates(cluster) == "blue"
