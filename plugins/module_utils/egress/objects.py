# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Istio objects that restrict outbound traffic to registered hosts. Pure."""

from __future__ import annotations

import typing as t

from ..reconcile.types import K8sObject
from .options import EgressOptions, Gateway, Host, Port
from .wildcards import lookup_cluster_host, lookup_filter

_NETWORKING = "networking.istio.io/v1"
#: The ports of the egress gateway. HTTP arrives at the first one, connections at the second one, both in the mesh's
#: mTLS. The TLS of a wildcard arrives at the second one unchanged.
_GATEWAY_HTTP, _GATEWAY_TLS = 80, 443
#: The port of a Host header that names none.
_DEFAULT_HTTP = 80
#: Distinguishes several HTTP ports of one host at the gateway, which removes it.
_PORT_HEADER = "x-egress-port"

#: The spec of an object, or a part of it.
Spec = dict[str, t.Any]


def egress_objects(options: EgressOptions) -> list[K8sObject]:
    """All objects for a policy and a list of hosts."""
    objects: list[K8sObject] = []
    if options.policy:
        objects += [_sidecar(options.policy, name) for name in options.namespaces or (options.root_namespace,)]
    if options.network_policy:
        objects += [_network_policy(namespace, options.dns_blocks) for namespace in options.namespaces]
    for host in options.hosts:
        objects += _host_objects(host, options.gateway, options.visible_in)
    return objects


def _object(kind: str, name: str, namespace: str, spec: Spec, api_version: str = _NETWORKING) -> K8sObject:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def _sidecar(policy: str, namespace: str) -> K8sObject:
    """In the root namespace, it applies to every namespace that has none of its own."""
    return _object("Sidecar", "default", namespace, {"outboundTrafficPolicy": {"mode": policy}})


def _network_policy(namespace: str, dns_blocks: t.Sequence[str]) -> K8sObject:
    """Allows pods to reach pods of the cluster, and outside it only DNS resolvers, which may be in the host network."""
    egress: list[Spec] = [{"to": [{"namespaceSelector": {}}]}]
    if dns_blocks:
        ports = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
        egress.append({"to": [{"ipBlock": {"cidr": block}} for block in dns_blocks], "ports": ports})
    spec: Spec = {"podSelector": {}, "policyTypes": ["Egress"], "egress": egress}
    return _object("NetworkPolicy", "egress-inside-only", namespace, spec, "networking.k8s.io/v1")


def _host_objects(host: Host, gateway: Gateway, visible_in: list[str]) -> list[K8sObject]:
    objects = [_service_entry(host, gateway.namespace, visible_in)]
    if any(port.tls == "originate" for port in host.ports):
        objects.append(_tls_origination(host, gateway.namespace, visible_in))
    if host.through_gateway:
        objects += _gateway_objects(host, gateway, visible_in)
    return objects


def _service_entry(host: Host, namespace: str, visible_in: list[str]) -> K8sObject:
    ports = []
    for port in host.ports:
        entry: Spec = {"number": port.number, "name": port.name, "protocol": port.protocol}
        if port.target != port.number:
            entry["targetPort"] = port.target
        ports.append(entry)
    spec: Spec = {
        "hosts": [host.name],
        "location": "MESH_EXTERNAL",
        "resolution": host.resolution,
        "ports": ports,
        "exportTo": visible_in,
    }
    if host.endpoints:
        spec["endpoints"] = [{"address": address} for address in host.endpoints]
    return _object("ServiceEntry", f"egress-{host.slug}", namespace, spec)


def _tls_origination(host: Host, namespace: str, visible_in: list[str]) -> K8sObject:
    levels = [
        {"port": {"number": port.number}, "tls": {"mode": "SIMPLE", "sni": host.name, **port.settings}}
        for port in host.ports
        if port.tls == "originate"
    ]
    spec = {"host": host.name, "trafficPolicy": {"portLevelSettings": levels}, "exportTo": visible_in}
    return _object("DestinationRule", f"egress-{host.slug}", namespace, spec)


# -- through the gateway --------------------------------------------------


class _Path(t.NamedTuple):
    """How the traffic of one port of a host gets through the gateway.

    :ivar server: the gateway's server that accepts it
    :ivar to_gateway: http, tls or tcp, and the sidecars' route to the gateway
    :ivar to_host: the same of the gateway's route to the host
    :ivar subset: of the gateway, whose server name in the mesh's mTLS is C(sni); None where TLS passes unchanged
    """

    server: Spec
    to_gateway: tuple[str, Spec]
    to_host: tuple[str, Spec]
    subset: str | None = None
    sni: str | None = None

    @property
    def server_host(self) -> str:
        """The name by which the gateway selects the server."""
        return str(self.server["hosts"][0])


