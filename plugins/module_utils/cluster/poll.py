# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waiting by asking again: the one loop with a deadline."""

from __future__ import annotations

import time
import typing as t

T = t.TypeVar("T")


def until(
    look: t.Callable[[], T | None],
    timeout: float,
    *,
    pause: float = 0.1,
    longest_pause: float = 0.5,
    clock: t.Callable[[], float] = time.monotonic,
    sleep: t.Callable[[float], None] = time.sleep,
) -> T | None:
    """Calls C(look) until it returns something true, and returns that; None when the time is over.

    It is called once at least, also where C(timeout) is zero or negative, and once more at the very end.

    :param look: what to ask; an exception that it raises ends the waiting
    :param timeout: seconds
    :param pause: seconds between the first two calls; the pause grows by a fifth each time
    :param longest_pause: seconds that the pause grows to
    """
    deadline = clock() + timeout
    while True:
        answer = look()
        if answer:
            return answer
        left = deadline - clock()
        if left <= 0:
            return None
        sleep(min(pause, left))
        pause = min(pause * 1.2, max(longest_pause, pause))
