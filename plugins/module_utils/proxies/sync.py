# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How far each proxy has taken its configuration, as istiod tells it."""

from __future__ import annotations

import json
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError
from ..cluster.kinds import POD
from ..errors import MeshopsError
from ..mesh.pods import DISCOVERY, container, is_ready
from ..reconcile.types import K8sObject


def control_plane_pods(cluster: Cluster) -> list[K8sObject]:
    """The running istiod pods of every namespace."""
    return [pod for pod in cluster.list(POD, labels="app=istiod") if is_ready(pod) and container(pod, DISCOVERY)]


def sync_states(cluster: Cluster, pods: t.Iterable[K8sObject]) -> dict[str, dict[str, t.Any]]:
    """pod name and namespace as istiod writes them (C(pod.namespace)) -> what /debug/syncz tells of it.

    An istiod that can't be asked (without C(pilot-discovery) in its path, or not running) is passed over.
    """
    found: dict[str, dict[str, t.Any]] = {}
    for pod in pods:
        try:
            text = cluster.execute(
                pod["metadata"]["namespace"],
                pod["metadata"]["name"],
                ["pilot-discovery", "request", "GET", "/debug/syncz"],
                DISCOVERY,
            )
            found.update({each["proxy"]: each for each in json.loads(text) if each.get("proxy")})
        except (ApiError, MeshopsError, ValueError):
            continue
    return found


def sync_of(state: t.Mapping[str, t.Any] | None) -> dict[str, str] | None:
    """Of each kind of configuration: synced, stale (sent, not acknowledged), or not sent; None where unknown."""
    if not state:
        return None
    found = {}
    for kind in ("cluster", "listener", "route", "endpoint"):
        sent, taken = state.get(f"{kind}_sent"), state.get(f"{kind}_acked")
        found[kind] = "not sent" if not sent else "synced" if sent == taken else "stale"
    return found