def _gateway_objects(host: Host, gateway: Gateway, visible_in: list[str]) -> list[K8sObject]:
    """Sidecars send to the gateway in the mesh's mTLS, so that the gateway knows the caller's identity."""
    name, namespace = f"egress-{host.slug}", gateway.namespace
    paths = [_path(port, host, gateway) for port in host.ports]
    servers = list({path.server["port"]["name"]: path.server for path in paths}.values())
    to_gateway = _routes(host.name, ["mesh"], visible_in, [path.to_gateway for path in paths])
    objects = [
        _object("Gateway", name, namespace, {"selector": gateway.selector, "servers": servers}),
        _object("VirtualService", name, namespace, to_gateway),
    ]
    for server_host in dict.fromkeys(path.server_host for path in paths):
        routes = [path.to_host for path in paths if path.server_host == server_host]
        suffix = "" if server_host == host.name else server_host.partition(".")[0].removeprefix("port")
        to_host = _routes(server_host, [f"{namespace}/{name}"], [namespace], routes)
        objects.append(_object("VirtualService", f"{name}{suffix}-gateway", namespace, to_host))
    subsets = {path.subset: _subset(path) for path in paths if path.subset}
    if subsets:
        spec = {"host": gateway.host, "subsets": list(subsets.values()), "exportTo": visible_in}
        objects.append(_object("DestinationRule", f"{name}-gateway", namespace, spec))
    if host.is_wildcard:
        spec = lookup_filter(host, gateway.selector)
        objects.append(_object("EnvoyFilter", name, namespace, spec, "networking.istio.io/v1alpha3"))
    return objects


def _path(port: Port, host: Host, gateway: Gateway) -> _Path:
    if port.is_http:
        return _http_path(port, host, gateway)
    return _wildcard_tls_path(port, host, gateway) if host.is_wildcard else _connection_path(port, host, gateway)


def _destination(port: Port, host: Host) -> Spec:
    name = lookup_cluster_host(host) if host.is_wildcard else host.name
    return {"host": name, "port": {"number": port.number}}


def _http_path(port: Port, host: Host, gateway: Gateway) -> _Path:
    door = {"host": gateway.host, "subset": host.slug, "port": {"number": _GATEWAY_HTTP}}
    to_gateway: Spec = {"match": [{"port": port.number}], "route": [{"destination": door}]}
    to_host: Spec = {"match": [{"port": _GATEWAY_HTTP}], "route": [{"destination": _destination(port, host)}]}
    if sum(other.is_http for other in host.ports) > 1:
        to_gateway["headers"] = {"request": {"set": {_PORT_HEADER: str(port.number)}}}
        to_host["match"][0]["headers"] = {_PORT_HEADER: {"exact": str(port.number)}}
        to_host["headers"] = {"request": {"remove": [_PORT_HEADER]}}
    if host.is_wildcard:
        # The gateway connects to the port of the Host header: it must be the port that this route is for.
        suffix = f"(:{port.number})?" if port.number == _DEFAULT_HTTP else f":{port.number}"
        to_host["match"][0]["authority"] = {"regex": f"[^:]+{suffix}"}
    server = _server(_GATEWAY_HTTP, "https-mesh", "HTTPS", host.name, "ISTIO_MUTUAL")
    sni = f"any{host.name[1:]}" if host.is_wildcard else host.name
    return _Path(server, ("http", to_gateway), ("http", to_host), host.slug, sni)


def _wildcard_tls_path(port: Port, host: Host, gateway: Gateway) -> _Path:
    """Only the workload's own server name identifies the host, so its TLS must arrive unchanged."""
    match = {"sniHosts": [host.name]}
    door = {"host": gateway.host, "port": {"number": _GATEWAY_TLS}}
    to_host = {"match": [{"port": _GATEWAY_TLS, **match}], "route": [{"destination": _destination(port, host)}]}
    return _Path(
        _server(_GATEWAY_TLS, "tls", "TLS", host.name, "PASSTHROUGH"),
        ("tls", {"match": [{"port": port.number, **match}], "route": [{"destination": door}]}),
        ("tls", to_host),
    )


def _connection_path(port: Port, host: Host, gateway: Gateway) -> _Path:
    """The server name of the mesh's mTLS identifies host and port."""
    sni = f"port-{port.number}.{host.name}"
    subset = f"{host.slug}-{port.number}"
    door = {"host": gateway.host, "subset": subset, "port": {"number": _GATEWAY_TLS}}
    match: Spec = {"port": port.number}
    if port.tls == "passthrough":
        match["sniHosts"] = [host.name]
    to_host = {"match": [{"port": _GATEWAY_TLS}], "route": [{"destination": _destination(port, host)}]}
    return _Path(
        _server(_GATEWAY_TLS, f"tls-{port.number}", "TLS", sni, "ISTIO_MUTUAL"),
        ("tls" if port.tls == "passthrough" else "tcp", {"match": [match], "route": [{"destination": door}]}),
        ("tcp", to_host),
        subset,
        sni,
    )


def _server(number: int, name: str, protocol: str, host: str, mode: str) -> Spec:
    return {"port": {"number": number, "name": name, "protocol": protocol}, "hosts": [host], "tls": {"mode": mode}}


def _subset(path: _Path) -> Spec:
    number = path.server["port"]["number"]
    level = {"port": {"number": number}, "tls": {"mode": "ISTIO_MUTUAL", "sni": path.sni}}
    return {"name": path.subset, "trafficPolicy": {"portLevelSettings": [level]}}


def _routes(host: str, gateways: list[str], visible_in: list[str], routes: t.Iterable[tuple[str, Spec]]) -> Spec:
    spec: Spec = {"hosts": [host], "gateways": gateways, "exportTo": visible_in}
    for section, route in routes:
        spec.setdefault(section, []).append(route)
    return spec
