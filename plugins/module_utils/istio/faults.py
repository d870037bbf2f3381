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
import re
import typing as t

from ..cluster.errors import ClusterError

#: Routes whose names begin like this were put in by the functions below.
MARK = "meshops-fault-injection-"
#: Holds what is needed to leave no trace: JSON with C(created), or C(managedFields) and C(annotated), and the C(host).
ANNOTATION = "meshops.istio/fault-injection"

#: The top-level domain of hosts that are never there (RFC 2606).
_NOWHERE = ".invalid"
_SECTIONS = ("http", "tls", "tcp")
#: What a fault that closes connections can be limited by; there is nothing of HTTP to see.
_CONNECTION_FIELDS = ("port", "sourceLabels", "sourceNamespace", "gateways", "destinationSubnets")
_STRING_MATCHES = ("exact", "prefix", "regex")
_MATCH_FIELDS = {
    "uri": "string",
    "scheme": "string",
    "method": "string",
    "authority": "string",
    "headers": "strings",
    "queryParams": "strings",
    "withoutHeaders": "without",
    "port": "value",
    "sourceLabels": "labels",
    "sourceNamespace": "value",
    "gateways": "any",
    "ignoreUriCase": "same",
    "name": "route",
    "statPrefix": "route",
}
_MATCH_TYPES: dict[str, tuple[type, str]] = {
    "sourceLabels": (dict, "a dictionary"),
    "sourceNamespace": (str, "a namespace"),
    "gateways": (list, "a list"),
    "destinationSubnets": (list, "a list"),
}
_HOW = {**_MATCH_FIELDS, "destinationSubnets": "same", "sniHosts": "same"}
_GRPC_STATUSES = (
    "CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED"
    " RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE"
    " DATA_LOSS UNAUTHENTICATED"
).split()
_DURATION = re.compile(r"(?:\d+(?:\.\d*)?(?:ms|s|m|h))+")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class FaultError(ClusterError):
    """The fault can't be put in as it was asked for."""


# -- what the user gives --------------------------------------------------


def seconds(duration: t.Any, what: str) -> float:
    """C(2s), C(1m30s), C(500ms) -> seconds.

    :param what: the option's name, for the message
    :raises FaultError: it is no duration, or not more than nothing
    """
    text = str(duration)
    if not _DURATION.fullmatch(text):
        raise FaultError(f"{what}: {text!r} is no duration; write it like 500ms, 2s, 1m30s")
    total = sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)(ms|s|m|h)", text))
    if total < 0.001:
        raise FaultError(f"{what}: {text!r} is too short; the shortest is 1ms")
    return total


def read_fault(given: t.Mapping[str, t.Any], where: str = "fault") -> dict:
    """A fault as a user writes it -> C(match) (a list, empty for every request) and C(fault) as Istio writes them.

    :param given: C(delay) (a duration, or C(fixedDelay) and C(percentage)), C(abort) (an HTTP status, or
        C(httpStatus), C(grpcStatus) or C(close), and C(percentage)), C(match) (HTTPMatchRequests)
    :param where: what to call it in messages
    :raises FaultError: something is missing, unknown or out of bounds
    """
    _only(given, ("delay", "abort", "match"), where)
    fault = {}
    if given.get("delay") is not None:
        fault["delay"] = _delay(given["delay"], f"{where}.delay")
    if given.get("abort") is not None:
        fault["abort"] = _abort(given["abort"], f"{where}.abort")
    if not fault:
        raise FaultError(f"{where}: give delay, abort, or both")
    close = closes({"fault": fault})
    if close and "delay" in fault:
        raise FaultError(f"{where}: abort close is for connections, which Istio can't delay; give one of the two")
    matches = [_match(m, f"{where}.match[{i}]", close) for i, m in enumerate(given.get("match") or [])]
    return {"match": matches, "fault": fault}


def closes(fault: t.Mapping[str, t.Any]) -> bool:
    """Whether a fault, from read_fault(), closes connections instead of doing something to requests."""
    return "close" in fault["fault"].get("abort", {})


def _only(given: t.Any, known: t.Iterable[str], where: str) -> None:
    if not isinstance(given, t.Mapping):
        raise FaultError(f"{where}: wants a dictionary, not {given!r}")
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise FaultError(f"{where}: unknown {', '.join(map(str, unknown))}; known are {', '.join(sorted(known))}")


