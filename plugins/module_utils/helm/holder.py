# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who runs the helm behind a pending record, and whether that helm is alive.

A run holds a lock on a file in its temporary folder, and hands it down to the helms that it starts. The kernel frees
the lock when the last of them has ended, however it ended. The record carries a label with its revision, the machine
and the folder, and while helm works an annotation that changes every few seconds. So a run on the same machine asks
the lock, and one elsewhere watches the annotation, without comparing clocks.

Helm copies the labels of a release to its next revision. A label with another revision than its record's is such a
copy: somebody else's helm is at work.
"""

from __future__ import annotations

import dataclasses
import enum
import fcntl
import hashlib
import os
import pathlib
import re
import socket
import tempfile
import threading
import typing as t

from ..cluster.errors import ApiError, Unreachable
from .stored import SECRET, Stored

if t.TYPE_CHECKING:
    from ..cluster.client import Cluster

#: The label on a record that names its holder.
HOLDER_LABEL = "meshops.istio/holder"
#: The annotation on a pending record that changes while its holder is alive.
HEARTBEAT = "meshops.istio/heartbeat"
#: Seconds between two heartbeats.
INTERVAL = 4.0
#: Seconds without a heartbeat after which a holder on another machine counts as dead.
SILENCE = 20.0

PREFIX = f"meshops-helm-{os.getuid()}-"
_LABEL = re.compile(r"(\d+)\.([0-9a-f]{12})\.([A-Za-z0-9_]{1,32})")
_LOCK = "lock"


class State(enum.Enum):
    """What is known of the helm behind a pending record."""

    ALIVE = "alive"
    DEAD = "dead"
    #: A run of this collection on another machine: its heartbeat tells.
    ELSEWHERE = "elsewhere"
    #: Not a run of this collection.
    FOREIGN = "foreign"


@dataclasses.dataclass(frozen=True)
class Holder:
    """A run that works on a revision of a release.

    :ivar revision: the revision that its helm creates
    :ivar machine: see C(machine)
    :ivar run: what follows the prefix in the name of its temporary folder
    """

    revision: int
    machine: str
    run: str

    @property
    def label(self) -> str:
        """The value of the label."""
        return f"{self.revision}.{self.machine}.{self.run}"


def machine() -> str:
    """Identifies the machine, the user and the folder of temporary files, together: who sees the same locks."""
    try:
        boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        boot = ""
    folder = os.stat(tempfile.gettempdir())
    parts = (boot, socket.gethostname(), os.getuid(), tempfile.gettempdir(), folder.st_dev, folder.st_ino)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def holder_of(record: Stored) -> Holder | None:
    """The run of this collection that works or worked on a record; None where that is another program."""
    match = _LABEL.fullmatch(record.labels.get(HOLDER_LABEL, ""))
    if match is None or int(match[1]) != record.revision:
        return None
    return Holder(record.revision, match[2], match[3])


def state_of(record: Stored) -> State:
    """What is known here of the helm behind a pending record."""
    holder = holder_of(record)
    if holder is None:
        return State.FOREIGN
    if holder.machine != machine():
        return State.ELSEWHERE
    return State.ALIVE if is_locked(pathlib.Path(tempfile.gettempdir()) / (PREFIX + holder.run)) else State.DEAD


def lock(folder: pathlib.Path) -> int:
    """Locks a run's folder; gives the file descriptor that holds the lock."""
    descriptor = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def is_locked(folder: pathlib.Path) -> bool:
    """Whether a run, or a helm that it started, still holds its folder's lock."""
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


class Heartbeat:
    """Changes an annotation of a pending record every few seconds while helm works. Use it as a context manager."""

    def __init__(self, cluster: Cluster, namespace: str, record: str, interval: float | None = None) -> None:
        self._cluster, self._namespace, self._record = cluster, namespace, record
        self._interval = INTERVAL if interval is None else interval
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._over.set()
        self._thread.join(timeout=self._interval)

    def _beat(self) -> None:
        count = 0
        while not self._over.wait(self._interval):
            count += 1
            patch = {"metadata": {"annotations": {HEARTBEAT: str(count)}}}
            try:
                self._cluster.patch(SECRET, self._record, patch, self._namespace)
            except (ApiError, Unreachable):
                continue  # helm has not written the record yet, or the server is busy


@dataclasses.dataclass
class Watch:
    """Watches a pending record of another machine for heartbeats.

    :ivar since: the local time of the last change that was seen
    :ivar seen: revision, version and heartbeat of the record at that time
    """

    since: float
    seen: tuple[str, str]
    beats: int = 0

    def look(self, record: Stored, now: float) -> State:
        """The state of the record's holder, after another look at it."""
        seen = (record.record, record.annotations.get(HEARTBEAT, ""))
        if seen != self.seen:
            self.seen, self.since, self.beats = seen, now, self.beats + 1
        if self.beats:
            return State.ALIVE if now - self.since <= SILENCE else State.DEAD
        return State.DEAD if now - self.since > SILENCE else State.ELSEWHERE


def watch(record: Stored, now: float) -> Watch:
    """Begins to watch a record."""
    return Watch(now, (record.record, record.annotations.get(HEARTBEAT, "")))
