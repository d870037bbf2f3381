# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Numbers and truth values that were given as text, as C(-e weight=10) does, become what the schema asks for."""

from __future__ import annotations

import re
import typing as t

from .schema import Schema

_INTEGER = re.compile(r"[-+]?\d+")
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")
_TRUTH = {"true": True, "false": False}


def may_not_conform(value: t.Any) -> bool:
    """Whether a text in a value looks like a number or a truth value, so that it is worth asking the schema."""
    if isinstance(value, dict):
        return any(may_not_conform(v) for v in value.values())
    if isinstance(value, list):
        return any(may_not_conform(v) for v in value)
    return isinstance(value, str) and bool(_NUMBER.fullmatch(value) or value.lower() in _TRUTH)


def conform(value: t.Any, schema: Schema | None) -> t.Any:
    """The value with texts turned into numbers and truth values where the schema has those; all else stays."""
    if schema is None:
        return value
    if isinstance(value, dict):
        return {k: conform(v, schema.child(k)) for k, v in value.items()}
    if isinstance(value, list):
        return [conform(v, schema.item()) for v in value]
    if isinstance(value, str):
        if schema.type == "integer" and _INTEGER.fullmatch(value):
            return int(value)
        if schema.type == "number" and _NUMBER.fullmatch(value):
            return float(value)
        if schema.type == "boolean":
            return _TRUTH.get(value.lower(), value)
    return value
