# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What every proxy of a mesh holds, as plain data."""

from __future__ import annotations

import datetime
import typing as t

from ..cluster.client import Cluster
from ..mesh.certificates import require_cryptography
from ..proxies.read import proxy_pods, read_proxies
from ..proxies.sync import control_plane_pods, sync_states
from .proxy import Proxy
from .sync import sync_of


def read_all(
    cluster: Cluster, namespaces: t.Sequence[str], *, sync: bool, now: datetime.datetime
) -> list[dict[str, t.Any]]:
    """One entry a proxy, sorted by namespace and pod.

    :param namespaces: only these; empty means all
    :param sync: also ask every istiod how far each proxy has taken its configuration
    """
    require_cryptography()
    pods = [pod for namespace in dict.fromkeys(namespaces) or [None] for pod in proxy_pods(cluster, namespace)]
    proxies = read_proxies(cluster, pods)
    states = sync_states(cluster, control_plane_pods(cluster)) if sync else {}
    found = [entry(proxy, states.get(f"{proxy.pod}.{proxy.namespace}"), now) for proxy in proxies]
    return sorted(found, key=lambda each: (each["namespace"], each["pod"]))


def entry(proxy: Proxy, state: t.Mapping[str, t.Any] | None, now: datetime.datetime) -> dict[str, t.Any]:
    """A proxy as a user reads it.

    :param state: what istiod's /debug/syncz says of it, None where no istiod knows it
    """
    return {
        "namespace": proxy.namespace,
        "pod": proxy.pod,
        "kind": proxy.kind,
        "owner": proxy.owner,
        "revision": proxy.revision,
        "version": (state or {}).get("istio_version") or proxy.version,
        "running": proxy.running,
        "ready": proxy.ready,
        "takes_new_roots": proxy.push,
        "sync": sync_of(state),
        "roots": [root.facts(now) for root in proxy.root_certificates],
        "chain": [{**link.facts(now), "identity": link.identity} for link in proxy.chain],
        "mounted_roots": sorted(proxy.mounted) if proxy.mounted is not None else None,
        "error": proxy.error,
    }
