# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan: from what is declared and what is live to what has to be done. Pure: no requests, no clock."""

from __future__ import annotations

import dataclasses
import enum
import typing as t

from .compare import apply_differences, value_differences
from .handover import Handover, described, handover
from .identity import OWNER_LABEL, Key, declared, key, owner, title
from .managed_fields import applied_entry
from .server_defaults import SchemaSource
from .types import K8sObject


class RetainedReason(enum.Enum):
    """Why an object with the owner's label that is not declared is not pruned."""

    HOLDS_OTHERS = "HoldsOtherObjects"
    NOT_APPLIED_BY_US = "NotAppliedByThisCollection"


_RETAINED = {
    RetainedReason.HOLDS_OTHERS: (
        "not pruned, as everything in it would be deleted, too, whoever owns that: delete it with state absent"
    ),
    RetainedReason.NOT_APPLIED_BY_US: ("not pruned: it has the owner's label, but was not applied by this collection"),
}


@dataclasses.dataclass
class Change:
    """What is to be done with one object.

    :ivar action: C(create), C(update), C(delete) or C(unchanged)
    :ivar api_version: as declared; on a deletion as read
    :ivar kind: the object's kind
    :ivar namespace: None for what lives in no namespace
    :ivar name: the object's name
    :ivar before: the live object, None on a creation; not kept where nothing changes, unless requested
    :ivar after: the declared object, None on a deletion
    :ivar reasons: why an update is needed, one sentence a field
    :ivar pruned: it is not declared any more
    :ivar note: what people should know, such as why something that might be expected is not done
    :ivar note_reason: the same for programs: C(TakesOver), or a value of C(RetainedReason)
    :ivar handover: what other field managers give up, see C(handover.handover)
    """

    action: str
    api_version: str
    kind: str
    namespace: str | None
    name: str
    before: K8sObject | None = None
    after: K8sObject | None = None
    reasons: list[str] = dataclasses.field(default_factory=list)
    pruned: bool = False
    note: str = ""
    note_reason: str | None = None
    handover: Handover = dataclasses.field(default_factory=dict)

    @classmethod
    def deletion(cls, live: K8sObject, *, pruned: bool = False) -> Change:
        """The change that deletes a live object."""
        return _change("delete", live, before=live, pruned=pruned)

    @property
    def key(self) -> Key:
        """The object's identity, see C(identity.key)."""
        group, slash, _version = self.api_version.partition("/")
        return (group if slash else "", self.kind, self.namespace or "", self.name)

    @property
    def title(self) -> str:
        """C(Kind namespace/name)."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class PlanError(ValueError):
    """What is declared contradicts itself or what is live; nothing has been changed. Holds one C(problem) a line."""

    def __init__(self, problems: t.Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


@dataclasses.dataclass(frozen=True)
class PlanOptions:
    """How a plan is made.

    :ivar state: C(present): declared objects shall be as declared; C(absent): shall not exist
    :ivar manager: our field manager: an object is unchanged when server-side apply under this name would
        leave it as it is. None: it is unchanged when every declared value is live, whoever wrote it
        (for what Helm applies).
    :ivar owner: label what is declared as this owner's (C(meshops.istio/owner)). An object of another
        owner is a problem. Without it, an object keeps the owner it has, unless it is declared with the label of one.
    :ivar prune: delete live objects with our label for C(owner) that are not declared, if C(manager) has applied
        them: controllers copy labels to what they make, as istiod does from a Gateway to its Service
    :ivar schemas: see C(compare.SchemaSource)
    :ivar keep_unchanged: keep C(before) of unchanged objects too
    :ivar adopt: whether unmanaged objects become C(owner)'s; else one is a problem
    :ivar forced: see C(handover.handover)
    :ivar adjust: gives the declared object as it is to be compared and written, from it and the live one
    """

    state: str = "present"
    manager: str | None = "meshops.istio"
    owner: str | None = None
    prune: bool = False
    schemas: SchemaSource | None = None
    keep_unchanged: bool = False
    adopt: bool = True
    forced: t.Callable[[str], bool] = lambda manager: False
    adjust: t.Callable[[K8sObject, K8sObject], K8sObject] | None = None


DEFAULTS = PlanOptions()
#: For what another program applies, such as Helm.
BY_VALUE = PlanOptions(manager=None)


def plan(desired: t.Iterable[K8sObject], live: t.Iterable[K8sObject], options: PlanOptions = DEFAULTS) -> list[Change]:
    """Decides for every object what has to be done.

    :param desired: the declared objects, with apiVersion, kind, metadata.name, and metadata.namespace where
        the kind has one. They are reduced with C(identity.declared); the arguments stay as they are.
    :param live: live objects, among them those that are declared and exist; others are considered only to
        prune. Read once, so a generator saves memory. One may come several times.
    :returns: the changes: first the declared objects in their order, then what is pruned
    :raises PlanError: an object is declared twice, or belongs to another owner, or is unmanaged, or is being deleted

    >>> def telemetry(name, **labels):
    ...     metadata = {"namespace": "shop", "name": name, "labels": labels}
    ...     return {"apiVersion": "telemetry.istio.io/v1", "kind": "Telemetry", "metadata": metadata}
    >>> ours = {"manager": "meshops.istio", "operation": "Apply", "apiVersion": "telemetry.istio.io/v1"}
    >>> live = telemetry("old", **{"meshops.istio/owner": "team"})
    >>> live["metadata"]["managedFields"] = [ours]
    >>> for change in plan([telemetry("new")], [live], PlanOptions(owner="team", prune=True)):
    ...     print(change.action, change.title)
    create Telemetry shop/new
    delete Telemetry shop/old
    """
    return _Plan(desired, options).changes(live)


class _Plan:
    """The changes, as live objects come by."""

    def __init__(self, desired: t.Iterable[K8sObject], options: PlanOptions) -> None:
        self._options = options
        self._problems: list[str] = []
        self._wanted = self._index(desired)
        self._changes: dict[Key, Change] = {}
        self._pruned: dict[Key, Change] = {}

    def changes(self, live: t.Iterable[K8sObject]) -> list[Change]:
        for obj in live:
            identity = key(obj)
            if identity not in self._wanted:
                if change := self._undeclared(obj):
                    self._pruned[identity] = change
            elif problem := self._problem(obj):
                self._problems.append(problem)
            else:
                self._changes[identity] = self._change(identity, obj)
        if self._problems:
            raise PlanError(list(dict.fromkeys(self._problems)))
        declared = [self._changes.get(identity) or self._missing(want) for identity, want in self._wanted.items()]
        return [*declared, *self._pruned.values()]

    def _index(self, desired: t.Iterable[K8sObject]) -> dict[Key, K8sObject]:
        wanted: dict[Key, K8sObject] = {}
        for obj in map(declared, desired):
            identity = key(obj)
            if identity in wanted:
                self._problems.append(f"{title(obj)} is declared twice: leave one of the two out")
            if self._options.owner and self._options.state == "present":
                _label(obj, self._options.owner)
            wanted[identity] = obj
        return wanted

    def _undeclared(self, live: K8sObject) -> Change | None:
        """What is to be done with an object that is not declared."""
        options = self._options
        if not (options.prune and options.owner and options.manager and owner(live) == options.owner):
            return None
        if applied_entry(live, options.manager):
            return _pruning(live)
        return None if _made_by_a_controller(live) else _retained(live, RetainedReason.NOT_APPLIED_BY_US)

    def _problem(self, live: K8sObject) -> str | None:
        """Why a live object cannot become as it is declared, and the remedy."""
        options = self._options
        other = owner(live)
        if options.owner and other and other != options.owner:
            return (
                f"{title(live)} belongs to owner {other!r}, not to {options.owner!r}:"
                f" declare it in one place, or remove its label {OWNER_LABEL}"
            )
        if options.state == "absent":
            return None
        if options.owner and not other and not options.adopt:
            return (
                f"{title(live)} exists already and is unmanaged: give it the label"
                f" {OWNER_LABEL}={options.owner} to hand it over, or remove it"
            )
        if _is_being_deleted(live) and options.manager is not None:
            return (
                f"{title(live)} is being deleted since {live['metadata']['deletionTimestamp']}{_keepers(live)}:"
                " run this again when it is gone"
            )
        return None

    def _change(self, identity: Key, live: K8sObject) -> Change:
        """What is to be done with a declared object that exists."""
        options = self._options
        if options.state == "absent":
            return _change("unchanged" if _is_being_deleted(live) else "delete", live, before=live)
        want = self._wanted[identity]
        other = owner(live)
        if other and not options.owner and not owner(want):
            _label(want, other)
        if options.adjust is not None:
            want = self._wanted[identity] = options.adjust(want, live)
        reasons, claims = self._differences(want, live)
        if not reasons:
            return _change("unchanged", want, before=live if options.keep_unchanged else None, after=want)
        note = f"takes over {described(claims)}" if claims else ""
        reason = "TakesOver" if claims else None
        return _change(
            "update", want, before=live, after=want, reasons=reasons, handover=claims, note=note, note_reason=reason
        )

    def _differences(self, want: K8sObject, live: K8sObject) -> tuple[list[str], Handover]:
        """Why an update is needed, and what other managers give up for it."""
        manager = self._options.manager
        if manager is None:
            return value_differences(want, live, self._options.schemas), {}
        reasons = apply_differences(want, live, manager, self._options.schemas)
        claims = handover(want, live, manager, self._options.forced) if _shared(live, manager) else {}
        return reasons + ([f"{described(claims)} is given up"] if claims else []), claims

    def _missing(self, want: K8sObject) -> Change:
        """What is to be done with a declared object that does not exist."""
        return _change("create", want, after=want) if self._options.state == "present" else _change("unchanged", want)


def _made_by_a_controller(live: K8sObject) -> bool:
    """Whether a controller has made an object, with a copy of its owner's labels."""
    meta = live["metadata"]
    applied = any(entry.get("operation") == "Apply" for entry in meta.get("managedFields") or ())
    return bool(meta.get("ownerReferences")) or applied


