# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Weights of routes that a canary controller sets: how a declared route takes over those that are live. Pure."""

from __future__ import annotations

import typing as t

from ..reconcile.types import K8sObject

_ROUTES = {
    "VirtualService": (("http", "tcp", "tls"), "route"),
    "HTTPRoute": (("rules",), "backendRefs"),
    "GRPCRoute": (("rules",), "backendRefs"),
    "TCPRoute": (("rules",), "backendRefs"),
    "TLSRoute": (("rules",), "backendRefs"),
}


def with_live_weights(desired: K8sObject, live: K8sObject) -> K8sObject:
    """The declared object with the weights of the destinations that the live object has in the same route.

    Routes are the same by name, else by what they match and lead to. A route with a destination that is new keeps the
    weights that are declared.
    """
    lists, field = _ROUTES.get(desired["kind"], ((), ""))
    spec, live_spec = desired.get("spec"), live.get("spec")
    if not lists or not isinstance(spec, dict) or not isinstance(live_spec, dict):
        return desired
    made = dict(spec)
    for name in lists:
        if isinstance(spec.get(name), list) and isinstance(live_spec.get(name), list):
            before = {_route_key(route, field): route for route in live_spec[name]}
            made[name] = [_weighted(route, before.get(_route_key(route, field)), field) for route in spec[name]]
    return {**desired, "spec": made}


def _weighted(route: t.Any, live: t.Any, field: str) -> t.Any:
    if not isinstance(route, dict) or not isinstance(live, dict) or not isinstance(route.get(field), list):
        return route
    weights = {_target(each): each.get("weight") for each in live.get(field) or () if isinstance(each, dict)}
    if {_target(each) for each in route[field]} != set(weights):
        return route
    return {**route, field: [_with_weight(each, weights[_target(each)]) for each in route[field]]}


def _with_weight(destination: dict[str, t.Any], weight: int | None) -> dict[str, t.Any]:
    others = {name: value for name, value in destination.items() if name != "weight"}
    return others if weight is None else {**others, "weight": weight}


def _target(destination: t.Any) -> str:
    if not isinstance(destination, dict):
        return repr(destination)
    target = destination.get("destination") or {
        key: destination[key] for key in ("kind", "name", "namespace", "port") if key in destination
    }
    return repr(sorted((key, repr(value)) for key, value in target.items()) if isinstance(target, dict) else target)


def _route_key(route: t.Any, field: str) -> str:
    if not isinstance(route, dict):
        return repr(route)
    if route.get("name"):
        return f"name {route['name']}"
    targets = route.get(field) if isinstance(route.get(field), list) else []
    return repr((route.get("match", route.get("matches")), sorted(map(_target, targets or ()))))
