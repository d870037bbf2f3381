# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import base64
import json

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.selectors import matches
from ansible_collections.meshops.istio.plugins.module_utils.upgrade import data_plane, unused_revisions
from ansible_collections.meshops.istio.plugins.module_utils.upgrade.check import (
    check_validation,
    overlap_problems,
    skew_problems,
)
from ansible_collections.meshops.istio.plugins.module_utils.upgrade.data_plane import DataPlane
from ansible_collections.meshops.istio.plugins.module_utils.upgrade.errors import UpgradeError
from ansible_collections.meshops.istio.plugins.module_utils.upgrade.unused_revisions import other_revisions


def control_plane(version: str, revision: str = "default", tags: tuple[str, ...] = ()) -> dict:
    name = "istiod" if revision == "default" else f"istiod-{revision}"
    return {"namespace": "istio-system", "name": name, "revision": revision, "version": version, "tags": list(tags)}


def proxy(name: str, version: str = "1.30.0", revision: str = "default", **more) -> dict:
    return {
        "namespace": "shop", "pod": name, "type": "sidecar", "revision": revision, "version": version,
        "outdated": False, **more,
    }  # fmt: skip


# -- versions -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("have", "have_revision", "to", "revision", "rollback"),
    [
        ("1.30.0", "default", "1.31.0", "default", False),
        ("1.31.0", "default", "1.31.0", "default", False),
        ("1.31.0", "default", "1.31.2", "default", False),
        ("1.29.0", "1-29", "1.31.0", "1-31", False),
        ("1.31.0", "default", "1.30.0", "default", True),
        ("latest", "default", "1.31.0", "default", False),
        ("1.20.0", "default", "latest", "default", False),
    ],
)
def test_version_that_is_near_enough(have: str, have_revision: str, to: str, revision: str, rollback: bool) -> None:
    assert skew_problems([control_plane(have, have_revision)], [], revision, to, rollback) == []


@pytest.mark.parametrize(
    ("have", "have_revision", "to", "revision", "problem"),
    [
        ("1.29.0", "default", "1.31.0", "default", "2 minor versions newer: go to 1.30 first"),
        ("1.28.0", "1-28", "1.31.0", "1-31", "3 minor versions newer: go to 1.30 first"),
        ("1.31.0", "default", "1.30.5", "default", "is older: to go back, set upgrade_rollback to true"),
        ("1.31.2", "default", "1.31.1", "default", "is older: to go back, set upgrade_rollback to true"),
    ],
)
def test_version_that_is_too_far(have: str, have_revision: str, to: str, revision: str, problem: str) -> None:
    found = skew_problems([control_plane(have, have_revision)], [], revision, to, False)
    assert len(found) == 1
    assert problem in found[0]
    assert have in found[0]


def test_proxy_that_is_too_old() -> None:
    proxies = [proxy("new"), proxy("old", "1.28.0")]
    found = skew_problems([control_plane("1.30.0")], proxies, "default", "1.31.0", False)
    assert found == [
        "1 proxies are 1.28.0, too old for an istiod 1.31.0: restart shop/old with the istiod that runs now"
    ]


def test_nothing_to_upgrade() -> None:
    assert "no istiod runs" in skew_problems([], [], "default", "1.31.0", False)[0]


# -- webhooks -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (None, True),
        ({}, True),
        ({"matchLabels": {"a": "1"}}, True),
        ({"matchLabels": {"a": "2"}}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, True),
        ({"matchExpressions": [{"key": "b", "operator": "In", "values": ["1"]}]}, False),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, False),
        ({"matchExpressions": [{"key": "b", "operator": "NotIn", "values": ["1"]}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, False),
    ],
)
def test_selector(selector: dict | None, expected: bool) -> None:
    assert matches(selector, {"a": "1"}) is expected


def webhook(revision: str, label: str, value: str) -> dict:
    selector = {"matchExpressions": [{"key": label, "operator": "In", "values": [value]}]}
    return {
        "metadata": {"name": f"injector-{revision}", "labels": {"istio.io/rev": revision}},
        "webhooks": [{"namespaceSelector": selector}],
    }


