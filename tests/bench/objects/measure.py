# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measures mesh_objects beside kubectl, kubernetes.core.k8s and the bare limit, and writes what it saw as a table.

Every contestant gets the same documents on the same API server, one after another, each as a whole process:
first all are created (three times, in turns), then nothing has changed, then ten have. Half are VirtualServices, half
DestinationRules. What takes a second or two is measured several times, in turns with the bare limit and an empty
playbook.

run [--sizes 200,2000,10000] [--repeat 5] [--out docs/benchmarks/objects.md]
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import itertools
import json
import os
import pathlib
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
import typing as t

import yaml
from ansible_collections.meshops.istio.plugins.module_utils.cluster.client import Cluster
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.objects.reconcile import SETTLE

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[2]
LAB = ROOT / "tests" / "lab" / "lab"
SERVER = "bench"
KINDS = [KNOWN["networking.istio.io", kind] for kind in ("VirtualService", "DestinationRule")]
NAMESPACES = 20
#: The contestant that can do no more than read, or write; it shows what there is to win.
LIMIT = "bare limit"
#: How often everybody creates everything, in turns.
CREATIONS = 3
#: Contestants that take minutes where ours take seconds sit out above this size.
SLOW_LIMIT = 2000
CHANGED = 10


@dataclasses.dataclass
class Contestant:
    """One way to bring documents about.

    :ivar name: in the table
    :ivar create: the command for documents that don't exist
    :ivar again: the command where they exist
    :ivar slow: sits out above SLOW_LIMIT
    """

    name: str
    create: list[str]
    again: list[str]
    slow: bool = True


@dataclasses.dataclass
class Run:
    """What one process cost.

    :ivar seconds: of the wall clock
    :ivar cpu: of its processes, in seconds of the processor; not the API server's
    :ivar memory: of its largest process, in MiB
    """

    seconds: float
    cpu: float
    memory: float


