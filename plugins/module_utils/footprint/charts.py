# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Helm releases of Istio's charts, read from the Secrets that Helm stores them in."""

from __future__ import annotations

import base64
import dataclasses
import functools
import gzip
import json
import typing as t

try:
    import yaml
except ImportError:
    yaml = None  # type: ignore[assignment]  # the kubernetes package brings it; cluster.auth tells the user

#: Charts of Istio's own Helm repository (1.5 until now), of the Sail operator and of this collection.
CHART_PARTS = {
    "base": "control_plane",
    "istio-base": "control_plane",
    "istiod": "control_plane",
    "istio-discovery": "control_plane",
    "istio-control": "control_plane",
    "istiod-remote": "control_plane",
    "istio-default": "control_plane",
    "default": "control_plane",
    "ztunnel": "control_plane",
    "ambient": "control_plane",
    "cni": "cni",
    "istio-cni": "cni",
    "gateway": "gateways",
    "istio-ingress": "gateways",
    "istio-egress": "gateways",
    "istio-operator": "operators",
    "sail-operator": "operators",
}

Id = tuple[str, str, str, str]


def group_of(obj: dict) -> str:
    """An object's API group."""
    return obj.get("apiVersion", "").rpartition("/")[0]


def id_of(obj: dict) -> Id:
    """Group, kind, namespace (empty for none) and name."""
    meta = obj["metadata"]
    return (group_of(obj), obj["kind"], meta.get("namespace") or "", meta["name"])


@dataclasses.dataclass(frozen=True)
class Release:
    """A Helm release of an Istio chart.

    :ivar values: what its user gave
    :ivar objects: id -> apiVersion of the objects in its manifest; with its own namespace and without where it names
        none
    """

    name: str
    namespace: str
    chart: str
    version: str
    status: str
    values: dict
    manifest: str
    objects: dict[Id, str]

    @property
    def part(self) -> str:
        return CHART_PARTS[self.chart]

    @property
    def revision(self) -> str:
        return self.values.get("revision") or ("default" if self.chart in ("istiod", "istio-discovery") else "")


def read_release(secret: dict) -> Release | None:
    """The Helm release in a Secret of type helm.sh/release.v1, where it is one of an Istio chart.

    Helm stores base64(gzip(JSON)), and the API encodes a Secret's data once more.
    """
    try:
        return _read_stored(secret["data"]["release"], secret["metadata"]["namespace"])
    except KeyError:
        return None


@functools.lru_cache(maxsize=32)  # a purge reads its releases several times, and the manifest of base is long
def _read_stored(data: str, stored_in: str) -> Release | None:
    try:
        stored = base64.b64decode(base64.b64decode(data))
        release = json.loads(gzip.decompress(stored) if stored[:2] == b"\x1f\x8b" else stored)
    except (ValueError, OSError):
        return None
    chart = release.get("chart", {}).get("metadata", {})
    origin = " ".join([*(chart.get("sources") or []), *(chart.get("keywords") or []), chart.get("home") or ""]).lower()
    if chart.get("name") not in CHART_PARTS or "istio" not in origin:
        return None
    namespace = release.get("namespace") or stored_in
    objects = {}
    for document in documents(release.get("manifest") or ""):
        group, kind, where, name = id_of(document)
        for home in [where] if where else ["", namespace]:
            objects[group, kind, home, name] = document["apiVersion"]
    return Release(
        release["name"],
        namespace,
        chart["name"],
        chart.get("version", ""),
        release.get("info", {}).get("status", ""),
        release.get("config") or {},
        release.get("manifest") or "",
        objects,
    )


def documents(manifest: str) -> t.Iterator[dict]:
    """The objects in a release's manifest."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for document in yaml.load_all(manifest, Loader=loader):  # noqa: S506 - both are safe
        if isinstance(document, dict) and document.get("kind") and document.get("metadata"):
            yield document


def read_releases(listed: t.Iterable[dict]) -> list[Release]:
    """The newest stored release of every Istio chart among the listed Secrets."""
    newest: dict[tuple[str, str], tuple[int, Release]] = {}
    for secret in listed:
        if secret["kind"] != "Secret" or secret.get("type") != "helm.sh/release.v1":
            continue
        release = read_release(secret)
        if release:
            version = int((secret["metadata"].get("labels") or {}).get("version", 0))
            key = (release.namespace, release.name)
            if key not in newest or newest[key][0] < version:
                newest[key] = (version, release)
    return [release for _version, release in newest.values()]
