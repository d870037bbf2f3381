# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What people have added to a release's objects by a kubectl: drift that no declared value shows.

An environment variable, a webhook, a node selector: Helm never reads what its chart doesn't declare, and server-side
apply only removes what was once its own. Who has written a field is in the object's managedFields.
"""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ..cluster.client import Cluster
from ..cluster.edit import ObjectRef, Operation, edit, pointer
from ..reconcile.managed_fields import handed_over, owners, step_text
from ..reconcile.server_defaults import EXACT_MAPS
from ..reconcile.types import K8sObject
from .foreign_fields import HELM_MANAGER

#: How the names begin under which a kubectl writes: kubectl-edit, kubectl-patch, kubectl-client-side-apply, ...
_KUBECTL = "kubectl"
#: Left alone: what names and describes an object, and what controllers write as well.
_NOT_BELOW = ("f:metadata", "f:status")
_NEVER = ("f:caBundle", "f:replicas")
#: kubectl rollout restart writes its time into the pods' annotations.
_KUBECTLS_OWN = "f:kubectl.kubernetes.io/"


@dataclasses.dataclass(frozen=True)
class Addition:
    """A field that somebody has added.

    :ivar steps: where it is, in the steps of managedFields
    :ivar place: where it is, in keys and indexes
    :ivar manager: under which name it was written
    """

    steps: tuple[str, ...]
    place: tuple[str | int, ...]
    manager: str

    @property
    def text(self) -> str:
        """For a message."""
        path = ""
        for step in self.steps:
            path += step_text(step, path)
        return f"{path} was added by {self.manager}"


def additions(wanted: K8sObject, live: K8sObject) -> list[Addition]:
    """What a kubectl has written into an object and its chart doesn't declare.

    :param live: with its managedFields
    """
    found: dict[tuple[str | int, ...], Addition] = {}
    for entry in live["metadata"].get("managedFields") or ():
        if entry["manager"].startswith(_KUBECTL) and not entry.get("subresource"):
            fields = {k: v for k, v in (entry.get("fieldsV1") or {}).items() if k not in _NOT_BELOW}
            for addition in _below(fields, _Node(wanted, live, entry["manager"]), live):
                found.setdefault(addition.place, addition)
    return list(found.values())


@dataclasses.dataclass(frozen=True)
class _Node:
    """A place in an object: what is declared and what is live there.

    :ivar manager: the field manager whose fields are walked
    """

    wanted: t.Any
    live: t.Any
    manager: str
    steps: tuple[str, ...] = ()
    place: tuple[str | int, ...] = ()

    def child(self, step: str, key: str | int, wanted: t.Any) -> _Node:
        return _Node(wanted, self.live[key], self.manager, (*self.steps, step), (*self.place, key))


def _below(fields: t.Mapping[str, t.Any], node: _Node, live: K8sObject) -> t.Iterator[Addition]:
    for step, below in fields.items():
        key = _key(step, node.live)
        if key is None or _is_left(step):
            continue
        wanted_key = _key(step, node.wanted)
        child = node.child(step, key, None if wanted_key is None else node.wanted[wanted_key])
        leaf = not below or below.keys() == {"."}
        if wanted_key is not None and not leaf:
            yield from _below(below, child, live)
        elif wanted_key is not None:
            if key in EXACT_MAPS and isinstance(child.wanted, dict) and isinstance(child.live, dict):
                for name in sorted(child.live.keys() - child.wanted.keys()):
                    yield Addition((*child.steps, f"f:{name}"), (*child.place, name), node.manager)
        elif (leaf or "." in below) and not _holds_what_is_left(below) and _nobody_else(live, child.steps):
            yield Addition(child.steps, child.place, node.manager)
        else:
            yield from _below(below, child, live)


def _key(step: str, value: t.Any) -> str | int | None:
    """The key or index that a step of managedFields leads to, or None where it leads nowhere."""
    if step.startswith("f:") and isinstance(value, dict):
        return step[2:] if step[2:] in value else None
    if step.startswith("k:") and isinstance(value, list):
        keys = json.loads(step[2:])
        items = enumerate(value)
        return next(
            (n for n, o in items if isinstance(o, dict) and all(o.get(k, v) == v for k, v in keys.items())), None
        )
    return None


def _is_left(step: str) -> bool:
    return step in _NEVER or step.startswith(_KUBECTLS_OWN)


def _holds_what_is_left(node: t.Mapping[str, t.Any]) -> bool:
    return any(_is_left(step) or _holds_what_is_left(child) for step, child in node.items())


def _nobody_else(live: t.Mapping[str, t.Any], steps: t.Sequence[str]) -> bool:
    path = [step[2:] if step.startswith("f:") else json.loads(step[2:]) for step in steps]
    return all(manager.startswith(_KUBECTL) for manager in owners(live, path))


def with_additions_as_helms(live: K8sObject, added: t.Sequence[Addition]) -> K8sObject:
    """A live object as if Helm had applied what was added: so a diff shows its removal."""
    fields: dict[str, t.Any] = {}
    for one in added:
        node = fields
        for step in one.steps:
            node = node.setdefault(step, {})
    entries = [e for e in live["metadata"].get("managedFields") or () if e["manager"] == HELM_MANAGER]
    entries.append({"manager": _KUBECTL, "operation": "Update", "fieldsV1": fields})
    meta = {**live["metadata"], "managedFields": entries}
    shown = handed_over({**live, "metadata": meta}, _KUBECTL.__eq__, HELM_MANAGER)
    return {**live, "metadata": {**meta, "managedFields": shown}}


def take_away(cluster: Cluster, wanted: K8sObject, live: K8sObject) -> None:
    """Removes what was added to an object.

    :param live: as it is after it was applied
    """

    def operations(now: K8sObject) -> list[Operation]:
        places = sorted((one.place for one in additions(wanted, now)), reverse=True)  # an item's index must still hold
        return [{"op": "remove", "path": pointer(place)} for place in places]

    kind, meta = cluster.kind(wanted["apiVersion"], wanted["kind"]), wanted["metadata"]
    edit(cluster, ObjectRef(kind, meta["name"], meta.get("namespace")), operations, live=live, manager=HELM_MANAGER)
