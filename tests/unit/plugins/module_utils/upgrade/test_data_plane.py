# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.upgrade import data_plane
from ansible_collections.meshops.istio.plugins.module_utils.upgrade.data_plane import foreseen
from fakes.upgrade import Mesh


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
    with pytest.raises(MeshopsError, match="Deployment api is not ready.*Fix it and run this again") as error:
        mesh.plane().reconcile(check_mode=False)
    assert [one["name"] for one in error.value.result["restarted"]] == ["web"]
    mesh.fails = ""
    mesh.plane().reconcile(check_mode=False)
    assert mesh.restarted == ["web", "api"], "web was not restarted again"
    assert mesh.plane().reconcile(check_mode=False)["changed"] is False


def test_what_no_restart_replaces_is_named(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    web = {**mesh._workload("web"), "spec": {"updateStrategy": {"type": "OnDelete"}}, "kind": "DaemonSet"}
    monkeypatch.setattr(data_plane, "workloads", lambda _cluster, _namespace: [web, mesh._workload("api")])
    with pytest.raises(MeshopsError, match="shop/web is of revision 1-30") as error:
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
    with pytest.raises(MeshopsError, match="shop/web is of revision 1-30 and version 1.30.0"):
        mesh.plane().reconcile(check_mode=False)


def test_proxy_that_is_not_in_sync_is_named(mesh: Mesh) -> None:
    mesh.synced = False
    with pytest.raises(MeshopsError, match="shop/web is not in sync: listener stale"):
        mesh.plane().reconcile(check_mode=False)


def running(image: str, revision: str = "1-31", **annotations: str) -> dict:
    status = json.dumps({"revision": revision})
    meta = {"name": "p", "annotations": {"sidecar.istio.io/status": status, **annotations}}
    return {"metadata": meta, "spec": {"containers": [{"name": "app"}, {"name": "istio-proxy", "image": image}]}}


@pytest.mark.parametrize(
    ("pod", "said"),
    [
        (running("proxyv2:1.31.0"), "None"),
        (running("proxyv2:1.31.0-fips"), "None"),
        (running("proxyv2:1.30.0"), "the sidecar of pod p is of version 1.30.0, and will be of 1.31.0"),
        (running("proxyv2:1.31.0", "1-30"), "the sidecar of pod p is of revision 1-30, and will be of 1-31"),
        (running("proxyv2:1.30.0", **{"sidecar.istio.io/proxyImage": "proxyv2:1.30.0"}), "None"),
        ({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "app"}]}}, "None"),
    ],
)
def test_check_mode_foresees_the_restarts_of_an_upgrade(pod: dict, said: str) -> None:
    assert str(foreseen(pod, "1-31", "1.31.0")) == said


def test_check_mode_of_an_upgrade_in_place_reports_every_restart(mesh: Mesh) -> None:
    pod = running("proxyv2:1.30.0")
    mesh.objects = [
        {"kind": "Pod", **pod, "metadata": {**pod["metadata"], "namespace": "shop"}, "selected": ["app=web"]}
    ]
    mesh.stale = {}
    result = mesh.plane(version="1.31.0").reconcile(check_mode=True)
    assert [(one["name"], one["reason_code"]) for one in result["restarted"]] == [("web", "other_version")]
