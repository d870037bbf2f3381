# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The status of an object: a pure function of its previous status and of the outcome of a run."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.meshops.istio.plugins.module_utils.helm.releases import Release as HelmRelease
from ansible_collections.meshops.istio.plugins.module_utils.mesh.untrusted import printable
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.types import K8sObject

from .documents import NOT_OWNED, Component
from .drift import Release

#: States of an object.
RECONCILING, READY, INVALID, FAILED, DELETING = "Reconciling", "Ready", "Invalid", "Failed", "Deleting"
_DONE = {"install": "Installed", "upgrade": "Upgraded", "repair": "Repaired", "uninstall": "Removed"}
_COLUMN = 160
#: Characters that Kubernetes allows in the message of a condition.
_LONGEST = 32768


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What an object's status is made from.

    :ivar state: one of the states
    :ivar reason: one word, for the condition
    :ivar message: for people
    :ivar components: as in the status; None retains the previous ones
    :ivar profile: None retains the previous one, as with the next two
    :ivar version: istiod's own version
    """

    state: str
    reason: str
    message: str
    components: t.Sequence[Component] | None = None
    profile: str | None = None
    version: str | None = None
    revision: str | None = None


def status(obj: t.Mapping[str, t.Any], outcome: Outcome, now: str) -> K8sObject:
    """The object's new status.

    :param now: the time, as Kubernetes writes it
    """
    before = obj.get("status") or {}
    fields = {
        "observedGeneration": obj["metadata"].get("generation", 0),
        "profile": outcome.profile if outcome.profile is not None else before.get("profile"),
        "version": outcome.version if outcome.version is not None else before.get("version"),
        "revision": outcome.revision if outcome.revision is not None else before.get("revision"),
        "state": outcome.state,
        "message": short(outcome.message),
        "components": list(outcome.components) if outcome.components is not None else before.get("components"),
        "conditions": _conditions(obj, before.get("conditions") or (), outcome, now),
    }
    return {key: value for key, value in fields.items() if value is not None}


def _conditions(
    obj: t.Mapping[str, t.Any], before: t.Iterable[t.Mapping[str, t.Any]], outcome: Outcome, now: str
) -> list[K8sObject]:
    since = {c["type"]: (c["status"], c.get("lastTransitionTime", now)) for c in before}
    wanted = {
        "Ready": outcome.state == READY,
        "Reconciling": outcome.state in (RECONCILING, DELETING),
        "Valid": outcome.state != INVALID,
    }
    conditions = []
    for name, is_true in wanted.items():
        value = "True" if is_true else "False"
        previous, at = since.get(name, ("", now))
        is_about = name == "Ready" or is_true == (name == "Reconciling")
        conditions.append(
            {
                "type": name,
                "status": value,
                "reason": outcome.reason if is_about else ("Valid" if name == "Valid" else "Done"),
                "message": plain(outcome.message) if is_about else "",
                "observedGeneration": obj["metadata"].get("generation", 0),
                "lastTransitionTime": at if previous == value else now,
            }
        )
    return conditions


def plain(message: str, longest: int = _LONGEST) -> str:
    """A message on one line, without terminal escapes or templates: parts of it may come from the cluster."""
    return printable(re.sub(r"\s+", " ", message).strip(), longest)


def short(message: str) -> str:
    """A message on one line, for a column."""
    line = plain(message)
    return line if len(line) <= _COLUMN else line[: _COLUMN - 1] + "…"


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a run came with the releases of an object.

    :ivar unready: why workloads of a release aren't ready
    :ivar failed: why a release failed
    :ivar not_begun: releases that depend on a failed one
    """

    unready: t.Mapping[Release, str] = dataclasses.field(default_factory=dict)
    failed: t.Mapping[Release, str] = dataclasses.field(default_factory=dict)
    not_begun: t.Collection[Release] = ()


def components(
    releases: t.Iterable[HelmRelease],
    progress: Progress,
    superseded: t.Iterable[Component] = (),
    not_owned: t.Iterable[tuple[HelmRelease, str]] = (),
) -> list[Component]:
    """Each component with its state.

    :param releases: those that the object declares and owns
    :param superseded: components of an earlier revision that others still use
    :param not_owned: the releases that it declares and another object owns, with that object's title
    """
    entries = []
    for release in releases:
        ref = (release.namespace, release.name)
        state, message = "Ready", ""
        if ref in progress.failed:
            state, message = "Failed", progress.failed[ref]
        elif ref in progress.not_begun:
            state = "Pending"
        elif ref in progress.unready:
            state, message = "NotReady", progress.unready[ref]
        entries.append(_component(release, state, message, release.version))
    entries += [_component(release, NOT_OWNED, f"owned by {owner}") for release, owner in not_owned]
    return entries + [t.cast(Component, dict(component)) for component in superseded]


def _component(release: HelmRelease, state: str, message: str, version: str | None = None) -> Component:
    entry: Component = {"name": release.name, "namespace": release.namespace, "chart": release.chart}
    if version:
        entry["version"] = version
    entry["state"] = state
    if message:
        entry["message"] = short(message)
    return entry


def events(planned: t.Iterable[t.Mapping[str, t.Any]]) -> list[tuple[str, str]]:
    """Reason and message of an event for each component that a run has changed."""
    found = []
    for release in planned:
        if release["action"] in _DONE:
            why = "; ".join(release.get("reasons") or ()) or "as declared"
            found.append((_DONE[release["action"]], f"{release['name']} in {release['namespace']}: {why}"))
    return found


def summary(count: int) -> str:
    """The message of a successful run."""
    return f"{count} of {count} component{'s' if count != 1 else ''} ready"
