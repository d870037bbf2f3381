# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads the options of a fault: delay, abort, match and durations."""

from __future__ import annotations

import re
import typing as t

from ..errors import MeshopsError

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
_GRPC_STATUSES = (
    "CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED"
    " RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE"
    " DATA_LOSS UNAUTHENTICATED"
).split()
_DURATION = re.compile(r"(?:\d+(?:\.\d*)?(?:ms|s|m|h))+")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


# -- what the user gives --------------------------------------------------


def seconds(duration: t.Any, what: str) -> float:
    """C(2s), C(1m30s), C(500ms) -> seconds.

    :param what: the option's name, for the message
    :raises MeshopsError: it is no duration, or not more than nothing
    """
    text = str(duration)
    if not _DURATION.fullmatch(text):
        raise MeshopsError(f"{what}: {text!r} is no duration; write it like 500ms, 2s, 1m30s")
    total = sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)(ms|s|m|h)", text))
    if total < 0.001:
        raise MeshopsError(f"{what}: {text!r} is too short; the shortest is 1ms")
    return total


def read_fault(given: t.Mapping[str, t.Any], where: str = "fault") -> dict[str, t.Any]:
    """A fault as a user writes it -> C(match) (a list, empty for every request) and C(fault) as Istio writes them.

    :param given: C(delay) (a duration, or C(fixedDelay) and C(percentage)), C(abort) (an HTTP status, or
        C(httpStatus), C(grpcStatus) or C(close), and C(percentage)), C(match) (HTTPMatchRequests)
    :param where: what to call it in messages
    :raises MeshopsError: something is missing, unknown or out of bounds
    """
    _only(given, ("delay", "abort", "match"), where)
    fault = {}
    if given.get("delay") is not None:
        fault["delay"] = _delay(given["delay"], f"{where}.delay")
    if given.get("abort") is not None:
        fault["abort"] = _abort(given["abort"], f"{where}.abort")
    if not fault:
        raise MeshopsError(f"{where}: give delay, abort, or both")
    close = closes({"fault": fault})
    if close and "delay" in fault:
        raise MeshopsError(f"{where}: abort close is for connections, which Istio can't delay; give one of the two")
    matches = [_match(m, f"{where}.match[{i}]", close) for i, m in enumerate(given.get("match") or [])]
    return {"match": matches, "fault": fault}


def closes(fault: t.Mapping[str, t.Any]) -> bool:
    """Whether a fault, from read_fault(), closes connections instead of doing something to requests."""
    return "close" in fault["fault"].get("abort", {})


def _only(given: t.Any, known: t.Iterable[str], where: str) -> None:
    if not isinstance(given, t.Mapping):
        raise MeshopsError(f"{where}: wants a dictionary, not {given!r}")
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise MeshopsError(f"{where}: unknown {', '.join(map(str, unknown))}; known are {', '.join(sorted(known))}")


def _percentage(given: t.Mapping[str, t.Any], where: str) -> dict[str, t.Any]:
    value = given.get("percentage", 100)
    if isinstance(value, t.Mapping):
        _only(value, ("value",), f"{where}.percentage")
        value = value.get("value")
    number = _number(value)
    if number is None or not 0 < number <= 100:
        raise MeshopsError(f"{where}.percentage: {value!r} is not more than 0 and at most 100")
    return {"value": int(number) if number == int(number) else number}


def _number(value: t.Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _delay(given: t.Any, where: str) -> dict[str, t.Any]:
    if not isinstance(given, t.Mapping):
        given = {"fixedDelay": given}
    _only(given, ("fixedDelay", "percentage"), where)
    seconds(given.get("fixedDelay"), f"{where}.fixedDelay")
    return {"fixedDelay": given["fixedDelay"], "percentage": _percentage(given, where)}


def _abort(given: t.Any, where: str) -> dict[str, t.Any]:
    if not isinstance(given, t.Mapping):
        given = {"close": True} if given == "close" else {"httpStatus": given}
    _only(given, ("httpStatus", "grpcStatus", "close", "percentage"), where)
    if len(given.keys() - {"percentage"}) != 1:
        raise MeshopsError(f"{where}: give one of httpStatus, grpcStatus and close")
    if "close" in given:
        if given["close"] is not True:
            raise MeshopsError(f"{where}.close: {given['close']!r} is not true; leave the fault out instead")
        percentage = _percentage(given, where)
        if percentage["value"] < 0.01:
            raise MeshopsError(
                f"{where}.percentage: {percentage['value']} is too little to close connections; 0.01 is least"
            )
        return {"close": True, "percentage": percentage}
    if "grpcStatus" in given:
        if given["grpcStatus"] not in _GRPC_STATUSES:
            raise MeshopsError(f"{where}.grpcStatus: {given['grpcStatus']!r} is none of {', '.join(_GRPC_STATUSES)}")
        return {"grpcStatus": given["grpcStatus"], "percentage": _percentage(given, where)}
    status = _number(given["httpStatus"])
    if status is None or status != int(status) or not 200 <= status <= 599:
        raise MeshopsError(f"{where}.httpStatus: {given['httpStatus']!r} is no status between 200 and 599")
    return {"httpStatus": int(status), "percentage": _percentage(given, where)}


def _match(given: t.Any, where: str, close: bool = False) -> dict[str, t.Any]:
    requests = [name for name, how in _MATCH_FIELDS.items() if how != "route"]
    _only(given, _CONNECTION_FIELDS if close else requests, where)
    match = dict(given)
    for name, (kind, words) in _MATCH_TYPES.items():
        if name in match and not isinstance(match[name], kind):
            raise MeshopsError(f"{where}.{name}: wants {words}, not {match[name]!r}")
    for name, how in _MATCH_FIELDS.items():
        value = match.get(name)
        if how == "string" and value is not None:
            _string_match(value, f"{where}.{name}")
        elif (how == "strings" or name == "withoutHeaders") and value is not None:
            if not isinstance(value, t.Mapping):
                raise MeshopsError(f"{where}.{name}: wants a dictionary of names, not {value!r}")
            for key, one in value.items():
                _string_match(one, f"{where}.{name}.{key}", present=True)
    if "port" in match:
        number = _number(match["port"])
        if number is None or not 1 <= number <= 65535:
            raise MeshopsError(f"{where}.port: {match['port']!r} is no port")
        match["port"] = int(number)
    return match


def _string_match(value: t.Any, where: str, present: bool = False) -> None:
    if present and value == {}:
        return
    if not isinstance(value, t.Mapping) or len(value) != 1 or next(iter(value)) not in _STRING_MATCHES:
        raise MeshopsError(f"{where}: wants one of exact, prefix, regex, such as {{exact: value}}; not {value!r}")
