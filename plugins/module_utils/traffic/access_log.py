# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The EnvoyFilter by which sidecars log what comes in while somebody observes them. Pure."""

from __future__ import annotations

import typing as t

from ..reconcile.types import K8sObject
from .flows import LOG_FORMAT

#: What the name of each such EnvoyFilter begins with, and every line that it makes the proxies log.
NAME = "meshops-observed-traffic"
#: On the EnvoyFilters, so that a later run finds what a killed one has left.
LABEL = "meshops.istio/observed-traffic"
#: For how many seconds an EnvoyFilter is needed; older ones were left by a killed run.
SECONDS = "meshops.istio/observed-traffic-seconds"
_TYPE = "type.googleapis.com/envoy.extensions"
_LONGEST_FLUSH, _SHORTEST_FLUSH = 30.0, 5.0


def logging_filter(
    namespace: str, mark: str, *, plain_text_only: bool = False, seconds: float = 300, lifetime: float = 300
) -> K8sObject:
    """The EnvoyFilter by which a namespace's sidecars log what comes in, beside their other logs.

    Requests and connections are logged when they begin, too: one that remains open would not be seen otherwise.

    :param mark: the name of the EnvoyFilter, and in every line, so that no other run's lines are taken for this one's
    :param plain_text_only: log only what comes without mTLS
    :param seconds: how long the observation takes
    :param lifetime: after how many seconds another run may delete the EnvoyFilter
    """
    log: dict[str, t.Any] = {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": f"{_TYPE}.access_loggers.file.v3.FileAccessLog",
            "path": "/dev/stdout",
            "log_format": {
                "json_format": {"log": mark, **LOG_FORMAT},
                "formatters": [
                    {
                        "name": "envoy.formatter.req_without_query",
                        "typed_config": {"@type": f"{_TYPE}.formatter.req_without_query.v3.ReqWithoutQuery"},
                    }
                ],
            },
        },
    }
    if plain_text_only:
        log["filter"] = {
            "extension_filter": {
                "name": "envoy.access_loggers.extension_filters.cel",
                "typed_config": {
                    "@type": f"{_TYPE}.access_loggers.filters.cel.v3.ExpressionFilter",
                    "expression": "!connection.mtls",
                },
            }
        }
    # The caller isn't always known when a connection begins, so it is logged again while it stays open.
    interval = f"{max(_SHORTEST_FLUSH, min(_LONGEST_FLUSH, seconds / 3)):.0f}s"
    options: dict[str, dict[str, t.Any]] = {
        "http_connection_manager.v3.HttpConnectionManager": {"flush_access_log_on_new_request": True},
        "tcp_proxy.v3.TcpProxy": {"flush_access_log_on_connected": True, "access_log_flush_interval": interval},
    }
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {
            "name": mark,
            "namespace": namespace,
            "labels": {LABEL: "true"},
            "annotations": {SECONDS: f"{lifetime:.0f}"},
        },
        "spec": {"configPatches": [_merge(kind, log, when) for kind, when in options.items()]},
    }


def _merge(kind: str, log: dict[str, t.Any], options: dict[str, t.Any]) -> dict[str, t.Any]:
    chain = {"filter": {"name": f"envoy.filters.network.{kind.partition('.')[0]}"}}
    typed = {"@type": f"{_TYPE}.filters.network.{kind}", "access_log": [log], "access_log_options": options}
    return {
        "applyTo": "NETWORK_FILTER",
        "match": {"context": "SIDECAR_INBOUND", "listener": {"filterChain": chain}},
        "patch": {"operation": "MERGE", "value": {"typed_config": typed}},
    }
