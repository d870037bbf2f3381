# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults in the spec of a VirtualService: pure functions from spec to spec.

A fault never changes an existing route. For each route that the fault matches, a copy that carries the fault (and
the fault's match beside the route's own) is inserted before it, under a name that only this collection uses.
Removing the faults removes the routes of that name: what others have changed since then is retained.

HTTP faults are Istio's own. Istio has none for TCP. A copy of a TCP or TLS route leads to a host that does not
exist, and whose name is the copy's, so that the proxy closes the connection.
"""

from __future__ import annotations

import copy
import hashlib
import json
import typing as t

from ..cluster.edit import Operation
from ..errors import MeshopsError
from ..mesh.untrusted import printable
from ..reconcile.selectors import matches
from ..reconcile.types import K8sObject, Labels
from .intersect import intersection
from .options import Fault, Match, closes

#: The prefix of the names of routes that add_faults() inserts.
MARK = "meshops-fault-injection-"

#: The top-level domain of hosts that never exist (RFC 2606).
_NOWHERE = ".invalid"
_SECTIONS = ("http", "tls", "tcp")

#: A VirtualService's spec.
Spec = dict[str, t.Any]
#: A route of one of its sections.
Route = dict[str, t.Any]


# -- specs ----------------------------------------------------------------


def mark_of(route: Route) -> str | None:
    """The name that add_faults() gave a route; None for other routes."""
    name = str(route.get("name", ""))
    if not name and route.get("route"):
        name = str((route["route"][0].get("destination") or {}).get("host", "")).removesuffix(_NOWHERE)
    return name if name.startswith(MARK) else None


def marked_routes(spec: Spec) -> list[tuple[str, Route]]:
    """The routes that add_faults() inserted, each with its section of the spec."""
    return [(section, route) for section in _SECTIONS for route in spec.get(section) or [] if mark_of(route)]


def marks(spec: Spec) -> list[str]:
    """The names of the routes that add_faults() inserted; proxies use the same names in their configuration."""
    return [mark_of(route) or "" for _section, route in marked_routes(spec)]


def without_faults(spec: Spec) -> Spec:
    """The spec without the routes that add_faults() inserted."""
    result = dict(spec)
    for section in {section for section, _route in marked_routes(spec)}:
        result[section] = [route for route in spec[section] if not mark_of(route)]
        if not result[section]:
            del result[section]  # add_faults() had added it
    return result


def sections_patch(before: Spec, after: Spec) -> list[Operation]:
    """JSON patch that replaces one spec's routes by those of another."""
    patch: list[Operation] = []
    for section in _SECTIONS:
        if section not in after and section in before:
            patch.append({"op": "remove", "path": f"/spec/{section}"})
        elif before.get(section) != after.get(section):
            patch.append({"op": "add", "path": f"/spec/{section}", "value": after[section]})
    return patch


def add_faults(spec: Spec, faults: t.Sequence[Fault], name: str) -> Spec:
    """The spec with these faults, instead of those that an earlier call added.

    :param spec: a VirtualService's spec
    :param faults: from read_fault(); where several match a request or connection, the first one counts
    :param name: the VirtualService, for messages and to keep its routes' names apart from others'
    :raises MeshopsError: no route can take one of the faults
    """
    spec = without_faults(spec)
    numbered = list(enumerate(faults, 1))
    requests = [(number, fault) for number, fault in numbered if not closes(fault)]
    connections = [(number, fault) for number, fault in numbered if closes(fault)]
    _check_order(requests)
    _check_order(connections)
    result = dict(spec)
    used: set[int] = set()
    if requests:
        if not any(route.get("route") for route in spec.get("http") or []):
            raise MeshopsError(f"VirtualService {name} {_why_unable(spec)}")
        result["http"], met = _with_copies(spec["http"], requests, f"{name} ", _faulted)
        used |= met
    if connections:
        for section, routes in _connection_routes(spec, name).items():
            result[section], met = _with_copies(routes, connections, f"{name} {section} ", _closed)
            used |= met
        if "tcp" not in spec:
            result["tcp"] = [route for route in result["tcp"] if mark_of(route)]  # Istio adds the rest by itself
    unused = [number for number, _fault in numbered if number not in used]
    if unused:
        fault = faults[unused[0] - 1]
        conditions = [route.get("match", "everything") for section in _SECTIONS for route in spec.get(section) or []]
        raise MeshopsError(
            f"Fault {unused[0]} matches no request that a route of VirtualService {name} takes:"
            f" its match is {json.dumps(fault['match'])}, the routes match {printable(json.dumps(conditions))}"
        )
    return result


def _check_order(faults: t.Sequence[tuple[int, Fault]]) -> None:
    for (number, fault), (later, _fault) in zip(faults, faults[1:], strict=False):
        if not fault["match"]:
            raise MeshopsError(
                f"Fault {number} matches everything, so fault {later} is unreachable: put the more specific fault first"
            )


def _connection_routes(spec: Spec, name: str) -> dict[str, list[Route]]:
    """The routes of connections of a spec, by section; where it has none for TCP, the one that Istio adds."""
    host = (spec.get("hosts") or ["*"])[0]
    routes = {section: spec[section] for section in ("tls", "tcp") if spec.get(section)}
    if "tcp" not in routes:
        if "*" in host:
            raise MeshopsError(
                f"VirtualService {name} has no tcp route and serves {printable(host)}: name a host to close connections"
            )
        routes["tcp"] = [{"route": [{"destination": {"host": host}}]}]
    return routes


