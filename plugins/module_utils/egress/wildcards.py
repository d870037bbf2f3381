# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The EnvoyFilter with which the egress gateway resolves the hosts of a wildcard; Istio has no API for it. Pure."""

from __future__ import annotations

import typing as t

from ..reconcile.types import Labels
from .options import Host

#: Envoy resolves the hosts of all wildcards in one cache.
_DNS_CACHE = {"name": "meshops-egress", "dns_lookup_family": "V4_PREFERRED"}
_ROUTER = "envoy.filters.http.router"
_EXTENSIONS = "type.googleapis.com/envoy.extensions"

#: A part of an EnvoyFilter.
Spec = dict[str, t.Any]


def lookup_cluster_host(host: Host) -> str:
    """The name in the gateway's routes for all hosts of a wildcard: Envoy's cluster of this name resolves each host."""
    return f"{host.slug}.egress.internal"


def lookup_filter(host: Host, selector: Labels) -> Spec:
    """The spec of an EnvoyFilter that lets the gateway resolve the host that a request, or TLS connection, names."""
    cache: Spec = {"dns_cache_config": _DNS_CACHE}
    patches = []
    for port in host.ports:
        kind = f"{_EXTENSIONS}.clusters.dynamic_forward_proxy.v3.ClusterConfig"
        cluster: Spec = {
            "name": f"outbound|{port.number}||{lookup_cluster_host(host)}",
            "connect_timeout": "10s",
            "lb_policy": "CLUSTER_PROVIDED",
            "cluster_type": {
                "name": "envoy.clusters.dynamic_forward_proxy",
                "typed_config": {"@type": kind, **cache},
            },
        }
        patches.append(_patch("CLUSTER", None, "ADD", cluster))
    if any(port.is_http for port in host.ports):
        chain: Spec = {"name": "envoy.filters.network.http_connection_manager", "subFilter": {"name": _ROUTER}}
        kind = f"{_EXTENSIONS}.filters.http.dynamic_forward_proxy.v3.FilterConfig"
        value: Spec = {"name": "envoy.filters.http.dynamic_forward_proxy", "typed_config": {"@type": kind, **cache}}
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
    return {"workloadSelector": {"labels": dict(selector)}, "priority": 10, "configPatches": patches}


def _patch(apply_to: str, filter_chain: Spec | None, operation: str, value: Spec) -> Spec:
    match: Spec = {"context": "GATEWAY"}
    if filter_chain:
        match["listener"] = {"filterChain": filter_chain}
    return {"applyTo": apply_to, "match": match, "patch": {"operation": operation, "value": value}}
