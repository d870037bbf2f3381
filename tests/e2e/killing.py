# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a story kills a playbook."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess


def family(process: subprocess.Popen) -> list[int]:
    """The ids of a process and all that it has started; Ansible's modules run in sessions of their own."""
    table = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    children: dict[int, list[int]] = {}
    for line in table.splitlines():
        pid, parent = map(int, line.split())
        children.setdefault(parent, []).append(pid)
    found = [process.pid]
    for pid in found:
        found += children.get(pid, [])
    return found


def kill(process: subprocess.Popen) -> None:
    """kill -9 for ansible-playbook and all that it has started."""
    for pid in family(process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
