# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Steps with a progress display: what is being made, how much is left, where the log is."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from home import LabError, file_name, folder, lock


@dataclass(frozen=True)
class Step:
    """Something that is made once: `make(log)` has to make `result` in one move, as its last act."""

    name: str
    result: Path
    make: Callable[[Path], None] = field(compare=False)

    @property
    def log(self) -> Path:
        return folder("logs") / f"{file_name(self.name)}.log"


def carry_out(steps: Iterable[Step]) -> None:
    """Make what is missing, in order. Two callers at once share the work instead of doing it twice."""
    missing = [step for step in steps if not step.result.exists()]
    began = time.monotonic()
    for number, step in enumerate(missing, start=1):
        with lock(step.name):
            if step.result.exists():
                continue
            with Display(f"[{number}/{len(missing)}] {step.name}", step.log, began):
                try:
                    step.make(step.log)
                except LabError as error:
                    raise LabError(f"{step.name}: {error}\nThe whole log: {step.log}") from error
    if missing:
        say(f"lab: all {len(missing)} steps done in {duration(time.monotonic() - began)}")


class Display:
    """One line a step; on a terminal it counts the seconds, elsewhere a line at the start and one at the end."""

    def __init__(self, title: str, log: Path, began: float) -> None:
        self.title, self.log, self.began = title, log, began
        self.start = time.monotonic()
        self.ended = threading.Event()
        self.ticker = threading.Thread(target=self.tick, daemon=True)

    def __enter__(self) -> None:
        if sys.stderr.isatty():
            self.ticker.start()
        else:
            say(f"lab: {self.title} ... (log: {self.log})")

    def __exit__(self, kind: type | None, *unused: object) -> None:
        self.ended.set()
        word = "failed" if kind else "done"
        line = f"lab: {self.title} {word}, {duration(time.monotonic() - self.start)}"
        say(f"\r\x1b[K{line}" if sys.stderr.isatty() else line)

    def tick(self) -> None:
        while not self.ended.wait(1):
            now = time.monotonic()
            line = (
                f"lab: {self.title} {duration(now - self.start)}, in all {duration(now - self.began)}, log: {self.log}"
            )
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