def test_namespace_of_two_revisions() -> None:
    webhooks = [webhook("default", "istio-injection", "enabled"), webhook("1-31", "istio.io/rev", "1-31")]
    shop = {"metadata": {"name": "shop", "labels": {"istio-injection": "enabled", "istio.io/rev": "1-31"}}}
    other = {"metadata": {"name": "other", "labels": {"istio-injection": "enabled"}}}
    found = overlap_problems([shop, other, {"metadata": {"name": "plain"}}], webhooks)
    assert len(found) == 1
    assert "pods in namespace shop would be injected by the revisions 1-31 and default" in found[0]


def test_the_tag_default_beside_a_control_plane_without_a_revision() -> None:
    tag = webhook("1-31", "istio-injection", "enabled")
    tag["metadata"]["labels"]["istio.io/tag"] = "default"
    other = {"metadata": {"name": "other", "labels": {"istio-injection": "enabled"}}}
    (found,) = overlap_problems([other], [webhook("default", "istio-injection", "enabled"), tag])
    assert "both mean istio-injection=enabled. Give the namespace the label istio.io/rev=1-31 instead" in found


def test_tag_of_the_same_revision_is_no_second_one() -> None:
    webhooks = [webhook("1-31", "istio.io/rev", "1-31"), webhook("1-31", "istio.io/rev", "1-31")]
    shop = {"metadata": {"name": "shop", "labels": {"istio.io/rev": "1-31"}}}
    assert overlap_problems([shop], webhooks) == []


# -- data plane ---------------------------------------------------------------


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
        monkeypatch.setattr(data_plane, "read_mesh", lambda *_args: {"proxies": self.proxies(), **self._planes()})
        monkeypatch.setattr(unused_revisions, "read_mesh", lambda *_args: {"proxies": self.proxies(), **self._planes()})
        monkeypatch.setattr(
            data_plane, "workloads", lambda _cluster, _namespace: [self._workload(n) for n in ("web", "api")]
        )
        monkeypatch.setattr(
            data_plane, "stale_reason", lambda _c, w, _change, _r: self.stale.get(w["metadata"]["name"])
        )
        monkeypatch.setattr(data_plane, "restart", self._restart)
        monkeypatch.setattr(data_plane.time, "sleep", lambda _seconds: None)

    def _planes(self) -> dict:
        return {"control_planes": self.control_planes, "namespaces": self.namespaces, "tags": self.tags}

    @staticmethod
    def _workload(name: str) -> dict:
        return {"kind": "Deployment", "metadata": {"name": name, "namespace": "shop"}, "spec": {}}

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

    def list(self, kind, namespace=None, **_query) -> list[dict]:
        found = [obj for obj in self.objects if obj["kind"] == kind.kind]
        return [obj for obj in found if namespace in (None, obj["metadata"].get("namespace"))]

    def get(self, kind, name: str, namespace: str) -> dict | None:
        return next((obj for obj in self.list(kind, namespace) if obj["metadata"]["name"] == name), None)

    def plane(self, timeout: float = 0) -> DataPlane:
        state = {"listener": "synced" if self.synced else "stale"}
        read = [{"namespace": "shop", "pod": name, "kind": "sidecar", "sync": state} for name in ("web", "api")]
        return DataPlane(self, "1-31", timeout, lambda: read)


@pytest.fixture
def mesh(monkeypatch: pytest.MonkeyPatch) -> Mesh:
    return Mesh(monkeypatch)


def test_stale_workloads_are_restarted_and_proven(mesh: Mesh) -> None:
    result = mesh.plane().reconcile(check_mode=False)
    assert mesh.restarted == ["web", "api"]
    assert (result["changed"], result["proxies"], len(result["restarted"])) == (True, 2, 2)
    assert result["diff"][0] == {
        "before_header": "Deployment shop/web",
        "after_header": "Deployment shop/web",
        "before": "old\n",
        "after": "restarted\n",
    }


def test_second_run_goes_on_where_the_first_was_cut(mesh: Mesh) -> None:
    mesh.fails = "api"
    with pytest.raises(UpgradeError, match="Deployment api is not ready.*Mend it and run this again") as error:
        mesh.plane().reconcile(check_mode=False)
    assert [one["name"] for one in error.value.result["restarted"]] == ["web"]
    mesh.fails = ""
    mesh.plane().reconcile(check_mode=False)
    assert mesh.restarted == ["web", "api"], "web was not restarted again"
    assert mesh.plane().reconcile(check_mode=False)["changed"] is False


