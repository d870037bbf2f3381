# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.injection import reconcile as injection
from ansible_collections.meshops.istio.plugins.module_utils.injection.reconcile import (
    InjectionError,
    plan_namespaces,
    reconcile_injection,
    stale_reason,
    wanted_labels,
)
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.plan import Change

WEBHOOK = {"kind": "MutatingWebhookConfiguration"}


def pod(image=None, revision="default", init=False):
    proxy = [{"name": "istio-proxy", "image": image}] if image else []
    containers = [{"name": "app", "image": "a"}]
    return {
        "metadata": {
            "name": "p",
            "labels": {"pod-template-hash": "h"},
            "annotations": {"istio.io/rev": revision} if image else {},
        },
        "spec": {"initContainers": proxy if init else [], "containers": containers + ([] if init else proxy)},
    }


class Cluster:
    """What stale_reason looks at: the injector's answer (by namespace, or for all), and the pods that run."""

    def __init__(self, answer, pods=(), webhooks=(WEBHOOK,), namespaces=None, workloads=()):
        self.answer, self.pods, self.webhooks, self.workloads = answer, pods, webhooks, workloads
        self.namespaces = {"default": {"metadata": {}}} if namespaces is None else namespaces
        self.asked = []

    def create(self, obj, dry_run):
        assert dry_run
        self.asked.append(obj)
        by_namespace = isinstance(self.answer, dict) and "n" in self.answer
        answer = self.answer[obj["metadata"]["namespace"]] if by_namespace else self.answer
        if isinstance(answer, Exception):
            raise answer
        return answer

    def get(self, kind, name):
        return self.namespaces.get(name)

    def list(self, kind, namespace=None, labels=None):
        if kind.kind == "ReplicaSet":
            meta = {"labels": {"pod-template-hash": "h"}, "ownerReferences": [{"uid": "u"}]}
            return [{"metadata": meta}]
        if kind.kind == "MutatingWebhookConfiguration":
            return list(self.webhooks)
        return list(self.pods) if kind.kind == "Pod" else [w for w in self.workloads if w["kind"] == kind.kind]


def workload(name="w", kind="Deployment", **labels):
    template = {"metadata": {"labels": labels}, "spec": {"containers": []}}
    return {
        "kind": kind,
        "metadata": {"name": name, "namespace": "n", "uid": "u"},
        "spec": {"selector": {"matchLabels": {"app": "w"}}, "template": template},
    }


UNCHANGED = Change("unchanged", "v1", "Namespace", None, "n")
LABELLED = Change("update", "v1", "Namespace", None, "n", before={"metadata": {}})


@pytest.mark.parametrize(
    ("runs", "injector", "said"),
    [
        (pod("x:1"), pod("x:1"), None),
        (pod(), pod(), None),
        (pod(), pod("x:1"), "pod p has no sidecar"),
        (pod("x:1"), pod(), "pod p has a sidecar, and should have none"),
        (pod("x:1", "old"), pod("x:1", "new"), "the sidecar of pod p is of revision old, not new"),
        (pod("x:1"), pod("x:2"), "the sidecar of pod p is x:1, not x:2"),
    ],
)
def test_what_is_stale(runs, injector, said):
    assert stale_reason(Cluster(injector, [runs]), workload(), UNCHANGED, "") == said


def test_check_mode_asks_as_if_the_namespace_had_its_label():
    cluster = Cluster(pod("x:1"), [pod()])
    assert stale_reason(cluster, workload(app="w"), LABELLED, "canary", check_mode=True) == "pod p has no sidecar"
    asked = cluster.asked[0]["metadata"]
    assert (asked["namespace"], asked["labels"]) == ("default", {"app": "w", "istio.io/rev": "canary"})
    stale_reason(cluster, workload(app="w"), LABELLED, "canary")
    asked = cluster.asked[1]["metadata"]
    assert (asked["namespace"], asked["labels"]) == ("n", {"app": "w"})


def test_check_mode_sees_that_a_namespace_goes_to_another_revision():
    cluster = Cluster({"n": pod("x:1", "old"), "default": pod("x:1", "new")}, [pod("x:1", "old")])
    moved = Change("update", "v1", "Namespace", None, "n", before={"metadata": {"labels": {"istio.io/rev": "old"}}})
    said = "the sidecar of pod p is of revision old, not new"
    assert stale_reason(cluster, workload(), moved, "new", check_mode=True) == said


@pytest.mark.parametrize("broken", [{"webhooks": ()}, {"answer": ApiError("no", status=500)}])
def test_check_mode_before_there_is_an_injector(broken):
    given = {"answer": pod(), "pods": [pod()], **broken}
    assert stale_reason(Cluster(**given), workload(), LABELLED, "", check_mode=True) == "pod p has no sidecar"
    opted_out = workload(**{"sidecar.istio.io/inject": "false"})
    assert stale_reason(Cluster(**given), opted_out, LABELLED, "", check_mode=True) is None


def test_an_injector_that_cannot_be_asked_is_an_error():
    with pytest.raises(InjectionError, match="the injector can't be asked about pods in namespace n: no"):
        stale_reason(Cluster(ApiError("no", status=500), [pod()]), workload(), UNCHANGED, "")