def _with_copies(
    routes: t.Sequence[Route],
    faults: t.Sequence[tuple[int, Fault]],
    label: str,
    make_copy: t.Callable[[Route, Fault], Route | None],
) -> tuple[list[Route], set[int]]:
    """The routes, each after its copies with faults, and the numbers of the faults that some route takes."""
    used: set[int] = set()
    result: list[Route] = []
    for route in routes:
        for number, fault in faults:
            copied = make_copy(route, fault) if route.get("route") else None
            if copied:
                used.add(number)
                text = f"{label}{len(result)} {number} {json.dumps(copied, sort_keys=True)}"
                result.append(_named(copied, f"{MARK}{number}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"))
        result.append(route)
    return result, used


def _named(route: Route, name: str) -> Route:
    if "fault" in route:
        return {**route, "name": name}
    nowhere, *others = route["route"]
    return {**route, "route": [{**nowhere, "destination": {"host": name + _NOWHERE}}, *others]}


def _closed(route: Route, fault: Fault) -> Route | None:
    """A copy of a connection route that leads a share of the connections nowhere."""
    conditions = _matches(route, fault)
    if conditions is None:
        return None
    share = round(fault["fault"]["abort"]["percentage"]["value"] * 100)
    weights = [target.get("weight", 1 if len(route["route"]) == 1 else 0) for target in route["route"]]
    targets: list[dict[str, t.Any]] = [{"destination": {}}]
    if share < 10000:
        targets[0]["weight"] = share * sum(weights)
        targets += [
            {**copy.deepcopy(target), "weight": weight * (10000 - share)}
            for target, weight in zip(route["route"], weights, strict=True)
        ]
    closed = {**copy.deepcopy(route), "route": targets}
    closed.pop("match", None)
    return {**closed, "match": conditions} if conditions else closed


def _matches(route: Route, fault: Fault) -> list[Match] | None:
    """The match of a copy, empty for everything; None where no request meets both."""
    matches = [intersection(one, other) for one in route.get("match") or [{}] for other in fault["match"] or [{}]]
    possible = [match for match in matches if match is not None]
    if not possible:
        return None
    return [] if {} in possible else possible


def _faulted(route: Route, fault: Fault) -> Route | None:
    """A copy of an HTTP route that carries the fault."""
    conditions = _matches(route, fault)
    if conditions is None:
        return None
    faulted = {**copy.deepcopy(route), "fault": fault["fault"]}
    faulted.pop("match", None)
    return {**faulted, "match": conditions} if conditions else faulted


def _why_unable(spec: Spec) -> str:
    delegates = [route["delegate"] for route in spec.get("http") or [] if route.get("delegate")]
    if delegates:
        names = ", ".join(f"{d.get('namespace', '')}/{d.get('name', '')}".lstrip("/") for d in delegates)
        return f"delegates its routes: name one of the delegates with virtual_service ({printable(names)})"
    if spec.get("http"):
        return "only redirects or responds directly: Istio injects no faults there"
    return "has no http route: to close connections, use abort: close"


def plain_spec(host: str, faults: t.Iterable[Fault]) -> Spec:
    """The spec of a VirtualService that sends a host's traffic where it would go without one."""
    if all(closes(fault) for fault in faults):
        return {"hosts": [host]}
    return {"hosts": [host], "http": [{"route": [{"destination": {"host": host}}]}]}


def is_plain_spec(spec: Spec) -> bool:
    """Whether a spec is one that plain_spec() makes."""
    host = (spec.get("hosts") or [""])[0]
    return spec in ({"hosts": [host]}, {"hosts": [host], "http": [{"route": [{"destination": {"host": host}}]}]})


# -- hosts ----------------------------------------------------------------


def full_host(host: str, namespace: str, domain: str) -> str:
    """A VirtualService's host as Istio reads it: a name without dots is a Service in the same namespace."""
    return host if "." in host or host == "*" else f"{host}.{namespace}.svc.{domain}"


def applies_to_sidecars(spec: Spec) -> bool:
    """Whether a VirtualService applies to sidecars, and not to gateways only."""
    return "mesh" in (spec.get("gateways") or ["mesh"])


def routes_of(host: str, services: t.Iterable[K8sObject], domain: str) -> list[K8sObject]:
    """The VirtualServices that sidecars use for a host.

    :param host: fully qualified
    :param services: every VirtualService
    :raises MeshopsError: only one with a wildcard matches: a fault in it would affect other hosts, too
    """
    exact, wild = [], []
    for service in services:
        if not applies_to_sidecars(service["spec"]):
            continue
        hosts = [full_host(h, service["metadata"]["namespace"], domain) for h in service["spec"].get("hosts") or []]
        if host in hosts:
            exact.append(service)
        elif any(h.startswith("*") and host.endswith(h[1:]) for h in hosts):
            wild.append(service)
    if wild and not exact:
        raise MeshopsError(
            f"The routes for {host} are in VirtualService {location(wild[0])}, which serves other hosts, too:"
            " name it with virtual_service to inject the fault there, and limit the fault with match"
        )
    return exact


def location(virtual_service: K8sObject) -> str:
    """C(namespace/name)."""
    return f"{virtual_service['metadata']['namespace']}/{virtual_service['metadata']['name']}"


def reaches(route: Route, labels: Labels, namespace: str) -> bool:
    """Whether the sidecar of a pod with these labels, in this namespace, gets a route."""
    return any(
        "mesh" in (match.get("gateways") or ["mesh"])
        and match.get("sourceNamespace", namespace) == namespace
        and matches({"matchLabels": match.get("sourceLabels")}, labels)
        for match in route.get("match") or [{}]
    )
