# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which proxy leads to an API server: the rules of kubectl and helm, whatever version of a Python package is there.

Source: golang.org/x/net/http/httpproxy, and client-go, where C(proxy-url) of a kubeconfig beats the environment.
"""

from __future__ import annotations

import ipaddress
import os
import typing as t
import urllib.parse


def proxy_for(server: str, options: t.Mapping[str, t.Any], proxy_url: str | None) -> str | None:
    """The URL of the proxy through which to reach a server, or None.

    :param options: connection options; C(proxy) beats C(proxy_url), C(no_proxy) holds for both
    :param proxy_url: the C(proxy-url) of the kubeconfig's cluster; NO_PROXY of the environment does not apply to it
    """
    explicit = options.get("proxy") or proxy_url
    if explicit:
        return None if bypasses(server, options.get("no_proxy") or "") else str(explicit)
    scheme = urllib.parse.urlsplit(server).scheme.upper() or "HTTPS"
    found = os.environ.get(f"{scheme}_PROXY") or os.environ.get(f"{scheme.lower()}_proxy")
    excluded = options.get("no_proxy") or os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
    if not found or _is_loopback(server) or bypasses(server, excluded):
        return None
    return found if "://" in found else f"http://{found}"


def bypasses(server: str, no_proxy: str) -> bool:
    """Whether NO_PROXY's list names a server: by name, parent domain, address or network, each with or without a port.

    >>> bypasses("https://10.20.30.40:6443", "example.com,10.20.0.0/16")
    True
    >>> bypasses("https://api.example.com", ".example.com")
    True
    >>> bypasses("https://example.org:6443", "example.org:443")
    False
    """
    url = urllib.parse.urlsplit(server)
    host, port = (url.hostname or "").lower(), url.port or (80 if url.scheme == "http" else 443)
    return any(_names(entry.strip().lower(), host, port) for entry in no_proxy.split(","))


def _names(entry: str, host: str, port: int) -> bool:
    if entry in ("", "*"):
        return entry == "*"
    address = _address(host)
    if address is not None:
        try:
            return address in ipaddress.ip_network(entry.strip("[]"), strict=False)
        except ValueError:
            pass
    name, colon, wanted = entry.rpartition(":")
    if colon and wanted.isdigit():
        if int(wanted) != port:
            return False
        entry = name.strip("[]")
    if address is not None:
        return _address(entry) == address
    domain = entry.removeprefix("*").removeprefix(".")
    return host.endswith(f".{domain}") or (host == domain and not entry.startswith((".", "*")))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_loopback(server: str) -> bool:
    host = urllib.parse.urlsplit(server).hostname or ""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)
