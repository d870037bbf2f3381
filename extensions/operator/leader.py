# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Leader election by a Lease: the replica that loses it exits, and follows after its restart."""

from __future__ import annotations

import dataclasses
import datetime
import logging
import os
import threading
import time
import typing as t

from ansible_collections.meshops.istio.plugins.module_utils.cluster.client import Cluster
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError

#: Seconds after which a lease that was not renewed is free, between two renewals, and after which a leader that can't
#: renew gives up: before the lease is free for others.
DURATION, RENEWAL, GIVE_UP = 20, 5, 14
_NAME = "istio-operator"
_LEASE = KNOWN["coordination.k8s.io", "Lease"]

log = logging.getLogger("operator.leader")


@dataclasses.dataclass
class Sight:
    """What was last seen of the lease, and when: clocks of other machines don't count.

    :ivar mark: holder and time of renewal as the lease says them
    :ivar at: our own clock when this was seen first
    """

    mark: tuple[str, str] = ("", "")
    at: float = 0.0

    def free(self, spec: t.Mapping[str, t.Any], me: str, now: float) -> bool:
        """Whether we may take the lease: it is ours, nobody's, or its holder has fallen silent."""
        mark = (spec.get("holderIdentity") or "", spec.get("renewTime") or "")
        if mark != self.mark:
            self.mark, self.at = mark, now
        return mark[0] in ("", me) or now - self.at > (spec.get("leaseDurationSeconds") or DURATION)


def claim(spec: t.Mapping[str, t.Any], me: str, now: str) -> dict[str, t.Any]:
    """The spec of the lease once we hold it."""
    ours = spec.get("holderIdentity") == me
    turns = spec.get("leaseTransitions") or 0
    return {
        "holderIdentity": me,
        "leaseDurationSeconds": DURATION,
        "acquireTime": spec.get("acquireTime") if ours else now,
        "renewTime": now,
        "leaseTransitions": turns if ours else turns + 1,
    }


class Leader:
    """Our part in the election.

    :ivar alive: our clock when the API server last answered us
    """

    def __init__(self, cluster: Cluster, namespace: str, identity: str) -> None:
        self._cluster, self._namespace, self._me = cluster, namespace, identity
        self._sight = Sight()
        self.alive = time.monotonic()
        self._leads = threading.Event()

    @property
    def leads(self) -> bool:
        """Whether we lead."""
        return self._leads.is_set()

    def wait(self) -> None:
        """Comes back when we lead; from then on the lease is renewed, and the process ends where that fails."""
        while not self._attempt():
            time.sleep(RENEWAL)
        self._leads.set()
        log.info("%s is the leader", self._me)
        threading.Thread(target=self._renew, name="leader", daemon=True).start()

    def release(self) -> None:
        """Gives the lease back, so that another one leads at once."""
        if self.leads:
            self._leads.clear()
            try:
                self._cluster.patch(_LEASE, _NAME, {"spec": {"holderIdentity": ""}}, self._namespace)
            except MeshopsError as error:
                log.warning("releasing the lease failed: %s", error)

    def _renew(self) -> None:
        held = time.monotonic()
        while True:
            time.sleep(RENEWAL)
            if not self.leads:
                return
            if self._attempt():
                held = time.monotonic()
            elif self._sight.mark[0] not in ("", self._me) or time.monotonic() - held > GIVE_UP:
                log.error("lost the lease: exiting")
                os._exit(1)

    def _attempt(self) -> bool:
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        try:
            lease = self._cluster.get(_LEASE, _NAME, self._namespace)
            self.alive = time.monotonic()
            if lease is None:
                lease = {"apiVersion": _LEASE.api_version, "kind": "Lease", "spec": claim({}, self._me, now)}
                lease["metadata"] = {"name": _NAME, "namespace": self._namespace}
                self._cluster.create(lease)
                return True
            spec = lease.get("spec") or {}
            if not self._sight.free(spec, self._me, time.monotonic()):
                return False
            version = {"resourceVersion": lease["metadata"]["resourceVersion"]}
            self._cluster.patch(
                _LEASE, _NAME, {"metadata": version, "spec": claim(spec, self._me, now)}, self._namespace
            )
            return True
        except ApiError as error:
            if error.status != 409:
                log.warning("renewing the lease failed: %s", error)
            return False
        except MeshopsError as error:
            log.warning("renewing the lease failed: %s", error)
            return False
