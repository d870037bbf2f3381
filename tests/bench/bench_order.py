# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How many requests fail while subsets are swapped, by how long proxies are given; and by kubectl, beside it.

A client with a sidecar asks one service all the time. Each swap replaces its only subset by one of another name, in its
DestinationRule and in its VirtualService. Writes docs/benchmarks/order.md.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import time
import types
import typing as t

import yaml

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))

from ansible_collections.meshops.istio.plugins.module_utils.cluster.client import Cluster
from ansible_collections.meshops.istio.plugins.module_utils.objects.options import SETTLE, ApplyOptions
from ansible_collections.meshops.istio.plugins.module_utils.objects.reconcile import reconcile_objects
from test_objects_order import HOST, routing, service

ROOT = pathlib.Path(__file__).parents[2]
#: Requests a second.
RATE = 200
#: Processes that do nothing but take the processor.
BUSY = 16
#: So many other services have their subsets swapped in the same task.
OTHERS = 400
MODULE = types.SimpleNamespace(check_mode=False, _diff=False)


@dataclasses.dataclass
class Row:
    """What one way of swapping did to the requests.

    :ivar conditions: what else went on
    :ivar way: who swapped, and how
    :ivar swaps: how many times
    :ivar seconds: of one swap, on average
    :ivar requests: that were sent meanwhile
    :ivar failed: those without the answer 200
    """

    conditions: str
    way: str
    swaps: int
    seconds: float
    requests: int
    failed: int


class Bench:
    """A service whose subsets can be swapped, and a client that asks it."""

    def __init__(self, duration: float) -> None:
        self.duration = duration
        self.cluster = Cluster({"kubeconfig": os.environ["KUBECONFIG"]})
        self.number = 0
        self.others: list[str] = []
        self._declare([service()], SETTLE)

    def _declare(self, objects: list[dict], settle: float) -> None:
        options = ApplyOptions(settle=settle, force_conflicts=True)
        reconcile_objects(MODULE, self.cluster, objects, options)  # kubectl had its turn

    def add_others(self) -> None:
        """Gives every proxy of the namespace more to do, as in a mesh of many services."""
        self.others = [f"other-{number}" for number in range(OTHERS)]
        self._declare([_elsewhere(number, host) for number, host in enumerate(self.others)], SETTLE)

    def _next(self) -> list[dict]:
        self.number += 1
        return [obj for host in (HOST, *self.others) for obj in routing(self.number, host)]

    def ours(self, settle: float) -> None:
        """One swap as mesh_objects makes it."""
        self._declare(self._next(), settle)

    def kubectl(self) -> None:
        """One swap as kubectl makes it, of the same file."""
        subprocess.run(
            ["kubectl", "apply", "--server-side", "--force-conflicts", "-f", "-"],
            input=yaml.safe_dump_all(self._next()), text=True, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def measure(self, conditions: str, way: str, swap: t.Callable[[], None]) -> Row:
        self.ours(2 * SETTLE)  # what went before has its end
        time.sleep(2 * SETTLE)
        load = subprocess.Popen(
            ["kubectl", "exec", "-i", "-n", "demo", "deploy/client", "-c", "client", "--", "probe", "load",
             "-rate", str(RATE), "-timeout", "30s", "-duration", f"{self.duration:g}s", f"http://{HOST}.demo/"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        swaps, spent = 0, 0.0
        end = time.monotonic() + self.duration - 2
        while time.monotonic() < end:
            begin = time.monotonic()
            swap()
            spent += time.monotonic() - begin
            swaps += 1
            time.sleep(0.5)
        said = load.communicate()[0]
        told = json.loads(said.splitlines()[-1])
        row = Row(conditions, way, swaps, spent / swaps, told["requests"], told["failed"])
        print(row, file=sys.stderr, flush=True)
        return row


def _elsewhere(number: int, host: str) -> dict:
    """A service outside of the cluster that nobody asks."""
    endpoints = [{"address": f"127.0.1.{last}", "labels": {"version": f"v{last}"}} for last in (1, 2)]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": host, "namespace": "demo"},
        "spec": {
            "hosts": [host],
            "addresses": [f"240.1.{number // 250}.{number % 250 + 1}"],
            "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
            "resolution": "STATIC",
            "endpoints": endpoints,
        },
    }


@contextlib.contextmanager
def busy() -> t.Iterator[None]:
    """Many more processes want the processor than there are cores."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(BUSY)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def rows(bench: Bench) -> t.Iterator[Row]:
    """Everything that is measured, in the order of the page."""

    def measured(conditions: str, waits: t.Sequence[float]) -> t.Iterator[Row]:
        yield bench.measure(conditions, "kubectl apply --server-side", bench.kubectl)
        for settle in waits:
            yield bench.measure(conditions, f"settle: {settle:g}", lambda settle=settle: bench.ours(settle))

    yield from measured("one service", (0, 0.1, 0.2, 0.5, SETTLE))
    with busy():
        yield from measured(f"one service, {BUSY} busy processes", (0, 0.2, 0.5, SETTLE))
    bench.add_others()
    yield from measured(f"{OTHERS + 1} services at once", (0, 0.2, 0.5, SETTLE))


def page(found: list[Row]) -> str:
    """docs/benchmarks/order.md."""
    lines = [
        "# Benchmark: the order of rules and routes",
        "",
        f"Written by `tests/bench/order/run`. A client with a sidecar sends {RATE} requests a second, half of them on",
        "new connections, while the only subset of the service is replaced by one of another name, again and again, in",
        "DestinationRule and VirtualService together. `settle` is the option of `mesh_objects`, whose default is"
        f" {SETTLE:g}. kubectl takes the same documents in the order in which they are written, the route first.",
        "Seconds are those of one swap, without Ansible's start.",
        "",
        f"Seen on {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores that cluster, load and swaps share.",
        "",
    ]
    for conditions in dict.fromkeys(row.conditions for row in found):
        lines += [f"## {conditions.capitalize()}", ""]
        lines += ["| | swaps | seconds a swap | requests | failed | failed a swap |", "|---|--:|--:|--:|--:|--:|"]
        for row in found:
            if row.conditions == conditions:
                cells = [row.way, row.swaps, f"{row.seconds:.2f}", row.requests, row.failed]
                lines.append("| " + " | ".join(map(str, [*cells, f"{row.failed / row.swaps:.2f}"])) + " |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--duration", type=float, default=40, help="seconds that each way is measured")
    parser.add_argument("--out", default=str(ROOT / "docs/benchmarks/order.md"))
    options = parser.parse_args()
    subprocess.run(
        [ROOT / ".venv/bin/ansible-playbook", ROOT / "playbooks/site.yml", "-i", ROOT / "playbooks/inventory/demo"],
        check=True, stdout=sys.stderr,
    )  # fmt: skip
    text = page(list(rows(Bench(options.duration))))
    print(text)
    pathlib.Path(options.out).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