def documents(count: int) -> list[dict]:
    """Count objects, half of them VirtualServices, as one finds them in a mesh."""
    found = []
    for number in range(count // 2):
        namespace, host = f"bench-{number % NAMESPACES}", f"app-{number}"
        meta = {"name": host, "namespace": namespace, "labels": {"app": host, "team": f"team-{number % 7}"}}
        route = {"destination": {"host": host, "subset": "v1"}, "weight": 90}
        canary = {"destination": {"host": host, "subset": "v2"}, "weight": 10}
        rule = {
            "host": host,
            "trafficPolicy": {
                "connectionPool": {"tcp": {"maxConnections": 100}, "http": {"http2MaxRequests": 1000}},
                "outlierDetection": {"consecutive5xxErrors": 7, "interval": "5m", "baseEjectionTime": "15m"},
            },
            "subsets": [{"name": v, "labels": {"version": v}} for v in ("v1", "v2")],
        }
        service = {
            "hosts": [host],
            "http": [
                {"match": [{"headers": {"x-user": {"exact": "tester"}}}], "route": [copy.deepcopy(canary)]},
                {
                    "timeout": "10s",
                    "retries": {"attempts": 3, "perTryTimeout": "2s", "retryOn": "5xx,connect-failure"},
                    "route": [route, canary],
                },
            ],
        }
        for kind, spec in (("DestinationRule", rule), ("VirtualService", service)):
            api = "networking.istio.io/v1"
            found.append({"apiVersion": api, "kind": kind, "metadata": copy.deepcopy(meta), "spec": spec})
    return found


def changed(wanted: list[dict]) -> list[dict]:
    """The documents, ten of them other than before."""
    result = copy.deepcopy(wanted)
    for obj in [o for o in result if o["kind"] == "VirtualService"][:CHANGED]:
        obj["spec"]["http"][1]["timeout"] = "11s"
    return result


def measure(command: list[str], environment: dict[str, str]) -> Run:
    """Runs a command to its end.

    :raises SystemExit: it failed; its output is shown
    """
    with tempfile.TemporaryFile() as output:
        begin = time.monotonic()
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        _pid, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            sys.exit(f"{shlex.join(command)} ended with {process.returncode}:\n{output.read().decode()[-3000:]}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


class Bench:
    """One API server and the files that contestants read."""

    def __init__(self, folder: pathlib.Path, repeat: int) -> None:
        self.folder = folder
        self.repeat = repeat
        text = subprocess.check_output([LAB, "apiserver", "env", "--name", SERVER], text=True)
        words = [word.split("=", 1) for line in text.splitlines() for word in shlex.split(line)[1:]]
        self.environment = {**os.environ, **dict(words), "ANSIBLE_NOCOLOR": "1"}
        self.environment["PATH"] = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{self.environment['PATH']}"
        self.kubeconfig = self.environment["KUBECONFIG"]
        self.cluster = Cluster({"kubeconfig": self.kubeconfig})
        self.file = str(folder / "documents.yml")
        self.inventory = self._write(
            "inventory.ini",
            'localhost ansible_connection=local ansible_python_interpreter="{{ ansible_playbook_python }}"',
        )

    def _write(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    def playbook(self, name: str, *tasks: dict) -> list[str]:
        plays = [{"hosts": "localhost", "gather_facts": False, "tasks": list(tasks)}]
        path = self._write(f"{name}.yml", yaml.safe_dump(plays, sort_keys=False))
        return ["ansible-playbook", "-i", self.inventory, path]

    def contestants(self) -> list[Contestant]:
        ours = self.playbook("mesh_objects", {"meshops.istio.mesh_objects": {"src": [self.file]}})
        theirs = self.playbook("k8s", {"kubernetes.core.k8s": {"src": self.file, "state": "present"}})
        kubectl = ["kubectl", "apply", "-f", self.file]
        limit = [sys.executable, str(HERE / "limit.py"), self.kubeconfig, self.file]
        return [
            Contestant("mesh_objects", ours, ours, slow=False),
            Contestant(LIMIT, [*limit, "write"], [*limit, "read"], slow=False),
            Contestant("kubectl apply", kubectl, kubectl),
            Contestant(
                "kubectl apply --openapi-patch=false",
                [*kubectl, "--openapi-patch=false"],
                [*kubectl, "--openapi-patch=false"],
            ),
            Contestant("kubectl apply --server-side", [*kubectl, "--server-side"], [*kubectl, "--server-side"]),
            Contestant("kubernetes.core.k8s", theirs, theirs),
        ]

    def declare(self, wanted: list[dict]) -> None:
        with open(self.file, "w", encoding="utf-8") as file:
            yaml.dump_all(wanted, file, Dumper=yaml.CSafeDumper, sort_keys=False)

    def clean(self) -> None:
        """No objects of the former contestant, and a server that has come to rest."""
        for number in range(NAMESPACES):
            name = f"bench-{number}"
            try:
                self.cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
            except ApiError as error:
                if error.status != 409:
                    raise
            for kind in KINDS:
                self.cluster.request("DELETE", kind.path(name))
        time.sleep(2)

    def create(self, contestant: Contestant, wanted: list[dict]) -> Run:
        """What one contestant needs to create all."""
        self.clean()
        self.declare(wanted)
        run = measure(contestant.create, self.environment)
        self._check(contestant, wanted)
        return run

    def run(self, contestant: Contestant, wanted: list[dict], created: list[Run]) -> dict[str, Run]:
        """What one contestant needs to create and, where it is slow, to change nothing, and to change ten.

        :param created: what it needed to create all at other times
        """
        found = {"create": typical([*created, self.create(contestant, wanted)])}
        if contestant.slow:
            found["no change"] = measure(contestant.again, self.environment)
            ten = changed(wanted)
            self.declare(ten)
            found["ten changed"] = measure(contestant.again, self.environment)
            self._check(contestant, ten)
        return found

    def in_turns(self, contestants: list[Contestant], wanted: list[dict]) -> tuple[dict[str, dict[str, Run]], Run]:
        """What fast contestants need to change ten and to change nothing, and what an empty playbook needs.

        They take turns, so that whatever else runs on the machine slows all of them. The objects are there.
        """
        empty = self.playbook("empty")
        runs: dict[str, dict[str, list[Run]]] = {one.name: {} for one in contestants}
        beside = []
        ours = next((one for one in contestants if one.name != LIMIT), None)
        versions = itertools.cycle([changed(wanted), wanted] if ours else [wanted])
        for _ in range(self.repeat):
            version = next(versions)
            self.declare(version)
            for one in contestants:
                for kind in ["ten changed", "no change"] if one is ours else ["no change"]:
                    runs[one.name].setdefault(kind, []).append(measure(one.again, self.environment))
                self._check(one, version)
            beside.append(measure(empty, self.environment))
        told = {name: {kind: typical(found) for kind, found in kinds.items()} for name, kinds in runs.items()}
        return told, typical(beside)

    def _check(self, contestant: Contestant, wanted: list[dict]) -> None:
        """Nobody is fast by doing nothing."""
        live = {(o["kind"], o["metadata"]["name"]): o["spec"] for kind in KINDS for o in self.cluster.list(kind)}
        if live != {(o["kind"], o["metadata"]["name"]): o["spec"] for o in wanted}:
            sys.exit(f"{contestant.name}: the cluster does not hold what was declared")


def typical(runs: list[Run]) -> Run:
    """The median of times, the most of memory."""
    seconds, cpu = (statistics.median(getattr(run, name) for run in runs) for name in ("seconds", "cpu"))
    return Run(seconds, cpu, max(run.memory for run in runs))


Results = dict[int, dict[str, dict[str, Run]]]


def report(results: Results, empty: dict[int, Run], bench: Bench) -> str:
    """The figures as Markdown."""
    version = subprocess.check_output(
        ["kubectl", "version", "--client", "-o", "json"], env=bench.environment, text=True
    )
    lines = [
        "# Benchmark: mesh objects",
        "",
        "Written by `make bench` (tests/bench/objects/run), which explains how it measures. Seconds of the wall clock,",
        "each for a whole process: the playbook with Ansible's own start, or kubectl. An empty playbook alone takes"
        f" {statistics.median(run.seconds for run in empty.values()):.2f} s.",
        "",
        f"When mesh_objects creates, it gives proxies {SETTLE:g} s to take a DestinationRule's subsets before it"
        " writes the routes of that host, so that no request meets a missing subset. So to create few objects takes"
        " that long at least; with many, most of the time passes while others are written. Nobody else here waits.",
        "",
        f"Seen on {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, Python {platform.python_version()}, Kubernetes"
        f" {bench.cluster.server_version()}, kubectl {json.loads(version)['clientVersion']['gitVersion']}; API server,"
        f" etcd and contestant share the machine, whose load was {os.getloadavg()[2]:.0f} over the last 15 minutes.",
        "",
    ]
    for size, contestants in results.items():
        lines += [
            f"## {size} objects",
            "",
            "| | create | no change | ten changed | processor, no change | memory (MiB) |",
            "|---|--:|--:|--:|--:|--:|",
        ]
        for name, runs in contestants.items():
            cells = [
                f"{runs[what].seconds:.2f}" if what in runs else "" for what in ("create", "no change", "ten changed")
            ]
            memory = max(run.memory for run in runs.values())
            cells.append(f"{runs['no change'].cpu:.2f}")
            lines.append(f"| {name} | {' | '.join(cells)} | {memory:.0f} |")
        lines.append("")
    lines += [*ratios(results, empty), ""]
    return "\n".join(lines)


def ratios(results: Results, empty: dict[int, Run]) -> t.Iterator[str]:
    """What the figures say, as sentences."""
    yield "## What this says"
    yield ""
    for size, contestants in results.items():
        ours, limit = contestants["mesh_objects"], contestants[LIMIT]
        quiet = ours["no change"].seconds
        for name, theirs in contestants.items():
            if name not in ("mesh_objects", LIMIT):
                yield (
                    f"- {size} objects: {theirs['no change'].seconds / quiet:.1f} times faster than {name} when nothing"
                    f" changes, {theirs['create'].seconds / ours['create'].seconds:.1f} times when all are created."
                )
        net = quiet - empty[size].seconds
        yield (
            f"- {size} objects: less an empty playbook, {net / limit['no change'].seconds:.2f} times the bare limit"
            f" when nothing changes; {ours['create'].seconds / limit['create'].seconds:.2f} times the limit when all"
            f" are created; ten changed {ours['ten changed'].seconds / quiet:.2f} times no change."
        )
    sizes = sorted(results)
    for small, large in zip(sizes, sizes[1:], strict=False):
        quiet, loud = (results[n]["mesh_objects"]["no change"].seconds for n in (small, large))
        yield f"- {large} objects take {loud / quiet:.1f} times the time of {small}, when nothing changes."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="200,2000,10000")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--only", help="contestants whose names contain this, and no report")
    parser.add_argument("--out", default=str(ROOT / "docs" / "benchmarks" / "objects.md"))
    options = parser.parse_args()
    running = subprocess.run([LAB, "apiserver", "env", "--name", SERVER], capture_output=True).returncode == 0
    if not running:
        subprocess.run([LAB, "apiserver", "up", "--name", SERVER], check=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(pathlib.Path(folder), options.repeat)
            empty: dict[int, Run] = {}
            results: Results = {}
            for size in map(int, options.sizes.split(",")):
                wanted = documents(size)
                taking_part = [one for one in bench.contestants() if not options.only or options.only in one.name]
                fast = [one for one in taking_part if not one.slow]
                if size > SLOW_LIMIT:
                    taking_part = fast
                turns = [[bench.create(one, wanted) for one in taking_part] for _ in range(CREATIONS - 1)]
                for contestant, *created in zip(taking_part, *turns, strict=True):
                    results.setdefault(size, {})[contestant.name] = bench.run(contestant, wanted, created)
                    if fast and contestant is fast[-1]:
                        beside, empty[size] = bench.in_turns(fast, wanted)
                        for name, runs in beside.items():
                            results[size][name].update(runs)
                for name, runs in results.get(size, {}).items():
                    told = ", ".join(
                        f"{what} {run.seconds:.2f} s (processor {run.cpu:.2f})" for what, run in runs.items()
                    )
                    memory = max(run.memory for run in runs.values())
                    print(f"{size} {name}: {told}, {memory:.0f} MiB", file=sys.stderr, flush=True)
            if options.only:
                return
            text = report(results, empty, bench)
            print(text)
            pathlib.Path(options.out).write_text(text, encoding="utf-8")
    finally:
        if not running:
            subprocess.run([LAB, "apiserver", "down", "--name", SERVER], check=True)


if __name__ == "__main__":
    main()
