# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Workloads: waiting until they are ready, restarting them, and saying why one doesn't come up."""

from __future__ import annotations

import datetime
import time
import typing as t

from ..errors import MeshopsError
from ..reconcile.readiness import unready
from .client import Cluster, PatchOptions
from .errors import ApiError
from .kinds import KNOWN

#: The kinds that run pods and say how many of them are ready.
WORKLOADS = ("Deployment", "DaemonSet", "StatefulSet")

#: Reasons of a waiting container that don't go away by themselves.
_UNPULLABLE = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName")
_HOPELESS = (*_UNPULLABLE[1:], "CreateContainerConfigError")
_CRASHES = 3
_PULL_REMEDY = " Check its name and tag (hub, tag), and that the nodes may pull it (imagePullSecrets)."
_RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
_REVISION = "deployment.kubernetes.io/revision"


class NotReady(MeshopsError):
    """Something doesn't become ready; the text says what, and what its pods have to say.

    :ivar unpullable: a pod of it waits for an image that can't be pulled
    """

    def __init__(self, message: str, *, unpullable: bool = False) -> None:
        super().__init__(message)
        self.unpullable = unpullable


def _condition(status: t.Mapping[str, t.Any], name: str) -> dict[str, t.Any] | None:
    """The condition of that type, where it is true."""
    found = [c for c in status.get("conditions") or () if c["type"] == name and c["status"] == "True"]
    return found[0] if found else None


def wait_ready(
    cluster: Cluster,
    objects: t.Iterable[t.Mapping[str, t.Any]],
    timeout: float,
    pause: float = 0.1,
) -> list[dict[str, t.Any]]:
    """Waits until all objects are ready, and gives them as the server has them then.

    :param objects: anything with apiVersion, kind and metadata (name, namespace)
    :param timeout: seconds for all of them together
    :param pause: seconds between two checks at first; they grow to half a second
    :raises NotReady: one isn't in time, or can't become so; the text holds events and log lines of its pods
    """
    deadline = time.monotonic() + timeout
    waiting = list(objects)
    ready = []
    next_question = 0.0
    while waiting:
        still = []
        asked = time.monotonic() > next_question  # what its pods say takes more requests than whether it is ready
        if asked:
            next_question = time.monotonic() + 1
        for wanted in waiting:
            meta = wanted["metadata"]
            kind = cluster.kind(wanted["apiVersion"], wanted["kind"])
            live = cluster.get(kind, meta["name"], meta.get("namespace"))
            reason = "does not exist" if live is None else unready({**live, "kind": wanted["kind"]})
            if live is not None and reason is None:
                ready.append(live)
                continue
            late = time.monotonic() > deadline
            over = live is not None and _has_failed(live, wanted["kind"])
            ask = live is not None and (asked or late or over)
            trouble = _explain(cluster, live, wanted["kind"], late=late or over) if ask and live is not None else ""
            if trouble or late or over:
                where = f"{meta['namespace']}/{meta['name']}" if meta.get("namespace") else meta["name"]
                after = f" after {timeout:.0f} s" if late else ""
                said = f"{wanted['kind']} {where} is not ready{after}: {reason}{trouble and '. ' + trouble}"
                raise NotReady(said, unpullable=live is not None and _lacks_image(cluster, live, wanted["kind"]))
            still.append(wanted)
        waiting = still
        if waiting:
            time.sleep(pause)
            pause = min(pause * 1.2, 0.5)
    return ready


# -- why not ------------------------------------------------------------------


def _has_failed(live: dict[str, t.Any], kind: str) -> bool:
    """Whether it is over: a Job has given up. A Deployment whose progress deadline has passed still tries."""
    return kind == "Job" and _condition(live.get("status") or {}, "Failed") is not None


