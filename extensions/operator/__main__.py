# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The operator's process: wait for the leader's lease, then reconcile."""

from __future__ import annotations

import json
import logging
import os
import pathlib
import time

import kopf
from ansible_collections.meshops.istio.plugins.module_utils.cluster.client import Cluster

from . import drift, handlers, settings, web
from .keeper import Keeper
from .leader import Leader
from .metrics import Metrics
from .objects import Objects
from .reconcile import Reconciler

_ACCOUNT = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
_KUBECONFIG = pathlib.Path("/tmp/kubeconfig")
#: Seconds of silence after which a thread counts as stuck.
_SILENCE = 120


def kubeconfig() -> str:
    """Writes a kubeconfig for the pod's own account. The token is read from its file, which the kubelet renews."""
    if os.environ.get("KUBECONFIG"):
        return os.environ["KUBECONFIG"]
    host = os.environ["KUBERNETES_SERVICE_HOST"]
    server = f"https://{f'[{host}]' if ':' in host else host}:{os.environ['KUBERNETES_SERVICE_PORT']}"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "own", "cluster": {"server": server, "certificate-authority": str(_ACCOUNT / "ca.crt")}}],
        "users": [{"name": "own", "user": {"tokenFile": str(_ACCOUNT / "token")}}],
        "contexts": [{"name": "own", "context": {"cluster": "own", "user": "own"}}],
        "current-context": "own",
    }
    _KUBECONFIG.unlink(missing_ok=True)
    descriptor = os.open(_KUBECONFIG, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file)
    return str(_KUBECONFIG)


def _resident() -> int:
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Runs until it is terminated, or until another replica leads."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    for name in ("kopf", "asyncio", "aiohttp"):
        logging.getLogger(name).setLevel(logging.WARNING)
    chosen, config = settings.read(), kubeconfig()
    cluster = Cluster({"kubeconfig": config}, concurrency=8)
    leader, metrics = Leader(cluster, chosen.namespace, chosen.identity), Metrics()
    objects = Objects(cluster, chosen.watched, chosen.identity)
    keeper = Keeper(Reconciler(chosen, objects, metrics, config), metrics, chosen.resync)

    def numbers() -> str:
        metrics.set("istio_operator_leader", float(leader.leads))
        metrics.set("process_cpu_seconds_total", time.process_time())
        metrics.set("process_resident_memory_bytes", float(_resident()))
        return metrics.text()

    def trouble() -> str:
        now = time.monotonic()
        if now - leader.alive > _SILENCE:
            return "the API server has not answered for too long"
        if leader.leads and now - keeper.alive > _SILENCE:
            return "a thread is stuck"
        return ""

    web.serve(chosen.port, numbers, trouble)
    leader.wait()
    registry = kopf.OperatorRegistry()
    handlers.register(registry, keeper)
    drift.watch({"kubeconfig": config}, chosen.managed, keeper.drifted)
    try:
        kopf.run(registry=registry, namespaces=chosen.watched, standalone=True)
    finally:
        leader.release()


if __name__ == "__main__":
    main()
