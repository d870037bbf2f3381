# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.workloads import NotReady, wait_ready

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n", "uid": "u"}}


class Cluster:
    """One object with its pods, without events; a log has one line that says whose it is."""

    def __init__(self, live, pods=()):
        self.live, self.pods, self.asked = live, list(pods), []

    def kind(self, *_which):
        return None

    def get(self, *_which):
        return self.live

    def list(self, kind, _namespace, labels="", **_query):
        if kind.kind != "Pod":
            return []
        self.asked.append(labels)
        return self.pods

    def logs(self, _namespace, pod, container, lines, previous):
        return f"log of {pod}/{container}{' before' if previous else ''}\n"


def waiting(reason, restarts=0):
    container = {"name": "c", "image": "i", "restartCount": restarts, "state": {"waiting": {"reason": reason}}}
    return Cluster({**POD, "status": {"containerStatuses": [container]}})


@pytest.mark.parametrize(
    ("cluster", "timeout", "unpullable"),
    [
        (waiting("ImagePullBackOff"), 60, True),
        (waiting("InvalidImageName"), 60, True),
        (waiting("CreateContainerConfigError"), 60, False),
        (waiting("CrashLoopBackOff", restarts=3), 60, False),
        (waiting("ErrImagePull"), 0, True),
        (waiting("ContainerCreating"), 0, False),
    ],
)
def test_an_image_that_can_not_be_pulled_is_told_from_other_trouble(cluster, timeout, unpullable):
    with pytest.raises(NotReady) as error:
        wait_ready(cluster, [POD], timeout)
    assert error.value.unpullable is unpullable
    assert "Pod n/p is not ready" in str(error.value)
    assert ("imagePullSecrets" in str(error.value)) is unpullable


def status(name, ready=False, restarts=0, **state):
    return {"name": name, "image": "i", "ready": ready, "restartCount": restarts, "state": state}


def said_of(pod):
    with pytest.raises(NotReady) as error:
        wait_ready(Cluster(pod), [POD], 0)
    return str(error.value)


@pytest.mark.parametrize("where", ["initContainerStatuses", "containerStatuses"])
def test_the_last_lines_of_a_container_that_has_crashed_are_those_of_the_run_before(where):
    crashed = status("istio-proxy", restarts=1, waiting={"reason": "CrashLoopBackOff"})
    text = said_of({**POD, "status": {where: [crashed]}})
    assert "Last lines of istio-proxy: log of p/istio-proxy before" in text


def test_a_native_sidecar_that_is_not_ready_has_its_say_and_one_that_waits_has_none():
    containers = [
        status("istio-validation", ready=True, terminated={"exitCode": 0}),
        status("istio-proxy", running={}),
    ]
    waits = status("app", waiting={"reason": "PodInitializing"})
    text = said_of({**POD, "status": {"initContainerStatuses": containers, "containerStatuses": [waits]}})
    assert text.count("Last lines of") == 1
    assert "Last lines of istio-proxy: log of p/istio-proxy" in text
    assert "before" not in text


# -- jobs ---------------------------------------------------------------------


def job(**fields):
    meta = {"name": "j", "namespace": "n", "uid": "j"}
    spec = {"selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "j"}}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": spec, "status": fields}


def job_pod(name, made, **fields):
    return {**POD, "metadata": {**POD["metadata"], "name": name, "creationTimestamp": made}, "status": fields}


def test_a_job_that_has_failed_is_not_waited_for_and_its_last_pods_say_why():
    ended = status("c", terminated={"exitCode": 3, "reason": "Error"})
    pods = [
        job_pod(name, f"2026-01-0{day}T00:00:00Z", phase="Failed", containerStatuses=[ended])
        for day, name in enumerate(("oldest", "older", "newest"), 1)
    ]
    failed = job(conditions=[{"type": "Failed", "status": "True", "message": "too often"}])
    cluster = Cluster(failed, [*pods, job_pod("good", "2026-01-09T00:00:00Z", phase="Succeeded")])
    with pytest.raises(NotReady) as error:
        wait_ready(cluster, [failed], 60)
    text = str(error.value)
    assert text.startswith("Job n/j is not ready: too often. Pod newest: has failed: container c ended with 3 (Error).")
    assert "Last lines of c: log of newest/c Pod older:" in text
    assert not [name for name in ("oldest", "good") if name in text]
    assert cluster.asked[0] == "batch.kubernetes.io/controller-uid=j"


def test_how_often_a_job_may_crash_is_its_own_to_say():
    crashes = status("c", restarts=5, waiting={"reason": "CrashLoopBackOff"})
    cluster = Cluster(job(), [job_pod("p", "", phase="Running", containerStatuses=[crashes])])
    complete = job(conditions=[{"type": "Complete", "status": "True"}])
    answers = iter([job(), job(), complete])
    cluster.get = lambda *_which: next(answers)
    assert wait_ready(cluster, [job()], 60, pause=0) == [complete]


def test_a_job_whose_image_can_not_be_pulled_is_not_waited_for():
    lacks = status("c", waiting={"reason": "ImagePullBackOff"})
    cluster = Cluster(job(), [job_pod("p", "", phase="Pending", containerStatuses=[lacks])])
    with pytest.raises(NotReady, match=r"Pod p: container c, image i: ImagePullBackOff\. Check its name") as error:
        wait_ready(cluster, [job()], 60)
    assert error.value.unpullable
