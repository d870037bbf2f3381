# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who works on what: no two runs work on one release at the same time, and the removal of everything works alone."""

from __future__ import annotations

import contextlib
import threading
import typing as t

from .drift import Release
from .supervision import Heartbeat

#: Seconds between two heartbeats of a run that waits.
_BEAT = 10


class Turns:
    """The releases that are being worked on.

    :param at_once: how many runs there may be; each takes the memory of an Ansible
    """

    def __init__(self, at_once: int = 4) -> None:
        self._changed = threading.Condition()
        self._taken: set[Release] = set()
        self._runs, self._at_once = 0, at_once

    @contextlib.contextmanager
    def of(self, releases: t.Collection[Release] | None, heartbeat: Heartbeat) -> t.Iterator[None]:
        """The turn of a run; waits until it has come.

        :param releases: what it works on; None is everything
        """
        mine = set(releases or ())
        with self._changed:
            while not self._is_free(None if releases is None else mine):
                self._changed.wait(_BEAT)
                heartbeat.beat()
            self._runs += 1 if releases is not None else self._at_once
            self._taken |= mine
        try:
            yield
        finally:
            with self._changed:
                self._runs -= 1 if releases is not None else self._at_once
                self._taken -= mine
                self._changed.notify_all()

    def _is_free(self, wanted: set[Release] | None) -> bool:
        if wanted is None:
            return self._runs == 0
        return self._runs < self._at_once and self._taken.isdisjoint(wanted)