def _shared(live: K8sObject, manager: str) -> bool:
    """Whether others than we have written an object."""
    return any(entry.get("manager") != manager for entry in live["metadata"].get("managedFields") or ())


def _is_being_deleted(obj: K8sObject) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def _keepers(obj: K8sObject) -> str:
    """What keeps an object that is being deleted."""
    spec = obj.get("spec")
    of_namespace = (spec.get("finalizers") if isinstance(spec, dict) and obj["kind"] == "Namespace" else None) or []
    finalizers = [*(obj["metadata"].get("finalizers") or ()), *of_namespace]
    return f", and waits for {', '.join(finalizers)}" if finalizers else ""


def _pruning(live: K8sObject) -> Change:
    """What is to be done with an object of ours that is declared no longer."""
    if live["kind"] in ("Namespace", "CustomResourceDefinition"):
        return _retained(live, RetainedReason.HOLDS_OTHERS)
    if _is_being_deleted(live):
        return _change("unchanged", live, before=live, pruned=True)
    return Change.deletion(live, pruned=True)


def _retained(live: K8sObject, reason: RetainedReason) -> Change:
    return _change("unchanged", live, before=live, note=_RETAINED[reason], note_reason=reason.value)


def _change(action: str, obj: K8sObject, **more: t.Any) -> Change:
    meta = obj["metadata"]
    return Change(action, obj["apiVersion"], obj["kind"], meta.get("namespace"), meta["name"], **more)


def _label(obj: K8sObject, owner_name: str) -> None:
    obj["metadata"]["labels"] = {**obj["metadata"].get("labels", {}), OWNER_LABEL: owner_name}
