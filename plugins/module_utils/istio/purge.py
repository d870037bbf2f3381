# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Takes Istio out of a cluster: plan, backup, one part after another, proof.

Every step looks at the cluster and not at what an earlier run did, so that a purge that was killed goes on where it
was. Nothing here needs istiod to run.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import datetime
import time
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError, ClusterError
from ..cluster.kinds import Kind
from ..reconcile.readiness import unready
from .footprint import (
    MARK,
    RESTARTABLE,
    Item,
    id_of,
    injected,
    istio_finalizer,
    istio_key,
    owner_of_pod,
)
from .footprint_listing import list_istio
from .purge_backup import backup_files, close_backup, write_backup
from .purge_cni import clean_nodes
from .purge_plan import Plan, plan_purge, plan_summary, plan_text
from .purge_proof import prove

#: How often the footprint is read again: istiod writes some objects once more while it ends.
_ROUNDS = 3
_POLL = 0.3
#: Finalizers that Kubernetes answers by itself; taking them off would leave something behind.
_KUBERNETES_FINALIZERS = ("foregroundDeletion", "orphan", "kubernetes")


@dataclasses.dataclass(frozen=True)
class Wishes:
    """The module's options."""

    confirm: bool = False
    revision: str | None = None
    keep: tuple[str, ...] = ()
    backup_dir: str | None = None
    backup_ca: bool = True
    restart_workloads: bool = True
    wait_timeout: float = 300
    finalizer_timeout: float = 30
    proof_image: str = "registry.k8s.io/pause:3.10.1"


class PurgeError(ClusterError):
    """A purge that did not come to its end; C(result) says how far it came."""

    def __init__(self, message: str, result: dict) -> None:
        super().__init__(message)
        self.result = result


def purge(cluster: Cluster, wishes: Wishes, check: bool = False) -> dict:
    """Purges a cluster, or in check mode says what a purge would do.

    :raises ClusterError: nothing was changed yet
    :raises PurgeError: something is left; the message names it and why
    """
    listed, plan = _look(cluster, wishes)
    result = _result(plan)
    if check or not plan.items:
        return result
    if not wishes.confirm:
        raise ClusterError(
            f"confirm must be true to take {len(plan.items)} objects' worth of Istio out of this cluster:"
            " look at the plan in check mode (--check --diff) first"
        )
    if wishes.backup_dir:
        result["backup"] = write_backup(wishes.backup_dir, backup_files(plan, listed, wishes.backup_ca))
    run = _Run(cluster, wishes, result)
    try:
        run.go(plan, listed)
    except ClusterError as error:
        raise PurgeError(f"{error}. What was done stays done: run the purge again to go on", result) from error
    if wishes.backup_dir:
        close_backup(wishes.backup_dir, {"ended": _now(), "purged": result["summary"]})
    return result


def _look(cluster: Cluster, wishes: Wishes) -> tuple[list[dict], Plan]:
    listed, complete = list_istio(cluster)
    return listed, plan_purge(listed, complete, wishes.keep, wishes.restart_workloads, wishes.revision)