def _explain(cluster: Cluster, live: dict[str, t.Any], kind: str, *, late: bool) -> str:
    """What the pods of a workload that isn't ready say; empty where there is still hope and it isn't late."""
    said = []
    for pod in _new_pods(cluster, live, kind):
        trouble = _pod_trouble(pod, late=late, may_crash=kind == "Job")
        if trouble:
            said.append(f"Pod {pod['metadata']['name']}: {trouble}{_events(cluster, pod)}{_last_lines(cluster, pod)}")
    if not said and late:
        conditions = (live.get("status") or {}).get("conditions") or ()
        said = [c["message"] for c in conditions if c["type"] in ("ReplicaFailure", "Progressing") and c.get("message")]
    return " ".join(said[:2])


def _lacks_image(cluster: Cluster, live: dict[str, t.Any], kind: str) -> bool:
    """Whether a container of something that isn't ready waits for an image that can't be pulled."""
    statuses = [c for pod in _new_pods(cluster, live, kind) for c in _container_statuses(pod)]
    return any(((c.get("state") or {}).get("waiting") or {}).get("reason") in _UNPULLABLE for c in statuses)


def _container_statuses(pod: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _new_pods(cluster: Cluster, live: dict[str, t.Any], kind: str) -> list[dict[str, t.Any]]:
    """The pods of anything, as far as one may see them; a pod's is itself, and a Job's come with the newest first."""
    if kind == "Pod":
        return [live]
    try:
        if kind == "Job":
            pods = cluster.list(KNOWN["", "Pod"], live["metadata"]["namespace"], labels=selector(live))
            return sorted(pods, key=lambda pod: pod["metadata"].get("creationTimestamp") or "", reverse=True)
        return new_pods(cluster, live, kind) if kind in WORKLOADS else []
    except ApiError as error:
        if error.status != 403:
            raise
        return []


def new_pods(cluster: Cluster, live: dict[str, t.Any], kind: str) -> list[dict[str, t.Any]]:
    """The pods that a workload has made from its present template (not those that are about to go)."""
    meta, namespace = live["metadata"], live["metadata"]["namespace"]
    labels = selector(live)
    pods = cluster.list(KNOWN["", "Pod"], namespace, labels=labels)
    annotations = meta.get("annotations") or {}
    label, value = "", None
    if kind == "Deployment":
        sets = cluster.list(KNOWN["apps", "ReplicaSet"], namespace, labels=labels)
        label = "pod-template-hash"
        value = next((s["metadata"]["labels"].get(label) for s in sets if _made_last(s["metadata"], meta)), None)
    if kind == "DaemonSet":
        label, value = "pod-template-generation", annotations.get("deprecated.daemonset.template.generation")
    if kind == "StatefulSet":
        label, value = "controller-revision-hash", (live.get("status") or {}).get("updateRevision")
    pods = [p for p in pods if not p["metadata"].get("deletionTimestamp")]
    return [p for p in pods if p["metadata"]["labels"].get(label) == value]


def _made_last(replica_set: dict[str, t.Any], deployment: dict[str, t.Any]) -> bool:
    """Whether a ReplicaSet, by its metadata, is that of a Deployment's present template."""
    of, made = deployment.get("annotations") or {}, replica_set.get("annotations") or {}
    owned = any(o["uid"] == deployment["uid"] for o in replica_set.get("ownerReferences") or ())
    return owned and made.get(_REVISION) == of.get(_REVISION)


def selector(workload: t.Mapping[str, t.Any]) -> str:
    """The label selector of a workload as a query string."""
    chosen = workload["spec"]["selector"]
    terms = [f"{k}={v}" for k, v in (chosen.get("matchLabels") or {}).items()]
    for term in chosen.get("matchExpressions") or ():
        name, values = term["key"], f"({','.join(term.get('values') or ())})"
        written = {"In": f"{name} in {values}", "NotIn": f"{name} notin {values}", "Exists": name}
        terms.append(written.get(term["operator"], f"!{name}"))
    return ",".join(terms)


def _pod_trouble(pod: dict[str, t.Any], *, late: bool, may_crash: bool = False) -> str:
    """What keeps a pod from being ready; empty where nothing does, or where it may still come and isn't late.

    :param may_crash: crashes are counted by somebody else
    """
    status = pod.get("status") or {}
    if status.get("phase") == "Succeeded":
        return ""
    for container in _container_statuses(pod):
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason = waiting.get("reason", "")
        crashes = reason == "CrashLoopBackOff" and container["restartCount"] >= _CRASHES and not may_crash
        if reason in _HOPELESS or crashes or (late and waiting):
            message = f" ({waiting['message']})" if waiting.get("message") else ""
            remedy = _PULL_REMEDY if reason in _UNPULLABLE else ""
            return f"container {container['name']}, image {container['image']}: {reason}{message}.{remedy}"
    if late and status.get("phase") == "Failed":
        return f"has failed: {status.get('message') or _ending(pod)}."
    if late and not _condition(status, "Ready"):
        for condition in status.get("conditions") or ():
            if condition["type"] == "PodScheduled" and condition["status"] != "True":
                return f"can't be scheduled: {condition.get('message', '')}."
        return f"is {status.get('phase', 'Pending')} but not ready."
    return ""


def _ending(pod: dict[str, t.Any]) -> str:
    """How the first of a pod's containers ended that didn't end well."""
    for container in _container_statuses(pod):
        ended = (container.get("state") or {}).get("terminated") or {}
        if ended.get("exitCode"):
            return f"container {container['name']} ended with {ended['exitCode']} ({ended.get('reason', 'no reason')})"
    return "no container says why"


def _events(cluster: Cluster, pod: dict[str, t.Any]) -> str:
    """The newest warnings about a pod."""
    try:
        events = cluster.list(
            KNOWN["", "Event"], pod["metadata"]["namespace"], fields=f"involvedObject.uid={pod['metadata']['uid']}"
        )
    except ApiError:
        return ""
    warnings = [e for e in events if e.get("type") == "Warning"]
    warnings.sort(key=lambda e: e.get("lastTimestamp") or e.get("eventTime") or "")
    told = list(dict.fromkeys(f"{e['reason']}: {e['message']}" for e in warnings))
    return f" Events: {' | '.join(told[-3:])}." if told else ""


def _last_lines(cluster: Cluster, pod: dict[str, t.Any]) -> str:
    """The last log lines of the containers that have run but aren't ready."""
    told = []
    for container in _container_statuses(pod):
        state = container.get("state") or {}
        restarted = container.get("restartCount", 0) > 0
        crashed = restarted and "waiting" in state
        ended = "terminated" in state and (restarted or state["terminated"].get("exitCode", 0) != 0)
        if container.get("ready") or not (crashed or ended or "running" in state):
            continue
        try:
            lines = cluster.logs(
                pod["metadata"]["namespace"], pod["metadata"]["name"], container["name"], lines=5, previous=crashed
            )
        except ApiError:
            continue
        told.append(f" Last lines of {container['name']}: {lines.strip()}")
    return "".join(told)


# -- restarts -----------------------------------------------------------------


def restart(cluster: Cluster, workload: t.Mapping[str, t.Any], timeout: float) -> None:
    """Rolls a workload as C(kubectl rollout restart) does, and waits until the new pods are ready.

    :param workload: anything with apiVersion, kind and metadata (name, namespace)
    :param timeout: seconds
    :raises NotReady: the new pods don't come up; the text says why
    """
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
    patch = {"spec": {"template": {"metadata": {"annotations": {_RESTARTED_AT: now}}}}}
    meta = workload["metadata"]
    kind = cluster.kind(workload["apiVersion"], workload["kind"])
    cluster.patch(kind, meta["name"], patch, meta["namespace"], PatchOptions(how="strategic"))
    wait_ready(cluster, [workload], timeout)
