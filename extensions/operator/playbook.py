# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs one of the operator's playbooks by ansible-runner."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import sys
import tempfile
import typing as t

import ansible_runner

PLAYBOOKS = pathlib.Path(__file__).parent / "playbooks"
#: What a module's result holds that nobody reads here and that may be long.
_DROPPED = ("diff", "invocation")
#: Longer results, in characters, come without their content. The diff of a first installation has a million.
_LONGEST_RESULT = 50_000_000


@dataclasses.dataclass
class Done:
    """What a playbook did.

    :ivar failure: the failing task's own message; empty where none failed
    :ivar results: each module's result, by the name of the variable it is registered as, or its task's name
    """

    failure: str = ""
    cancelled: bool = False
    results: dict[str, dict[str, t.Any]] = dataclasses.field(default_factory=dict)

    def event(self, event: t.Mapping[str, t.Any]) -> None:
        """Takes in an event of ansible-runner."""
        if event["event"] not in ("runner_on_ok", "runner_on_failed", "runner_on_unreachable"):
            return
        data = event["event_data"]
        result = {key: value for key, value in (data.get("res") or {}).items() if key not in _DROPPED}
        self.results[data.get("task", "")] = result
        if event["event"] != "runner_on_ok" and not data.get("ignore_errors"):
            self.failure = str(result.get("msg") or result.get("module_stderr") or "it gave no reason")


def run(
    name: str,
    variables: t.Mapping[str, t.Any],
    files: t.Mapping[str, t.Any],
    kubeconfig: str,
    cancelled: t.Callable[[], bool],
) -> Done:
    """Runs a playbook of this folder.

    :param variables: names and words that hold nothing of a user's
    :param files: what a user has written, by the variable that gets the path of a JSON file with it. As a variable it
        would be a template for Ansible, and a control plane's values are full of braces.
    """
    done = Done()
    with tempfile.TemporaryDirectory(prefix="operator-") as place:
        given = dict(variables)
        for variable, content in files.items():
            path = pathlib.Path(place, f"{variable}.json")
            path.write_text(json.dumps(content))
            given[variable] = str(path)
        host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        runner = ansible_runner.run(
            private_data_dir=place,
            playbook=str(PLAYBOOKS / f"{name}.yml"),
            inventory={"all": {"hosts": {"cluster": host}}},
            extravars=given,
            envvars={
                "ANSIBLE_LOCAL_TEMP": f"{place}/tmp",
                "ANSIBLE_REMOTE_TEMP": f"{place}/tmp",
                "ANSIBLE_RETRY_FILES_ENABLED": "false",
                "HELM_CACHE_HOME": os.environ.get("HELM_CACHE_HOME", "/tmp/helm"),
                "KUBECONFIG": kubeconfig,
                "MAX_EVENT_RES": str(_LONGEST_RESULT),
            },
            event_handler=done.event,
            cancel_callback=cancelled,
            quiet=True,
            json_mode=False,
        )
        done.cancelled = runner.status == "canceled"
        if runner.rc and not done.failure and not done.cancelled:
            done.failure = f"ansible-playbook ended with {runner.rc}: {runner.stdout.read()[-1000:].strip()}"
    return done
