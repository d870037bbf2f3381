# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether writing an object would change anything: what is declared against what is live.

Two questions with two answers:

- C(apply_differences): would server-side apply under our field manager change the object? That is so where
  a declared value isn't the live one, where a declared field isn't ours yet, and where a field is ours that
  is no longer declared. Our entry in managedFields tells lists and maps with keys from atomic ones, so that
  no schema is needed, save for one doubt: an atomic value may hold more than was declared because the
  server filled in defaults. Then, and only then, the schema is asked for.
- C(value_differences): does the live object have every declared value, and no other key in what selects? Who wrote it
  doesn't matter.

Both give a list of sentences, one a field, and an empty list where nothing differs.
Source: sigs.k8s.io/structured-merge-diff (merge/update.go, typed/tofieldset.go), and for quantities
k8s.io/apimachinery/pkg/api/resource.
"""

from __future__ import annotations

import decimal
import json
import re
import typing as t

from .managed_fields import applied_entry, step_text
from .schema import Schema
from .types import K8sObject

#: Gives the schema of a declared object's kind, or None where the server doesn't publish one.
SchemaSource = t.Callable[[t.Mapping[str, t.Any]], t.Optional[Schema]]  # noqa: UP045 - evaluated, and Python 3.9 knows no |

#: Left out of the comparison: they name the object.
_IDENTITY = ("apiVersion", "kind")
_NAME = ("name", "namespace")

#: API groups that aren't CustomResourceDefinitions: their types drop empty values and write quantities anew.
_BUILT_IN_GROUPS = {
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
}
#: Defaults that the API server's code, rather than a schema, gives fields inside atomic lists of built-in kinds.
#: Each is filled in wherever its field isn't declared: it can't be what was declared before and no longer is.
_BUILT_IN_DEFAULTS: dict[tuple[str, str], t.Any] = {
    ("fieldRef", "apiVersion"): "v1",
    ("ports", "name"): "",
    ("ports", "protocol"): "TCP",
    ("resourceFieldRef", "divisor"): "0",
    ("resourceRules", "scope"): "*",
    ("roleRef", "apiGroup"): "rbac.authorization.k8s.io",
    ("rules", "scope"): "*",
    ("serviceAccountToken", "expirationSeconds"): 3600,
    ("spec", "volumeMode"): "Filesystem",
    ("subjects", "apiGroup"): "rbac.authorization.k8s.io",
    ("volumeClaimTemplates", "apiVersion"): "v1",
    ("volumeClaimTemplates", "kind"): "PersistentVolumeClaim",
    ("volumeClaimTemplates", "status"): {"phase": "Pending"},
}
#: Maps of built-in kinds with keys of the user's own: an empty one is dropped, an empty value in it is not.
_FREE_MAPS = {
    "annotations", "binaryData", "capacity", "data", "defaultRequest", "hard", "labels", "limits", "matchLabels", "max",
    "maxLimitRequestRatio", "min", "nodeSelector", "options", "parameters", "podFixed", "requests", "stringData",
    "volumeAttributes",
}  # fmt: skip
#: Of these the parts count even where they are empty: some kinds have a map there, or fields that may be empty.
_ALL_COUNTS_IN = _FREE_MAPS | {"dataSource", "dataSourceRef", "default", "overhead", "resource", "selector"}
#: Any JSON in the schemas of a CustomResourceDefinition; it is kept as it is.
_ANY_JSON = {"default", "enum", "example"}
#: Numbers and truth values of built-in kinds that are dropped where they are 0 or false. Of others (C(ready),
#: C(tolerationSeconds)) the server tells 0 and false from what is not there.
_DROPPED_ZEROS = {
    "deprecated", "exclusiveMaximum", "exclusiveMinimum", "globalDefault", "healthCheckNodePort", "hostIPC",
    "hostNetwork", "hostPID", "hostPort", "initialDelaySeconds", "minReadySeconds", "nodePort", "nullable", "paused",
    "preserveUnknownFields", "publishNotReadyAddresses", "stdin", "stdinOnce", "tty", "uniqueItems", "unschedulable",
    "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string",
}  # fmt: skip
#: Texts that the server keeps where they are empty: C(storageClassName: "") asks for no class, not for the default one.
_KEPT_TEXTS = {
    "appProtocol", "hostname", "ingressClassName", "loadBalancerClass", "nodeName", "storageClassName",
    "volumeAttributesClassName", "zone",
}  # fmt: skip
#: Maps of built-in kinds in which another key changes what is chosen, so that it counts as a difference.
EXACT_MAPS = {
    "labelSelector", "matchLabels", "namespaceSelector", "nodeSelector", "objectSelector", "podSelector", "selector",
}  # fmt: skip
#: Objects of built-in kinds that server-side apply takes as a whole; of others the schema is asked.
_BUILT_IN_ATOMIC = {
    "configMapKeyRef", "fieldRef", "labelSelector", "namespaceSelector", "nodeSelector", "objectSelector",
    "podSelector", "resourceFieldRef", "roleRef", "scaleTargetRef", "secretKeyRef", "selector",
}  # fmt: skip
#: Items of these lists are compared whole: a network policy's peer with one more selector is another peer.
_EXACT_ITEMS = {"from", "to"}
_QUANTITY_GROUPS = {"", "apps", "autoscaling", "batch"}
_QUANTITY_PARENTS = {"limits", "requests", "hard", "capacity", "default", "defaultRequest", "max", "min"}
_QUANTITY_FIELDS = {
    ("emptyDir", "sizeLimit"),
    ("resourceFieldRef", "divisor"),
    ("target", "averageValue"),
    ("target", "value"),
}
_QUANTITY = re.compile(r"([+-]?[0-9.]+)([eE][+-]?[0-9]+|[KMGTPE]i|[numkMGTPE]?)\Z")
_SUFFIXES = {
    "n": decimal.Decimal("1e-9"),
    "u": decimal.Decimal("1e-6"),
    "m": decimal.Decimal("1e-3"),
    "": decimal.Decimal(1),
    **{s: decimal.Decimal(1000) ** n for n, s in enumerate("kMGTPE", 1)},
    **{s + "i": decimal.Decimal(1024) ** n for n, s in enumerate("KMGTPE", 1)},
}


def is_built_in(api_version: str) -> bool:
    """Whether the API server itself, and no CustomResourceDefinition, serves an apiVersion."""
    return _group(api_version) in _BUILT_IN_GROUPS


def lacks_empty_list(desired: K8sObject, applied: K8sObject) -> bool:
    """Whether an object that was just applied lacks a list that is declared without items.

    When the last item of a keyed list is removed from a custom resource, the API server removes the list, or the whole
    object around it, and sets it when the same is applied once more (Kubernetes 1.34, ServiceEntry C(ports: [])).
    """
    return not is_built_in(desired["apiVersion"]) and _lacks_empty_list(desired, applied)


def _lacks_empty_list(want: t.Any, have: t.Any) -> bool:
    if want == []:
        return have is None
    if not isinstance(want, dict) or not (have is None or isinstance(have, dict)):
        return False
    return any(_lacks_empty_list(value, (have or {}).get(name)) for name, value in want.items())


def apply_differences(
    desired: t.Mapping[str, t.Any],
    live: dict[str, t.Any],
    manager: str,
    schemas: SchemaSource | None = None,
) -> list[str]:
    """What server-side apply of C(desired) under C(manager) would change in C(live); empty: nothing.

    :param desired: as C(identity.declared) gives it
    :param live: with its managedFields
    :param schemas: where to get the kind's schema from in case of doubt; without it, doubt counts as difference
    """
    entry: t.Mapping[str, t.Any] | None = applied_entry(live, manager)
    if entry is None:
        entry = {"apiVersion": desired["apiVersion"]}  # none is kept for what declares no more than a name
        adopted = [f"it was not applied by {manager} before"]
    else:
        adopted = []
    if entry["apiVersion"] != desired["apiVersion"]:
        return [f"it was applied as {entry['apiVersion']} before"]
    comparison = _Comparison(desired, schemas)
    fields = entry.get("fieldsV1") or {}
    for name, value in desired.items():
        if name in _IDENTITY:
            continue
        if name == "metadata":
            value = {k: v for k, v in value.items() if k not in _NAME}
            comparison.fields(value, live["metadata"], fields.get("f:metadata") or {}, ("metadata",))
        else:
            comparison.field(name, value, live, fields, ())
    for name in fields:
        if name != "." and name[2:] not in desired:
            comparison.dropped(name, fields[name], ())
    return adopted + comparison.found if comparison.found else []


def value_differences(
    desired: t.Mapping[str, t.Any],
    live: t.Mapping[str, t.Any],
    schemas: SchemaSource | None = None,
) -> list[str]:
    """What C(desired) declares that C(live) doesn't have; empty: it has all of it. See the module's text."""
    comparison = _Comparison(desired, schemas)
    for name, value in desired.items():
        if name not in _IDENTITY:
            comparison.covered(value, live.get(name), (name,))
    return comparison.found


class _Comparison:
    def __init__(self, desired: t.Mapping[str, t.Any], schemas: SchemaSource | None) -> None:
        self.found: list[str] = []
        self._desired = desired
        self._built_in = is_built_in(desired["apiVersion"])
        self._has_quantities = _group(desired["apiVersion"]) in _QUANTITY_GROUPS
        self._schemas = schemas
        self._root: Schema | None = None

    def _report(self, path: tuple[t.Any, ...], what: str) -> None:
        self.found.append(f"{_text(path)} {what}")

    # -- by ownership -----------------------------------------------------

    def fields(
        self, want: dict[str, t.Any], have: dict[str, t.Any], owned: dict[str, t.Any], path: tuple[t.Any, ...]
    ) -> None:
        for name, value in want.items():
            self.field(name, value, have, owned, path)
        for name, node in owned.items():
            if name != "." and name[2:] not in want:
                self.dropped(name, node, path)

    def dropped(self, step: str, node: dict[str, t.Any], path: tuple[t.Any, ...]) -> None:
        self._report(path + (step,), "is no longer declared")

    def field(
        self, name: str, want: t.Any, have: dict[str, t.Any], owned: dict[str, t.Any], path: tuple[t.Any, ...]
    ) -> None:
        node = owned.get("f:" + name)
        here = path + (name,)
        if node is None:
            if not self._leaves_no_trace(want, have.get(name), here):
                self._report(here, "is not ours yet" if name in have else "is not set")
        elif name not in have:
            if not (self._built_in and _empty(want)):
                self._report(here, "is not set")
        else:
            self._value(want, have[name], node, here)

    def _value(self, want: t.Any, have: t.Any, node: dict[str, t.Any], path: tuple[t.Any, ...]) -> None:
        if not node or node.keys() == {"."}:
            if not same(want, have) and not self._same_for_the_server(want, have, path):
                self._report(path, "differs")
            elif want and isinstance(want, dict) and not self._atomic(path):
                self._report(path, "was declared empty before")
        elif isinstance(want, dict) and isinstance(have, dict):
            self.fields(want, have, node, path)
        elif isinstance(want, list) and isinstance(have, list):
            self._keyed_list(want, have, node, path)
        else:
            self._report(path, "differs")

    def _atomic(self, path: tuple[t.Any, ...]) -> bool:
        if self._built_in and path[-1] in _BUILT_IN_ATOMIC:
            return True
        schema = self._schema(path)
        return schema is not None and schema.atomic

    def _leaves_no_trace(self, want: t.Any, have: t.Any, path: tuple[t.Any, ...]) -> bool:
        """Whether a field leaves no entry in managedFields: a keyed list without items, or an object of such lists."""
        if want and isinstance(want, dict) and isinstance(have, dict):
            below = (self._leaves_no_trace(value, have.get(name), path + (name,)) for name, value in want.items())
            return all(below) and not self._atomic(path)
        if want != [] or (have is None and not self._built_in):
            return False
        schema = self._schema(path)
        return schema is not None and schema.list_type != "atomic"

    def _keyed_list(
        self, want: list[t.Any], have: list[t.Any], node: dict[str, t.Any], path: tuple[t.Any, ...]
    ) -> None:
        unclaimed = {step: child for step, child in node.items() if step != "."}
        order = []
        for item in want:
            step = _claim(item, unclaimed)
            if step is None:
                self._report(path, "has an item that is not ours yet")
                continue
            child = unclaimed.pop(step)
            position = _position(step, have, item)
            if position is None:
                self._report(path + (step,), "is not set")
                continue
            order.append(position)
            if isinstance(item, dict):
                self._value(item, have[position], child, path + (step,))
        for step in unclaimed:
            self._report(path + (step,), "is no longer declared")
        if order != sorted(order):
            self._report(path, "is in another order")

    # -- by value ---------------------------------------------------------

    def covered(self, want: t.Any, have: t.Any, path: tuple[t.Any, ...]) -> None:
        if isinstance(want, dict) and isinstance(have, dict):
            for name, value in want.items():
                self.covered(value, have.get(name), path + (name,))
            if self._built_in and (path[-1] in EXACT_MAPS or (_is_item(path[-1]) and _field(path) in _EXACT_ITEMS)):
                for name in sorted(have.keys() - want.keys()):
                    self._report(path + (name,), "was added")
        elif isinstance(want, list) and isinstance(have, list) and want and have:
            self._covered_list(want, have, path)
        elif not same(want, have) and not self._equivalent(want, have, path):
            if have is not None:
                self._report(path, "differs")
            elif not self._dropped_by_the_server(want, path):
                self._report(path, "is not set")

    def _covered_list(self, want: list[t.Any], have: list[t.Any], path: tuple[t.Any, ...]) -> None:
        if all(isinstance(i, dict) and "name" in i for i in (*want, *have)):
            by_name = {i["name"]: i for i in have}
            for item in want:
                step = path + (f"k:{json.dumps({'name': item['name']})}",)
                if item["name"] in by_name:
                    self.covered(item, by_name[item["name"]], step)
                else:
                    self._report(step, "is not set")
        elif len(want) != len(have):
            self._report(path, "differs")
        else:
            for number, (item, other) in enumerate(zip(want, have, strict=True)):
                self.covered(item, other, path + (f"i:{number}",))

    # -- what the server makes of a value ----------------------------------

    def _schema(self, path: tuple[t.Any, ...]) -> Schema | None:
        if self._schemas is None:
            return None
        if self._root is None:
            self._root = self._schemas(self._desired) or Schema({})
        node: Schema | None = self._root
        for step in path:
            if node is None:
                return None
            node = node.item() if _is_item(step) else node.child(step)
        return node

    def _same_for_the_server(self, want: t.Any, have: t.Any, path: tuple[t.Any, ...]) -> bool:
        """Whether two different values of an owned field are the same once the server has filled in defaults."""
        if want == {} and isinstance(have, dict):
            schema = self._schema(path)  # an empty object that isn't atomic may hold what others wrote
            return (schema is not None and not schema.atomic) or (self._built_in and not have)
        return self._with_defaults(want, have, path, self._schema)

    def _with_defaults(
        self, want: t.Any, have: t.Any, path: tuple[t.Any, ...], schema_of: t.Callable[..., t.Any]
    ) -> bool:
        if isinstance(want, dict) and isinstance(have, dict):
            for name in {**want, **have}:
                here = path + (name,)
                if name not in have:
                    if not self._dropped_by_the_server(want[name], here):
                        return False
                elif name not in want:
                    if not self._is_default(have[name], here, schema_of):
                        return False
                elif not self._with_defaults(want[name], have[name], here, schema_of):
                    return False
            return True
        if isinstance(want, list) and isinstance(have, list):
            return len(want) == len(have) and all(
                self._with_defaults(w, h, path + (f"i:{n}",), schema_of)
                for n, (w, h) in enumerate(zip(want, have, strict=True))
            )
        if have is None:  # an empty list that has to be there is shown as null
            return want is None or self._dropped_by_the_server(want, path)
        return same(want, have) or self._equivalent(want, have, path)

    def _dropped_by_the_server(self, value: t.Any, path: tuple[t.Any, ...]) -> bool:
        """Whether a declared value is for the server the same as no value; false in doubt.

        In Kubernetes' Go types that is so for a map, a list, or a plain C(omitempty) scalar, and not for a pointer.
        """
        if not self._built_in or _field(path[:-1]) in _ALL_COUNTS_IN or not _ANY_JSON.isdisjoint(path):
            return False
        if isinstance(value, dict):
            return not value and path[-1] in _FREE_MAPS
        if isinstance(value, (bool, int, float)):
            return not value and path[-1] in _DROPPED_ZEROS
        return not value and path[-1] not in _KEPT_TEXTS

    def _is_default(self, value: t.Any, path: tuple[t.Any, ...], schema_of: t.Callable[..., t.Any]) -> bool:
        """Whether the server fills in a value where none is declared; false in doubt."""
        if self._built_in and _ANY_JSON.isdisjoint(path):
            filled_in = _BUILT_IN_DEFAULTS.get((_field(path[:-1]), path[-1]))
            if value is None or value == [] or (filled_in is not None and same(filled_in, value)):
                return True
        holder = schema_of(path[:-1])  # a default of a free map's values fills in no key
        schema = holder.child(path[-1]) if holder is not None and path[-1] in holder.fields else None
        if schema is not None and schema.default is not None:
            if same(schema.default, value):
                return True
            if isinstance(value, (dict, list)):  # a default whose own fields have defaults
                return self._with_defaults(schema.default, value, (), lambda path: _below(schema, path))
        return False

    def _equivalent(self, want: t.Any, have: t.Any, path: tuple[t.Any, ...]) -> bool:
        """Whether two scalars of a built-in kind are one quantity, written in two ways."""
        parent = _field(path[:-1])
        if not self._has_quantities or (parent not in _QUANTITY_PARENTS and (parent, path[-1]) not in _QUANTITY_FIELDS):
            return False
        ours, theirs = quantity(want), quantity(have)
        return ours is not None and ours == theirs


def same(want: t.Any, have: t.Any) -> bool:
    """Whether two JSON values are equal; unlike in Python, true is not 1."""
    if isinstance(want, dict):
        return (
            isinstance(have, dict)
            and len(want) == len(have)
            and all(k in have and same(v, have[k]) for k, v in want.items())
        )
    if isinstance(want, list):
        return isinstance(have, list) and len(want) == len(have) and all(map(same, want, have))
    return want == have and isinstance(want, bool) == isinstance(have, bool)


def quantity(value: t.Any) -> decimal.Decimal | None:
    """The number that a Kubernetes quantity (C(100m), C(1Gi), 2) stands for, or None where it is none."""
    if isinstance(value, bool):
        return None
    match = _QUANTITY.match(str(value))
    if not match:
        return None
    number, suffix = match.groups()
    try:
        if suffix in _SUFFIXES:
            return decimal.Decimal(number) * _SUFFIXES[suffix]
        return decimal.Decimal(number + suffix)
    except decimal.InvalidOperation:
        return None


def _below(schema: Schema, path: tuple[t.Any, ...]) -> Schema | None:
    node: Schema | None = schema
    for step in path:
        node = (node.item() if step[:2] == "i:" else node.child(step)) if node else None
    return node


def _group(api_version: str) -> str:
    group, slash, _version = api_version.partition("/")
    return group if slash else ""


def _empty(value: t.Any) -> bool:
    return value is None or (not value and not isinstance(value, (int, float))) or value is False or value == 0


def _is_item(step: str) -> bool:
    return step[:2] in ("k:", "v:", "i:")


def _field(path: tuple[t.Any, ...]) -> str:
    """The field that a path leads to; of a list's item, the list."""
    return next((step for step in reversed(path) if not _is_item(step)), "")


def _claim(item: t.Any, steps: dict[str, t.Any]) -> str | None:
    """The managedFields step that stands for a list's item, or None."""
    if not isinstance(item, dict):
        wanted = "v:" + json.dumps(item, separators=(",", ":"), ensure_ascii=False)
        return wanted if wanted in steps else next((s for s in steps if s[:2] == "v:" and _is(s[2:], item)), None)
    for step in steps:
        if step.startswith("k:") and all(item.get(k, v) == v for k, v in json.loads(step[2:]).items()):
            return step
    return None


def _is(text: str, value: t.Any) -> bool:
    return same(json.loads(text), value)


def _position(step: str, have: list[t.Any], item: t.Any) -> int | None:
    if isinstance(item, dict):
        keys = json.loads(step[2:])
        return next((n for n, h in enumerate(have) if all(h.get(k, v) == v for k, v in keys.items())), None)
    return next((n for n, h in enumerate(have) if same(item, h)), None)


def _text(path: tuple[t.Any, ...]) -> str:
    text = ""
    for step in path:
        text += step_text(step if step[:2] in ("f:", "k:", "v:", "i:") else f"f:{step}", text)
    return text
