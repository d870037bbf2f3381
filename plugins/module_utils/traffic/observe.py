# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lets the proxies of namespaces log what comes in for a while, with the caller's identity, and reads it."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import time
import typing as t
import uuid

from ..cluster.errors import ApiError
from ..cluster.kinds import KNOWN
from ..errors import MeshopsError
from ..mesh.pods import PROXY, has_sidecar, is_gateway, time_of
from ..mesh.untrusted import printable
from ..reconcile.types import K8sObject, Labels
from .access_log import LABEL, NAME, SECONDS, logging_filter
from .coverage import Gap, gaps, is_running
from .flows import Flow, ObservedWorkload, Tally, describe, read_line, workload_of

if t.TYPE_CHECKING:
    from ..cluster.client import Cluster

_POD, _NAMESPACE = KNOWN["", "Pod"], KNOWN["", "Namespace"]
_ENVOY_FILTER = KNOWN["networking.istio.io", "EnvoyFilter"]
_PAUSE = 5.0
#: Seconds within which every proxy must have the EnvoyFilter.
_PATIENCE = 60.0
_LISTENERS = ["pilot-agent", "request", "GET", "config_dump?resource=dynamic_listeners"]


@dataclasses.dataclass(frozen=True)
class Options:
    """What to observe.

    :ivar seconds: for how long; 0 writes nothing
    :ivar plain_text_only: only what comes without mTLS
    :ivar without_sidecar: workloads (C(namespace/name)) whose pods may run without a sidecar
    """

    namespaces: tuple[str, ...]
    seconds: float
    plain_text_only: bool = False
    without_sidecar: tuple[str, ...] = ()


class Observation(t.TypedDict):
    """What was seen, and what could not be seen.

    :ivar gaps: what the observation doesn't cover; no traffic seen there proves nothing
    """

    workloads: list[ObservedWorkload]
    gateways: list[ObservedWorkload]
    flows: list[Flow]
    plain_text: list[Flow]
    gaps: list[Gap]


def observe(cluster: Cluster, options: Options, *, check_mode: bool) -> Observation:
    """Observes namespaces.

    :param check_mode: write nothing, so that nothing is logged: only workloads and gaps are found
    :raises MeshopsError: a sidecar didn't log, or the EnvoyFilter was changed, so that something may be missing
    """
    tally = Tally()
    if not check_mode and options.seconds:
        _Session(cluster, options, tally).run()
    flows = tally.flows()
    _name_clients(cluster, flows)
    pods = {namespace: cluster.list(_POD, namespace) for namespace in options.namespaces}
    running = [pod for some in pods.values() for pod in some if is_running(pod)]
    looked = bool(options.seconds)
    return {
        "workloads": _workloads(filter(has_sidecar, running)),
        "gateways": _workloads(filter(is_gateway, running)),
        "flows": flows,
        "plain_text": [flow for flow in flows if not flow["source"]],
        "gaps": [
            gap
            for name, some in pods.items()
            for gap in gaps(name, _labels(cluster, name), some, options.without_sidecar, observed=looked)
        ],
    }


def _labels(cluster: Cluster, namespace: str) -> Labels:
    try:
        labels: Labels = (cluster.get(_NAMESPACE, namespace) or {"metadata": {}})["metadata"].get("labels") or {}
    except ApiError as error:
        if error.status != 403:  # the pods' own annotations say it, too
            raise
        return {}
    return labels


