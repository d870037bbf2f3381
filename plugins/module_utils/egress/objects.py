# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What workloads may reach outside the mesh, as the objects that say so to Istio. Pure."""

from __future__ import annotations

import ipaddress
import typing as t

from ..errors import MeshopsError
from ..reconcile.types import K8sObject
from .options import _Gateway, _Host, _names, _Port, _yes

_NETWORKING = "networking.istio.io/v1"
_POLICIES = ("REGISTRY_ONLY", "ALLOW_ANY")
#: The egress gateway's ports: HTTP comes in on the first, connections on the second, both over the mesh's mTLS;
#: for wildcards, TLS comes in on the second as it is.
_GATEWAY_HTTP, _GATEWAY_TLS = 80, 443
#: The port of a Host header without one.
_DEFAULT_HTTP = 80
#: Tells the gateway which of several HTTP ports of one host a request is for; it goes no further.
_PORT_HEADER = "x-egress-port"
#: Envoy finds the addresses of all wildcards' hosts in one cache.
_DNS_CACHE = {"name": "meshops-egress", "dns_lookup_family": "V4_PREFERRED"}
#: Where NodeLocal DNSCache answers on every node, unless its DaemonSet says otherwise.
NODE_LOCAL_DNS = ("169.254.20.10",)
_ROUTER = "envoy.filters.http.router"
_EXTENSIONS = "type.googleapis.com/envoy.extensions"


def egress_objects(
    policy: str | None,
    hosts: t.Any,
    namespaces: t.Sequence[str] | str = (),
    through_gateway: bool | str = False,
    gateway: t.Mapping[str, t.Any] | None = None,
    root_namespace: str = "istio-system",
    network_policy: bool | str = False,
    dns_addresses: t.Sequence[str] | str = NODE_LOCAL_DNS,
) -> list[K8sObject]:
    """All objects for a policy and a list of hosts; see the role egress for what each option means.

    What comes by C(-e) is text: C(false), C(demo,shop).

    :raises MeshopsError: an option is wrong, or Istio can't do it; the text names the host and what to do
    """
    if policy and policy not in _POLICIES:
        raise MeshopsError(f"egress_policy: {policy!r} is none of {', '.join(_POLICIES)}")
    namespaces = _names(namespaces, "egress_namespaces")
    network_policy = _yes(network_policy, "egress_network_policy")
    through_gateway = _yes(through_gateway, "egress_through_gateway")
    if not isinstance(hosts, t.Sequence) or isinstance(hosts, str):
        raise MeshopsError(f"egress_hosts: wants a list, not {hosts!r}; with -e, write it as JSON")
    if network_policy and not namespaces:
        raise MeshopsError(
            "egress_network_policy: name the namespaces in egress_namespaces; a cluster-wide one is not made"
        )
    if not (hosts or policy or network_policy):
        raise MeshopsError(
            "egress_hosts: it is empty, and neither egress_policy nor egress_network_policy asks for anything; to take"
            " away all that the role has written, set egress_state to absent"
        )
    door = _Gateway(gateway or {})
    objects = [_sidecar(policy, namespace) for namespace in namespaces or [root_namespace]] if policy else []
    if network_policy:
        blocks = [_address_block(address) for address in _names(dns_addresses, "egress_dns_addresses")]
        objects += [_network_policy(namespace, blocks) for namespace in namespaces]
    home = door.namespace
    visible = sorted({*namespaces, home}) if namespaces else ["*"]
    seen: set[str] = set()
    for number, given in enumerate(hosts):
        host = _Host(given, f"egress_hosts[{number}]", through_gateway)
        if host.name in seen:
            raise MeshopsError(f"egress_hosts[{number}]: {host.name} is there twice; give all its ports in one entry")
        seen.add(host.name)
        if network_policy and host.through_gateway and home in namespaces:
            raise MeshopsError(
                f"egress_network_policy: {home}, the namespace of the egress gateway, is one of egress_namespaces; its"
                f" policy would keep the gateway itself from reaching {host.name}; leave it out of egress_namespaces"
            )
        objects += _host_objects(host, door, home, visible)
    return objects


def _object(kind: str, name: str, namespace: str, spec: K8sObject) -> K8sObject:
    return {"apiVersion": _NETWORKING, "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def _sidecar(policy: str, namespace: str) -> K8sObject:
    """In the root namespace it counts for every namespace that has none of its own."""
    return _object("Sidecar", "default", namespace, {"outboundTrafficPolicy": {"mode": policy}})


def _address_block(address: str) -> str:
    try:
        return str(ipaddress.ip_network(address))
    except ValueError:
        raise MeshopsError(f"egress_dns_addresses: {address!r} is not a valid IP address") from None


def _network_policy(namespace: str, dns: t.Sequence[str]) -> dict[str, t.Any]:
    """Pods reach pods of the cluster, and nothing outside it but DNS caches, which may be no pods (host network)."""
    egress: list[dict[str, t.Any]] = [{"to": [{"namespaceSelector": {}}]}]
    if dns:
        ports = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
        egress.append({"to": [{"ipBlock": {"cidr": block}} for block in dns], "ports": ports})
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "egress-inside-only", "namespace": namespace},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": egress},
    }


