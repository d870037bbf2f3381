# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A module in a process of its own; without a cluster."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import ansible_collections
import pytest
from ansible_collections.meshops.istio.plugins.plugin_utils import module_process

ROOTS = [str(pathlib.Path(path).parent) for path in ansible_collections.__path__]


def process(folders=ROOTS, environment=None, **arguments):
    command = [sys.executable, module_process.__file__, "meshops.istio.mesh_objects"]
    command += folders
    text = json.dumps({"ANSIBLE_MODULE_ARGS": arguments})
    environment = {**os.environ, **(environment or {})}
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, env=environment)
    return done, json.loads(done.stdout)


def test_a_module_reads_its_arguments_from_the_standard_input_and_prints_its_result(tmp_path):
    missing = str(tmp_path / "no-kubeconfig")
    done, result = process(objects=[], kubeconfig=missing)
    assert done.returncode == 1
    assert result["failed"] is True
    assert missing in result["msg"]


def test_arguments_are_checked_as_ever():
    done, result = process(surprise=True)
    assert done.returncode == 1
    assert "Unsupported parameters" in result["msg"]


@pytest.mark.parametrize("environment", [{}, {"PYTHONSAFEPATH": "1"}])
@pytest.mark.parametrize("folders", [ROOTS, list(ansible_collections.__path__)])
def test_collection_paths_are_taken_as_ansible_takes_them(folders, environment):
    _done, result = process(folders, environment, surprise=True)
    assert "Unsupported parameters" in result["msg"]
