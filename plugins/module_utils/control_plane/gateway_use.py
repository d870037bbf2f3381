# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What uses a gateway: objects of the mesh that configure it and no other, and open connections."""

from __future__ import annotations

import re
import time
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError
from ..cluster.kinds import KNOWN, POD, Kind
from ..errors import MeshopsError
from ..mesh.names import RESTARTABLE
from ..mesh.pods import PROXY, gateway_template, is_gateway, is_live, is_ready, labels_of
from ..reconcile.identity import title
from ..reconcile.selectors import matches
from ..reconcile.types import K8sObject

_GATEWAY = KNOWN["networking.istio.io", "Gateway"]
_API_GATEWAY = KNOWN["gateway.networking.k8s.io", "Gateway"]
_ASK = ["pilot-agent", "request", "GET", "stats?filter=downstream_cx_active"]
#: Envoy's count of open connections of one listener; those of its workers are in it.
_OPEN = re.compile(r"^listener\.(?:(?!\.worker_).)*_(\d+)\.downstream_cx_active: (\d+)$", re.MULTILINE)
#: Ports of health checks and metrics, which are no use.
_OWN_PORTS = {"15000", "15020", "15021", "15090"}
#: A health check of a load balancer is over by the next sample; a client is not.
_SAMPLES = 3
_PAUSE = 0.5


def gateway_users(cluster: Cluster, deleted: t.Sequence[K8sObject]) -> list[str]:
    """What uses the gateways among live objects that will be deleted.

    A Gateway uses one where its selector matches no other gateway's pods, a Gateway of the Gateway API where its
    addresses name only Services that will be deleted; and so does a client with an open connection.
    """
    workloads = [obj for obj in deleted if obj["kind"] in RESTARTABLE and gateway_template(obj)]
    if not workloads:
        return []
    gone = {(obj["metadata"]["namespace"], obj["metadata"]["name"]) for obj in deleted if obj["kind"] == "Service"}
    users = [title(gateway) for gateway in _listed(cluster, _GATEWAY) if _only(cluster, gateway, workloads)]
    users += [title(gateway) for gateway in _listed(cluster, _API_GATEWAY) if _by_address(gateway, gone)]
    return users + _connections(cluster, [pod for workload in workloads for pod in _pods_of(cluster, workload)])


def _listed(cluster: Cluster, kind: Kind, namespace: str | None = None, labels: str | None = None) -> list[K8sObject]:
    """Objects of a kind; none where the kind is not served or may not be listed."""
    try:
        return cluster.list(kind, namespace, labels=labels)
    except ApiError as error:
        if error.status not in (403, 404):
            raise
        return []


def _only(cluster: Cluster, gateway: K8sObject, workloads: t.Sequence[K8sObject]) -> bool:
    """Whether a Gateway configures one of the workloads, and no pod of another."""
    selector = (gateway.get("spec") or {}).get("selector") or {}
    templates = [labels_of(workload["spec"]["template"]) for workload in workloads]
    if not any(selector.items() <= labels.items() for labels in templates):
        return False
    chosen = _listed(cluster, POD, labels=",".join(f"{name}={value}" for name, value in selector.items()) or None)
    return not any(is_live(pod) and is_gateway(pod) and not _is_of(pod, workloads) for pod in chosen)


def _is_of(pod: K8sObject, workloads: t.Sequence[K8sObject]) -> bool:
    return any(
        workload["metadata"]["namespace"] == pod["metadata"]["namespace"]
        and matches(workload["spec"]["selector"], labels_of(pod))
        for workload in workloads
    )


def _pods_of(cluster: Cluster, workload: K8sObject) -> list[K8sObject]:
    pods = _listed(cluster, POD, workload["metadata"]["namespace"])
    return [pod for pod in pods if is_live(pod) and is_ready(pod) and _is_of(pod, [workload])]


def _by_address(gateway: K8sObject, services: t.Collection[tuple[str, str]]) -> bool:
    """Whether all addresses of a Gateway are names of these Services, in one of the forms that Istio takes."""
    addresses = (gateway.get("spec") or {}).get("addresses") or ()
    own = gateway["metadata"]["namespace"]
    named = []
    for address in addresses:
        name, _dot, rest = str(address.get("value") or "").partition(".")
        named.append((rest.partition(".")[0] or own, name))
    return bool(named) and all(service in services for service in named)


def _connections(cluster: Cluster, pods: t.Sequence[K8sObject]) -> list[str]:
    users = []
    for pod in pods:
        count = min_open(cluster, pod)
        if count:
            users.append(f"{count} open connection{'' if count == 1 else 's'} to {title(pod)}")
    return users


def min_open(cluster: Cluster, pod: K8sObject) -> int:
    """The connections that clients keep open to a gateway's pod: the fewest of some samples; 0 if it can't be asked."""
    meta, fewest = pod["metadata"], 0
    for sample in range(_SAMPLES):
        try:
            answer = cluster.execute(meta["namespace"], meta["name"], _ASK, PROXY)
        except MeshopsError:
            return 0
        count = sum(int(number) for port, number in _OPEN.findall(answer) if port not in _OWN_PORTS)
        fewest = count if sample == 0 else min(fewest, count)
        if not fewest:
            break
        time.sleep(_PAUSE)
    return fewest
