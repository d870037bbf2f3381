# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs this collection's modules. meta/runtime.yml names it for all of them.

Most tasks run on the control node, under Ansible's own Python. There Ansible would parse and pack the module with all
that it imports for each task, and unpack and compile it again: more than half of what a task costs that finds nothing
to do. Such a task's module is run from the collection's folder instead, in a process of its own as before. All other
tasks (another host or user, another Python, asynchronous ones) are left to Ansible.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import typing as t

from ansible import constants
from ansible.module_utils.common.json import Direction, get_module_encoder
from ansible.plugins.action.normal import ActionModule as NormalAction
from ansible.utils.collection_loader import AnsibleCollectionConfig
from ansible.utils.display import Display

_COLLECTION = "meshops.istio."
_PROCESS = pathlib.Path(__file__).parents[1] / "plugin_utils" / "module_process.py"
_PROFILE = "legacy"
display = Display()


class ActionModule(NormalAction):
    """Runs a module from the collection's folder where it may."""

    def _execute_module(self, *args: t.Any, **options: t.Any) -> dict[str, t.Any]:
        variables = options.get("task_vars") or {}
        name = self._task.resolved_action or ""
        if not name.startswith(_COLLECTION) or options.get("wrap_async") or not self._runs_here(variables):
            return super()._execute_module(*args, **options)
        return self._run(name, variables)

    def _runs_here(self, variables: t.Mapping[str, t.Any]) -> bool:
        """Whether the module may be run on this machine, as this user, by this Python."""
        if self._task.delegate_to:
            variables = (variables.get("ansible_delegated_vars") or {}).get(self._task.delegate_to) or {}
        interpreter = self._templar.template(variables.get("ansible_python_interpreter") or "")
        return bool(
            self._connection.transport == "local"
            and not self._play_context.become
            and not self._task.async_val
            and not constants.DEFAULT_KEEP_REMOTE_FILES  # set to inspect what Ansible packs
            and interpreter
            and os.path.abspath(interpreter) == os.path.abspath(sys.executable)
        )

    def _run(self, name: str, variables: dict[str, t.Any]) -> dict[str, t.Any]:
        arguments = dict(self._task.args)
        self._update_module_args(name, arguments, variables)
        environment: dict[str, t.Any] = {}
        self._compute_environment_string(environment)
        encoder = get_module_encoder(_PROFILE, Direction.CONTROLLER_TO_MODULE)
        command = [sys.executable, str(_PROCESS), name, *AnsibleCollectionConfig.collection_paths]
        display.vvv(f"Running {name} from the collection's folder", host=self._play_context.remote_addr)
        self._used_interpreter = sys.executable
        done = subprocess.run(
            command,
            input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}, cls=encoder).encode(),
            capture_output=True,
            check=False,
            cwd=self._connection.cwd,
            env={**os.environ, **{key: str(value) for key, value in environment.items()}},
        )
        texts = {"stdout": done.stdout.decode(errors="replace"), "stderr": done.stderr.decode(errors="replace")}
        result: t.Any = self._parse_returned_data({**texts, "rc": done.returncode}, _PROFILE)
        if isinstance(result, dict):
            return result
        return t.cast(dict[str, t.Any], result.as_result_dict(for_round_trip=True))  # ansible-core 2.21 and newer
