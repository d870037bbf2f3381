# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What previous managers of an object still claim, so that server-side apply would never remove it. Pure.

A field that two managers own remains until both drop it. What C(kubectl apply), kubernetes.core or Helm once wrote
is claimed by them for ever, as they don't write again where this collection does now. Such claims are given up for the
fields that we owned as well and declare no longer; and, where conflicts are forced, for items of lists that
we declare without them.
"""

from __future__ import annotations

import functools
import json
import typing as t

from .managed_fields import Fields, applied_fields, step_text, union
from .types import K8sObject

#: A field in the steps of managedFields.
Steps = tuple[str, ...]
#: Field manager -> the fields whose claim it gives up.
Handover = dict[str, list[Steps]]

#: kubernetes.core writes under the first name; the second is what was there before anybody applied.
_FORMER = ("OpenAPI-Generator", "before-first-apply", "Helm", "helm", "istioctl")


def is_former(manager: str) -> bool:
    """Whether a manager is a tool that a person runs, and not a controller that would write again."""
    return manager.startswith("kubectl") or manager in _FORMER


def handover(desired: K8sObject, live: K8sObject, manager: str, forced: t.Callable[[str], bool]) -> Handover:
    """The claims that others have to give up, so that the object becomes as it is declared.

    :param forced: whether a manager's claims on items of declared lists are given up, too
    """
    dropped = list(_dropped(applied_fields(live, manager) or {}, desired, ()))
    found: Handover = {}
    for other, fields in _others(live, manager):
        paths = [path for path in dropped if (is_former(other) or forced(other)) and _at(fields, path) is not None]
        if forced(other):
            paths += [path for path in _foreign_items(fields, desired, ()) if path not in paths]
        if paths:
            found.setdefault(other, []).extend(path for path in paths if path not in found.get(other, ()))
    return found


def kept_items(desired: K8sObject, live: K8sObject, manager: str) -> Handover:
    """The items of declared lists that others keep though they are not declared."""
    found: Handover = {}
    for other, fields in _others(live, manager):
        if paths := list(_foreign_items(fields, desired, ())):
            found.setdefault(other, []).extend(paths)
    return found


def released(live: K8sObject, claims: Handover, to: str) -> list[K8sObject] | None:
    """An object's managedFields after others have given claims to one that applies; None: nothing to give.

    They are given, and not only given up: server-side apply leaves alone what nobody owns.
    """
    own: K8sObject | None = None
    entries = []
    given: list[Fields] = []
    for entry in live["metadata"].get("managedFields") or []:
        if entry.get("subresource"):
            entries.append(entry)
            continue
        if entry["manager"] == to and entry.get("operation") == "Apply":
            own = entry
            continue
        fields = entry.get("fieldsV1") or {}
        for path in claims.get(entry["manager"], []):
            below = _at(fields, path)
            if below is not None:
                given.append(_branch(path, below))
                fields = _without(fields, path)
                own = own or {**entry, "manager": to, "operation": "Apply", "fieldsV1": {}}
        if fields:
            entries.append({**entry, "fieldsV1": fields})
    if not given or own is None:
        return None
    owned = [own["fieldsV1"]] if own.get("fieldsV1") else []
    return [{**own, "fieldsV1": functools.reduce(union, [*owned, *given])}, *entries]


def without(obj: K8sObject, claims: Handover) -> K8sObject:
    """An object without the fields of claims: what a dry run cannot show, as it gives up no claims."""
    for path in sorted({path for paths in claims.values() for path in paths}, reverse=True):
        obj = _removed(obj, path)
    return obj


def described(claims: Handover) -> str:
    """The claims in words: C(spec.exportTo of 'kubectl-client-side-apply')."""
    return "; ".join(f"{', '.join(map(path_text, paths))} of {manager!r}" for manager, paths in claims.items())


def path_text(path: Steps) -> str:
    """A field as people write it.

    >>> path_text(("f:spec", "f:ports", 'k:{"name":"http"}'))
    'spec.ports[name=http]'
    """
    text = ""
    for step in path:
        text += step_text(step, text)
    return text


def _others(live: K8sObject, manager: str) -> t.Iterator[tuple[str, Fields]]:
    for entry in live["metadata"].get("managedFields") or ():
        if entry.get("manager") != manager and not entry.get("subresource"):
            yield entry["manager"], entry.get("fieldsV1") or {}


def _dropped(owned: Fields, want: t.Any, path: Steps) -> t.Iterator[Steps]:
    """What is owned and not declared."""
    for step, below in owned.items():
        if step == ".":
            continue
        declared = _child(want, step)
        if declared is None:
            yield (*path, step)
        else:
            yield from _dropped(below, declared[0], (*path, step))


def _foreign_items(owned: Fields, want: t.Any, path: Steps) -> t.Iterator[Steps]:
    """Items of lists with keys that are owned, and not declared though the list is."""
    for step, below in owned.items():
        if step == ".":
            continue
        declared = _child(want, step)
        if declared is not None:
            yield from _foreign_items(below, declared[0], (*path, step))
        elif step.startswith("k:") and isinstance(want, list) and want:
            yield (*path, step)


def _child(value: t.Any, step: str) -> tuple[t.Any] | None:
    """What a step leads to, in a tuple; None where it leads nowhere."""
    kind, text = step[:2], step[2:]
    if kind == "f:":
        return (value[text],) if isinstance(value, dict) and text in value else None
    if not isinstance(value, list):
        return None
    if kind == "i:":
        return (value[int(text)],) if int(text) < len(value) else None
    wanted = json.loads(text)
    for item in value:
        if kind == "v:" and item == wanted:
            return (item,)
        if kind == "k:" and isinstance(item, dict) and all(item.get(k, v) == v for k, v in wanted.items()):
            return (item,)
    return None


def _at(fields: Fields, path: Steps) -> Fields | None:
    node = fields
    for step in path:
        if step not in node:
            return None
        node = node[step]
    return node


def _branch(path: Steps, below: Fields) -> Fields:
    """A tree that holds nothing but what is below a path."""
    for step in reversed(path):
        below = {step: below}
    return below


def _without(fields: Fields, path: Steps) -> Fields:
    """A tree without a path, and without the branches that hold nothing else."""
    step, *rest = path
    below = _without(fields[step], tuple(rest)) if rest else {}
    others = {name: child for name, child in fields.items() if name != step}
    if below.keys() - {"."}:
        return {**others, step: below}
    return others


def _removed(value: t.Any, path: Steps) -> t.Any:
    step, *rest = path
    found = _child(value, step)
    if found is None:
        return value
    inner = _removed(found[0], tuple(rest)) if rest else None
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if k != step[2:]}
        return {**kept, step[2:]: inner} if rest and inner != {} else kept
    return [inner if rest and item is found[0] else item for item in value if rest or item is not found[0]]
