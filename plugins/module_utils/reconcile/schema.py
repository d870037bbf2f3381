# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An OpenAPI v3 schema as the API server publishes it: which fields there are, which lists have keys, defaults."""

from __future__ import annotations

import typing as t

from .wording import nearest

_NOTHING: dict[str, t.Any] = {}


class Schema:
    """One node of a schema.

    :param node: the schema object
    :param components: the named schemas that C($ref) leads to
    """

    def __init__(self, node: t.Mapping[str, t.Any], components: t.Mapping[str, t.Any] | None = None) -> None:
        self._components = components or _NOTHING
        self._node = node
        self.default = node.get("default")  # a default stands beside a $ref, not behind it
        while True:
            part = self._node
            if "$ref" not in part and len(part.get("allOf") or ()) == 1 and "properties" not in part:
                part = part["allOf"][0]
            if "$ref" not in part:
                break
            self._node = self._components.get(part["$ref"].rsplit("/", 1)[-1], _NOTHING)

    @classmethod
    def of_kind(cls, document: t.Mapping[str, t.Any], group: str, version: str, kind: str) -> Schema | None:
        """The schema of a kind in an OpenAPI v3 document (C(/openapi/v3/apis/GROUP/VERSION)), or None."""
        components = document.get("components", {}).get("schemas", {})
        wanted = {"group": group, "version": version, "kind": kind}
        for node in components.values():
            if wanted in node.get("x-kubernetes-group-version-kind", ()):
                return cls(node, components)
        return None

    @property
    def fields(self) -> list[str]:
        """The names of an object's fields; empty for a map with free keys."""
        return list(self._node.get("properties", ()))

    @property
    def type(self) -> str:
        """C(string), C(integer), C(object), ...; empty where the schema doesn't say."""
        return self._node.get("type", "")

    @property
    def open(self) -> bool:
        """Whether fields that the schema doesn't name are kept."""
        return bool(self._node.get("x-kubernetes-preserve-unknown-fields"))

    def child(self, field: str) -> Schema | None:
        """The schema of a field, or of a map's value."""
        node = self._node.get("properties", {}).get(field)
        if node is None:
            node = self._node.get("additionalProperties")
        return Schema(node, self._components) if isinstance(node, dict) else None

    def item(self) -> Schema | None:
        """The schema of a list's items."""
        node = self._node.get("items")
        return Schema(node, self._components) if isinstance(node, dict) else None

    @property
    def list_type(self) -> str:
        """How server-side apply merges a list: C(atomic), C(set) or C(map)."""
        return self._node.get("x-kubernetes-list-type", "atomic")

    @property
    def atomic(self) -> bool:
        """Whether server-side apply replaces a map or an object as a whole."""
        return self._node.get("x-kubernetes-map-type") == "atomic"

    def at(self, path: t.Iterable[str]) -> Schema | None:
        """The schema of the object that holds the last field of a path; list positions are left out of the path."""
        found: Schema | None = self
        for step in path:
            if found is None:
                return None
            while found is not None and not found.fields and found.item() is not None:
                found = found.item()
            found = found.child(step) if found else None
        while found is not None and not found.fields and found.item() is not None:
            found = found.item()
        return found

    def nearest(self, field: str) -> str | None:
        """The known field whose name is most like an unknown one, or None where none is like it."""
        return nearest(field, self.fields)
