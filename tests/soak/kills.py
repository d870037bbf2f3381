# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Playbooks that are killed at random moments."""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import re
import signal
import subprocess
import time

from conftest import BIN, INVENTORY, ROOT
from killing import family


class Kills:
    """Kills at random moments, and what came of each.

    MESHOPS_KILLS says how many, MESHOPS_SEED repeats the moments.

    :ivar seed: makes the moments
    :ivar left: how many kills are still to come
    :ivar duration: seconds that a playbook takes that isn't killed
    """

    def __init__(self, folder: pathlib.Path, duration: float) -> None:
        self.duration = duration
        self.log = folder / "killed.log"
        self.seed = int(os.environ.get("MESHOPS_SEED", time.time()))
        self.left = int(os.environ.get("MESHOPS_KILLS", "10"))
        self._chance = random.Random(self.seed)
        self._rows: list[str] = []
        self._orphans: list[int] = []
        print(f"\nseed {self.seed}")

    def begin_and_kill(self, name: str, options: list[str], env: dict[str, str]) -> bool:
        """Begins a playbook and kills it at some moment; whether it hadn't come to its end by then.

        One time in two only ansible-playbook dies, and what it has begun goes on beside the next run.
        """
        alone = self._chance.random() < 0.5
        seconds = self._chance.uniform(0.02, 0.98) * self.duration
        command = [BIN / "ansible-playbook", ROOT / f"playbooks/{name}.yml", "-i", INVENTORY, *options]
        with self.log.open("w") as log:
            run = subprocess.Popen(command, env=env, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        with contextlib.suppress(subprocess.TimeoutExpired):
            begun = time.monotonic()
            assert run.wait(seconds) == 0, self.log.read_text()
            self.duration = time.monotonic() - begun
            return False
        pids = family(run)
        for pid in pids[:1] if alone else pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        run.wait()
        self._orphans = pids[1:] if alone else []
        tasks = re.findall(r"^TASK \[(.*)\]", self.log.read_text(), re.MULTILINE)
        what = "ansible-playbook alone" if alone else "all processes"
        self._rows.append(f"| {name} {{}} | {seconds:.0f} s | {tasks[-1] if tasks else 'its start'} | {what} | {{}} |")
        return True

    def converged(self, what: str, seconds: float) -> None:
        """A plain second run has ended well; what the killed one has left running goes now."""
        for pid in self._orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._rows[-1] = self._rows[-1].format(what, f"{seconds:.0f} s")
        self.left -= 1
        print(self._rows[-1])

    def table(self) -> str:
        """What was seen, for a page."""
        return "\n".join(
            [
                "| playbook | killed after | in the task | killed | the plain second run took |",
                "|---|---|---|---|---|",
                *self._rows,
            ]
        )


def helm_ls(env: dict[str, str]) -> list[str]:
    """Releases that `helm ls` shows in any other state than deployed, in all namespaces."""
    # Helm 4 shows all; Helm 3 would leave out pending ones without --all.
    command = [env["LAB_HELM3"], "ls", "--all-namespaces", "--all", "--no-headers"]
    shown = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.splitlines()
    assert shown
    return [line for line in shown if "\tdeployed" not in line]
