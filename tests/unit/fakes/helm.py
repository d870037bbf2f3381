# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Helm for unit tests: records as it stores them, and a binary that renders what a test gives it."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from ansible_collections.meshops.istio.plugins.module_utils.helm.ownership import in_release
from ansible_collections.meshops.istio.plugins.module_utils.helm.releases import Release


def manifest(*objects: Mapping[str, Any]) -> str:
    """Objects as a chart renders them."""
    return "".join(f"---\n{yaml.safe_dump(dict(obj), sort_keys=False)}" for obj in objects)


def installed(release: Release, *objects: dict[str, Any]) -> list[dict[str, Any]]:
    """Objects as they are in the cluster after Helm has installed them."""
    return [in_release(obj, release) for obj in objects]


def record(
    release: Release,
    *objects: Mapping[str, Any],
    revision: int = 1,
    status: str = "deployed",
    labels: Mapping[str, str] | None = None,
    hooks: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The Secret of one revision of a release."""
    version = release.version or "1.0.0"
    content = {
        "name": release.name,
        "version": revision,
        "info": {"status": status, "description": f"Revision {revision}"},
        "chart": {"metadata": {"name": release.chart, "version": version, "appVersion": version}},
        "config": release.values,
        "manifest": manifest(*objects),
        "hooks": list(hooks),
        "apply_method": "ssa",
    }
    blob = base64.b64encode(gzip.compress(json.dumps(content).encode()))
    own = {"owner": "helm", "name": release.name, "status": status, "version": str(revision), "modifiedAt": "1"}
    meta = {"name": f"sh.helm.release.v1.{release.name}.v{revision}", "namespace": release.namespace}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "helm.sh/release.v1",
        "metadata": {**meta, "labels": {**own, **(labels or {})}},
        "data": {"release": base64.b64encode(blob).decode()},
    }


class FakeHelm:
    """Renders charts to the objects of a test.

    :param charts: chart -> its objects
    :param definitions: chart -> the CustomResourceDefinitions in its folder C(crds)
    """

    def __init__(
        self,
        charts: Mapping[str, Sequence[Mapping[str, Any]]],
        definitions: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
        version: str = "1.0.0",
    ) -> None:
        self.charts, self.definitions, self.version = charts, definitions or {}, version
        self.rendered: list[tuple[str, Any]] = []

    def template(self, release: Release, options: Any = None) -> str:
        self.rendered.append((release.name, options))
        return manifest(*self.charts[release.chart])

    def crds(self, release: Release) -> str:
        return manifest(*self.definitions.get(release.chart, ()))

    def chart_version(self, _release: Release) -> str:
        return self.version

    def app_version(self, _release: Release) -> str:
        return self.version

    def asks_apis(self, _release: Release) -> bool:
        return False

    def renders_stored_manifest(self, _release: Release, _base: object) -> bool:
        return False
