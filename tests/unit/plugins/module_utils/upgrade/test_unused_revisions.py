# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.upgrade.unused_revisions import Upgraded, other_revisions
from fakes.upgrade import Mesh, control_plane, istiod, record


@pytest.fixture
def mesh(monkeypatch: pytest.MonkeyPatch) -> Mesh:
    return Mesh(monkeypatch)


def test_unused_revision_is_removed_by_the_release_that_has_it(mesh: Mesh) -> None:
    mesh.stale = {}
    mesh.control_planes = [control_plane("1.31.0", "1-31"), control_plane("1.30.0", "1-30"), control_plane("1.29.0")]
    mesh.objects = [istiod("istiod-1-30", "istiod-1-30"), record("istiod-1-30")]
    mesh.objects += [istiod("istiod", "pilot", "helm"), record("pilot", namespace="helm")]
    found = other_revisions(mesh, Upgraded("1-31"))
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
        ([istiod("istiod-1-30", "mesh")], "the Helm release istio-system/mesh, which doesn't exist"),
        ([istiod("istiod-1-30", "mesh"), record("mesh", "all")], "mesh of the chart all, which has more"),
        ([istiod("istiod-1-30", "mesh"), record("mesh", ours=False)], "mesh, which this collection didn't install"),
    ],
)
def test_revision_without_a_release_of_its_own_is_named(mesh: Mesh, objects: list[dict], lacks: str) -> None:
    mesh.stale = {}
    mesh.control_planes = [control_plane("1.31.0", "1-31"), control_plane("1.30.0", "1-30")]
    mesh.objects = objects
    found = other_revisions(mesh, Upgraded("1-31"))
    assert found["unused_releases"] == []
    (line,) = found["warnings"]
    assert line.startswith(
        "revision 1-30 is unused in this cluster, and is retained: Deployment istio-system/istiod-1-30 "
    )
    assert lacks in line
    assert "purge_revision=1-30" in line


def test_used_revision_is_retained(mesh: Mesh) -> None:
    mesh.stale = {"web": "old"}
    mesh.control_planes = [control_plane("1.30.0", "1-30", ("prod",))]
    mesh.control_planes += [control_plane("1.29.0"), control_plane("1.31.0", "1-31")]
    mesh.namespaces = [
        {"name": "shop", "mode": "sidecar", "revision": "1-30"},
        {"name": "legacy", "mode": "sidecar", "revision": "default"},
        {"name": "moved", "mode": "sidecar", "revision": "1-31"},
        {"name": "ambient", "mode": "ambient", "revision": "default"},
    ]
    found = other_revisions(mesh, Upgraded("1-31"))
    assert [one["used_by"] for one in found["revisions"]] == [
        ["proxy shop/web", "tag prod", "namespace shop"],
        ["namespace legacy"],
    ]
    assert found["unused_releases"] == []


