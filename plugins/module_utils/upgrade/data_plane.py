# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Brings every proxy to the revision and version of its control plane, and proves that it is in sync."""

from __future__ import annotations

import dataclasses
import datetime
import time
import typing as t

from ..cluster.client import Cluster
from ..cluster.kinds import KNOWN
from ..cluster.workloads import restart, selector
from ..errors import MeshopsError
from ..injection.injector import sidecar
from ..injection.reconcile import restart_diff, restarted
from ..injection.staleness import Question, Reason, Stale, keeps_pods, not_restarted, stale_reason, workloads
from ..mesh.pods import is_live
from ..mesh_info.read import Proxy, image_version, read_mesh, version_numbers
from ..proxies.report import read_all
from ..reconcile.plan import Change
from ..reconcile.types import K8sObject
from ..reconcile.wording import listed

_POD = KNOWN["", "Pod"]


@dataclasses.dataclass(frozen=True)
class DataPlane:
    """The workloads with proxies, and how they come to the control plane's version.

    :ivar revision: the revision that they come to; C(default) for the one without a name
    :ivar timeout: seconds that a workload may take to become ready, and proxies to be in sync
    :ivar version: the version that the control plane will have; only for check mode, in which it isn't installed
    """

    cluster: Cluster
    revision: str
    timeout: float
    version: str = ""

    def reconcile(self, *, check_mode: bool) -> dict[str, t.Any]:
        """Restarts stale workloads, namespace by namespace and one at a time, and proves the outcome.

        :raises MeshopsError: a workload doesn't become ready, or a proxy isn't in sync
        """
        due: list[tuple[K8sObject, Stale]] = []
        warnings: list[str] = []
        result: dict[str, t.Any] = {"changed": False, "restarted": [], "proxies": 0, "warnings": warnings}
        for namespace in sorted({proxy["namespace"] for proxy in self._proxies()}):
            for workload in workloads(self.cluster, namespace):
                stale = self._stale(workload, namespace, check_mode=check_mode)
                if stale and keeps_pods(workload):
                    warnings.append(not_restarted(workload, stale))
                elif stale:
                    if not check_mode:
                        self._restart(workload, result)
                    due.append((workload, stale))
                    result["restarted"].append(restarted(workload, stale))
        result["changed"] = bool(due)
        if due:
            result["diff"] = [restart_diff(*pair) for pair in due]
        if not check_mode:
            result["proxies"] = self._prove(result)
        return result

    def _stale(self, workload: K8sObject, namespace: str, *, check_mode: bool) -> Stale | None:
        """Why a workload has to be restarted.

        In check mode the injector of today can't tell, because the run would replace it: the pods are compared with
        the version and revision that the run would install.
        """
        if not check_mode or not self.version:
            unchanged = Change("unchanged", "v1", "Namespace", None, namespace)
            return stale_reason(self.cluster, workload, Question(unchanged, "", check_mode))
        for pod in self.cluster.list(_POD, namespace, labels=selector(workload)):
            stale = foreseen(pod, self.revision, self.version) if is_live(pod) else None
            if stale:
                return stale
        return None

    def _restart(self, workload: K8sObject, result: dict[str, t.Any]) -> None:
        try:
            restart(self.cluster, workload, self.timeout)
        except MeshopsError as error:
            raise MeshopsError(
                f"{error} The workloads after it were not restarted; the old proxies go on serving. Fix it and run this"
                " again",
                result,
            ) from error

    def _proxies(self) -> list[Proxy]:
        return read_mesh(self.cluster, ["proxies"])["proxies"]

    def _prove(self, result: dict[str, t.Any]) -> int:
        """Waits until every proxy has its control plane's version and all of its configuration.

        :raises MeshopsError: one hasn't when the time is over
        """
        deadline = time.monotonic() + self.timeout
        while True:
            proxies = self._proxies()
            lagging = self._lagging(proxies)
            if not lagging:
                return len(proxies)
            if time.monotonic() > deadline:
                late = f"Timed out after {self.timeout:.0f} s waiting for the data plane"
                raise MeshopsError(f"{late}: {listed(lagging, 5, '; ')}", result)
            time.sleep(1)

    def _lagging(self, proxies: t.Sequence[Proxy]) -> list[str]:
        lagging = [
            f"{proxy['namespace']}/{proxy['pod']} is of revision {proxy['revision']} and version {proxy['version']}"
            for proxy in proxies
            if proxy["outdated"] or (proxy["revision"] != self.revision and proxy["type"] != "ztunnel")
        ]
        if lagging:
            return lagging
        now = datetime.datetime.now(datetime.timezone.utc)
        return [
            f"{proxy['namespace']}/{proxy['pod']} is not in sync: {_sync_text(proxy['sync'])}"
            for proxy in read_all(self.cluster, [], sync=True, now=now)
            if proxy["kind"] != "ztunnel" and (not proxy["sync"] or "stale" in proxy["sync"].values())
        ]


def foreseen(pod: K8sObject, revision: str, version: str) -> Stale | None:
    """Why a pod will be restarted when the control plane of a revision and version is installed."""
    has, name = sidecar(pod), pod["metadata"]["name"]
    if not has.image:
        return None
    if has.revision != revision:
        text = f"the sidecar of pod {name} is of revision {has.revision or 'unknown'}, and will be of {revision}"
        return Stale(Reason.OTHER_REVISION, text)
    own, wanted = version_numbers(image_version(has.image)), version_numbers(version)
    chosen = "sidecar.istio.io/proxyImage" in (pod["metadata"].get("annotations") or {})
    if own is None or wanted is None or own == wanted or chosen:
        return None
    text = f"the sidecar of pod {name} is of version {image_version(has.image)}, and will be of {version}"
    return Stale(Reason.OTHER_VERSION, text)


def _sync_text(sync: t.Mapping[str, str] | None) -> str:
    return ", ".join(f"{kind} {state}" for kind, state in sync.items()) if sync else "it is connected to no istiod"
