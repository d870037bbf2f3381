# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import base64
import dataclasses
import gzip
import json

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.cluster.workloads import NotReady
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.helm.helm import HelmBusy, HelmError
from ansible_collections.meshops.istio.plugins.module_utils.helm.releases import Release
from ansible_collections.meshops.istio.plugins.module_utils.helm.stored import Stored
from ansible_collections.meshops.istio.plugins.module_utils.releases import apply
from ansible_collections.meshops.istio.plugins.module_utils.releases.apply import (
    ApplyOptions,
    Busy,
    apply_releases,
    in_order,
    must_wait,
)
from ansible_collections.meshops.istio.plugins.module_utils.releases.model import Action, ReleasePlan


@pytest.fixture(autouse=True)
def unmarked(request, monkeypatch):
    """Revisions are marked as ready only where a test has a cluster for it."""
    if "Records" not in request.function.__code__.co_names:
        monkeypatch.setattr(apply, "label", lambda *_arguments: None)


def deployment(replicas):
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "n"},
        "spec": {"replicas": replicas},
    }


def plans(**after):
    return [ReleasePlan(Release(name, "c", "n", after=others)) for name, others in after.items()]


def test_release_order():
    ordered = in_order(plans(ztunnel=["cni", "istiod"], istiod=["base"], cni=["base"], base=["elsewhere"]))
    assert [one.release.name for one in ordered] == ["base", "istiod", "cni", "ztunnel"]


DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "gateways.networking.istio.io"},
    "spec": {"group": "networking.istio.io", "names": {"kind": "Gateway"}},
}
ISTIO_GATEWAY = {"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": {"name": "g", "namespace": "n"}}


@pytest.mark.parametrize(
    ("objects", "before", "actions", "waits"),
    [
        ([deployment(1)], [DEFINITION], ("install", "install"), False),
        ([deployment(1)], [DEFINITION], ("install", "upgrade"), True),
        ([deployment(1)], [DEFINITION], ("upgrade", "install"), True),
        ([deployment(1)], [DEFINITION], ("install", "none"), True),
        ([ISTIO_GATEWAY], [DEFINITION], ("install", "install"), True),
        ([ISTIO_GATEWAY], [deployment(1)], ("install", "install"), True),
    ],
)
def test_first_installation_runs_beside_what_it_comes_after(objects, before, actions, waits):
    base, istiod = plans(base=[], istiod=["base"])
    istiod = dataclasses.replace(istiod, action=Action(actions[0]), objects=objects)
    base = dataclasses.replace(base, action=Action(actions[1]), objects=before)
    assert must_wait(istiod, base) is waits


def test_cyclic_release_order_is_an_error():
    with pytest.raises(MeshopsError, match="releases wait for each other: a, b"):
        in_order(plans(a=["b"], b=["a"]))


def test_release_may_come_after_another_of_its_name():
    one, other = plans(edge=["edge"])[0], plans(edge=[])[0]
    other.release.namespace = "m"
    assert in_order([one, other]) == [other, one]


class Helm:
    """Fails for some releases, and tells what it was asked to do."""

    def __init__(self, **fails):
        self.fails, self.did = fails, []

    def upgrade(self, release, *_more):
        self.did.append(("upgrade", release.namespace))
        if release.namespace in self.fails:
            kind = HelmBusy if self.fails[release.namespace] == "busy" else HelmError
            raise kind(f"release {release.namespace}/{release.name}: {self.fails[release.namespace]}")

    def rollback(self, name, namespace, revision, _method):
        self.did.append(("rollback", namespace, revision))

    def uninstall(self, name, namespace, *_timeout):
        self.did.append(("uninstall", namespace))


def to_install(namespace, name="edge", **more):
    return ReleasePlan(Release(name, "c", namespace, **more), Action.INSTALL)


