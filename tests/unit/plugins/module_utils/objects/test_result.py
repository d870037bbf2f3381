# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The result of a run over objects."""

from __future__ import annotations

from ansible_collections.meshops.istio.plugins.module_utils.objects.result import _failed_first, _shown


def entry(name, action):
    return {"kind": "Gateway", "namespace": "shop", "name": name, "action": action, "error": None}


def test_a_failed_result_lists_failed_objects_first_and_no_unchanged_ones():
    entries = [entry("a", "unchanged"), entry("b", "created"), entry("c", "failed"), entry("d", "unchanged")]
    summary = {"unchanged": 2, "created": 1, "failed": 1}
    result = _failed_first({"changed": True, "objects": entries, "summary": summary})
    assert [(e["name"], e["action"]) for e in result["objects"]] == [("c", "failed"), ("b", "created")]
    assert result["summary"] == summary


def test_a_returned_object_has_no_managed_fields_and_a_secret_no_values():
    secret = {"kind": "Secret", "metadata": {"name": "a", "managedFields": [{}]}, "data": {"key": "eA=="}}
    assert _shown(secret) == {"kind": "Secret", "metadata": {"name": "a"}}
    assert _shown({}) == {}
