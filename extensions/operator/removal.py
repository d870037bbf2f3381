# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Removes what an object has installed: its own releases, or all of Istio with the last object."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.purge.plan import KEEPABLE
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.types import K8sObject
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.wording import listed

from . import documents, playbook
from . import status as reports
from .application import Applier
from .documents import Component, Ref, Share, ref_of
from .drift import Release
from .objects import Objects
from .publication import Event
from .settings import Settings
from .status import DELETING, FAILED, Outcome
from .supervision import Heartbeat
from .turns import Turns

Item = t.Mapping[str, t.Any]
#: How many users or objects a message names.
SHOWN = 5


class StillUsed(MeshopsError):
    """The removal has to wait: others use what would be removed, or the operator may not remove it."""


@dataclasses.dataclass(frozen=True)
class Removal:
    """What is removed with an object.

    :ivar components: its components that no other object owns
    :ivar is_last: whether all of Istio is removed
    :ivar heir: what the object owns that gets istio-base, which all revisions share; None where none of the others does
    """

    components: list[Component]
    revisions: list[str]
    is_last: bool
    heir: Share | None = dataclasses.field(default=None, compare=False)

    @property
    def releases(self) -> set[Release] | None:
        """The releases that are removed; None is everything."""
        if self.is_last:
            return None
        return {(c["namespace"], c["name"]) for c in self.components} | (self.heir.owned if self.heir else set())


