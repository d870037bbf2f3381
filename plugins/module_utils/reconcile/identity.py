# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an object is called, and what of it a user can declare."""

from __future__ import annotations

import base64
import typing as t

#: (API group, kind, namespace or "", name): one object, whichever version of its API it is read in.
Key = tuple[str, str, str, str]

#: The label that names the set of objects, and with it the playbook, that an object belongs to.
OWNER_LABEL = "meshops.istio/owner"

#: What the API server writes into metadata by itself.
_SERVER_METADATA = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
)
_KUBECTL_ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
#: The fields of built-in kinds that hold one text a name.
_TEXTS = {"Secret": ("data", "stringData"), "ConfigMap": ("data", "binaryData")}


def api_group(obj: t.Mapping[str, t.Any]) -> str:
    """The API group of an object; empty for the core group."""
    group, slash, _version = obj["apiVersion"].partition("/")
    return group if slash else ""


def key(obj: t.Mapping[str, t.Any]) -> Key:
    """The identity of an object."""
    meta = obj["metadata"]
    return (api_group(obj), obj["kind"], meta.get("namespace") or "", meta["name"])


def title(obj: t.Mapping[str, t.Any]) -> str:
    """How messages and diffs call an object: C(VirtualService shop/reviews), or C(Namespace shop)."""
    meta = obj["metadata"]
    namespace = meta.get("namespace")
    name = meta.get("name") or meta.get("generateName", "")
    return f"{obj['kind']} {namespace}/{name}" if namespace else f"{obj['kind']} {name}"


def defined_kinds(objects: t.Iterable[t.Mapping[str, t.Any]]) -> set[tuple[str, str]]:
    """Group and kind of what the CustomResourceDefinitions among objects define."""
    definitions = [obj for obj in objects if obj["kind"] == "CustomResourceDefinition"]
    return {(obj["spec"]["group"], obj["spec"]["names"]["kind"]) for obj in definitions}


def owner(obj: t.Mapping[str, t.Any]) -> str | None:
    """The owner that an object's label names, or None."""
    return (obj["metadata"].get("labels") or {}).get(OWNER_LABEL)


def text_fields(obj: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    """The fields of a Secret or a ConfigMap that map names to texts; none of any other kind."""
    return _TEXTS.get(obj["kind"], ()) if obj["apiVersion"] == "v1" else ()


def declared(obj: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What of an object a user declares: without status, without what the server or kubectl writes, without nulls.

    So that the output of C(kubectl get -o yaml) can be given as it is. A Secret's C(stringData) becomes
    C(data), and a null among texts an empty one, as the API server does it on server-side apply. The argument is left
    as it was; what needs no change is shared with it.
    """
    for field in text_fields(obj):
        texts = obj.get(field)
        if isinstance(texts, dict) and None in texts.values():
            obj = {**obj, field: {k: "" if v is None else v for k, v in texts.items()}}
    wanted = {k: _without_nulls(v) for k, v in obj.items() if k != "status" and v is not None}
    meta = wanted["metadata"] = dict(wanted["metadata"])
    for name in _SERVER_METADATA:
        meta.pop(name, None)
    annotations = meta.get("annotations")
    if annotations and _KUBECTL_ANNOTATION in annotations:
        meta["annotations"] = {k: v for k, v in annotations.items() if k != _KUBECTL_ANNOTATION}
    for name in ("labels", "annotations", "finalizers", "ownerReferences"):
        if name in meta and not meta[name]:
            del meta[name]  # the server keeps no empty ones
    plain = wanted.get("stringData") if "stringData" in text_fields(wanted) else None
    if isinstance(plain, dict) and all(isinstance(v, str) for v in plain.values()):  # what isn't, the server refuses
        del wanted["stringData"]
        wanted["data"] = {
            **wanted.get("data", {}),
            **{k: base64.b64encode(v.encode()).decode() for k, v in plain.items()},
        }
    return wanted


def _has_nulls(value: t.Any) -> bool:
    if isinstance(value, dict):
        return any(v is None or (v.__class__ in (dict, list) and _has_nulls(v)) for v in value.values())
    if isinstance(value, list):
        return any(v.__class__ in (dict, list) and _has_nulls(v) for v in value)
    return False


def _without_nulls(value: t.Any) -> t.Any:
    if not _has_nulls(value):
        return value
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_nulls(v) for v in value]
    return value
