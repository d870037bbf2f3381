# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import copy
import dataclasses

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.workloads import NotReady
from ansible_collections.meshops.istio.plugins.module_utils.helm.helm import HelmError
from ansible_collections.meshops.istio.plugins.module_utils.helm.releases import Release
from ansible_collections.meshops.istio.plugins.module_utils.helm.stored import Stored
from ansible_collections.meshops.istio.plugins.module_utils.releases import apply
from ansible_collections.meshops.istio.plugins.module_utils.releases.apply import (
    Busy,
    _in_order,
    _must_wait,
    apply_releases,
)
from ansible_collections.meshops.istio.plugins.module_utils.releases.foreign_fields import without_foreign
from ansible_collections.meshops.istio.plugins.module_utils.releases.model import ReleasePlan
from ansible_collections.meshops.istio.plugins.module_utils.releases.reconcile import declared_releases
from ansible_collections.meshops.istio.plugins.module_utils.releases.render import ReleaseError


def webhooks(policy, manager="pilot-discovery", bundle="Q0E="):
    owned = {"f:webhooks": {'k:{"name":"a"}': {"f:failurePolicy": {}}}}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "v", "managedFields": [{"manager": manager, "fieldsV1": owned}]},
        "webhooks": [{"name": "a", "failurePolicy": policy, "clientConfig": {"caBundle": bundle}}],
    }


def wanted_webhooks():
    wanted = webhooks("Ignore", bundle="")
    del wanted["metadata"]["managedFields"]
    return wanted


def test_what_istiod_has_switched_in_its_webhooks_stays():
    wanted, kept = wanted_webhooks(), []
    before = copy.deepcopy(wanted)
    found = without_foreign(wanted, webhooks("Fail"), kept)
    assert found["webhooks"] == [{"name": "a", "clientConfig": {}}]
    assert kept == ["ValidatingWebhookConfiguration v: failurePolicy of a belongs to pilot-discovery"]
    assert wanted == before


@pytest.mark.parametrize("manager", ["kubectl-edit", "helm", "meshops.istio"])
def test_what_a_person_has_switched_is_drift(manager):
    kept = []
    found = without_foreign(wanted_webhooks(), webhooks("Fail", manager), kept)
    assert found["webhooks"][0]["failurePolicy"] == "Ignore"
    assert kept == []


def deployment(replicas):
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "n"},
        "spec": {"replicas": replicas},
    }


def test_replicas_belong_to_an_autoscaler_where_there_is_one():
    kept = []
    assert "replicas" not in without_foreign(deployment(1), deployment(5), kept, lambda obj: True)["spec"]
    assert kept == ["Deployment n/d: replicas belong to its HorizontalPodAutoscaler"]
    assert without_foreign(deployment(1), deployment(5), [], lambda obj: False)["spec"] == {"replicas": 1}


@pytest.mark.parametrize(("manager", "selector"), [("admissionsenforcer", None), ("kubectl-edit", {"matchLabels": {}})])
def test_a_selector_that_a_cloud_has_written_stays(manager, selector):
    wanted, live, kept = wanted_webhooks(), webhooks("Ignore", manager), []
    wanted["webhooks"][0]["namespaceSelector"] = {"matchLabels": {}}
    live["webhooks"][0]["namespaceSelector"] = {
        "matchExpressions": [{"key": "control-plane", "operator": "DoesNotExist"}]
    }
    live["metadata"]["managedFields"][0]["fieldsV1"]["f:webhooks"]['k:{"name":"a"}'] = {"f:namespaceSelector": {}}
    assert without_foreign(wanted, live, kept)["webhooks"][0].get("namespaceSelector") == selector
    told = ["ValidatingWebhookConfiguration v: namespaceSelector of a belongs to admissionsenforcer"]
    assert kept == ([] if selector else told)


@pytest.mark.parametrize(("manager", "kept"), [("rollouts-controller", True), ("kubectl-edit", False)])
def test_a_service_s_selector_that_a_controller_has_written_stays(manager, kept):
    def service(selector):
        meta = {"name": "s", "namespace": "n"}
        return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"selector": selector, "type": "x"}}

    live, told = service({"app": "a", "hash": "1"}), []
    live["metadata"]["managedFields"] = [{"manager": manager, "fieldsV1": {"f:spec": {"f:selector": {}}}}]
    found = without_foreign(service({"app": "a"}), live, told)
    assert found["spec"] == ({"type": "x"} if kept else {"selector": {"app": "a"}, "type": "x"})
    assert told == (["Service n/s: selector belongs to rollouts-controller"] if kept else [])


def plans(**after):
    return [ReleasePlan(Release(name, "c", "n", after=others)) for name, others in after.items()]


def test_releases_come_after_what_they_need():
    ordered = _in_order(plans(ztunnel=["cni", "istiod"], istiod=["base"], cni=["base"], base=["elsewhere"]))
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
def test_only_a_first_installation_is_begun_beside_what_it_comes_after(objects, before, actions, waits):
    base, istiod = plans(base=[], istiod=["base"])
    (istiod.action, base.action), istiod.objects, base.objects = actions, objects, before
    assert _must_wait(istiod, base) is waits


def test_releases_that_wait_for_each_other_are_an_error():
    with pytest.raises(ReleaseError, match="releases wait for each other: a, b"):
        _in_order(plans(a=["b"], b=["a"]))


def test_a_release_may_come_after_another_of_its_name():
    one, other = plans(edge=["edge"])[0], plans(edge=[])[0]
    other.release.namespace = "m"
    assert _in_order([one, other]) == [other, one]