def _host_objects(host: _Host, door: _Gateway, home: str, visible: list[str]) -> list[K8sObject]:
    objects = [_service_entry(host, home, visible)]
    if any(port.tls == "originate" for port in host.ports):
        objects.append(_origination(host, home, visible))
    if host.through_gateway:
        objects += _through(host, door, home, visible)
    return objects


def _service_entry(host: _Host, home: str, visible: list[str]) -> K8sObject:
    ports = []
    for port in host.ports:
        one: dict[str, t.Any] = {"number": port.number, "name": port.name, "protocol": port.protocol}
        if port.target != port.number:
            one["targetPort"] = port.target
        ports.append(one)
    spec: dict[str, t.Any] = {
        "hosts": [host.name],
        "location": "MESH_EXTERNAL",
        "resolution": host.resolution,
        "ports": ports,
        "exportTo": visible,
    }
    if host.endpoints:
        spec["endpoints"] = [{"address": address} for address in host.endpoints]
    return _object("ServiceEntry", f"egress-{host.slug}", home, spec)


def _origination(host: _Host, home: str, visible: list[str]) -> K8sObject:
    levels = [
        {"port": {"number": port.number}, "tls": {"mode": "SIMPLE", "sni": host.name, **port.settings}}
        for port in host.ports
        if port.tls == "originate"
    ]
    spec = {"host": host.name, "trafficPolicy": {"portLevelSettings": levels}, "exportTo": visible}
    return _object("DestinationRule", f"egress-{host.slug}", home, spec)


class _Leg(t.NamedTuple):
    """One port's way.

    :ivar server: by which it comes in at the gateway
    :ivar mesh: http, tls or tcp, and the sidecars' route to the gateway
    :ivar gateway: the same of the gateway's route to the host
    :ivar subset: of the gateway, with the name that the mesh's mTLS says (C(sni)); None where TLS goes as it is
    """

    server: K8sObject
    mesh: tuple[str, K8sObject]
    gateway: tuple[str, K8sObject]
    subset: str | None = None
    sni: str | None = None

    @property
    def hosted(self) -> str:
        """The name by which the gateway finds the server."""
        return self.server["hosts"][0]


def _through(host: _Host, door: _Gateway, home: str, visible: list[str]) -> list[K8sObject]:
    """Sidecar to gateway, and gateway to the host, by the mesh's mTLS, so that the gateway knows who asks."""
    name = f"egress-{host.slug}"
    legs = [_leg(port, host, door) for port in host.ports]
    servers = list({leg.server["port"]["name"]: leg.server for leg in legs}.values())
    inward = _routes(host.name, ["mesh"], visible, [leg.mesh for leg in legs])
    objects = [
        _object("Gateway", name, home, {"selector": door.selector, "servers": servers}),
        _object("VirtualService", name, home, inward),
    ]
    for hosted in dict.fromkeys(leg.hosted for leg in legs):
        outward = _routes(hosted, [f"{home}/{name}"], [home], [leg.gateway for leg in legs if leg.hosted == hosted])
        own = "" if hosted == host.name else hosted.partition(".")[0].removeprefix("port")
        objects.append(_object("VirtualService", f"{name}{own}-gateway", home, outward))
    subsets = {leg.subset: _subset(leg) for leg in legs if leg.subset}
    if subsets:
        spec = {"host": door.host, "subsets": list(subsets.values()), "exportTo": visible}
        objects.append(_object("DestinationRule", f"{name}-gateway", home, spec))
    if host.wild:
        objects.append(_dynamic(host, door, home, name))
    return objects


