# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reconciles every object: each in a thread of its own, when its pace says so."""

from __future__ import annotations

import logging
import threading
import time
import typing as t

from .documents import Ref, is_ignored, ref_of
from .drift import Release
from .metrics import Metrics
from .pace import Pace
from .publication import Run
from .reconcile import Reconciler
from .supervision import CancelToken, Heartbeat

#: Seconds after which a thread that waits says that it lives.
_BEAT = 20

log = logging.getLogger("operator")


class Keeper:
    """All objects with their paces, and the threads that keep them.

    :param resync: see C(Pace)
    """

    def __init__(self, reconciler: Reconciler, metrics: Metrics, resync: float) -> None:
        self._reconciler, self._metrics, self._resync = reconciler, metrics, resync
        self._paces: dict[Ref, Pace] = {}
        self._seen: dict[Ref, tuple[str, int]] = {}
        self._releases: dict[Ref, set[Release]] = {}
        self._drifted: dict[Ref, str] = {}
        self._cancels: dict[Ref, CancelToken] = {}
        self._kept: set[Ref] = set()
        self._heartbeat = Heartbeat()
        self._wake = threading.Condition()

    @property
    def alive(self) -> float:
        """The time at which the thread that has been silent longest was heard of."""
        return self._heartbeat.oldest

    # -- what others report -------------------------------------------------

    def noticed(self, obj: t.Mapping[str, t.Any]) -> None:
        """An object exists, or has changed."""
        meta = obj["metadata"]
        ref = ref_of(obj)
        with self._wake:
            if meta.get("deletionTimestamp") and not is_ignored(obj) and ref in self._cancels:
                self._cancels[ref].cancel()
            if meta.get("deletionTimestamp") or is_ignored(obj):
                self._forget(ref)
                return
            sight = (meta["uid"], meta.get("generation", 0))
            if self._seen.get(ref) != sight:
                self._seen[ref] = sight
                self._paces.setdefault(ref, Pace(self._resync)).renew()
                self._look_at_others(ref)
            if ref not in self._kept:
                self._kept.add(ref)
                threading.Thread(target=self._keep, args=(ref,), name=f"keep-{meta['name']}", daemon=True).start()
            self._wake.notify_all()

    def gone(self, namespace: str, name: str) -> None:
        """An object no longer exists."""
        with self._wake:
            self._forget((namespace, name))
        self._metrics.forget(namespace=namespace, name=name)

    def drifted(self, release: Release, what: str) -> None:
        """An object of a release has changed."""
        with self._wake:
            for ref, releases in self._releases.items():
                if release in releases and ref in self._paces:
                    self._paces[ref].drift(time.monotonic())
                    self._drifted.setdefault(ref, what)
            self._wake.notify_all()

    def remove(self, namespace: str, name: str) -> None:
        """Removes what an object has installed; see C(Reconciler.remove)."""
        try:
            self._reconciler.remove((namespace, name), self._heartbeat)
        finally:
            self._heartbeat.end()

    def _forget(self, ref: Ref) -> None:
        """With the lock held."""
        if self._paces.pop(ref, None):
            self._look_at_others(ref)
        for table in (self._seen, self._releases, self._drifted):
            table.pop(ref, None)
        self._wake.notify_all()

    def _look_at_others(self, ref: Ref) -> None:
        """With an object, the shares of the others may have changed. With the lock held."""
        for other, pace in self._paces.items():
            if other != ref:
                pace.drift(time.monotonic())

    # -- an object's thread -----------------------------------------------

    def _keep(self, ref: Ref) -> None:
        while True:
            with self._wake:
                reason = self._due(ref)
                if not reason:
                    self._kept.discard(ref)
                    self._heartbeat.end()
                    return
                pace, sight = self._paces[ref], self._seen[ref]
                run = Run(reason, self._drifted.pop(ref, ""), pace.failures)
                cancel = self._cancels[ref] = CancelToken()
                pace.begins()
            try:
                ended = self._reconciler.look(
                    ref, run, lambda releases: self._watch(ref, releases), self._heartbeat, cancel
                )
            except Exception:  # an unexpected error in one run must not end the object's thread
                log.exception("%s/%s", *ref)
                ended = None
            with self._wake:
                self._cancels.pop(ref, None)
                if self._seen.get(ref) != sight:
                    continue  # it has changed meanwhile, and is due at once
                if ended is None:
                    pace.ran(time.monotonic(), failed=True)
                elif ended.gone:
                    self._forget(ref)
                else:
                    pace.ran(time.monotonic(), failed=ended.failed, repaired=ended.repaired, retry=ended.retry)

    def _due(self, ref: Ref) -> str:
        """Why an object is due, after a wait until it is; empty where it no longer exists. With the lock held."""
        while ref in self._paces:
            self._heartbeat.beat()
            at, reason = self._paces[ref].due()
            left = at - time.monotonic()
            if left <= 0:
                return reason
            self._wake.wait(min(left, _BEAT))
        return ""

    def _watch(self, ref: Ref, releases: set[Release]) -> None:
        """From now on a change of these releases is this object's drift."""
        with self._wake:
            if ref in self._paces:
                self._releases[ref] = releases
