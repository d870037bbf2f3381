# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The intersection of two matches: the match of a route and the match of a fault."""

from __future__ import annotations

import re
import typing as t

from ..errors import MeshopsError
from .options import MATCH_FIELDS, Match

_HOW = {**MATCH_FIELDS, "destinationSubnets": "same", "sniHosts": "same"}


#: The value of one field of a match that is a dictionary, such as C({"exact": "/api"}) or labels.
Condition = dict[str, t.Any]


def intersection(route: Match, fault: Match) -> Match | None:
    """The match that holds where both hold; None where no request can meet both.

    >>> intersection({"uri": {"prefix": "/api"}}, {"uri": {"exact": "/api/users"}, "port": 80})
    {'uri': {'exact': '/api/users'}, 'port': 80}

    :raises MeshopsError: Istio cannot express it
    """
    if route.get("uri") and fault.get("uri") and route.get("ignoreUriCase", False) != fault.get("ignoreUriCase", False):
        raise MeshopsError(
            "The matches of the route and of the fault differ in ignoreUriCase: give the fault the route's value"
        )
    joined = dict(route)
    for name, value in fault.items():
        if name not in route:
            joined[name] = value
            continue
        common = _JOIN[_HOW[name]](route[name], value, name)
        if common is None:
            return None
        joined[name] = common
    return joined


def _equal_or_none(route: t.Any, fault: t.Any, name: str) -> t.Any:
    return route if route == fault else None


def _equal(route: t.Any, fault: t.Any, name: str) -> t.Any:
    if route != fault:
        raise MeshopsError(
            f"The route and the fault match {name} differently, and Istio cannot match both: change the fault's match"
        )
    return route


def _common_items(route: list[t.Any], fault: list[t.Any], name: str) -> list[t.Any] | None:
    return [item for item in route if item in fault] or None


def _labels(route: Condition, fault: Condition, name: str) -> Condition | None:
    if any(route[key] != fault[key] for key in route.keys() & fault.keys()):
        return None
    return {**route, **fault}


def _strings(route: Condition, fault: Condition, name: str) -> Condition | None:
    if name == "headers":
        route, fault = _lower(route), _lower(fault)
    joined = {**route, **fault}
    for key in route.keys() & fault.keys():
        value = _string(route[key], fault[key], f"{name}.{key}")
        if value is None:
            return None
        joined[key] = value
    return joined


def _lower(headers: Condition) -> Condition:
    """Proxies ignore the case of a header's name."""
    return {name.lower(): value for name, value in headers.items()}


def _without(route: Condition, fault: Condition, name: str) -> Condition:
    route, fault = _lower(route), _lower(fault)
    for key in route.keys() & fault.keys():
        _equal(route[key], fault[key], f"{name}.{key}")
    return {**route, **fault}


def _string(route: Condition, fault: Condition, name: str) -> Condition | None:
    """The StringMatch that holds where both hold; an empty one means that the value is present."""
    if route == fault or not fault:
        return route
    if not route:
        return fault
    (how, text), (other_how, other_text) = *route.items(), *fault.items()
    if how == "exact" or other_how == "exact":
        if how != "exact":
            (how, text), (other_how, other_text) = (other_how, other_text), (how, text)
        return {"exact": text} if _meets(text, other_how, other_text, name) else None
    if how == other_how == "prefix":
        longer, shorter = sorted((text, other_text), key=len, reverse=True)
        return {"prefix": longer} if longer.startswith(shorter) else None
    raise MeshopsError(
        f"The route matches {name} by {how} {text!r} and the fault by {other_how} {other_text!r}, and Istio cannot"
        " match both: give the fault an exact value, or remove this condition"
    )


def _meets(text: str, how: str, pattern: str, name: str) -> bool:
    if how == "regex":
        try:
            return re.fullmatch(pattern, text) is not None
        except re.error as error:
            raise MeshopsError(
                f"Cannot evaluate the regular expression {pattern!r} for {name} {text!r} here ({error}):"
                " give the fault an exact value"
            ) from error
    return text.startswith(pattern) if how == "prefix" else text == pattern


_JOIN: dict[str, t.Callable[[t.Any, t.Any, str], t.Any]] = {
    "string": _string,
    "strings": _strings,
    "same": _equal,
    "without": _without,
    "value": _equal_or_none,
    "labels": _labels,
    "any": _common_items,
    "route": _equal,
}
