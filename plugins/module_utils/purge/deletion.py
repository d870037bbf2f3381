# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Deletes the objects of a footprint, many at once, and knows which of them are still terminating."""

from __future__ import annotations

import concurrent.futures
import time
import typing as t

from ..cluster.client import Cluster, DeleteOptions
from ..cluster.errors import ApiError
from ..cluster.kinds import Kind
from ..errors import MeshopsError
from ..footprint.item import Item
from ..mesh.names import istio_finalizer
from ..reconcile.types import K8sObject
from .pod_termination import PodTermination

#: Seconds between two checks of the objects that are waited for; longer where they are many.
POLL = 0.1
#: Finalizers that Kubernetes itself removes; removing them would leave something behind.
_KUBERNETES_FINALIZERS = ("foregroundDeletion", "orphan", "kubernetes")
_CHECKS_A_SECOND = 100


class Deletions:
    """Asks for deletions, and waits for them later, together.

    :param finalizers: is filled with the finalizers that were removed because no controller removes them
    :param hurry: whether control planes and gateways are made to end before their grace period is over
    :ivar going: objects that were asked to be deleted and are not known to be gone
    """

    def __init__(
        self,
        cluster: Cluster,
        wait_timeout: float,
        finalizer_timeout: float,
        finalizers: list[str],
        *,
        hurry: bool = True,
    ) -> None:
        self.cluster = cluster
        self.wait_timeout, self.finalizer_timeout = wait_timeout, finalizer_timeout
        self.finalizers = finalizers
        self.going: list[Item] = []
        self._termination = PodTermination(cluster) if hurry else None

    # -- one object -------------------------------------------------------

    def get(self, item: Item) -> K8sObject | None:
        """The live object; None where it, or its kind, is gone."""
        try:
            return self.cluster.get(self._kind(item), item.name, item.namespace or None)
        except ApiError:
            raise
        except MeshopsError:
            return None  # its kind is gone with its CustomResourceDefinition

    def patch(self, item: Item, patch: t.Any) -> None:
        """Merges a patch into an object that may be gone."""
        try:
            self.cluster.patch(self._kind(item), item.name, patch, item.namespace or None)
        except ApiError as error:
            if error.status != 404:
                raise

    def remove_finalizers(self, item: Item, obj: K8sObject, which: t.Callable[[str], bool] = istio_finalizer) -> None:
        """Removes finalizers, and notes them."""
        finalizers = obj["metadata"].get("finalizers") or []
        removed = [f for f in finalizers if which(f)]
        if not removed:
            return
        left = [f for f in finalizers if f not in removed]
        patch = {"metadata": {"finalizers": left, "resourceVersion": obj["metadata"]["resourceVersion"]}}
        try:
            self.patch(item, patch)
        except ApiError as error:
            if error.status != 409:
                raise
            return  # somebody else has just written it: checked again while it is waited for
        self.finalizers += [f"{item.where}: {name}" for name in removed]

    def _kind(self, item: Item) -> Kind:
        return self.cluster.kind(item.api_version, item.kind)

    def each(self, do: t.Callable[[Item], t.Any], items: t.Iterable[Item]) -> None:
        """Does something to many objects at once."""
        with concurrent.futures.ThreadPoolExecutor(self.cluster.concurrency) as pool:
            for _done in pool.map(do, items):
                pass

    # -- deletions --------------------------------------------------------

    def delete(self, items: t.Sequence[Item], *, foreground: bool = False) -> None:
        """Deletes objects and waits until they are gone."""
        self.ask(items, foreground=foreground)
        self.wait(items)

    def ask(self, items: t.Iterable[Item], *, foreground: bool = False) -> None:
        """Asks for objects to be deleted.

        :param foreground: they count as gone when everything that belongs to them is gone
        """
        self.each(lambda item: self._ask(item, foreground=foreground), items)

    def _ask(self, item: Item, *, foreground: bool) -> None:
        # What the Sail operator created belongs to its own resources: it must not be deleted before its step.
        propagation = "Orphan" if item.api_version.startswith("sailoperator.io/") else "Background"
        try:
            answer = self.cluster.delete(
                self._kind(item),
                item.name,
                item.namespace or None,
                DeleteOptions(propagation="Foreground" if foreground else propagation),
                uid=item.uid or None,
            )
        except ApiError as error:
            if error.status != 409:
                raise
            return  # another object has its name by now: what that is, the next look at the cluster decides
        except MeshopsError:
            return  # its kind is gone with its CustomResourceDefinition
        if answer is not None and answer.get("kind") != "Status":
            self._answer_finalizers(item, answer, 0)
            self.going.append(item)

    def _answer_finalizers(self, item: Item, obj: K8sObject, waited: float) -> None:
        """Removes Istio's own finalizers at once, since no controller removes them; others of its objects later."""
        if item.part in ("mesh_objects", "operators") and waited > self.finalizer_timeout:
            self.remove_finalizers(item, obj, lambda name: name not in _KUBERNETES_FINALIZERS)
        elif item.part in ("mesh_objects", "operators", "control_plane", "gateways", "gateway_api"):
            self.remove_finalizers(item, obj)

    def hurry(self) -> bool:
        """Whether a control plane or gateway still uses its grace period; those without clients are made to end."""
        return self._termination is not None and self._termination.hurry(self.going)

    def wait(self, items: t.Iterable[Item] | None = None) -> None:
        """Waits until objects that were asked to be deleted are gone.

        :param items: only these; all by default
        :raises MeshopsError: an object is still there; the message names its finalizers
        """
        wanted = None if items is None else set(items)
        begun = time.monotonic()
        while True:
            waiting = [item for item in self.going if wanted is None or item in wanted]
            self.hurry()
            with concurrent.futures.ThreadPoolExecutor(self.cluster.concurrency) as pool:
                seen = list(zip(waiting, pool.map(self.get, waiting), strict=True))
            left = {item: obj for item, obj in seen if obj is not None and _is_same(item, obj)}
            self.going = [item for item in self.going if item not in waiting or item in left]
            if not left:
                return
            waited = time.monotonic() - begun
            if waited > self.wait_timeout:
                item, obj = next(iter(left.items()))
                finalizers = ", ".join(obj["metadata"].get("finalizers") or []) or "none"
                raise MeshopsError(
                    f"{item.where}: deletion failed (Timeout): still there after {waited:.0f} s. Remaining finalizers:"
                    f" {finalizers}"
                )
            for item, obj in left.items():
                self._answer_finalizers(item, obj, waited)
            time.sleep(max(POLL, len(left) / _CHECKS_A_SECOND))


def _is_same(item: Item, obj: K8sObject) -> bool:
    """Whether a live object is the one that was asked to be deleted, and not another that has its name by now."""
    meta = obj["metadata"]
    return bool(meta.get("deletionTimestamp")) and (not item.uid or meta.get("uid") == item.uid)
