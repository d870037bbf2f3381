# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Planned releases applied: in their order, independent ones side by side, each waited for."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import threading
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError
from ..cluster.workloads import NotReady, wait_ready
from ..errors import MeshopsError
from ..helm.helm import Helm, HelmBusy, UpgradeOptions
from ..helm.stored import READY_LABEL, forget, history, label, record_name, replace_manifest
from ..reconcile.identity import OWNER_LABEL, defined_kinds, key
from ..reconcile.readiness import unready
from ..reconcile.types import K8sObject
from .foreign_fields import HELM_MANAGER
from .manual_edits import take_away
from .model import Action, ReleasePlan, Stage
from .plan import AWAITED
from .takeover import take_over

_DEFINITION = "CustomResourceDefinition"

Id = tuple[str, str]
_Future = concurrent.futures.Future[None]


@dataclasses.dataclass(frozen=True)
class ApplyOptions:
    """How planned releases are applied.

    :ivar timeout: seconds that a release may take to become ready
    :ivar atomic: roll a release that doesn't become ready back to its last good revision, or uninstall it; it is waited
        for, then
    :ivar wait: wait until workloads are ready
    """

    timeout: float = 300
    atomic: bool = False
    wait: bool = True


class ReleaseFailed(MeshopsError):
    """One release failed.

    :ivar id: its namespace and name
    :ivar stage: the step that failed
    :ivar busy: another Helm operation is in progress
    :ivar unpullable: what this run has made of it needs an image that can't be pulled
    """

    def __init__(self, message: str, id: Id, stage: Stage, *, busy: bool = False, unpullable: bool = False) -> None:
        super().__init__(message)
        self.id = id
        self.stage = stage
        self.busy = busy
        self.unpullable = unpullable

    def report(self) -> dict[str, str]:
        """What a module returns about it."""
        return {"namespace": self.id[0], "name": self.id[1], "stage": self.stage.value, "message": str(self)}


class Busy(MeshopsError):
    """Another helm has begun to work on a release in the meantime.

    :ivar completed: the releases that were applied nevertheless
    """

    def __init__(
        self, message: str, result: t.Mapping[str, t.Any] | None = None, completed: t.Collection[Id] = ()
    ) -> None:
        super().__init__(message, result)
        self.completed = frozenset(completed)


class _Skipped(Exception):
    """A release wasn't begun, because one that it comes after failed."""


def apply_releases(
    cluster: Cluster, helm: Helm, plans: t.Sequence[ReleasePlan], options: ApplyOptions | None = None
) -> None:
    """Applies plans: each release once those before it are ready, independent ones side by side; removals last.

    On a first installation a release needn't wait for one that runs nothing and defines no kind that it uses: istiod's
    objects are created beside Istio's CustomResourceDefinitions, for which istiod itself waits (pkg/kube/crdwatcher).

    An image that can't be pulled rolls back all that was done until then, with or without C(atomic): what needs it has
    never run, another run wouldn't fix it, and istiod would inject a proxy that nobody can pull.

    :raises MeshopsError: one failed; those that depend on it were not begun
    """
    options = options or ApplyOptions()
    run = _Run(cluster, helm, options)
    ordered = in_order([one for one in plans if one.release.state == "present"])
    errors = run.apply(ordered)
    failures = [error for error in errors.values() if isinstance(error, ReleaseFailed)]
    unexpected = [e for e in errors.values() if not isinstance(e, (ReleaseFailed, _Skipped))]
    if unexpected:
        raise unexpected[0]
    text = " ".join(_sentence(failure) for failure in failures)
    not_begun = [id_ for id_, error in errors.items() if isinstance(error, _Skipped)]
    result = {
        "failures": [failure.report() for failure in failures],
        "not_begun": [{"namespace": namespace, "name": name} for namespace, name in not_begun],
    }
    if any(failure.busy for failure in failures):
        raise Busy(text, result, [one.release.id for one in ordered if one.release.id not in errors])
    if failures:
        names = ", ".join(name for _namespace, name in not_begun)
        waits = f" Not begun, because they come after: {names}." if names else ""
        back = run.roll_all_back(ordered) if any(failure.unpullable for failure in failures) else ""
        raise MeshopsError(text + waits + back, result)
    for one in reversed(plans):  # removals come last: the others may have used it until now
        if one.action is Action.UNINSTALL:
            _uninstall(helm, one, options)