FULL = ApiError('pods "injection-" is forbidden: exceeded quota: q, used: pods=1', status=403)
FORBIDDEN = ApiError('pods "injection-" is forbidden: violates PodSecurity "restricted:latest"', status=403)


@pytest.mark.parametrize("refusal", [FULL, FORBIDDEN])
@pytest.mark.parametrize("check_mode", [False, True])
def test_a_namespace_that_takes_no_pod_fails_nothing_where_nothing_is_to_be_done(refusal, check_mode):
    cluster = Cluster({"n": refusal, "default": pod("x:1")}, [pod("x:1")])
    assert stale_reason(cluster, workload(), UNCHANGED, "", check_mode) is None


def test_what_is_stale_where_the_quota_is_used_up_is_restarted_all_the_same():
    cluster = Cluster({"n": FULL, "default": pod("x:1")}, [pod()])
    assert stale_reason(cluster, workload(), UNCHANGED, "") == "pod p has no sidecar"


def test_what_a_policy_would_not_let_come_back_is_not_restarted():
    cluster = Cluster({"n": FORBIDDEN, "default": pod("x:1")}, [pod()])
    with pytest.raises(InjectionError) as error:
        stale_reason(cluster, workload(), UNCHANGED, "")
    assert "Deployment n/w has to be restarted, because pod p has no sidecar" in str(error.value)
    assert 'would be refused: pods "injection-" is forbidden: violates PodSecurity' in str(error.value)


LABELS = {"n": {"metadata": {"labels": {"istio-injection": "enabled"}}}, "default": {"metadata": {}}}


def on_delete(kind):
    return workload("agent", kind) | {"spec": {**workload()["spec"], "updateStrategy": {"type": "OnDelete"}}}


@pytest.mark.parametrize("made", [on_delete("DaemonSet"), on_delete("StatefulSet")])
@pytest.mark.parametrize("how", ["stale", "all"])
def test_pods_that_no_restart_replaces_are_judged_and_left_with_a_warning(made, how):
    old = pod()
    old["metadata"]["labels"] = {"controller-revision-hash": "older", "pod-template-generation": "1"}
    cluster = Cluster(pod("x:1"), [old], namespaces=LABELS, workloads=[made])
    for _run in range(2):
        result = reconcile_injection(cluster, ["n"], how=how)
        assert (result["changed"], result["restarted"]) == (False, [])
        (warning,) = result["warnings"]
        assert warning.startswith(f"{made['kind']} n/agent was not restarted, though ")
        assert warning.endswith(": its update strategy is OnDelete: delete its pods")


def test_a_paused_rollout_is_not_restarted():
    paused = workload()
    paused["spec"]["paused"] = True
    result = reconcile_injection(Cluster(pod("x:1"), [pod()], namespaces=LABELS, workloads=[paused]), ["n"])
    assert (result["changed"], result["restarted"]) == (False, [])
    assert result["warnings"] == [
        "Deployment n/w was not restarted, though pod p has no sidecar: its rollout is paused: resume it, and run this"
        " again"
    ]


def test_restarts_come_one_after_the_other_and_end_with_the_first_that_fails(monkeypatch):
    done = []

    def restart(_cluster, one, _timeout):
        done.append(one["metadata"]["name"])
        if done == ["a", "b"]:
            raise MeshopsError("Deployment n/b is not ready.")

    monkeypatch.setattr(injection, "restart", restart)
    cluster = Cluster(pod("x:1"), [pod()], namespaces=LABELS, workloads=[workload(name) for name in "abc"])
    with pytest.raises(InjectionError) as error:
        reconcile_injection(cluster, ["n"])
    assert str(error.value) == "Deployment n/b is not ready. The workloads after it were not restarted"
    assert [one["name"] for one in error.value.result["restarted"]] == ["a"]
    assert done == ["a", "b"]

    done.clear()
    looked = reconcile_injection(cluster, ["n"], check_mode=True)
    assert [one["name"] for one in looked["restarted"]] == ["a", "b", "c"]
    assert done == []


def test_labels():
    assert wanted_labels("") == {"istio-injection": "enabled", "istio.io/rev": None}
    assert wanted_labels("prod") == {"istio.io/rev": "prod", "istio-injection": None}


def test_namespaces():
    there = {"a": {"metadata": {"labels": {"istio-injection": "enabled", "x": "y"}}}, "b": {"metadata": {}}}
    cluster = Cluster(None, namespaces=there)
    changes = plan_namespaces(cluster, ["a", "b", "c", "a"], "")
    assert [(c.name, c.action) for c in changes] == [("a", "unchanged"), ("b", "update"), ("c", "create")]
    (moved,) = plan_namespaces(cluster, ["a"], "prod")
    assert moved.after["metadata"]["labels"] == {"x": "y", "istio.io/rev": "prod"}
    with pytest.raises(InjectionError, match="Istio never injects into namespace kube-system"):
        plan_namespaces(cluster, ["kube-system"], "")
