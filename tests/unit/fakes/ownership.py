# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Server-side apply as the API server does it: merging by field ownership, conflicts, managedFields.

After sigs.k8s.io/structured-merge-diff (typed/merge.go, merge/update.go); written apart from the product's own
reading of managedFields, so that each can be tested against the other. Of lists with keys and atomic maps it knows
those in the tables below; all other lists are atomic, all other maps are merged.
"""

from __future__ import annotations

import copy
import json
from typing import Any

Path = tuple[str, ...]
Fields = dict[Path, Any]

_POD_LISTS = {
    "containers": ("name",), "initContainers": ("name",), "ephemeralContainers": ("name",), "volumes": ("name",),
    "env": ("name",), "volumeMounts": ("mountPath",), "imagePullSecrets": ("name",),
    "ports": ("containerPort", "protocol"),
}  # fmt: skip
#: The keys of lists, by kind and field; "" is every kind.
_KEYED: dict[str, dict[str, tuple[str, ...]]] = {
    "": {"ownerReferences": ("uid",), "conditions": ("type",)},
    "Service": {"ports": ("port", "protocol")},
    "ServiceEntry": {"ports": ("name",)},
    "k8s/Gateway": {"listeners": ("name",)},
    "MutatingWebhookConfiguration": {"webhooks": ("name",)},
    "ValidatingWebhookConfiguration": {"webhooks": ("name",)},
    **dict.fromkeys(("Pod", "Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "Job", "CronJob"), _POD_LISTS),
}
_DEFAULT_KEYS = {"protocol": "TCP"}
_SETS = {"finalizers"}
_ATOMIC_MAPS = {
    "selector", "labelSelector", "namespaceSelector", "objectSelector", "podSelector", "nodeSelector",
    "configMapKeyRef", "secretKeyRef", "fieldRef", "resourceFieldRef", "roleRef", "scaleTargetRef",
}  # fmt: skip
_SERVER_OWN = (
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "generation",
    "managedFields",
    "resourceVersion",
)
_MAP = "(a map with fields)"


class Conflict(Exception):
    """Field manager -> the paths that it owns with other values."""

    def __init__(self, owners: dict[str, list[Path]]) -> None:
        super().__init__(str(owners))
        self.owners = owners


class Invalid(Exception):
    """The object breaks a rule of its lists."""


class _Shape:
    """What of an object of a kind is merged, and what is one value."""

    def __init__(self, obj: dict[str, Any]) -> None:
        group = obj["apiVersion"].rpartition("/")[0]
        kind = "k8s/Gateway" if (group, obj["kind"]) == ("gateway.networking.k8s.io", "Gateway") else obj["kind"]
        self._keyed = {**_KEYED[""], **_KEYED.get(kind, {})}
        self._built_in = "." not in group or group.endswith(".k8s.io") and not group.startswith("gateway.")

    def keys(self, field: str) -> tuple[str, ...] | None:
        return self._keyed.get(field)

    def atomic(self, field: str) -> bool:
        return self._built_in and field in _ATOMIC_MAPS


def _key_step(item: dict[str, Any], keys: tuple[str, ...]) -> str:
    wanted = {key: item.get(key, _DEFAULT_KEYS.get(key)) for key in keys}
    return "k:" + json.dumps(wanted, separators=(",", ":"), sort_keys=True)


def _flat(obj: dict[str, Any]) -> Fields:
    """Every field of an object that can be owned, with its value: leaves, items of lists, and maps."""
    found: Fields = {}
    _flatten({k: v for k, v in obj.items() if k not in ("apiVersion", "kind")}, (), _Shape(obj), found)
    return {
        path: value
        for path, value in found.items()
        if path not in ((), ("f:metadata",)) and not (path[0] == "f:metadata" and path[1][2:] in _SERVER_OWN)
    }


def _flatten(value: Any, path: Path, shape: _Shape, found: Fields) -> None:
    field = path[-1][2:] if path and path[-1][:2] == "f:" else ""
    if isinstance(value, dict) and value and not shape.atomic(field):
        found[path] = _MAP
        for name, inner in value.items():
            _flatten(inner, (*path, f"f:{name}"), shape, found)
    elif isinstance(value, list) and value and (keys := shape.keys(field)) and all(isinstance(i, dict) for i in value):
        for item in value:
            step = (*path, _key_step(item, keys))
            if step in found:
                raise Invalid(f".{field}: duplicate entries for key [{step[-1][2:]}]")
            _flatten(item, step, shape, found)
    elif isinstance(value, list) and field in _SETS:
        for item in value:
            found[(*path, "v:" + json.dumps(item))] = item
    else:
        found[path] = value


def _is_item(path: Path) -> bool:
    return path[-1][:2] in ("k:", "v:")


def _declared(obj: dict[str, Any]) -> set[Path]:
    """What an applied object claims: leaves, and items of lists."""
    return {path for path, value in _flat(obj).items() if value != _MAP or _is_item(path)}


def paths_of(fields: dict[str, Any]) -> set[Path]:
    """A FieldsV1 tree as paths."""
    found: set[Path] = set()

    def walk(node: dict[str, Any], path: Path) -> None:
        if path and (not node or "." in node):
            found.add(path)
        for step, child in node.items():
            if step != ".":
                walk(child, (*path, step))

    walk(fields, ())
    return found


def tree_of(paths: set[Path]) -> dict[str, Any]:
    """Paths as a FieldsV1 tree."""
    tree: dict[str, Any] = {}
    for path in sorted(paths):
        node = tree
        for step in path:
            node = node.setdefault(step, {})
    for path in paths:
        node = tree
        for step in path:
            node = node[step]
        if node:
            node["."] = {}
    return tree


def text(path: Path) -> str:
    """A path as the API server's conflicts name it."""
    shown = ""
    for step in path:
        if step[:2] == "f:":
            shown += f".{step[2:]}"
        else:
            shown += "[" + ",".join(f"{k}={json.dumps(v)}" for k, v in json.loads(step[2:]).items()) + "]"
    return shown


