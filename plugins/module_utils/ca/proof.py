# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Proves, look by look, that the whole mesh meets a phase, and makes it do so without delay."""

from __future__ import annotations

import concurrent.futures
import contextlib
import random
import time
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError
from ..cluster.kinds import POD, SECRET
from ..errors import MeshopsError
from ..mesh.pods import describe_proxy
from ..proxies.read import proxy_pods_of, read_proxies
from ..reconcile.types import K8sObject
from . import gate, observe, rotation
from .gate import CannotRotate, Reason
from .present import CACERTS

_NUDGE = "meshops.istio/ca-nudge"
#: Seconds after which a pod that still mounts old files is annotated again, at first; each time twice as long, up to
#: ten: kubelet may look before it has heard of the change itself.
_NUDGE_AGAIN = 0.7
_POLL = 0.2
#: So many proxies are read at once without asking one of them first whether it is time.
_FEW = 4


class GateNotMet(MeshopsError):
    """The mesh does not meet the phase; the text names what blocks it.

    :ivar result: what a module returns beside its message
    """

    def __init__(
        self, phase: str, seconds: float, blockers: t.Sequence[gate.Blocker], phases: list[dict[str, t.Any]]
    ) -> None:
        shown = "\n".join(f"- {blocker}" for blocker in blockers[:20])
        more = f"\n- and {len(blockers) - 20} more" if len(blockers) > 20 else ""
        if phase:
            text = (
                f"the gate after phase {phase} isn't met after {seconds:.0f} s; the rotation waits until it is."
                f" Blocked by:\n{shown}{more}\nPut these right and run this again: it continues from here."
                " Or take the rotation back with ca_rotation_abort: true"
            )
        else:
            text = (
                f"the mesh isn't in order, so nothing was changed. After {seconds:.0f} s these still don't hold what"
                f" the present CA gives them:\n{shown}{more}\nPut them right and run this again"
            )
        listed = [blocker.report() for blocker in blockers]
        super().__init__(text, {"phase": phase, "phases": phases, "blocked_by": listed, "held_up_by": listed})


