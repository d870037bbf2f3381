# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What planning reads from the cluster, each thing once: live objects, kinds, API versions, autoscalers."""

from __future__ import annotations

import concurrent.futures
import functools
import threading
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError
from ..cluster.kinds import KNOWN, Kind, split_api_version
from ..errors import MeshopsError
from ..reconcile.identity import Key, key
from ..reconcile.types import K8sObject

_SCALER = KNOWN["autoscaling", "HorizontalPodAutoscaler"]


class Lookups:
    """A cluster as it is during one plan. Use it as a context manager."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._pool = concurrent.futures.ThreadPoolExecutor(max_workers=max(4, cluster.concurrency))
        self._live: dict[Key, concurrent.futures.Future[K8sObject | None]] = {}
        self._scalers: dict[str, list[K8sObject]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Lookups:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._pool.shutdown()

    @functools.cached_property
    def kube_version(self) -> str:
        """The API server's version."""
        return self.cluster.server_version()

    @functools.cached_property
    def groups(self) -> tuple[str, ...]:
        """Every group and version that the cluster serves."""
        groups = self.cluster.request("GET", "/apis")["groups"]
        return ("v1", *sorted(v["groupVersion"] for g in groups for v in g["versions"]))

    @functools.cached_property
    def api_versions(self) -> tuple[str, ...]:
        """Every group and version that the cluster serves, and each kind in them, as Helm's capabilities hold them."""
        kinds = self._pool.map(self._kinds, self.groups)
        return (*self.groups, *sorted({f"{v}/{k}" for v, found in zip(self.groups, kinds, strict=True) for k in found}))

    def _kinds(self, api_version: str) -> list[str]:
        group, version = split_api_version(api_version)
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        try:
            return [resource["kind"] for resource in self.cluster.request("GET", path)["resources"]]
        except ApiError:
            return []  # an API whose server does not answer; Helm goes on without it, too

    def kind(self, obj: t.Mapping[str, t.Any]) -> Kind | None:
        """The object's kind, or None where the server doesn't serve it (yet)."""
        try:
            return self.cluster.kind(obj["apiVersion"], obj["kind"])
        except ApiError:
            raise
        except MeshopsError:
            return None

    def is_served(self, obj: t.Mapping[str, t.Any]) -> bool:
        """Whether the server serves the object's kind in its version, by discovery."""
        return obj["apiVersion"] in self.groups and self.kind(obj) is not None

    def in_namespace(self, objects: t.Sequence[K8sObject], namespace: str) -> t.Sequence[K8sObject]:
        """The objects with a namespace where their kind has one and they name none, as helm installs them."""
        for obj in objects:
            kind = self.kind(obj)
            if kind is not None and kind.namespaced:
                obj["metadata"].setdefault("namespace", namespace)
            elif kind is not None:
                obj["metadata"].pop("namespace", None)
        return objects

    def begin(self, objects: t.Iterable[K8sObject]) -> None:
        """Begins to read live objects, each once."""
        with self._lock:
            for obj in objects:
                if key(obj) not in self._live:
                    self._live[key(obj)] = self._pool.submit(self._read, obj)

    def live(self, obj: K8sObject) -> K8sObject | None:
        """The live object, in the version of the given one; None where there is none."""
        self.begin([obj])
        return self._live[key(obj)].result()

    def live_of(self, objects: t.Iterable[K8sObject]) -> dict[Key, K8sObject]:
        """The live ones of objects."""
        objects = list(objects)
        self.begin(objects)
        found = {key(obj): self._live[key(obj)].result() for obj in objects}
        return {identity: obj for identity, obj in found.items() if obj is not None}

    def _read(self, obj: K8sObject) -> K8sObject | None:
        kind = self.kind(obj)
        if kind is None:
            return None
        found = self.cluster.get(kind, obj["metadata"]["name"], obj["metadata"].get("namespace"))
        return {**found, "apiVersion": obj["apiVersion"], "kind": obj["kind"]} if found else None

    def is_autoscaled(self, obj: K8sObject, dropped: t.Collection[Key] = ()) -> bool:
        """Whether a HorizontalPodAutoscaler scales a workload.

        :param dropped: objects that the release no longer has
        """
        namespace = obj["metadata"].get("namespace") or ""
        with self._lock:
            if namespace not in self._scalers:
                self._scalers[namespace] = self.cluster.list(_SCALER, namespace)
        targets = [s["spec"]["scaleTargetRef"] for s in self._scalers[namespace] if key(s) not in dropped]
        return any(ref["kind"] == obj["kind"] and ref["name"] == obj["metadata"]["name"] for ref in targets)
