# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which workloads have sidecars, and what of theirs is Istio's."""

from __future__ import annotations

import dataclasses
import typing as t

from ..mesh.names import RESTARTABLE, istio_key
from ..mesh.pods import injected, owner_of, revision_of, template_has_proxy
from ..reconcile.identity import Key as Id
from ..reconcile.types import K8sObject
from .item import Evidence, Item, Key, Reason, Scope, item_of
from .selected import SelectedKeys, selector_keys


def template_keys(obj: K8sObject, selected: t.Container[str] = ()) -> list[Key]:
    """The labels and annotations of Istio's on a workload's pod template, without labels that selectors name."""
    spec = obj.get("spec") or {}
    meta = (spec.get("template") or {}).get("metadata") or {}
    own = selector_keys(spec.get("selector"))
    labels = [k for k in meta.get("labels") or {} if istio_key(k) and k not in own and k not in selected]
    annotations = [k for k in meta.get("annotations") or {} if istio_key(k)]
    return [*(Key(Scope.TEMPLATE_LABEL, k) for k in labels), *(Key(Scope.TEMPLATE_ANNOTATION, k) for k in annotations)]


class Sidecars:
    """What a purge does with sidecars.

    :ivar restarts: workloads whose pods carry a sidecar, and lose it by a restart
    :ivar stuck: workloads and pods whose sidecars no restart removes
    :ivar retained: restarted workloads with labels that are retained, since others select by them
    """

    def __init__(
        self,
        listed: t.Sequence[K8sObject],
        proven: t.Container[K8sObject],
        gone: t.Container[str],
        selected: SelectedKeys,
    ) -> None:
        self._proven, self._selected = proven, selected
        self._workloads = {
            (o["kind"], o["metadata"]["namespace"], o["metadata"]["name"]): o
            for o in listed
            if o["kind"] in RESTARTABLE and o["metadata"]["namespace"] not in gone
        }
        stuck = [
            item_of(workload, "", "leave", [Evidence(Reason.INJECTED_MANIFEST)])
            for workload in self._workloads.values()
            if workload not in proven and template_has_proxy(workload)
        ]
        restarts: dict[Id, Item] = {}
        retained: dict[Id, Item] = {}
        for pod in listed:
            if pod["kind"] != "Pod" or not injected(pod) or pod["metadata"]["namespace"] in gone:
                continue
            workload, obstacle = self._obstacle(pod)
            if obstacle:
                stuck.append(item_of(workload or pod, "", "leave", [obstacle]))
            elif workload and workload not in proven and not template_has_proxy(workload):
                item = self._restart(workload, revision_of(pod))
                restarts.setdefault(item.id, item)
                if kept := self._kept(workload):
                    retained.setdefault(item.id, item_of(workload, "", "leave", kept))
        self.restarts = list(restarts.values())
        self.stuck = list(dict.fromkeys(stuck))
        self.retained = list(retained.values())

    def _obstacle(self, pod: K8sObject) -> tuple[K8sObject | None, Evidence | None]:
        """The workload of a pod, and why its restart would not remove the pod's sidecar."""
        owner = owner_of(pod)
        if owner is None:
            return None, Evidence(Reason.NO_CONTROLLER)
        workload = self._workloads.get((owner[0], pod["metadata"]["namespace"], owner[1]))
        if workload is None:
            return None, Evidence(Reason.OWNER_NOT_RESTARTABLE, f"{owner[0]} {owner[1]}")
        if workload in self._proven or template_has_proxy(workload):
            return workload, None
        return workload, _held_back(workload)

    def _restart(self, workload: K8sObject, revision: str) -> Item:
        keys = template_keys(workload, self._selected.of_pods(workload["metadata"]["namespace"]))
        item = item_of(workload, "sidecars", "restart", [Evidence(Reason.SIDECAR)], keys)
        return dataclasses.replace(item, revision=revision)

    def _kept(self, workload: K8sObject) -> list[Evidence]:
        """The labels of its pod template that others select by."""
        selected = self._selected.of_pods(workload["metadata"]["namespace"])
        return [
            Evidence(Reason.KEY_SELECTED, f"{key} (selector of {selected[key.name]})")
            for key in template_keys(workload)
            if key.scope is Scope.TEMPLATE_LABEL and key.name in selected
        ]


def _held_back(workload: K8sObject) -> Evidence | None:
    """Why a restart would not replace all of a workload's pods."""
    spec = workload.get("spec") or {}
    strategy = spec.get("updateStrategy") or {}
    if spec.get("paused"):
        return Evidence(Reason.PAUSED)
    if strategy.get("type") == "OnDelete":
        return Evidence(Reason.ON_DELETE)
    partition = (strategy.get("rollingUpdate") or {}).get("partition")
    if workload["kind"] == "StatefulSet" and partition:
        return Evidence(Reason.PARTITION, str(partition))
    return None
