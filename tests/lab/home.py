# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where the lab keeps its things: one folder, so that deleting it deletes the lab."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HOME = Path(os.environ.get("MESHOPS_LAB_HOME") or "~/.cache/meshops-lab").expanduser()


class LabError(Exception):
    """Something the user can act on: the message says what and how."""


def folder(*parts: str) -> Path:
    """A folder of the lab, made if missing."""
    path = HOME.joinpath(*parts)
    path.mkdir(parents=True, exist_ok=True)
    return path


def run(*command: object, log: Path | None = None, **options) -> str:
    """Run a command and give its output; with a log, both outputs go there instead.

    A failure raises LabError with the last lines of what the command said.
    """
    words = [str(word) for word in command]
    try:
        if log is not None:
            with log.open("ab") as stream:
                stream.write(f"$ {' '.join(words)}\n".encode())
                stream.flush()
                done = subprocess.run(words, stdout=stream, stderr=subprocess.STDOUT, check=False, **options)
            said = tail(log) if done.returncode else ""
        else:
            done = subprocess.run(words, capture_output=True, text=True, check=False, **options)
            said = done.stderr.strip() or done.stdout.strip()
    except OSError as error:
        raise LabError(f"{words[0]} can't be run: {error.strerror}. Install it, then run this again") from error
    if done.returncode:
        raise LabError(f"{' '.join(words[:6])} failed ({done.returncode}):\n{said}")
    return done.stdout or ""


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log file."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """One lab process at a time does the thing of that name; the others wait."""
    with (folder("locks") / file_name(name)).open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"lab: waiting for another lab command ({name})", file=sys.stderr, flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def file_name(name: str) -> str:
    """A name without characters that trouble in paths."""
    return re.sub(r"[^\w.-]+", "-", name)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def link(target: Path, name: Path) -> None:
    """Make name a symbolic link to target, replacing what it was, in one move."""
    fresh = name.with_name(f".{name.name}.{os.getpid()}")
    fresh.symlink_to(target)
    fresh.replace(name)
