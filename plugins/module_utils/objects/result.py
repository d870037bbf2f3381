# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The result of a run, and the error of one that failed."""

from __future__ import annotations

import typing as t

from ..errors import MeshopsError
from ..reconcile.identity import Key
from ..reconcile.plan import Change

if t.TYPE_CHECKING:
    from .executor import Outcome

_ACTIONS = ("created", "updated", "deleted", "unchanged", "failed")


class ObjectsFailed(MeshopsError):
    """Some objects could not be brought about; C(result) tells of every object, also of those that could."""


class Module(t.Protocol):
    """What is needed of an AnsibleModule."""

    check_mode: bool
    _diff: bool


# -- result ---------------------------------------------------------------


def _result(module: Module, changes: list[Change], outcomes: dict[Key, Outcome], *, full: bool) -> dict[str, t.Any]:
    entries = []
    summary = dict.fromkeys(_ACTIONS, 0)
    really = []
    for change in changes:
        outcome = outcomes.get(change.key)
        action = outcome.action if outcome else "unchanged"
        summary[action] += 1
        entry: dict[str, t.Any] = {
            "kind": change.kind,
            "namespace": change.namespace,
            "name": change.name,
            "action": action,
            "error": str(outcome.error) if outcome and outcome.error else None,
        }
        if note := (outcome.note if outcome else "") or change.note:
            entry["note"] = note
        if reason := (outcome.reason if outcome else None) or change.note_reason:
            entry["reason"] = reason
        if full:
            entry["object"] = _shown((outcome.obj if outcome else change.before) or {})
        entries.append(entry)
        if action not in ("unchanged", "failed"):
            really.append(change)
    begun = any(outcome.begun for outcome in outcomes.values())
    result: dict[str, t.Any] = {"changed": bool(really) or begun, "objects": entries, "summary": summary}
    if module._diff:
        from ..reconcile.diff import diff

        result["diff"] = diff(really, answers={k: outcome.obj for k, outcome in outcomes.items() if outcome.obj})
    return result


def _failed_first(result: dict[str, t.Any]) -> dict[str, t.Any]:
    """The result of a failed run: failed objects first, and without the unchanged ones, which C(summary) counts."""
    changed = [entry for entry in result["objects"] if entry["action"] != "unchanged"]
    return {**result, "objects": sorted(changed, key=lambda entry: entry["action"] != "failed")}


def _shown(obj: dict[str, t.Any]) -> dict[str, t.Any]:
    """An object as a module returns it: without managedFields, and without a Secret's values."""
    if not obj:
        return {}
    shown = {k: v for k, v in obj.items() if not (obj.get("kind") == "Secret" and k in ("data", "stringData"))}
    shown["metadata"] = {k: v for k, v in obj["metadata"].items() if k != "managedFields"}
    return shown


def _failure_text(failures: list[Outcome], total: int) -> str:
    lines = [str(outcome.error) for outcome in failures]
    if total == 1:
        return lines[0]
    more = f"\n... and {len(lines) - 20} more, see objects" if len(lines) > 20 else ""
    return f"{len(lines)} of {total} objects failed:\n" + "\n".join(lines[:20]) + more
