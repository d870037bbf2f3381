# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Starts and deletes the Jobs that remove faults when their duration is over."""

from __future__ import annotations

import calendar
import contextlib
import dataclasses
import time
import typing as t

from ..cluster.kinds import KNOWN
from ..cluster.poll import until
from ..cluster.workloads import wait_ready
from ..errors import MeshopsError
from ..mesh.untrusted import printable
from ..reconcile.types import K8sObject
from .expiry_job import LABEL, ExpiryJobOptions, expiry_image, expiry_job, expiry_key, expiry_objects

if t.TYPE_CHECKING:
    from ..cluster.client import Cluster

_JOB, _POD, _EVENT = KNOWN["batch", "Job"], KNOWN["", "Pod"], KNOWN["", "Event"]
#: Seconds that the Job may take to start.
_START_TIMEOUT = 90
#: Seconds before the deadline by which the Job has to be running.
_MARGIN = 5
#: A user id that is not root's; on OpenShift the namespace's own is used.
_USER = 65532


@dataclasses.dataclass(frozen=True)
class Expiry:
    """A running expiry Job.

    :ivar deadline: when it removes the faults, on the clock C(time.monotonic)
    """

    job: K8sObject
    deadline: float

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self.deadline

    @property
    def owner_reference(self) -> dict[str, t.Any]:
        """Makes an object belong to the Job, so that it is deleted with it even if the Job's own script fails."""
        meta = self.job["metadata"]
        return {"apiVersion": "batch/v1", "kind": "Job", "name": meta["name"], "uid": meta["uid"]}


def job_image(cluster: Cluster, namespace: str) -> str:
    """The proxy image of the mesh, of pods in this namespace if there are any.

    :raises MeshopsError: no pod runs one with a shell
    """
    image = expiry_image(cluster.list(_POD, namespace)) or expiry_image(cluster.list(_POD))
    if image is None:
        raise MeshopsError(
            "No pod of the mesh runs a proxy image with a shell, which the expiry Job needs:"
            " set image to one that has sh and curl, or set no duration"
        )
    return image


def job_user(cluster: Cluster) -> int | None:
    """The user id of the Job's container; None where the cluster chooses it."""
    return None if cluster.versions("security.openshift.io") else _USER


@contextlib.contextmanager
def running_job(cluster: Cluster, options: ExpiryJobOptions, duration: float) -> t.Iterator[Expiry]:
    """Runs the body with a running expiry Job, which is deleted again where the body fails.

    :param options: of the Job; its deadline is set here, by the cluster's clock
    :param duration: seconds until the Job removes the faults
    :raises MeshopsError: the Job does not start, or not before its deadline
    """
    begin = time.monotonic()
    now = _server_time(cluster, expiry_job(options))
    job = expiry_job(dataclasses.replace(options, deadline=now + int(duration)))
    created = {**cluster.create(job), "apiVersion": job["apiVersion"], "kind": job["kind"]}
    try:
        for obj in expiry_objects(job, options.name, created["metadata"]["uid"]):
            cluster.create(obj)
        cluster.patch(_JOB, job["metadata"]["name"], {"spec": {"suspend": False}}, options.namespace)
        (pod,) = wait_ready(cluster, [_pod_of(cluster, created)], _START_TIMEOUT)
        took = time.monotonic() - begin
        if pod["status"]["phase"] != "Running" or duration - took < _MARGIN:
            raise too_short(duration, f"the expiry Job took {took:.0f} s to start, and no fault was injected")
        yield Expiry(created, begin + int(duration))
    except BaseException:
        _delete(cluster, created)
        raise


def too_short(duration: float, why: str) -> MeshopsError:
    """The error for a duration that was over before the faults were injected."""
    return MeshopsError(f"duration: {duration:g} s is too short: {why}. Increase duration.")


def expiry_jobs(cluster: Cluster, namespace: str, name: str) -> list[K8sObject]:
    """The expiry Jobs of a VirtualService."""
    return cluster.list(_JOB, namespace, labels=f"{LABEL}={expiry_key(namespace, name)}")


def delete_jobs(cluster: Cluster, namespace: str, name: str, retained: Expiry | None = None) -> None:
    """Deletes the expiry Jobs of a VirtualService, and all that belongs to them.

    :param retained: a Job that is not deleted
    """
    for job in expiry_jobs(cluster, namespace, name):
        if retained is None or job["metadata"]["uid"] != retained.job["metadata"]["uid"]:
            _delete(cluster, job)


def _delete(cluster: Cluster, job: K8sObject) -> None:
    cluster.delete(_JOB, job["metadata"]["name"], job["metadata"]["namespace"])


def _server_time(cluster: Cluster, job: K8sObject) -> int:
    """The cluster's clock, in seconds since 1970; the clock of this machine may differ."""
    created = cluster.create(job, dry_run=True)
    return calendar.timegm(time.strptime(created["metadata"]["creationTimestamp"], "%Y-%m-%dT%H:%M:%SZ"))


def _pod_of(cluster: Cluster, job: K8sObject) -> K8sObject:
    """The Job's pod, as soon as it exists."""
    namespace, name = job["metadata"]["namespace"], job["metadata"]["name"]
    pods = until(
        lambda: cluster.list(_POD, namespace, labels=f"batch.kubernetes.io/job-name={name}"), _START_TIMEOUT, pause=0.25
    )
    if pods:
        return pods[0]
    events = cluster.list(_EVENT, namespace, fields=f"involvedObject.uid={job['metadata']['uid']}")
    reasons = "; ".join(printable(event["message"]) for event in events if event.get("type") == "Warning")
    raise MeshopsError(
        f"Job {namespace}/{name}: timed out after {_START_TIMEOUT} s waiting for its pod"
        + (f": {reasons}" if reasons else "")
    )
