# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Carries out a plan: many writes at once, every outcome reported, none stopped by another's failure."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import enum
import re
import time
import typing as t

from ..cluster.client import FIELD_MANAGER, Cluster
from ..cluster.edit import ObjectRef, Operation, edit
from ..cluster.errors import ApiError, Unreachable
from ..cluster.kinds import split_api_version
from ..errors import MeshopsError
from ..reconcile.compare import lacks_empty_list
from ..reconcile.handover import Handover, released, without
from ..reconcile.identity import Key
from ..reconcile.order import Stage
from ..reconcile.plan import Change
from ..reconcile.types import K8sObject

#: What was done, by what was planned.
_DONE = {"create": "created", "update": "updated", "delete": "deleted"}
#: How much of the time to settle passes without any write between the last rules and the first routes that wait for
#: some: istiod pushes when nothing has changed for PILOT_DEBOUNCE_AFTER (100 ms; pilot/pkg/features/tuning.go), so in
#: an unbroken stream of writes both would go in one push.
_QUIET = 0.2
#: The reason of a failure because another manager owns declared fields.
FIELD_MANAGER_CONFLICT = "FieldManagerConflict"
_CONFLICT = re.compile(r'conflict with "([^"]*)"(?: with subresource "[^"]*")?(?: using (\S+))?')


#: Whether to take over fields that a field manager owns.
Force = t.Callable[[str], bool]


def never(_manager: str) -> bool:
    """Takes nothing over from anybody."""
    return False


class Obstacle(enum.Enum):
    """Why a change is not made, though the server refused nothing."""

    NEEDS = "DependencyFailed"
    NEEDED_BY = "DependentFailed"
    NOT_PRUNED = "NotPruned"


@dataclasses.dataclass
class Outcome:
    """What became of one change.

    :ivar change: the change of the plan
    :ivar action: C(created), C(updated), C(deleted), C(unchanged) or C(failed)
    :ivar obj: the object as the server has it now; None after a deletion or a failure
    :ivar error: why it failed
    :ivar note: what check mode could not find out
    :ivar reason: the error's or the note's reason for programs: the API server's own, such as C(Forbidden),
        C(FieldManagerConflict), a value of C(Obstacle), or of C(check_mode.Untried)
    :ivar begun: a first step of it was done, though it failed
    """

    change: Change
    action: str
    obj: K8sObject | None = None
    error: MeshopsError | None = None
    note: str = ""
    reason: str | None = None
    begun: bool = False


#: Seconds for which a busy API server may still check objects by the previous version of their definition.
_SCHEMA_DELAY = 10.0
#: The status of a refusal of a field that the server does not know, with strict validation or without.
_UNKNOWN_FIELD = (400, 422, 500)


class Conflict(MeshopsError):
    """Another field manager owns fields that we declare with other values.

    :ivar owners: manager -> field paths
    """

    def __init__(self, title: str, owners: dict[str, list[str]]) -> None:
        self.owners = owners
        whose = "; ".join(f"{manager!r} owns {', '.join(fields)}" for manager, fields in owners.items())
        super().__init__(f"{title}: {whose}. Leave these fields out, or take them over with force_conflicts: true")


@dataclasses.dataclass(frozen=True)
class Execution:
    """How changes are made.

    :ivar settle: seconds to wait before a stage that requires it, and between changes that wait for each other
    :ivar force: whether to take over fields that a manager owns
    :ivar check_mode: let the server check everything, and keep nothing
    :ivar explain: a better message for a refusal, from the change and the refusal
    :ivar after_stage: called after a stage with its outcomes
    :ivar keep: whether a change's outcome shall hold the object; thousands need much memory
    """

    settle: float
    force: Force = never
    check_mode: bool = False
    explain: t.Callable[[Change, ApiError], str] | None = None
    after_stage: t.Callable[[list[Outcome]], None] | None = None
    keep: t.Callable[[Change], bool] = lambda change: True


