# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compares the working tree with another commit of this repository: the same playbooks in turns, on a cluster each.

    tests/bench/against/run COMMIT [--rounds 7] [--only objects,...]

Each row is one playbook, as a whole process: seconds of the wall clock, and of the processors (user and system, of the
playbook and all that it starts), which other work on the machine disturbs less. The ratio is that of the medians: below
1 the working tree is faster. Each has a lab cluster with the demo's mesh that itself has installed. The last column
says how many tasks have changed something.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import typing as t

ROOT = pathlib.Path(__file__).resolve().parents[3]
DEMO = ROOT / "playbooks/inventory/demo"
LAB = ROOT / "tests/lab/lab"
ROLE = "ansible.builtin.include_role"


def route(number: int) -> dict[str, t.Any]:
    host = f"s{number}.example.com"
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": f"s{number}", "namespace": "default"},
        "spec": {"hosts": [host], "http": [{"route": [{"destination": {"host": host}}]}]},
    }


def rules(count: int) -> dict[str, t.Any]:
    return {"meshops.istio.mesh_objects": {"objects": [route(n) for n in range(count)]}}


CASES: dict[str, list[dict[str, t.Any]]] = {
    "an empty play": [],
    "mesh_objects, 1 unchanged": [rules(1)],
    "mesh_objects, 200 unchanged": [rules(200)],
    "mesh_objects, 2000 unchanged": [rules(2000)],
    "control_plane and gateways, unchanged": [
        {ROLE: {"name": "meshops.istio.control_plane"}},
        {ROLE: {"name": "meshops.istio.gateways"}},
    ],
    "CA status": [{ROLE: {"name": "meshops.istio.ca", "tasks_from": "status.yml"}}],
    "purge, check mode": [{ROLE: {"name": "meshops.istio.purge"}}],
}


@dataclasses.dataclass
class Runs:
    """What a playbook cost in all rounds: seconds of the wall clock and of the processors, and tasks changed."""

    wall: list[float] = dataclasses.field(default_factory=list)
    processor: list[float] = dataclasses.field(default_factory=list)
    changed: int = 0


def processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Tree:
    """The collection of one commit, with a cluster of its own."""

    def __init__(self, source: pathlib.Path, folder: pathlib.Path, cluster: str) -> None:
        self._source, self._folder, self._cluster = source, folder, cluster
        place = folder / "ansible_collections" / "meshops"
        place.mkdir(parents=True)
        (place / "istio").symlink_to(source)

    def install(self) -> None:
        subprocess.run([LAB, "up", "--name", self._cluster], check=True, stdout=sys.stderr)
        text = subprocess.run([LAB, "env", "--name", self._cluster], check=True, capture_output=True, text=True).stdout
        self._env = {
            **os.environ,
            **dict(re.findall(r"^export (\w+)=(.*)$", text, re.MULTILINE)),
            "ANSIBLE_COLLECTIONS_PATH": str(self._folder),
            "ANSIBLE_LOCALHOST_WARNING": "false",
        }
        self._env["PATH"] = f"{ROOT / '.venv/bin'}:{self._env['PATH']}"
        command = ["ansible-playbook", self._source / "playbooks/site.yml", "-i", DEMO]
        subprocess.run(command, env=self._env, check=True, stdout=sys.stderr)

    def remove(self) -> None:
        subprocess.run([LAB, "down", "--name", self._cluster], check=True, stdout=sys.stderr)

    def run(self, title: str, tasks: list[dict[str, t.Any]], runs: Runs) -> None:
        path = self._folder / "play.yml"
        path.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
        command = ["ansible-playbook", str(path), "-i", str(DEMO), "-e", "purge_confirm=true"]
        command += ["--check"] if "check mode" in title else []
        before, begun = processor(), time.monotonic()
        done = subprocess.run(command, env=self._env, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        runs.wall.append(time.monotonic() - begun)
        runs.processor.append(processor() - before)
        runs.changed += int(next(iter(re.findall(r"changed=(\d+)", done.stdout)), 0))


def line(title: str, base: Runs, ours: Runs) -> str:
    cells = []
    for one, other in ((base.wall, ours.wall), (base.processor, ours.processor)):
        before, now = statistics.median(one), statistics.median(other)
        cells += [f"{before:.2f} ({min(one):.2f}-{max(one):.2f})", f"{now:.2f} ({min(other):.2f}-{max(other):.2f})"]
        cells.append(f"{now / before:.2f}")
    return "| " + " | ".join([title, *cells, f"{base.changed}, {ours.changed}"]) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="parts of the titles of the rows to measure")
    args = parser.parse_args()
    words = [word for word in args.only.split(",") if word]
    cases = {title: tasks for title, tasks in CASES.items() if not words or any(word in title for word in words)}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.run(["git", "worktree", "add", "-q", "--detach", folder / "base", args.commit], cwd=ROOT, check=True)
        trees = [Tree(folder / "base", folder / "a", "bench-before"), Tree(ROOT, folder / "b", "bench-now")]
        try:
            for tree in trees:
                tree.install()
            print("| seconds, median (least-most) | wall, before | wall, now | ratio | processors, before | now | ratio"
                  " | tasks changed |\n|---|--:|--:|--:|--:|--:|--:|--:|")  # fmt: skip
            for title, tasks in cases.items():
                seen = [Runs(), Runs()]
                for _round in range(args.rounds):
                    for tree, runs in zip(trees, seen, strict=True):
                        tree.run(title, tasks, Runs())
                        tree.run(title, tasks, runs)
                print(line(title, *seen), flush=True)
        finally:
            for tree in trees:
                tree.remove()
            subprocess.run(["git", "worktree", "remove", "--force", folder / "base"], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
