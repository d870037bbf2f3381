# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is published about a run: status, events and metrics. A pure function of the object, the run and its result."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.meshops.istio.plugins.module_utils.control_plane.declared import ControlPlane

from . import status as reports
from .documents import SUPERSEDED, Component, Share
from .drift import Release
from .playbook import CONTROL_PLANE, PlayResult
from .status import FAILED, INVALID, READY, RECONCILING, Outcome, Progress

#: Seconds after which the users of a superseded revision are checked again.
_SUPERSEDED_AGAIN = 60.0


@dataclasses.dataclass(frozen=True)
class Run:
    """What led to a run.

    :ivar reason: as C(Pace.due) gives it
    :ivar drifted: which owned object has changed; empty where that isn't the reason
    :ivar failures: failed runs in a row before
    """

    reason: str
    drifted: str = ""
    failures: int = 0


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a run ended, as C(Pace.ran) takes it.

    :ivar gone: the object no longer exists
    :ivar cancelled: the run was stopped, because the object is being deleted
    """

    failed: bool = False
    repaired: bool = False
    retry: float | None = None
    gone: bool = False
    cancelled: bool = False


@dataclasses.dataclass(frozen=True)
class Event:
    """An Event about an object."""

    reason: str
    message: str
    is_warning: bool = False


@dataclasses.dataclass(frozen=True)
class Publication:
    """Everything that is published about a run.

    :ivar outcome: what the status is made from
    :ivar events: in their order
    :ivar is_good: the spec was applied and proven: it becomes the last good one
    :ivar has_failed: counts as a failed run
    """

    outcome: Outcome
    ended: Ended
    events: t.Sequence[Event] = ()
    is_good: bool = False
    has_failed: bool = False


@dataclasses.dataclass(frozen=True)
class Report:
    """What the module control_plane returned, in types.

    :ivar planned: a dictionary for each release, with its action
    :ivar version: of istiod, without its build
    """

    changed: bool
    planned: t.Sequence[t.Mapping[str, t.Any]]
    version: str | None
    progress: Progress

    @property
    def changes(self) -> list[t.Mapping[str, t.Any]]:
        """The releases that were changed, or were to be."""
        return [release for release in self.planned if release["action"] != "none"]


def report(played: PlayResult, unready: t.Mapping[Release, str] | None = None) -> Report:
    """Reads the result of the module control_plane.

    :param unready: why workloads of a release aren't ready
    """
    result = played.results.get(CONTROL_PLANE, {})
    failed = {(f["namespace"], f["name"]): f["message"] for f in result.get("failures") or ()}
    not_begun = {(r["namespace"], r["name"]) for r in result.get("not_begun") or ()}
    version = (result.get("proof") or {}).get("version", "").partition("-")[0] or None
    progress = Progress(unready or {}, failed if played.failure else {}, not_begun if played.failure else ())
    return Report(bool(result.get("changed")), result.get("releases") or [], version, progress)


def changes(result: Report) -> list[Event]:
    """An event for each release that a run has changed."""
    return [Event(reason, message) for reason, message in reports.events(result.planned)]


def begun(obj: t.Mapping[str, t.Any], control_plane: ControlPlane) -> tuple[Event, Outcome]:
    """What is published before the first run of a generation."""
    names = ", ".join(release.name for release in control_plane.releases)
    message = "the object is new or has changed"
    outcome = Outcome(RECONCILING, RECONCILING, message, profile=_profile(obj), revision=_revision(control_plane))
    return Event(RECONCILING, f"releases: {names}"), outcome


def applied(
    obj: t.Mapping[str, t.Any],
    share: Share,
    run: Run,
    played: PlayResult,
    result: Report,
    superseded: t.Sequence[Component] = (),
) -> Publication:
    """What is published about a run that applied an object's own spec.

    :param superseded: components of revisions that the object no longer declares and that are still used
    """
    control_plane = t.cast(ControlPlane, share.control_plane)
    before = obj.get("status") or {}
    is_new = before.get("state") == RECONCILING  # also where a leader was killed during the run
    components = reports.components(control_plane.releases, result.progress, superseded, share.not_owned)
    changed = result.changed and not is_new
    events = changes(result)

    def outcome(state: str, message: str) -> Outcome:
        revision = _revision(control_plane)
        return Outcome(state, state, message, components, _profile(obj), result.version, revision)

    if played.failure:
        if not run.failures or is_new:
            events.append(Event(FAILED, played.failure, is_warning=True))
        # A failing run must not be woken again and again by what it changes itself.
        ended = Ended(failed=True, repaired=changed and run.reason == "Drift")
        return Publication(outcome(FAILED, played.failure), ended, events, has_failed=True)
    message = reports.summary(len(control_plane.releases) + len(superseded))
    is_same = before.get("state") == READY and before.get("components") == components
    if changed and run.drifted:
        message += f"; repaired after {run.drifted} had changed"
    elif not changed and is_same and before.get("message"):
        message = before["message"]  # it may name the last repair
    if before.get("state") != READY:
        events.append(Event(READY, message))
    ended = Ended(repaired=changed, retry=_SUPERSEDED_AGAIN if superseded else None)
    return Publication(outcome(READY, message), ended, events, is_good=True)


def refused(obj: t.Mapping[str, t.Any], share: Share) -> Publication:
    """What is published about an object whose spec can't be applied, before its last good one is kept."""
    before = obj.get("status") or {}
    is_new = before.get("state") != INVALID or before.get("observedGeneration") != obj["metadata"].get("generation")
    events = [Event(INVALID, share.problem, is_warning=True)] if is_new else []
    return Publication(Outcome(INVALID, INVALID, share.problem), Ended(), events)


def kept(obj: t.Mapping[str, t.Any], share: Share, run: Run, played: PlayResult, result: Report) -> Publication:
    """What is published about a run that kept the last good spec of an object whose present one is invalid."""
    problem, events = share.problem, changes(result)
    if played.failure:
        if not run.failures:
            events.append(Event(FAILED, played.failure, is_warning=True))
        problem += f"; and keeping the last good spec failed: {played.failure}"
    previous = (obj.get("status") or {}).get("components") or ()
    superseded = [component for component in previous if component.get("state") == SUPERSEDED]
    control_plane = t.cast(ControlPlane, share.control_plane)
    components = reports.components(control_plane.releases, result.progress, superseded, share.not_owned)
    has_failed = bool(played.failure)
    ended = Ended(has_failed, result.changed and (not has_failed or run.reason == "Drift"))
    return Publication(Outcome(INVALID, INVALID, problem, components), ended, events, has_failed=has_failed)


def _profile(obj: t.Mapping[str, t.Any]) -> str:
    return (obj.get("spec") or {}).get("profile") or "default"


def _revision(control_plane: ControlPlane) -> str:
    return control_plane.revision or "default"
