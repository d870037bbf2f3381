# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.injection.staleness import (
    Question,
    Reason,
    judge,
    stale_reason,
    unreachable_pods,
)
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.plan import Change
from fakes.injection import Cluster, pod, workload

UNCHANGED = Change("unchanged", "v1", "Namespace", None, "n")
LABELLED = Change("update", "v1", "Namespace", None, "n", before={"metadata": {}})


@pytest.mark.parametrize(
    ("runs", "injector", "said"),
    [
        (pod("x:1"), pod("x:1"), "None"),
        (pod(), pod(), "None"),
        (pod(), pod("x:1"), "pod p has no sidecar"),
        (pod("x:1"), pod(), "pod p has a sidecar, and should have none"),
        (pod("x:1", "old"), pod("x:1", "new"), "the sidecar of pod p is of revision old, not new"),
        (pod("x:1"), pod("x:2"), "the sidecar of pod p is x:1, not x:2"),
        (
            pod("x:1", redirect="istio-init"),
            pod("x:1", redirect="istio-validation"),
            "pod p has the init container istio-init of Istio, and would have istio-validation",
        ),
    ],
)
def test_what_is_stale(runs, injector, said):
    assert str(stale_reason(Cluster(injector, [runs]), workload(), Question(UNCHANGED, ""))) == said


def test_check_mode_asks_as_if_the_namespace_had_its_label():
    cluster = Cluster(pod("x:1"), [pod()])
    assert (
        str(stale_reason(cluster, workload(app="w"), Question(LABELLED, "canary", check_mode=True)))
        == "pod p has no sidecar"
    )
    asked = cluster.asked[0]["metadata"]
    assert (asked["namespace"], asked["labels"]) == ("default", {"app": "w", "istio.io/rev": "canary"})
    stale_reason(cluster, workload(app="w"), Question(LABELLED, "canary"))
    asked = cluster.asked[1]["metadata"]
    assert (asked["namespace"], asked["labels"]) == ("n", {"app": "w"})


def test_check_mode_sees_that_a_namespace_goes_to_another_revision():
    cluster = Cluster({"n": pod("x:1", "old"), "default": pod("x:1", "new")}, [pod("x:1", "old")])
    moved = Change("update", "v1", "Namespace", None, "n", before={"metadata": {"labels": {"istio.io/rev": "old"}}})
    said = "the sidecar of pod p is of revision old, not new"
    assert str(stale_reason(cluster, workload(), Question(moved, "new", check_mode=True))) == said


@pytest.mark.parametrize("broken", [{"webhooks": ()}, {"answer": ApiError("no", status=500)}])
def test_check_mode_before_there_is_an_injector(broken):
    given = {"answer": pod(), "pods": [pod()], **broken}
    assert (
        str(stale_reason(Cluster(**given), workload(), Question(LABELLED, "", check_mode=True)))
        == "pod p has no sidecar"
    )
    opted_out = workload(**{"sidecar.istio.io/inject": "false"})
    assert stale_reason(Cluster(**given), opted_out, Question(LABELLED, "", check_mode=True)) is None


def test_an_injector_that_cannot_be_asked_is_an_error():
    with pytest.raises(MeshopsError, match="the injector can't be asked about pods in namespace n: no"):
        stale_reason(Cluster(ApiError("no", status=500), [pod()]), workload(), Question(UNCHANGED, ""))


FULL = ApiError('pods "injection-" is forbidden: exceeded quota: q, used: pods=1', status=403)
FORBIDDEN = ApiError('pods "injection-" is forbidden: violates PodSecurity "restricted:latest"', status=403)


@pytest.mark.parametrize("refusal", [FULL, FORBIDDEN])
@pytest.mark.parametrize("check_mode", [False, True])
def test_a_namespace_that_takes_no_pod_fails_nothing_where_nothing_is_to_be_done(refusal, check_mode):
    cluster = Cluster({"n": refusal, "default": pod("x:1")}, [pod("x:1")])
    assert stale_reason(cluster, workload(), Question(UNCHANGED, "", check_mode)) is None


def test_what_is_stale_where_the_quota_is_used_up_is_restarted_all_the_same():
    cluster = Cluster({"n": FULL, "default": pod("x:1")}, [pod()])
    assert str(stale_reason(cluster, workload(), Question(UNCHANGED, ""))) == "pod p has no sidecar"


def test_what_a_policy_would_not_let_come_back_is_not_restarted():
    cluster = Cluster({"n": FORBIDDEN, "default": pod("x:1")}, [pod()])
    with pytest.raises(MeshopsError) as error:
        stale_reason(cluster, workload(), Question(UNCHANGED, ""))
    assert "Deployment n/w must be restarted, because pod p has no sidecar" in str(error.value)
    assert 'would be refused: pods "injection-" is forbidden: violates PodSecurity' in str(error.value)


def test_stale_workload_has_a_reason_code():
    stale = stale_reason(Cluster(pod("x:1"), [pod()]), workload(), Question(UNCHANGED, ""))
    assert stale.reason is Reason.NO_SIDECAR


def test_check_mode_before_the_revision_is_installed_reports_the_move():
    moved = Change("update", "v1", "Namespace", None, "n", before={"metadata": {}})
    question = Question(moved, "1-31-0", check_mode=True, served=False)
    stale = stale_reason(Cluster(pod(), [pod("x:1", "1-30-0")]), workload(), question)
    assert str(stale) == "the sidecar of pod p is of revision 1-30-0, not 1-31-0"


def test_old_pod_beside_a_new_one_is_an_unfinished_rollout():
    old = pod()
    old["metadata"] |= {"name": "old", "labels": {"pod-template-hash": "before"}}
    judgement = judge(Cluster(pod("x:1"), [pod("x:1"), old]), workload(), Question(UNCHANGED, ""))
    assert judgement.stale is None
    assert str(judgement.unfinished) == "pod old has no sidecar"


def owned(name, kind=None, owner=None, image=None):
    made = pod(image)
    made["metadata"] |= {"name": name, "labels": {}, "ownerReferences": []}
    if kind:
        made["metadata"]["ownerReferences"] = [{"controller": True, "kind": kind, "name": owner}]
    return made


@pytest.mark.parametrize("kind", ["Rollout", "ReplicaSet", "Job"])
def test_pods_of_other_controllers_are_named(kind):
    cluster = Cluster(pod("x:1"), [owned("a", kind, "shop"), owned("b", kind, "shop"), owned("c", "Deployment", "w")])
    (warning,) = unreachable_pods(cluster, "n", Question(UNCHANGED, ""))
    assert warning.startswith(f"{kind} n/shop was not restarted, though pod a has no sidecar (and 1 more of its pods)")


def test_bare_pods_are_named_one_by_one():
    pods = [owned("a"), owned("b"), owned("fine", image="x:1")]
    warnings = unreachable_pods(Cluster(pod("x:1"), pods), "n", Question(UNCHANGED, ""))
    assert [warning.partition(" was")[0] for warning in warnings] == ["Pod n/a", "Pod n/b"]


def test_pods_that_have_ended_or_end_are_not_named():
    over, ending = owned("a", "Job", "j"), owned("b")
    over["status"] = {"phase": "Succeeded"}
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert unreachable_pods(Cluster(pod("x:1"), [over, ending]), "n", Question(UNCHANGED, "")) == []
