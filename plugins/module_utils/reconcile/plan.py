# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan: from what is declared and what is live to what has to be done. Pure: no requests, no clock."""

from __future__ import annotations

import dataclasses
import typing as t

from .compare import SchemaSource, apply_differences, value_differences
from .handover import Handover, described, handover
from .identity import OWNER_LABEL, Key, declared, key, owner, title
from .managed_fields import applied_entry
from .types import K8sObject


@dataclasses.dataclass
class Change:
    """What is to be done with one object.

    :ivar action: C(create), C(update), C(delete) or C(unchanged)
    :ivar api_version: as declared; on a deletion as read
    :ivar kind: the object's kind
    :ivar namespace: None for what lives in no namespace
    :ivar name: the object's name
    :ivar before: the live object, None on a creation; not kept where nothing changes, unless asked for
    :ivar after: the declared object, None on a deletion
    :ivar reasons: why an update is needed, one sentence a field
    :ivar pruned: it is not declared any more
    :ivar note: why something that might be expected isn't done
    :ivar unproven: it has our owner's label, but this collection has not applied it, so it is not pruned
    :ivar handover: what other field managers give up, see C(handover.handover)
    """

    action: str
    api_version: str
    kind: str
    namespace: str | None
    name: str
    before: dict[str, t.Any] | None = None
    after: dict[str, t.Any] | None = None
    reasons: list[str] = dataclasses.field(default_factory=list)
    pruned: bool = False
    note: str = ""
    unproven: bool = False
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


def plan(
    desired: t.Iterable[dict[str, t.Any]],
    live: t.Iterable[dict[str, t.Any]],
    state: str = "present",
    manager: str | None = "meshops.istio",
    owner_name: str | None = None,
    prune: bool = False,
    schemas: SchemaSource | None = None,
    keep_unchanged: bool = False,
    adopt: bool = True,
    forced: t.Callable[[str], bool] = lambda manager: False,
    adjust: t.Callable[[K8sObject, K8sObject], K8sObject] | None = None,
) -> list[Change]:
    """Decides for every object what has to be done.

    :param desired: the declared objects, with apiVersion, kind, metadata.name, and metadata.namespace where
        the kind has one. They are reduced with C(identity.declared); the arguments stay as they are.
    :param live: live objects, among them those that are declared and exist; others are looked at only to
        prune. Read once, so a generator saves memory. One may come several times.
    :param state: C(present): declared objects shall be as declared; C(absent): shall not exist
    :param manager: our field manager: an object is unchanged when server-side apply under this name would
        leave it as it is. None: it is unchanged when every declared value is live, whoever wrote it
        (for what Helm applies).
    :param owner_name: label what is declared as this owner's (C(meshops.istio/owner)). An object of another
        owner is a problem. Without it, an object keeps the owner it has, unless it is declared with the label of one.
    :param prune: delete live objects with our label for C(owner_name) that are not declared, if C(manager) has applied
        them: controllers copy labels to what they make, as istiod does from a Gateway to its Service
    :param schemas: see C(compare.SchemaSource)
    :param keep_unchanged: keep C(before) of unchanged objects too
    :param adopt: whether objects that belong to no owner become C(owner_name)'s; else one is a problem
    :param forced: see C(handover.handover)
    :param adjust: gives the declared object as it is to be compared and written, from it and the live one
    :returns: the changes: first the declared objects in their order, then what is pruned
    :raises PlanError: an object is declared twice, or belongs to another owner, or to none, or is about to go
    """
    wanted, problems = _index(desired, owner_name if state == "present" else None)
    changes: dict[Key, Change] = {}
    pruned: dict[Key, Change] = {}
    for found in live:
        identity = key(found)
        want = wanted.get(identity)
        if want is None:
            if prune and owner_name and manager and owner(found) == owner_name:
                if applied_entry(found, manager):
                    pruned[identity] = _pruning(found)
                elif not _made_by_a_controller(found):
                    note = "not pruned: it has the owner's label, but was not applied by this collection"
                    pruned[identity] = _change("unchanged", found, before=found, note=note, unproven=True)
            continue
        other = owner(found)
        if owner_name and other and other != owner_name:
            problems.append(
                f"{title(found)} belongs to owner {other!r}, not to {owner_name!r}:"
                f" declare it in one place, or remove its label {OWNER_LABEL}"
            )
            continue
        if owner_name and not other and not adopt and state == "present":
            problems.append(
                f"{title(found)} is there already and belongs to no owner: give it the label"
                f" {OWNER_LABEL}={owner_name} to hand it over, or remove it"
            )
            continue
        if state == "absent":
            changes[identity] = _change("unchanged" if _is_going(found) else "delete", found, before=found)
            continue
        if _is_going(found) and manager is not None:
            problems.append(
                f"{title(found)} is being deleted since {found['metadata']['deletionTimestamp']}{_keepers(found)}:"
                " run this again when it is gone"
            )
            continue
        if other and not owner_name and not owner(want):
            _label(want, other)
        if adjust is not None:
            want = wanted[identity] = adjust(want, found)
        compared = (
            value_differences(want, found, schemas)
            if manager is None
            else apply_differences(want, found, manager, schemas)
        )
        claims = handover(want, found, manager, forced) if manager and _shared(found, manager) else {}
        if claims:
            compared += [f"{described(claims)} is given up"]
        if compared:
            note = f"takes over {described(claims)}" if claims else ""
            changes[identity] = _change(
                "update", want, before=found, after=want, reasons=compared, handover=claims, note=note
            )
        else:
            changes[identity] = _change("unchanged", want, before=found if keep_unchanged else None, after=want)
    if problems:
        raise PlanError(list(dict.fromkeys(problems)))
    for identity, want in wanted.items():
        if identity not in changes:
            action = "create" if state == "present" else "unchanged"
            changes[identity] = _change(action, want, after=want if state == "present" else None)
    return [*(changes[identity] for identity in wanted), *pruned.values()]


