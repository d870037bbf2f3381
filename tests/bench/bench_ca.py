# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How long a rotation, a gate and a look at many proxies take; and one mesh, one load, two ways to another root.

By hand: replace the secret cacerts, restart istiod, restart the workloads. The load comes through the gateway, since a
client with a sidecar would be restarted as well. Writes docs/benchmarks/ca.md.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import os
import pathlib
import re
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))

import ca_mesh
from ansible_collections.meshops.istio.plugins.module_utils.ca import actions
from ansible_collections.meshops.istio.plugins.module_utils.ca.authority import CaSpec, generated
from ansible_collections.meshops.istio.plugins.module_utils.ca.observe import now
from ansible_collections.meshops.istio.plugins.module_utils.ca.trust_bundle import secret_data
from ansible_collections.meshops.istio.plugins.module_utils.proxies import read as observe

ROOT = pathlib.Path(__file__).parents[2]
#: Of the mesh for which the time of a rotation is told.
PROXIES = 20
#: So many are simulated: each of the real ones is listed, hurried and read several times, under a name of its own.
MANY = 200
PHASES = ("trust", "sign", "drop")
GATEWAY = {name: source for name, source in ca_mesh.Load.SOURCES.items() if name.startswith("gateway")}
WORKLOADS = (("istio-ingress", "ingress"), ("app", "echo-v1"), ("app", "echo-v2"), ("app", "client"))


def by_hand(mesh: ca_mesh.Mesh) -> None:
    folder = pathlib.Path(tempfile.mkdtemp(dir=mesh.folder))
    for name, text in secret_data(generated(CaSpec(), now())).items():
        (folder / name).write_text(text)
    ca_mesh.kubectl("delete", "secret", "cacerts", "-n", "istio-system")
    ca_mesh.kubectl("create", "secret", "generic", "cacerts", "-n", "istio-system", f"--from-file={folder}")
    for namespace, name in (("istio-system", "istiod"), *WORKLOADS):
        ca_mesh.kubectl("rollout", "restart", f"deployment/{name}", "-n", namespace)
        ca_mesh.kubectl("rollout", "status", f"deployment/{name}", "-n", namespace, "--timeout=300s")


def measure(mesh: ca_mesh.Mesh, name: str, rotate) -> tuple[str, float, int, int]:
    print(f"{name} ...", file=sys.stderr)
    load = ca_mesh.Load(mesh, rate=30, sources=GATEWAY)
    with load:
        begun = time.monotonic()
        rotate(mesh)
        spent = time.monotonic() - begun
    print(f"{spent:.0f} s: {load.report()}", file=sys.stderr)
    return name, spent, load.total()[0], len(load.failures())


def with_proxies(mesh: ca_mesh.Mesh, count: int) -> tuple[float, list[float]]:
    """Rotates the root of a mesh with so many real proxies: seconds of the playbook, and those of each gate."""
    there = len(observe.proxy_pods(ca_mesh.cluster(os.environ["KUBECONFIG"])))
    ca_mesh.kubectl("scale", "deployment/echo-v1", "-n", "app", f"--replicas={count - there + 1}")
    ca_mesh.kubectl("rollout", "status", "deployment/echo-v1", "-n", "app", "--timeout=300s")
    begun = time.monotonic()
    told = mesh.role("rotate", "-v")
    spent = time.monotonic() - begun
    gates = [float(seconds) for seconds in re.findall(r'"gate_seconds": ([\d.]+)', told)]
    assert re.findall(r'"proxies": (\d+)', told) == [str(count)] * len(gates), told
    return spent, gates


