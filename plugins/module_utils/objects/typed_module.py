# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What every module for one kind of object does: its options make one object, which the engine brings about."""

from __future__ import annotations

import typing as t

from ..cluster.client import Cluster
from ..cluster.module import run_module
from ..errors import MeshopsError
from ..reconcile.schema import Schema
from .conform import conform, may_not_conform
from .options import ApplyOptions
from .reconcile import reconcile_objects
from .result import ObjectsFailed

#: The options of every such module; doc_fragments/object.py documents them.
OBJECT_SPEC: dict[str, dict[str, t.Any]] = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "default": "default"},
    "labels": {"type": "dict"},
    "annotations": {"type": "dict"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "owner": {"type": "str"},
    "force_conflicts": {"type": "bool", "default": False},
    "force_conflicts_from": {"type": "list", "elements": "str", "default": []},
    "wait": {"type": "bool", "default": False},
    "wait_timeout": {"type": "int", "default": 120},
}
_PASSED_ON = ("namespace", "state", "owner", "force_conflicts", "wait", "wait_timeout")
#: The kinds whose routes have weights, which a canary controller may set.
_WEIGHTED = ("VirtualService", "HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute")
_KEEP_WEIGHTS: dict[str, t.Any] = {"type": "bool", "default": False}


def run_typed_module(
    api_version: str, kind: str, fields: dict[str, dict[str, t.Any]], required: t.Sequence[str] = ()
) -> None:
    """The main of a typed module.

    :param api_version: the kind's API version on current servers; on others, the one that the server prefers is used
    :param kind: the kind of the module's object
    :param fields: the argument spec of the object's spec: an option each, whose alias is the field's name where the
        two differ
    :param required: the options without which the object can't exist
    """
    options = {**OBJECT_SPEC, **fields}
    if "labels" in fields:
        options["metadata_labels"] = OBJECT_SPEC["labels"]

    if kind in _WEIGHTED:
        options["keep_weights"] = _KEEP_WEIGHTS

    def run(module: t.Any, cluster: Cluster) -> dict[str, t.Any]:
        cluster.retry_time = module.params["wait_timeout"]
        obj = build(api_version, kind, fields, module.params)
        served = cluster.served(cluster.kind(api_version, kind))
        if served is not None:
            obj["apiVersion"] = served.api_version
            if may_not_conform(obj["spec"]):
                document = cluster.openapi(served.api_version)
                obj = conform(obj, Schema.of_kind(document, served.group, served.version, kind))
        passed_on = {name: module.params[name] for name in _PASSED_ON}
        apply_options = ApplyOptions(
            return_objects=True,
            force_conflicts_from=tuple(module.params["force_conflicts_from"]),
            keep_weights=module.params.get("keep_weights") or False,
            **passed_on,
        )
        try:
            result = reconcile_objects(module, cluster, [obj], apply_options)
        except ObjectsFailed as error:
            error.result = _of_one(error.result)
            raise
        return _of_one(result)

    run_module(options, run, required_if=[("state", "present", list(required))] if required else None)


def build(
    api_version: str, kind: str, fields: dict[str, dict[str, t.Any]], params: t.Mapping[str, t.Any]
) -> dict[str, t.Any]:
    """The object that a module's parameters declare; an option that isn't given leaves its field out.

    :raises MeshopsError: a label or an annotation that is not a string
    """
    meta: dict[str, t.Any] = {"name": params["name"], "namespace": params["namespace"]}
    labels = "metadata_labels" if "labels" in fields else "labels"
    for option, field in ((labels, "labels"), ("annotations", "annotations")):
        if params[option] is not None:
            meta[field] = {key: _text(params, option, key) for key in params[option]}
    spec = {
        option_spec.get("aliases", [option])[0]: params[option]
        for option, option_spec in fields.items()
        if params[option] is not None
    }
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, "spec": spec}


def _text(params: t.Mapping[str, t.Any], option: str, key: str) -> str:
    value = params[option][key]
    if isinstance(value, (dict, list)) or value is None:
        raise MeshopsError(f"{params['namespace']}/{params['name']}: {option}.{key} is {value!r}: it must be a string")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _of_one(result: dict[str, t.Any]) -> dict[str, t.Any]:
    """The result of a module for one object, from the engine's result."""
    entry = result["objects"][0]
    one = {"changed": result["changed"], "action": entry["action"], "object": entry["object"]}
    if result.get("diff"):
        one["diff"] = result["diff"][0]
    if result.get("warnings"):
        one["warnings"] = result["warnings"]
    if entry.get("note"):
        one["note"] = entry["note"]
    return one