def test_failure_is_reported_beside_a_release_of_the_same_name():
    helm = Helm(a="no")
    later = to_install("c", "later", after=["edge"])
    with pytest.raises(MeshopsError, match="uninstalled again. Not begun, because they come after: later."):
        apply_releases(None, helm, [to_install("a"), to_install("b"), later], ApplyOptions(atomic=True))
    assert sorted(helm.did) == [("uninstall", "a"), ("upgrade", "a"), ("upgrade", "b")]


def test_atomic_rolls_back_what_helm_could_not_install():
    good = decoded(7)
    upgrade = dataclasses.replace(to_install("a"), action=Action.UPGRADE, stored=good, good=good)
    helm = Helm(a="no")
    with pytest.raises(MeshopsError, match="release a/edge: no. Release edge has been rolled back to revision 7"):
        apply_releases(None, helm, [upgrade], ApplyOptions(atomic=True, wait=False))
    assert helm.did == [("upgrade", "a"), ("rollback", "a", 7)]
    helm = Helm(a="no")
    with pytest.raises(MeshopsError, match="release a/edge: no.$"):
        apply_releases(None, helm, [upgrade], ApplyOptions(wait=False))
    helm = Helm(a="busy")
    with pytest.raises(Busy):
        apply_releases(None, helm, [upgrade], ApplyOptions(atomic=True))
    assert helm.did == [("upgrade", "a")]


class Workloads:
    """Stands in for wait_ready: what is named, by the kind of its one object, waits for an image for ever."""

    def __init__(self, *unpullable):
        self.unpullable = unpullable

    def __call__(self, _cluster, objects, _timeout):
        for one in objects:
            if one["metadata"]["name"] in self.unpullable:
                raise NotReady(f"Deployment {one['metadata']['name']} is not ready", unpullable=True)


def running(name, good=None, **more):
    objects = [{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}}]
    made = dataclasses.replace(to_install(name, name, **more), objects=objects)
    return dataclasses.replace(made, action=Action.UPGRADE, stored=good, good=good) if good else made


@pytest.mark.parametrize("atomic", [False, True])
def test_unpullable_image_rolls_all_back_in_reverse_order(monkeypatch, atomic):
    monkeypatch.setattr(apply, "wait_ready", Workloads("istiod"))
    helm = Helm()
    plans = [
        running("base", decoded(3)),
        running("istiod", decoded(7), after=["base"]),
        running("ztunnel", decoded(2), after=["istiod"]),
        ReleasePlan(Release("same", "c", "same")),
    ]
    with pytest.raises(MeshopsError) as error:
        apply_releases(None, helm, plans, ApplyOptions(atomic=atomic))
    assert helm.did == [("upgrade", "base"), ("upgrade", "istiod"), ("rollback", "istiod", 7), ("rollback", "base", 3)]
    assert str(error.value) == (
        "Deployment istiod is not ready. Not begun, because they come after: ztunnel."
        " Release istiod has been rolled back to revision 7. Release base has been rolled back to revision 3."
    )


def test_unpullable_image_of_a_first_installation_uninstalls_it(monkeypatch):
    monkeypatch.setattr(apply, "wait_ready", Workloads("istiod"))
    helm = Helm()
    with pytest.raises(MeshopsError) as error:
        apply_releases(None, helm, [running("base"), running("istiod", after=["base"])])
    assert helm.did[2:] == [("uninstall", "istiod"), ("uninstall", "base")]
    assert str(error.value).endswith(
        "Release istiod has been uninstalled again. Release base has been uninstalled again. Namespaces, and the"
        " CustomResourceDefinitions that Helm keeps, are retained."
    )


def test_unpullable_image_of_an_unchanged_release_rolls_nothing_back(monkeypatch):
    monkeypatch.setattr(apply, "wait_ready", Workloads("cni"))
    helm = Helm()
    same = dataclasses.replace(running("cni", decoded(1)), action=Action.NONE)
    with pytest.raises(MeshopsError, match="^Deployment cni is not ready.$"):
        apply_releases(None, helm, [running("istiod", decoded(7)), same])
    assert helm.did == [("upgrade", "istiod")]


