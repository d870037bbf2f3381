# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Changes to the objects that a chart has rendered: strategic merge patches, and values written at a path.

A patch is a dict. C(kind) and C(name) say which objects it is for (C(optional): there may be none). Then either

- C(merge), a strategic merge patch, as the API server would apply it; or
- C(path) and C(value), as in an IstioOperator's C(k8s.overlays); without C(value) the path is removed.

Pure: no I/O, and the objects given are left as they are.
"""

from __future__ import annotations

import copy
import json
import re
import typing as t

from ..errors import MeshopsError
from ..reconcile.types import K8sObject

try:
    import yaml
except ImportError:
    pass  # ansible-core itself needs it

#: Lists of dicts that the API server merges item by item, and the key that tells items apart
#: (C(patchMergeKey) in k8s.io/api); every other list is replaced as a whole.
_MERGE_KEYS = {
    "containers": "name",
    "env": "name",
    "ephemeralContainers": "name",
    "hostAliases": "ip",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "ownerReferences": "uid",
    "resourceClaims": "name",
    "secrets": "name",
    "topologySpreadConstraints": "topologyKey",
    "volumeDevices": "devicePath",
    "volumeMounts": "mountPath",
    "volumes": "name",
    "webhooks": "name",
}
_KEY = re.compile(r"[a-zA-Z0-9_-]+")
_DELETE = object()


class BadPath(MeshopsError):
    """A path that can't be read."""


class _Nowhere(Exception):
    """A path that leads nowhere in an object."""


def apply_patches(
    objects: t.Sequence[K8sObject], patches: t.Sequence[t.Mapping[str, t.Any]], warnings: list[str] | None = None
) -> list[K8sObject]:
    """The objects with the patches applied in order.

    :param warnings: gets a line for each patch that changed nothing, because no object or path is as it says
    :raises BadPath: a path can't be read
    """
    patched = list(objects)
    for patch in patches:
        steps = read_path(patch["path"]) if "path" in patch else []
        label = f"patch of {patch['kind']} {patch['name']}" + (f" at {patch['path']}" if steps else "")
        hit = False
        for index, obj in enumerate(patched):
            if obj.get("kind") != patch["kind"] or obj["metadata"]["name"] != patch["name"]:
                continue
            hit = True
            if not steps:
                patched[index] = strategic_merge(obj, patch["merge"])
                continue
            changed = copy.deepcopy(obj)
            try:
                _write(changed, steps, _written(patch["value"]) if patch.get("value") is not None else _DELETE)
                patched[index] = changed
            except _Nowhere as error:
                if warnings is not None:
                    warnings.append(f"{label} changes nothing: {error}")
        if not hit and warnings is not None and not patch.get("optional"):
            warnings.append(f"{label} changes nothing: the chart renders no such object")
    return patched


# -- strategic merge ----------------------------------------------------------


def strategic_merge(obj: K8sObject, patch: t.Mapping[str, t.Any]) -> K8sObject:
    """A strategic merge patch applied to an object, like C(kubectl patch --type strategic --local).

    Null removes a field; a list with a merge key is merged item by item, and any other is replaced.
    """
    keys = dict(_MERGE_KEYS, ports="port" if obj.get("kind") == "Service" else "containerPort")
    return _merge_dict(obj, patch, keys)


def _merge_dict(old: t.Mapping[str, t.Any], patch: t.Mapping[str, t.Any], keys: t.Mapping[str, str]) -> K8sObject:
    if patch.get("$patch") == "replace":
        return {key: copy.deepcopy(value) for key, value in patch.items() if key != "$patch"}
    if patch.get("$patch") == "delete":
        return {}
    result = copy.deepcopy(dict(old))
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            before = result.get(key)
            result[key] = _merge_dict(before if isinstance(before, dict) else {}, value, keys)
        elif isinstance(value, list) and key in keys and all(isinstance(item, dict) for item in value):
            result[key] = _merge_list(result.get(key) or [], value, keys[key], keys)
        else:
            result[key] = copy.deepcopy(value)
    return result


def _merge_list(old: list[K8sObject], patch: list[K8sObject], key: str, keys: t.Mapping[str, str]) -> list[K8sObject]:
    items = [item for item in patch if item.get("$patch") != "delete"]
    gone = [item.get(key) for item in patch if item.get("$patch") == "delete"]
    old = [item for item in old if item.get(key) not in gone]
    before = {item.get(key): item for item in old}
    ordered = {item.get(key): _merge_dict(before.get(item.get(key), {}), item, keys) for item in items}
    return _interleaved([item for item in old if item.get(key) not in ordered], list(ordered.values()), old, key)


