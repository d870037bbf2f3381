# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Short ways to run the engine on the API server."""

from __future__ import annotations

import os
import subprocess
import types

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.objects.options import ApplyOptions
from ansible_collections.meshops.istio.plugins.module_utils.objects.reconcile import reconcile_objects


@pytest.fixture
def reconcile(cluster):
    """reconcile_objects with a module that has no more than the engine asks for."""

    def run(objects, check_mode=False, on=None, **options):
        module = types.SimpleNamespace(check_mode=check_mode, _diff=True)
        return reconcile_objects(module, on or cluster, objects, ApplyOptions(**options))

    return run


@pytest.fixture
def kubectl(api_server):
    """kubectl on the API server; gives what it wrote."""

    def run(*arguments: str, text: str | None = None) -> str:
        environment = {**os.environ, **api_server}
        return subprocess.run(
            ["kubectl", *arguments], input=text, env=environment, check=True, capture_output=True, text=True
        ).stdout

    return run
