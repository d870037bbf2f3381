# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the proxies are of the declared revision, and in sync."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from ..cluster.client import Cluster
from ..cluster.workloads import restart
from ..errors import MeshopsError
from ..injection.reconcile import keeps_pods, not_restarted, stale_reason, workloads
from ..mesh_info.read import read_mesh
from ..reconcile.plan import Change
from .errors import UpgradeError

# -- the data plane -----------------------------------------------------------


@dataclasses.dataclass
class DataPlane:
    """The workloads with proxies, and how they come to the control plane's version.

    :ivar revision: the revision that they come to; C(default) for the one without a name
    :ivar timeout: seconds that a workload may take to become ready, and proxies to be in sync
    :ivar read_proxies: gives every proxy with C(namespace), C(pod) and C(sync)
    """

    cluster: Cluster
    revision: str
    timeout: float
    read_proxies: t.Callable[[], list[dict]]

    def reconcile(self, check_mode: bool) -> dict[str, t.Any]:
        """Restarts what is stale, namespace by namespace and one workload at a time, and proves the outcome.

        :raises UpgradeError: a workload doesn't come up, or a proxy doesn't get there
        """
        result: dict[str, t.Any] = {"changed": False, "restarted": [], "proxies": 0, "warnings": []}
        for namespace in sorted({proxy["namespace"] for proxy in self._proxies()}):
            for workload in workloads(self.cluster, namespace):
                reason = stale_reason(self.cluster, workload, _unchanged(namespace), "")
                if not reason:
                    continue
                if keeps_pods(workload):
                    result["warnings"].append(not_restarted(workload, reason))
                    continue
                meta = workload["metadata"]
                if not check_mode:
                    self._restart(workload, result)
                result["restarted"].append(
                    {"kind": workload["kind"], "namespace": namespace, "name": meta["name"], "reason": reason}
                )
        result["changed"] = bool(result["restarted"])
        if result["changed"]:
            result["diff"] = [_entry(one) for one in result["restarted"]]
        if not check_mode:
            result["proxies"] = self._prove(result)
        return result

    def _restart(self, workload: dict, result: dict) -> None:
        try:
            restart(self.cluster, workload, self.timeout)
        except MeshopsError as error:
            raise UpgradeError(
                f"{error} The workloads after it were not restarted; the old proxies go on. Mend it and run this again",
                result,
            ) from error

    def _proxies(self) -> list[dict]:
        return read_mesh(self.cluster, ["proxies"], lambda pem: [])["proxies"]

    def _prove(self, result: dict) -> int:
        """Waits until every proxy has its control plane's version and holds all of its configuration."""
        deadline = time.monotonic() + self.timeout
        while True:
            found = self._proxies()
            lagging = self._lagging(found)
            if not lagging:
                return len(found)
            if time.monotonic() > deadline:
                raise UpgradeError(f"the data plane isn't where it should be: {'; '.join(lagging[:5])}", result)
            time.sleep(1)

    def _lagging(self, found: list[dict]) -> list[str]:
        lagging = [
            f"{one['namespace']}/{one['pod']} is of revision {one['revision']} and version {one['version']}"
            for one in found
            if one["outdated"] or one["revision"] != self.revision and one["type"] != "ztunnel"
        ]
        if lagging:
            return lagging
        return [
            f"{one['namespace']}/{one['pod']} is not in sync: {_sync_text(one['sync'])}"
            for one in self.read_proxies()
            if one["kind"] != "ztunnel" and (not one["sync"] or "stale" in one["sync"].values())
        ]


def _sync_text(sync: t.Mapping[str, str] | None) -> str:
    return ", ".join(f"{kind} {state}" for kind, state in sync.items()) if sync else "no istiod knows it"


def _unchanged(namespace: str) -> Change:
    return Change("unchanged", "v1", "Namespace", None, namespace)


def _entry(one: t.Mapping[str, str]) -> dict[str, str]:
    header = f"{one['kind']} {one['namespace']}/{one['name']}"
    return {"before_header": header, "after_header": header, "before": f"{one['reason']}\n", "after": "restarted\n"}
