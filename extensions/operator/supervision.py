# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a run and whoever started it stay in touch: a heartbeat shows that it is alive, a token asks it to stop."""

from __future__ import annotations

import threading
import time


class Heartbeat:
    """When each thread was last heard of."""

    def __init__(self) -> None:
        self._beats: dict[int, float] = {}

    def beat(self) -> None:
        """Records that the calling thread is alive."""
        self._beats[threading.get_ident()] = time.monotonic()

    def end(self) -> None:
        """Records that the calling thread has nothing more to do: its silence is not a fault."""
        self._beats.pop(threading.get_ident(), None)

    @property
    def oldest(self) -> float:
        """The time, by our monotonic clock, at which the thread that has been silent longest was heard of."""
        return min(list(self._beats.values()), default=time.monotonic())


class CancelToken:
    """Whether a run was asked to stop. Cancelling is final."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Asks the run to stop."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether the run was asked to stop."""
        return self._cancelled.is_set()
