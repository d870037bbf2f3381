# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs one of the operator's playbooks with ansible-runner."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import sys
import tempfile
import typing as t

import ansible_runner

from .supervision import CancelToken, Heartbeat

PLAYBOOKS = pathlib.Path(__file__).parent / "playbooks"
#: The modules whose results are read: C(Run.results) has them under these names.
CONTROL_PLANE, PURGE, RELEASES = "meshops.istio.control_plane", "meshops.istio.purge", "meshops.istio.releases"
#: What a module's result contains that nobody reads here and that may be long.
_DROPPED = ("diff", "invocation")
#: Longer results, in characters, arrive without their content. The diff of a first installation has a million.
_LONGEST_RESULT = 50_000_000
_ENDINGS = ("runner_on_ok", "runner_on_failed", "runner_on_unreachable")


@dataclasses.dataclass
class PlayResult:
    """What a playbook did.

    :ivar failure: the failing task's own message; empty where none failed
    :ivar results: the last result of each module, by the module's full name
    """

    failure: str = ""
    cancelled: bool = False
    results: dict[str, dict[str, t.Any]] = dataclasses.field(default_factory=dict)

    def event(self, event: t.Mapping[str, t.Any]) -> None:
        """Adds an event of ansible-runner."""
        if event["event"] not in _ENDINGS:
            return
        data = event["event_data"]
        result = {key: value for key, value in (data.get("res") or {}).items() if key not in _DROPPED}
        self.results[data.get("resolved_action") or data["task_action"]] = result
        if event["event"] != "runner_on_ok" and not data.get("ignore_errors"):
            self.failure = str(result.get("msg") or result.get("module_stderr") or "the task reported no reason")


def untrusted(variables: t.Mapping[str, t.Any]) -> str:
    """A JSON file of extra variables in which no text, however deep, is a template."""

    def marked(value: t.Any) -> t.Any:
        if isinstance(value, str):
            return {"__ansible_unsafe": value}
        if isinstance(value, t.Mapping):
            return {str(key): marked(entry) for key, entry in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [marked(entry) for entry in value]
        return value

    return json.dumps(marked(variables))


def run(
    name: str,
    variables: t.Mapping[str, t.Any],
    documents: t.Mapping[str, t.Any],
    kubeconfig: str,
    heartbeat: Heartbeat,
    cancel: CancelToken | None = None,
) -> PlayResult:
    """Runs a playbook of this folder.

    :param variables: the playbook's variables. Objects decide over them, so none of them is ever a template
    :param documents: what a user has written, by the variable that gets the path of a JSON file with it
    :param cancel: stops the run; None is a run that nothing stops
    """
    result = PlayResult()

    def is_cancelled() -> bool:
        heartbeat.beat()
        return cancel is not None and cancel.cancelled

    with tempfile.TemporaryDirectory(prefix="operator-") as folder:
        given = dict(variables)
        for variable, content in documents.items():
            path = pathlib.Path(folder, f"{variable}.json")
            path.write_text(json.dumps(content))
            given[variable] = str(path)
        extra = pathlib.Path(folder, "variables.json")
        extra.write_text(untrusted(given))
        host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        runner = ansible_runner.run(
            private_data_dir=folder,
            playbook=str(PLAYBOOKS / f"{name}.yml"),
            inventory={"all": {"hosts": {"cluster": host}}},
            cmdline=f"--extra-vars @{extra}",
            envvars={
                "ANSIBLE_LOCAL_TEMP": f"{folder}/tmp",
                "ANSIBLE_REMOTE_TEMP": f"{folder}/tmp",
                "ANSIBLE_RETRY_FILES_ENABLED": "false",
                "HELM_CACHE_HOME": os.environ.get("HELM_CACHE_HOME", "/tmp/helm"),
                "KUBECONFIG": kubeconfig,
                "MAX_EVENT_RES": str(_LONGEST_RESULT),
            },
            event_handler=result.event,
            cancel_callback=is_cancelled,
            quiet=True,
            json_mode=False,
        )
        result.cancelled = runner.status == "canceled"
        if runner.rc and not result.failure and not result.cancelled:
            result.failure = f"ansible-playbook exited with {runner.rc}: {runner.stdout.read()[-1000:].strip()}"
    return result