def _interleaved(left: list[K8sObject], right: list[K8sObject], order: list[K8sObject], key: str) -> list[K8sObject]:
    """Both lists in one, each in its own order; where both sides are known in C(order), that decides who is first.

    The order in which the API server leaves a merged list (C(mergeSortedSlice) in apimachinery's strategicpatch).
    """
    place = {item.get(key): index for index, item in enumerate(order)}
    result = []
    left, right = list(left), list(right)
    while left and right:
        mine, other = place.get(left[0].get(key)), place.get(right[0].get(key))
        result.append((left if mine is not None and other is not None and mine < other else right).pop(0))
    return result + left + right


# -- values at a path ---------------------------------------------------------


def read_path(path: str) -> list[str]:
    """The steps of a path such as C(spec.template.spec.containers.[name:discovery].args.[30m]).

    A step is a key; or in brackets C([name:value]), an item of a list of dicts; C([0]), an item by its place
    (C([-1]) appends); C([pattern]) or C([:pattern]), an item of a list of plain values that the regular expression
    finds. A dot that is part of a step is written C(\\.).

    :raises BadPath: it is empty, or brackets don't match
    """
    steps: list[str] = []
    for part in re.split(r"(?<!\\)\.", path.strip(".")):
        part = part.replace("\\.", ".")
        bracket = part.find("[")
        steps += [part[:bracket], part[bracket:]] if bracket > 0 else [part] if part else []
    if not steps:
        raise BadPath(f"path {path!r} is empty: write it as in spec.replicas")
    for step in steps:
        if step.startswith("[") != step.endswith("]") or step in ("[]", "[:]"):
            raise BadPath(
                f"path {path!r}: {step} is not a valid list item: write [name:value], [0] or [:pattern],"
                r" and a dot inside of the brackets as \."
            )
        if _is_item(step) and _index(step) is None:
            try:
                re.compile(step[1:-1])
            except re.error as error:
                raise BadPath(f"path {path!r}: {step} is not a valid regular expression: {error}") from error
    return steps


def _is_item(step: str) -> bool:
    return step.startswith("[")


def _index(step: str) -> int | None:
    return int(step[1:-1]) if re.fullmatch(r"\[(-1|\d+)\]", step) else None


def _key_value(step: str) -> tuple[str, str] | None:
    parts = re.split(r"(?<!\\):", step[1:-1])
    if len(parts) != 2 or not _KEY.fullmatch(parts[0]) or not parts[1]:
        return None
    return parts[0], parts[1].replace("\\:", ":")


def _place(node: t.Any, step: str) -> t.Any:
    """The key or index that a step names in a dict or list; an index beyond the end appends."""
    if isinstance(node, dict):
        if _is_item(step):
            raise _Nowhere(f"{step} names a list item, but there is a dict")
        return step
    if not isinstance(node, list):
        raise _Nowhere(f"{step} lies below the plain value {node!r}")
    if not _is_item(step):
        raise _Nowhere(f"{step} is a key, but there is a list: name its item as in [name:value] or [0]")
    index = _index(step)
    if index is not None:
        return index if 0 <= index < len(node) else len(node)
    wanted = _key_value(step)
    pattern = step[1:-1].removeprefix(":")
    for place, item in enumerate(node):
        if isinstance(item, dict):
            if wanted and _text(item.get(wanted[0])) == wanted[1]:
                return place
        elif re.search(pattern, _text(item)):
            return place
    raise _Nowhere(f"no item {step} in the list")


def _text(value: t.Any) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _write(node: t.Any, steps: list[str], value: t.Any) -> None:
    step, rest = steps[0], steps[1:]
    place = _place(node, step)
    there = place in node if isinstance(node, dict) else place < len(node)
    if value is _DELETE:
        if not there:
            raise _Nowhere(f"{step} isn't there to be removed")
        if rest:
            _write(node[place], rest, value)
        else:
            del node[place]
        return
    if rest:
        child = node[place] if there and node[place] is not None else [] if _is_item(rest[0]) else {}
        _write(child, rest, value)
        value = child
    if isinstance(node, list) and not there:
        node.append(value)
    else:
        node[place] = value


def _written(value: t.Any) -> t.Any:
    """What a value means: text that holds a YAML dict is that dict (JSON remains text)."""
    if not isinstance(value, str) or not (": " in value or ("\n" in value and ":" in value)):
        return copy.deepcopy(value)
    try:
        json.loads(value)
        return value
    except ValueError:
        pass
    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError:
        return value
    return read if isinstance(read, dict) else value