def simulated(count: int) -> list[float]:
    """Rotates the root of a mesh that seems to have so many proxies: seconds of each gate."""
    real = observe.proxy_pods

    def many(cluster, namespace=None):
        pods = real(cluster, namespace)
        found = []
        for number, pod in enumerate(itertools.islice(itertools.cycle(pods), count if pods else 0)):
            found.append(copy.deepcopy(pod))
            found[-1]["metadata"]["uid"] += f"-{number // len(pods)}"
        return found

    spec = {"source": "generated", "key_type": "EC-P256", "root_days": 3650, "intermediate_days": 730, "min_days": 30}
    left_out = dict.fromkeys(("files", "root_dir", "root_key", "trust_domains", "mesh_config", "report"))
    params = {"action": "rotate", "namespace": "istio-system", "timeout": 300, "restart_proxies": False}
    params["unproven_proxies"] = False
    observe.proxy_pods = many
    try:
        done = actions.run({**left_out, **spec, **params}, ca_mesh.cluster(os.environ["KUBECONFIG"]), check_mode=False)
    finally:
        observe.proxy_pods = real
    assert [(phase["phase"], phase["proxies"]) for phase in done["phases"]] == [(phase, count) for phase in PHASES]
    return [phase["gate_seconds"] for phase in done["phases"]]


def idle() -> float:
    """How much of all cores nothing used, in five seconds in which nothing is measured: 0 to 1."""

    def spent() -> list[int]:
        return [int(word) for word in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]

    before = spent()
    time.sleep(5)
    passed = [after - then for then, after in zip(before, spent(), strict=True)]
    return (passed[3] + passed[4]) / sum(passed)


def read(count: int) -> float:
    """Seconds for reading so many proxies; the pods that are there stand in for more of them."""
    cluster = ca_mesh.cluster(os.environ["KUBECONFIG"])
    pods = observe.proxy_pods(cluster)
    begun = time.monotonic()
    proxies = observe.read_proxies(cluster, list(itertools.islice(itertools.cycle(pods), count)))
    spent = time.monotonic() - begun
    assert not [proxy.error for proxy in proxies if proxy.error]
    return spent


def page(
    rows: list[tuple[str, float, int, int]],
    rotation: tuple[float, list[float]],
    many: list[float],
    looks: dict[int, float],
    left: float,
) -> str:
    """docs/benchmarks/ca.md."""
    spent, gates = rotation
    lines = [
        "# Benchmark: rotating the CA",
        "",
        "Written by `tests/bench/ca/run`. Istio 1.31, one kind node; seconds are those of a whole playbook, Ansible's",
        "own start included.",
        "",
        f"Seen on {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores that node, load and playbook share; {left:.0%} of"
        " them was idle before it began.",
        "",
        "## Under load, beside the way that most take",
        "",
        "| way | seconds | requests through the gateway | failed |",
        "|---|--:|--:|--:|",
        *(f"| {name} | {seconds:.0f} | {requests} | {failed} |" for name, seconds, requests, failed in rows),
        "",
        "## A rotation of the root, gateways included",
        "",
        f"{MANY} are simulated: each of the {PROXIES} real ones is hurried and read {MANY // PROXIES} times.",
        "",
        f"| seconds | {PROXIES} proxies | {MANY} proxies |",
        "|---|--:|--:|",
        *(
            f"| gate after `{phase}` | {few:.1f} | {more:.1f} |"
            for phase, few, more in zip(PHASES, gates, many, strict=True)
        ),
        f"| the whole playbook | {spent:.1f} | |",
        "",
        "## One look at many proxies",
        "",
        "What each trusts, its leaf, and its mounted roots. Where there are fewer proxies, each is read several times.",
        "",
        "| proxies | seconds |",
        "|---|--:|",
        *(f"| {count} | {seconds:.1f} |" for count, seconds in looks.items()),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--out", type=pathlib.Path, default=ROOT / "docs/benchmarks/ca.md")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        mesh = ca_mesh.Mesh(pathlib.Path(folder))
        mesh.install()
        try:
            mesh.role("install")
            left = idle()
            rotation = with_proxies(mesh, PROXIES)
            many = simulated(MANY)
            looks = {count: read(count) for count in (PROXIES, MANY)}
            ca_mesh.kubectl("scale", "deployment/echo-v1", "-n", "app", "--replicas=1")
            rows = [
                measure(mesh, "replace the secret, restart istiod, restart workloads", by_hand),
                measure(mesh, "`rotate_ca.yml`", lambda mesh: mesh.role("rotate")),
            ]
        finally:
            mesh.remove()
    text = page(rows, rotation, many, looks, left)
    print(text)
    given.out.write_text(text)


if __name__ == "__main__":
    main()
