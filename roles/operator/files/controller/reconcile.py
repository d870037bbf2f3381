# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keeps every object as it asks for: one after the other, in one thread, each when its pace says so."""

from __future__ import annotations

import logging
import threading
import time
import typing as t

from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ClusterError
from ansible_collections.meshops.istio.plugins.module_utils.istio.control_plane import ControlPlane

from . import documents, playbook
from . import status as reports
from .drift import Release
from .metrics import Metrics
from .objects import Objects
from .pace import Pace
from .settings import Settings
from .status import DELETING, FAILED, INVALID, READY, RECONCILING, Outcome

Place = tuple[str, str]
#: Seconds after which to look whether the users of a superseded revision have gone.
_SUPERSEDED_AGAIN = 60.0
_APPLY = "Install the control plane, and prove that it works"

log = logging.getLogger("operator")


class StillUsed(ClusterError):
    """What is to go is used by others; the text names them."""


class Keeper:
    """All objects with their paces, and the thread that keeps them."""

    def __init__(self, settings: Settings, objects: Objects, metrics: Metrics, kubeconfig: str) -> None:
        self._settings, self._objects, self._metrics, self._kubeconfig = settings, objects, metrics, kubeconfig
        self._paces: dict[Place, Pace] = {}
        self._seen: dict[Place, tuple[str, int]] = {}
        self._releases: dict[Place, set[Release]] = {}
        self._going: set[Place] = set()
        self._drifted: dict[Place, str] = {}
        self._wake = threading.Condition()
        self._running = threading.Lock()
        self.alive = time.monotonic()

    # -- what others tell -------------------------------------------------

    def noticed(self, obj: t.Mapping[str, t.Any]) -> None:
        """An object is there, or has changed."""
        meta = obj["metadata"]
        place = (meta["namespace"], meta["name"])
        with self._wake:
            if meta.get("deletionTimestamp"):
                self._going.add(place)
                self._forget(place)
            else:
                self._going.discard(place)
                sight = (meta["uid"], meta.get("generation", 0))
                if self._seen.get(place) != sight:
                    self._seen[place] = sight
                    self._paces.setdefault(place, Pace(self._settings.resync)).renew()
            self._wake.notify()

    def gone(self, namespace: str, name: str) -> None:
        """An object is there no more."""
        with self._wake:
            self._going.discard((namespace, name))
            self._forget((namespace, name))
        self._metrics.forget(namespace=namespace, name=name)

    def _forget(self, place: Place) -> None:
        for table in (self._paces, self._seen, self._releases, self._drifted):
            table.pop(place, None)

    def drifted(self, release: Release, what: str) -> None:
        """An object of a release has changed."""
        with self._wake:
            for place, releases in self._releases.items():
                if release in releases and place in self._paces:
                    self._paces[place].drift(time.monotonic())
                    self._drifted.setdefault(place, what)
            self._wake.notify()

    # -- the thread -------------------------------------------------------

    def start(self) -> None:
        """Begins to keep."""
        threading.Thread(target=self._keep, name="keeper", daemon=True).start()

    def _keep(self) -> None:
        while True:
            with self._wake:
                place, reason = self._next()
                while place is None:
                    place, reason = self._next()
                drifted = self._drifted.pop(place, "")
                self._paces[place].begins()
            try:
                with self._running:
                    self._look(place, reason, drifted)
            except Exception:  # one object's trouble must not end the keeping of the others
                log.exception("%s/%s", *place)
                self._ended(place, failed=True)

    def _next(self) -> tuple[Place | None, str]:
        """The object that is due, after a wait; None where the wait ended without one. With the lock held."""
        self.alive = time.monotonic()
        if not self._paces:
            self._wake.wait(20)
            return None, ""
        (at, reason), place = min((pace.due(), place) for place, pace in self._paces.items())
        left = at - time.monotonic()
        if left > 0:
            self._wake.wait(min(left, 20))
            return None, ""
        return place, reason

    def _ended(self, place: Place, **how: t.Any) -> None:
        with self._wake:
            if place in self._paces:
                self._paces[place].ran(time.monotonic(), **how)

    def _beat(self) -> bool:
        """Says that we live; gives False: what runs goes on."""
        self.alive = time.monotonic()
        return False

    def _cancelled(self, place: Place) -> bool:
        return self._beat() or place in self._going

    # -- one object -------------------------------------------------------

    def _look(self, place: Place, reason: str, drifted: str) -> None:
        obj = self._objects.get(*place)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            with self._wake:
                self._forget(place)
            return
        begun = time.monotonic()
        generation = obj["metadata"].get("generation", 0)
        is_new = (obj.get("status") or {}).get("observedGeneration") != generation
        everything = self._objects.all()
        others = [o for o in everything if o["metadata"]["uid"] != obj["metadata"]["uid"]]
        shared = documents.shared_by(obj, everything, self._settings)
        try:
            wanted = documents.wanted(obj, self._settings, shared)
        except documents.Invalid as error:
            self._refuse(obj, str(error))
            self._ended(place, failed=False)
            self._count(place, reason, "invalid", begun)
            return
        releases = {(release.namespace, release.name) for release in wanted.releases}
        with self._wake:
            self._releases[place] = releases
        before = (obj.get("status") or {}).get("components") or []
        left_over = documents.left_over(before, wanted.releases, others)
        if is_new:
            names = ", ".join(release.name for release in wanted.releases)
            self._objects.event(obj, RECONCILING, f"wanted: {names}")
            about = {"profile": _profile(obj), "revision": wanted.revision or "default"}
            self._objects.tell(obj, Outcome(RECONCILING, RECONCILING, "the object is new or has changed", **about))
        done = self._apply(obj, shared, wanted, [one for one in left_over if one.get("chart") != "istiod"], place)
        if done.cancelled:
            self._ended(place, failed=False)
            return
        self._report(obj, place, wanted, left_over, done, is_new, drifted)
        self._count(place, reason, "failed" if done.failure else "done", begun)

    def _apply(
        self, obj: dict, shared: list[str], wanted: ControlPlane, left_over: list[dict], place: Place
    ) -> playbook.Done:
        variables = documents.variables(obj, self._settings, shared)
        document = variables.pop("istio_operator")
        given = {f"control_plane_{name}": value for name, value in variables.items()}
        given["operator_left_over"] = _absent(left_over)
        given["control_plane_take_ownership"] = self._objects.has_legacy({r.namespace for r in wanted.releases})
        files = {"control_plane_istio_operator": document}
        return playbook.run("apply", given, files, self._kubeconfig, lambda: self._cancelled(place))

    def _report(
        self,
        obj: dict,
        place: Place,
        wanted: ControlPlane,
        left_over: list[dict],
        done: playbook.Done,
        is_new: bool,
        drifted: str,
    ) -> None:
        result = done.results.get(_APPLY, {})
        planned = result.get("releases") or []
        for reason, message in reports.events(planned):
            self._objects.event(obj, reason, message)
        for one in planned:
            if one["action"] != "none":
                self._metrics.add("istio_operator_changes_total", action=one["action"], release=one["name"])
        superseded = [] if done.failure else self._supersede(obj, left_over)
        unready = self._objects.unready({(r.namespace, r.name) for r in wanted.releases})
        found = reports.components(wanted.releases, unready, done.failure, planned, superseded)
        version = (result.get("proof") or {}).get("version", "").partition("-")[0] or None
        about = {"profile": _profile(obj), "revision": wanted.revision or "default", "version": version}
        changed = bool(result.get("changed")) and not is_new
        failures = 0
        with self._wake:
            if place in self._paces:
                failures = self._paces[place].failures
        if done.failure:
            if not failures or is_new:
                self._objects.event(obj, FAILED, done.failure, warning=True)
            self._objects.tell(obj, Outcome(FAILED, FAILED, done.failure, found, **about))
            self._metrics.add("istio_operator_failures_total", namespace=place[0], name=place[1])
            self._ended(place, failed=True)
        else:
            message = reports.summary(planned, len(found))
            if changed and drifted:
                message += f"; repaired after {drifted} had changed"
            elif not changed and not is_new and (obj.get("status") or {}).get("state") == READY:
                message = obj["status"].get("message") or message
            if is_new:
                self._objects.event(obj, READY, message)
            self._objects.tell(obj, Outcome(READY, READY, message, found, **about))
            self._metrics.set(
                "istio_operator_last_success_timestamp_seconds", time.time(), namespace=place[0], name=place[1]
            )
            again = _SUPERSEDED_AGAIN if superseded else None
            self._ended(place, failed=False, repaired=changed, retry=again)
        ready = 0.0 if done.failure else 1.0
        self._metrics.set("istio_operator_ready", ready, namespace=place[0], name=place[1])

    def _refuse(self, obj: dict, why: str) -> None:
        """Says what is wrong with an object; what runs stays as it is."""
        before = obj.get("status") or {}
        if before.get("state") != INVALID or before.get("observedGeneration") != obj["metadata"].get("generation"):
            self._objects.event(obj, INVALID, why, warning=True)
        self._objects.tell(obj, Outcome(INVALID, INVALID, why))
        meta = obj["metadata"]
        self._metrics.set("istio_operator_ready", 0, namespace=meta["namespace"], name=meta["name"])

    def _supersede(self, obj: dict, left_over: list[dict]) -> list[dict]:
        """Takes out the control planes of revisions that an object no longer names; gives those still in use."""
        kept = []
        for one in left_over:
            if one.get("chart") != "istiod":
                continue
            revision = one["name"].removeprefix("istiod").removeprefix("-") or "default"
            uses = self._objects.uses(revision, set())
            why = f"still used by {_some(uses)}"
            if not uses:
                given = {"operator_is_last": False, "operator_revision": revision, "operator_left_over": []}
                done = playbook.run("remove", given, {}, self._kubeconfig, self._beat)
                if not done.failure:
                    self._objects.event(obj, "Removed", f"revision {revision}, which nobody uses any more")
                    continue
                why = done.failure
            if one.get("state") != "Superseded":
                self._objects.event(obj, "Superseded", f"revision {revision} stays for now: {why}")
            kept.append({**one, "state": "Superseded", "message": why[:300]})
        return kept

    def _count(self, place: Place, reason: str, outcome: str, begun: float) -> None:
        labels = {"namespace": place[0], "name": place[1]}
        self._metrics.add("istio_operator_reconciles_total", reason=reason, outcome=outcome, **labels)
        self._metrics.observe("istio_operator_reconcile_seconds", time.monotonic() - begun, **labels)

    # -- an object goes ---------------------------------------------------

    def remove(self, namespace: str, name: str) -> None:
        """Takes out what an object has installed.

        :raises StillUsed: others use it
        :raises ClusterError: it could not be taken out; the text says why
        """
        with self._running:
            obj = self._objects.get(namespace, name)
            if obj is None:
                return
            if (obj.get("spec") or {}).get("deletionPolicy") == "Retain":
                self._objects.event(obj, "Retained", "what was installed stays, as deletionPolicy says")
                return
            try:
                self._remove(obj)
            except ClusterError as error:
                reason = "StillUsed" if isinstance(error, StillUsed) else FAILED
                if (obj.get("status") or {}).get("message") != reports.short(str(error)):
                    self._objects.event(obj, reason, str(error), warning=True)
                self._objects.tell(obj, Outcome(DELETING, reason, str(error)))
                raise

    def _remove(self, obj: dict) -> None:
        others = [
            o for o in self._objects.all()
            if o["metadata"]["uid"] != obj["metadata"]["uid"] and not o["metadata"].get("deletionTimestamp")
        ]  # fmt: skip
        components = {(c["namespace"], c["name"]): c for c in (obj.get("status") or {}).get("components") or ()}
        try:
            wanted = documents.wanted(obj, self._settings)
            for release in wanted.releases:
                entry = {"name": release.name, "namespace": release.namespace, "chart": release.chart}
                components.setdefault((release.namespace, release.name), entry)
        except documents.Invalid:
            if not components:
                return  # nothing of it was ever applied
        mine = documents.left_over(components.values(), (), others)
        istiods = [one["name"] for one in mine if one.get("chart") == "istiod"]
        revisions = [name.removeprefix("istiod").removeprefix("-") or "default" for name in istiods]
        gateways = {(one["namespace"], one["name"]) for one in mine if one.get("chart") == "gateway"}
        uses = [use for revision in revisions for use in self._objects.uses(revision, gateways)]
        if uses:
            raise StillUsed(f"not removed yet: still used by {_some(uses)}. Take them out of the mesh first")
        is_last = not others and self._objects.control_planes() <= set(revisions)
        self._objects.event(obj, DELETING, "all of Istio" if is_last else ", ".join(one["name"] for one in mine))
        self._objects.tell(obj, Outcome(DELETING, DELETING, "what was installed is being taken out"))
        rest = [one for one in mine if one.get("chart") != "istiod"]
        for number, revision in enumerate(revisions or [""]):
            given = {
                "operator_is_last": is_last,
                "operator_revision": revision,
                "operator_left_over": _absent(rest) if not number else [],
            }
            done = playbook.run("remove", given, {}, self._kubeconfig, self._beat)
            if done.failure:
                raise ClusterError(done.failure)
            if is_last:
                break


def _absent(components: t.Iterable[t.Mapping[str, t.Any]]) -> list[dict[str, str]]:
    return [{"name": c["name"], "namespace": c["namespace"], "state": "absent"} for c in components]


def _profile(obj: t.Mapping[str, t.Any]) -> str:
    return (obj.get("spec") or {}).get("profile") or "default"


def _some(names: t.Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