def _result(plan: Plan) -> dict:
    before, after = plan_text(plan)
    return {
        "changed": bool(plan.items),
        "purged": [item.report() for item in plan.items],
        "stays": [item.report() for item in plan.stays],
        "summary": plan_summary(plan),
        "finalizers": [],
        "remarks": [],
        "seconds": {},
        "backup": [],
        "proof": [],
        "diff": {"before_header": "Istio in the cluster", "before": before, "after_header": "after", "after": after},
    }


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Run:
    """One purge under way."""

    def __init__(self, cluster: Cluster, wishes: Wishes, result: dict) -> None:
        self.cluster = cluster
        self.wishes = wishes
        self.result = result
        cluster.retry_time = max(cluster.retry_time, wishes.wait_timeout)

    def go(self, plan: Plan, listed: list[dict]) -> None:
        self._mark(plan.part("namespaces"), "going")
        self._mark([i for i in plan.part("injection") if i.kind == "Namespace"], "injected")
        for _round in range(_ROUNDS):
            self._take_away(plan, listed)
            with self._timed("look again"):
                listed, plan = _look(self.cluster, self.wishes)
            if not [item for item in plan.items if item.part != "proof"]:
                break
        else:
            left = "; ".join(f"{item.where} ({', '.join(item.why)})" for item in plan.items[:10])
            more = f" and {len(plan.items) - 10} more" if len(plan.items) > 10 else ""
            raise ClusterError(f"the footprint isn't empty: {left}{more}")
        self.result["stays"] = [item.report() for item in plan.stays]
        proving = plan.part("proof")
        if not self.wishes.revision:
            with self._timed("proof"):
                namespaces = [item.name for item in proving]
                self.result["proof"] = prove(
                    self.cluster, namespaces, self.wishes.proof_image, self.wishes.wait_timeout
                )
        self._each(self._strip, proving)

    def _mark(self, namespaces: list[Item], word: str) -> None:
        self._each(lambda item: self._patch(item, {"metadata": {"annotations": {MARK: word}}}), namespaces)

    def _take_away(self, plan: Plan, listed: list[dict]) -> None:
        workloads = [i for i in plan.items if i.action == "delete" and i.kind in RESTARTABLE]

        def of(*parts: str) -> list[Item]:
            return [i for i in plan.items if i.part in parts and i.action == "delete"]

        with self._timed("operators"):
            self._delete([i for i in workloads if i.part == "operators"], foreground=True)
        with self._timed("webhooks"):
            self._delete(of("webhooks"))
        with self._timed("injection"):
            self._each(self._strip, plan.part("injection"))
        with self._timed("sidecars"):
            for item in plan.items:
                if item.action == "restart":
                    self._restart(item)
        with self._timed("gateways and control_plane"):
            ends = [i for i in workloads if i.part in ("gateways", "control_plane")]
            self._each(self._delete_one, [i for i in of("gateways") if i not in ends])
            self._delete([i for i in ends if i.part == "gateways"], foreground=True, wait=False)
            self._delete([i for i in ends if i.part == "control_plane"], foreground=True)
            self._wait_gone(of("gateways"))
            self._delete([i for i in of("control_plane") if i not in ends])
        with self._timed("mesh_objects"):
            self._delete([i for i in of("operators") if i not in workloads and i.kind != "Namespace"])
            self._delete(of("mesh_objects"))
        with self._timed("trust"):
            self._delete(of("trust", "ca"))
        with self._timed("crds"):
            self._delete(of("crds"))
            self.cluster.forget_kinds()
        with self._timed("cni"):
            self._cni(of("cni"), listed)
        with self._timed("releases and namespaces"):
            self._delete(of("releases"))
            self._delete(of("namespaces"))

    def _timed(self, step: str) -> t.ContextManager[None]:
        return _Timed(self.result["seconds"], step)

    # -- one object -------------------------------------------------------

    def _kind(self, item: Item) -> Kind:
        return self.cluster.kind(item.api_version, item.kind)

    def _get(self, item: Item) -> dict | None:
        try:
            return self.cluster.get(self._kind(item), item.name, item.namespace or None)
        except ApiError:
            raise
        except ClusterError:
            return None  # its kind has gone with its CustomResourceDefinition

    def _patch(self, item: Item, patch: t.Any, how: str = "merge") -> None:
        try:
            self.cluster.patch(self._kind(item), item.name, patch, item.namespace or None, how=how)
        except ApiError as error:
            if error.status != 404:
                raise

    def _each(self, do: t.Callable[[Item], t.Any], items: list[Item]) -> None:
        with concurrent.futures.ThreadPoolExecutor(self.cluster.concurrency) as pool:
            for _done in pool.map(do, items):
                pass

    def _delete(self, items: list[Item], foreground: bool = False, wait: bool = True) -> None:
        self._each(lambda item: self._delete_one(item, foreground), items)
        if wait:
            self._wait_gone(items)

    def _delete_one(self, item: Item, foreground: bool = False) -> None:
        """Asks for one object's deletion; its Istio finalizers are taken off first, since nobody answers them."""
        if item.part in ("mesh_objects", "operators", "control_plane", "gateways"):
            obj = self._get(item)
            if obj is None:
                return
            self._take_off_finalizers(item, obj, istio_finalizer)
        # What the Sail operator made belongs to its own resources: it must not go before its turn.
        how = "Orphan" if item.api_version.startswith("sailoperator.io/") else "Background"
        try:
            self.cluster.delete(
                self._kind(item), item.name, item.namespace or None, propagation="Foreground" if foreground else how
            )
        except ApiError:
            raise
        except ClusterError:
            pass  # its kind has gone with its CustomResourceDefinition

    def _take_off_finalizers(self, item: Item, obj: dict, which: t.Callable[[str], bool]) -> None:
        finalizers = obj["metadata"].get("finalizers") or []
        taken = [f for f in finalizers if which(f)]
        if not taken:
            return
        left = [f for f in finalizers if f not in taken]
        patch = {"metadata": {"finalizers": left, "resourceVersion": obj["metadata"]["resourceVersion"]}}
        self._patch(item, patch)
        self.result["finalizers"] += [f"{item.where}: {name}" for name in taken]

    def _wait_gone(self, items: list[Item]) -> None:
        """Waits until the objects are gone; from Istio's own it takes off the finalizers that nobody answers.

        :raises ClusterError: an object stays; the message names its finalizers
        """
        begun = time.monotonic()
        while items:
            left: list[tuple[Item, dict]] = []
            with concurrent.futures.ThreadPoolExecutor(self.cluster.concurrency) as pool:
                for item, obj in zip(items, pool.map(self._get, items), strict=True):
                    if obj is not None and obj["metadata"].get("deletionTimestamp"):
                        left.append((item, obj))
            waited = time.monotonic() - begun
            if left and waited > self.wishes.wait_timeout:
                item, obj = left[0]
                finalizers = ", ".join(obj["metadata"].get("finalizers") or []) or "none"
                raise ClusterError(f"{item.where} isn't gone after {waited:.0f} s (its finalizers: {finalizers})")
            if waited > self.wishes.finalizer_timeout:
                for item, obj in left:
                    if item.part in ("mesh_objects", "operators"):
                        self._take_off_finalizers(item, obj, lambda name: name not in _KUBERNETES_FINALIZERS)
            items = [item for item, _obj in left]
            if items:
                time.sleep(_POLL)

    # -- injection and sidecars -------------------------------------------

    def _strip(self, item: Item) -> None:
        obj = self._get(item)
        if obj is None:
            return
        patch: dict[str, t.Any] = {}
        for field, what in (("labels", "label"), ("annotations", "annotation")):
            keys = [k for k in obj["metadata"].get(field) or {} if f"{what} {k}" in item.keys]
            if keys:
                patch.setdefault("metadata", {})[field] = dict.fromkeys(keys)
        taints = (obj.get("spec") or {}).get("taints") or [] if item.kind == "Node" else []
        if any(istio_key(taint["key"]) for taint in taints):
            patch["spec"] = {"taints": [taint for taint in taints if not istio_key(taint["key"])]}
        if patch:
            self._patch(item, patch)
        if any(key.startswith("finalizer ") for key in item.keys):
            self._take_off_finalizers(item, obj, istio_finalizer)

    def _restart(self, item: Item) -> None:
        """Restarts one workload and waits until its new pods are ready and no pod of it has a sidecar."""
        deadline = time.monotonic() + self.wishes.wait_timeout
        restarted = False
        while True:
            workload = self._get(item)
            if workload is None:
                return
            late = unready(workload)
            with_sidecar, without = self._templates(item)
            if not with_sidecar and not late:
                return
            begun = bool(without and late) and not with_sidecar & without  # by a purge that was interrupted
            if not restarted and with_sidecar and not begun:
                if late:
                    self.result["remarks"].append(f"{item.where} was not ready before its restart either: {late}")
                self._patch(item, restart_patch(item))
                restarted = True
            elif time.monotonic() > deadline:
                raise ClusterError(
                    f"{item.where} isn't ready {self.wishes.wait_timeout:.0f} s after its restart"
                    f" ({late or 'pods with a sidecar are still there'}); no other workload is restarted before it is"
                )
            time.sleep(_POLL)

    def _templates(self, item: Item) -> tuple[set[str], set[str]]:
        """The templates of those pods of a workload that have a sidecar, and of those that have none."""
        found: tuple[set[str], set[str]] = (set(), set())
        for pod in self.cluster.list(self.cluster.kind("v1", "Pod"), item.namespace):
            if owner_of_pod(pod) == (item.kind, item.name) and not pod["metadata"].get("deletionTimestamp"):
                labels = pod["metadata"].get("labels") or {}
                template = labels.get("pod-template-hash") or labels.get("controller-revision-hash") or ""
                found[0 if injected(pod) else 1].add(template)
        return found

    # -- the rest ---------------------------------------------------------

    def _cni(self, items: list[Item], listed: list[dict]) -> None:
        objects = {id_of(obj): obj for obj in listed}
        daemon_sets = [i for i in items if i.kind == "DaemonSet"]
        if daemon_sets:
            remarks = clean_nodes(
                self.cluster,
                [objects[i.id] for i in daemon_sets],
                lambda going: self._delete([i for i in daemon_sets if i.name in going], foreground=True),
                self.wishes.wait_timeout,
            )
            self.result["remarks"] += remarks
        self._delete([i for i in items if i not in daemon_sets])


def restart_patch(item: Item) -> dict:
    """The merge patch that restarts a workload as kubectl does, and takes Istio's keys off its template."""
    template: dict[str, t.Any] = {"annotations": {"kubectl.kubernetes.io/restartedAt": _now()}}
    for field, what in (("labels", "template label "), ("annotations", "template annotation ")):
        for key in item.keys:
            if key.startswith(what):
                template.setdefault(field, {})[key.removeprefix(what)] = None
    return {"spec": {"template": {"metadata": template}}}


class _Timed:
    """Adds the seconds that a step takes."""

    def __init__(self, seconds: dict[str, float], step: str) -> None:
        self.seconds, self.step = seconds, step

    def __enter__(self) -> None:
        self.begun = time.monotonic()

    def __exit__(self, *_error: t.Any) -> None:
        self.seconds[self.step] = round(self.seconds.get(self.step, 0) + time.monotonic() - self.begun, 1)