class Executor:
    """Writes what a plan says, stage by stage, as many objects at once as the cluster object allows.

    What is pruned is deleted only if all that is declared could be written, as that may be meant to take its place.
    """

    def __init__(self, cluster: Cluster, options: Execution) -> None:
        self._cluster = cluster
        self._options = options
        self._finished: dict[Key, float] = {}
        self._failed: dict[Key, str] = {}
        self._unwritten: list[str] = []
        self._defined: set[tuple[str, str]] = set()

    def run(self, stages: t.Iterable[Stage]) -> list[Outcome]:
        """Executes stages (see C(reconcile.order.stages)).

        :returns: an outcome for every change, in the order of execution. An object that the server left as it was is
            C(unchanged), whatever was planned.
        """
        outcomes: list[Outcome] = []
        options = self._options
        with concurrent.futures.ThreadPoolExecutor(self._cluster.concurrency) as threads:
            for stage in stages:
                if not options.check_mode:
                    quiet = options.settle * _QUIET if stage.waits_for else 0
                    time.sleep(options.settle if stage.settle else quiet)
                done = list(threads.map(lambda change, stage=stage: self._execute(change, stage), stage.changes))
                self._failed.update({outcome.change.key: outcome.change.title for outcome in done if outcome.error})
                self._unwritten.extend(o.change.title for o in done if o.error and o.change.action != "delete")
                self._defined |= {defined for outcome in done if (defined := _defined_kind(outcome))}
                outcomes += done
                if options.after_stage is not None and not options.check_mode:
                    options.after_stage(done)
        return outcomes

    def _execute(self, change: Change, stage: Stage) -> Outcome:
        if self._options.check_mode:
            return self._write(change)
        begun = change.key in self._finished and change.key not in self._failed
        if found := self._obstacle(change, stage):
            obstacle, text = found
            if begun and obstacle is not Obstacle.NOT_PRUNED:
                text = f"what is to be deleted was left beside what is new, as it {text}"
            elif obstacle is not Obstacle.NOT_PRUNED:
                text = f"nothing was done, as it {text}"
            error = MeshopsError(f"{change.title}: {text}")
            return Outcome(change, "failed", error=error, reason=obstacle.value, begun=begun)
        last = max((self._finished.get(key, 0) for key in stage.waits_for.get(change.key, ())), default=0)
        time.sleep(max(0, last + self._options.settle - time.monotonic()) if last else 0)
        outcome = self._write(change)
        outcome.begun = begun and outcome.error is not None
        self._finished[change.key] = time.monotonic()
        return outcome

    def _obstacle(self, change: Change, stage: Stage) -> tuple[Obstacle, str] | None:
        """What has failed that a change must not be made without, and the same in words."""
        for obstacle, keys, why in (
            (Obstacle.NEEDS, stage.waits_for.get(change.key, ()), "needs"),
            (Obstacle.NEEDED_BY, stage.needed_by.get(change.key, ()), "may be needed by"),
        ):
            if cause := next((self._failed[key] for key in keys if key in self._failed), None):
                return obstacle, f"{why} {cause}, which failed"
        if change.pruned and self._unwritten:
            return Obstacle.NOT_PRUNED, f"not pruned, as {self._unwritten[0]} failed"
        return None

    def _write(self, change: Change) -> Outcome:
        options = self._options
        try:
            if change.action == "delete" and change.before is not None:
                self._delete(change.before)
                return Outcome(change, "deleted")
            patience = _SCHEMA_DELAY if (split_api_version(change.api_version)[0], change.kind) in self._defined else 0
            obj = _apply(self._cluster, change, options.force, check_mode=options.check_mode, patience=patience)
        except ApiError as error:
            conflict = conflict_of(change.title, error)
            text = options.explain(change, error) if options.explain and not conflict else f"{change.title}: {error}"
            reason = FIELD_MANAGER_CONFLICT if conflict else error.reason or None
            return Outcome(change, "failed", error=conflict or MeshopsError(text), reason=reason)
        except MeshopsError as error:
            reason = "Unreachable" if isinstance(error, Unreachable) else None
            return Outcome(change, "failed", error=MeshopsError(f"{change.title}: {error}"), reason=reason)
        except Exception as error:  # whatever it is, the outcomes of the others are reported
            return Outcome(change, "failed", error=MeshopsError(f"{change.title}: {type(error).__name__}: {error}"))
        return Outcome(change, self._action(change, obj), obj if options.keep(change) else None)

    def _delete(self, obj: K8sObject) -> None:
        meta = obj["metadata"]
        kind = self._cluster.kind(obj["apiVersion"], obj["kind"])
        self._cluster.delete(
            kind, meta["name"], meta.get("namespace"), uid=meta["uid"], dry_run=self._options.check_mode
        )

    def _action(self, change: Change, obj: K8sObject) -> str:
        """What was done, by what the server has now."""
        before = change.before
        if before is None:
            return _DONE[change.action]
        same = obj == before if self._options.check_mode else _version(obj) == _version(before)
        return "unchanged" if same else _DONE[change.action]


