# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads the options of a fault: delay, abort, match and durations."""

from __future__ import annotations

import re
import typing as t

from ..errors import MeshopsError
from ..mesh.option_values import read_number, read_port, require_mapping

#: An HTTPMatchRequest, or an L4MatchAttributes.
Match = dict[str, t.Any]
#: An HTTPFaultInjection; C(close) in its abort is this collection's own.
Effect = dict[str, t.Any]


class Fault(t.TypedDict):
    """A fault as read_fault() returns it: the requests that it matches (empty: all), and what happens to them."""

    match: list[Match]
    fault: Effect


#: The fields that a fault on connections can match; a proxy sees nothing of HTTP there.
_CONNECTION_FIELDS = ("port", "sourceLabels", "sourceNamespace", "gateways", "destinationSubnets")
_STRING_MATCHES = ("exact", "prefix", "regex")
#: The fields of a match, and how a field of a route is combined with the same field of a fault.
MATCH_FIELDS = {
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
_REQUEST_FIELDS = tuple(name for name, how in MATCH_FIELDS.items() if how != "route")
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


def seconds(duration: t.Any, option: str) -> float:
    """The seconds of a duration.

    >>> seconds("1m30s", "delay")
    90.0

    :param option: the option's name, for the message
    :raises MeshopsError: it is not a duration, or is shorter than 1ms
    """
    text = str(duration)
    if not _DURATION.fullmatch(text):
        raise MeshopsError(f"{option}: invalid duration {text!r}: expected a value such as 500ms, 2s or 1m30s")
    total = sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)(ms|s|m|h)", text))
    if total < 0.001:
        raise MeshopsError(f"{option}: {text!r} is too short: the minimum is 1ms")
    return total


def read_fault(value: t.Any, option: str = "fault") -> Fault:
    """Reads a fault as a user writes it.

    :param value: C(delay) (a duration, or C(fixedDelay) and C(percentage)), C(abort) (an HTTP status, or
        C(httpStatus), C(grpcStatus) or C(close), and C(percentage)), C(match) (HTTPMatchRequests)
    :param option: the option's name, for messages
    :raises MeshopsError: something is missing, unknown or out of bounds
    """
    options = require_mapping(value, ("delay", "abort", "match"), option)
    effect: Effect = {}
    if options.get("delay") is not None:
        effect["delay"] = _delay(options["delay"], f"{option}.delay")
    if options.get("abort") is not None:
        effect["abort"] = _abort(options["abort"], f"{option}.abort")
    if not effect:
        raise MeshopsError(f"{option}: give delay, abort, or both")
    close = "close" in effect.get("abort", {})
    if close and "delay" in effect:
        raise MeshopsError(
            f"{option}: abort: close applies to connections, which Istio cannot delay: give one of the two"
        )
    matches = [
        _match(match, f"{option}.match[{index}]", _CONNECTION_FIELDS if close else _REQUEST_FIELDS)
        for index, match in enumerate(options.get("match") or [])
    ]
    return {"match": matches, "fault": effect}


def closes(fault: Fault) -> bool:
    """Whether a fault closes connections instead of affecting requests."""
    return "close" in fault["fault"].get("abort", {})


def _percentage(options: t.Mapping[str, t.Any], option: str) -> dict[str, float]:
    value = options.get("percentage", 100)
    if isinstance(value, t.Mapping):
        value = require_mapping(value, ("value",), f"{option}.percentage").get("value")
    number = read_number(value)
    if number is None or not 0 < number <= 100:
        raise MeshopsError(f"{option}.percentage: must be greater than 0 and at most 100, got {value!r}")
    return {"value": int(number) if number == int(number) else number}


def _delay(value: t.Any, option: str) -> Effect:
    if not isinstance(value, t.Mapping):
        value = {"fixedDelay": value}
    options = require_mapping(value, ("fixedDelay", "percentage"), option)
    seconds(options.get("fixedDelay"), f"{option}.fixedDelay")
    return {"fixedDelay": options["fixedDelay"], "percentage": _percentage(options, option)}


def _abort(value: t.Any, option: str) -> Effect:
    if not isinstance(value, t.Mapping):
        value = {"close": True} if value == "close" else {"httpStatus": value}
    options = require_mapping(value, ("httpStatus", "grpcStatus", "close", "percentage"), option)
    if len(options.keys() - {"percentage"}) != 1:
        raise MeshopsError(f"{option}: give one of httpStatus, grpcStatus and close")
    percentage = _percentage(options, option)
    if "close" in options:
        if options["close"] is not True:
            raise MeshopsError(
                f"{option}.close: must be true, got {options['close']!r}; to close nothing, omit the fault"
            )
        if percentage["value"] < 0.01:
            raise MeshopsError(
                f"{option}.percentage: must be at least 0.01 to close connections, got {percentage['value']}"
            )
        return {"close": True, "percentage": percentage}
    if "grpcStatus" in options:
        if options["grpcStatus"] not in _GRPC_STATUSES:
            raise MeshopsError(
                f"{option}.grpcStatus: invalid status {options['grpcStatus']!r}: expected {', '.join(_GRPC_STATUSES)}"
            )
        return {"grpcStatus": options["grpcStatus"], "percentage": percentage}
    status = read_number(options["httpStatus"])
    if status is None or status != int(status) or not 200 <= status <= 599:
        raise MeshopsError(f"{option}.httpStatus: must be a status between 200 and 599, got {options['httpStatus']!r}")
    return {"httpStatus": int(status), "percentage": percentage}


def _match(value: t.Any, option: str, fields: t.Sequence[str]) -> Match:
    match = dict(require_mapping(value, fields, option))
    for name, (kind, words) in _MATCH_TYPES.items():
        if name in match and not isinstance(match[name], kind):
            raise MeshopsError(f"{option}.{name}: must be {words}, got {match[name]!r}")
    for name, how in MATCH_FIELDS.items():
        value = match.get(name)
        if value is None:
            continue
        if how == "string":
            _check_string_match(value, f"{option}.{name}")
        elif how in ("strings", "without"):
            if not isinstance(value, t.Mapping):
                raise MeshopsError(f"{option}.{name}: must be a dictionary of names, got {value!r}")
            for key, condition in value.items():
                if condition != {}:  # {}: the header or parameter is present
                    _check_string_match(condition, f"{option}.{name}.{key}")
    if "port" in match:
        match["port"] = read_port(match["port"], f"{option}.port")
    return match


def _check_string_match(value: t.Any, option: str) -> None:
    if not isinstance(value, t.Mapping) or len(value) != 1 or next(iter(value)) not in _STRING_MATCHES:
        raise MeshopsError(f"{option}: must be one of exact, prefix and regex, such as {{exact: value}}, got {value!r}")
