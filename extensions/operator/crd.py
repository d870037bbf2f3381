# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The CustomResourceDefinition of IstioOperator, made from the table of types that the collection checks with.

C(python -m ansible_collections.meshops.istio.extensions.operator.crd) prints it, for
C(charts/operator/files/crd.json).
"""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.meshops.istio.plugins.module_utils.mesh.schema import ENUMS, TYPES

GROUP, VERSION, KIND, PLURAL = "install.istio.io", "v1alpha1", "IstioOperator", "istiooperators"

_ANY: dict[str, t.Any] = {"x-kubernetes-preserve-unknown-fields": True}
_EITHER: dict[str, t.Any] = {"x-kubernetes-int-or-string": True}
_PLAIN: dict[str, dict[str, t.Any]] = {
    "any": _ANY,
    "bool": {"type": "boolean"},
    "count": _EITHER,
    "dict": {"type": "object", **_ANY},
    "duration": {"type": "string"},
    "int": {"type": "integer"},
    "int_or_string": _EITHER,
    "number": {"type": "number"},
    "quantity": _ANY,  # also 0.5
    "string": {"type": "string"},
    "tag": _ANY,  # 1.31 is a number in YAML
}

_TEXT = {"type": "string"}
#: A name that Kubernetes and Helm accept; nothing else gets into a playbook or a command.
_NAME = {"type": "string", "maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"}
_CONDITION = {
    "type": "object",
    "required": ["type", "status"],
    "properties": {
        "type": _TEXT,
        "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
        "reason": _TEXT,
        "message": _TEXT,
        "observedGeneration": {"type": "integer"},
        "lastTransitionTime": {"type": "string", "format": "date-time"},
    },
}
_COMPONENT = {
    "type": "object",
    "required": ["name", "namespace"],
    "properties": {
        "name": {**_NAME, "description": "Name of its Helm release."},
        "namespace": _NAME,
        "chart": _NAME,
        "version": _TEXT,
        "state": {**_TEXT, "description": "Ready, NotReady, Pending, Failed, Superseded or NotOwned."},
        "message": _TEXT,
    },
}
_STATUS = {
    "type": "object",
    "properties": {
        "observedGeneration": {"type": "integer"},
        "profile": _TEXT,
        "version": _TEXT,
        "revision": _NAME,
        "state": {**_TEXT, "description": "Reconciling, Ready, Invalid, Failed or Deleting."},
        "message": _TEXT,
        "conditions": {
            "type": "array",
            "items": _CONDITION,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
        "components": {
            "type": "array",
            "items": _COMPONENT,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name", "namespace"],
        },
    },
}
_DELETION_POLICY = {
    "type": "string",
    "enum": ["Delete", "Retain"],
    "description": "Delete (the default) removes the components with this object, Retain keeps them.",
}
_COLUMNS = [
    {"name": "Profile", "type": "string", "jsonPath": ".status.profile"},
    {"name": "Version", "type": "string", "jsonPath": ".status.version"},
    {"name": "Revision", "type": "string", "jsonPath": ".status.revision"},
    {"name": "State", "type": "string", "jsonPath": ".status.state"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    {"name": "Message", "type": "string", "jsonPath": ".status.message"},
]


def schema_of(type_name: str) -> dict[str, t.Any]:
    """The structural schema of one of the table's types, such as C([]Toleration)."""
    if type_name.startswith("[]"):
        return {"type": "array", "items": schema_of(type_name[2:])}
    if type_name.startswith("{}"):
        return {"type": "object", "additionalProperties": schema_of(type_name[2:])}
    if type_name in ENUMS:
        return dict(_EITHER)  # an enum may be written as its number
    if type_name not in TYPES:
        return dict(_PLAIN[type_name])
    properties = {}
    for name, below in TYPES[type_name].items():
        for spelling in _spellings(name, type_name):
            properties[spelling] = schema_of(below)
    return {"type": "object", "properties": properties} if properties else {"type": "object"}


def _spellings(name: str, type_name: str) -> list[str]:
    """MeshConfig is a protobuf message, whose fields may be written in_this_way too."""
    snake = re.sub(r"([A-Z])", lambda found: "_" + found[1].lower(), name)
    return [name, snake] if type_name.startswith("Mesh") and snake != name else [name]


def definition() -> dict[str, t.Any]:
    """The whole CustomResourceDefinition."""
    spec = schema_of("Spec")
    spec["properties"]["deletionPolicy"] = _DELETION_POLICY
    spec["properties"]["values"]["nullable"] = True
    whole = {
        "type": "object",
        "properties": {
            "apiVersion": _TEXT,
            "kind": _TEXT,
            "metadata": {"type": "object"},
            "spec": spec,
            "status": _STATUS,
        },
    }
    names = {"kind": KIND, "listKind": f"{KIND}List", "plural": PLURAL, "singular": "istiooperator"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{PLURAL}.{GROUP}",
            # Without it a helm uninstall would take every IstioOperator along, and hang on their finalizers.
            "annotations": {"helm.sh/resource-policy": "keep"},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {**names, "shortNames": ["iop", "io"]},
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": _COLUMNS,
                    "schema": {"openAPIV3Schema": whole},
                }
            ],
        },
    }


def text() -> str:
    """The definition as the chart holds it."""
    whole = json.dumps(definition(), separators=(",", ":"))
    return whole.replace('"properties":{', '"properties":{\n') + "\n"


if __name__ == "__main__":
    print(text(), end="")
