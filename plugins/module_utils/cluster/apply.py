# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Carries out a plan: many writes at once, every outcome reported, none stopped by another's failure."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import re
import time
import typing as t

from ..errors import MeshopsError
from ..reconcile.handover import Handover, released, without
from ..reconcile.identity import Key
from ..reconcile.order import Stage
from ..reconcile.plan import Change
from ..reconcile.types import K8sObject
from .client import FIELD_MANAGER, Cluster
from .edit import Operation, edit
from .errors import ApiError

#: What was done, by what was planned.
_DONE = {"create": "created", "update": "updated", "delete": "deleted"}
#: How much of the time to settle passes without any write between the last rules and the first routes that wait for
#: some: istiod pushes when nothing has changed for PILOT_DEBOUNCE_AFTER (100 ms; pilot/pkg/features/tuning.go), so in
#: an unbroken stream of writes both would go in one push.
_QUIET = 0.2
_CONFLICT = re.compile(r'conflict with "([^"]*)"(?: with subresource "[^"]*")?(?: using (\S+))?')


#: Whether to take over fields that a field manager owns.
Force = t.Callable[[str], bool]


def never(_manager: str) -> bool:
    """Takes nothing over from anybody."""
    return False


@dataclasses.dataclass
class Outcome:
    """What became of one change.

    :ivar change: the change of the plan
    :ivar action: C(created), C(updated), C(deleted), C(unchanged) or C(failed)
    :ivar obj: the object as the server has it now; None after a deletion or a failure
    :ivar error: why it failed
    :ivar note: what check mode could not find out
    :ivar begun: a first step of it was done, though it failed
    """

    change: Change
    action: str
    obj: K8sObject | None = None
    error: MeshopsError | None = None
    note: str = ""
    begun: bool = False


class Conflict(MeshopsError):
    """Another field manager owns fields that we declare with other values.

    :ivar owners: manager -> field paths
    """

    def __init__(self, title: str, owners: dict[str, list[str]]) -> None:
        self.owners = owners
        whose = "; ".join(f"{manager!r} owns {', '.join(fields)}" for manager, fields in owners.items())
        super().__init__(f"{title}: {whose}. Leave these fields out, or take them over with force_conflicts: true")


def execute(
    cluster: Cluster,
    stages: t.Iterable[Stage],
    settle: float,
    force: Force = never,
    dry_run: bool = False,
    explain: t.Callable[[Change, ApiError], str] | None = None,
    after_stage: t.Callable[[Stage, list[Outcome]], None] | None = None,
    keep: t.Callable[[Change], bool] = lambda change: True,
) -> list[Outcome]:
    """Writes what a plan says, stage by stage, as many objects at once as the cluster object allows.

    What is pruned goes only if all that is declared could be written, as that may be meant to take its place.

    :param stages: see C(reconcile.order.stages)
    :param settle: seconds to wait before a stage that asks for it, and between changes that wait for each other
    :param force: whether to take over fields that a manager owns
    :param dry_run: let the server check everything, and keep nothing
    :param explain: a better message for a refusal, from the change and the refusal
    :param after_stage: called between stages with what became of the former
    :param keep: tells of a change whether its outcome shall hold the object; thousands take their room
    :returns: an outcome for every change, in the order of execution. An object that the server left as it was is
        C(unchanged), whatever the plan said.
    """
    outcomes: list[Outcome] = []
    finished: dict[Key, float] = {}
    failed: dict[Key, str] = {}
    unwritten: list[str] = []
    with concurrent.futures.ThreadPoolExecutor(cluster.concurrency) as threads:
        for stage in stages:
            if not dry_run:
                time.sleep(settle if stage.settle else settle * _QUIET if stage.waits_for else 0)

            def carry_out(change: Change, stage: Stage = stage) -> Outcome:
                waits_for = stage.waits_for.get(change.key, ())
                begun = not dry_run and change.key in finished and change.key not in failed
                if not dry_run:
                    if obstacle := _obstacle(change, stage, failed, unwritten, begun):
                        return Outcome(change, "failed", error=MeshopsError(f"{change.title}: {obstacle}"), begun=begun)
                    written = max((finished.get(key, 0) for key in waits_for), default=0)
                    time.sleep(max(0, written + settle - time.monotonic()) if written else 0)
                outcome = _carry_out(cluster, change, force, dry_run, explain, keep)
                outcome.begun = begun and outcome.error is not None
                finished[change.key] = time.monotonic()
                return outcome

            done = list(threads.map(carry_out, stage.changes))
            failed.update({outcome.change.key: outcome.change.title for outcome in done if outcome.error})
            unwritten.extend(o.change.title for o in done if o.error and o.change.action != "delete")
            outcomes += done
            if after_stage is not None and not dry_run:
                after_stage(stage, done)
    return outcomes


