# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sidecar injection: namespaces choose it by a label, and workloads get it when their pods are made anew.

Whether a workload's pods are as they should be is asked of the injector itself: it is given a pod from the
workload's template in a dry run, and its answer is compared to the pods that run.
"""

from __future__ import annotations

import typing as t

from ..cluster.client import Cluster
from ..cluster.kinds import KNOWN
from ..cluster.workloads import WORKLOADS, new_pods, restart, selector
from ..errors import MeshopsError
from ..reconcile.diff import diff
from ..reconcile.plan import Change
from .injector import ENABLED, INJECT, REVISION, Answer, CannotAsk, Sidecar, answer, answer_elsewhere, sidecar

_NAMESPACE = KNOWN["", "Namespace"]
_POD = KNOWN["", "Pod"]
_WEBHOOKS = KNOWN["admissionregistration.k8s.io", "MutatingWebhookConfiguration"]
#: Namespaces that Istio's injector never injects into.
_NEVER = ("kube-system", "kube-public", "kube-node-lease", "local-path-storage")


class InjectionError(MeshopsError):
    """Injection can't be brought about; the text says why."""


def wanted_labels(revision: str) -> dict[str, str | None]:
    """The labels by which a namespace chooses a revision; None for one that it must not have."""
    return {REVISION: revision, ENABLED: None} if revision else {ENABLED: "enabled", REVISION: None}


def plan_namespaces(cluster: Cluster, names: t.Sequence[str], revision: str) -> list[Change]:
    """What has to be done to the namespaces' labels.

    :raises InjectionError: a namespace can't have injection
    """
    changes = []
    for name in dict.fromkeys(names):
        if name in _NEVER:
            raise InjectionError(f"Istio never injects into namespace {name}: leave it out of the namespaces")
        live = cluster.get(_NAMESPACE, name)
        wanted = wanted_labels(revision)
        labels = {} if live is None else live["metadata"].get("labels") or {}
        after: dict[str, t.Any] = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        after["metadata"]["labels"] = {k: v for k, v in {**labels, **wanted}.items() if v is not None}
        if live is None:
            changes.append(Change("create", "v1", "Namespace", None, name, after=after))
        elif after["metadata"]["labels"] != labels:
            changes.append(Change("update", "v1", "Namespace", None, name, before=live, after=after))
        else:
            changes.append(Change("unchanged", "v1", "Namespace", None, name, after=after))
    return changes


def _write(cluster: Cluster, change: Change, revision: str) -> None:
    if change.action == "create":
        cluster.create(change.after)
    elif change.action == "update":
        cluster.patch(_NAMESPACE, change.name, {"metadata": {"labels": wanted_labels(revision)}})


def workloads(cluster: Cluster, namespace: str) -> list[dict]:
    """The workloads of a namespace that have pods."""
    found = [o for kind in WORKLOADS for o in cluster.list(KNOWN["apps", kind], namespace)]
    return [o for o in found if o["kind"] == "DaemonSet" or o["spec"].get("replicas", 1) > 0]


def stale_reason(
    cluster: Cluster, workload: dict, change: Change, revision: str, check_mode: bool = False
) -> str | None:
    """Why a workload's pods aren't as the injector would make them; None where they are.

    :param change: what is about to be done to its namespace; in check mode it isn't done
    :raises InjectionError: the injector can't be asked, or the pods would have to be made anew and would be refused
    """
    template = workload["spec"]["template"]
    asked = _asked(cluster, workload["metadata"]["namespace"], template, change, revision, check_mode)
    reason = _difference(_judged(cluster, workload), asked and asked.sidecar, template)
    if reason and asked and asked.refusal:
        raise InjectionError(
            f"{_title(workload)} has to be restarted, because {reason}, and its new pods would be refused:"
            f" {asked.refusal}. Nothing was restarted"
        )
    return reason


def _asked(
    cluster: Cluster, namespace: str, template: dict, change: Change, revision: str, check_mode: bool
) -> Answer | None:
    """What the injector makes of a workload's pods; None where there is none to ask yet, in check mode.

    :raises InjectionError: it can't be asked
    """
    try:
        if not check_mode:
            return answer(cluster, namespace, template)
        if not cluster.list(_WEBHOOKS, labels="app=sidecar-injector"):
            return None
        if change.action == "unchanged":
            return answer(cluster, namespace, template)
        return Answer(answer_elsewhere(cluster, namespace, template, wanted_labels(revision)))
    except CannotAsk as error:
        if not check_mode:
            raise InjectionError(f"{error}. Nothing was restarted") from None
        return None  # a control plane that isn't mended yet


