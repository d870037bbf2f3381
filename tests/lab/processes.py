# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Servers that the lab leaves running in the background, each with a folder that holds its log and its process id."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import build


def launch(
    place: Path, name: str, version: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.Popen:
    """Start a built program in the background; its folder has to be among its arguments."""
    with (place / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [build.program(name, version), *arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            start_new_session=True, cwd=place, env={**os.environ, **(environment or {})},
        )  # fmt: skip
    (place / f"{name}.pid").write_text(str(process.pid))
    return process


def alive(pid_file: Path) -> bool:
    """Whether the process of that file still is the one we started (its command line names our folder)."""
    try:
        command = Path("/proc", pid_file.read_text().strip(), "cmdline").read_bytes()
    except OSError:
        return False
    return str(pid_file.parent).encode() in command


def stop(pid_file: Path) -> None:
    """End it at once: nothing in it is to be kept."""
    if not alive(pid_file):
        return
    pid = int(pid_file.read_text())
    os.kill(pid, signal.SIGKILL)
    while alive(pid_file):
        time.sleep(0.05)
