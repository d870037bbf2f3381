# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.faults.bookkeeping import (
    ANNOTATION,
    annotate_patch,
    annotation_test_patch,
    original_owners,
    restore_patch,
    saved_state,
    state_of,
)


def test_restore_patch_removes_the_annotation_and_restores_the_owners():
    owners = [{"manager": "helm", "operation": "Apply", "time": "1", "fieldsV1": {"f:spec": {}}}]
    live = {"metadata": {"managedFields": owners}}
    state = state_of(live)
    text = json.dumps(state)
    assert annotate_patch(live, text) == [{"op": "add", "path": "/metadata/annotations", "value": {ANNOTATION: text}}]
    now = [{**owners[0], "fieldsV1": {}}, {"manager": "meshops", "operation": "Update", "time": "2"}]
    back = original_owners(now, state, ("meshops",))
    assert back == owners
    patch = restore_patch({ANNOTATION: text}, state, back)
    assert patch[-2:] == [
        {"op": "remove", "path": "/metadata/annotations"},
        {"op": "replace", "path": "/metadata/managedFields", "value": owners},
    ]
    others = [*now, {"manager": "kubectl", "operation": "Update", "time": "3"}]
    assert original_owners(others, state, ("meshops",)) == [others[0], others[2]], (
        "the write of another manager was lost"
    )
    kept = restore_patch({"a": "b", ANNOTATION: text}, state, back)
    assert kept[0] == {"op": "remove", "path": "/metadata/annotations/meshops.istio~1fault-injection"}


@pytest.mark.parametrize("text", ["", "no JSON", "[1]", '"text"'])
def test_unreadable_annotation_is_no_state(text):
    assert saved_state({"metadata": {"annotations": {ANNOTATION: text}}}) is None


def test_annotation_is_added_beside_others_and_tested_by_its_text():
    live = {"metadata": {"annotations": {"a": "b"}}}
    path = "/metadata/annotations/meshops.istio~1fault-injection"
    assert annotate_patch(live, "{}") == [{"op": "add", "path": path, "value": "{}"}]
    assert annotation_test_patch("{}") == [{"op": "test", "path": path, "value": "{}"}]