class _Session:
    """One run's observation, by EnvoyFilters that no other run uses: two runs don't disturb each other."""

    def __init__(self, cluster: Cluster, options: Options, tally: Tally) -> None:
        self._cluster, self._options, self._tally = cluster, options, tally
        self._mark = f"{NAME}-{uuid.uuid4().hex[:8]}"
        self._filters: dict[str, K8sObject] = {}
        self._logging: set[str] = set()
        self._last: dict[str, str] = {}

    def run(self) -> None:
        try:
            for namespace in self._options.namespaces:
                self._add_filter(namespace)
            self._wait_until_all_log()
            end = time.monotonic() + self._options.seconds
            while True:
                left = end - time.monotonic()
                time.sleep(max(0.0, min(_PAUSE, left)))
                self._require_filters()
                if left <= _PAUSE:
                    # What started meanwhile must have been seen, too, and the filters must have been there till now.
                    self._wait_until_all_log()
                    self._read()
                    self._require_filters()
                    return
                self._read()
        finally:
            for namespace in self._options.namespaces:
                self._cluster.delete(_ENVOY_FILTER, self._mark, namespace)

    def _add_filter(self, namespace: str) -> None:
        options = self._options
        lifetime = options.seconds + 3 * _PATIENCE
        obj = logging_filter(
            namespace,
            self._mark,
            plain_text_only=options.plain_text_only,
            seconds=options.seconds,
            lifetime=lifetime,
        )
        made = self._filters[namespace] = self._cluster.apply(obj, force=True)
        now = time_of(made["metadata"]["creationTimestamp"])
        for other in self._cluster.list(_ENVOY_FILTER, namespace, labels=LABEL):
            if other["metadata"]["name"] != self._mark and _is_stale(other, now):
                self._cluster.delete(_ENVOY_FILTER, other["metadata"]["name"], namespace, uid=other["metadata"]["uid"])

    def _require_filters(self) -> None:
        for namespace, made in self._filters.items():
            live = self._cluster.get(_ENVOY_FILTER, self._mark, namespace)
            if live is None or _version(live) != _version(made):
                state = "deleted" if live is None else "changed"
                raise MeshopsError(
                    f"EnvoyFilter {namespace}/{self._mark}: it was {state} during the observation, so traffic may be"
                    " missing from it. Run it again."
                )

    def _wait_until_all_log(self) -> None:
        """Waits until every sidecar logs: what comes to one that doesn't would not be seen."""
        end = time.monotonic() + _PATIENCE
        while True:
            pods = [pod for pod in self._sidecars() if is_running(pod) and pod["metadata"]["uid"] not in self._logging]
            with concurrent.futures.ThreadPoolExecutor(self._cluster.concurrency) as pool:
                reasons = list(pool.map(self._why_silent, pods))
            silent = [(pod["metadata"], reason) for pod, reason in zip(pods, reasons, strict=True) if reason]
            self._logging |= {pod["metadata"]["uid"] for pod, reason in zip(pods, reasons, strict=True) if not reason}
            if not silent:
                return
            if time.monotonic() > end:
                meta, reason = silent[0]
                raise MeshopsError(
                    f"Pod {meta['namespace']}/{meta['name']}: {reason} after {_PATIENCE:.0f} s, so its traffic would"
                    " not be seen. Check its proxy with istioctl proxy-status, and restart it."
                )
            time.sleep(0.5)

    def _sidecars(self) -> list[K8sObject]:
        return [
            pod
            for namespace in self._options.namespaces
            for pod in self._cluster.list(_POD, namespace)
            if has_sidecar(pod)
        ]

    def _why_silent(self, pod: K8sObject) -> str:
        """Why a pod's proxy doesn't log yet; empty where it does."""
        meta = pod["metadata"]
        try:
            dump = self._cluster.execute(meta["namespace"], meta["name"], _LISTENERS, PROXY)
        except MeshopsError as error:  # not started yet, or gone
            return printable(error)
        return "" if in_use(dump, self._mark) else "its proxy does not log what comes in"

    def _read(self) -> None:
        """Reads what the proxies have logged since the last time; often, so that no rotated log is missed."""
        pods = self._sidecars()
        with concurrent.futures.ThreadPoolExecutor(self._cluster.concurrency) as pool:
            for pod, lines in zip(pods, pool.map(self._new_lines, pods), strict=True):
                workload = workload_of(pod)
                for text in lines:
                    line = read_line(text, self._mark)
                    if line:
                        self._tally.add(workload, line)

    def _new_lines(self, pod: K8sObject) -> list[str]:
        meta = pod["metadata"]
        begun = self._filters[meta["namespace"]]["metadata"]["creationTimestamp"]
        last = self._last.get(meta["uid"], "")
        try:
            text = self._cluster.logs(meta["namespace"], meta["name"], PROXY, lines=None, since=last or begun)
        except ApiError as error:
            if error.status in (400, 404):  # not started yet, or gone
                return []
            raise
        stamped = [line.partition(" ") for line in text.splitlines()]
        # The server starts at the whole second.
        new = [(stamp, line) for stamp, _space, line in stamped if stamp > last]
        if new:
            self._last[meta["uid"]] = new[-1][0]
        return [line for _stamp, line in new]


def in_use(dump: str, mark: str) -> bool:
    """Whether a listener with the mark is active, and none without it is what new connections still get.

    :param dump: Envoy's dump of dynamic listeners; warming and draining ones don't count
    """
    try:
        configs = json.loads(dump).get("configs") or []
    except (ValueError, AttributeError):
        return False
    return any(mark in json.dumps(config.get("active_state")) for config in configs)


def _version(obj: K8sObject) -> tuple[t.Any, t.Any]:
    return obj["metadata"].get("uid"), obj["metadata"].get("generation")


def _is_stale(obj: K8sObject, now: t.Any) -> bool:
    """Whether an EnvoyFilter was left by a killed run: a run that is under way is younger than its lifetime."""
    created = time_of(obj["metadata"].get("creationTimestamp"))
    text = (obj["metadata"].get("annotations") or {}).get(SECONDS, "")
    lifetime = int(text) if text.isdecimal() and len(text) < 9 else 0
    return created is not None and (now - created).total_seconds() > lifetime


def _workloads(pods: t.Iterable[K8sObject]) -> list[ObservedWorkload]:
    workloads: dict[str, ObservedWorkload] = {}
    for pod in pods:
        workload = workload_of(pod)
        key = json.dumps(workload, sort_keys=True)
        labels = pod["metadata"].get("labels") or {}
        workloads.setdefault(key, {**workload, "labels": labels, "pods": 0})["pods"] += 1
    return [workloads[key] for key in sorted(workloads)]


def _name_clients(cluster: Cluster, flows: t.Iterable[Flow]) -> None:
    """Adds C(client), the pod that sends it, to what comes in plain text, and C(text), a line that says it all."""
    plain = [flow for flow in flows if not flow["source"]]
    if not plain:
        return
    names = {
        pod["status"]["podIP"]: f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        for pod in cluster.list(_POD)
        if pod["status"].get("podIP") and not pod["spec"].get("hostNetwork")
    }
    for flow in plain:
        flow["client"] = names.get(flow["address"], "")
        sender = f"{flow['client']} ({flow['address']})" if flow["client"] else flow["address"]
        flow["text"] = printable(f"{sender} to {flow['namespace']}/{flow['workload']}: {describe(flow)}")