def _find(value: Any, step: str) -> Any:
    """The key or index in a value to which a step leads, or None."""
    if step[:2] == "f:":
        return step[2:] if isinstance(value, dict) and step[2:] in value else None
    if not isinstance(value, list):
        return None
    wanted = json.loads(step[2:])
    if step[:2] == "v:":
        return value.index(wanted) if wanted in value else None
    for number, item in enumerate(value):
        if all(item.get(key, _DEFAULT_KEYS.get(key)) == part for key, part in wanted.items()):
            return number
    return None


def _remove(obj: dict[str, Any], path: Path) -> None:
    holder: Any = obj
    for step in path[:-1]:
        key = _find(holder, step)
        if key is None:
            return
        holder = holder[key]
    key = _find(holder, path[-1])
    if key is not None:
        del holder[key]


def _merge(live: Any, want: Any, field: str, shape: _Shape) -> Any:
    if isinstance(live, dict) and isinstance(want, dict) and want and not shape.atomic(field):
        return {**live, **{k: _merge(live[k], v, k, shape) if k in live else v for k, v in want.items()}}
    keys = shape.keys(field)
    if keys and isinstance(live, list) and isinstance(want, list):
        steps = [_key_step(item, keys) for item in want]
        before = {_key_step(item, keys): item for item in live}
        merged = [_merge(before[s], i, "", shape) if s in before else i for s, i in zip(steps, want, strict=True)]
        return [*merged, *(item for step, item in before.items() if step not in steps)]
    if field in _SETS and isinstance(live, list) and isinstance(want, list):
        return [*live, *(item for item in want if item not in live)]
    if isinstance(want, dict) and not want and isinstance(live, dict):
        return live
    return want


def _entries(obj: dict[str, Any], subresource: str | None) -> dict[tuple[str, str, str], dict[str, Any]]:
    entries = obj["metadata"].get("managedFields") or []
    return {(e["manager"], e["operation"], e.get("subresource", "")): dict(e) for e in entries if e}


def _changed(before: Fields, after: Fields) -> set[Path]:
    """What was added or has another value. A map that has become empty is none of it."""
    return {
        path
        for path, value in after.items()
        if path not in before or (before[path] != value and not (value in ({}, _MAP) and before[path] in ({}, _MAP)))
    }


