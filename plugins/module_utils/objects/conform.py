# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Values become the type that the schema requires: numbers given as text, as C(-e weight=10) does, and the reverse.

ansible-core keeps native types, so that the quoted template of a number gives a number. Only integers become text: the
text of 1.10 was lost when it was read as a number.
"""

from __future__ import annotations

import re
import typing as t

from ..reconcile.schema import Schema

_INTEGER = re.compile(r"[-+]?\d+")
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")
_TRUTH = {"true": True, "false": False}


#: Fields that are numbers in every kind of the mesh; for these alone no schema is read.
_NUMBERS = {"weight", "number", "port", "targetPort", "value", "httpStatus", "attempts"}


def may_not_conform(value: t.Any, field: str = "") -> bool:
    """Whether a value may be of another type than its schema's, so that it is worth reading the schema."""
    if isinstance(value, dict):
        return any(may_not_conform(v, k) for k, v in value.items())
    if isinstance(value, list):
        return any(may_not_conform(v, field) for v in value)
    if isinstance(value, int) and not isinstance(value, bool):
        return field not in _NUMBERS
    return isinstance(value, str) and bool(_NUMBER.fullmatch(value) or value.lower() in _TRUTH)


def conform(value: t.Any, schema: Schema | None) -> t.Any:
    """The value with texts turned into numbers and truth values where the schema has those; all else is unchanged."""
    if schema is None:
        return value
    if isinstance(value, dict):
        return {k: conform(v, schema.child(k)) for k, v in value.items()}
    if isinstance(value, list):
        return [conform(v, schema.item()) for v in value]
    if schema.type == "string" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        if schema.type == "integer" and _INTEGER.fullmatch(value):
            return int(value)
        if schema.type == "number" and _NUMBER.fullmatch(value):
            return float(value)
        if schema.type == "boolean":
            return _TRUTH.get(value.lower(), value)
    return value
