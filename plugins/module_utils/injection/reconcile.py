# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sidecar injection: namespaces choose it by a label, and workloads get it when their pods are created again."""

from __future__ import annotations

import dataclasses
import typing as t

from ..cluster.client import Cluster
from ..cluster.workloads import restart, wait_ready
from ..errors import MeshopsError
from ..reconcile.diff import diff
from ..reconcile.identity import title
from ..reconcile.plan import Change
from ..reconcile.readiness import unready
from ..reconcile.types import K8sObject
from .namespaces import check_served, plan_namespaces, plan_removals, write_labels
from .staleness import REQUESTED, Question, Stale, judge, keeps_pods, not_restarted, unreachable_pods, workloads

How = t.Literal["stale", "all", "never"]


@dataclasses.dataclass(frozen=True)
class InjectionOptions:
    """What is declared.

    :ivar revision: revision or tag; empty for the default one
    :ivar restart: which workloads
    :ivar timeout: seconds that a restarted workload may take to become ready
    :ivar prune: also remove the label from namespaces that are declared no longer
    """

    namespaces: t.Sequence[str]
    revision: str = ""
    restart: How = "stale"
    timeout: float = 300
    prune: bool = False


class Restart(t.TypedDict):
    """A workload that is restarted, as a module returns it."""

    kind: str
    namespace: str
    name: str
    reason: str
    reason_code: str


def restarted(workload: K8sObject, stale: Stale) -> Restart:
    """A restart, as a module returns it."""
    meta = workload["metadata"]
    return {
        "kind": workload["kind"],
        "namespace": meta["namespace"],
        "name": meta["name"],
        "reason": stale.text,
        "reason_code": stale.reason.value,
    }


def restart_diff(workload: K8sObject, stale: Stale) -> dict[str, str]:
    """A restart's entry in the diff."""
    header = title(workload)
    return {"before_header": header, "after_header": header, "before": f"{stale}\n", "after": "restarted\n"}


@dataclasses.dataclass
class _Due:
    """What has to be done in the declared namespaces.

    :ivar restarts: workloads to restart, in their order
    :ivar unfinished: workloads whose roll-out has not reached all pods
    """

    restarts: list[tuple[K8sObject, Stale]] = dataclasses.field(default_factory=list)
    unfinished: list[tuple[K8sObject, Stale]] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)


def reconcile_injection(cluster: Cluster, options: InjectionOptions, *, check_mode: bool = False) -> dict[str, t.Any]:
    """Labels namespaces and restarts workloads, one at a time; gives the module's result.

    :raises MeshopsError: no injector serves the revision, or a restarted workload doesn't become ready
    """
    changes = plan_namespaces(cluster, options.namespaces, options.revision)
    served, warnings = check_served(cluster, changes, options.revision, check_mode=check_mode)
    removals: list[Change] = []
    if options.prune:
        removals, retained = plan_removals(cluster, options.namespaces, options.revision)
        warnings += retained
    result: dict[str, t.Any] = {
        "changed": bool(removals) or any(change.action != "unchanged" for change in changes),
        "namespaces": [{"name": change.name, "action": change.action} for change in changes]
        + [{"name": change.name, "action": "remove_label"} for change in removals],
        "restarted": [],
        "warnings": warnings,
    }
    if not check_mode:
        for change in [*changes, *removals]:
            write_labels(cluster, change)
    due = _due(cluster, changes, options, check_mode=check_mode, served=served)
    result["warnings"] += due.warnings
    result["changed"] = result["changed"] or bool(due.restarts)
    if result["changed"]:
        result["diff"] = diff([*changes, *removals]) + [restart_diff(*pair) for pair in due.restarts]
    for workload, stale in due.restarts:
        if not check_mode:
            _restart(cluster, workload, options.timeout, result)
        result["restarted"].append(restarted(workload, stale))
    for workload, stale in due.unfinished:
        _finish(cluster, workload, stale, options.timeout, result, check_mode=check_mode)
    return result


def _due(
    cluster: Cluster, changes: t.Sequence[Change], options: InjectionOptions, *, check_mode: bool, served: bool
) -> _Due:
    """Compares every workload of the namespaces with the injector's answer."""
    due = _Due()
    for change in changes if options.restart != "never" else ():
        if change.action == "create":
            continue
        question = Question(change, options.revision, check_mode, served)
        for workload in workloads(cluster, change.name):
            judgement = judge(cluster, workload, question)
            stale = REQUESTED if options.restart == "all" else judgement.stale
            if stale and keeps_pods(workload):
                due.warnings.append(not_restarted(workload, stale))
            elif stale:
                due.restarts.append((workload, stale))
            elif judgement.unfinished:
                due.unfinished.append((workload, judgement.unfinished))
            elif reason := unready(workload):
                due.warnings.append(f"{title(workload)} is not ready, though its pods have their sidecar: {reason}")
        due.warnings += unreachable_pods(cluster, change.name, question)
    return due


def _restart(cluster: Cluster, workload: K8sObject, timeout: float, result: dict[str, t.Any]) -> None:
    try:
        restart(cluster, workload, timeout)
    except MeshopsError as error:
        raise MeshopsError(f"{error} The workloads after it were not restarted", result) from error


def _finish(
    cluster: Cluster, workload: K8sObject, stale: Stale, timeout: float, result: dict[str, t.Any], *, check_mode: bool
) -> None:
    """Waits until a roll-out that an earlier run began has replaced all pods.

    :raises MeshopsError: it doesn't, so that a pod keeps serving that isn't as it should be
    """
    unfinished = f"{title(workload)}: its roll-out is not finished: {stale}, and keeps serving"
    if check_mode:
        result["warnings"].append(unfinished)
        return
    try:
        wait_ready(cluster, [workload], timeout)
    except MeshopsError as error:
        raise MeshopsError(f"{unfinished}. {error}", result) from error
