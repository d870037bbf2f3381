# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Edits a live object by a JSON patch that the server refuses where somebody else has written in between."""

from __future__ import annotations

import typing as t

from ..reconcile.types import K8sObject
from .client import FIELD_MANAGER, Cluster, PatchOptions
from .errors import ApiError
from .kinds import Kind

#: One operation of a JSON patch (RFC 6902): C(op), C(path), and C(value) where the operation has one.
Operation = dict[str, t.Any]

#: How often an edit is made anew on what somebody else has written in between.
ATTEMPTS = 5


def pointer(path: t.Iterable[str | int]) -> str:
    """A JSON pointer (RFC 6901) to a field.

    >>> pointer(["metadata", "annotations", "a.b/c", 0])
    '/metadata/annotations/a.b~1c/0'
    """
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)


class ObjectRef(t.NamedTuple):
    """Which object is edited."""

    kind: Kind
    name: str
    namespace: str | None = None


def edit(
    cluster: Cluster,
    target: ObjectRef,
    change: t.Callable[[K8sObject], list[Operation]],
    *,
    live: K8sObject | None = None,
    manager: str = FIELD_MANAGER,
    check_mode: bool = False,
) -> K8sObject | None:
    """Changes an object as C(change) says of its live state; begins again where somebody else writes meanwhile.

    :param change: gives the operations for the live object; none: the object is not changed
    :param live: the object as it was read just now, to save a request
    :param check_mode: let the server check, and keep nothing
    :returns: the object as the server has it now; None where it does not exist
    :raises ApiError: the server refuses, or others have written C(ATTEMPTS) times in between
    """
    options = PatchOptions(how="json", manager=manager)
    attempt = 0
    while True:
        attempt += 1
        if live is None:
            live = cluster.get(target.kind, target.name, target.namespace)
        if live is None:
            return None
        operations = change(live)
        if not operations:
            return live
        version = live["metadata"]["resourceVersion"]
        guard: Operation = {"op": "replace", "path": "/metadata/resourceVersion", "value": version}
        try:
            patch = [guard, *operations]
            return cluster.patch(target.kind, target.name, patch, target.namespace, options, dry_run=check_mode)
        except ApiError as error:
            if error.status != 409 or attempt == ATTEMPTS:
                raise
        live = None