def _uninstall(helm: Helm, one: ReleasePlan, options: ApplyOptions) -> None:
    try:
        helm.uninstall(one.release.name, one.release.namespace, options.timeout)
    except MeshopsError as error:
        text = f"release {'/'.join(one.release.id)} cannot be uninstalled: {error}"
        failure = ReleaseFailed(text, one.release.id, Stage.UNINSTALL)
        raise MeshopsError(text, {"failures": [failure.report()]}) from error


def in_order(plans: t.Sequence[ReleasePlan]) -> list[ReleasePlan]:
    """Plans so that each follows those it comes after.

    :raises MeshopsError: they wait for each other
    """
    ordered: list[ReleasePlan] = []
    left = list(plans)
    while left:
        free = [one for one in left if not any(o.release.name in one.release.after for o in left if o is not one)]
        if not free:
            raise MeshopsError(f"releases wait for each other: {', '.join(o.release.name for o in left)}")
        ordered += free
        left = [one for one in left if one not in free]
    return ordered


def must_wait(one: ReleasePlan, other: ReleasePlan) -> bool:
    """Whether a release can't be begun before one that it comes after is ready."""
    if (one.action, other.action) != (Action.INSTALL, Action.INSTALL):
        return True
    runs = any(obj["kind"] in AWAITED and obj["kind"] != _DEFINITION for obj in other.objects)
    defined = defined_kinds([*other.objects, *(c.after for c in other.definitions if c.after)])
    return runs or not defined.isdisjoint(key(obj)[:2] for obj in one.objects)


