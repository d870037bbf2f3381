# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Finds the VirtualService that a fault is injected into, and those that carry faults."""

from __future__ import annotations

import dataclasses
import difflib
import typing as t

from ..cluster.kinds import KNOWN
from ..errors import MeshopsError
from ..mesh.untrusted import printable
from ..reconcile.types import K8sObject
from .bookkeeping import ANNOTATION, saved_state
from .routes import full_host, location, marks, routes_of

if t.TYPE_CHECKING:
    from ..cluster.client import Cluster

VIRTUAL_SERVICE = KNOWN["networking.istio.io", "VirtualService"]
_SERVICE_ENTRY = KNOWN["networking.istio.io", "ServiceEntry"]
_SERVICE = KNOWN["", "Service"]


@dataclasses.dataclass(frozen=True)
class Host:
    """What a user means by a host; see the options of the module.

    :ivar hostname: C(echo), C(echo.demo), C(echo.demo.svc.cluster.local), or a ServiceEntry's host
    :ivar namespace: the namespace of a name without dots
    :ivar virtual_service: C(name) or C(namespace/name) of the VirtualService, where the user names it
    :ivar domain: the cluster's DNS domain
    """

    hostname: str
    namespace: str
    virtual_service: str | None = None
    domain: str = "cluster.local"

    @property
    def virtual_service_key(self) -> tuple[str, str]:
        """Namespace and name of C(virtual_service)."""
        namespace, _slash, name = (self.virtual_service or "").rpartition("/")
        return namespace or self.namespace, name


@dataclasses.dataclass(frozen=True)
class Target:
    """The VirtualService to inject faults into.

    :ivar host: the fully qualified host
    :ivar live: the object, None where it does not exist
    """

    namespace: str
    name: str
    host: str
    live: K8sObject | None


def find_host(cluster: Cluster, host: Host) -> tuple[str, str]:
    """The fully qualified host, and the namespace of the Service or ServiceEntry that defines it.

    :raises MeshopsError: nothing defines it; the text names similar hosts
    """
    parts = host.hostname.split(".")
    if len(parts) == 1:
        parts.append(host.namespace)
    if ".".join(parts[2:]) in ("", "svc", f"svc.{host.domain}") and cluster.get(_SERVICE, parts[0], parts[1]):
        return full_host(parts[0], parts[1], host.domain), parts[1]
    entries = cluster.list(_SERVICE_ENTRY)
    for entry in entries:
        for name in entry["spec"].get("hosts") or []:
            if name == host.hostname or (name.startswith("*") and host.hostname.endswith(name[1:])):
                return host.hostname, entry["metadata"]["namespace"]
    known = [f"{s['metadata']['name']}.{s['metadata']['namespace']}" for s in cluster.list(_SERVICE)]
    known += [name for entry in entries for name in entry["spec"].get("hosts") or []]
    similar = difflib.get_close_matches(".".join(parts[:2]), known, n=3, cutoff=0.5)
    raise MeshopsError(
        f"Host {host.hostname}: no Service and no ServiceEntry defines it (NotFound); a name without dots is searched"
        f" in namespace {host.namespace}."
        + (f" Did you mean {', '.join(map(printable, similar))}?" if similar else " Check hostname and namespace.")
    )


def locate(cluster: Cluster, host: Host) -> Target:
    """The VirtualService to inject faults into.

    :raises MeshopsError: the host does not exist, or several VirtualServices route it
    """
    full, defined_in = find_host(cluster, host)
    if host.virtual_service:
        namespace, name = host.virtual_service_key
        live = cluster.get(VIRTUAL_SERVICE, name, namespace)
        if live is None:
            raise MeshopsError(
                f"VirtualService {namespace}/{name}: it does not exist (NotFound). Check virtual_service."
            )
        return Target(namespace, name, full, live)
    services = routes_of(full, cluster.list(VIRTUAL_SERVICE), host.domain)
    if len(services) > 1:
        names = ", ".join(sorted(map(location, services)))
        raise MeshopsError(f"Host {full}: several VirtualServices route it: {names}. Name one with virtual_service.")
    if services:
        meta = services[0]["metadata"]
        return Target(meta["namespace"], meta["name"], full, services[0])
    short = full.removesuffix(f".{defined_in}.svc.{host.domain}").replace("*", "any")
    return Target(defined_in, f"fault-injection-{short}", full, None)


def with_faults(cluster: Cluster, namespace: str | None) -> list[K8sObject]:
    """Every VirtualService that carries faults, or traces of faults, of this collection."""
    services = cluster.list(VIRTUAL_SERVICE, namespace)
    return [s for s in services if marks(s["spec"]) or ANNOTATION in (s["metadata"].get("annotations") or {})]


def with_faults_for(cluster: Cluster, host: Host) -> list[K8sObject]:
    """Those of with_faults() for a host, which need not exist any more, or of the VirtualService that is named.

    A host's faults may be in a VirtualService for other hosts, such as one of a gateway.
    """
    services = with_faults(cluster, None)
    if host.virtual_service:
        key = "/".join(host.virtual_service_key)
        return [s for s in services if location(s) == key]
    parts = host.hostname.split(".")
    names = {host.hostname, full_host(parts[0], parts[1] if len(parts) > 1 else host.namespace, host.domain)}
    return [
        s
        for s in services
        if names
        & {
            str((saved_state(s) or {}).get("host")),
            *(full_host(h, s["metadata"]["namespace"], host.domain) for h in s["spec"].get("hosts") or []),
        }
    ]
