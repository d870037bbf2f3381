# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Text becomes a number only where the schema has one."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.objects.conform import conform, may_not_conform
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.schema import Schema
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("kind", "given_value", "value"),
    [
        ("integer", "10", 10),
        ("integer", "-1", -1),
        ("integer", "1.5", "1.5"),
        ("integer", "ten", "ten"),
        ("number", "0.5", 0.5),
        ("boolean", "True", True),
        ("boolean", "false", False),
        ("boolean", "yes", "yes"),
        ("string", "10", "10"),
        ("string", "true", "true"),
        ("", "10", "10"),
        ("integer", 10, 10),
    ],
)
def test_a_value(kind, given_value, value):
    schema = Schema({"properties": {"a": {"type": "array", "items": {"type": kind} if kind else {}}}})
    found = conform({"a": [given_value]}, schema)["a"][0]
    assert found == value
    assert type(found) is type(value)


def test_maps_and_unknown_fields():
    schema = Schema({"properties": {"ports": {"additionalProperties": {"type": "integer"}}, "free": {}}})
    given_value = {"ports": {"http": "80"}, "free": {"x": "80"}, "unknown": "80"}
    assert conform(given_value, schema) == {"ports": {"http": 80}, "free": {"x": "80"}, "unknown": "80"}
    assert conform(given_value, None) == given_value


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["10", "0.5", "true"]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=3), below, max_size=3),
    max_leaves=10,
)
ANYTHING = Schema(
    {"$ref": "any"}, {"any": {"type": "integer", "additionalProperties": {"$ref": "any"}, "items": {"$ref": "any"}}}
)


@given(VALUES)
def test_what_looks_right_is_never_changed(value):
    if not may_not_conform(value):
        assert conform(value, ANYTHING) == value