def workload(name: str, labels: dict, kind: str = "Deployment", namespace: str = "plain") -> dict:
    spec: dict = {"replicas": 0, "template": {"metadata": {"labels": labels}}}
    spec = {"jobTemplate": {"spec": spec}} if kind == "CronJob" else spec
    return {"kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def test_revision_of_workloads_without_pods_is_retained(mesh: Mesh) -> None:
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
    found = other_revisions(mesh, Upgraded("1-31"))
    assert [one["used_by"] for one in found["revisions"]] == [
        ["Deployment plain/asleep", "StatefulSet plain/by-tag"],
        ["CronJob plain/at-night"],
    ]
    assert found["unused_releases"] == []


def test_nothing_is_unused_while_the_new_revision_does_not_run(mesh: Mesh) -> None:
    mesh.stale = {}
    mesh.control_planes = [control_plane("1.31.0", "1-31")]
    assert other_revisions(mesh, Upgraded("default"))["unused_releases"] == []


@pytest.fixture
def moved(mesh: Mesh) -> Mesh:
    """A mesh whose workloads have all moved from 1-30 to 1-31."""
    mesh.stale = {}
    mesh.control_planes = [control_plane("1.31.0", "1-31"), control_plane("1.30.0", "1-30")]
    mesh.objects = [istiod("istiod-1-30", "istiod-1-30"), record("istiod-1-30"), istiod_pod("istiod-1-30-x", "1-30")]
    mesh.syncz = {"istiod-1-30-x": []}
    return mesh


def istiod_pod(name: str, revision: str) -> dict:
    env = [{"name": "REVISION", "value": revision}]
    return {
        "kind": "Pod", "selected": ["app=istiod"], "metadata": {"name": name, "namespace": "istio-system"},
        "spec": {"containers": [{"name": "discovery", "env": env}]},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }  # fmt: skip


def test_revision_that_the_upgrade_came_from_is_removed(moved: Mesh) -> None:
    moved.syncz = {"istiod-1-30-x": ["web.shop"]}
    others = other_revisions(moved, Upgraded("1-31"))
    assert [release["name"] for release in others["unused_releases"]] == ["istiod-1-30"]


def test_revision_with_clients_of_other_clusters_is_retained(moved: Mesh) -> None:
    moved.syncz = {"istiod-1-30-x": ["web.shop", "cart.remote"]}
    others = other_revisions(moved, Upgraded("1-31"))
    assert others["unused_releases"] == []
    assert others["revisions"][0]["used_by"] == ["client cart.remote outside this cluster's pods"]


@pytest.mark.parametrize("answer", [MeshopsError("Forbidden"), "404 page not found"])
def test_revision_whose_istiod_cannot_be_asked_is_retained(moved: Mesh, answer: object) -> None:
    moved.syncz = {"istiod-1-30-x": answer}
    others = other_revisions(moved, Upgraded("1-31"))
    assert others["unused_releases"] == []
    assert "doesn't report its clients" in others["warnings"][0]


def test_revision_beside_remote_secrets_is_retained(moved: Mesh) -> None:
    meta = {"name": "istio-remote-secret-b", "namespace": "istio-system"}
    moved.objects.append(
        {"kind": "Secret", "metadata": meta, "selected": ["istio/multiCluster=true"], "data": {"release": ""}}
    )
    moved.objects[-1]["data"] = record("other")["data"]
    others = other_revisions(moved, Upgraded("1-31"))
    assert others["unused_releases"] == []
    assert "remote secrets istio-remote-secret-b" in others["warnings"][0]


def test_revision_of_a_machine_is_retained(moved: Mesh) -> None:
    annotations = {"istio.io/workloadController": "istiod-1-30-5d4f7c9b8-x2xq1"}
    moved.objects.append(
        {"kind": "WorkloadEntry", "metadata": {"name": "vm", "namespace": "shop", "annotations": annotations}}
    )
    others = other_revisions(moved, Upgraded("1-31"))
    assert others["revisions"][0]["used_by"] == ["WorkloadEntry shop/vm"]
    assert others["unused_releases"] == []


def test_revision_that_ztunnel_connects_to_is_retained(moved: Mesh) -> None:
    env = [{"name": "XDS_ADDRESS", "value": "istiod-1-30.istio-system.svc:15012"}]
    template = {"spec": {"containers": [{"name": "istio-proxy", "env": env}]}}
    meta = {"name": "ztunnel", "namespace": "istio-system"}
    moved.objects.append(
        {"kind": "DaemonSet", "metadata": meta, "spec": {"template": template}, "selected": ["app=ztunnel"]}
    )
    assert other_revisions(moved, Upgraded("1-31"))["revisions"][0]["used_by"] == ["DaemonSet istio-system/ztunnel"]


def test_canary_for_later_and_other_teams_are_left_alone(moved: Mesh) -> None:
    moved.control_planes = [
        control_plane("1.31.0", "1-31"),
        control_plane("1.32.0", "1-32"),
        control_plane("1.30.0", "team-b", namespace="team-b"),
    ]
    others = other_revisions(moved, Upgraded("1-31"))
    assert (others["unused_releases"], others["warnings"]) == ([], [])


def test_rollback_came_from_the_newer_revision(moved: Mesh) -> None:
    moved.control_planes = [control_plane("1.30.0", "1-30"), control_plane("1.31.0", "1-31")]
    moved.objects = [istiod("istiod-1-31", "istiod-1-31"), record("istiod-1-31")]
    moved.stale = {}
    moved.proxies = lambda: []
    assert other_revisions(moved, Upgraded("1-30"))["unused_releases"] == []
    others = other_revisions(moved, Upgraded("1-30", rollback=True))
    assert [release["name"] for release in others["unused_releases"]] == ["istiod-1-31"]
