# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Proves after a purge that the cluster still works: pods start, and writes are not refused."""

from __future__ import annotations

import time
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError
from ..cluster.kinds import KNOWN
from ..errors import MeshopsError
from ..mesh.pods import has_proxy, was_injected
from ..reconcile.types import K8sObject

_NAMESPACE = KNOWN["", "Namespace"]
_POD = KNOWN["", "Pod"]
_SIDECAR = "networking.istio.io/v1"
_NAME = "meshops-purge-proof-"
_POLL = 0.1
#: The status with which quotas, limits, Pod Security and other admission refuse an object. It proves nothing about
#: Istio, whose webhooks answer 400, and 500 where they can't be called.
_FORBIDDEN = 403
#: Kubelet's reasons for a container without its image (pkg/kubelet/images/types.go).
_LACKS_IMAGE = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError")


def prove(
    cluster: Cluster, namespaces: t.Iterable[str], image: str, timeout: float, *, mesh_objects: bool
) -> list[str]:
    """Creates objects by a dry run in each namespace that had injection, and starts a real pod in the first.

    Where Istio's API is retained, an object of it is created, too. A namespace that is terminating accepts nothing new
    and is skipped. Without any other, C(default) is used in their place, and no pod is started.

    :param mesh_objects: whether Istio's API, where there is one, is retained
    :returns: what was proved, one sentence each
    :raises MeshopsError: a write was refused, or the pod did not start
    """
    proved = []
    remaining = [name for name in namespaces if _remains(cluster, name)]
    started = not remaining
    mesh_object = mesh_objects and "Sidecar" in cluster.discover(_SIDECAR)
    for namespace in remaining or ["default"]:
        for obj in (_config_map(namespace), _pod(namespace, image), *([_sidecar(namespace)] if mesh_object else [])):
            refusal = _refusal(cluster, obj)
            if refusal is None:
                proved.append(f"a {obj['kind']} can be created in namespace {namespace}")
            else:
                proved.append(f"a {obj['kind']} in namespace {namespace} is refused by its own rules: {refusal}")
                continue
            if obj["kind"] == "Pod" and not started:
                node = _start(cluster, obj, timeout)
                proved.append(f"a new pod started in namespace {namespace} on node {node}, without a sidecar")
                started = True
    return proved


def _remains(cluster: Cluster, namespace: str) -> bool:
    live = cluster.get(_NAMESPACE, namespace)
    return live is not None and not live["metadata"].get("deletionTimestamp")


def _refusal(cluster: Cluster, obj: K8sObject) -> str | None:
    try:
        cluster.create(obj, dry_run=True)
    except ApiError as error:
        if error.status == _FORBIDDEN:
            return str(error)
        raise MeshopsError(
            f"{obj['kind']} in namespace {obj['metadata']['namespace']}: creation failed after the purge: {error}"
        ) from error
    return None


def _start(cluster: Cluster, pod: K8sObject, timeout: float) -> str:
    namespace = pod["metadata"]["namespace"]
    made = cluster.create(pod)
    name = made["metadata"]["name"]
    try:
        if was_injected(made) or has_proxy(made):
            raise MeshopsError(f"Pod {namespace}/{name}: Istio's sidecar is still injected after the purge")
        deadline = time.monotonic() + timeout
        while True:
            live = cluster.get(_POD, name, namespace) or made
            if has_started(live):
                return live["spec"].get("nodeName", "")
            if time.monotonic() > deadline:
                conditions = (live.get("status") or {}).get("conditions") or []
                why = "; ".join(c["message"] for c in conditions if c.get("message")) or "no reason is given"
                raise MeshopsError(
                    f"Pod {namespace}/{name}: not started {timeout:.0f} s after the purge (Timeout): {why}"
                )
            time.sleep(_POLL)
    finally:
        cluster.delete(_POD, name, namespace)


def has_started(pod: K8sObject) -> bool:
    """Whether a pod runs, or has its sandbox with a network address and lacks only an image."""
    status = pod.get("status") or {}
    if status.get("phase") in ("Running", "Succeeded"):
        return True
    waiting = [(c.get("state") or {}).get("waiting") or {} for c in status.get("containerStatuses") or []]
    lacks_image = any(w.get("reason") in _LACKS_IMAGE for w in waiting)
    return bool(status.get("podIP")) and lacks_image


def _config_map(namespace: str) -> K8sObject:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": _NAME, "namespace": namespace}}


def _sidecar(namespace: str) -> K8sObject:
    return {"apiVersion": _SIDECAR, "kind": "Sidecar", "metadata": {"generateName": _NAME, "namespace": namespace}}


def _pod(namespace: str, image: str) -> K8sObject:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": _NAME, "namespace": namespace},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65535, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "proof",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
        },
    }
