# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The annotation that remembers a VirtualService as it was before a fault was injected."""

from __future__ import annotations

import json
import typing as t

from ..cluster.edit import Operation, pointer
from ..reconcile.types import K8sObject, Labels

#: Remembers what is needed to leave no trace: JSON with C(created), or C(managedFields) and C(annotated), and C(host).
ANNOTATION = "meshops.istio/fault-injection"
_PATH = pointer(["metadata", "annotations", ANNOTATION])

#: The content of ANNOTATION.
State = dict[str, t.Any]
#: An entry of C(metadata.managedFields).
FieldOwner = dict[str, t.Any]


def saved_state(virtual_service: K8sObject) -> State | None:
    """The content of ANNOTATION; None where it is absent or unreadable."""
    text = (virtual_service["metadata"].get("annotations") or {}).get(ANNOTATION)
    try:
        state = json.loads(text) if text else None
    except ValueError:
        return None
    return state if isinstance(state, dict) else None


def state_of(virtual_service: K8sObject) -> State:
    """The content of ANNOTATION for a VirtualService that existed before the faults."""
    meta = virtual_service["metadata"]
    return {"annotated": bool(meta.get("annotations")), "managedFields": meta.get("managedFields") or []}


def annotate_patch(virtual_service: K8sObject, text: str) -> list[Operation]:
    """JSON patch that sets ANNOTATION."""
    if virtual_service["metadata"].get("annotations"):
        return [{"op": "add", "path": _PATH, "value": text}]
    return [{"op": "add", "path": "/metadata/annotations", "value": {ANNOTATION: text}}]


def annotation_test_patch(text: str) -> list[Operation]:
    """JSON patch that changes nothing, and fails unless ANNOTATION has this text."""
    return [{"op": "test", "path": _PATH, "value": text}]


def restore_patch(annotations: Labels, state: State, owners: list[FieldOwner]) -> list[Operation]:
    """JSON patch that removes ANNOTATION and restores the list of field owners.

    :param annotations: the annotations as they are now
    :param state: from saved_state()
    :param owners: the field owners to restore
    """
    if set(annotations) == {ANNOTATION} and not state.get("annotated"):
        removal: list[Operation] = [
            {"op": "test", "path": "/metadata/annotations", "value": dict(annotations)},
            {"op": "remove", "path": "/metadata/annotations"},
        ]
    else:
        removal = [{"op": "remove", "path": _PATH}]
    return [*removal, {"op": "replace", "path": "/metadata/managedFields", "value": owners}]


def original_owners(live: list[FieldOwner], state: State, managers: t.Collection[str]) -> list[FieldOwner]:
    """The field owners as they were; if others have written since, the current ones without this collection's.

    :param live: managedFields as they are now
    :param state: from saved_state()
    :param managers: this collection's field managers
    """

    def identity(entry: FieldOwner) -> tuple[t.Any, ...]:
        return entry.get("manager"), entry.get("operation"), entry.get("subresource"), entry.get("time")

    others = [entry for entry in live if entry.get("manager") not in managers]
    before = state.get("managedFields") or []
    known = {identity(entry) for entry in before}
    return before if before and all(identity(entry) in known for entry in others) else others
