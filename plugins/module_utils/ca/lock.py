# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One run at a time changes a mesh's CA: a Lease that the run renews.

A run that was killed leaves its Lease, which expires. Where ansible-playbook alone was killed, the module continues by
itself; it sees that and gives way at its next step, so that the next run takes over without a wait.
"""

from __future__ import annotations

import datetime
import os
import socket
import threading
import time
import types
import typing as t
import uuid

from ..cluster.client import Cluster
from ..cluster.errors import ApiError
from ..cluster.kinds import KNOWN
from ..errors import MeshopsError
from ..reconcile.types import K8sObject
from .gate import CannotRotate, Reason

LEASE = KNOWN["coordination.k8s.io", "Lease"]
NAME = "meshops-ca-rotation"
#: Seconds after which a Lease that nobody renews counts as left behind. Clocks aren't compared: what counts is how long
#: this run sees no renewal.
EXPIRES = 15
_RENEW = 4.0
_POLL = 0.5
#: Seconds that a run waits while another one renews: as long as an orphan may take to see that it is one.
_PATIENCE = 30.0


class Lock:
    """The Lease of one run.

    :param cluster: where it is written
    :param namespace: where istiod runs
    :param orphaned: whether the playbook that started this run is gone
    """

    def __init__(self, cluster: Cluster, namespace: str, orphaned: t.Callable[[], bool] | None = None) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.holder = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
        self._orphaned = orphaned or Ancestors().gone
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._lost = ""

    def __enter__(self) -> Lock:
        """Takes the Lease.

        :raises CannotRotate: another run holds it
        """
        if self._take():
            self._thread = threading.Thread(target=self._keep, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self._end.set()
        if self._thread:
            self._thread.join()
            self._release()

    def check(self) -> None:
        """Fails where this run must not write any more.

        :raises CannotRotate: the playbook is gone, or another run has taken over
        """
        if self._thread and not self._lost and self._orphaned():
            self._lost = "the playbook that started it was killed"
        if self._lost:
            raise CannotRotate(f"This run gives way: {self._lost}. The next run continues from here.", Reason.GIVEN_WAY)

    # -- the Lease ------------------------------------------------------------

    def _take(self) -> bool:
        """Whether there is a Lease now; there is none where the namespace isn't there yet."""
        begun = time.monotonic()
        version, seen = "", begun
        while True:
            lease = self.cluster.get(LEASE, NAME, self.namespace)
            holder = str(((lease or {}).get("spec") or {}).get("holderIdentity") or "")
            moment = time.monotonic()
            if lease is not None and lease["metadata"]["resourceVersion"] != version:
                version, seen = lease["metadata"]["resourceVersion"], moment
            try:
                if lease is None:
                    self.cluster.create(self._lease())
                    return True
                if not holder or moment - seen > EXPIRES:
                    self._write(version)
                    return True
            except ApiError as error:
                if error.status == 404:
                    return False
                if error.status != 409:
                    raise
                continue
            if moment - begun > _PATIENCE:
                raise CannotRotate(
                    f"Lease {self.namespace}/{NAME}: another run changes this CA and renews the Lease"
                    f" (holder {holder}). Wait until it has ended, then run this again: it continues from there.",
                    Reason.ANOTHER_RUN,
                )
            time.sleep(_POLL)

    def _lease(self) -> K8sObject:
        moment = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {"name": NAME, "namespace": self.namespace},
            "spec": {
                "holderIdentity": self.holder,
                "leaseDurationSeconds": EXPIRES,
                "acquireTime": moment,
                "renewTime": moment,
            },
        }

    def _write(self, version: str) -> None:
        patch = {"metadata": {"resourceVersion": version}, "spec": self._lease()["spec"]}
        self.cluster.patch(LEASE, NAME, patch, self.namespace)

    def _keep(self) -> None:
        """Renews the Lease until the run ends, has lost it, or is an orphan."""
        while not self._end.wait(_RENEW) and not self._lost:
            try:
                lease = self.cluster.get(LEASE, NAME, self.namespace)
                if lease is None or lease["spec"].get("holderIdentity") != self.holder:
                    self._lost = "another run has taken over"
                elif self._orphaned():
                    self._lost = "the playbook that started it was killed"
                else:
                    renewed = {"spec": {"renewTime": self._lease()["spec"]["renewTime"]}}
                    renewed["metadata"] = {"resourceVersion": lease["metadata"]["resourceVersion"]}
                    self.cluster.patch(LEASE, NAME, renewed, self.namespace)
            except MeshopsError:
                continue  # it may be renewed next time; whoever takes over changes the holder

    def _release(self) -> None:
        try:
            lease = self.cluster.get(LEASE, NAME, self.namespace)
            if lease is not None and lease["spec"].get("holderIdentity") == self.holder:
                self.cluster.delete(LEASE, NAME, self.namespace, uid=lease["metadata"]["uid"])
        except MeshopsError:
            pass  # it expires


class Ancestors:
    """The processes of Ansible above this one: where one of them is gone, nobody waits for this run's result.

    After a C(kill -9) of ansible-playbook its workers, which have sessions of their own, and their modules go on. Over
    SSH, and where there is no /proc, nothing shows it.
    """

    def __init__(self, pid: int | None = None, proc: str = "/proc") -> None:
        self._proc = proc
        self._started: dict[int, str] = {}
        current = self._parent(os.getpid() if pid is None else pid)
        while current > 1:
            if self._is_ansible(current):
                self._started[current] = self._stat(current)[1]
            current = self._parent(current)

    def gone(self) -> bool:
        """Whether one of them has ended."""
        return any(self._stat(pid)[1] != started for pid, started in self._started.items())

    def _parent(self, pid: int) -> int:
        return self._stat(pid)[0]

    def _stat(self, pid: int) -> tuple[int, str]:
        """The parent of a process, and when it was started; 0 and nothing where it is gone or a zombie."""
        try:
            with open(f"{self._proc}/{pid}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            return 0, ""
        if len(fields) < 20 or fields[0] in ("Z", "X"):
            return 0, ""
        return int(fields[1]), fields[19]

    def _is_ansible(self, pid: int) -> bool:
        """Whether a process is an Ansible command; a shell whose script names one isn't."""
        try:
            with open(f"{self._proc}/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")[:3]
        except OSError:
            return False
        return any(os.path.basename(word).startswith(b"ansible") for word in words if b" " not in word)