class Helm:
    """Fails for some releases, and tells what it was asked to do."""

    def __init__(self, **fails):
        self.fails, self.did = fails, []

    def upgrade(self, release, *_more):
        self.did.append(("upgrade", release.namespace))
        if release.namespace in self.fails:
            raise HelmError(f"release {release.namespace}/{release.name}: {self.fails[release.namespace]}")

    def rollback(self, name, namespace, revision, _method):
        self.did.append(("rollback", namespace, revision))

    def uninstall(self, name, namespace, *_timeout):
        self.did.append(("uninstall", namespace))


def to_install(namespace, name="edge", **more):
    return ReleasePlan(Release(name, "c", namespace, **more), "install")


def test_a_failure_is_told_though_another_release_has_that_name():
    helm = Helm(a="no")
    later = to_install("c", "later", after=["edge"])
    with pytest.raises(ReleaseError, match="taken out again. Not begun, because they come after: later."):
        apply_releases(None, helm, [to_install("a"), to_install("b"), later], atomic=True)
    assert sorted(helm.did) == [("uninstall", "a"), ("upgrade", "a"), ("upgrade", "b")]


def test_atomic_takes_back_what_helm_itself_could_not_install():
    good = decoded(7)
    upgrade = dataclasses.replace(to_install("a"), action="upgrade", stored=good, good=good)
    helm = Helm(a="no")
    with pytest.raises(ReleaseError, match="release a/edge: no. Release edge has been taken back to revision 7"):
        apply_releases(None, helm, [upgrade], atomic=True, wait=False)
    assert helm.did == [("upgrade", "a"), ("rollback", "a", 7)]
    helm = Helm(a="no")
    with pytest.raises(ReleaseError, match="release a/edge: no.$"):
        apply_releases(None, helm, [upgrade], wait=False)
    helm = Helm(a="another operation is in progress")
    with pytest.raises(Busy):
        apply_releases(None, helm, [upgrade], atomic=True)
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
    return dataclasses.replace(made, action="upgrade", stored=good, good=good) if good else made


@pytest.mark.parametrize("atomic", [False, True])
def test_an_image_that_can_not_be_pulled_takes_all_back_the_last_first(monkeypatch, atomic):
    monkeypatch.setattr(apply, "wait_ready", Workloads("istiod"))
    helm = Helm()
    plans = [
        running("base", decoded(3)),
        running("istiod", decoded(7), after=["base"]),
        running("ztunnel", decoded(2), after=["istiod"]),
        ReleasePlan(Release("same", "c", "same")),
    ]
    with pytest.raises(ReleaseError) as error:
        apply_releases(None, helm, plans, atomic=atomic)
    assert helm.did == [("upgrade", "base"), ("upgrade", "istiod"), ("rollback", "istiod", 7), ("rollback", "base", 3)]
    assert str(error.value) == (
        "Deployment istiod is not ready. Not begun, because they come after: ztunnel."
        " Release istiod has been taken back to revision 7. Release base has been taken back to revision 3."
    )


def test_a_first_installation_whose_image_can_not_be_pulled_is_taken_out_again(monkeypatch):
    monkeypatch.setattr(apply, "wait_ready", Workloads("istiod"))
    helm = Helm()
    with pytest.raises(ReleaseError) as error:
        apply_releases(None, helm, [running("base"), running("istiod", after=["base"])])
    assert helm.did[2:] == [("uninstall", "istiod"), ("uninstall", "base")]
    assert str(error.value).endswith(
        "Release istiod has been taken out again. Release base has been taken out again. Namespaces stay, and the"
        " CustomResourceDefinitions that Helm keeps."
    )


def test_an_image_that_could_not_be_pulled_before_takes_nothing_back(monkeypatch):
    monkeypatch.setattr(apply, "wait_ready", Workloads("cni"))
    helm = Helm()
    same = dataclasses.replace(running("cni", decoded(1)), action="none")
    with pytest.raises(ReleaseError, match="^Deployment cni is not ready.$"):
        apply_releases(None, helm, [running("istiod", decoded(7)), same])
    assert helm.did == [("upgrade", "istiod")]


def test_what_was_there_before_it_became_a_release_stays(monkeypatch):
    monkeypatch.setattr(apply, "wait_ready", Workloads("istiod"))
    monkeypatch.setattr(apply, "take_over", lambda *_arguments: None)
    helm = Helm()
    adopted = dataclasses.replace(running("istiod"), takeovers=["a takeover"])
    with pytest.raises(ReleaseError, match="Release istiod stays: its objects were there before.$"):
        apply_releases(None, helm, [adopted], atomic=True)
    assert helm.did == [("upgrade", "istiod")]


def test_atomic_waits(monkeypatch):
    waited = []
    monkeypatch.setattr(apply, "wait_ready", lambda *_arguments: waited.append(True))
    apply_releases(None, Helm(), [to_install("a")], wait=False)
    assert waited == []
    apply_releases(None, Helm(), [to_install("a")], atomic=True, wait=False)
    assert waited == [True]


def decoded(revision):
    return Stored("edge", "a", revision, "deployed", "", {}, "c", "1", "", {}, "csa", 0, {})


def test_declared_releases_take_the_common_source_and_version():
    given = {"name": "r", "namespace": "n", "chart": "c", "charts": None, "version": None, "digest": None}
    given.update(values={}, patches=[], after=[], state="present")
    (release,) = declared_releases({"releases": [given], "charts": "oci://x", "version": "1"})
    assert (release.charts, release.version, release.digest) == ("oci://x", "1", None)
    with pytest.raises(ReleaseError, match="release r has no chart"):
        declared_releases({"releases": [{**given, "chart": None}]})
