# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which workloads have sidecars, and what of theirs is Istio's."""

from __future__ import annotations

from ..mesh.names import RESTARTABLE, istio_key
from ..mesh.pods import PROXY, injected, owner_of, revision_of, template_has_proxy
from .charts import Id
from .evidence import _Sure
from .item import Item, _item


def template_keys(obj: dict) -> list[str]:
    """The labels and annotations of Istio's on a workload's pod template, without what its selector needs."""
    spec = obj.get("spec") or {}
    meta = spec.get("template", {}).get("metadata") or {}
    selected = (spec.get("selector") or {}).get("matchLabels") or {}
    keys = [f"template label {key}" for key in meta.get("labels") or {} if istio_key(key) and key not in selected]
    return keys + [f"template annotation {key}" for key in meta.get("annotations") or {} if istio_key(key)]


def _restarts(listed: list[dict], sure: _Sure, gone: set[str]) -> tuple[list[Item], list[Item]]:
    """Workloads whose pods carry a sidecar, and workloads and pods of which no restart takes it out."""
    workloads = {
        (o["kind"], o["metadata"]["namespace"], o["metadata"]["name"]): o
        for o in listed
        if o["kind"] in RESTARTABLE and o["metadata"]["namespace"] not in gone
    }
    restarts: dict[Id, Item] = {}
    stuck = [
        _item(workload, "", "leave", [_INJECTED_BY_HAND])
        for workload in workloads.values()
        if workload not in sure and template_has_proxy(workload)
    ]
    for pod in listed:
        if pod["kind"] != "Pod" or not injected(pod) or pod["metadata"]["namespace"] in gone:
            continue
        namespace = pod["metadata"]["namespace"]
        owner = owner_of(pod)
        workload = workloads.get((owner[0], namespace, owner[1])) if owner else None
        if workload is None:
            keeper = f"its owner, {owner[0]} {owner[1]}, can't be restarted" if owner else "it has no controller"
            stuck.append(_item(pod, "", "leave", [f"carries a sidecar, but {keeper}: delete it and create it again"]))
        elif workload in sure or template_has_proxy(workload):
            continue
        elif held := _held_back(workload):
            stuck.append(_item(workload, "", "leave", [f"pods carry a sidecar; {held}"]))
        else:
            item = _item(
                workload, "sidecars", "restart", ["pods carry a sidecar"], template_keys(workload), revision_of(pod)
            )
            restarts.setdefault(item.id, item)
    return list(restarts.values()), list(dict.fromkeys(stuck))


_INJECTED_BY_HAND = (
    f"its own pod template holds {PROXY} (istioctl kube-inject writes it there): apply its manifest without that"
)


def _held_back(workload: dict) -> str:
    """Why a restart would not replace all of a workload's pods, and what to do; empty where it would."""
    spec = workload.get("spec") or {}
    strategy = spec.get("updateStrategy") or {}
    if spec.get("paused"):
        return "its rollout is paused: resume it"
    if strategy.get("type") == "OnDelete":
        return "its strategy is OnDelete: delete its pods"
    if workload["kind"] == "StatefulSet" and (partition := (strategy.get("rollingUpdate") or {}).get("partition")):
        return f"its updateStrategy.rollingUpdate.partition is {partition}: set it to 0"
    return ""
