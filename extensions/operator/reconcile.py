# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One run for an object: what is its share, the playbook that applies it, and what is published afterwards."""

from __future__ import annotations

import contextlib
import dataclasses
import time
import typing as t

from ansible_collections.meshops.istio.plugins.module_utils.reconcile.types import K8sObject
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.wording import listed

from . import documents, playbook, publication
from .application import Applier
from .documents import Component, Ref, Share, ref_of
from .drift import Release
from .metrics import Metrics
from .objects import Objects
from .publication import Ended, Event, Publication, Run
from .removal import SHOWN, Remover
from .settings import Settings
from .status import READY
from .supervision import CancelToken, Heartbeat
from .turns import Turns


@dataclasses.dataclass
class _View:
    """An object among the others, at one moment.

    :ivar left_over: components that it had and no longer declares
    """

    obj: K8sObject
    share: Share
    left_over: list[Component]

    @property
    def releases(self) -> set[Release]:
        return self.share.owned | {(c["namespace"], c["name"]) for c in self.left_over}


class Reconciler:
    """Reconciles objects, from a thread for each."""

    def __init__(self, settings: Settings, objects: Objects, metrics: Metrics, kubeconfig: str) -> None:
        self._settings, self._objects, self._metrics, self._kubeconfig = settings, objects, metrics, kubeconfig
        self._turns = Turns()
        self._applier = Applier(settings, objects, kubeconfig)
        self._remover = Remover(settings, objects, kubeconfig, self._turns)

    def remove(self, ref: Ref, heartbeat: Heartbeat) -> None:
        """Removes what an object has installed; see C(Remover.remove)."""
        self._remover.remove(ref, heartbeat)

    def look(
        self, ref: Ref, run: Run, watch: t.Callable[[set[Release]], None], heartbeat: Heartbeat, cancel: CancelToken
    ) -> Ended:
        """Makes the cluster match what an object declares.

        :param watch: gets the releases whose changes are the object's drift
        """
        begun = time.monotonic()
        with self._turn(ref, heartbeat) as view:
            if view is None:
                return Ended(gone=True)
            watch(view.share.owned)
            is_valid = not view.share.problem
            ended = (self._apply if is_valid else self._keep_last_good)(view, run, heartbeat, cancel)
        if ended.cancelled:
            return ended
        outcome = "invalid" if not is_valid else "failed" if ended.failed else "done"
        namespace, name = ref
        self._metrics.add(
            "istio_operator_reconciles_total", reason=run.reason, outcome=outcome, namespace=namespace, name=name
        )
        seconds = time.monotonic() - begun
        self._metrics.observe("istio_operator_reconcile_seconds", seconds, namespace=namespace, name=name)
        return ended

    @contextlib.contextmanager
    def _turn(self, ref: Ref, heartbeat: Heartbeat) -> t.Iterator[_View | None]:
        """The object as it is when its turn has come: meanwhile another one may have got what was its own."""
        view = self._view(ref)
        while view is not None:
            with self._turns.of(view.releases, heartbeat):
                now = self._view(ref)
                if now is not None and now.releases == view.releases:
                    yield now
                    return
            view = now
        yield None

    def _view(self, ref: Ref) -> _View | None:
        obj = self._objects.get(*ref)
        if obj is None or obj["metadata"].get("deletionTimestamp") or documents.is_ignored(obj):
            return None
        others = [o for o in self._objects.all() if o["metadata"]["uid"] != obj["metadata"]["uid"]]
        shares = documents.shares([obj, *documents.remaining(others)], self._settings)
        share = shares.pop(ref)
        declared = documents.declared(share, *shares.values())
        return _View(obj, share, documents.left_over(documents.components(obj), declared, others))

    # -- an object is applied ---------------------------------------------

    def _apply(self, view: _View, run: Run, heartbeat: Heartbeat, cancel: CancelToken) -> Ended:
        obj, share = view.obj, view.share
        before = obj.get("status") or {}
        if share.control_plane and before.get("observedGeneration") != obj["metadata"].get("generation", 0):
            event, outcome = publication.begun(obj, share.control_plane)
            self._objects.event(obj, event)
            obj = self._objects.tell(obj, outcome)
        others = [c for c in view.left_over if c.get("chart") != "istiod"]
        played = self._applier.apply(share, others, self._unused(view.left_over), heartbeat, cancel)
        if played.cancelled:
            return Ended(cancelled=True)
        report = publication.report(played, self._objects.unready(share.owned))
        if played.failure and not report.planned:
            self._apply_last_good(view, heartbeat, cancel)
        superseded = [] if played.failure else self._supersede(obj, view.left_over, heartbeat)
        return self._publish(obj, report, publication.applied(obj, share, run, played, report, superseded))

    def _keep_last_good(self, view: _View, run: Run, heartbeat: Heartbeat, cancel: CancelToken) -> Ended:
        """Reports what is wrong with an object, and keeps what was installed by its last good spec."""
        refusal = publication.refused(view.obj, view.share)
        obj = view.obj
        for event in refusal.events:
            self._objects.event(obj, event)
        if refusal.events or view.share.control_plane is None:
            obj = self._objects.tell(obj, refusal.outcome)
        self._metrics.set("istio_operator_ready", 0, **_labels(obj))
        if view.share.control_plane is None:
            return refusal.ended
        played = self._applier.apply(view.share, [], [], heartbeat, cancel)
        if played.cancelled:
            return Ended(cancelled=True)
        report = publication.report(played, self._objects.unready(view.share.owned))
        return self._publish(obj, report, publication.kept(obj, view.share, run, played, report))

    def _apply_last_good(self, view: _View, heartbeat: Heartbeat, cancel: CancelToken) -> None:
        """Where nothing of an object could be applied, what its last good spec has installed is kept as it was."""
        good = documents.last_good(view.obj)
        if good is None:
            return
        others = [
            o for o in documents.remaining(self._objects.all()) if o["metadata"]["uid"] != good["metadata"]["uid"]
        ]
        share = documents.shares([good, *others], self._settings)[ref_of(good)]
        if share.control_plane is None or share.problem or not share.owned <= view.releases:
            return
        report = publication.report(self._applier.apply(share, [], [], heartbeat, cancel))
        for event in publication.changes(report):
            self._objects.event(view.obj, event)
        self._count(report)

    def _unused(self, left_over: t.Iterable[Component]) -> list[str]:
        """The revisions that an object no longer declares and that have no users."""
        revisions = [documents.revision_of(c["name"]) for c in left_over if c.get("chart") == "istiod"]
        return [revision for revision in revisions if not self._objects.uses(revision, set()).all]

    def _supersede(self, obj: K8sObject, left_over: t.Iterable[Component], heartbeat: Heartbeat) -> list[Component]:
        """Removes the control planes of revisions that an object no longer declares; returns those still in use."""
        retained: list[Component] = []
        for component in left_over:
            if component.get("chart") != "istiod":
                continue
            revision = documents.revision_of(component["name"])
            uses = self._objects.uses(revision, set())
            why = f"still used by {listed(uses.all, SHOWN)}"
            if not uses.all:
                variables = {"operator_is_last": False, "operator_revision": revision, "operator_left_over": []}
                played = playbook.run("remove", variables, {}, self._kubeconfig, heartbeat)
                if not played.failure:
                    self._objects.event(obj, Event("Removed", f"revision {revision}, which is no longer used"))
                    continue
                why = played.failure
            if component.get("state") != documents.SUPERSEDED:
                self._objects.event(obj, Event(documents.SUPERSEDED, f"revision {revision} is retained for now: {why}"))
            retained.append({**component, "state": documents.SUPERSEDED, "message": why[:300]})
        return retained

    # -- what came of it is published -------------------------------------

    def _publish(self, obj: K8sObject, report: publication.Report, published: Publication) -> Ended:
        """Writes status, events and metrics of a run."""
        for event in published.events:
            self._objects.event(obj, event)
        self._count(report)
        obj = self._objects.tell(obj, published.outcome)
        labels = _labels(obj)
        if published.is_good:
            self._objects.remember(obj)
            self._metrics.set("istio_operator_last_success_timestamp_seconds", time.time(), **labels)
        if published.has_failed:
            self._metrics.add("istio_operator_failures_total", **labels)
        self._metrics.set("istio_operator_ready", float(published.outcome.state == READY), **labels)
        return published.ended

    def _count(self, report: publication.Report) -> None:
        for release in report.changes:
            self._metrics.add("istio_operator_changes_total", action=release["action"], release=release["name"])


class _Labels(t.TypedDict):
    namespace: str
    name: str


def _labels(obj: t.Mapping[str, t.Any]) -> _Labels:
    """The labels of an object's metrics."""
    return {"namespace": obj["metadata"]["namespace"], "name": obj["metadata"]["name"]}