def apply(
    live: dict[str, Any] | None, want: dict[str, Any], manager: str, force: bool, subresource: str | None = None
) -> dict[str, Any]:
    """The object after a server-side apply; its managedFields are in its metadata.

    :raises Conflict: others own fields with other values, and force is not set
    """
    me = (manager, "Apply", subresource or "")
    base = copy.deepcopy(live) if live else {k: want[k] for k in ("apiVersion", "kind")} | {"metadata": {}}
    entries = _entries(base, subresource)
    sets = {who: paths_of(entry.get("fieldsV1") or {}) for who, entry in entries.items()}
    declared = _declared(want)
    own_before = sets.get(me, set())
    shape = _Shape(want)
    merged = copy.deepcopy(_merge(base, want, "", shape))
    others = set().union(*(paths for who, paths in sets.items() if who != me))
    kept = declared | others
    dropped = sorted(own_before - kept, key=len)  # an item as a whole before its parts
    for path in dropped:
        below = {other for other in kept if other[: len(path)] == path}
        if not below:
            _remove(merged, path)
    _drop_empty(merged, own_before, kept)
    flat_before, flat_after = _flat(base), _flat(merged)
    changed = _changed(flat_before, flat_after)
    removed = set(flat_before) - set(flat_after)
    conflicts = {who: paths & changed for who, paths in sets.items() if who != me and paths & changed}
    if conflicts and not force:
        raise Conflict({who[0]: sorted(paths) for who, paths in conflicts.items()})
    for who in sets:
        if who != me:
            sets[who] -= conflicts.get(who, set()) | removed
    sets[me] = declared
    entries.setdefault(me, _entry(manager, "Apply", subresource))
    entries[me]["apiVersion"] = want["apiVersion"]
    return _with_managers(merged, entries, sets)


def _drop_empty(obj: dict[str, Any], own_before: set[Path], kept: set[Path]) -> None:
    """Maps and lists that held nothing but what was dropped go, too."""
    parents = {path[:length] for path in own_before for length in range(1, len(path))}
    for path in sorted(parents, key=len, reverse=True):
        holder: Any = obj
        for step in path:
            key = _find(holder, step)
            holder = holder[key] if key is not None else None
        if holder in ({}, []) and not any(other[: len(path)] == path for other in kept) and path != ("f:metadata",):
            _remove(obj, path)


def update(
    live: dict[str, Any] | None, new: dict[str, Any], manager: str, subresource: str | None = None
) -> dict[str, Any]:
    """The object after any other write: what it changes belongs to its manager, whoever owned it before.

    managedFields in C(new) that differ from the live ones are taken as they are, as the API server does it.
    """
    me = (manager, "Update", subresource or "")
    base = live or {"apiVersion": new["apiVersion"], "kind": new["kind"], "metadata": {}}
    entries = _entries(new if "managedFields" in new["metadata"] else base, subresource)
    sets = {who: paths_of(entry.get("fieldsV1") or {}) for who, entry in entries.items()}
    flat_before, flat_after = _flat(base), _flat(new)
    changed = _changed(flat_before, flat_after)
    removed = set(flat_before) - set(flat_after)
    for who in sets:
        if who != me:
            sets[who] -= changed | removed
    if changed or removed:
        entries.setdefault(me, _entry(manager, "Update", subresource))
        entries[me]["apiVersion"] = new["apiVersion"]
        sets[me] = (sets.get(me, set()) | changed) - removed
    return _with_managers(copy.deepcopy(new), entries, sets)


def _entry(manager: str, operation: str, subresource: str | None) -> dict[str, Any]:
    entry = {"manager": manager, "operation": operation, "fieldsType": "FieldsV1", "time": "2026-01-01T00:00:00Z"}
    return {**entry, "subresource": subresource} if subresource else entry


def _with_managers(
    obj: dict[str, Any],
    entries: dict[tuple[str, str, str], dict[str, Any]],
    sets: dict[tuple[str, str, str], set[Path]],
) -> dict[str, Any]:
    fields = [{**entry, "fieldsV1": tree_of(sets.get(who, set()))} for who, entry in entries.items() if sets.get(who)]
    obj["metadata"] = {**obj["metadata"], "managedFields": fields}
    if not fields:
        del obj["metadata"]["managedFields"]
    return obj
