# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A steady load from inside of the cluster: every request is counted, every failure has its time.

The clients are Deployments, so that those with a sidecar are rolled with the mesh, as clients of a real one are. Each
sends half of its requests over kept-alive connections and half over new ones.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import subprocess
import threading
import time
import typing as t

from ansible_collections.meshops.istio.plugins.module_utils.cluster.client import Cluster, DeleteOptions
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.cluster.wait import wait_gone
from ansible_collections.meshops.istio.plugins.module_utils.cluster.workloads import wait_ready
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError

DEPLOYMENT, POD, SERVICE = KNOWN["apps", "Deployment"], KNOWN["", "Pod"], KNOWN["", "Service"]


class Traffic:
    """Clients that ask from when they are ready until the end. Use it as a context manager.

    :param mesh: a mesh with an environment and a client
    :param ways: name -> namespace of the client, and the URL that it asks, http://SERVICE.NAMESPACE/path
    :param rate: requests a second of each client
    """

    def __init__(self, mesh, folder: pathlib.Path, ways: dict[str, tuple[str, str]], rate: float = 35) -> None:
        self.mesh, self.folder, self.ways, self.rate = mesh, folder, ways, rate
        # Its requests come from a thread of its own, beside those of the story.
        self._cluster = Cluster({"kubeconfig": mesh.kubeconfig})
        self._made: list[dict] = []
        self._logs: dict[str, tuple[pathlib.Path, subprocess.Popen]] = {}
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._follow)

    def __enter__(self) -> Traffic:
        self._made = [self._client(*way) for way in self.ways.items()]
        for deployment in self._made:
            self.mesh.cluster.create(deployment)
        wait_ready(self.mesh.cluster, self._made, 180)
        self._watcher.start()
        return self

    def _client(self, name: str, way: tuple[str, str]) -> dict:
        namespace, url = way
        service, home = url.split("/")[2].split(".")
        address = self.mesh.cluster.get(SERVICE, service, home)["spec"]["clusterIP"]
        # Without DNS and with time to spare: an overloaded machine isn't a failure of the mesh.
        options = ["-rate", f"{self.rate:g}", "-connect-to", f"{address}:80", "-timeout", "30s"]
        container = {
            "name": "load",
            "image": self.mesh.env["LAB_PROBE_IMAGE"],
            "imagePullPolicy": "IfNotPresent",
            "args": ["load", *options, url],
        }
        labels = {"load": name}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": f"load-{name}", "namespace": namespace},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"terminationGracePeriodSeconds": 40, "containers": [container]},
                },
            },
        }

    def _follow(self) -> None:
        """Reads the log of every client's pod, from its beginning to its end."""
        while not self._stop.wait(0.5):
            try:
                pods = [pod for ns in {way[0] for way in self.ways.values()} for pod in self._pods(ns)]
            except MeshopsError:
                continue
            for pod in pods:
                name = pod["metadata"]["name"]
                states = (pod.get("status") or {}).get("containerStatuses") or ()
                begun = any(s["name"] == "load" and "waiting" not in s["state"] for s in states)
                if begun and name not in self._logs:
                    self._logs[name] = self._tail(name, pod["metadata"]["namespace"])

    def _pods(self, namespace: str) -> list[dict]:
        return self._cluster.list(POD, namespace, labels="load")

    def _tail(self, pod: str, namespace: str) -> tuple[pathlib.Path, subprocess.Popen]:
        path = self.folder / f"{pod}.jsonl"
        command = ["kubectl", "logs", "-f", pod, "-c", "load", "-n", namespace]
        with path.open("w") as stream:
            return path, subprocess.Popen(command, stdout=stream, stderr=subprocess.DEVNULL, env=self.mesh.env)

    def __exit__(self, *_error: object) -> None:
        for one in self._made:
            meta = one["metadata"]
            self.mesh.cluster.delete(
                DEPLOYMENT, meta["name"], meta["namespace"], DeleteOptions(propagation="Foreground")
            )
        for _path, process in list(self._logs.values()):
            process.wait(120)
        self._stop.set()
        self._watcher.join()
        wait_gone(self.mesh.cluster, self._made, 120)

    # -- what came of it --------------------------------------------------

    def _lines(self) -> list[dict]:
        return [
            {"pod": name, **json.loads(line)}
            for name, (path, _process) in list(self._logs.items())
            for line in path.read_text().splitlines()
            if line.endswith("}")
        ]

    def failures(self) -> list[dict]:
        """Each request that has failed so far."""
        return [line for line in self._lines() if "time" in line]

    def assert_nothing_failed(self) -> None:
        found = self.failures()
        shown = "\n".join(json.dumps(failure) for failure in found[:20])
        assert not found, f"{len(found)} requests failed:\n{shown}"

    def requests(self) -> dict[str, int]:
        """After the end: how many requests each client has sent over both kinds of connections."""
        sums = dict.fromkeys(("kept", "new"), 0)
        for line in self._lines():
            for kind, counted in (line.get("summary") or {}).items():
                sums[kind] += counted["requests"]
        return sums


@contextlib.contextmanager
def without_failure(mesh, folder: pathlib.Path, ways: dict[str, tuple[str, str]], at_least: int) -> t.Iterator[Traffic]:
    """At least 50 requests a second while a story is told, of which none may fail.

    :param ways: as for C(Traffic)
    :param at_least: so many must have been sent over new connections, and so many over kept-alive ones
    """
    with Traffic(mesh, folder, ways) as traffic:
        begun = time.monotonic()
        yield traffic
        seconds = time.monotonic() - begun
    traffic.assert_nothing_failed()
    sent = traffic.requests()
    rate = sum(sent.values()) / seconds
    print(f"\n{sent} requests in {seconds:.0f} s, {rate:.0f} a second, none failed")
    assert min(sent.values()) > at_least
    assert rate >= 50, f"only {rate:.1f} requests a second"
