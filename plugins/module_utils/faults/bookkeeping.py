# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The annotation that remembers a route as it was before a fault was injected."""

from __future__ import annotations

import json
import typing as t

#: Holds what is needed to leave no trace: JSON with C(created), or C(managedFields) and C(annotated), and the C(host).
ANNOTATION = "meshops.istio/fault-injection"


# -- metadata -------------------------------------------------------------


def saved(virtual_service: t.Mapping[str, t.Any]) -> dict[str, t.Any] | None:
    """What ANNOTATION holds; None where it isn't there or can't be read."""
    text = (virtual_service["metadata"].get("annotations") or {}).get(ANNOTATION)
    try:
        found = json.loads(text) if text else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def to_save(virtual_service: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What ANNOTATION is to hold for a VirtualService that was there before."""
    meta = virtual_service["metadata"]
    return {"annotated": bool(meta.get("annotations")), "managedFields": meta.get("managedFields") or []}


def _pointer(text: str) -> str:
    return text.replace("~", "~0").replace("/", "~1")


def annotate_patch(virtual_service: t.Mapping[str, t.Any], text: str) -> list[dict[str, t.Any]]:
    """JSON patch that sets ANNOTATION."""
    if virtual_service["metadata"].get("annotations"):
        return [{"op": "add", "path": f"/metadata/annotations/{_pointer(ANNOTATION)}", "value": text}]
    return [{"op": "add", "path": "/metadata/annotations", "value": {ANNOTATION: text}}]


def stays_patch(text: str) -> list[dict[str, t.Any]]:
    """JSON patch that changes nothing, and fails where ANNOTATION isn't this text."""
    return [{"op": "test", "path": f"/metadata/annotations/{_pointer(ANNOTATION)}", "value": text}]


def leave_patch(
    annotations: t.Mapping[str, str], state: t.Mapping[str, t.Any], managed_fields: list[dict[str, t.Any]]
) -> list[dict[str, t.Any]]:
    """JSON patch that removes ANNOTATION and makes the list of field owners what it was.

    :param annotations: as they are now
    :param state: from saved()
    :param managed_fields: the owners to leave
    """
    if set(annotations) == {ANNOTATION} and not state.get("annotated"):
        away: list[dict[str, t.Any]] = [
            {"op": "test", "path": "/metadata/annotations", "value": dict(annotations)},
            {"op": "remove", "path": "/metadata/annotations"},
        ]
    else:
        away = [{"op": "remove", "path": f"/metadata/annotations/{_pointer(ANNOTATION)}"}]
    return [*away, {"op": "replace", "path": "/metadata/managedFields", "value": managed_fields}]


def owners_to_leave(
    live: list[dict[str, t.Any]], state: t.Mapping[str, t.Any], ours: t.Collection[str]
) -> list[dict[str, t.Any]]:
    """The field owners as they were; where others have written in between, as they are now without us.

    :param live: managedFields as they are now
    :param state: from saved()
    :param ours: names of our managers
    """

    def about(entry: dict[str, t.Any]) -> tuple[t.Any, ...]:
        return entry.get("manager"), entry.get("operation"), entry.get("subresource"), entry.get("time")

    others = [entry for entry in live if entry.get("manager") not in ours]
    before = state.get("managedFields") or []
    known = {about(entry) for entry in before}
    return before if before and all(about(entry) in known for entry in others) else others