def _defined_kind(outcome: Outcome) -> tuple[str, str] | None:
    """Group and kind that a CustomResourceDefinition defines which was just written."""
    change = outcome.change
    if change.kind != "CustomResourceDefinition" or outcome.error or not change.after:
        return None
    spec = change.after.get("spec") or {}
    return str(spec.get("group")), str((spec.get("names") or {}).get("kind"))


def _apply(cluster: Cluster, change: Change, force: Force, *, check_mode: bool, patience: float = 0) -> K8sObject:
    """Applies; a conflict of two writers at one moment, and not of two owners, is tried again.

    :param patience: seconds for which the server may not know the fields of a definition that was just written
    """
    desired = change.after or {}
    patient_until = time.monotonic() + patience
    if change.handover and not check_mode:
        _give_up(cluster, desired, change.handover)
    deadline = cluster.deadline()
    pause = 0.05
    forced = False
    while True:
        try:
            applied = cluster.apply(desired, force=forced, dry_run=check_mode)
            if check_mode:
                return without(applied, change.handover)
            if lacks_empty_list(desired, applied):
                applied = cluster.apply(desired, force=forced)
            return applied
        except ApiError as error:
            conflict = conflict_of(change.title, error)
            if conflict and not forced and all(map(force, conflict.owners)):
                forced = True
                continue
            may_come = error.status in _UNKNOWN_FIELD and time.monotonic() < patient_until
            if not may_come and (error.status != 409 or conflict or time.monotonic() > deadline):
                raise
        time.sleep(pause)
        pause = min(pause * 2, 1)


def _give_up(cluster: Cluster, desired: K8sObject, claims: Handover) -> None:
    """Takes the claims of other managers from an object, so that what they kept is removed when it is applied."""

    def operations(live: K8sObject) -> list[Operation]:
        entries = released(live, claims, FIELD_MANAGER)
        return [{"op": "replace", "path": "/metadata/managedFields", "value": entries}] if entries else []

    meta = desired["metadata"]
    kind = cluster.kind(desired["apiVersion"], desired["kind"])
    edit(cluster, ObjectRef(kind, meta["name"], meta.get("namespace")), operations)


def _version(obj: K8sObject) -> str:
    return obj["metadata"]["resourceVersion"]


def conflict_of(title: str, error: ApiError) -> Conflict | None:
    """The conflict of field managers that a refusal tells of, or None where it tells of something else."""
    owners: dict[str, list[str]] = {}
    for cause in error.causes:
        if cause.get("reason") == FIELD_MANAGER_CONFLICT:
            match = _CONFLICT.search(cause.get("message", ""))
            manager = match.group(1) if match else "another manager"
            owners.setdefault(manager, []).append(cause.get("field", "").lstrip("."))
    return Conflict(title, owners) if owners else None
