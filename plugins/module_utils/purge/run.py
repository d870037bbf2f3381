# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Removes Istio from a cluster: plan, backup, one step after another, proof.

Every step reads the cluster and not what an earlier run did, so that a purge that was killed continues where it was.
Nothing here needs istiod to run.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import datetime
import time
import typing as t

from ..cluster.client import Cluster
from ..cluster.edit import ObjectRef, Operation, edit
from ..cluster.errors import ApiError
from ..cluster.kinds import KNOWN
from ..errors import MeshopsError
from ..footprint.item import MARK, Item, Key, Scope, item_of, marked_injected
from ..footprint.listing import Listing, list_istio
from ..mesh.names import istio_key
from ..reconcile.identity import key
from ..reconcile.types import K8sObject
from ..reconcile.wording import listed as some
from .backup import backup_files
from .backup_folder import BackupFolder
from .cni import Report, clean_nodes
from .deletion import POLL, Deletions
from .order import Step, Work
from .plan import Plan, plan_purge, plan_summary, plan_text
from .plan import Scope as PurgeScope
from .proof import prove
from .restart import restart_without_sidecar

#: How often the footprint is read again: istiod may write some objects once more while it ends.
_ROUNDS = 3
#: Seconds that gateways with clients are given before their namespace is asked to be deleted. Kubernetes checks five
#: seconds later whether pods are left there, and then only every five; gateways drain for five.
_DRAINING = 1.5
#: Seconds for which what was read of the cluster counts as fresh.
_FRESH = 5.0


@dataclasses.dataclass(frozen=True)
class PurgeOptions:
    """The module's options."""

    confirm: bool = False
    revision: str | None = None
    keep: tuple[str, ...] = ()
    accept_outages: bool = False
    backup_dir: str | None = None
    backup_ca: bool = True
    backup_anywhere: bool = False
    restart_workloads: bool = True
    wait_timeout: float = 300
    finalizer_timeout: float = 30
    proof_image: str = "registry.k8s.io/pause:3.10.1"

    @property
    def scope(self) -> PurgeScope:
        return PurgeScope(self.keep, self.restart_workloads, self.revision)


class Diff(t.TypedDict):
    """The plan as a diff."""

    before_header: str
    before: str
    after_header: str
    after: str


class PurgeResult(t.TypedDict):
    """What the module returns; see its documentation."""

    warnings: list[str]
    changed: bool
    purged: list[dict[str, t.Any]]
    retained: list[dict[str, t.Any]]
    outages: list[dict[str, t.Any]]
    summary: dict[str, int]
    finalizers: list[str]
    notes: list[str]
    seconds: dict[str, float]
    backup: list[str]
    proof: list[str]
    diff: Diff


def purge(cluster: Cluster, options: PurgeOptions, *, check_mode: bool = False) -> PurgeResult:
    """Purges a cluster, or in check mode says what a purge would do.

    :raises MeshopsError: the purge was refused, or something is left; then its C(result) says how far it came
    """
    listing, plan = _look(cluster, options)
    result = _result(plan)
    if check_mode or not plan.items:
        return result
    _refuse(plan, options)
    folder = _open_backup(cluster, options, plan, result)
    if folder:
        result["backup"] = folder.write(backup_files(plan, listing.objects, with_ca=options.backup_ca))
    try:
        _Run(cluster, options, result, folder).run(plan, listing)
    except MeshopsError as error:
        raise MeshopsError(
            f"{error}. Completed steps are not undone: run the purge again to continue", result
        ) from error
    if folder:
        folder.close({"ended": _now(), "purged": result["summary"]})
    return result


def _look(cluster: Cluster, options: PurgeOptions) -> tuple[Listing, Plan]:
    listing = list_istio(cluster)
    return listing, plan_purge(listing.objects, listing.complete, options.scope, listing.unanswered)


def _refuse(plan: Plan, options: PurgeOptions) -> None:
    """Refuses what nobody has confirmed, before anything is changed.

    :raises MeshopsError: so
    """
    if not options.confirm:
        count = sum(plan_summary(plan).values())
        raise MeshopsError(
            f"Refusing to delete {count} objects: set `confirm: true` (`purge_confirm` in the role). Review the plan"
            " with `--check --diff`."
        )
    if plan.outages and not options.accept_outages:
        raise MeshopsError(
            f"Refusing to purge, because requests would fail while workloads are restarted:"
            f" {some(plan.outages, 5, '; ')}. Or set `accept_outages: true` (`purge_accept_outages` in the role).",
            {"outages": [outage.report() for outage in plan.outages]},
        )


