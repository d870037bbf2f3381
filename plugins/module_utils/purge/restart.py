# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Removes the sidecar of one workload, by a rolling restart."""

from __future__ import annotations

import datetime
import time

from ..cluster.kinds import KNOWN
from ..errors import MeshopsError
from ..footprint.item import Item, Scope
from ..mesh.pods import injected, owner_of
from ..reconcile.readiness import unready
from ..reconcile.types import K8sObject
from .deletion import POLL, Deletions

_POD = KNOWN["", "Pod"]
#: Seconds between two checks of a workload that takes long.
_SLOWEST = 0.5


def restart_without_sidecar(objects: Deletions, item: Item, timeout: float) -> list[str]:
    """Restarts a workload and waits until its new pods are ready and no pod of it has a sidecar.

    :returns: notes for the user
    :raises MeshopsError: it is not ready in time
    """
    begin = time.monotonic()
    restarted = False
    notes: list[str] = []
    while True:
        workload = objects.get(item)
        if workload is None:
            return notes
        late = unready(workload)
        if not (restarted and late):
            with_sidecar, without = _templates(objects, item)
            if not with_sidecar and not late:
                return notes
            begun = bool(without and late) and not with_sidecar & without  # by a purge that was interrupted
            if not restarted and with_sidecar and not begun:
                if late:
                    notes.append(f"{item.where} was not ready before its restart: {late}")
                objects.patch(item, restart_patch(item))
                restarted = True
        waited = time.monotonic() - begin
        if waited > timeout:
            raise MeshopsError(
                f"{item.where}: restart without sidecar failed (Timeout): not ready after {timeout:.0f} s"
                f" ({late or 'pods with a sidecar are still there'}). No other workload is restarted until it is ready."
                " Fix it; or set `restart_workloads: false` (`purge_restart_workloads` in the role) and restart the"
                " workloads yourself later"
            )
        time.sleep(min(_SLOWEST, max(POLL, waited / 20)))


def _templates(objects: Deletions, item: Item) -> tuple[set[str], set[str]]:
    """The pod templates of a workload that are in use, of pods with a sidecar and of pods without."""
    found: tuple[set[str], set[str]] = (set(), set())
    for pod in objects.cluster.list(_POD, item.namespace):
        if owner_of(pod) == (item.kind, item.name) and not pod["metadata"].get("deletionTimestamp"):
            labels = pod["metadata"].get("labels") or {}
            template = labels.get("pod-template-hash") or labels.get("controller-revision-hash") or ""
            found[0 if injected(pod) else 1].add(template)
    return found


def restart_patch(item: Item) -> K8sObject:
    """The merge patch that restarts a workload as kubectl does, and removes Istio's keys from its template."""
    moment = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    labels = dict.fromkeys(item.names(Scope.TEMPLATE_LABEL))
    annotations: dict[str, str | None] = {"kubectl.kubernetes.io/restartedAt": moment}
    annotations |= dict.fromkeys(item.names(Scope.TEMPLATE_ANNOTATION))
    metadata = {"annotations": annotations, **({"labels": labels} if labels else {})}
    return {"spec": {"template": {"metadata": metadata}}}
