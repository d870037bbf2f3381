# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The schemas that the API server publishes."""

from __future__ import annotations

import typing as t

from ..cluster.client import Cluster
from ..cluster.kinds import split_api_version
from ..reconcile.schema import Schema
from ..reconcile.server_defaults import SchemaSource

#: The kinds of Istio that have lists with keys; of these the server's schema is read where it matters.
_KEYED = ("ServiceEntry", "WasmPlugin", "TrafficExtension")
#: All other CustomResourceDefinitions of Istio have no defaults and no lists with keys: this schema says so of a field.
_NO_DEFAULTS = Schema(
    {"$ref": "any"},
    {"any": {"additionalProperties": {"$ref": "any"}, "items": {"$ref": "any"}}},
)


class _Schemas:
    """Gives the schema of an object's kind, from the server's OpenAPI document, read when first needed."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._documents: dict[str, dict[str, t.Any]] = {}
        self._schemas: dict[tuple[str, str], Schema | None] = {}

    def __call__(self, obj: t.Mapping[str, t.Any]) -> Schema | None:
        group, _version = split_api_version(obj["apiVersion"])
        plain = group.endswith(".istio.io") and obj["kind"] not in _KEYED
        return _NO_DEFAULTS if plain else self.published(obj["apiVersion"], obj["kind"])

    def published(self, api_version: str, kind: str) -> Schema | None:
        if (api_version, kind) not in self._schemas:
            if api_version not in self._documents:
                self._documents[api_version] = self._cluster.openapi(api_version)
            group, version = split_api_version(api_version)
            self._schemas[api_version, kind] = Schema.of_kind(self._documents[api_version], group, version, kind)
        return self._schemas[api_version, kind]


def server_schemas(cluster: Cluster) -> SchemaSource:
    """The schemas that a cluster publishes, for C(plan)."""
    return _Schemas(cluster)