def _open_backup(cluster: Cluster, options: PurgeOptions, plan: Plan, result: PurgeResult) -> BackupFolder | None:
    if not options.backup_dir:
        return None
    folder = BackupFolder(options.backup_dir)
    if not options.backup_anywhere:
        folder.refuse_unsafe_place()
    moved = folder.open(_uid_of(cluster), _now(), plan.items)
    if moved:
        result["notes"].append(f"An earlier backup is now in {moved}")
    return folder


def _uid_of(cluster: Cluster) -> str:
    """The identity of a cluster: the uid of its namespace kube-system; empty where that may not be read."""
    try:
        live = cluster.get(KNOWN["", "Namespace"], "kube-system")
    except ApiError as error:
        if error.status != 403:
            raise
        live = None
    return live["metadata"]["uid"] if live else ""


def _result(plan: Plan) -> PurgeResult:
    before, after = plan_text(plan)
    return {
        "warnings": [*(str(outage) for outage in plan.outages), *plan.warnings],
        "changed": bool(plan.items),
        "purged": [item.report() for item in plan.ordered],
        "retained": [item.report() for item in plan.retained],
        "outages": [outage.report() for outage in plan.outages],
        "summary": plan_summary(plan),
        "finalizers": [],
        "notes": [],
        "seconds": {},
        "backup": [],
        "proof": [],
        "diff": {"before_header": "Istio in the cluster", "before": before, "after_header": "after", "after": after},
    }


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Run:
    """One purge under way."""

    def __init__(
        self, cluster: Cluster, options: PurgeOptions, result: PurgeResult, folder: BackupFolder | None
    ) -> None:
        self.cluster = cluster
        self.options = options
        self.result = result
        self.folder = folder
        self.objects = Deletions(
            cluster,
            options.wait_timeout,
            options.finalizer_timeout,
            result["finalizers"],
            hurry=not options.revision,
        )
        self.looked = time.monotonic()
        cluster.retry_time = max(cluster.retry_time, options.wait_timeout)

    def run(self, plan: Plan, listing: Listing) -> None:
        injecting = [i.name for i in plan.part("injection") if i.kind == "Namespace"]
        objects = {o["metadata"]["name"]: o for o in listing.objects if o["kind"] == "Namespace"}
        self._mark(objects, [i.name for i in plan.part("namespaces")], "going")
        self._mark(objects, [name for name in injecting if name not in plan.control_planes], "injected")
        self._mark(objects, plan.control_planes, "control-plane")
        proving = sorted({*injecting, *marked_injected(listing.objects)})
        for _round in range(_ROUNDS):
            plan = self._steps(plan, listing)
            self.cluster.forget_kinds()
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                # Definitions, gateways and namespaces are still terminating.
                proof = pool.submit(self._prove, proving, mesh_objects=not plan.part("crds"))
                listing, plan, left = self._look_again()
                self.result["proof"] = proof.result()
            if not left:
                break
        else:
            shown = some([f"{item.where} ({', '.join(item.why)})" for item in left], 10, "; ")
            raise MeshopsError(f"The footprint is not empty: {shown}")
        if not self.options.revision:
            self.result["proof"].insert(0, "the footprint is empty")
        self.result["retained"] = [item.report() for item in plan.retained]
        self.objects.each(self._strip, plan.part("proof"))

    def _prove(self, namespaces: list[str], *, mesh_objects: bool) -> list[str]:
        """Proves that the cluster works, unless only one revision is removed."""
        if self.options.revision:
            return []
        with self._timed("proof"):
            return prove(
                self.cluster,
                namespaces,
                self.options.proof_image,
                self.options.wait_timeout,
                mesh_objects=mesh_objects,
            )

    def _look_again(self) -> tuple[Listing, Plan, list[Item]]:
        """Waits until all is gone, and reads what is left: meanwhile, and again where there is more than that.

        :returns: the cluster's objects, what a further purge would do, and what of that is not gone yet
        """
        with self._timed("look again"):
            listing, plan = _look(self.cluster, self.options)
            ends = {item.id for item in self.objects.going}
        with self._timed("wait"):
            self.objects.wait()
        left = [item for item in plan.items if item.part != "proof" and item.id not in ends]
        if left:
            with self._timed("look again"):
                listing, plan = _look(self.cluster, self.options)
            left = [item for item in plan.items if item.part != "proof"]
        return listing, plan, left

    def _mark(self, objects: t.Mapping[str, K8sObject], namespaces: t.Iterable[str], word: str) -> None:
        patch = {"metadata": {"annotations": {MARK: word}}}
        items = [item_of(objects[name], "proof", "strip", (), [Key(Scope.ANNOTATION, MARK)]) for name in namespaces]
        self.objects.each(lambda item: self.objects.patch(item, patch), items)

    # -- steps --------------------------------------------------------------

    def _steps(self, plan: Plan, listing: Listing) -> Plan:
        """Carries out every step in order.

        :returns: the plan that was carried out in the end
        """
        self.looked = time.monotonic()
        done: dict[str, list[Item]] = {}
        for number, (step, _items) in enumerate(plan.steps):
            if step.reads_again and time.monotonic() - self.looked > _FRESH:
                listing, plan = self._second_look()
            items = plan.steps[number][1]
            with self._timed(step.name):
                if items:
                    self._begin(step, done)
                    self._carry_out(step, items, listing)
            done[step.name] = items
        return plan

    def _second_look(self) -> tuple[Listing, Plan]:
        """Reads the cluster again: what has changed since is in the backup, and others' new objects are retained."""
        with self._timed("second look"):
            listing, plan = _look(self.cluster, self.options)
            if self.folder:
                files = backup_files(plan, listing.objects, with_ca=self.options.backup_ca)
                self.result["backup"] = sorted({*self.result["backup"], *self.folder.write(files)})
        return listing, plan

    def _begin(self, step: Step, done: t.Mapping[str, list[Item]]) -> None:
        if step.drains:
            self._drain()
        if step.after:
            self.objects.wait([item for name in step.after for item in done[name]])

    def _carry_out(self, step: Step, items: list[Item], listing: Listing) -> None:
        if step.work is Work.DELETE:
            self.objects.delete(items, foreground=step.foreground)
        elif step.work is Work.ASK:
            self.objects.ask(items, foreground=step.foreground)
        elif step.work is Work.STRIP:
            self.objects.each(self._strip, items)
        elif step.work is Work.RESTART:
            for item in items:
                self.result["notes"] += restart_without_sidecar(self.objects, item, self.options.wait_timeout)
        elif step.work is Work.CNI:
            self._cni(items, listing.objects)

    def _drain(self) -> None:
        """Waits until gateways and istiods end soon, or gateways have had so much time that they will in time."""
        begin = time.monotonic()
        while self.objects.hurry() and time.monotonic() - begin < _DRAINING:
            time.sleep(POLL)

    def _timed(self, step: str) -> t.ContextManager[None]:
        return _Timed(self.result["seconds"], step)

    def _strip(self, item: Item) -> None:
        obj = self.objects.get(item)
        if obj is None:
            return
        patch = _patch_without(item, obj)
        if patch:
            self.objects.patch(item, patch)
        if item.names(Scope.TAINT):
            edit(self.cluster, ObjectRef(KNOWN["", "Node"], item.name), _without_taints, live=self.objects.get(item))
        if item.names(Scope.FINALIZER):
            self.objects.remove_finalizers(item, obj)

    def _cni(self, items: list[Item], listed: t.Iterable[K8sObject]) -> None:
        objects = {key(obj): obj for obj in listed}
        daemon_sets = [i for i in items if i.kind == "DaemonSet"]
        if daemon_sets:
            live = [objects[i.id] for i in daemon_sets]
            report = Report(self.result["notes"], self.result["warnings"])
            clean_nodes(self.objects, daemon_sets, live, self.options.wait_timeout, report)
        self.objects.delete([i for i in items if i not in daemon_sets])


def _patch_without(item: Item, obj: K8sObject) -> dict[str, t.Any]:
    """A merge patch that removes the labels and annotations of an item that the live object still has."""
    metadata = {}
    for field, scope in (("labels", Scope.LABEL), ("annotations", Scope.ANNOTATION)):
        keys = [name for name in obj["metadata"].get(field) or {} if name in item.names(scope)]
        if keys:
            metadata[field] = dict.fromkeys(keys)
    return {"metadata": metadata} if metadata else {}


def _without_taints(node: K8sObject) -> list[Operation]:
    """Removes Istio's taints from a node."""
    taints = node["spec"].get("taints") or []
    left = [taint for taint in taints if not istio_key(taint["key"])]
    return [{"op": "replace", "path": "/spec/taints", "value": left}] if len(left) < len(taints) else []


class _Timed:
    """Adds the seconds that a step takes."""

    def __init__(self, seconds: dict[str, float], step: str) -> None:
        self.seconds, self.step = seconds, step

    def __enter__(self) -> None:
        self.begun = time.monotonic()

    def __exit__(self, *_error: object) -> None:
        self.seconds[self.step] = round(self.seconds.get(self.step, 0) + time.monotonic() - self.begun, 1)
