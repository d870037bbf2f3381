# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Takes the sidecar out of one workload after the other, by a rolling restart of each."""

from __future__ import annotations

import datetime
import time
import typing as t

from ..cluster.kinds import KNOWN
from ..errors import MeshopsError
from ..footprint.item import Item
from ..mesh.pods import injected, owner_of
from ..reconcile.readiness import unready
from .deletion import POLL, Deletions

_POD = KNOWN["", "Pod"]
#: Seconds between two looks at a workload that takes long.
_SLOWEST = 0.5


def restart_without_sidecar(objects: Deletions, item: Item, timeout: float) -> list[str]:
    """Restarts a workload and waits until its new pods are ready and no pod of it has a sidecar.

    :returns: remarks for the user
    :raises MeshopsError: it isn't ready in time
    """
    begin = time.monotonic()
    restarted = False
    remarks: list[str] = []
    while True:
        workload = objects.get(item)
        if workload is None:
            return remarks
        late = unready(workload)
        if not (restarted and late):
            with_sidecar, without = _templates(objects, item)
            if not with_sidecar and not late:
                return remarks
            begun = bool(without and late) and not with_sidecar & without  # by a purge that was interrupted
            if not restarted and with_sidecar and not begun:
                if late:
                    remarks.append(f"{item.where} was not ready before its restart either: {late}")
                objects.patch(item, restart_patch(item))
                restarted = True
        waited = time.monotonic() - begin
        if waited > timeout:
            raise MeshopsError(
                f"{item.where} isn't ready {timeout:.0f} s after its restart"
                f" ({late or 'pods with a sidecar are still there'}); no other workload is restarted before it is."
                " Mend it, or leave all sidecars where they are with restart_workloads: false (the role's"
                " purge_restart_workloads) and restart the workloads yourself later"
            )
        time.sleep(min(_SLOWEST, max(POLL, waited / 20)))


def _templates(objects: Deletions, item: Item) -> tuple[set[str], set[str]]:
    """The templates of those pods of a workload that have a sidecar, and of those that have none."""
    found: tuple[set[str], set[str]] = (set(), set())
    for pod in objects.cluster.list(_POD, item.namespace):
        if owner_of(pod) == (item.kind, item.name) and not pod["metadata"].get("deletionTimestamp"):
            labels = pod["metadata"].get("labels") or {}
            template = labels.get("pod-template-hash") or labels.get("controller-revision-hash") or ""
            found[0 if injected(pod) else 1].add(template)
    return found


def restart_patch(item: Item) -> dict:
    """The merge patch that restarts a workload as kubectl does, and takes Istio's keys off its template."""
    moment = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    template: dict[str, t.Any] = {"annotations": {"kubectl.kubernetes.io/restartedAt": moment}}
    for field, what in (("labels", "template label "), ("annotations", "template annotation ")):
        for key in item.keys:
            if key.startswith(what):
                template.setdefault(field, {})[key.removeprefix(what)] = None
    return {"spec": {"template": {"metadata": template}}}