def test_what_no_restart_replaces_is_named(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    web = {**mesh._workload("web"), "spec": {"updateStrategy": {"type": "OnDelete"}}, "kind": "DaemonSet"}
    monkeypatch.setattr(data_plane, "workloads", lambda _cluster, _namespace: [web, mesh._workload("api")])
    with pytest.raises(UpgradeError, match="shop/web is of revision 1-30") as error:
        mesh.plane().reconcile(check_mode=False)
    assert mesh.restarted == ["api"]
    assert error.value.result["warnings"] == [
        "DaemonSet shop/web was not restarted, though old: its update strategy is OnDelete: delete its pods"
    ]


def test_check_mode_restarts_nothing(mesh: Mesh) -> None:
    result = mesh.plane().reconcile(check_mode=True)
    assert mesh.restarted == []
    assert [one["name"] for one in result["restarted"]] == ["web", "api"]


def test_proxy_that_no_workload_has_is_named(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_plane, "workloads", lambda _cluster, _namespace: [])
    with pytest.raises(UpgradeError, match="shop/web is of revision 1-30 and version 1.30.0"):
        mesh.plane().reconcile(check_mode=False)


def test_proxy_that_is_not_in_sync_is_named(mesh: Mesh) -> None:
    mesh.synced = False
    with pytest.raises(UpgradeError, match="shop/web is not in sync: listener stale"):
        mesh.plane().reconcile(check_mode=False)


# -- old revisions ------------------------------------------------------------


def istiod(name: str, release: str = "", namespace: str = "istio-system") -> dict:
    marks = {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": namespace} if release else {}
    meta = {"name": name, "namespace": "istio-system", "annotations": marks}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {"template": {}}}


def record(name: str, chart: str = "istiod", namespace: str = "istio-system") -> dict:
    release = {"name": name, "version": 1, "chart": {"metadata": {"name": chart}}}
    data = base64.b64encode(base64.b64encode(json.dumps(release).encode())).decode()
    return {"kind": "Secret", "metadata": {"name": name, "namespace": namespace}, "data": {"release": data}}


def test_revision_that_nothing_uses_is_to_go_by_the_release_that_holds_it(mesh: Mesh) -> None:
    mesh.stale = {}
    mesh.control_planes = [control_plane("1.31.0", "1-31"), control_plane("1.30.0", "1-30"), control_plane("1.29.0")]
    mesh.objects = [istiod("istiod-1-30", "istiod-1-30"), record("istiod-1-30")]
    mesh.objects += [istiod("istiod", "pilot", "helm"), record("pilot", namespace="helm")]
    found = other_revisions(mesh, "1-31")
    assert found["revisions"] == [
        {"revision": "1-30", "namespace": "istio-system", "used_by": []},
        {"revision": "default", "namespace": "istio-system", "used_by": []},
    ]
    assert found["unused_releases"] == [
        {"name": "istiod-1-30", "namespace": "istio-system", "state": "absent"},
        {"name": "pilot", "namespace": "helm", "state": "absent"},
    ]
    assert found["warnings"] == []


@pytest.mark.parametrize(
    ("objects", "lacks"),
    [
        ([istiod("istiod-1-30")], "belongs to no Helm release"),
        ([istiod("istiod-1-30", "mesh")], "the Helm release istio-system/mesh, which isn't there"),
        ([istiod("istiod-1-30", "mesh"), record("mesh", "all")], "mesh of the chart all, which holds more"),
    ],
)
def test_revision_without_a_release_of_its_own_is_named(mesh: Mesh, objects: list[dict], lacks: str) -> None:
    mesh.stale = {}
    mesh.control_planes = [control_plane("1.31.0", "1-31"), control_plane("1.30.0", "1-30")]
    mesh.objects = objects
    found = other_revisions(mesh, "1-31")
    assert found["unused_releases"] == []
    (line,) = found["warnings"]
    assert line.startswith("nothing uses revision 1-30 any more, but it stays: Deployment istio-system/istiod-1-30 ")
    assert lacks in line
    assert "purge_revision=1-30" in line


def test_revision_that_something_uses_stays(mesh: Mesh) -> None:
    mesh.stale = {"web": "old"}
    mesh.control_planes = [control_plane("1.30.0", "1-30", ("prod",))]
    mesh.control_planes += [control_plane("1.29.0"), control_plane("1.31.0", "1-31")]
    mesh.namespaces = [
        {"name": "shop", "mode": "sidecar", "revision": "1-30"},
        {"name": "legacy", "mode": "sidecar", "revision": "default"},
        {"name": "moved", "mode": "sidecar", "revision": "1-31"},
        {"name": "ambient", "mode": "ambient", "revision": "default"},
    ]
    found = other_revisions(mesh, "1-31")
    assert [one["used_by"] for one in found["revisions"]] == [
        ["proxy shop/web", "tag prod", "namespace shop"],
        ["namespace legacy"],
    ]
    assert found["unused_releases"] == []


def workload(name: str, labels: dict, kind: str = "Deployment", namespace: str = "plain") -> dict:
    spec: dict = {"replicas": 0, "template": {"metadata": {"labels": labels}}}
    spec = {"jobTemplate": {"spec": spec}} if kind == "CronJob" else spec
    return {"kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def test_revision_that_will_be_asked_for_later_stays(mesh: Mesh) -> None:
    mesh.stale = {}
    mesh.control_planes = [control_plane("1.31.0", "1-31"), control_plane("1.30.0", "1-30"), control_plane("1.29.0")]
    mesh.tags = [{"name": "old", "revision": "1-30"}, {"name": "new", "revision": "1-31"}]
    mesh.objects = [
        {"kind": "Namespace", "metadata": {"name": "plain"}},
        {"kind": "Namespace", "metadata": {"name": "decided", "labels": {"istio.io/rev": "1-31"}}},
        workload("asleep", {"istio.io/rev": "1-30"}),
        workload("by-tag", {"istio.io/rev": "old"}, "StatefulSet"),
        workload("at-night", {"sidecar.istio.io/inject": "true"}, "CronJob"),
        workload("new", {"istio.io/rev": "new"}),
        workload("without", {"istio.io/rev": "1-30", "sidecar.istio.io/inject": "false"}),
        workload("overruled", {"istio.io/rev": "1-30"}, namespace="decided"),
    ]
    found = other_revisions(mesh, "1-31")
    assert [one["used_by"] for one in found["revisions"]] == [
        ["Deployment plain/asleep", "StatefulSet plain/by-tag"],
        ["CronJob plain/at-night"],
    ]
    assert found["unused_releases"] == []


def test_nothing_is_unused_while_the_new_revision_does_not_run(mesh: Mesh) -> None:
    mesh.stale = {}
    mesh.control_planes = [control_plane("1.31.0", "1-31")]
    assert other_revisions(mesh, "default")["unused_releases"] == []


# -- validation by the new revision -------------------------------------------


class Validating:
    """A cluster with two objects, of which a revision's istiod refuses one."""

    def __init__(self) -> None:
        self.asked: list[tuple] = []

    def served(self, kind):
        return kind if kind.kind != "WasmPlugin" else None

    def list(self, kind) -> list[dict]:
        assert kind.kind != "WasmPlugin"
        if kind.kind != "VirtualService":
            return []
        return [
            {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name, "namespace": "shop"}}
            for name in ("good", "bad")
        ]

    def kind(self, _version: str, _kind: str):
        return KNOWN["networking.istio.io", "VirtualService"]

    def request(self, *request) -> None:
        self.asked.append(request)
        if request[1].endswith("/bad"):
            raise ApiError("no route", 400)


def test_what_the_new_istiod_refuses_is_named() -> None:
    cluster = Validating()
    with pytest.raises(UpgradeError, match="(?s)revision next refuses.*VirtualService shop/bad: no route") as error:
        check_validation(cluster, "next")
    assert len(error.value.result["problems"]) == 1
    assert [(method, query, body) for method, _path, query, body, _type in cluster.asked] == [
        ("PATCH", {"dryRun": "All"}, {"metadata": {"labels": {"istio.io/rev": "next"}}})
    ] * 2
