# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One look at an object: what is its share, the run that makes it so, and what the object's status says afterwards."""

from __future__ import annotations

import contextlib
import dataclasses
import time
import typing as t

from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError

from . import documents, playbook, removal
from . import status as reports
from .documents import Share
from .drift import Release
from .metrics import Metrics
from .objects import Objects
from .settings import Settings
from .status import DELETING, FAILED, INVALID, READY, RECONCILING, Outcome
from .turns import Turns

Place = tuple[str, str]
#: Seconds after which to look whether the users of a superseded revision have gone.
_SUPERSEDED_AGAIN = 60.0
_APPLY = "Install the control plane, and prove that it works"
_FOOTPRINT = "See what there is of Istio"


class StillUsed(MeshopsError):
    """What is to go is used by others, or is not the operator's to take; the text names it."""


@dataclasses.dataclass(frozen=True)
class Run:
    """What leads to a look at an object.

    :ivar reason: as C(Pace.due) gives it
    :ivar drifted: what has changed of what it owns; empty where that is not why
    :ivar failures: failed runs in a row before
    """

    reason: str
    drifted: str = ""
    failures: int = 0


@dataclasses.dataclass(frozen=True)
class Ended:
    """How it ended, as C(Pace.ran) takes it.

    :ivar gone: there is no such object any more
    :ivar cancelled: it was stopped, because the object goes
    """

    failed: bool = False
    repaired: bool = False
    retry: float | None = None
    gone: bool = False
    cancelled: bool = False


@dataclasses.dataclass
class _View:
    """An object among the others, at one moment.

    :ivar left_over: components that it had and asks for no more
    """

    obj: dict
    share: Share
    left_over: list[dict]

    @property
    def releases(self) -> set[Release]:
        return self.share.owned | {(one["namespace"], one["name"]) for one in self.left_over}


@dataclasses.dataclass
class _Removal:
    """What goes with an object.

    :ivar components: its components that no other object has
    :ivar is_last: whether all of Istio goes
    """

    components: list[dict]
    revisions: list[str]
    is_last: bool

    @property
    def releases(self) -> set[Release] | None:
        return None if self.is_last else {(one["namespace"], one["name"]) for one in self.components}


