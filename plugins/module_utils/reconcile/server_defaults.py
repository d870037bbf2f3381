# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the API server makes of a declared value: what it fills in, what it drops, and what it writes in another way.

Of kinds of CustomResourceDefinitions the schema says so; of built-in kinds the tables here, from Kubernetes' Go types
and their defaults. Sources: k8s.io/api, k8s.io/kubernetes/pkg/apis (defaults.go), and for quantities
k8s.io/apimachinery/pkg/api/resource.
"""

from __future__ import annotations

import re
import typing as t

from .schema import Schema

if t.TYPE_CHECKING:
    import decimal

#: Gives the schema of a declared object's kind, or None where the server doesn't publish one.
SchemaSource = t.Callable[[t.Mapping[str, t.Any]], t.Optional[Schema]]  # noqa: UP045 - evaluated, and Python 3.9 knows no |

#: A field, by its names, and by managedFields steps for items of lists.
Path = tuple[t.Any, ...]

#: API groups that aren't CustomResourceDefinitions: their types drop empty values and rewrite quantities.
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
EXACT_ITEMS = {"from", "to"}
_QUANTITY_GROUPS = {"", "apps", "autoscaling", "batch"}
_QUANTITY_PARENTS = {"limits", "requests", "hard", "capacity", "default", "defaultRequest", "max", "min"}
_QUANTITY_FIELDS = {
    ("emptyDir", "sizeLimit"),
    ("resourceFieldRef", "divisor"),
    ("target", "averageValue"),
    ("target", "value"),
}
_QUANTITY = re.compile(r"([+-]?[0-9.]+)([eE][+-]?[0-9]+|[KMGTPE]i|[numkMGTPE]?)\Z")
#: Powers of ten, or of two, that a quantity's suffix means.
_SUFFIXES = {
    "": (10, 0),
    "n": (10, -9),
    "u": (10, -6),
    "m": (10, -3),
    **{suffix: (10, 3 * n) for n, suffix in enumerate("kMGTPE", 1)},
    **{suffix + "i": (2, 10 * n) for n, suffix in enumerate("KMGTPE", 1)},
}


def is_built_in(api_version: str) -> bool:
    """Whether the API server itself, and no CustomResourceDefinition, serves an apiVersion."""
    return _group(api_version) in _BUILT_IN_GROUPS


class Server:
    """What the API server makes of the values of one kind: defaults it fills in, values it drops, quantities.

    :param desired: a declared object of the kind
    :param schemas: where to get the kind's schema from in case of doubt
    """

    def __init__(self, desired: t.Mapping[str, t.Any], schemas: SchemaSource | None) -> None:
        self.built_in = is_built_in(desired["apiVersion"])
        self._has_quantities = _group(desired["apiVersion"]) in _QUANTITY_GROUPS
        self._desired = desired
        self._schemas = schemas
        self._root: Schema | None = None

    def schema(self, path: Path) -> Schema | None:
        """The schema of a field, or None where nothing is known of it."""
        if self._schemas is None:
            return None
        if self._root is None:
            self._root = self._schemas(self._desired) or Schema({})
        node: Schema | None = self._root
        for step in path:
            if node is None:
                return None
            node = node.item() if is_item(step) else node.child(step)
        return node

    def atomic(self, path: Path) -> bool:
        """Whether server-side apply takes a value as a whole."""
        if self.built_in and path[-1] in _BUILT_IN_ATOMIC:
            return True
        schema = self.schema(path)
        return schema is not None and schema.atomic

    def same(self, want: t.Any, have: t.Any, path: Path) -> bool:
        """Whether two different values of an owned field are the same once the server has filled in defaults."""
        if want == {} and isinstance(have, dict):
            schema = self.schema(path)  # an empty object that isn't atomic may hold what others wrote
            return (schema is not None and not schema.atomic) or (self.built_in and not have)
        return self._with_defaults(want, have, path, self.schema)

    def _with_defaults(self, want: t.Any, have: t.Any, path: Path, schema_of: t.Callable[..., t.Any]) -> bool:
        if isinstance(want, dict) and isinstance(have, dict):
            for name in {**want, **have}:
                here = path + (name,)
                if name not in have:
                    if not self.drops(want[name], here):
                        return False
                elif name not in want:
                    if not self.fills_in(have[name], here, schema_of):
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
            return want is None or self.drops(want, path)
        return same(want, have) or self.equivalent(want, have, path)

    def drops(self, value: t.Any, path: Path) -> bool:
        """Whether a declared value is for the server the same as no value; false in doubt.

        In Kubernetes' Go types that is so for a map, a list, or a plain C(omitempty) scalar, and not for a pointer.
        """
        if not self.built_in or field_of(path[:-1]) in _ALL_COUNTS_IN or not _ANY_JSON.isdisjoint(path):
            return False
        if isinstance(value, dict):
            return not value and path[-1] in _FREE_MAPS
        if isinstance(value, (bool, int, float)):
            return not value and path[-1] in _DROPPED_ZEROS
        return not value and path[-1] not in _KEPT_TEXTS

    def fills_in(self, value: t.Any, path: Path, schema_of: t.Callable[..., t.Any]) -> bool:
        """Whether the server fills in a value where none is declared; false in doubt."""
        if self.built_in and _ANY_JSON.isdisjoint(path):
            filled_in = _BUILT_IN_DEFAULTS.get((field_of(path[:-1]), path[-1]))
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

    def equivalent(self, want: t.Any, have: t.Any, path: Path) -> bool:
        """Whether two scalars of a built-in kind are one quantity, written in two ways."""
        parent = field_of(path[:-1])
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
    """The number that a Kubernetes quantity (C(100m), C(1Gi), 2) denotes, or None where it is not a quantity."""
    if isinstance(value, bool):
        return None
    match = _QUANTITY.match(str(value))
    if not match:
        return None
    import decimal  # few objects have quantities

    number, suffix = match.groups()
    try:
        if suffix not in _SUFFIXES:
            return decimal.Decimal(number + suffix)
        base, exponent = _SUFFIXES[suffix]
        return decimal.Decimal(number) * decimal.Decimal(base) ** exponent
    except decimal.InvalidOperation:
        return None


def _below(schema: Schema, path: Path) -> Schema | None:
    node: Schema | None = schema
    for step in path:
        node = (node.item() if step[:2] == "i:" else node.child(step)) if node else None
    return node


def _group(api_version: str) -> str:
    group, slash, _version = api_version.partition("/")
    return group if slash else ""


def empty(value: t.Any) -> bool:
    """Whether a value is nothing, zero or false."""
    return value is None or (not value and not isinstance(value, (int, float))) or value is False or value == 0


def is_item(step: str) -> bool:
    """Whether a step leads to an item of a list."""
    return step[:2] in ("k:", "v:", "i:")


def field_of(path: Path) -> str:
    """The field that a path leads to; of a list's item, the list."""
    return next((step for step in reversed(path) if not is_item(step)), "")
