# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which pods of a namespace an observation can't see: a log that is silent about them proves nothing. Pure."""

from __future__ import annotations

import enum
import typing as t

from ..mesh.pods import has_proxy, has_sidecar, in_ambient, is_gateway, labels_of
from ..reconcile.types import K8sObject, Labels
from .flows import workload_of

_DATA_PLANE_MODE = "istio.io/dataplane-mode"


class GapReason(enum.Enum):
    """Why nothing is known about a pod or a namespace."""

    AMBIENT = "ambient"
    NO_SIDECAR = "no_sidecar"
    NO_WORKLOADS = "no_workloads"
    NOT_OBSERVED = "not_observed"


class Gap(t.TypedDict):
    """A pod, or a namespace, whose traffic wasn't seen."""

    namespace: str
    workload: str
    pod: str
    reason: str
    message: str


def is_running(pod: K8sObject) -> bool:
    """Whether a pod runs and isn't being deleted."""
    return pod["status"].get("phase") == "Running" and not pod["metadata"].get("deletionTimestamp")


def gaps(
    namespace: str,
    labels: Labels,
    pods: t.Iterable[K8sObject],
    accepted: t.Collection[str] = (),
    *,
    observed: bool = True,
) -> list[Gap]:
    """What an observation of a namespace doesn't cover.

    PeerAuthentications don't count for the listeners of gateways, so these are no gap. Ambient pods always are:
    ztunnel enforces mTLS for them, and they have no proxy that logs.

    :param labels: of the namespace
    :param pods: its pods
    :param accepted: workloads (C(namespace/name)) whose pods may run without a sidecar
    :param observed: whether anything was observed at all
    """
    running = [pod for pod in pods if is_running(pod)]
    found = [gap for pod in running if (gap := _gap(pod, labels, accepted))]
    if not any(has_sidecar(pod) for pod in running):
        found.append(
            _entry(
                namespace, "", "", GapReason.NO_WORKLOADS, "no running pod has a sidecar: check its name and injection"
            )
        )
    if not observed:
        found.append(_entry(namespace, "", "", GapReason.NOT_OBSERVED, "nothing was observed: set more than 0 seconds"))
    return found


def _gap(pod: K8sObject, labels: Labels, accepted: t.Collection[str]) -> Gap | None:
    meta = pod["metadata"]
    workload = workload_of(pod)
    name = f"{workload['namespace']}/{workload['workload']}"
    if has_sidecar(pod) or is_gateway(pod):
        return None
    if _in_ambient(pod, labels):
        why = "it is in ambient mode, in which no sidecar logs and ztunnel enforces mTLS; it can't be observed"
        return _entry(meta["namespace"], name, meta["name"], GapReason.AMBIENT, why)
    if name in accepted:
        return None
    why = "it has no sidecar that could be observed: inject one, or accept that workload"
    return _entry(meta["namespace"], name, meta["name"], GapReason.NO_SIDECAR, why)


def _in_ambient(pod: K8sObject, labels: Labels) -> bool:
    if in_ambient(pod) or has_proxy(pod):
        return True  # what has a proxy and is neither a sidecar nor a gateway is a waypoint or ztunnel
    mode = labels_of(pod).get(_DATA_PLANE_MODE) or labels.get(_DATA_PLANE_MODE)
    return mode == "ambient" and not pod["spec"].get("hostNetwork")


def _entry(namespace: str, workload: str, pod: str, reason: GapReason, why: str) -> Gap:
    subject = f"Pod {namespace}/{pod}" if pod else f"Namespace {namespace}"
    return {
        "namespace": namespace,
        "workload": workload,
        "pod": pod,
        "reason": reason.value,
        "message": f"{subject}: {why}",
    }