def _judged(cluster: Cluster, workload: dict) -> list[dict]:
    """The pods that have to be as the injector makes them: the newest, or all where a restart replaces none."""
    if not keeps_pods(workload):
        return new_pods(cluster, workload, workload["kind"])
    found = cluster.list(_POD, workload["metadata"]["namespace"], labels=selector(workload))
    return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]


def keeps_pods(workload: t.Mapping[str, t.Any]) -> str:
    """Why a restart replaces none of a workload's pods, and what does; empty where it replaces them."""
    if workload["spec"].get("paused"):
        return "its rollout is paused: resume it, and run this again"
    if (workload["spec"].get("updateStrategy") or {}).get("type") == "OnDelete":
        return "its update strategy is OnDelete: delete its pods"
    return ""


def not_restarted(workload: t.Mapping[str, t.Any], reason: str) -> str:
    """The warning about a workload that has to be restarted, and whose pods a restart doesn't replace."""
    return f"{_title(workload)} was not restarted, though {reason}: {keeps_pods(workload)}"


def _difference(pods: t.Iterable[dict], wanted: Sidecar | None, template: t.Mapping[str, t.Any]) -> str | None:
    """In what the first pod that isn't as it should be differs.

    :param wanted: what the injector would add; None where it can't be asked yet
    """
    for pod in pods:
        has, name = sidecar(pod), pod["metadata"]["name"]
        if has == wanted or (wanted is None and (has.image or _opted_out(template))):
            continue
        if not has.image:
            return f"pod {name} has no sidecar"
        if not wanted.image:
            return f"pod {name} has a sidecar, and should have none"
        if has.revision != wanted.revision:
            return f"the sidecar of pod {name} is of revision {has.revision or 'unknown'}, not {wanted.revision}"
        return f"the sidecar of pod {name} is {has.image}, not {wanted.image}"
    return None


def _opted_out(template: t.Mapping[str, t.Any]) -> bool:
    """Whether no injector would give a template's pods a sidecar."""
    meta = template.get("metadata") or {}
    said = {**(meta.get("annotations") or {}), **(meta.get("labels") or {})}.get(INJECT, "")
    return template["spec"].get("hostNetwork", False) or str(said).lower() == "false"


def reconcile_injection(
    cluster: Cluster,
    names: t.Sequence[str],
    revision: str = "",
    how: str = "stale",
    timeout: float = 300,
    check_mode: bool = False,
) -> dict[str, t.Any]:
    """Labels namespaces and restarts workloads, one after the other; gives the module's result.

    :param how: which workloads: C(stale), C(all) or C(never)
    :param timeout: seconds that a restarted workload may take to become ready
    :raises InjectionError: the injector can't be reached, or a restarted workload doesn't become ready
    """
    changes = plan_namespaces(cluster, names, revision)
    result: dict[str, t.Any] = {
        "changed": any(c.action != "unchanged" for c in changes),
        "namespaces": [{"name": c.name, "action": c.action} for c in changes],
        "restarted": [],
        "warnings": [],
    }
    if not check_mode:
        for change in changes:
            _write(cluster, change, revision)
    due = []
    for change in changes if how != "never" else ():
        if change.action == "create":
            continue
        for workload in workloads(cluster, change.name):
            stale = how == "all" or stale_reason(cluster, workload, change, revision, check_mode)
            reason = "all were to be" if stale is True else stale
            if reason and keeps_pods(workload):
                result["warnings"].append(not_restarted(workload, reason))
            elif reason:
                due.append((workload, reason))
    restarts = [_restart_change(workload, reason) for workload, reason in due]
    result["changed"] = result["changed"] or bool(due)
    if result["changed"]:
        result["diff"] = diff(changes) + restarts
    for workload, reason in due:
        if not check_mode:
            _restart(cluster, workload, timeout, result)
        meta = workload["metadata"]
        where = {"kind": workload["kind"], "namespace": meta["namespace"], "name": meta["name"]}
        result["restarted"].append({**where, "reason": reason})
    return result


def _restart(cluster: Cluster, workload: dict, timeout: float, result: dict) -> None:
    try:
        restart(cluster, workload, timeout)
    except MeshopsError as error:
        raise InjectionError(f"{error} The workloads after it were not restarted", result) from error


def _restart_change(workload: dict, reason: str) -> dict[str, str]:
    header = _title(workload)
    return {"before_header": header, "after_header": header, "before": f"{reason}\n", "after": "restarted\n"}


def _title(workload: t.Mapping[str, t.Any]) -> str:
    return f"{workload['kind']} {workload['metadata']['namespace']}/{workload['metadata']['name']}"
