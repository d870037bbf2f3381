# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When an object is looked at again: after a failure, after a change of what it owns, and now and then anyway."""

from __future__ import annotations

import dataclasses

#: Seconds that must pass without a further change before drift is looked at: changes come in swarms.
QUIET = 4.0
_FIRST, _LONGEST = 10.0, 300.0
#: Drift that is repaired again and again within this time is somebody's fight with us.
_FIGHT_WINDOW = 900.0
_FIGHT_FREE = 3


@dataclasses.dataclass
class Pace:
    """The pace of one object. All times are seconds of one clock.

    :ivar resync: seconds after which it is looked at without any reason
    :ivar failures: failed runs in a row
    """

    resync: float
    failures: int = 0
    last: float | None = None
    changed: float | None = None
    repairs: list[float] = dataclasses.field(default_factory=list)
    retry: float | None = None

    def renew(self) -> None:
        """The object itself is new or has changed: what was before doesn't count."""
        self.failures, self.last, self.retry = 0, None, None
        self.repairs.clear()

    def drift(self, now: float) -> None:
        """Something that the object owns has changed."""
        self.changed = now

    def begins(self) -> None:
        """A run begins; it sees all that has changed until now."""
        self.changed = None

    def ran(self, now: float, *, failed: bool, repaired: bool = False, retry: float | None = None) -> None:
        """A run has ended. What has changed since it began is looked at once more: the run may have missed it.

        :param repaired: it changed something although the object was the same as before
        :param retry: seconds after which to look again
        """
        self.last = now
        self.failures = self.failures + 1 if failed else 0
        self.repairs = [at for at in self.repairs if now - at < _FIGHT_WINDOW] + ([now] if repaired else [])
        self.retry = now + retry if retry is not None else None

    def fights(self) -> bool:
        """Whether repairs have come so often that somebody else keeps changing the same things."""
        return len(self.repairs) > _FIGHT_FREE

    def due(self) -> tuple[float, str]:
        """When the next look is due, and why: C(Changed), C(Retry), C(Drift), C(Resync)."""
        if self.last is None:
            return 0.0, "Changed"
        again = (backoff(self.failures), "Retry") if self.failures else (self.resync, "Resync")
        found = [(self.last + again[0], again[1])]
        if self.retry is not None:
            found.append((self.retry, "Resync"))
        if self.changed is not None:
            pause = _FIRST if self.failures else 0.0
            if self.fights():
                pause = backoff(len(self.repairs) - _FIGHT_FREE)
            found.append((max(self.changed + QUIET, self.last + pause), "Drift"))
        return min(found)


def backoff(failures: int) -> float:
    """Seconds to wait after so many failures in a row."""
    return min(_FIRST * 2 ** (max(failures, 1) - 1), _LONGEST)