def _made_by_a_controller(live: K8sObject) -> bool:
    """Whether a controller has made an object, with a copy of its owner's labels."""
    meta = live["metadata"]
    applied = any(entry.get("operation") == "Apply" for entry in meta.get("managedFields") or ())
    return bool(meta.get("ownerReferences")) or applied


def _shared(live: K8sObject, manager: str) -> bool:
    """Whether others than we have written an object."""
    return any(entry.get("manager") != manager for entry in live["metadata"].get("managedFields") or ())


def _is_going(obj: dict[str, t.Any]) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def _keepers(obj: dict[str, t.Any]) -> str:
    """What keeps an object that is being deleted."""
    spec = obj.get("spec")
    of_namespace = (spec.get("finalizers") if isinstance(spec, dict) and obj["kind"] == "Namespace" else None) or []
    finalizers = [*(obj["metadata"].get("finalizers") or ()), *of_namespace]
    return f", and waits for {', '.join(finalizers)}" if finalizers else ""


def _pruning(found: dict[str, t.Any]) -> Change:
    if found["kind"] in ("Namespace", "CustomResourceDefinition"):
        note = "not pruned, as everything in it would go, too, whoever owns that: delete it with state absent"
        return _change("unchanged", found, before=found, note=note)
    if _is_going(found):
        return _change("unchanged", found, before=found, pruned=True)
    return Change.deletion(found, pruned=True)


def _change(action: str, obj: dict[str, t.Any], **more: t.Any) -> Change:
    meta = obj["metadata"]
    return Change(action, obj["apiVersion"], obj["kind"], meta.get("namespace"), meta["name"], **more)


def _index(
    desired: t.Iterable[dict[str, t.Any]], owner_name: str | None
) -> tuple[dict[Key, dict[str, t.Any]], list[str]]:
    wanted: dict[Key, dict[str, t.Any]] = {}
    problems = []
    for given in desired:
        obj = declared(given)
        identity = key(obj)
        if identity in wanted:
            problems.append(f"{title(obj)} is declared twice: leave one of the two out")
        if owner_name:
            _label(obj, owner_name)
        wanted[identity] = obj
    return wanted, problems


def _label(obj: dict[str, t.Any], owner_name: str) -> None:
    obj["metadata"]["labels"] = {**obj["metadata"].get("labels", {}), OWNER_LABEL: owner_name}
