# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which tasks run from the collection's folder; without a cluster."""

from __future__ import annotations

import pathlib
import sys
import types

import pytest
import yaml
from ansible_collections.meshops.istio.plugins.action import mesh_objects
from ansible_collections.meshops.istio.plugins.action.mesh_objects import ActionModule

ROOT = pathlib.Path(__file__).parents[4]
HERE = {"ansible_python_interpreter": sys.executable}


@pytest.fixture
def action():
    """An action of a task that runs on this machine."""
    found = ActionModule.__new__(ActionModule)
    found._task = types.SimpleNamespace(delegate_to=None, async_val=0)
    found._connection = types.SimpleNamespace(transport="local")
    found._play_context = types.SimpleNamespace(become=False)
    found._templar = types.SimpleNamespace(template=lambda value: value.replace("{{ this }}", sys.executable))
    return found


@pytest.mark.parametrize("interpreter", [sys.executable, "{{ this }}"])
def test_a_task_on_this_machine_with_this_python_runs_from_the_folder(action, interpreter):
    assert action._runs_here({"ansible_python_interpreter": interpreter})


@pytest.mark.parametrize("interpreter", ["", "/usr/bin/another", "auto"])
def test_another_python_is_left_to_ansible(action, interpreter):
    assert not action._runs_here({"ansible_python_interpreter": interpreter})


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("_connection", "transport", "ssh"),
        ("_play_context", "become", True),
        ("_task", "async_val", 60),
    ],
)
def test_another_host_or_user_and_asynchronous_tasks_are_left_to_ansible(action, part, name, value):
    setattr(getattr(action, part), name, value)
    assert not action._runs_here(HERE)


def test_files_that_are_to_be_kept_are_made_by_ansible(action, monkeypatch):
    monkeypatch.setattr(mesh_objects.constants, "DEFAULT_KEEP_REMOTE_FILES", True)
    assert not action._runs_here(HERE)


def test_a_delegated_task_is_run_by_its_hosts_python(action):
    action._task.delegate_to = "elsewhere"
    assert not action._runs_here(HERE)
    assert action._runs_here({"ansible_delegated_vars": {"elsewhere": HERE}})


def test_every_module_is_run_by_this_action():
    routing = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["plugin_routing"]["modules"]
    routed = {name for name, entry in routing.items() if entry.get("action_plugin") == "meshops.istio.mesh_objects"}
    modules = {path.stem for path in (ROOT / "plugins/modules").glob("*.py")}
    assert routed | {"mesh_objects"} == modules
