# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who owns which field of an object: the API server's managedFields, in their C(FieldsV1) form.

C(FieldsV1) is a tree: C(f:NAME) is a field, C(k:{...}) the item of a list that has these key values,
C(v:VALUE) an item of a set, C(i:N) an item by position, and C(.) the thing itself. A leaf (an empty tree)
is owned with all that is below it.
Source: sigs.k8s.io/structured-merge-diff, fieldpath/serialize.go.
"""

from __future__ import annotations

import functools
import json
import typing as t

Fields = dict[str, t.Any]


def applied_entry(live: t.Mapping[str, t.Any], manager: str) -> dict[str, t.Any] | None:
    """A manager's server-side-apply entry in an object's managedFields, or None. A manager has at most one."""
    for entry in live["metadata"].get("managedFields") or ():
        if entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource"):
            return entry
    return None


def applied_fields(live: t.Mapping[str, t.Any], manager: str) -> Fields | None:
    """The fields that a manager owns by server-side apply, as a tree, or None where it never applied the object."""
    entry = applied_entry(live, manager)
    return None if entry is None else entry.get("fieldsV1") or {}


def handed_over(live: t.Mapping[str, t.Any], gives: t.Callable[[str], bool], to: str) -> list[dict[str, t.Any]] | None:
    """An object's managedFields after some managers have given all that they own to one that applies server-side.

    What that one doesn't declare when it applies next is then removed, as if it had always been the owner.

    :param gives: whether a manager gives what it owns
    :returns: None where there is nothing to give
    """
    entries = live["metadata"].get("managedFields") or []
    given = [e for e in entries if not e.get("subresource") and e["manager"] != to and gives(e["manager"])]
    own = [e for e in entries if not e.get("subresource") and e["manager"] == to]
    if not given:
        return None
    fields = functools.reduce(union, [entry.get("fieldsV1") or {} for entry in given + own])
    newest = {**(given + own)[-1], "manager": to, "operation": "Apply", "fieldsV1": fields}
    return [newest, *(e for e in entries if e not in given and e not in own)]


def union(one: Fields, other: Fields) -> Fields:
    """Both trees as one; a leaf beside a branch becomes the branch's own C(.)."""
    both = {**one, **other}
    for name in one:
        if name in other:
            both[name] = union(one[name], other[name])
    return {".": {}, **both} if both and not (one and other) else both


def owners(live: t.Mapping[str, t.Any], path: t.Sequence[str | int | dict[str, t.Any]]) -> list[str]:
    """The managers that own a field, or a part of it.

    :param path: field names; a dict of key values for a list's item
    """
    found = []
    for entry in live["metadata"].get("managedFields") or ():
        node = entry.get("fieldsV1") or {}
        for step in path:
            child = _child(node, step)
            if child is None:
                break
            node = child
            if not node:
                found.append(entry["manager"])
                break
        else:
            found.append(entry["manager"])
    return list(dict.fromkeys(found))


def _child(node: Fields, step: str | int | dict[str, t.Any]) -> Fields | None:
    if isinstance(step, dict):
        return next((v for k, v in node.items() if k.startswith("k:") and json.loads(k[2:]) == step), None)
    return node.get(f"i:{step}" if isinstance(step, int) else f"f:{step}")


def paths(fields: Fields) -> list[str]:
    """The leaves of a tree as readable paths: C(spec.hosts), C(spec.listeners[name=http].port)."""
    found: list[str] = []
    _collect(fields, "", found)
    return found


def _collect(node: Fields, path: str, found: list[str]) -> None:
    below = [(k, v) for k, v in node.items() if k != "."]
    if not below:
        found.append(path)
    for name, child in below:
        _collect(child, path + step_text(name, path), found)


def step_text(name: str, path: str = "") -> str:
    """One step of a tree as readable text: C(f:hosts) -> C(.hosts), C(k:{"name":"http"}) -> C([name=http])."""
    how, value = name[:2], name[2:]
    if how == "f:":
        return f".{value}" if path else value
    if how == "k:":
        return "[" + ",".join(f"{k}={v}" for k, v in json.loads(value).items()) + "]"
    return f"[{value}]"
