# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The conditions that two matches have in common."""

from __future__ import annotations

import re
import typing as t

from ..errors import MeshopsError
from .options import _MATCH_FIELDS

_HOW = {**_MATCH_FIELDS, "destinationSubnets": "same", "sniHosts": "same"}


# -- both of two matches --------------------------------------------------


def both(route: t.Mapping[str, t.Any], fault: t.Mapping[str, t.Any]) -> dict[str, t.Any] | None:
    """The HTTPMatchRequest that holds where both hold; None where nothing can meet both.

    :raises MeshopsError: Istio has no way to say it
    """
    if route.get("uri") and fault.get("uri") and route.get("ignoreUriCase", False) != fault.get("ignoreUriCase", False):
        raise MeshopsError("one match ignores the case of the path and the other doesn't: give the fault the same")
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
        raise MeshopsError(f"the route and the fault both match {name}, differently: Istio can't say both at once")
    return one


def _both_any(one: list[t.Any], other: list[t.Any], name: str) -> list[t.Any] | None:
    return [item for item in one if item in other] or None


def _both_labels(one: dict[str, t.Any], other: dict[str, t.Any], name: str) -> dict[str, t.Any] | None:
    if any(one[key] != other[key] for key in one.keys() & other.keys()):
        return None
    return {**one, **other}


def _both_strings(one: dict[str, t.Any], other: dict[str, t.Any], name: str) -> dict[str, t.Any] | None:
    if name == "headers":
        one, other = _lower(one), _lower(other)
    joined = {**one, **other}
    for key in one.keys() & other.keys():
        value = _both_string(one[key], other[key], f"{name}.{key}")
        if value is None:
            return None
        joined[key] = value
    return joined


def _lower(headers: dict[str, t.Any]) -> dict[str, t.Any]:
    """Proxies take no notice of the case of a header's name."""
    return {name.lower(): value for name, value in headers.items()}


def _both_without(one: dict[str, t.Any], other: dict[str, t.Any], name: str) -> dict[str, t.Any]:
    one, other = _lower(one), _lower(other)
    for key in one.keys() & other.keys():
        _both_same(one[key], other[key], f"{name}.{key}")
    return {**one, **other}


def _both_string(one: dict[str, t.Any], other: dict[str, t.Any], name: str) -> dict[str, t.Any] | None:
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
    raise MeshopsError(
        f"the route matches {name} by {how} {text!r} and the fault by {other_how} {other_text!r}:"
        " Istio can't say both at once; give the fault an exact value, or leave it out"
    )


def _meets(text: str, how: str, wanted: str, name: str) -> bool:
    if how == "regex":
        try:
            return re.fullmatch(wanted, text) is not None
        except re.error as error:
            raise MeshopsError(
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
