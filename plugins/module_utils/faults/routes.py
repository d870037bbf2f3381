# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults in a VirtualService: pure functions from specs to specs.

A fault never touches a route that is there. For each route that it is meant for, a copy that carries the
fault (and the fault's match beside the route's own) is put in front of it, under a name that only this
collection gives. To take the faults out is to leave out the routes of that name: what others have changed
in between stays as they want it.

HTTP's faults are Istio's own. Istio has none for TCP, but a route to a host that isn't there: the proxy closes
the connection. So a copy of a TCP (or TLS) route leads to a host whose name is the copy's.
"""

from __future__ import annotations

import copy
import hashlib
import json
import typing as t

from ..errors import MeshopsError
from ..reconcile.selectors import matches
from ..reconcile.types import K8sObject
from .intersect import both
from .options import closes

#: Routes whose names begin like this were put in by the functions below.
MARK = "meshops-fault-injection-"

#: The top-level domain of hosts that are never there (RFC 2606).
_NOWHERE = ".invalid"
_SECTIONS = ("http", "tls", "tcp")


# -- specs ----------------------------------------------------------------


def mark_of(route: t.Mapping[str, t.Any]) -> str | None:
    """The name that inject() gave a route; None where it is somebody's own."""
    name = str(route.get("name", ""))
    if not name and route.get("route"):
        name = str((route["route"][0].get("destination") or {}).get("host", "")).removesuffix(_NOWHERE)
    return name if name.startswith(MARK) else None


def all_marked(spec: t.Mapping[str, t.Any]) -> list[tuple[str, dict[str, t.Any]]]:
    """The routes that inject() put in, each with the section of the spec that it is in."""
    return [(section, route) for section in _SECTIONS for route in spec.get(section) or [] if mark_of(route)]


def marked(spec: t.Mapping[str, t.Any]) -> list[str]:
    """The names of the routes that inject() put in; proxies name what they get of them alike."""
    return [mark_of(route) or "" for _section, route in all_marked(spec)]


def take_out(spec: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The spec without the routes that inject() put in."""
    result = dict(spec)
    for section in {section for section, _route in all_marked(spec)}:
        result[section] = [route for route in spec[section] if not mark_of(route)]
        if not result[section]:
            del result[section]  # inject() had made it
    return result


def changed_sections(before: t.Mapping[str, t.Any], after: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """JSON patch that makes one spec's routes those of another."""
    patch: list[dict[str, t.Any]] = []
    for section in _SECTIONS:
        if section not in after and section in before:
            patch.append({"op": "remove", "path": f"/spec/{section}"})
        elif before.get(section) != after.get(section):
            patch.append({"op": "add", "path": f"/spec/{section}", "value": after[section]})
    return patch


def inject(spec: t.Mapping[str, t.Any], faults: t.Sequence[dict[str, t.Any]], name: str) -> dict[str, t.Any]:
    """The spec with the faults in it, in the place of those that inject() had put in before.

    :param spec: a VirtualService's spec
    :param faults: from read_fault(); where several fit a request, or a connection, the first one counts
    :param name: the VirtualService, for messages and to keep its routes' names apart from others'
    :raises MeshopsError: no route can take one of the faults
    """
    spec = take_out(spec)
    numbered = list(enumerate(faults, 1))
    for close in (False, True):
        same = [(number, fault) for number, fault in numbered if closes(fault) is close]
        for (number, fault), (later, _fault) in zip(same, same[1:], strict=False):
            if not fault["match"]:
                raise MeshopsError(f"fault {number} fits everything, so fault {later} would never be met: order them")
    requests = [(number, fault) for number, fault in numbered if not closes(fault)]
    connections = [(number, fault) for number, fault in numbered if closes(fault)]
    result = dict(spec)
    used: set[int] = set()
    if requests:
        if not any(route.get("route") for route in spec.get("http") or []):
            raise MeshopsError(f"VirtualService {name} {_why_unable(spec)}")
        result["http"], met = _in_front(spec["http"], requests, f"{name} ", _faulted)
        used |= met
    if connections:
        for section, routes in _connection_routes(spec, name).items():
            result[section], met = _in_front(routes, connections, f"{name} {section} ", _closed)
            used |= met
        if "tcp" not in spec:
            result["tcp"] = [route for route in result["tcp"] if mark_of(route)]  # Istio has the rest by itself
    unused = [number for number, _fault in numbered if number not in used]
    if unused:
        fault = faults[unused[0] - 1]
        routes = [route for section in _SECTIONS for route in spec.get(section) or []]
        raise MeshopsError(
            f"fault {unused[0]} fits no request that a route of VirtualService {name} takes:"
            f" its match is {json.dumps(fault['match'])},"
            f" the routes match {json.dumps([route.get('match', 'everything') for route in routes])}"
        )
    return result


def _connection_routes(spec: t.Mapping[str, t.Any], name: str) -> dict[str, list[dict[str, t.Any]]]:
    """The routes of connections that a spec has, by section; where it has none for TCP, the one that Istio takes."""
    host = (spec.get("hosts") or ["*"])[0]
    found = {section: spec[section] for section in ("tls", "tcp") if spec.get(section)}
    if "tcp" not in found:
        if "*" in host:
            raise MeshopsError(
                f"VirtualService {name} routes no TCP and is for {host}: name a host to close connections"
            )
        found["tcp"] = [{"route": [{"destination": {"host": host}}]}]
    return found


def _in_front(
    routes: t.Sequence[dict[str, t.Any]],
    faults: t.Sequence[tuple[int, dict[str, t.Any]]],
    label: str,
    make: t.Callable[..., dict[str, t.Any] | None],
) -> tuple[list[dict[str, t.Any]], set[int]]:
    """The routes, each with its faulty copies in front of it, and the numbers of the faults that some route takes."""
    used: set[int] = set()
    result: list[dict[str, t.Any]] = []
    for route in routes:
        for number, fault in faults:
            copied = make(route, fault) if route.get("route") else None
            if copied:
                used.add(number)
                text = f"{label}{len(result)} {number} {json.dumps(copied, sort_keys=True)}"
                result.append(_named(copied, f"{MARK}{number}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"))
        result.append(route)
    return result, used


def _named(route: dict[str, t.Any], name: str) -> dict[str, t.Any]:
    if "fault" in route:
        return {**route, "name": name}
    nowhere, *others = route["route"]
    return {**route, "route": [{**nowhere, "destination": {"host": name + _NOWHERE}}, *others]}


def _closed(route: t.Mapping[str, t.Any], fault: t.Mapping[str, t.Any]) -> dict[str, t.Any] | None:
    """A copy of a route of connections that leads a share of them nowhere."""
    matches = _matches(route, fault)
    if matches is None:
        return None
    share = round(fault["fault"]["abort"]["percentage"]["value"] * 100)
    weights = [one.get("weight", 1 if len(route["route"]) == 1 else 0) for one in route["route"]]
    ways: list[dict[str, t.Any]] = [{"destination": {}}]
    if share < 10000:
        ways[0]["weight"] = share * sum(weights)
        ways += [
            {**copy.deepcopy(one), "weight": weight * (10000 - share)}
            for one, weight in zip(route["route"], weights, strict=True)
        ]
    closed = {**copy.deepcopy(dict(route)), "route": ways}
    closed.pop("match", None)
    return {**closed, "match": matches} if matches else closed


def _matches(route: t.Mapping[str, t.Any], fault: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]] | None:
    """The match of a copy, empty for everything; None where nothing meets both."""
    matches = [both(one, other) for one in route.get("match") or [{}] for other in fault["match"] or [{}]]
    possible = [match for match in matches if match is not None]
    if not possible:
        return None
    return [] if {} in possible else possible


