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
from ..errors import MeshopsError
from ..footprint.charts import id_of
from ..footprint.item import MARK, Item, marked_injected, released
from ..footprint.listing import list_istio
from ..mesh.names import RESTARTABLE, gateway_api, istio_key
from .backup import backup_files, close_backup, set_aside, write_backup
from .cni import Told, clean_nodes
from .deletion import POLL, Deletions
from .plan import Plan, plan_purge, plan_summary, plan_text
from .proof import prove
from .restart import restart_without_sidecar

#: How often the footprint is read again: istiod may write some objects once more while it ends.
_ROUNDS = 3
#: Seconds that gateways with clients are given before their namespace is asked to go. Kubernetes looks five seconds
#: later whether pods are left there, and then only every five; gateways drain for five.
_DRAINING = 1.5


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


class PurgeError(MeshopsError):
    """A purge that did not come to its end; C(result) says how far it came."""

    def __init__(self, message: str, result: dict) -> None:
        super().__init__(message)
        self.result = result


def purge(cluster: Cluster, wishes: Wishes, check: bool = False) -> dict:
    """Purges a cluster, or in check mode says what a purge would do.

    :raises MeshopsError: nothing was changed yet
    :raises PurgeError: something is left; the message names it and why
    """
    listed, plan = _look(cluster, wishes)
    result = _result(plan)
    if check or not plan.items:
        return result
    if not wishes.confirm:
        raise MeshopsError(
            f"confirm must be true (purge_confirm, for the role) to take {len(plan.items)} objects' worth of Istio out"
            " of this cluster: look at the plan in check mode (--check --diff) first"
        )
    if wishes.backup_dir:
        earlier = set_aside(wishes.backup_dir)
        if earlier:
            result["remarks"].append(f"the backup of the purge before this one is now in {earlier}")
        result["backup"] = write_backup(wishes.backup_dir, backup_files(plan, listed, wishes.backup_ca))
    run = _Run(cluster, wishes, result)
    try:
        run.go(plan, listed)
    except MeshopsError as error:
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
        "warnings": list(plan.warnings),
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
        self.objects = Deletions(
            cluster, wishes.wait_timeout, wishes.finalizer_timeout, result["finalizers"], not wishes.revision
        )
        cluster.retry_time = max(cluster.retry_time, wishes.wait_timeout)

    def go(self, plan: Plan, listed: list[dict]) -> None:
        injecting = [i.name for i in plan.part("injection") if i.kind == "Namespace"]
        self._mark([i.name for i in plan.part("namespaces")], "going")
        self._mark([name for name in injecting if name not in plan.control_planes], "injected")
        self._mark(plan.control_planes, "control-plane")
        proving = sorted({*injecting, *marked_injected(listed)})
        for _round in range(_ROUNDS):
            self._take_away(plan, listed)
            self.cluster.forget_kinds()
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                # Definitions, gateways and namespaces are still on their way out.
                proof = pool.submit(self._prove, proving, not plan.part("crds"))
                listed, plan, left = self._look_again()
                self.result["proof"] = proof.result()
            if not left:
                break
        else:
            shown = "; ".join(f"{item.where} ({', '.join(item.why)})" for item in left[:10])
            more = f" and {len(left) - 10} more" if len(left) > 10 else ""
            raise MeshopsError(f"the footprint isn't empty: {shown}{more}")
        if not self.wishes.revision:
            self.result["proof"].insert(0, "the footprint is empty")
        self.result["stays"] = [item.report() for item in plan.stays]
        self.objects.each(self._strip, plan.part("proof"))

    def _prove(self, namespaces: list[str], mesh_objects: bool) -> list[str]:
        """Proves that the cluster works, unless only one revision goes."""
        if self.wishes.revision:
            return []
        with self._timed("proof"):
            return prove(self.cluster, namespaces, self.wishes.proof_image, self.wishes.wait_timeout, mesh_objects)

    def _look_again(self) -> tuple[list[dict], Plan, list[Item]]:
        """Waits until all is gone, and looks at what is left: meanwhile, and anew where there is more than that.

        :returns: the cluster's objects, what a further purge would do, and what of that has not gone yet
        """
        with self._timed("look again"):
            listed, plan = _look(self.cluster, self.wishes)
            ends = {item.id for item in self.objects.going}
        with self._timed("releases and namespaces"):
            self.objects.wait()
        left = [item for item in plan.items if item.part != "proof" and item.id not in ends]
        if left:
            with self._timed("look again"):
                listed, plan = _look(self.cluster, self.wishes)
            left = [item for item in plan.items if item.part != "proof"]
        return listed, plan, left

    def _mark(self, namespaces: t.Iterable[str], word: str) -> None:
        patch = {"metadata": {"annotations": {MARK: word}}}
        items = [Item("", "mark", "v1", "Namespace", "", name, ()) for name in namespaces]
        self.objects.each(lambda item: self.objects.patch(item, patch), items)

    def _take_away(self, plan: Plan, listed: list[dict]) -> None:
        """Everything in its order. What needs time of its own to end is waited for as late as it may."""
        objects = self.objects
        workloads = [i for i in plan.items if i.action == "delete" and i.kind in RESTARTABLE]

        def of(*parts: str, rest: bool = True) -> list[Item]:
            """The objects of some parts: their workloads, or all the rest."""
            found = [i for i in plan.items if i.part in parts and i.action == "delete"]
            return [i for i in found if (i not in workloads) == rest]

        with self._timed("operators"):
            objects.delete(of("operators", rest=False), foreground=True)
        with self._timed("webhooks"):
            objects.delete(of("webhooks"))
        with self._timed("injection"):
            objects.each(self._strip, plan.part("injection"))
        with self._timed("sidecars"):
            for item in plan.items:
                if item.action == "restart":
                    self.result["remarks"] += restart_without_sidecar(objects, item, self.wishes.wait_timeout)
        # A Gateway proves that its routes are Istio's, and while it is there istiod makes its workload anew; the
        # GatewayClasses, as long as it runs itself.
        with_gateways = [i for i in of("mesh_objects") if gateway_api(i.id[0], i.kind)]
        classes = [i for i in of("gateway_api") if i.kind == "GatewayClass"]
        cni = [i for i in plan.items if i.part == "cni" and i.action == "delete"]
        late = {i.namespace for i in cni}
        held = late | {i.namespace for i in plan.part("operators")}
        with self._timed("control_plane"):
            istiods = of("control_plane", rest=False)
            objects.ask(with_gateways + [i for i in of("gateways", "gateway_api") if i not in classes])
            objects.ask(of("gateways", "gateway_api", rest=False) + istiods, foreground=True)
            self._drain()
            objects.ask([i for i in of("control_plane") if released(i)])  # with a namespace this proof goes
            objects.ask([i for i in of("namespaces") if i.name not in held])  # it begins in five seconds
            objects.wait(istiods)  # else it would write some objects again
            objects.ask(classes + [i for i in of("control_plane") if not released(i)])
        with self._timed("mesh_objects"):
            objects.ask([i for i in of("operators") if i.kind != "Namespace"])
            objects.ask([i for i in of("mesh_objects") if i not in with_gateways])
        with self._timed("trust"):
            objects.ask(of("trust", "ca"))
        with self._timed("crds"):
            objects.ask(of("crds"))
            objects.ask([i for i in of("namespaces") if i.name in held - late])
        with self._timed("cni"):
            if cni:
                objects.wait(of("control_plane", "operators", "mesh_objects", "trust", "ca", "crds"))
            self._cni(cni, listed)
        with self._timed("releases and namespaces"):
            objects.ask(of("releases") + [i for i in of("namespaces") if i.name in late])

    def _drain(self) -> None:
        """Waits until gateways and istiods end soon, or gateways have had so much time that they will in time."""
        begin = time.monotonic()
        while self.objects.hurry() and time.monotonic() - begin < _DRAINING:
            time.sleep(POLL)

    def _timed(self, step: str) -> t.ContextManager[None]:
        return _Timed(self.result["seconds"], step)

    # -- injection --------------------------------------------------------

    def _strip(self, item: Item) -> None:
        obj = self.objects.get(item)
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
            self.objects.patch(item, patch)
        if any(key.startswith("finalizer ") for key in item.keys):
            self.objects.take_off_finalizers(item, obj)

    # -- CNI --------------------------------------------------------------

    def _cni(self, items: list[Item], listed: list[dict]) -> None:
        objects = {id_of(obj): obj for obj in listed}
        daemon_sets = [i for i in items if i.kind == "DaemonSet"]
        if daemon_sets:
            live = [objects[i.id] for i in daemon_sets]
            told = Told(self.result["remarks"], self.result["warnings"])
            clean_nodes(self.objects, daemon_sets, live, self.wishes.wait_timeout, told)
        self.objects.delete([i for i in items if i not in daemon_sets])


class _Timed:
    """Adds the seconds that a step takes."""

    def __init__(self, seconds: dict[str, float], step: str) -> None:
        self.seconds, self.step = seconds, step

    def __enter__(self) -> None:
        self.begun = time.monotonic()

    def __exit__(self, *_error: t.Any) -> None:
        self.seconds[self.step] = round(self.seconds.get(self.step, 0) + time.monotonic() - self.begun, 1)