def _leg(port: _Port, host: _Host, door: _Gateway) -> _Leg:
    there = {"host": _looked_up(host) if host.wild else host.name, "port": {"number": port.number}}
    if port.is_http:
        mesh: dict[str, t.Any] = {
            "match": [{"port": port.number}],
            "route": [{"destination": {"host": door.host, "subset": host.slug, "port": {"number": _GATEWAY_HTTP}}}],
        }
        out: dict[str, t.Any] = {"match": [{"port": _GATEWAY_HTTP}], "route": [{"destination": there}]}
        if sum(one.is_http for one in host.ports) > 1:
            mesh["headers"] = {"request": {"set": {_PORT_HEADER: str(port.number)}}}
            out["match"][0]["headers"] = {_PORT_HEADER: {"exact": str(port.number)}}
            out["headers"] = {"request": {"remove": [_PORT_HEADER]}}
        if host.wild:
            # The gateway dials the port of the Host header: it must be the port that this route is for.
            suffix = f"(:{port.number})?" if port.number == _DEFAULT_HTTP else f":{port.number}"
            out["match"][0]["authority"] = {"regex": f"[^:]+{suffix}"}
        server = _server(_GATEWAY_HTTP, "https-mesh", "HTTPS", host.name, "ISTIO_MUTUAL")
        sni = f"any{host.name[1:]}" if host.wild else host.name
        return _Leg(server, ("http", mesh), ("http", out), host.slug, sni)
    if host.wild:
        # Its host is known by the server's name alone, which has to be the workload's own.
        match = {"sniHosts": [host.name]}
        to_door = {"host": door.host, "port": {"number": _GATEWAY_TLS}}
        return _Leg(
            _server(_GATEWAY_TLS, "tls", "TLS", host.name, "PASSTHROUGH"),
            ("tls", {"match": [{"port": port.number, **match}], "route": [{"destination": to_door}]}),
            ("tls", {"match": [{"port": _GATEWAY_TLS, **match}], "route": [{"destination": there}]}),
        )
    # The server's name of the mesh's mTLS says which port of which host is meant.
    sni = f"port-{port.number}.{host.name}"
    subset = f"{host.slug}-{port.number}"
    to_door = {"host": door.host, "subset": subset, "port": {"number": _GATEWAY_TLS}}
    tls_match: dict[str, t.Any] = {"port": port.number}
    if port.tls == "passthrough":
        tls_match["sniHosts"] = [host.name]
    return _Leg(
        _server(_GATEWAY_TLS, f"tls-{port.number}", "TLS", sni, "ISTIO_MUTUAL"),
        ("tls" if port.tls == "passthrough" else "tcp", {"match": [tls_match], "route": [{"destination": to_door}]}),
        ("tcp", {"match": [{"port": _GATEWAY_TLS}], "route": [{"destination": there}]}),
        subset,
        sni,
    )


def _server(number: int, name: str, protocol: str, host: str, mode: str) -> K8sObject:
    return {"port": {"number": number, "name": name, "protocol": protocol}, "hosts": [host], "tls": {"mode": mode}}


def _subset(leg: _Leg) -> K8sObject:
    number = leg.server["port"]["number"]
    level = {"port": {"number": number}, "tls": {"mode": "ISTIO_MUTUAL", "sni": leg.sni}}
    return {"name": leg.subset, "trafficPolicy": {"portLevelSettings": [level]}}


def _routes(host: str, gateways: list[str], visible: list[str], legs: t.Iterable[tuple[str, K8sObject]]) -> K8sObject:
    spec: dict[str, t.Any] = {"hosts": [host], "gateways": gateways, "exportTo": visible}
    for kind, route in legs:
        spec.setdefault(kind, []).append(route)
    return spec


# -- wildcards through the gateway ----------------------------------------


def _looked_up(host: _Host) -> str:
    """Stands for the hosts of a wildcard in the gateway's routes: Envoy's cluster of this name looks each one up."""
    return f"{host.slug}.egress.internal"


def _dynamic(host: _Host, door: _Gateway, home: str, name: str) -> K8sObject:
    """Lets the gateway look up the host that a request, or a TLS connection, names: Istio has no way to say it."""
    cache = {"dns_cache_config": _DNS_CACHE}
    patches = []
    for port in host.ports:
        kind = f"{_EXTENSIONS}.clusters.dynamic_forward_proxy.v3.ClusterConfig"
        cluster = {
            "name": f"outbound|{port.number}||{_looked_up(host)}",
            "connect_timeout": "10s",
            "lb_policy": "CLUSTER_PROVIDED",
            "cluster_type": {
                "name": "envoy.clusters.dynamic_forward_proxy",
                "typed_config": {"@type": kind, **cache},
            },
        }
        patches.append(_patch("CLUSTER", None, "ADD", cluster))
    if any(port.is_http for port in host.ports):
        chain = {"name": "envoy.filters.network.http_connection_manager", "subFilter": {"name": _ROUTER}}
        kind = f"{_EXTENSIONS}.filters.http.dynamic_forward_proxy.v3.FilterConfig"
        value = {"name": "envoy.filters.http.dynamic_forward_proxy", "typed_config": {"@type": kind, **cache}}
        patches.append(_patch("HTTP_FILTER", {"sni": host.name, "filter": chain}, "INSERT_BEFORE", value))
    for port in host.ports:
        if port.is_connection:
            chain = {"name": "envoy.filters.network.tcp_proxy"}
            kind = f"{_EXTENSIONS}.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig"
            value = {
                "name": "envoy.filters.network.sni_dynamic_forward_proxy",
                "typed_config": {"@type": kind, "port_value": port.target, **cache},
            }
            patches.append(_patch("NETWORK_FILTER", {"sni": host.name, "filter": chain}, "INSERT_BEFORE", value))
    spec = {"workloadSelector": {"labels": door.selector}, "priority": 10, "configPatches": patches}
    made = _object("EnvoyFilter", name, home, spec)
    return {**made, "apiVersion": "networking.istio.io/v1alpha3"}


def _patch(what: str, chain: K8sObject | None, operation: str, value: K8sObject) -> K8sObject:
    match: dict[str, t.Any] = {"context": "GATEWAY"}
    if chain:
        match["listener"] = {"filterChain": chain}
    return {"applyTo": what, "match": match, "patch": {"operation": operation, "value": value}}
