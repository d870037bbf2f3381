# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import types

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.adoption.legacy_operator import remove_legacy_operators
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError


def obj(kind, name, **more):
    api_version = {"Deployment": "apps/v1", "ClusterRole": "rbac.authorization.k8s.io/v1"}.get(kind, "v1")
    meta = {"name": name, **({} if kind == "ClusterRole" else {"namespace": "istio-operator"})}
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **more}


def deployment(title, release=None, **labels):
    found = obj("Deployment", title, spec={"selector": {"matchLabels": labels}})
    if release:
        marks = {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": "istio-operator"}
        found["metadata"]["annotations"] = marks
    return found


class Cluster:
    """What there is, and a record of what is done."""

    def __init__(self, *objects):
        self.objects = {(o["kind"], o["metadata"]["name"]): o for o in objects}
        self.done = []

    def discover(self, _api_version):
        return {}

    def list(self, kind, *_place, **_query):
        return [o for (known, _name), o in self.objects.items() if known == kind.kind]

    def get(self, kind, name, _namespace=None):
        return self.objects.get((kind.kind, name))

    def kind(self, _api_version, kind):
        return types.SimpleNamespace(kind=kind)

    def patch(self, kind, name, patch, _namespace=None):
        self.done.append(("stop", name) if patch == {"spec": {"replicas": 0}} else ("patch", name))

    def delete(self, kind, name, _namespace=None):
        self.done.append(("delete", kind.kind, name))


def module(check_mode=False):
    return types.SimpleNamespace(check_mode=check_mode, _diff=True, params={"wait_timeout": 1})


@pytest.fixture
def cluster():
    return Cluster(
        deployment("istio-operator", name="istio-operator"),
        obj("ServiceAccount", "istio-operator"),
        obj("ClusterRole", "istio-operator"),
        deployment("istio-operator-1-22", release="istio-operator-1-22", name="istio-operator"),
        deployment("of-this-collection", **{"app.kubernetes.io/name": "istio-operator"}),
        obj("ServiceAccount", "of-this-collection"),
    )


def test_legacy_operators_are_stopped_before_anything_is_deleted(cluster):
    result = remove_legacy_operators(module(), cluster)
    assert result["changed"]
    assert result["removed"] == [
        "Deployment istio-operator/istio-operator", "ServiceAccount istio-operator/istio-operator",
        "ClusterRole istio-operator", "Deployment istio-operator/istio-operator-1-22",
    ]  # fmt: skip
    assert result["releases"] == [{"name": "istio-operator-1-22", "namespace": "istio-operator", "state": "absent"}]
    assert len(result["diff"]) == 4
    assert cluster.done[:2] == [("stop", "istio-operator"), ("stop", "istio-operator-1-22")]
    assert [step[0] for step in cluster.done[2:]] == ["delete"] * 4


def test_check_mode_changes_nothing(cluster):
    assert remove_legacy_operators(module(check_mode=True), cluster)["changed"]
    assert cluster.done == []


def test_cluster_without_legacy_operator_is_unchanged():
    cluster = Cluster(deployment("of-this-collection", **{"app.kubernetes.io/name": "istio-operator"}))
    assert remove_legacy_operators(module(), cluster) == {"changed": False, "removed": [], "releases": []}


def test_operator_pods_that_stay_stop_the_run_before_anything_is_deleted(cluster):
    cluster.objects["Pod", "istio-operator-x"] = obj("Pod", "istio-operator-x")
    with pytest.raises(MeshopsError, match=r"waiting for the operator's pods to be deleted: Pod .*istio-operator-x"):
        remove_legacy_operators(module(), cluster)
    assert [step[0] for step in cluster.done] == ["stop"]
