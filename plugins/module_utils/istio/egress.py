# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What workloads may reach outside the mesh, as the objects that say so to Istio. Pure."""

from __future__ import annotations

import hashlib
import re
import typing as t

from ..cluster.errors import ClusterError

_NETWORKING = "networking.istio.io/v1"
_POLICIES = ("REGISTRY_ONLY", "ALLOW_ANY")
_HOST = re.compile(r"(\*\.)?([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_HOST_OPTIONS = ("host", "ports", "through_gateway", "endpoints")
_PORT_OPTIONS = ("number", "protocol", "tls", "target_port", "tls_settings")
_TLS = ("none", "passthrough", "originate")
#: The egress gateway's ports: HTTP comes in on the first, over the mesh's mTLS, TLS as it is on the second.
_GATEWAY_HTTP, _GATEWAY_TLS = 80, 443


class EgressError(ClusterError):
    """What was asked for can't be said to Istio."""


def egress_objects(
    policy: str | None,
    hosts: t.Sequence[t.Mapping[str, t.Any]],
    namespaces: t.Sequence[str] = (),
    through_gateway: bool = False,
    gateway: t.Mapping[str, t.Any] | None = None,
    root_namespace: str = "istio-system",
    network_policy: bool = False,
) -> list[dict]:
    """All objects for a policy and a list of hosts; see the role egress for what each option means.

    :raises EgressError: an option is wrong, or Istio can't do it; the text names the host and what to do
    """
    if policy and policy not in _POLICIES:
        raise EgressError(f"egress_policy: {policy!r} is none of {', '.join(_POLICIES)}")
    if network_policy and not namespaces:
        raise EgressError(
            "egress_network_policy: name the namespaces in egress_namespaces; a cluster-wide one is not made"
        )
    door = _Gateway(gateway or {})
    objects = [_sidecar(policy, namespace) for namespace in namespaces or [root_namespace]] if policy else []
    if network_policy:
        objects += [_network_policy(namespace) for namespace in namespaces]
    home = door.namespace
    visible = sorted({*namespaces, home}) if namespaces else ["*"]
    seen: set[str] = set()
    for number, given in enumerate(hosts):
        host = _Host(given, f"egress_hosts[{number}]", through_gateway)
        if host.name in seen:
            raise EgressError(f"egress_hosts[{number}]: {host.name} is there twice; give all its ports in one entry")
        seen.add(host.name)
        objects += _host_objects(host, door, home, visible)
    return objects


class _Gateway:
    """The egress gateway: where it runs, and how its pods are found."""

    def __init__(self, given: t.Mapping[str, t.Any]) -> None:
        _only(given, ("name", "namespace", "selector"), "egress_gateway")
        self.name = given.get("name") or "istio-egressgateway"
        self.namespace = given.get("namespace") or "istio-system"
        self.selector = given.get("selector") or {"istio": self.name.removeprefix("istio-")}
        self.host = f"{self.name}.{self.namespace}.svc.cluster.local"


class _Port:
    def __init__(self, given: t.Any, where: str) -> None:
        if not isinstance(given, t.Mapping):
            given = {"number": given}
        _only(given, _PORT_OPTIONS, where)
        self.number = _port(given.get("number"), f"{where}.number")
        self.tls = given.get("tls") or ("passthrough" if self.number == 443 and "protocol" not in given else "none")
        if self.tls not in _TLS:
            raise EgressError(f"{where}.tls: {self.tls!r} is none of {', '.join(_TLS)}")
        normal = "TLS" if self.tls == "passthrough" else "HTTP"
        self.protocol = str(given.get("protocol") or normal).upper()
        allowed = {"passthrough": ("TLS", "HTTPS"), "originate": ("HTTP", "HTTP2", "GRPC")}.get(
            self.tls, ("HTTP", "HTTP2", "GRPC", "TCP", "MONGO", "MYSQL")
        )
        if self.protocol not in allowed:
            raise EgressError(
                f"{where}.protocol: {self.protocol} does not go with tls {self.tls}; {', '.join(allowed)} do"
            )
        default = 443 if self.tls == "originate" else self.number
        self.target = _port(given.get("target_port") or default, f"{where}.target_port")
        self.settings = given.get("tls_settings") or {}
        if self.settings and self.tls != "originate":
            raise EgressError(f"{where}.tls_settings: only with tls originate, where the mesh opens the TLS connection")

    @property
    def name(self) -> str:
        return f"{self.protocol.lower()}-{self.number}"

    @property
    def is_http(self) -> bool:
        return self.protocol in ("HTTP", "HTTP2", "GRPC")


class _Host:
    def __init__(self, given: t.Mapping[str, t.Any], where: str, through_gateway: bool) -> None:
        _only(given, _HOST_OPTIONS, where)
        self.name = str(given.get("host") or "")
        if not _HOST.fullmatch(self.name):
            raise EgressError(
                f"{where}.host: {self.name!r} is no host name; write it like api.example.com or *.example.com"
            )
        self.wild = self.name.startswith("*")
        self.endpoints = list(given.get("endpoints") or [])
        ports = given.get("ports") or [443]
        self.ports = [_Port(port, f"{where}.ports[{i}]") for i, port in enumerate(ports)]
        numbers = [port.number for port in self.ports]
        if len(set(numbers)) != len(numbers):
            raise EgressError(f"{where}.ports: a port is there twice")
        self.through_gateway = bool(given.get("through_gateway", through_gateway))
        self._check(where)

    def _check(self, where: str) -> None:
        about = f"{where} ({self.name})"
        if self.wild and self.endpoints:
            raise EgressError(f"{about}: a wildcard has no endpoints; give each host by its name")
        if self.wild and any(port.tls == "originate" for port in self.ports):
            raise EgressError(f"{about}: Istio can't open TLS connections for a wildcard; give each host by its name")
        if not self.through_gateway:
            return
        if self.wild:
            raise EgressError(
                f"{about}: the egress gateway has to know where a host is, and a wildcard doesn't say it;"
                " give each host by its name, or set through_gateway to false"
            )
        if any(not port.is_http and port.tls != "passthrough" for port in self.ports):
            raise EgressError(
                f"{about}: plain TCP has no name in it that the egress gateway could go by;"
                " set through_gateway to false"
            )
        for kind in (True, False):
            same = [str(port.number) for port in self.ports if port.is_http is kind]
            if len(same) > 1:
                raise EgressError(
                    f"{about}: the egress gateway can't tell the ports {', '.join(same)} of one host apart;"
                    " send one of them through it"
                )

    @property
    def slug(self) -> str:
        """The name as a label of DNS, which Istio wants of gateways and subsets; no two hosts have the same."""
        text = self.name.replace("-", "--").replace(".", "-")
        text = text[2:] + "-below" if self.wild else text
        return text if len(text) < 48 else f"{text[:38]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    @property
    def resolution(self) -> str:
        if self.wild:
            return "NONE"
        return "STATIC" if self.endpoints else "DNS"


def _only(given: t.Any, known: t.Sequence[str], where: str) -> None:
    if not isinstance(given, t.Mapping):
        raise EgressError(f"{where}: wants a dictionary, not {given!r}")
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise EgressError(f"{where}: unknown {', '.join(unknown)}; known are {', '.join(known)}")


def _port(value: t.Any, where: str) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = 0
    if not 1 <= number <= 65535:
        raise EgressError(f"{where}: {value!r} is no port")
    return number


def _object(kind: str, name: str, namespace: str, spec: dict) -> dict:
    return {"apiVersion": _NETWORKING, "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def _sidecar(policy: str, namespace: str) -> dict:
    """In the root namespace it counts for every namespace that has none of its own."""
    return _object("Sidecar", "default", namespace, {"outboundTrafficPolicy": {"mode": policy}})


def _network_policy(namespace: str) -> dict:
    """Pods reach pods of the cluster, and nothing outside it; names are resolved in the cluster, too."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "egress-inside-only", "namespace": namespace},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"namespaceSelector": {}}]}]},
    }


def _host_objects(host: _Host, door: _Gateway, home: str, visible: list[str]) -> list[dict]:
    objects = [_service_entry(host, home, visible)]
    if any(port.tls == "originate" for port in host.ports):
        objects.append(_origination(host, home, visible))
    if host.through_gateway:
        objects += _through(host, door, home, visible)
    return objects


def _service_entry(host: _Host, home: str, visible: list[str]) -> dict:
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


def _origination(host: _Host, home: str, visible: list[str]) -> dict:
    levels = [
        {"port": {"number": port.number}, "tls": {"mode": "SIMPLE", "sni": host.name, **port.settings}}
        for port in host.ports
        if port.tls == "originate"
    ]
    spec = {"host": host.name, "trafficPolicy": {"portLevelSettings": levels}, "exportTo": visible}
    return _object("DestinationRule", f"egress-{host.slug}", home, spec)


def _through(host: _Host, door: _Gateway, home: str, visible: list[str]) -> list[dict]:
    """Sidecar to gateway, and gateway to the host; HTTP by the mesh's mTLS, so that the gateway knows who asks."""
    name = f"egress-{host.slug}"
    subset = host.slug
    mine = f"{home}/{name}"
    servers, http, tls, objects = [], [], [], []
    for port in host.ports:
        there = {"host": host.name, "port": {"number": port.number}}
        if port.is_http:
            server = {"number": _GATEWAY_HTTP, "name": "https-mesh", "protocol": "HTTPS"}
            servers.append({"port": server, "hosts": [host.name], "tls": {"mode": "ISTIO_MUTUAL"}})
            to_door = {"host": door.host, "subset": subset, "port": {"number": _GATEWAY_HTTP}}
            http += [
                {"match": [{"gateways": ["mesh"], "port": port.number}], "route": [{"destination": to_door}]},
                {"match": [{"gateways": [mine], "port": _GATEWAY_HTTP}], "route": [{"destination": there}]},
            ]
            level = {"port": {"number": _GATEWAY_HTTP}, "tls": {"mode": "ISTIO_MUTUAL", "sni": host.name}}
            spec = {
                "host": door.host,
                "subsets": [{"name": subset, "trafficPolicy": {"portLevelSettings": [level]}}],
                "exportTo": visible,
            }
            objects.append(_object("DestinationRule", f"{name}-gateway", home, spec))
        else:
            server = {"number": _GATEWAY_TLS, "name": "tls", "protocol": "TLS"}
            servers.append({"port": server, "hosts": [host.name], "tls": {"mode": "PASSTHROUGH"}})
            to_door = {"host": door.host, "port": {"number": _GATEWAY_TLS}}
            tls += [
                {
                    "match": [{"gateways": ["mesh"], "port": port.number, "sniHosts": [host.name]}],
                    "route": [{"destination": to_door}],
                },
                {
                    "match": [{"gateways": [mine], "port": _GATEWAY_TLS, "sniHosts": [host.name]}],
                    "route": [{"destination": there}],
                },
            ]
    routes: dict[str, t.Any] = {"hosts": [host.name], "gateways": ["mesh", mine], "exportTo": visible}
    if http:
        routes["http"] = http
    if tls:
        routes["tls"] = tls
    gateway = _object("Gateway", name, home, {"selector": door.selector, "servers": servers})
    return [gateway, _object("VirtualService", name, home, routes), *objects]