class _Run:
    """One run over plans; knows what it has written, so that it can be rolled back."""

    def __init__(self, cluster: Cluster, helm: Helm, options: ApplyOptions) -> None:
        self._cluster = cluster
        self._helm = helm
        self._options = options
        self._written: set[Id] = set()
        self._lock = threading.Lock()

    def apply(self, ordered: t.Sequence[ReleasePlan]) -> dict[Id, BaseException]:
        """Applies plans; gives the errors."""
        done: dict[Id, _Future] = {}
        by_name: dict[str, list[ReleasePlan]] = {}
        with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, len(ordered))) as pool:
            for one in ordered:
                earlier = [other for name in one.release.after for other in by_name.get(name, ())]
                before = [done[o.release.id] for o in earlier if self._options.atomic or must_wait(one, o)]
                done[one.release.id] = pool.submit(self._apply_after, one, before)
                by_name.setdefault(one.release.name, []).append(one)
        return {id_: error for id_, f in done.items() if (error := f.exception()) is not None}

    def _apply_after(self, one: ReleasePlan, before: t.Sequence[_Future]) -> None:
        concurrent.futures.wait(before)
        if any(f.exception() for f in before):
            raise _Skipped
        try:
            self._apply(one)
        except ReleaseFailed as failure:
            if not self._must_roll_back(one, failure):
                raise
            self._written.discard(one.release.id)
            failure.args = (f"{_sentence(failure)} {self._roll_back(one)}",)
            failure.unpullable = False
            raise

    def _must_roll_back(self, one: ReleasePlan, failure: ReleaseFailed) -> bool:
        """Whether C(atomic) rolls a release back: not what another helm works on, nor what existed before."""
        unchanged = one.action is Action.NONE or failure.stage is Stage.TAKEOVER
        return self._options.atomic and not (unchanged or failure.busy or failure.unpullable or _existed(one))

    def _apply(self, one: ReleasePlan) -> None:
        """Applies one plan.

        :raises ReleaseFailed: a step of it failed
        """
        self._step(one, Stage.TAKEOVER, self._take_over)
        self._step(one, Stage.DEFINITIONS, self._define)
        self._step(one, Stage.HELM, self._run_helm)
        if one.action is not Action.NONE:
            with self._lock:
                self._written.add(one.release.id)
        self._step(one, Stage.REPAIR, self._repair)
        if self._options.wait or self._options.atomic:
            self._step(one, Stage.READY, self._wait)

    def _step(self, one: ReleasePlan, stage: Stage, step: t.Callable[[ReleasePlan], None]) -> None:
        try:
            step(one)
        except MeshopsError as error:
            unpullable = isinstance(error, NotReady) and error.unpullable and one.release.id in self._written
            busy = isinstance(error, HelmBusy)
            raise ReleaseFailed(str(error), one.release.id, stage, busy=busy, unpullable=unpullable) from error

    def _take_over(self, one: ReleasePlan) -> None:
        for takeover in one.takeovers:
            take_over(self._cluster, takeover)

    def _define(self, one: ReleasePlan) -> None:
        """Writes the CustomResourceDefinitions in the chart's folder C(crds), and waits for their kinds."""
        objects = [change.after for change in one.definitions if change.after]
        for obj in objects:
            self._cluster.apply(obj, force=True, manager=HELM_MANAGER)
        if objects:
            wait_ready(self._cluster, objects, self._options.timeout)
            self._cluster.forget_kinds()

    def _run_helm(self, one: ReleasePlan) -> None:
        release, newest = one.release, one.stored
        for change in one.leftovers:  # before the record is forgotten that names them
            kind = self._cluster.kind(change.api_version, change.kind)
            uid = change.before["metadata"]["uid"] if change.before else None
            self._cluster.delete(kind, change.name, change.namespace, uid=uid)
        if one.action is Action.NONE:
            return
        try:
            if newest is not None and newest.is_pending:
                forget(self._cluster, newest)
            if newest is not None and newest.status == "uninstalling":
                self._helm.uninstall(release.name, release.namespace, self._options.timeout)
            if one.base is not None and one.repaired_manifest is not None:
                replace_manifest(self._cluster, one.base, one.repaired_manifest)
        except ApiError as error:
            if error.status != 409:
                raise
            raise HelmBusy(f"release {'/'.join(release.id)}: another Helm operation is in progress") from error
        options = UpgradeOptions(
            rendered=one.rendered,
            manifest=one.manifest,
            apply_method=newest.apply_method if newest is not None and one.action is Action.UPGRADE else None,
            timeout=self._options.timeout,
            revision=one.revision,
            create_namespace=one.create_namespace,
            labels={OWNER_LABEL: one.owner} if one.owner else {},
        )
        self._helm.upgrade(release, options)

    def _repair(self, one: ReleasePlan) -> None:
        for change in one.repairs:
            if change.after is not None:
                live = self._cluster.apply(change.after, force=True, manager=HELM_MANAGER)
                take_away(self._cluster, change.after, live)
        if one.relabel:
            label(self._cluster, one.release.namespace, _record(one), {OWNER_LABEL: one.owner})

    def _wait(self, one: ReleasePlan) -> None:
        wait_ready(self._cluster, _awaited(one), self._options.timeout)
        if one.action is Action.NONE and one.stored is not None and one.stored.was_ready:
            return
        try:
            label(self._cluster, one.release.namespace, _record(one), {READY_LABEL: str(one.revision)})
        except ApiError as error:
            if error.status not in (403, 404):
                raise

    # -- the way back -----------------------------------------------------

    def roll_all_back(self, ordered: t.Sequence[ReleasePlan]) -> str:
        """Rolls back what this run has written, the last first; gives the sentences that say so."""
        written = [one for one in ordered if one.release.id in self._written]
        sentences = [self._roll_back(one) for one in reversed(written) if not _existed(one)]
        sentences += [
            f"Release {o.release.name} is retained: its objects existed before." for o in written if _existed(o)
        ]
        if any(one.good is None and not _existed(one) for one in written):
            sentences.append("Namespaces, and the CustomResourceDefinitions that Helm keeps, are retained.")
        return "".join(f" {sentence}" for sentence in sentences)

    def _roll_back(self, one: ReleasePlan) -> str:
        """Rolls a release back; gives the sentence that says so."""
        release, good = one.release, one.good
        try:
            if good is None:
                self._helm.uninstall(release.name, release.namespace)
                return f"Release {release.name} has been uninstalled again."
            note = ""
            if not one.good_was_ready:
                ready = [r for r in history(self._cluster, *release.id) if r.was_ready and r.revision < one.revision]
                good = ready[0] if ready else good
                note = "" if ready else ", which was not seen ready either"
            self._helm.rollback(release.name, release.namespace, good.revision, good.apply_method)
        except MeshopsError as error:
            return f"Rolling back release {release.name} also failed: {error}"
        return f"Release {release.name} has been rolled back to revision {good.revision}{note}."


def _existed(one: ReleasePlan) -> bool:
    """Whether a release's objects existed before it did."""
    return bool(one.takeovers) and one.good is None


def _record(one: ReleasePlan) -> str:
    return record_name(one.release.name, one.revision)


def _sentence(error: object) -> str:
    text = str(error)
    return text if text.endswith(".") else f"{text}."


def _awaited(one: ReleasePlan) -> list[K8sObject]:
    """The objects to wait for: where nothing is done to them, those that weren't ready when they were planned."""
    awaited = [obj for obj in one.objects if obj["kind"] in AWAITED]
    if one.changed:
        return awaited
    return [obj for obj in awaited if key(obj) not in one.live or unready(one.live[key(obj)])]