def _percentage(given: t.Mapping[str, t.Any], where: str) -> dict:
    value = given.get("percentage", 100)
    if isinstance(value, t.Mapping):
        _only(value, ("value",), f"{where}.percentage")
        value = value.get("value")
    number = _number(value)
    if number is None or not 0 < number <= 100:
        raise FaultError(f"{where}.percentage: {value!r} is not more than 0 and at most 100")
    return {"value": int(number) if number == int(number) else number}


def _number(value: t.Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _delay(given: t.Any, where: str) -> dict:
    if not isinstance(given, t.Mapping):
        given = {"fixedDelay": given}
    _only(given, ("fixedDelay", "percentage"), where)
    seconds(given.get("fixedDelay"), f"{where}.fixedDelay")
    return {"fixedDelay": given["fixedDelay"], "percentage": _percentage(given, where)}


def _abort(given: t.Any, where: str) -> dict:
    if not isinstance(given, t.Mapping):
        given = {"close": True} if given == "close" else {"httpStatus": given}
    _only(given, ("httpStatus", "grpcStatus", "close", "percentage"), where)
    if len(given.keys() - {"percentage"}) != 1:
        raise FaultError(f"{where}: give one of httpStatus, grpcStatus and close")
    if "close" in given:
        if given["close"] is not True:
            raise FaultError(f"{where}.close: {given['close']!r} is not true; leave the fault out instead")
        percentage = _percentage(given, where)
        if percentage["value"] < 0.01:
            raise FaultError(
                f"{where}.percentage: {percentage['value']} is too little to close connections; 0.01 is least"
            )
        return {"close": True, "percentage": percentage}
    if "grpcStatus" in given:
        if given["grpcStatus"] not in _GRPC_STATUSES:
            raise FaultError(f"{where}.grpcStatus: {given['grpcStatus']!r} is none of {', '.join(_GRPC_STATUSES)}")
        return {"grpcStatus": given["grpcStatus"], "percentage": _percentage(given, where)}
    status = _number(given["httpStatus"])
    if status is None or status != int(status) or not 200 <= status <= 599:
        raise FaultError(f"{where}.httpStatus: {given['httpStatus']!r} is no status between 200 and 599")
    return {"httpStatus": int(status), "percentage": _percentage(given, where)}


def _match(given: t.Any, where: str, close: bool = False) -> dict:
    requests = [name for name, how in _MATCH_FIELDS.items() if how != "route"]
    _only(given, _CONNECTION_FIELDS if close else requests, where)
    match = dict(given)
    for name, (kind, words) in _MATCH_TYPES.items():
        if name in match and not isinstance(match[name], kind):
            raise FaultError(f"{where}.{name}: wants {words}, not {match[name]!r}")
    for name, how in _MATCH_FIELDS.items():
        value = match.get(name)
        if how == "string" and value is not None:
            _string_match(value, f"{where}.{name}")
        elif (how == "strings" or name == "withoutHeaders") and value is not None:
            if not isinstance(value, t.Mapping):
                raise FaultError(f"{where}.{name}: wants a dictionary of names, not {value!r}")
            for key, one in value.items():
                _string_match(one, f"{where}.{name}.{key}", present=True)
    if "port" in match:
        number = _number(match["port"])
        if number is None or not 1 <= number <= 65535:
            raise FaultError(f"{where}.port: {match['port']!r} is no port")
        match["port"] = int(number)
    return match


def _string_match(value: t.Any, where: str, present: bool = False) -> None:
    if present and value == {}:
        return
    if not isinstance(value, t.Mapping) or len(value) != 1 or next(iter(value)) not in _STRING_MATCHES:
        raise FaultError(f"{where}: wants one of exact, prefix, regex, such as {{exact: value}}; not {value!r}")


# -- both of two matches --------------------------------------------------


def both(route: t.Mapping[str, t.Any], fault: t.Mapping[str, t.Any]) -> dict | None:
    """The HTTPMatchRequest that holds where both hold; None where nothing can meet both.

    :raises FaultError: Istio has no way to say it
    """
    if route.get("uri") and fault.get("uri") and route.get("ignoreUriCase", False) != fault.get("ignoreUriCase", False):
        raise FaultError("one match ignores the case of the path and the other doesn't: give the fault the same")
    joined = dict(route)
    for name, value in fault.items():
        if name not in route:
            joined[name] = value
            continue
        one = _JOIN[_HOW[name]](route[name], value, name)
        if one is None:
            return None
        joined[name] = one
    return joined


def _both_values(one: t.Any, other: t.Any, name: str) -> t.Any:
    return one if one == other else None


def _both_same(one: t.Any, other: t.Any, name: str) -> t.Any:
    if one != other:
        raise FaultError(f"the route and the fault both match {name}, differently: Istio can't say both at once")
    return one


def _both_any(one: list, other: list, name: str) -> list | None:
    return [item for item in one if item in other] or None


def _both_labels(one: dict, other: dict, name: str) -> dict | None:
    if any(one[key] != other[key] for key in one.keys() & other.keys()):
        return None
    return {**one, **other}


def _both_strings(one: dict, other: dict, name: str) -> dict | None:
    if name == "headers":
        one, other = _lower(one), _lower(other)
    joined = {**one, **other}
    for key in one.keys() & other.keys():
        value = _both_string(one[key], other[key], f"{name}.{key}")
        if value is None:
            return None
        joined[key] = value
    return joined


def _lower(headers: dict) -> dict:
    """Proxies take no notice of the case of a header's name."""
    return {name.lower(): value for name, value in headers.items()}


def _both_without(one: dict, other: dict, name: str) -> dict:
    one, other = _lower(one), _lower(other)
    for key in one.keys() & other.keys():
        _both_same(one[key], other[key], f"{name}.{key}")
    return {**one, **other}


def _both_string(one: dict, other: dict, name: str) -> dict | None:
    """The StringMatch for two; an empty one means that the value is there at all."""
    if one == other or not other:
        return one
    if not one:
        return other
    (how, text), (other_how, other_text) = *one.items(), *other.items()
    if how == "exact" or other_how == "exact":
        if how != "exact":
            (how, text), (other_how, other_text) = (other_how, other_text), (how, text)
        return {"exact": text} if _meets(text, other_how, other_text, name) else None
    if how == other_how == "prefix":
        longer, shorter = sorted((text, other_text), key=len, reverse=True)
        return {"prefix": longer} if longer.startswith(shorter) else None
    raise FaultError(
        f"the route matches {name} by {how} {text!r} and the fault by {other_how} {other_text!r}:"
        " Istio can't say both at once; give the fault an exact value, or leave it out"
    )


def _meets(text: str, how: str, wanted: str, name: str) -> bool:
    if how == "regex":
        try:
            return re.fullmatch(wanted, text) is not None
        except re.error as error:
            raise FaultError(
                f"whether {name} {text!r} fits the regular expression {wanted!r} can't be told here ({error}):"
                " give the fault an exact value"
            ) from error
    return text.startswith(wanted) if how == "prefix" else text == wanted


_JOIN: dict[str, t.Callable[[t.Any, t.Any, str], t.Any]] = {
    "string": _both_string,
    "strings": _both_strings,
    "same": _both_same,
    "without": _both_without,
    "value": _both_values,
    "labels": _both_labels,
    "any": _both_any,
    "route": _both_same,
}


# -- specs ----------------------------------------------------------------


def mark_of(route: t.Mapping[str, t.Any]) -> str | None:
    """The name that inject() gave a route; None where it is somebody's own."""
    name = str(route.get("name", ""))
    if not name and route.get("route"):
        name = str((route["route"][0].get("destination") or {}).get("host", "")).removesuffix(_NOWHERE)
    return name if name.startswith(MARK) else None


def all_marked(spec: t.Mapping[str, t.Any]) -> list[tuple[str, dict]]:
    """The routes that inject() put in, each with the section of the spec that it is in."""
    return [(section, route) for section in _SECTIONS for route in spec.get(section) or [] if mark_of(route)]


def marked(spec: t.Mapping[str, t.Any]) -> list[str]:
    """The names of the routes that inject() put in; proxies name what they get of them alike."""
    return [mark_of(route) or "" for _section, route in all_marked(spec)]


def take_out(spec: t.Mapping[str, t.Any]) -> dict:
    """The spec without the routes that inject() put in."""
    result = dict(spec)
    for section in {section for section, _route in all_marked(spec)}:
        result[section] = [route for route in spec[section] if not mark_of(route)]
        if not result[section]:
            del result[section]  # inject() had made it
    return result


def changed_sections(before: t.Mapping[str, t.Any], after: t.Mapping[str, t.Any]) -> list[dict]:
    """JSON patch that makes one spec's routes those of another."""
    patch: list[dict] = []
    for section in _SECTIONS:
        if section not in after and section in before:
            patch.append({"op": "remove", "path": f"/spec/{section}"})
        elif before.get(section) != after.get(section):
            patch.append({"op": "add", "path": f"/spec/{section}", "value": after[section]})
    return patch


def inject(spec: t.Mapping[str, t.Any], faults: t.Sequence[dict], name: str) -> dict:
    """The spec with the faults in it, in the place of those that inject() had put in before.

    :param spec: a VirtualService's spec
    :param faults: from read_fault(); where several fit a request, or a connection, the first one counts
    :param name: the VirtualService, for messages and to keep its routes' names apart from others'
    :raises FaultError: no route can take one of the faults
    """
    spec = take_out(spec)
    numbered = list(enumerate(faults, 1))
    for close in (False, True):
        same = [(number, fault) for number, fault in numbered if closes(fault) is close]
        for (number, fault), (later, _fault) in zip(same, same[1:], strict=False):
            if not fault["match"]:
                raise FaultError(f"fault {number} fits everything, so fault {later} would never be met: order them")
    requests = [(number, fault) for number, fault in numbered if not closes(fault)]
    connections = [(number, fault) for number, fault in numbered if closes(fault)]
    result = dict(spec)
    used: set[int] = set()
    if requests:
        if not any(route.get("route") for route in spec.get("http") or []):
            raise FaultError(f"VirtualService {name} {_why_unable(spec)}")
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
        raise FaultError(
            f"fault {unused[0]} fits no request that a route of VirtualService {name} takes:"
            f" its match is {json.dumps(fault['match'])},"
            f" the routes match {json.dumps([route.get('match', 'everything') for route in routes])}"
        )
    return result


def _connection_routes(spec: t.Mapping[str, t.Any], name: str) -> dict[str, list[dict]]:
    """The routes of connections that a spec has, by section; where it has none for TCP, the one that Istio takes."""
    host = (spec.get("hosts") or ["*"])[0]
    found = {section: spec[section] for section in ("tls", "tcp") if spec.get(section)}
    if "tcp" not in found:
        if "*" in host:
            raise FaultError(f"VirtualService {name} routes no TCP and is for {host}: name a host to close connections")
        found["tcp"] = [{"route": [{"destination": {"host": host}}]}]
    return found


def _in_front(
    routes: t.Sequence[dict], faults: t.Sequence[tuple[int, dict]], label: str, make: t.Callable[..., dict | None]
) -> tuple[list[dict], set[int]]:
    """The routes, each with its faulty copies in front of it, and the numbers of the faults that some route takes."""
    used: set[int] = set()
    result: list[dict] = []
    for route in routes:
        for number, fault in faults:
            copied = make(route, fault) if route.get("route") else None
            if copied:
                used.add(number)
                text = f"{label}{len(result)} {number} {json.dumps(copied, sort_keys=True)}"
                result.append(_named(copied, f"{MARK}{number}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"))
        result.append(route)
    return result, used


def _named(route: dict, name: str) -> dict:
    if "fault" in route:
        return {**route, "name": name}
    nowhere, *others = route["route"]
    return {**route, "route": [{**nowhere, "destination": {"host": name + _NOWHERE}}, *others]}


def _closed(route: t.Mapping[str, t.Any], fault: t.Mapping[str, t.Any]) -> dict | None:
    """A copy of a route of connections that leads a share of them nowhere."""
    matches = _matches(route, fault)
    if matches is None:
        return None
    share = round(fault["fault"]["abort"]["percentage"]["value"] * 100)
    weights = [one.get("weight", 1 if len(route["route"]) == 1 else 0) for one in route["route"]]
    ways: list[dict] = [{"destination": {}}]
    if share < 10000:
        ways[0]["weight"] = share * sum(weights)
        ways += [
            {**copy.deepcopy(one), "weight": weight * (10000 - share)}
            for one, weight in zip(route["route"], weights, strict=True)
        ]
    closed = {**copy.deepcopy(dict(route)), "route": ways}
    closed.pop("match", None)
    return {**closed, "match": matches} if matches else closed


def _matches(route: t.Mapping[str, t.Any], fault: t.Mapping[str, t.Any]) -> list[dict] | None:
    """The match of a copy, empty for everything; None where nothing meets both."""
    matches = [both(one, other) for one in route.get("match") or [{}] for other in fault["match"] or [{}]]
    possible = [match for match in matches if match is not None]
    if not possible:
        return None
    return [] if {} in possible else possible


def _faulted(route: t.Mapping[str, t.Any], fault: t.Mapping[str, t.Any]) -> dict | None:
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


def plain_routes(host: str, faults: t.Iterable[dict]) -> dict:
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


def routes_of(host: str, services: t.Iterable[dict], domain: str) -> list[dict]:
    """The VirtualServices that sidecars follow for a host.

    :param host: fully qualified
    :param services: every VirtualService
    :raises FaultError: only one with a wildcard fits: a fault in it would meet other hosts, too
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
        raise FaultError(
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
        and all(labels.get(key) == value for key, value in (match.get("sourceLabels") or {}).items())
        for match in route.get("match") or [{}]
    )


# -- metadata -------------------------------------------------------------


def saved(virtual_service: t.Mapping[str, t.Any]) -> dict | None:
    """What ANNOTATION holds; None where it isn't there or can't be read."""
    text = (virtual_service["metadata"].get("annotations") or {}).get(ANNOTATION)
    try:
        found = json.loads(text) if text else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def to_save(virtual_service: t.Mapping[str, t.Any]) -> dict:
    """What ANNOTATION is to hold for a VirtualService that was there before."""
    meta = virtual_service["metadata"]
    return {"annotated": bool(meta.get("annotations")), "managedFields": meta.get("managedFields") or []}


def _pointer(text: str) -> str:
    return text.replace("~", "~0").replace("/", "~1")


def annotate_patch(virtual_service: t.Mapping[str, t.Any], text: str) -> list[dict]:
    """JSON patch that sets ANNOTATION."""
    if virtual_service["metadata"].get("annotations"):
        return [{"op": "add", "path": f"/metadata/annotations/{_pointer(ANNOTATION)}", "value": text}]
    return [{"op": "add", "path": "/metadata/annotations", "value": {ANNOTATION: text}}]


def stays_patch(text: str) -> list[dict]:
    """JSON patch that changes nothing, and fails where ANNOTATION isn't this text."""
    return [{"op": "test", "path": f"/metadata/annotations/{_pointer(ANNOTATION)}", "value": text}]


def leave_patch(
    annotations: t.Mapping[str, str], state: t.Mapping[str, t.Any], managed_fields: list[dict]
) -> list[dict]:
    """JSON patch that removes ANNOTATION and makes the list of field owners what it was.

    :param annotations: as they are now
    :param state: from saved()
    :param managed_fields: the owners to leave
    """
    if set(annotations) == {ANNOTATION} and not state.get("annotated"):
        away = [
            {"op": "test", "path": "/metadata/annotations", "value": dict(annotations)},
            {"op": "remove", "path": "/metadata/annotations"},
        ]
    else:
        away = [{"op": "remove", "path": f"/metadata/annotations/{_pointer(ANNOTATION)}"}]
    return [*away, {"op": "replace", "path": "/metadata/managedFields", "value": managed_fields}]


def owners_to_leave(live: list[dict], state: t.Mapping[str, t.Any], ours: t.Collection[str]) -> list[dict]:
    """The field owners as they were; where others have written in between, as they are now without us.

    :param live: managedFields as they are now
    :param state: from saved()
    :param ours: names of our managers
    """

    def about(entry: dict) -> tuple:
        return entry.get("manager"), entry.get("operation"), entry.get("subresource"), entry.get("time")

    others = [entry for entry in live if entry.get("manager") not in ours]
    before = state.get("managedFields") or []
    known = {about(entry) for entry in before}
    return before if before and all(about(entry) in known for entry in others) else others