class Reconciler:
    """Looks at objects, from a thread for each."""

    def __init__(self, settings: Settings, objects: Objects, metrics: Metrics, kubeconfig: str) -> None:
        self._settings, self._objects, self._metrics, self._kubeconfig = settings, objects, metrics, kubeconfig
        self._turns = Turns()

    def look(
        self,
        place: Place,
        run: Run,
        watch: t.Callable[[set[Release]], None],
        cancelled: t.Callable[[], bool],
    ) -> Ended:
        """Makes what an object asks for so.

        :param watch: is told the releases whose changes are the object's drift
        :param cancelled: whether to stop; is asked again and again
        """
        begun = time.monotonic()
        with self._turn(place, cancelled) as view:
            if view is None:
                return Ended(gone=True)
            watch(view.share.owned)
            is_valid = not view.share.problem
            ended = (self._apply if is_valid else self._keep_last_good)(view, run, cancelled)
        if ended.cancelled:
            return ended
        outcome = "invalid" if not is_valid else "failed" if ended.failed else "done"
        labels = {"namespace": place[0], "name": place[1]}
        self._metrics.add("istio_operator_reconciles_total", reason=run.reason, outcome=outcome, **labels)
        self._metrics.observe("istio_operator_reconcile_seconds", time.monotonic() - begun, **labels)
        return ended

    @contextlib.contextmanager
    def _turn(self, place: Place, beat: t.Callable[[], t.Any]) -> t.Iterator[_View | None]:
        """The object as it is when its turn has come: meanwhile another one may have got what was its own."""
        view = self._view(place)
        while view is not None:
            with self._turns.of(view.releases, beat):
                now = self._view(place)
                if now is not None and now.releases == view.releases:
                    yield now
                    return
            view = now
        yield None

    def _view(self, place: Place) -> _View | None:
        obj = self._objects.get(*place)
        if obj is None or obj["metadata"].get("deletionTimestamp") or documents.is_ignored(obj):
            return None
        others = [o for o in self._objects.all() if o["metadata"]["uid"] != obj["metadata"]["uid"]]
        shares = documents.shares([obj, *_staying(others)], self._settings)
        share = shares.pop(place)
        before = (obj.get("status") or {}).get("components") or []
        return _View(obj, share, documents.left_over(before, [*_asked(share), *_asked(*shares.values())], others))

    # -- what it asks for -------------------------------------------------

    def _apply(self, view: _View, run: Run, cancelled: t.Callable[[], bool]) -> Ended:
        obj, wanted = view.obj, view.share.wanted
        about = {"profile": _profile(obj), "revision": wanted.revision or "default"}
        before = obj.get("status") or {}
        if before.get("observedGeneration") != obj["metadata"].get("generation", 0):
            names = ", ".join(release.name for release in wanted.releases)
            self._objects.event(obj, RECONCILING, f"wanted: {names}")
            self._objects.tell(obj, Outcome(RECONCILING, RECONCILING, "the object is new or has changed", **about))
        is_new = (obj.get("status") or {}).get("state") == RECONCILING  # also where a leader died over it
        done = self._run(view.share, [one for one in view.left_over if one.get("chart") != "istiod"], cancelled)
        if done.cancelled:
            return Ended(cancelled=True)
        result = done.results.get(_APPLY, {})
        planned = self._tell_what_was_done(obj, result)
        if done.failure and not planned:
            self._stand_in(view, cancelled)
        superseded = [] if done.failure else self._supersede(obj, view.left_over, cancelled)
        about["version"] = (result.get("proof") or {}).get("version", "").partition("-")[0] or None
        components = self._components(view.share, done.failure, planned, superseded)
        changed = bool(result.get("changed")) and not is_new
        if done.failure:
            if not run.failures or is_new:
                self._objects.event(obj, FAILED, done.failure, warning=True)
            self._objects.tell(obj, Outcome(FAILED, FAILED, done.failure, components, **about))
            self._failed(obj)
            # Of what a failing run itself changes it would otherwise be woken again and again.
            return Ended(failed=True, repaired=changed and run.reason == "Drift")
        message = reports.summary(len(wanted.releases) + len(superseded))
        state = (obj.get("status") or {}).get("state")
        if changed and run.drifted:
            message += f"; repaired after {run.drifted} had changed"
        elif not changed and state == READY and obj["status"].get("message", "").startswith(message):
            message = obj["status"]["message"]
        if state != READY:
            self._objects.event(obj, READY, message)
        self._objects.tell(obj, Outcome(READY, READY, message, components, **about))
        self._objects.remember(obj)
        place = {"namespace": obj["metadata"]["namespace"], "name": obj["metadata"]["name"]}
        self._metrics.set("istio_operator_last_success_timestamp_seconds", time.time(), **place)
        self._metrics.set("istio_operator_ready", 1, **place)
        return Ended(repaired=changed, retry=_SUPERSEDED_AGAIN if superseded else None)

    def _keep_last_good(self, view: _View, run: Run, cancelled: t.Callable[[], bool]) -> Ended:
        """Says what is wrong with an object, and keeps what runs as it was asked for before."""
        obj, why = view.obj, view.share.problem
        before = obj.get("status") or {}
        is_new = before.get("state") != INVALID or before.get("observedGeneration") != obj["metadata"].get("generation")
        if is_new:
            self._objects.event(obj, INVALID, why, warning=True)
        if is_new or view.share.wanted is None:
            self._objects.tell(obj, Outcome(INVALID, INVALID, why))
        meta = obj["metadata"]
        self._metrics.set("istio_operator_ready", 0, namespace=meta["namespace"], name=meta["name"])
        if view.share.wanted is None:
            return Ended()
        done = self._run(view.share, [], cancelled)
        if done.cancelled:
            return Ended(cancelled=True)
        result = done.results.get(_APPLY, {})
        planned = self._tell_what_was_done(obj, result)
        if done.failure:
            if not run.failures:
                self._objects.event(obj, FAILED, done.failure, warning=True)
            why += f"; and what ran before can't be kept: {done.failure}"
            self._failed(obj)
        kept = [one for one in before.get("components") or () if one.get("state") == documents.SUPERSEDED]
        components = self._components(view.share, done.failure, planned, kept)
        self._objects.tell(obj, Outcome(INVALID, INVALID, why, components))
        repaired = bool(result.get("changed"))
        return Ended(bool(done.failure), repaired and (not done.failure or run.reason == "Drift"))

    def _stand_in(self, view: _View, cancelled: t.Callable[[], bool]) -> None:
        """Where nothing could be done of what an object asks for, what it asked for before is kept as it was."""
        good = documents.last_good(view.obj)
        if good is None:
            return
        others = [o for o in _staying(self._objects.all()) if o["metadata"]["uid"] != good["metadata"]["uid"]]
        share = documents.shares([good, *others], self._settings)[_place(good)]
        if share.wanted is None or share.problem or not share.owned <= view.releases:
            return
        done = self._run(share, [], cancelled)
        self._tell_what_was_done(view.obj, done.results.get(_APPLY, {}))

    def _run(self, share: Share, left_over: list[dict], cancelled: t.Callable[[], bool]) -> playbook.Done:
        variables = documents.variables(share.obj, self._settings, share.others)
        document = variables.pop("istio_operator")
        given = {f"control_plane_{name}": value for name, value in variables.items()}
        given["operator_left_over"] = _absent(left_over)
        namespaces = {namespace for namespace, _name in share.owned}
        given["control_plane_take_ownership"] = self._objects.has_legacy(namespaces)
        return playbook.run("apply", given, {"control_plane_istio_operator": document}, self._kubeconfig, cancelled)

    def _tell_what_was_done(self, obj: dict, result: t.Mapping[str, t.Any]) -> list[dict]:
        """Events and metrics for what a run has done; gives what it had planned."""
        planned = result.get("releases") or []
        for reason, message in reports.events(planned):
            self._objects.event(obj, reason, message)
        for one in planned:
            if one["action"] != "none":
                self._metrics.add("istio_operator_changes_total", action=one["action"], release=one["name"])
        return planned

    def _components(self, share: Share, failure: str, planned: list[dict], superseded: list[dict]) -> list[dict]:
        unready = self._objects.unready(share.owned)
        return reports.components(share.wanted.releases, unready, failure, planned, superseded, share.not_owned)

    def _failed(self, obj: dict) -> None:
        place = {"namespace": obj["metadata"]["namespace"], "name": obj["metadata"]["name"]}
        self._metrics.add("istio_operator_failures_total", **place)
        self._metrics.set("istio_operator_ready", 0, **place)

    def _supersede(self, obj: dict, left_over: list[dict], cancelled: t.Callable[[], bool]) -> list[dict]:
        """Takes out the control planes of revisions that an object no longer names; gives those still in use."""
        kept = []
        for one in left_over:
            if one.get("chart") != "istiod":
                continue
            revision = _revision(one["name"])
            uses = self._objects.uses(revision, set())
            why = f"still used by {_some(uses)}"
            if not uses:
                given = {"operator_is_last": False, "operator_revision": revision, "operator_left_over": []}
                done = playbook.run("remove", given, {}, self._kubeconfig, lambda: bool(cancelled()) and False)
                if not done.failure:
                    self._objects.event(obj, "Removed", f"revision {revision}, which nobody uses any more")
                    continue
                why = done.failure
            if one.get("state") != documents.SUPERSEDED:
                self._objects.event(obj, documents.SUPERSEDED, f"revision {revision} stays for now: {why}")
            kept.append({**one, "state": documents.SUPERSEDED, "message": why[:300]})
        return kept

    # -- an object goes ---------------------------------------------------

    def remove(self, place: Place, beat: t.Callable[[], bool]) -> None:
        """Takes out what an object has installed.

        :raises StillUsed: others use it
        :raises MeshopsError: it could not be taken out; the text says why
        """
        obj = self._objects.get(*place)
        if obj is None or documents.is_ignored(obj):
            return
        if (obj.get("spec") or {}).get("deletionPolicy") == "Retain":
            self._objects.event(obj, "Retained", "what was installed stays, as deletionPolicy says")
            return
        try:
            goes = self._what_goes(obj)
            while goes:
                with self._turns.of(goes.releases, beat):
                    now = self._what_goes(obj)
                    if now == goes:
                        self._take_out(obj, goes, beat)
                        return
                goes = now
        except MeshopsError as error:
            reason = "StillUsed" if isinstance(error, StillUsed) else FAILED
            if (obj.get("status") or {}).get("message") != reports.short(str(error)):
                self._objects.event(obj, reason, str(error), warning=True)
            self._objects.tell(obj, Outcome(DELETING, reason, str(error)))
            raise

    def _what_goes(self, obj: dict) -> _Removal | None:
        """What goes with an object; None where nothing of it was ever applied.

        :raises StillUsed: others use it
        """
        everything = [o for o in self._objects.all() if o["metadata"]["uid"] != obj["metadata"]["uid"]]
        others = list(_staying(everything))
        components = {(c["namespace"], c["name"]): c for c in (obj.get("status") or {}).get("components") or ()}
        own = documents.shares([obj], self._settings)[_place(obj)]
        if own.wanted is None and not components:
            return None
        for release in _asked(own):
            entry = {"name": release.name, "namespace": release.namespace, "chart": release.chart}
            components.setdefault((release.namespace, release.name), entry)
        held = _asked(*documents.shares(others, self._settings).values())
        mine = documents.left_over(components.values(), held, others)
        revisions = [_revision(one["name"]) for one in mine if one.get("chart") == "istiod"]
        gateways = {(one["namespace"], one["name"]) for one in mine if one.get("chart") == "gateway"}
        is_last = not others and self._objects.control_planes() <= set(revisions)
        uses = self._users(revisions, gateways, is_last)
        if uses:
            raise StillUsed(f"not removed yet: still used by {_some(uses)}. Take them out of the mesh first")
        return _Removal(mine, revisions, is_last)

    def _users(self, revisions: list[str], gateways: set[Release], is_last: bool) -> list[str]:
        """Who uses revisions; where all of Istio goes, a tag goes too, and only who uses it is a user."""
        found, seen, names = [], set(revisions), list(revisions)
        while names:
            for use in self._objects.uses(names.pop(), gateways):
                what, _space, name = use.partition(" ")
                if not is_last or what != "tag":
                    found.append(use)
                elif name not in seen:
                    seen.add(name)
                    names.append(name)
        return sorted(set(found))

    def _take_out(self, obj: dict, goes: _Removal, beat: t.Callable[[], bool]) -> None:
        keep = self._what_stays(beat) if goes.is_last else []
        names = ", ".join(one["name"] for one in goes.components) or "nothing is its own"
        self._objects.event(obj, DELETING, "all of Istio" if goes.is_last else names)
        self._objects.tell(obj, Outcome(DELETING, DELETING, "what was installed is being taken out"))
        rest = [one for one in goes.components if one.get("chart") != "istiod"]
        for number, revision in enumerate(goes.revisions or [""]):
            given = {
                "operator_is_last": goes.is_last,
                "operator_keep": keep,
                "operator_revision": revision,
                "operator_left_over": _absent(rest) if not number else [],
            }
            done = playbook.run("remove", given, {}, self._kubeconfig, beat)
            if done.failure:
                raise MeshopsError(done.failure)
            if goes.is_last:
                break

    def _what_stays(self, beat: t.Callable[[], bool]) -> list[str]:
        """What a removal of everything keeps; asks the API server about all the rest before anything is done.

        :raises StillUsed: something is not the operator's to take; it would stop half-way
        """
        done = playbook.run("footprint", {}, {}, self._kubeconfig, beat)
        if done.failure:
            raise MeshopsError(done.failure)
        purged = done.results[_FOOTPRINT]["purged"]
        keep = removal.kept(purged)
        going = removal.going(purged, keep)
        refused = [f"{removal.where(item)} ({why})" for item in going if (why := self._objects.refusal(item))]
        if refused:
            raise StillUsed(
                f"not removed yet: the operator may not change {_some(refused)}. Delete it, or take Istio's labels and"
                " annotations off it, or add its namespace to managedNamespaces of the operator's chart"
            )
        return keep


def _staying(objects: t.Iterable[dict]) -> t.Iterator[dict]:
    return (obj for obj in objects if not obj["metadata"].get("deletionTimestamp"))


def _asked(*shares: Share) -> list[t.Any]:
    """All releases that objects ask for, whoever has them."""
    return [release for share in shares if share.wanted for release in (*share.wanted.releases, *share.others)]


def _place(obj: t.Mapping[str, t.Any]) -> Place:
    return (obj["metadata"]["namespace"], obj["metadata"]["name"])


def _revision(release: str) -> str:
    """The revision of an istiod's release."""
    return release.removeprefix("istiod").removeprefix("-") or "default"


def _absent(components: t.Iterable[t.Mapping[str, t.Any]]) -> list[dict[str, str]]:
    return [{"name": c["name"], "namespace": c["namespace"], "state": "absent"} for c in components]


def _profile(obj: t.Mapping[str, t.Any]) -> str:
    return (obj.get("spec") or {}).get("profile") or "default"


def _some(names: t.Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
