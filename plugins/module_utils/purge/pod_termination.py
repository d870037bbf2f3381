# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ends terminating pods of Istio before their grace period is over, where they have no clients.

An istiod may wait ten seconds for its proxies to disconnect, and has no clients any more. A gateway waits five seconds
for requests that are under way (terminationDrainDuration), whether or not there are any: where the kernel knows of no
client's connection, there are none, and since its Service was deleted first no new ones come. Its Envoy is made to
quit, upon which the pod ends (pkg/envoy/agent.go, terminate); a shorter grace period would come too late for the
kubelet. The kubelet of a node that does not answer never reports the end of a pod: such pods are deleted by force.
"""

from __future__ import annotations

import concurrent.futures
import datetime
import ipaddress
import time
import typing as t

from ..cluster.client import Cluster, DeleteOptions
from ..cluster.kinds import KNOWN
from ..errors import MeshopsError
from ..footprint.item import Item
from ..mesh.names import RESTARTABLE
from ..mesh.pods import PROXY, is_ready, owner_of
from ..reconcile.types import K8sObject

_POD = KNOWN["", "Pod"]
_NODE = KNOWN["", "Node"]
#: Grace period of an istiod in seconds.
_GRACE = 1
#: Seconds until a gateway with clients is checked again.
_PAUSE = 0.5
#: Seconds after the end of its grace period from which a pod should be gone, unless its node does not answer.
_OVERDUE = 5
#: Ports of every proxy that serve no client: administration, debugging, the agent, health, metrics, its own DNS.
_OWN_PORTS = frozenset((15000, 15004, 15020, 15021, 15053, 15090))
_SOCKETS = (
    "cat /proc/sys/net/ipv4/ip_local_port_range && cat /proc/net/tcp && echo udp && cat /proc/net/udp;"
    " echo tcp; cat /proc/net/tcp6 2>/dev/null; echo udp; cat /proc/net/udp6 2>/dev/null; true"
)
_QUIT = ["pilot-agent", "request", "POST", "quitquitquit"]
_LISTEN, _OVER = "0A", ("06", "07")  # TIME_WAIT, CLOSE


class PodTermination:
    """Checks the terminating pods of workloads, again and again while these are waited for."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._not_before: dict[str, float] = {}
        self._quitting: set[str] = set()

    def hurry(self, workloads: t.Iterable[Item]) -> bool:
        """Ends those pods of some workloads that have no clients.

        :returns: whether any of their pods still uses its grace period
        """
        owners = {
            (i.namespace, i.kind, i.name)
            for i in workloads
            if i.part in ("control_plane", "gateways", "gateway_api", "cni") and i.kind in RESTARTABLE
        }
        pods = [
            pod
            for namespace in sorted({namespace for namespace, _kind, _name in owners})
            for pod in self.cluster.list(_POD, namespace)
            if (namespace, *(owner_of(pod) or ())) in owners
        ]
        with concurrent.futures.ThreadPoolExecutor(self.cluster.concurrency) as pool:
            list(pool.map(self._force, [pod for pod in pods if _is_overdue(pod)]))
            return not all(list(pool.map(self._shorten, [pod for pod in pods if _uses_grace(pod)])))

    def _force(self, pod: K8sObject) -> None:
        meta, node = pod["metadata"], pod["spec"].get("nodeName")
        if node and not is_ready(self.cluster.get(_NODE, node)):
            self.cluster.delete(_POD, meta["name"], meta["namespace"], DeleteOptions(grace=0), uid=meta["uid"])

    def _shorten(self, pod: K8sObject) -> bool:
        """Whether a pod ends soon, because this collection made it."""
        meta = pod["metadata"]
        containers = {container["name"] for container in pod["spec"]["containers"]}
        if not meta.get("deletionTimestamp"):
            return False
        if "discovery" in containers:
            self.cluster.delete(_POD, meta["name"], meta["namespace"], DeleteOptions(grace=_GRACE), uid=meta["uid"])
            return True
        return containers == {PROXY} and self._quit(meta)

    def _quit(self, meta: K8sObject) -> bool:
        """Whether a gateway was made to quit, since it has no clients."""
        if meta["uid"] in self._quitting:
            return True
        if time.monotonic() < self._not_before.get(meta["uid"], 0):
            return False
        self._not_before[meta["uid"]] = time.monotonic() + _PAUSE
        try:
            if has_clients(self._run(meta, ["sh", "-c", _SOCKETS])):
                return False
            self._quitting.add(meta["uid"])
            self._run(meta, _QUIT)
        except MeshopsError:  # no shell in the image, no permission, or it has just ended
            self._not_before[meta["uid"]] = float("inf")
        return meta["uid"] in self._quitting

    def _run(self, meta: K8sObject, command: list[str]) -> str:
        return self.cluster.execute(meta["namespace"], meta["name"], command, PROXY, timeout=5)


def _is_overdue(pod: K8sObject) -> bool:
    """Whether a pod should long have ended: its deletionTimestamp is the end of its grace period."""
    until = pod["metadata"].get("deletionTimestamp")
    if not until:
        return False
    since = datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.fromisoformat(until.replace("Z", "+00:00"))
    return since.total_seconds() > _OVERDUE


def _uses_grace(pod: K8sObject) -> bool:
    meta = pod["metadata"]
    return not meta.get("deletionTimestamp") or meta.get("deletionGracePeriodSeconds", 0) > _GRACE


def has_clients(sockets: str) -> bool:
    """Whether anybody is connected to a gateway, or may be; where that is not known, somebody may.

    A client's connection ends at a port where the gateway listens, or listened until it began to end: at one below
    those that the kernel gives to connections that the gateway itself opens. A bound UDP port may serve HTTP/3.

    :param sockets: what C(_SOCKETS) prints: the range of the latter ports, then the kernel's tables of sockets
    """
    ports, _newline, tables = sockets.partition("\n")
    try:
        lowest = int(ports.split()[0])
        found = list(_sockets(tables))
    except (ValueError, IndexError):
        return True
    listening = {port for kind, port, _local, state in found if kind == "tcp" and state == _LISTEN}
    if not listening:
        return True  # every proxy listens somewhere: these are not its sockets
    for kind, port, local, state in found:
        if port in _OWN_PORTS:
            continue
        if kind == "udp":
            if port < lowest:
                return True
        elif state not in (_LISTEN, *_OVER) and (port < lowest or port in listening) and not local:
            return True
    return False


def _sockets(tables: str) -> t.Iterator[tuple[str, int, bool, str]]:
    """Each socket's protocol, own port, whether the other end is on this machine, and state."""
    kind = "tcp"
    for line in tables.splitlines():
        words = line.split()
        if line in ("tcp", "udp"):
            kind = line
        elif words and words[0] != "sl":
            yield kind, int(words[1].rpartition(":")[2], 16), _is_loopback(words[2].rpartition(":")[0]), words[3]


def _is_loopback(written: str) -> bool:
    """Reads an address as the kernel writes it: words of four bytes, each from the last byte to the first."""
    packed = b"".join(bytes.fromhex(written[i : i + 8])[::-1] for i in range(0, len(written), 8))
    address = ipaddress.ip_address(packed)
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
