# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A mesh as the tests of upgrades need it."""

from __future__ import annotations

import base64
import json

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.injection.staleness import Reason, Stale
from ansible_collections.meshops.istio.plugins.module_utils.upgrade import data_plane, unused_revisions
from ansible_collections.meshops.istio.plugins.module_utils.upgrade.data_plane import DataPlane


def control_plane(version: str, revision: str = "default", tags: tuple[str, ...] = (), **more) -> dict:
    name = "istiod" if revision == "default" else f"istiod-{revision}"
    return {
        "namespace": "istio-system", "name": name, "revision": revision, "version": version, "tags": list(tags),
        "proxies": 0, **more,
    }  # fmt: skip


def proxy(name: str, version: str = "1.30.0", revision: str = "default", **more) -> dict:
    return {
        "namespace": "shop", "pod": name, "type": "sidecar", "revision": revision, "version": version,
        "outdated": False, **more,
    }  # fmt: skip


class Mesh:
    """What the data plane sees of a mesh, and the restarts that it asks for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stale = {"web": "old", "api": "old"}
        self.restarted: list[str] = []
        self.synced = True
        self.control_planes = [control_plane("1.31.0", "1-31")]
        self.namespaces: list[dict] = []
        self.tags: list[dict] = []
        self.objects: list[dict] = []
        self.fails = ""
        self.syncz: dict[str, list[str] | str | Exception] = {}
        monkeypatch.setattr(data_plane, "read_all", self.read_all)
        monkeypatch.setattr(unused_revisions, "_PATIENCE", 0)
        monkeypatch.setattr(data_plane, "read_mesh", lambda *_args: {"proxies": self.proxies(), **self._planes()})
        monkeypatch.setattr(unused_revisions, "read_mesh", lambda *_args: {"proxies": self.proxies(), **self._planes()})
        monkeypatch.setattr(
            data_plane, "workloads", lambda _cluster, _namespace: [self._workload(n) for n in ("web", "api")]
        )
        monkeypatch.setattr(data_plane, "stale_reason", lambda _cluster, w, _question: self._stale(w))
        monkeypatch.setattr(data_plane, "restart", self._restart)
        monkeypatch.setattr(data_plane.time, "sleep", lambda _seconds: None)

    def _stale(self, workload: dict) -> Stale | None:
        text = self.stale.get(workload["metadata"]["name"])
        return Stale(Reason.OTHER_REVISION, text) if text else None

    def _planes(self) -> dict:
        return {"control_planes": self.control_planes, "namespaces": self.namespaces, "tags": self.tags}

    @staticmethod
    def _workload(name: str) -> dict:
        spec = {"selector": {"matchLabels": {"app": name}}}
        return {"kind": "Deployment", "metadata": {"name": name, "namespace": "shop"}, "spec": spec}

    def proxies(self) -> list[dict]:
        return [
            proxy(name, revision="1-30" if name in self.stale else "1-31", outdated=name in self.stale)
            for name in ("web", "api")
        ]

    def _restart(self, _cluster, workload: dict, _timeout) -> None:
        name = workload["metadata"]["name"]
        if name == self.fails:
            raise MeshopsError(f"Deployment {name} is not ready.")
        self.restarted.append(name)
        self.stale.pop(name)

    def served(self, kind):
        return kind

    def list(self, kind, namespace=None, labels="", **_query) -> list[dict]:
        found = [obj for obj in self.objects if obj["kind"] == kind.kind]
        found = [obj for obj in found if not labels.startswith("app=") or labels in obj.get("selected", ())]
        found = [obj for obj in found if labels != "istio/multiCluster=true" or labels in obj.get("selected", ())]
        return [obj for obj in found if namespace in (None, obj["metadata"].get("namespace"))]

    def get(self, kind, name: str, namespace: str) -> dict | None:
        return next((obj for obj in self.list(kind, namespace) if obj["metadata"]["name"] == name), None)

    def execute(self, _namespace: str, pod: str, _command, _container) -> str:
        answer = self.syncz[pod]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, str) else json.dumps([{"proxy": name} for name in answer])

    def read_all(self, *_args, **_options) -> list[dict]:
        state = {"listener": "synced" if self.synced else "stale"}
        return [{"namespace": "shop", "pod": name, "kind": "sidecar", "sync": state} for name in ("web", "api")]

    def plane(self, timeout: float = 0, version: str = "") -> DataPlane:
        return DataPlane(self, "1-31", timeout, version)


def istiod(name: str, release: str = "", namespace: str = "istio-system") -> dict:
    marks = {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": namespace} if release else {}
    meta = {"name": name, "namespace": "istio-system", "annotations": marks}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {"template": {}}}


def record(name: str, chart: str = "istiod", namespace: str = "istio-system", ours: bool = True) -> dict:
    release = {"name": name, "version": 1, "chart": {"metadata": {"name": chart}}}
    data = base64.b64encode(base64.b64encode(json.dumps(release).encode())).decode()
    meta = {"name": name, "namespace": namespace, "labels": {"meshops.istio": "x"} if ours else {}}
    return {"kind": "Secret", "metadata": meta, "data": {"release": data}}
