# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keeps every object as it asks for: each in a thread of its own, when its pace says so."""

from __future__ import annotations

import logging
import threading
import time
import typing as t

from .documents import is_ignored
from .drift import Release
from .metrics import Metrics
from .pace import Pace
from .reconcile import Place, Reconciler, Run

#: Seconds after which a thread that waits says that it lives.
_BEAT = 20

log = logging.getLogger("operator")


class Keeper:
    """All objects with their paces, and the threads that keep them.

    :param resync: see C(Pace)
    """

    def __init__(self, reconciler: Reconciler, metrics: Metrics, resync: float) -> None:
        self._reconciler, self._metrics, self._resync = reconciler, metrics, resync
        self._paces: dict[Place, Pace] = {}
        self._seen: dict[Place, tuple[str, int]] = {}
        self._releases: dict[Place, set[Release]] = {}
        self._drifted: dict[Place, str] = {}
        self._going: set[Place] = set()
        self._kept: set[Place] = set()
        self._beats: dict[int, float] = {}
        self._wake = threading.Condition()

    @property
    def alive(self) -> float:
        """Our clock when the thread that has been silent for longest was heard of."""
        return min(list(self._beats.values()), default=time.monotonic())

    # -- what others tell -------------------------------------------------

    def noticed(self, obj: t.Mapping[str, t.Any]) -> None:
        """An object is there, or has changed."""
        meta = obj["metadata"]
        place = (meta["namespace"], meta["name"])
        with self._wake:
            if meta.get("deletionTimestamp") and not is_ignored(obj):
                self._going.add(place)
            else:
                self._going.discard(place)
            if meta.get("deletionTimestamp") or is_ignored(obj):
                self._forget(place)
                return
            sight = (meta["uid"], meta.get("generation", 0))
            if self._seen.get(place) != sight:
                self._seen[place] = sight
                self._paces.setdefault(place, Pace(self._resync)).renew()
                self._look_at_others(place)
            if place not in self._kept:
                self._kept.add(place)
                threading.Thread(target=self._keep, args=(place,), name=f"keep-{meta['name']}", daemon=True).start()
            self._wake.notify_all()

    def gone(self, namespace: str, name: str) -> None:
        """An object is there no more."""
        with self._wake:
            self._going.discard((namespace, name))
            self._forget((namespace, name))
        self._metrics.forget(namespace=namespace, name=name)

    def drifted(self, release: Release, what: str) -> None:
        """An object of a release has changed."""
        with self._wake:
            for place, releases in self._releases.items():
                if release in releases and place in self._paces:
                    self._paces[place].drift(time.monotonic())
                    self._drifted.setdefault(place, what)
            self._wake.notify_all()

    def remove(self, namespace: str, name: str) -> None:
        """Takes out what an object has installed; see C(Reconciler.remove)."""
        try:
            self._reconciler.remove((namespace, name), self._beat)
        finally:
            self._beats.pop(threading.get_ident(), None)

    def _forget(self, place: Place) -> None:
        """With the lock held."""
        if self._paces.pop(place, None):
            self._look_at_others(place)
        for table in (self._seen, self._releases, self._drifted):
            table.pop(place, None)
        self._wake.notify_all()

    def _look_at_others(self, place: Place) -> None:
        """What is whose may have changed with an object. With the lock held."""
        for other, pace in self._paces.items():
            if other != place:
                pace.drift(time.monotonic())

    # -- an object's thread -----------------------------------------------

    def _keep(self, place: Place) -> None:
        while True:
            with self._wake:
                reason = self._due(place)
                if not reason:
                    self._kept.discard(place)
                    self._beats.pop(threading.get_ident(), None)
                    return
                pace, sight = self._paces[place], self._seen[place]
                run = Run(reason, self._drifted.pop(place, ""), pace.failures)
                pace.begins()
            try:
                ended = self._reconciler.look(
                    place, run, lambda releases: self._watch(place, releases), lambda: self._cancelled(place)
                )
            except Exception:  # one object's trouble must not end its keeping
                log.exception("%s/%s", *place)
                ended = None
            with self._wake:
                if self._seen.get(place) != sight:
                    continue  # it has changed meanwhile, and is due at once
                if ended is None:
                    pace.ran(time.monotonic(), failed=True)
                elif ended.gone:
                    self._forget(place)
                else:
                    pace.ran(time.monotonic(), ended.failed, ended.repaired, ended.retry)

    def _due(self, place: Place) -> str:
        """Why an object is due, after a wait until it is; empty where it has gone. With the lock held."""
        while place in self._paces:
            self._beat()
            at, reason = self._paces[place].due()
            left = at - time.monotonic()
            if left <= 0:
                return reason
            self._wake.wait(min(left, _BEAT))
        return ""

    def _watch(self, place: Place, releases: set[Release]) -> None:
        """From now on a change of these releases is this object's drift."""
        with self._wake:
            if place in self._paces:
                self._releases[place] = releases

    def _cancelled(self, place: Place) -> bool:
        self._beat()
        return place in self._going

    def _beat(self) -> bool:
        """Says that this thread lives; gives False: what runs goes on."""
        self._beats[threading.get_ident()] = time.monotonic()
        return False