class Remover:
    """Removes what objects have installed."""

    def __init__(self, settings: Settings, objects: Objects, kubeconfig: str, turns: Turns) -> None:
        self._settings, self._objects, self._kubeconfig, self._turns = settings, objects, kubeconfig, turns
        self._applier = Applier(settings, objects, kubeconfig)

    def remove(self, ref: Ref, heartbeat: Heartbeat) -> None:
        """Removes what an object has installed.

        :raises StillUsed: others use it
        :raises MeshopsError: the removal failed; the text says why
        """
        obj = self._objects.get(*ref)
        if obj is None or documents.is_ignored(obj):
            return
        if (obj.get("spec") or {}).get("deletionPolicy") == "Retain":
            self._objects.event(obj, Event("Retained", "the components are retained: deletionPolicy is Retain"))
            return
        try:
            removal = self._plan(obj)
            while removal:
                with self._turns.of(removal.releases, heartbeat):
                    now = self._plan(obj)
                    if now and now == removal and now.releases == removal.releases:
                        self._apply(obj, now, heartbeat)
                        return
                removal = now
        except MeshopsError as error:
            reason = "StillUsed" if isinstance(error, StillUsed) else FAILED
            if (obj.get("status") or {}).get("message") != reports.short(str(error)):
                self._objects.event(obj, Event(reason, str(error), is_warning=True))
            self._objects.tell(obj, Outcome(DELETING, reason, str(error)))
            raise

    def _plan(self, obj: K8sObject) -> Removal | None:
        """What is removed with an object; None where nothing of it was ever applied.

        :raises StillUsed: others use it
        """
        everything = [o for o in self._objects.all() if o["metadata"]["uid"] != obj["metadata"]["uid"]]
        others = list(documents.remaining(everything))
        components: dict[Release, Component] = {(c["namespace"], c["name"]): c for c in documents.components(obj)}
        own = documents.shares([obj], self._settings)[ref_of(obj)]
        if own.control_plane is None and not components:
            return None
        for release in documents.declared(own):
            entry: Component = {"name": release.name, "namespace": release.namespace, "chart": release.chart}
            components.setdefault((release.namespace, release.name), entry)
        shares = documents.shares(others, self._settings).values()
        declared = documents.declared(*shares)
        mine = documents.left_over(components.values(), declared, others)
        revisions = [documents.revision_of(c["name"]) for c in mine if c.get("chart") == "istiod"]
        gateways = {(c["namespace"], c["name"]) for c in mine if c.get("chart") == "gateway"}
        is_last = not others and self._objects.control_planes() <= set(revisions)
        users = self._users(revisions, gateways, is_last=is_last)
        if users:
            raise StillUsed(f"not removed yet: still used by {listed(users, SHOWN)}. Remove them from the mesh first")
        return Removal(mine, revisions, is_last, None if is_last or not revisions else _heir(shares))

    def _users(self, revisions: list[str], gateways: set[Release], *, is_last: bool) -> list[str]:
        """Who uses revisions. Where all of Istio is removed, tags are removed too: then only a tag's users count."""
        users, seen, names = set(), set(revisions), list(revisions)
        while names:
            uses = self._objects.uses(names.pop(), gateways)
            users |= set(uses.users)
            if not is_last:
                users |= {f"tag {tag}" for tag in uses.tags}
                continue
            names += [tag for tag in uses.tags if tag not in seen]
            seen |= set(uses.tags)
        return sorted(users)

    def _apply(self, obj: K8sObject, removal: Removal, heartbeat: Heartbeat) -> None:
        keep = self._kept(heartbeat) if removal.is_last else []
        names = ", ".join(c["name"] for c in removal.components) or "no component is its own"
        self._objects.event(obj, Event(DELETING, "all of Istio" if removal.is_last else names))
        obj = self._objects.tell(obj, Outcome(DELETING, DELETING, "the components are being removed"))
        if removal.heir:
            played = self._applier.apply(removal.heir, [], removal.revisions, heartbeat)
            if played.failure:
                raise MeshopsError(played.failure)
        rest = [c for c in removal.components if c.get("chart") != "istiod"]
        for number, revision in enumerate(removal.revisions or [""]):
            variables = {
                "operator_is_last": removal.is_last,
                "operator_keep": keep,
                "operator_revision": revision,
                "operator_left_over": documents.absent(rest) if not number else [],
            }
            played = playbook.run("remove", variables, {}, self._kubeconfig, heartbeat)
            if played.failure:
                raise MeshopsError(played.failure)
            if removal.is_last:
                break

    def _kept(self, heartbeat: Heartbeat) -> list[str]:
        """What a removal of everything keeps; the API server is asked about all the rest before anything is removed.

        :raises StillUsed: the operator may not remove something; it would stop half-way
        """
        played = playbook.run("footprint", {}, {}, self._kubeconfig, heartbeat)
        if played.failure:
            raise MeshopsError(played.failure)
        purged = played.results[playbook.PURGE]["purged"]
        keep = kept(purged)
        refusals = {title(item): self._objects.refusal(item) for item in removed(purged, keep)}
        refused = [f"{name} ({refusal})" for name, refusal in refusals.items() if refusal]
        if refused:
            raise StillUsed(
                f"not removed yet: the operator may not change {listed(refused, SHOWN)}. Delete it, or remove"
                " Istio's labels and annotations from it, or add its namespace to managedNamespaces of the operator's"
                " chart"
            )
        return keep


def _heir(shares: t.Iterable[Share]) -> Share | None:
    """The share with the release of base: its default validator leaves the revisions that are removed."""
    for share in shares:
        if share.control_plane and any(release.chart == "base" for release in share.control_plane.releases):
            return share
    return None


def kept(purged: t.Iterable[Item]) -> list[str]:
    """What a purge keeps: the operator itself, namespaces, which existed before it, and what users wrote.

    :param purged: what a purge that keeps only operators would do
    """
    items = list(purged)
    words = ["operators", "namespaces"]
    if any(item["part"] == "mesh_objects" for item in items):
        words.append("mesh_objects")
    if any(item["part"] == "ca" and item["name"] == "cacerts" for item in items):
        words.append("ca")
    return words


def removed(purged: t.Iterable[Item], keep: t.Iterable[str]) -> list[Item]:
    """What is removed, beside what is kept."""
    spared = {part for word in keep for part in KEEPABLE[word]}
    return [item for item in purged if item["part"] not in spared]


def title(item: Item) -> str:
    """How a user finds an object."""
    namespace = item.get("namespace")
    return f"{item['kind']} {namespace + '/' if namespace else ''}{item['name']}"