def test_adopted_release_is_not_uninstalled(monkeypatch):
    monkeypatch.setattr(apply, "wait_ready", Workloads("istiod"))
    monkeypatch.setattr(apply, "take_over", lambda *_arguments: None)
    helm = Helm()
    adopted = dataclasses.replace(running("istiod"), takeovers=("a takeover",))
    with pytest.raises(MeshopsError, match="Release istiod is retained: its objects existed before.$"):
        apply_releases(None, helm, [adopted], ApplyOptions(atomic=True))
    assert helm.did == [("upgrade", "istiod")]


def test_atomic_waits(monkeypatch):
    waited = []
    monkeypatch.setattr(apply, "wait_ready", lambda *_arguments: waited.append(True))
    apply_releases(None, Helm(), [to_install("a")], ApplyOptions(wait=False))
    assert waited == []
    apply_releases(None, Helm(), [to_install("a")], ApplyOptions(atomic=True, wait=False))
    assert waited == [True]


def decoded(revision):
    return Stored("edge", "a", revision, "deployed", "", {}, "c", "1", "", {}, "csa", 0, {})


class Records:
    """A cluster that holds the records of one release, and notes their labels."""

    def __init__(self, *ready, refuses=0):
        self.ready, self.labels, self.refuses = ready, {}, refuses

    def list(self, _kind, _namespace, labels):
        assert labels == "owner=helm,name=a"
        return [record("a", number, number in self.ready) for number in (1, 2, 3)]

    def patch(self, _kind, name, patch, _namespace):
        if self.refuses:
            raise ApiError("no", self.refuses)
        self.labels[name] = patch["metadata"]["labels"]


def record(name, revision, ready):
    labels = {"meshops.istio/ready": "1" if revision == 3 else str(revision)} if ready or revision == 3 else {}
    content = json.dumps({"name": name, "version": revision, "info": {"status": "superseded"}}).encode()
    data = base64.b64encode(base64.b64encode(gzip.compress(content))).decode()
    return {"metadata": {"name": f"v{revision}", "namespace": "a", "labels": labels}, "data": {"release": data}}


@pytest.mark.parametrize(("ready", "revision", "note"), [((1,), 1, ""), ((), 3, ", which was not seen ready either")])
def test_rollback_goes_to_a_revision_that_was_ready(monkeypatch, ready, revision, note):
    """A label that Helm has copied from an earlier revision (here: on revision 3) proves nothing."""
    monkeypatch.setattr(apply, "wait_ready", Workloads("a"))
    helm, deployed = Helm(), decoded(3)
    upgrade = dataclasses.replace(running("a", deployed), good_was_ready=False)
    with pytest.raises(MeshopsError, match=f"has been rolled back to revision {revision}{note}.$"):
        apply_releases(Records(*ready), helm, [upgrade], ApplyOptions(atomic=True))
    assert helm.did[-1] == ("rollback", "a", revision)


@pytest.mark.parametrize("refuses", [0, 403])
def test_revision_that_was_seen_ready_is_marked(monkeypatch, refuses):
    monkeypatch.setattr(apply, "wait_ready", Workloads())
    cluster = Records(refuses=refuses)
    apply_releases(cluster, Helm(), [running("a", decoded(3))])
    assert cluster.labels == ({} if refuses else {"sh.helm.release.v1.a.v4": {"meshops.istio/ready": "4"}})


def test_failure_has_a_code(monkeypatch):
    monkeypatch.setattr(apply, "wait_ready", Workloads("a"))
    with pytest.raises(MeshopsError) as error:
        apply_releases(None, Helm(b="no"), [running("a"), to_install("b")], ApplyOptions(wait=True))
    failed = {(entry["name"], entry["stage"]) for entry in error.value.result["failures"]}
    assert failed == {("a", "ready"), ("edge", "helm")}