class Proof:
    """The gates of one run.

    :param timeout: seconds that one gate may take
    :param phases: the phases so far; a gate that is met adds what it took to the last of them
    :param check_lock: fails where this run must give way to another
    """

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        timeout: float,
        phases: list[dict[str, t.Any]],
        check_lock: t.Callable[[], None] = lambda: None,
    ) -> None:
        self._check_lock = check_lock
        self.cluster, self.namespace, self.timeout, self.phases = cluster, namespace, timeout, phases
        self._green: dict[str, str] = {}
        self._mounted: dict[str, frozenset[str] | None] = {}
        self._nudged: dict[str, tuple[float, float]] = {}

    def begin(self) -> None:
        """Forgets who was where the last phase wanted it."""
        self._green.clear()
        self._nudged.clear()

    def prove(self, expected: rotation.Expectation, phase: str) -> None:
        """Waits until the whole mesh meets a phase, twice in a row.

        :raises GateNotMet: it isn't within the timeout
        """
        begun = time.monotonic()
        met, read = 0, 0
        written = self._cacerts_data()
        while met < 2:
            self._check_lock()
            if self._cacerts_data() != written:
                raise CannotRotate(
                    f"Secret {self.namespace}/{CACERTS}: another client has changed it meanwhile (Conflict). See to it"
                    " that one rotation runs at a time, and run this again: it continues from what is there then.",
                    Reason.CHANGED_MEANWHILE,
                )
            late = time.monotonic() - begun > self.timeout
            blockers, reads = self._look(expected, last=late)
            read += reads
            met = 0 if blockers else met + 1
            if blockers and late:
                raise GateNotMet(phase, time.monotonic() - begun, blockers, self.phases)
            if met < 2:
                time.sleep(_POLL)
        if self.phases:
            spent = round(time.monotonic() - begun, 1)
            self.phases[-1].update(gate_seconds=spent, proxies=len(self._green), reads=read)

    def _cacerts_data(self) -> t.Mapping[str, str] | None:
        secret = self.cluster.get(SECRET, CACERTS, self.namespace)
        data: t.Mapping[str, str] | None = secret.get("data") if secret else None
        return data

    def _look(self, expected: rotation.Expectation, *, last: bool) -> tuple[list[gate.Blocker], int]:
        """One look at the mesh: what blocks the gate, and how many proxies were read for it.

        Pods are listed again each time; a proxy that met the phase isn't asked again until it restarts. Proxies
        come after istiod, which brings them there, and are all asked only once one of them has got there.

        :param last: whether all that hold it up are to be named, since no further look follows
        """
        pods = observe.istiod_pods(self.cluster, self.namespace)
        istiods = observe.istiods(self.cluster, self.namespace, expiries=expected.root_expiry is not None)
        blockers = gate.istiod_blockers(expected, istiods) if istiods else []
        maps = observe.root_config_maps(self.cluster, observe.bundle_config_map_name(pods))
        # its metrics tell of the first root only, and somebody else may have written another one behind it
        if blockers or observe.served_roots(maps, self.namespace) != expected.roots:
            self._nudge([pod for pod in pods if "deletionTimestamp" not in pod["metadata"]])
        configs = observe.mesh_configs(self.cluster, self.namespace, istiods).values()
        selectors = [config.get("discoverySelectors") or [] for config in configs]
        namespaces = observe.served_namespaces(self.cluster, selectors, maps)
        blockers += gate.config_map_blockers(expected, namespaces, maps)
        blockers += gate.webhook_blockers(expected, observe.webhook_bundles(self.cluster, self.namespace))
        waiting = [
            pod
            for pod in proxy_pods_of(self.cluster, self.namespace)
            if self._green.get(pod["metadata"]["uid"]) != describe_proxy(pod)["generation"]
        ]
        there = {namespace for namespace, roots in maps.items() if roots == expected.roots}

        def behind(unknown: frozenset[str] | None) -> list[K8sObject]:
            """The pods whose mounted roots can be brought up to date; unknown: what to take for those not read yet."""
            mine = [pod for pod in waiting if pod["metadata"]["namespace"] in there]
            return [pod for pod in mine if self._mounted.get(pod["metadata"]["uid"], unknown) != expected.roots]

        self._nudge(behind(unknown=expected.roots))
        if blockers and not last:
            return blockers, 0
        first = waiting
        if len(waiting) > _FEW and not self._green and not last:
            first = random.sample([pod for pod in waiting if describe_proxy(pod)["running"]] or waiting, 1)
        blockers += self._read(expected, first)
        if blockers:
            self._nudge(behind(unknown=None))
        if len(first) < len(waiting) and not blockers:
            first = waiting
            blockers += self._read(expected, [pod for pod in waiting if pod["metadata"]["uid"] not in self._green])
            self._nudge(behind(unknown=expected.roots))
        return blockers, len(first)

    def _read(self, expected: rotation.Expectation, pods: list[K8sObject]) -> list[gate.Blocker]:
        """Reads proxies: those that are where they should be count as green, the others hold the gate up."""
        blockers = []
        for pod, proxy in zip(pods, read_proxies(self.cluster, pods), strict=True):
            uid = pod["metadata"]["uid"]
            if proxy.mounted is not None:
                self._mounted[uid] = proxy.mounted
            blocker = gate.proxy_blocker(expected, proxy)
            if blocker:
                blockers.append(blocker)
            elif proxy.running:
                self._green[uid] = proxy.generation
        return blockers

    def _nudge(self, pods: t.Iterable[K8sObject]) -> None:
        """Annotates pods, so that kubelet refreshes their mounted files at once and not at its next round."""
        moment = time.monotonic()
        due = [pod for pod in pods if moment >= self._nudged.get(pod["metadata"]["uid"], (0, 0))[0]]
        patch = {"metadata": {"annotations": {_NUDGE: observe.now().isoformat(timespec="milliseconds")}}}

        def annotate(pod: K8sObject) -> None:
            meta = pod["metadata"]
            try:
                self.cluster.patch(POD, meta["name"], patch, meta["namespace"])
            except ApiError as error:
                if error.status != 404:
                    raise
            pause = self._nudged.get(meta["uid"], (0, _NUDGE_AGAIN))[1]
            self._nudged[meta["uid"]] = (moment + pause, min(pause * 2, 10))
            self._mounted.pop(meta["uid"], None)  # only reading it again tells whether once more is needed

        with concurrent.futures.ThreadPoolExecutor(self.cluster.concurrency) as pool:
            list(pool.map(annotate, due))

    def unmark(self) -> None:
        """Removes the annotation by which pods were made to refresh their files."""
        pods = {pod["metadata"]["uid"]: pod for pod in observe.istiod_pods(self.cluster, self.namespace)}
        pods |= {pod["metadata"]["uid"]: pod for pod in proxy_pods_of(self.cluster, self.namespace)}
        marked = [pod for pod in pods.values() if _NUDGE in (pod["metadata"].get("annotations") or {})]
        patch = {"metadata": {"annotations": {_NUDGE: None}}}

        def clear(pod: K8sObject) -> None:
            with contextlib.suppress(ApiError):  # it goes with the pod
                self.cluster.patch(POD, pod["metadata"]["name"], patch, pod["metadata"]["namespace"])

        with concurrent.futures.ThreadPoolExecutor(self.cluster.concurrency) as pool:
            list(pool.map(clear, marked))
