# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a module returns of each object."""

from __future__ import annotations

import types

from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.objects.executor import Outcome
from ansible_collections.meshops.istio.plugins.module_utils.objects.result import (
    _failed_first,
    _failure_text,
    _result,
    _shown,
)
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.plan import plan
from fakes.objects import obj


def result(objects, live=(), full=False, diff=False, outcomes=()):
    changes = plan(objects, live)
    made = {change.key: outcome(change) for change, outcome in zip(changes, outcomes, strict=False)}
    module = types.SimpleNamespace(check_mode=False, _diff=diff)
    return _result(module, changes, made, full=full)


def test_every_object_has_an_entry_and_the_summary_counts_them():
    made = result(
        [obj("VirtualService", "a"), obj("VirtualService", "b")],
        outcomes=[
            lambda change: Outcome(change, "created"),
            lambda change: Outcome(change, "failed", error=MeshopsError("no"), reason="Forbidden"),
        ],
    )
    assert made["changed"]
    assert made["summary"] == {"created": 1, "updated": 0, "deleted": 0, "unchanged": 0, "failed": 1}
    assert [(entry["error"], entry.get("reason")) for entry in made["objects"]] == [(None, None), ("no", "Forbidden")]


def test_a_run_that_failed_half_way_through_an_object_has_changed_something():
    made = result(
        [obj("VirtualService", "a")],
        outcomes=[lambda change: Outcome(change, "failed", error=MeshopsError("no"), begun=True)],
    )
    assert made["changed"]


def test_a_secret_is_returned_without_its_values():
    secret = {**obj("Secret", "s"), "data": {"a": "eA=="}, "type": "Opaque"}
    made = result([secret], full=True, outcomes=[lambda change: Outcome(change, "created", change.after)])
    assert made["objects"][0]["object"].keys() == {"apiVersion", "kind", "metadata", "type"}


def test_a_failure_lists_twenty_objects_and_counts_the_rest():
    failures = [Outcome(None, "failed", error=MeshopsError(f"object {number}")) for number in range(25)]
    text = _failure_text(failures, 100)
    assert text.startswith("25 of 100 objects failed:\nobject 0\n")
    assert text.endswith("object 19\n... and 5 more, see objects")
    assert _failure_text(failures[:1], 1) == "object 0"


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
