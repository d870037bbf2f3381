# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an object's status says: a pure function of what it said, and of what has come out."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .documents import NOT_OWNED

#: States of an object.
RECONCILING, READY, INVALID, FAILED, DELETING = "Reconciling", "Ready", "Invalid", "Failed", "Deleting"
_DONE = {"install": "Installed", "upgrade": "Upgraded", "repair": "Repaired", "uninstall": "Removed"}
_COLUMN = 160


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What has come out of a look at an object.

    :ivar state: one of the states
    :ivar reason: one word, for the condition
    :ivar message: for people
    :ivar components: as in the status; None leaves those that are there
    :ivar version: of istiod, as it says itself
    """

    state: str
    reason: str
    message: str
    components: t.Sequence[dict[str, t.Any]] | None = None
    profile: str | None = None
    version: str | None = None
    revision: str | None = None


def status(obj: t.Mapping[str, t.Any], outcome: Outcome, now: str) -> dict[str, t.Any]:
    """The object's new status.

    :param now: the time, as Kubernetes writes it
    """
    before = obj.get("status") or {}
    found = {
        "observedGeneration": obj["metadata"].get("generation", 0),
        "profile": outcome.profile if outcome.profile is not None else before.get("profile"),
        "version": outcome.version if outcome.version is not None else before.get("version"),
        "revision": outcome.revision if outcome.revision is not None else before.get("revision"),
        "state": outcome.state,
        "message": short(outcome.message),
        "components": list(outcome.components) if outcome.components is not None else before.get("components"),
        "conditions": _conditions(obj, before.get("conditions") or (), outcome, now),
    }
    return {key: value for key, value in found.items() if value is not None}


def _conditions(
    obj: t.Mapping[str, t.Any], before: t.Iterable[t.Mapping[str, t.Any]], outcome: Outcome, now: str
) -> list[dict[str, t.Any]]:
    since = {c["type"]: (c["status"], c.get("lastTransitionTime", now)) for c in before}
    wanted = {
        "Ready": outcome.state == READY,
        "Reconciling": outcome.state in (RECONCILING, DELETING),
        "Valid": outcome.state != INVALID,
    }
    conditions = []
    for name, is_true in wanted.items():
        told = "True" if is_true else "False"
        held, at = since.get(name, ("", now))
        mine = name == "Ready" or is_true == (name == "Reconciling")
        conditions.append(
            {
                "type": name,
                "status": told,
                "reason": outcome.reason if mine else ("Valid" if name == "Valid" else "Done"),
                "message": outcome.message if mine else "",
                "observedGeneration": obj["metadata"].get("generation", 0),
                "lastTransitionTime": at if held == told else now,
            }
        )
    return conditions


def short(message: str) -> str:
    """A message on one line, for a column."""
    line = re.sub(r"\s+", " ", message).strip()
    return line if len(line) <= _COLUMN else line[: _COLUMN - 1] + "…"


def components(
    releases: t.Iterable[t.Any],
    unready: t.Mapping[tuple[str, str], str],
    failure: str = "",
    planned: t.Iterable[t.Mapping[str, t.Any]] = (),
    superseded: t.Iterable[t.Mapping[str, t.Any]] = (),
    not_owned: t.Iterable[tuple[t.Any, str]] = (),
) -> list[dict[str, t.Any]]:
    """Each component with its state.

    :param releases: those that the object asks for and has
    :param unready: why workloads of a release aren't ready, by namespace and name of the release
    :param failure: why the run failed; empty where it did not
    :param planned: what the run reports for each release
    :param superseded: components of an earlier revision that others still use
    :param not_owned: the releases that it asks for and another object has, with that object's title
    """
    open_ones = {(p["namespace"], p["name"]) for p in planned if p["action"] != "none"} if failure else set()
    found = []
    for release in releases:
        place = (release.namespace, release.name)
        state, message = "Ready", ""
        if place in unready:
            state, message = "NotReady", unready[place]
        if failure and place in open_ones:
            hit = re.search(rf"(?<![\w-]){re.escape(release.name)}(?![\w-])", failure)
            state, message = ("Failed", failure) if hit else ("Pending", message)
        found.append(_component(release, state, message, release.version))
    found += [_component(release, NOT_OWNED, f"owned by {owner}") for release, owner in not_owned]
    return found + [dict(one) for one in superseded]


def _component(release: t.Any, state: str, message: str, version: str | None = None) -> dict[str, t.Any]:
    entry = {
        "name": release.name,
        "namespace": release.namespace,
        "chart": release.chart,
        "version": version or "",
        "state": state,
        "message": short(message),
    }
    return {key: value for key, value in entry.items() if value}


def events(planned: t.Iterable[t.Mapping[str, t.Any]]) -> list[tuple[str, str]]:
    """Reason and message of an event for each component that a run has changed."""
    found = []
    for release in planned:
        if release["action"] in _DONE:
            why = "; ".join(release.get("reasons") or ()) or "as asked for"
            found.append((_DONE[release["action"]], f"{release['name']} in {release['namespace']}: {why}"))
    return found


def summary(count: int) -> str:
    """One sentence on a good run."""
    return f"{count} component{'s' if count != 1 else ''} as asked for"