def _faulted(route: t.Mapping[str, t.Any], fault: t.Mapping[str, t.Any]) -> dict[str, t.Any] | None:
    """A copy of an HTTP route that carries the fault."""
    matches = _matches(route, fault)
    if matches is None:
        return None
    faulted = {**copy.deepcopy(dict(route)), "fault": fault["fault"]}
    faulted.pop("match", None)
    return {**faulted, "match": matches} if matches else faulted


def _why_unable(spec: t.Mapping[str, t.Any]) -> str:
    delegates = [route["delegate"] for route in spec.get("http") or [] if route.get("delegate")]
    if delegates:
        names = ", ".join(f"{d.get('namespace', '')}/{d.get('name', '')}".lstrip("/") for d in delegates)
        return f"hands its routes to others: name one of them with virtual_service ({names})"
    if spec.get("http"):
        return "only redirects or answers by itself: Istio has no faults there"
    return "has no http route: give abort close, which is for connections"


def plain_routes(host: str, faults: t.Iterable[dict[str, t.Any]]) -> dict[str, t.Any]:
    """The spec of a VirtualService that sends what comes for a host where it goes without one."""
    if all(closes(fault) for fault in faults):
        return {"hosts": [host]}
    return {"hosts": [host], "http": [{"route": [{"destination": {"host": host}}]}]}


# -- hosts ----------------------------------------------------------------


def full_host(host: str, namespace: str, domain: str) -> str:
    """A VirtualService's host as Istio reads it: a name without dots is a Service in the namespace beside."""
    return host if "." in host or host == "*" else f"{host}.{namespace}.svc.{domain}"


def on_the_mesh(spec: t.Mapping[str, t.Any]) -> bool:
    """Whether sidecars follow a VirtualService, and not gateways alone."""
    return "mesh" in (spec.get("gateways") or ["mesh"])


def routes_of(host: str, services: t.Iterable[K8sObject], domain: str) -> list[K8sObject]:
    """The VirtualServices that sidecars follow for a host.

    :param host: fully qualified
    :param services: every VirtualService
    :raises MeshopsError: only one with a wildcard fits: a fault in it would meet other hosts, too
    """
    exact, wild = [], []
    for one in services:
        if not on_the_mesh(one["spec"]):
            continue
        hosts = [full_host(h, one["metadata"]["namespace"], domain) for h in one["spec"].get("hosts") or []]
        if host in hosts:
            exact.append(one)
        elif any(h.startswith("*") and host.endswith(h[1:]) for h in hosts):
            wild.append(one)
    if wild and not exact:
        raise MeshopsError(
            f"the routes for {host} come from {title(wild[0])}, which serves other hosts, too:"
            " name it with virtual_service to put the fault there, and limit it with match"
        )
    return exact


def title(virtual_service: t.Mapping[str, t.Any]) -> str:
    """C(namespace/name)."""
    return f"{virtual_service['metadata']['namespace']}/{virtual_service['metadata']['name']}"


def reaches(route: t.Mapping[str, t.Any], labels: t.Mapping[str, str], namespace: str) -> bool:
    """Whether the sidecar of a pod with these labels, in this namespace, gets a route."""
    return any(
        "mesh" in (match.get("gateways") or ["mesh"])
        and match.get("sourceNamespace", namespace) == namespace
        and matches({"matchLabels": match.get("sourceLabels")}, labels)
        for match in route.get("match") or [{}]
    )
