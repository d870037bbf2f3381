# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads the options of the role egress."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import ipaddress
import re
import typing as t

from ..errors import MeshopsError
from ..mesh.option_values import read_boolean, read_list, read_port, require_mapping
from .resolvers import is_address

POLICIES = ("REGISTRY_ONLY", "ALLOW_ANY")
#: The usual address of NodeLocal DNSCache on every node.
NODE_LOCAL_DNS = ("169.254.20.10",)
_OPTIONS = (
    "policy", "namespaces", "through_gateway", "gateway", "root_namespace", "network_policy", "dns_addresses",
    "resolvers",
)  # fmt: skip
_HOST = re.compile(r"(\*\.)?([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_HOST_OPTIONS = ("host", "ports", "through_gateway", "endpoints")
_PORT_OPTIONS = ("number", "protocol", "tls", "target_port", "tls_settings")
_TLS = ("none", "passthrough", "originate")
_HTTP = ("HTTP", "HTTP2", "GRPC")
_PROTOCOLS = {
    "none": (*_HTTP, "TCP", "MONGO", "MYSQL"),
    "passthrough": ("TLS", "HTTPS"),
    "originate": _HTTP,
}

#: A ClientTLSSettings.
TlsSettings = t.Mapping[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Gateway:
    """The egress gateway.

    :ivar name: of its Service
    :ivar selector: the labels of its pods
    """

    name: str
    namespace: str
    selector: dict[str, str]

    @property
    def host(self) -> str:
        return f"{self.name}.{self.namespace}.svc.cluster.local"


@dataclasses.dataclass(frozen=True)
class Port:
    """A port of a host.

    :ivar tls: none, passthrough or originate
    :ivar target: the port to which the mesh originates TLS; else the same as C(number)
    :ivar settings: for TLS origination
    """

    number: int
    tls: str
    protocol: str
    target: int
    settings: TlsSettings

    @property
    def name(self) -> str:
        return f"{self.protocol.lower()}-{self.number}"

    @property
    def is_http(self) -> bool:
        return self.protocol in _HTTP

    @property
    def is_connection(self) -> bool:
        """Whether the mesh sees connections only, and no requests."""
        return not self.is_http


@dataclasses.dataclass(frozen=True)
class Host:
    """A host outside the mesh."""

    name: str
    ports: tuple[Port, ...]
    through_gateway: bool
    endpoints: tuple[str, ...] = ()

    @property
    def is_wildcard(self) -> bool:
        return self.name.startswith("*")

    @functools.cached_property
    def slug(self) -> str:
        """The name as a DNS label, which Istio requires of gateways and subsets; unique to the host."""
        text = self.name.replace("-", "--").replace(".", "-")
        text = text[2:] + "-below" if self.is_wildcard else text
        return text if len(text) < 40 else f"{text[:30]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    @property
    def resolution(self) -> str:
        """The C(resolution) of its ServiceEntry."""
        if self.is_wildcard:
            return "NONE"
        return "STATIC" if self.endpoints else "DNS"


@dataclasses.dataclass(frozen=True)
class EgressOptions:
    """The options of the role egress; see there.

    :ivar policy: the mode of the Sidecars, None for no Sidecar
    :ivar dns_blocks: the addresses of DNS resolvers that are not pods, as CIDR blocks
    """

    hosts: tuple[Host, ...]
    policy: str | None
    namespaces: tuple[str, ...]
    gateway: Gateway
    root_namespace: str
    network_policy: bool
    dns_blocks: tuple[str, ...]

    @property
    def visible_in(self) -> list[str]:
        """The namespaces that see the hosts, as C(exportTo) of Istio's objects."""
        return sorted({*self.namespaces, self.gateway.namespace}) if self.namespaces else ["*"]


def read_options(hosts: t.Any, options: t.Mapping[str, t.Any]) -> EgressOptions:
    """Reads and checks the options. C(-e) passes text: C(false), C(demo,shop).

    :param hosts: the list of hosts
    :param options: policy, namespaces, through_gateway, gateway, root_namespace, network_policy, dns_addresses,
        resolvers (further DNS addresses)
    :raises MeshopsError: an option is wrong, or Istio does not support it; the text names the host and the remedy
    """
    require_mapping(options, _OPTIONS, "egress_objects")
    policy = options.get("policy") or None
    if policy and policy not in POLICIES:
        raise MeshopsError(f"egress_policy: must be one of {', '.join(POLICIES)}, got {policy!r}")
    if not isinstance(hosts, t.Sequence) or isinstance(hosts, str):
        raise MeshopsError(f"egress_hosts: must be a list, got {hosts!r}. With -e, write it as JSON.")
    through_gateway = read_boolean(options.get("through_gateway", False), "egress_through_gateway")
    addresses = [
        *read_list(options.get("dns_addresses", NODE_LOCAL_DNS), "egress_dns_addresses"),
        *read_list(options.get("resolvers") or [], "resolvers"),
    ]
    read = EgressOptions(
        hosts=tuple(
            _read_host(host, f"egress_hosts[{index}]", through_gateway=through_gateway)
            for index, host in enumerate(hosts)
        ),
        policy=policy,
        namespaces=tuple(read_list(options.get("namespaces") or [], "egress_namespaces")),
        gateway=_read_gateway(options.get("gateway") or {}),
        root_namespace=options.get("root_namespace") or "istio-system",
        network_policy=read_boolean(options.get("network_policy", False), "egress_network_policy"),
        dns_blocks=tuple(dict.fromkeys(_address_block(address) for address in addresses)),
    )
    _check(read)
    return read


def _check(options: EgressOptions) -> None:
    if options.network_policy and not options.namespaces:
        raise MeshopsError(
            "egress_network_policy: requires egress_namespaces, because the role writes no NetworkPolicy for the whole"
            " cluster. Name the namespaces."
        )
    if not (options.hosts or options.policy or options.network_policy):
        raise MeshopsError(
            "egress_hosts: the list is empty, and neither egress_policy nor egress_network_policy is set. To delete all"
            " objects that the role has written, set egress_state to absent."
        )
    names = [host.name for host in options.hosts]
    for index, host in enumerate(options.hosts):
        if host.name in names[:index]:
            raise MeshopsError(
                f"egress_hosts[{index}]: {host.name} is declared twice. Declare all its ports in one entry."
            )
        home = options.gateway.namespace
        if options.network_policy and host.through_gateway and home in options.namespaces:
            raise MeshopsError(
                f"egress_network_policy: {home}, the namespace of the egress gateway, is one of egress_namespaces; its"
                f" NetworkPolicy would prevent the gateway from reaching {host.name}. Remove it from egress_namespaces."
            )


def _read_gateway(value: t.Any) -> Gateway:
    options = require_mapping(value, ("name", "namespace", "selector"), "egress_gateway")
    name = options.get("name") or "istio-egressgateway"
    selector = options.get("selector") or {"istio": name.removeprefix("istio-")}
    return Gateway(name, options.get("namespace") or "istio-system", dict(selector))


def _read_port(value: t.Any, option: str) -> Port:
    options = require_mapping(value if isinstance(value, t.Mapping) else {"number": value}, _PORT_OPTIONS, option)
    number = read_port(options.get("number"), f"{option}.number")
    tls = options.get("tls") or ("passthrough" if number == 443 and "protocol" not in options else "none")
    if tls not in _TLS:
        raise MeshopsError(f"{option}.tls: must be one of {', '.join(_TLS)}, got {tls!r}")
    protocol = str(options.get("protocol") or ("TLS" if tls == "passthrough" else "HTTP")).upper()
    if protocol not in _PROTOCOLS[tls]:
        raise MeshopsError(
            f"{option}.protocol: {protocol} cannot be combined with tls {tls}: use one of {', '.join(_PROTOCOLS[tls])}"
        )
    target = options.get("target_port") or (443 if tls == "originate" else number)
    settings = options.get("tls_settings") or {}
    if not isinstance(settings, t.Mapping):
        raise MeshopsError(f"{option}.tls_settings: must be a dictionary, got {settings!r}")
    if settings and tls != "originate":
        raise MeshopsError(
            f"{option}.tls_settings: requires tls originate, with which the mesh opens the TLS connection"
        )
    return Port(number, tls, protocol, read_port(target, f"{option}.target_port"), settings)


def _read_host(value: t.Any, option: str, *, through_gateway: bool) -> Host:
    options = require_mapping(value, _HOST_OPTIONS, option)
    name = str(options.get("host") or "")
    if is_address(name):
        raise MeshopsError(f"{option}.host: {name} is an address. Set host to a name, and endpoints to the address.")
    if not _HOST.fullmatch(name):
        raise MeshopsError(
            f"{option}.host: invalid host name {name!r}: expected a value such as api.example.com or *.example.com"
        )
    ports = options.get("ports") or [443]
    if isinstance(ports, (str, int)):
        ports = read_list(str(ports), f"{option}.ports")
    own = options.get("through_gateway")
    host = Host(
        name=name,
        ports=tuple(_read_port(port, f"{option}.ports[{index}]") for index, port in enumerate(ports)),
        through_gateway=through_gateway if own is None else read_boolean(own, f"{option}.through_gateway"),
        endpoints=tuple(read_list(options.get("endpoints") or [], f"{option}.endpoints")),
    )
    numbers = [port.number for port in host.ports]
    if len(set(numbers)) != len(numbers):
        raise MeshopsError(f"{option}.ports: a port is declared twice")
    _check_tls(host, f"{option} ({name})")
    _check_wildcard(host, f"{option} ({name})")
    return host


def _check_tls(host: Host, option: str) -> None:
    if not host.through_gateway and any("credentialName" in port.settings for port in host.ports):
        raise MeshopsError(
            f"{option}: tls_settings.credentialName is a Secret in the egress gateway's namespace, which sidecars do"
            " not read. Set through_gateway to true, or use caCertificates, a file in the sidecars."
        )


def _check_wildcard(host: Host, option: str) -> None:
    if not host.is_wildcard:
        return
    if host.endpoints:
        raise MeshopsError(f"{option}: a wildcard cannot have endpoints. Declare each host by name.")
    if any(port.tls == "originate" for port in host.ports):
        raise MeshopsError(f"{option}: Istio cannot originate TLS for a wildcard. Declare each host by name.")
    if not host.through_gateway:
        return
    if any(port.is_connection and port.tls != "passthrough" for port in host.ports):
        raise MeshopsError(
            f"{option}: plain TCP contains no host name, so the egress gateway cannot identify the host of a wildcard."
            " Declare each host by name, or set through_gateway to false."
        )
    tls_ports = [str(port.number) for port in host.ports if port.is_connection]
    if len(tls_ports) > 1:
        raise MeshopsError(
            f"{option}: TLS contains the host name, but not the port, so the egress gateway cannot distinguish the"
            f" ports {', '.join(tls_ports)}. Declare each host by name, or send only one of them through the gateway."
        )


def _address_block(address: t.Any) -> str:
    try:
        return str(ipaddress.ip_network(address))
    except ValueError:
        raise MeshopsError(f"egress_dns_addresses: {address!r} is not a valid IP address") from None
