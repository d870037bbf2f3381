# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.mesh import option_values as values


def test_what_comes_as_text_is_read_as_what_it_says():
    assert values.read_boolean("no", "o") is False and values.read_boolean(True, "o") is True
    assert values.read_list("a, b,", "o") == ["a", "b"] and values.read_list((1,), "o") == [1]
    assert values.read_port("80", "o") == 80 and values.read_number("1.5") == 1.5
    assert values.read_number(True) is None and values.read_number("x") is None
    assert values.require_mapping({"a": 1}, ("a", "b"), "o") == {"a": 1}


@pytest.mark.parametrize(
    ("read", "value", "message"),
    [
        (values.read_boolean, "maybe", "o: must be true or false, got 'maybe'"),
        (values.read_list, {"a": 1}, "o: must be a list, got {'a': 1}"),
        (values.read_port, 65536, "o: must be a port number, got 65536"),
        (values.read_port, 80.5, "o: must be a port number, got 80.5"),
        (lambda value, option: values.require_mapping(value, ("a",), option), {"b": 1}, "o: unknown b. Known keys: a"),
        (lambda value, option: values.require_mapping(value, ("a",), option), "x", "o: must be a dictionary, got 'x'"),
    ],
)
def test_other_values_are_refused_with_the_options_name(read, value, message):
    with pytest.raises(MeshopsError) as error:
        read(value, "o")
    assert str(error.value) == message
