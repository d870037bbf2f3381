# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restarts istiod so that nobody calls one that is about to go.

A plain rollout ends the old pod while the API server and proxies may still be sent to it: configuration is
then refused by a webhook that doesn't answer. Here the new pods become ready while the old ones stay
(the rollout is held), the old ones leave the Services, and end only after that.
A killed run leaves both generations serving; the next run continues from there.
"""

from __future__ import annotations

import datetime
import json
import time

from ..cluster.client import Cluster
from ..cluster.kinds import KNOWN, POD
from ..cluster.workloads import NotReady, wait_ready
from ..errors import MeshopsError
from ..mesh.pods import is_ready, owner_of
from ..reconcile.types import K8sObject
from .observe import RETIRED, istiod_pods, why_not_ready

DEPLOYMENT = KNOWN["apps", "Deployment"]
_SLICE = KNOWN["discovery.k8s.io", "EndpointSlice"]
#: On the Deployment: its own settings, kept while its rollout is held.
_HELD = "meshops.istio/rollout-held"
#: On the pod template: which restart made a pod.
_RESTARTED = "meshops.istio/restarted-at"
#: Seconds that a retired istiod goes on answering: a node may still send it connections until its kube-proxy
#: has seen the change, and Kubernetes has no sign for that. It is what a preStop sleep would be.
DRAIN = 5


def restart_istiods(cluster: Cluster, namespace: str, timeout: float) -> None:
    """Restarts every control plane in a namespace, one after the other.

    :param timeout: seconds for each
    :raises NotReady: a new pod doesn't become ready; the old ones still serve then
    """
    names = {owner.name for owner in map(owner_of, istiod_pods(cluster, namespace)) if owner}
    for name in sorted(names):
        _restart(cluster, namespace, name, timeout)
    _end_retired(cluster, namespace, timeout)


def finish_restart(cluster: Cluster, namespace: str, timeout: float) -> None:
    """Continues a restart that was killed: lets held rollouts go and ends old pods that have left the Services."""
    for deployment in cluster.list(DEPLOYMENT, namespace):
        if _HELD in (deployment["metadata"].get("annotations") or {}):
            _restart(cluster, namespace, deployment["metadata"]["name"], timeout)
    _end_retired(cluster, namespace, timeout)


def _restart(cluster: Cluster, namespace: str, name: str, timeout: float) -> None:
    deployment = cluster.get(DEPLOYMENT, name, namespace)
    if deployment is None:
        raise MeshopsError(f"Deployment {namespace}/{name}: restarting istiod failed (NotFound). Install it again.")
    if _HELD not in (deployment["metadata"].get("annotations") or {}):
        deployment = _hold(cluster, deployment)
    token = deployment["spec"]["template"]["metadata"]["annotations"][_RESTARTED]
    old = _wait_for_new(cluster, deployment, token, timeout)
    selected = deployment["spec"]["selector"]["matchLabels"]
    away = dict.fromkeys(["app", *selected])
    for pod in old:
        patch = {"metadata": {"labels": {**away, RETIRED: "true"}}}
        cluster.patch(POD, pod["metadata"]["name"], patch, namespace)
    _release(cluster, deployment)
    wait_ready(cluster, [{"apiVersion": "apps/v1", "kind": "Deployment", **deployment}], timeout)


def _hold(cluster: Cluster, deployment: K8sObject) -> K8sObject:
    """Starts the rollout, held: new pods start, no old one ends."""
    meta, spec = deployment["metadata"], deployment["spec"]
    own: K8sObject = {"minReadySeconds": spec.get("minReadySeconds")}
    strategy: K8sObject = {}
    if may_end_early(spec):
        own["strategy"] = spec.get("strategy") or {}
        strategy["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0}}
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
    patch = {
        "metadata": {"resourceVersion": meta["resourceVersion"], "annotations": {_HELD: json.dumps(own)}},
        "spec": {
            # must stay below the deadline for progress
            "minReadySeconds": spec.get("progressDeadlineSeconds", 600) - 1,
            **strategy,
            "template": {"metadata": {"annotations": {_RESTARTED: now}}},
        },
    }
    return cluster.patch(DEPLOYMENT, meta["name"], patch, meta["namespace"])


def may_end_early(spec: K8sObject) -> bool:
    """Whether a rollout by this Deployment's own strategy could end an old pod before a new one is there.

    Elsewhere the strategy is left alone: what this collection writes, Helm would find in its way later.
    """
    strategy = spec.get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return True
    may = str((strategy.get("rollingUpdate") or {}).get("maxUnavailable", "25%"))
    replicas = spec.get("replicas", 1)
    return (replicas * int(may[:-1]) // 100 if may.endswith("%") else int(may)) > 0


def _release(cluster: Cluster, deployment: K8sObject) -> None:
    meta = deployment["metadata"]
    own = json.loads(meta["annotations"][_HELD])
    back = {"minReadySeconds": own["minReadySeconds"]}
    if "strategy" in own:
        back["strategy"] = {key: own["strategy"].get(key) for key in ("type", "rollingUpdate")}
    patch = {"metadata": {"annotations": {_HELD: None}}, "spec": back}
    cluster.patch(DEPLOYMENT, meta["name"], patch, meta["namespace"])


def _wait_for_new(cluster: Cluster, deployment: K8sObject, token: str, timeout: float) -> list[K8sObject]:
    """Waits until the new pods are ready, and gives the old ones."""
    meta = deployment["metadata"]
    wanted = deployment["spec"].get("replicas", 1)
    deadline = time.monotonic() + timeout
    while True:
        pods = [p for p in istiod_pods(cluster, meta["namespace"]) if owner_of(p) == ("Deployment", meta["name"])]
        new = [p for p in pods if (p["metadata"].get("annotations") or {}).get(_RESTARTED) == token]
        ready = [p for p in new if is_ready(p)]
        if len(ready) >= wanted:
            return [p for p in pods if p not in new]
        if time.monotonic() > deadline:
            troubles = dict.fromkeys(why_not_ready(p) for p in new if p not in ready)
            trouble = "; ".join(each for each in troubles if each)
            raise NotReady(
                f"Deployment {meta['namespace']}/{meta['name']}: {len(ready)} of {wanted} new istiod pods are ready"
                f" after {timeout:.0f} s{trouble and ': ' + trouble}; the old ones still serve."
                f" See why with `kubectl -n {meta['namespace']}"
                f" describe pod -l app=istiod`, and run this again"
            )
        time.sleep(0.2)


def _end_retired(cluster: Cluster, namespace: str, timeout: float) -> None:
    """Ends the old pods once no Service leads to them, and waits until they are gone."""
    retired = {pod["metadata"]["name"]: pod for pod in cluster.list(POD, namespace, labels=f"{RETIRED}=true")}
    if not retired:
        return
    deadline = time.monotonic() + timeout
    while _endpoints(cluster, namespace) & set(retired):
        if time.monotonic() > deadline:
            raise NotReady(f"the Services in {namespace} still lead to {', '.join(sorted(retired))}")
        time.sleep(0.2)
    time.sleep(DRAIN)
    for name, pod in retired.items():
        cluster.delete(POD, name, namespace, uid=pod["metadata"]["uid"])
    while cluster.list(POD, namespace, labels=f"{RETIRED}=true"):
        if time.monotonic() > deadline:
            raise NotReady(f"old istiod pods don't end: {', '.join(sorted(retired))}")
        time.sleep(0.2)


def _endpoints(cluster: Cluster, namespace: str) -> set[str]:
    """The pods to which Services lead."""
    return {
        endpoint["targetRef"]["name"]
        for piece in cluster.list(_SLICE, namespace)
        for endpoint in piece.get("endpoints") or []
        if endpoint.get("targetRef")
    }
