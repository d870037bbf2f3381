# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One mesh, one load, two ways to another root: by hand as most do it, and with this collection.

By hand: replace the secret cacerts, restart istiod, restart the workloads. The load comes through the gateway, since a
client with a sidecar would be restarted as well. Prints a table; --out also writes it to a file.
"""

from __future__ import annotations

import argparse
import itertools
import os
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))

import ca_mesh
from ansible_collections.meshops.istio.plugins.module_utils.ca import observe
from ansible_collections.meshops.istio.plugins.module_utils.ca.authority import Wishes, generated
from ansible_collections.meshops.istio.plugins.module_utils.ca.procedure import now
from ansible_collections.meshops.istio.plugins.module_utils.ca.trust_bundle import secret_data

GATEWAY = {name: source for name, source in ca_mesh.Load.SOURCES.items() if name.startswith("gateway")}
WORKLOADS = (("istio-ingress", "ingress"), ("app", "echo-v1"), ("app", "echo-v2"), ("app", "client"))


def by_hand(mesh: ca_mesh.Mesh) -> None:
    folder = pathlib.Path(tempfile.mkdtemp(dir=mesh.folder))
    for name, text in secret_data(generated(Wishes(), now())).items():
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


def read(count: int) -> float:
    """Seconds for reading so many proxies; the pods that are there stand in for more of them."""
    cluster = ca_mesh.cluster(os.environ["KUBECONFIG"])
    pods = observe.proxy_pods(cluster)
    begun = time.monotonic()
    proxies = observe.read_proxies(cluster, list(itertools.islice(itertools.cycle(pods), count)))
    spent = time.monotonic() - begun
    assert not [proxy.error for proxy in proxies if proxy.error]
    return spent


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--out", type=pathlib.Path, help="also write the table to this file")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        mesh = ca_mesh.Mesh(pathlib.Path(folder))
        mesh.install()
        try:
            mesh.role("install")
            rows = [
                measure(mesh, "replace the secret, restart istiod, restart workloads", by_hand),
                measure(mesh, "`rotate_ca.yml`", lambda mesh: mesh.role("rotate")),
            ]
            looks = [(count, read(count)) for count in (20, 200)]
        finally:
            mesh.remove()
    lines = ["| way | seconds | requests | failed |", "|---|---|---|---|"]
    lines += [f"| {name} | {spent:.0f} | {requests} | {failed} |" for name, spent, requests, failed in rows]
    lines += ["", "| proxies read | seconds |", "|---|---|", *(f"| {count} | {spent:.1f} |" for count, spent in looks)]
    table = "\n".join(lines) + "\n"
    print(table)
    if given.out:
        given.out.write_text(table)


if __name__ == "__main__":
    main()
