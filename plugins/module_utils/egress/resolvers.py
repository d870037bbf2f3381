# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Finds the DNS resolvers of a cluster that are not pods for a NetworkPolicy: those in the network of a node."""

from __future__ import annotations

import dataclasses
import ipaddress
import typing as t

from ..cluster.errors import ApiError
from ..cluster.kinds import KNOWN, Kind
from ..reconcile.types import K8sObject

if t.TYPE_CHECKING:
    from ..cluster.client import Cluster

_NAMESPACE = "kube-system"
#: The labels of NodeLocal DNSCache, and of the cluster's DNS pods whatever program they run.
_NODE_LOCAL, _CLUSTER_DNS = "k8s-app=node-local-dns", "k8s-app=kube-dns"
_DAEMON_SET, _POD = KNOWN["apps", "DaemonSet"], KNOWN["", "Pod"]
#: The argument of NodeLocal DNSCache with the addresses on which it answers.
_LOCAL_IP = "localip"


@dataclasses.dataclass(frozen=True)
class Resolvers:
    """DNS resolvers in the network of a node.

    :ivar addresses: at which pods reach them, sorted
    :ivar unread: the kinds that this user may not list, so that some may be missing
    """

    addresses: list[str]
    unread: list[str]


def find_resolvers(cluster: Cluster) -> Resolvers:
    """The resolvers in the network of a node: NodeLocal DNSCache, and the cluster's DNS pods with the host network."""
    addresses: set[str] = set()
    unread = []
    for kind, labels, addresses_of in (
        (_DAEMON_SET, _NODE_LOCAL, local_addresses),
        (_POD, _CLUSTER_DNS, host_network_addresses),
    ):
        objects = _readable(cluster, kind, labels)
        if objects is None:
            unread.append(kind.plural)
        for obj in objects or []:
            addresses.update(addresses_of(obj))
    return Resolvers(sorted(addresses), unread)


def _readable(cluster: Cluster, kind: Kind, labels: str) -> list[K8sObject] | None:
    try:
        return cluster.list(kind, _NAMESPACE, labels)
    except ApiError as error:
        if error.status == 403:
            return None
        raise


def local_addresses(daemon_set: K8sObject) -> list[str]:
    """The addresses on which NodeLocal DNSCache answers, from C(-localip) of its containers."""
    addresses = []
    for container in daemon_set["spec"]["template"]["spec"]["containers"]:
        words = [str(word) for word in [*(container.get("command") or []), *(container.get("args") or [])]]
        for word, following in zip(words, [*words[1:], ""], strict=False):
            name, _equals, value = word.lstrip("-").partition("=")
            if word.startswith("-") and name == _LOCAL_IP:
                addresses += [address for address in (value or following).split(",") if is_address(address)]
    return addresses


def host_network_addresses(pod: K8sObject) -> list[str]:
    """The addresses of a pod in the network of its node; none where it has a network of its own."""
    if not pod["spec"].get("hostNetwork"):
        return []
    status = pod.get("status") or {}
    addresses = [entry.get("ip") for entry in status.get("podIPs") or []] or [status.get("podIP")]
    return [address for address in addresses if address and is_address(address)]


def is_address(text: str) -> bool:
    """Whether a text is an IP address, and neither a network nor a name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
