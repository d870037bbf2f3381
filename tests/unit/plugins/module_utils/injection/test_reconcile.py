# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.injection import reconcile as injection
from ansible_collections.meshops.istio.plugins.module_utils.injection.reconcile import (
    InjectionOptions,
    reconcile_injection,
)
from fakes.injection import Cluster, pod, workload

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
        result = reconcile_injection(cluster, InjectionOptions(["n"], restart=how))
        assert (result["changed"], result["restarted"]) == (False, [])
        (warning,) = result["warnings"]
        assert warning.startswith(f"{made['kind']} n/agent was not restarted, though ")
        assert warning.endswith(": its update strategy is OnDelete: delete its pods")


def test_a_paused_rollout_is_not_restarted():
    paused = workload()
    paused["spec"]["paused"] = True
    result = reconcile_injection(
        Cluster(pod("x:1"), [pod()], namespaces=LABELS, workloads=[paused]), InjectionOptions(["n"])
    )
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
    with pytest.raises(MeshopsError) as error:
        reconcile_injection(cluster, InjectionOptions(["n"]))
    assert str(error.value) == "Deployment n/b is not ready. The workloads after it were not restarted"
    assert [one["name"] for one in error.value.result["restarted"]] == ["a"]
    assert done == ["a", "b"]

    done.clear()
    looked = reconcile_injection(cluster, InjectionOptions(["n"]), check_mode=True)
    assert [one["name"] for one in looked["restarted"]] == ["a", "b", "c"]
    assert done == []


def unfinished():
    old = pod()
    old["metadata"] |= {"name": "old", "labels": {"pod-template-hash": "before"}}
    return Cluster(pod("x:1"), [pod("x:1"), old], namespaces=LABELS, workloads=[workload()])


def test_second_run_after_a_failed_rollout_fails_while_a_pod_serves_without_sidecar(monkeypatch):
    def wait_ready(_cluster, _objects, _timeout):
        raise MeshopsError("Deployment n/w is not ready: CrashLoopBackOff")

    monkeypatch.setattr(injection, "wait_ready", wait_ready)
    with pytest.raises(
        MeshopsError, match="n/w: its roll-out is not finished: pod old has no sidecar, and keeps serving"
    ):
        reconcile_injection(unfinished(), InjectionOptions(["n"]))
    looked = reconcile_injection(unfinished(), InjectionOptions(["n"]), check_mode=True)
    assert not looked["changed"]
    assert "its roll-out is not finished" in looked["warnings"][0]


def test_second_run_waits_for_a_rollout_that_goes_on(monkeypatch):
    waited = []
    monkeypatch.setattr(injection, "wait_ready", lambda _cluster, objects, _timeout: waited.extend(objects))
    result = reconcile_injection(unfinished(), InjectionOptions(["n"]))
    assert ([obj["metadata"]["name"] for obj in waited], result["changed"]) == (["w"], False)


def test_injected_workload_that_is_not_ready_is_a_warning():
    crashing = workload()
    crashing["metadata"]["generation"] = 1
    crashing["status"] = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 0}
    cluster = Cluster(pod("x:1"), [pod("x:1")], namespaces=LABELS, workloads=[crashing])
    (warning,) = reconcile_injection(cluster, InjectionOptions(["n"]))["warnings"]
    assert warning.startswith("Deployment n/w is not ready, though its pods have their sidecar: ")


def test_restarts_carry_a_reason_code(monkeypatch):
    monkeypatch.setattr(injection, "restart", lambda *_args: None)
    cluster = Cluster(pod("x:1"), [pod()], namespaces=LABELS, workloads=[workload()])
    assert reconcile_injection(cluster, InjectionOptions(["n"]))["restarted"] == [
        {
            "kind": "Deployment",
            "namespace": "n",
            "name": "w",
            "reason": "pod p has no sidecar",
            "reason_code": "no_sidecar",
        }
    ]


def test_unknown_revision_is_refused_before_anything_is_written():
    cluster = Cluster(pod(), [], namespaces=LABELS)
    with pytest.raises(MeshopsError, match="'prd': new pods would get no sidecar. This cluster has canary, prod"):
        reconcile_injection(cluster, InjectionOptions(["n"], "prd"))
    assert cluster.patched == []
