# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The stored records of releases, once no helm works on them any more."""

from __future__ import annotations

import time
import typing as t

from ..cluster.client import Cluster
from .helm import HelmBusy
from .holder import State, Watch, state_of, watch
from .releases import Release
from .stored import Stored, stored_releases

Records = dict[tuple[str, str], list[Stored]]

#: Seconds that an operation of another helm is given to end by itself.
GRACE = 10.0
#: Seconds after which an operation that this collection didn't begin is considered stale.
FOREIGN = 600.0
_PAUSE = 0.5


def settled(cluster: Cluster, releases: t.Sequence[Release], timeout: float = 0) -> Records:
    """The stored records, once a helm that works on one of them has had the time to end.

    :param timeout: seconds that a helm is given to do its work
    :raises HelmBusy: another Helm operation is in progress on one of the releases
    """
    wanted = [release.id for release in releases]
    watches: dict[tuple[str, str], Watch] = {}
    begin = time.monotonic()
    while True:
        records = stored_releases(cluster, wanted)
        pending = [found[0] for found in records.values() if found[0].is_pending]
        states = [(record, _state(record, watches, timeout)) for record in pending]
        working = [record for record, state in states if state in (State.ALIVE, State.FOREIGN)]
        unknown = any(state is State.ELSEWHERE for _record, state in states)
        if not working and not unknown:
            return records
        if working and time.monotonic() - begin > GRACE:
            raise HelmBusy(_in_progress(working[0], timeout))
        time.sleep(_PAUSE)


def _state(record: Stored, watches: dict[tuple[str, str], Watch], timeout: float) -> State:
    """The state of a pending record's helm; C(FOREIGN) only where that may still be alive."""
    state = state_of(record)
    if state is State.ELSEWHERE:
        now = time.monotonic()
        if record.id not in watches:
            watches[record.id] = watch(record, now)
        return watches[record.id].look(record, now)
    if state is State.FOREIGN and time.time() - record.modified >= max(FOREIGN, timeout):
        return State.DEAD
    return state


def _in_progress(record: Stored, timeout: float) -> str:
    head = f"release {record.namespace}/{record.name}: another Helm operation is in progress ({record.status})"
    if state_of(record) is State.FOREIGN:
        minutes = max(FOREIGN, timeout) / 60
        return (
            f"{head}. Wait until it has ended. If that process was killed, remove the Secret {record.record}, or retry"
            f" after {minutes:.0f} minutes, when the lock is considered stale"
        )
    return f"{head}: another run of this collection is working on it. Wait until it has ended, and retry"
