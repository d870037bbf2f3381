# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads the options of the role egress."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import typing as t

from ansible.module_utils.parsing.convert_bool import boolean

from ..errors import MeshopsError

_HOST = re.compile(r"(\*\.)?([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_HOST_OPTIONS = ("host", "ports", "through_gateway", "endpoints")
_PORT_OPTIONS = ("number", "protocol", "tls", "target_port", "tls_settings")
_TLS = ("none", "passthrough", "originate")


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
            raise MeshopsError(f"{where}.tls: {self.tls!r} is none of {', '.join(_TLS)}")
        normal = "TLS" if self.tls == "passthrough" else "HTTP"
        self.protocol = str(given.get("protocol") or normal).upper()
        allowed = {"passthrough": ("TLS", "HTTPS"), "originate": ("HTTP", "HTTP2", "GRPC")}.get(
            self.tls, ("HTTP", "HTTP2", "GRPC", "TCP", "MONGO", "MYSQL")
        )
        if self.protocol not in allowed:
            raise MeshopsError(
                f"{where}.protocol: {self.protocol} does not go with tls {self.tls}; {', '.join(allowed)} do"
            )
        default = 443 if self.tls == "originate" else self.number
        self.target = _port(given.get("target_port") or default, f"{where}.target_port")
        self.settings = given.get("tls_settings") or {}
        if not isinstance(self.settings, t.Mapping):
            raise MeshopsError(f"{where}.tls_settings: wants a dictionary, not {self.settings!r}")
        if self.settings and self.tls != "originate":
            raise MeshopsError(
                f"{where}.tls_settings: only with tls originate, where the mesh opens the TLS connection"
            )

    @property
    def name(self) -> str:
        return f"{self.protocol.lower()}-{self.number}"

    @property
    def is_http(self) -> bool:
        return self.protocol in ("HTTP", "HTTP2", "GRPC")

    @property
    def is_connection(self) -> bool:
        """Whether the mesh sees no requests in it."""
        return not self.is_http


class _Host:
    def __init__(self, given: t.Mapping[str, t.Any], where: str, through_gateway: bool) -> None:
        _only(given, _HOST_OPTIONS, where)
        self.name = str(given.get("host") or "")
        if _is_address(self.name):
            raise MeshopsError(
                f"{where}.host: {self.name} is an address; give the host a name, and the address in endpoints"
            )
        if not _HOST.fullmatch(self.name):
            raise MeshopsError(
                f"{where}.host: {self.name!r} is no host name; write it like api.example.com or *.example.com"
            )
        self.wild = self.name.startswith("*")
        self.endpoints = _names(given.get("endpoints") or [], f"{where}.endpoints")
        ports = given.get("ports") or [443]
        if isinstance(ports, (str, int)):
            ports = _names(str(ports), f"{where}.ports")
        self.ports = [_Port(port, f"{where}.ports[{i}]") for i, port in enumerate(ports)]
        numbers = [port.number for port in self.ports]
        if len(set(numbers)) != len(numbers):
            raise MeshopsError(f"{where}.ports: a port is there twice")
        own = given.get("through_gateway")
        self.through_gateway = through_gateway if own is None else _yes(own, f"{where}.through_gateway")
        self._check(where)

    def _check(self, where: str) -> None:
        about = f"{where} ({self.name})"
        if not self.through_gateway and any("credentialName" in port.settings for port in self.ports):
            raise MeshopsError(
                f"{about}: tls_settings.credentialName is a Secret beside the egress gateway, and sidecars read none;"
                " set through_gateway to true, or give caCertificates, a file in the sidecars"
            )
        if self.wild and self.endpoints:
            raise MeshopsError(f"{about}: a wildcard has no endpoints; give each host by its name")
        if self.wild and any(port.tls == "originate" for port in self.ports):
            raise MeshopsError(f"{about}: the mesh opens no TLS connections for a wildcard; give each host by its name")
        if not self.through_gateway or not self.wild:
            return
        if any(port.is_connection and port.tls != "passthrough" for port in self.ports):
            raise MeshopsError(
                f"{about}: plain TCP has no name in it, so the egress gateway can't know which host of a wildcard is"
                " meant; give each host by its name, or set through_gateway to false"
            )
        same = [str(port.number) for port in self.ports if port.is_connection]
        if len(same) > 1:
            raise MeshopsError(
                f"{about}: TLS says the host, but not the port, so the egress gateway can't tell the ports"
                f" {', '.join(same)} apart; give each host by its name, or send only one of them through it"
            )

    @property
    def slug(self) -> str:
        """The name as a label of DNS, which Istio wants of gateways and subsets; no two hosts have the same."""
        text = self.name.replace("-", "--").replace(".", "-")
        text = text[2:] + "-below" if self.wild else text
        return text if len(text) < 40 else f"{text[:30]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    @property
    def resolution(self) -> str:
        if self.wild:
            return "NONE"
        return "STATIC" if self.endpoints else "DNS"


def _only(given: t.Any, known: t.Sequence[str], where: str) -> None:
    if not isinstance(given, t.Mapping):
        raise MeshopsError(f"{where}: wants a dictionary, not {given!r}")
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise MeshopsError(f"{where}: unknown {', '.join(unknown)}; known are {', '.join(known)}")


def _yes(value: t.Any, where: str) -> bool:
    try:
        return boolean(value)
    except TypeError:
        raise MeshopsError(f"{where}: {value!r} is neither true nor false") from None


def _names(value: t.Any, where: str) -> list[t.Any]:
    """A list, also where it is one text with commas in it."""
    if isinstance(value, str):
        return [one.strip() for one in value.split(",") if one.strip()]
    if not isinstance(value, t.Sequence):
        raise MeshopsError(f"{where}: wants a list, not {value!r}")
    return list(value)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _port(value: t.Any, where: str) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = 0
    if not 1 <= number <= 65535:
        raise MeshopsError(f"{where}: {value!r} is no port")
    return number
