# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What check mode can't try on the server."""

from __future__ import annotations

import enum
import typing as t

from ..reconcile.plan import Change

if t.TYPE_CHECKING:
    from .executor import Outcome

_DONE = {"create": "created", "update": "updated", "delete": "deleted", "unchanged": "unchanged"}


class Untried(enum.Enum):
    """Why the API server could not check a change in check mode."""

    NAMESPACE_CREATED = "NamespaceCreatedInThisRun"
    NAMESPACE_MISSING = "NamespaceMissing"
    KIND_UNSERVED = "KindNotServedYet"
    DEFINITION_CHANGED = "DefinitionChangedInThisRun"


def _untriable(change: Change, reason: Untried, note: str) -> Outcome:
    """The outcome of a change that check mode can't try."""
    from .executor import Outcome

    return Outcome(change, _DONE[change.action], note=note, reason=reason.value)


def _untried(
    todo: list[Change], missing: set[tuple[str, str]]
) -> tuple[list[Change], dict[tuple[t.Any, ...], Outcome]]:
    """Check mode: what the server can check, and the outcome of what it can't, as namespace or CRD are to come."""
    namespaces = {change.name for change in todo if change.action == "create" and change.kind == "Namespace"}
    tried, outcomes = [], {}
    for change in todo:
        if change.action == "create" and change.namespace in namespaces:
            note = f"namespace {change.namespace} is created in the same run, so the API server could not check this"
            outcomes[change.key] = _untriable(change, Untried.NAMESPACE_CREATED, note)
        elif (change.api_version, change.kind) in missing:
            note = (
                f"the API server does not serve {change.kind} in {change.api_version} yet, so it could not check this"
            )
            outcomes[change.key] = _untriable(change, Untried.KIND_UNSERVED, note)
        else:
            tried.append(change)
    return tried, outcomes