def _obstacle(
    change: Change, stage: Stage, failed: t.Mapping[Key, str], unwritten: t.Sequence[str], begun: bool
) -> str:
    """What has failed that a change must not be made without, in words; empty where there is nothing.

    :param failed: what has failed, title by key
    :param unwritten: the titles of what could not be written
    :param begun: a first step of the change was done
    """
    needs, needed_by = stage.waits_for.get(change.key, ()), stage.needed_by.get(change.key, ())
    for keys, why in ((needs, "needs"), (needed_by, "may be needed by")):
        if cause := next((failed[key] for key in keys if key in failed), None):
            kept = "what is to be deleted was left beside what is new" if begun else "nothing was done"
            return f"{kept}, as it {why} {cause}, which failed"
    return f"not pruned, as {unwritten[0]} failed" if change.pruned and unwritten else ""


def _carry_out(
    cluster: Cluster,
    change: Change,
    force: Force,
    dry_run: bool,
    explain: t.Callable[[Change, ApiError], str] | None,
    keep: t.Callable[[Change], bool],
) -> Outcome:
    try:
        if change.action == "delete" and change.before is not None:
            meta = change.before["metadata"]
            kind = cluster.kind(change.before["apiVersion"], change.kind)
            cluster.delete(kind, change.name, change.namespace, uid=meta["uid"], dry_run=dry_run)
            return Outcome(change, "deleted")
        obj = _apply(cluster, change, force, dry_run)
    except ApiError as error:
        conflict = conflict_of(change.title, error)
        text = explain(change, error) if explain and not conflict else f"{change.title}: {error}"
        return Outcome(change, "failed", error=conflict or MeshopsError(text))
    except MeshopsError as error:
        return Outcome(change, "failed", error=MeshopsError(f"{change.title}: {error}"))
    except Exception as error:  # whatever it is, the outcomes of the others are told
        return Outcome(change, "failed", error=MeshopsError(f"{change.title}: {type(error).__name__}: {error}"))
    same = change.before is not None and (obj == change.before if dry_run else _version(obj) == _version(change.before))
    return Outcome(change, "unchanged" if same else _DONE[change.action], obj if keep(change) else None)


def _apply(cluster: Cluster, change: Change, force: Force, dry_run: bool) -> K8sObject:
    """Applies; a conflict of two writers at one moment, and not of two owners, is tried again."""
    desired = change.after or {}
    if change.handover and not dry_run:
        _give_up(cluster, desired, change.handover)
    deadline = cluster.deadline()
    pause = 0.05
    forced = False
    while True:
        try:
            applied = cluster.apply(desired, force=forced, dry_run=dry_run)
            return without(applied, change.handover) if dry_run else applied
        except ApiError as error:
            conflict = conflict_of(change.title, error)
            if conflict and not forced and all(map(force, conflict.owners)):
                forced = True
                continue
            if error.status != 409 or conflict or time.monotonic() > deadline:
                raise
        time.sleep(pause)
        pause = min(pause * 2, 1)


def _give_up(cluster: Cluster, desired: K8sObject, claims: Handover) -> None:
    """Takes the claims of other managers from an object, so that what they kept goes when it is applied."""

    def operations(live: K8sObject) -> list[Operation]:
        entries = released(live, claims, FIELD_MANAGER)
        return [{"op": "replace", "path": "/metadata/managedFields", "value": entries}] if entries else []

    meta = desired["metadata"]
    edit(cluster, cluster.kind(desired["apiVersion"], desired["kind"]), meta["name"], meta.get("namespace"), operations)


def _version(obj: K8sObject) -> str:
    return obj["metadata"]["resourceVersion"]


def conflict_of(title: str, error: ApiError) -> Conflict | None:
    """The conflict of field managers that a refusal tells of, or None where it tells of something else."""
    owners: dict[str, list[str]] = {}
    for cause in error.causes:
        if cause.get("reason") == "FieldManagerConflict":
            match = _CONFLICT.search(cause.get("message", ""))
            manager = match.group(1) if match else "another manager"
            owners.setdefault(manager, []).append(cause.get("field", "").lstrip("."))
    return Conflict(title, owners) if owners else None
