# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Deletes the objects of a footprint, many at once, and knows which of them are still on their way out."""

from __future__ import annotations

import concurrent.futures
import time
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError
from ..cluster.kinds import Kind
from ..errors import MeshopsError
from ..footprint.item import Item
from ..mesh.names import istio_finalizer
from .pod_termination import Endings

#: Seconds between two looks at what is waited for; more of them where that is much.
POLL = 0.1
#: Finalizers that Kubernetes answers by itself; taking them off would leave something behind.
_KUBERNETES_FINALIZERS = ("foregroundDeletion", "orphan", "kubernetes")
_LOOKS_A_SECOND = 100


class Deletions:
    """Asks for deletions, and waits for them later, together.

    :param finalizers: is filled with the finalizers that were taken off because nobody answers them
    :param hurry: whether control planes and gateways need not end in their own time
    :ivar going: what was asked for and is not known to have gone
    """

    def __init__(
        self,
        cluster: Cluster,
        wait_timeout: float,
        finalizer_timeout: float,
        finalizers: list[str],
        hurry: bool = True,
    ) -> None:
        self.cluster = cluster
        self.wait_timeout, self.finalizer_timeout = wait_timeout, finalizer_timeout
        self.finalizers = finalizers
        self.going: list[Item] = []
        self._endings = Endings(cluster) if hurry else None

    # -- one object -------------------------------------------------------

    def get(self, item: Item) -> dict | None:
        """The live object; None where it, or its kind, has gone."""
        try:
            return self.cluster.get(self._kind(item), item.name, item.namespace or None)
        except ApiError:
            raise
        except MeshopsError:
            return None  # its kind has gone with its CustomResourceDefinition

    def patch(self, item: Item, patch: t.Any) -> None:
        """Merges a patch into an object that may have gone."""
        try:
            self.cluster.patch(self._kind(item), item.name, patch, item.namespace or None)
        except ApiError as error:
            if error.status != 404:
                raise

    def take_off_finalizers(self, item: Item, obj: dict, which: t.Callable[[str], bool] = istio_finalizer) -> None:
        """Takes finalizers off, and notes them."""
        finalizers = obj["metadata"].get("finalizers") or []
        taken = [f for f in finalizers if which(f)]
        if not taken:
            return
        left = [f for f in finalizers if f not in taken]
        patch = {"metadata": {"finalizers": left, "resourceVersion": obj["metadata"]["resourceVersion"]}}
        try:
            self.patch(item, patch)
        except ApiError as error:
            if error.status != 409:
                raise
            return  # somebody else has just written it: seen again while it is waited for
        self.finalizers += [f"{item.where}: {name}" for name in taken]

    def _kind(self, item: Item) -> Kind:
        return self.cluster.kind(item.api_version, item.kind)

    def each(self, do: t.Callable[[Item], t.Any], items: t.Iterable[Item]) -> None:
        """Does something to many objects at once."""
        with concurrent.futures.ThreadPoolExecutor(self.cluster.concurrency) as pool:
            for _done in pool.map(do, items):
                pass

    # -- deletions --------------------------------------------------------

    def delete(self, items: list[Item], foreground: bool = False) -> None:
        """Deletes objects and waits until they are gone."""
        self.ask(items, foreground)
        self.wait(items)

    def ask(self, items: list[Item], foreground: bool = False) -> None:
        """Asks for objects to be deleted.

        :param foreground: they count as gone when what belongs to them has gone
        """
        self.each(lambda item: self._ask(item, foreground), items)

    def _ask(self, item: Item, foreground: bool) -> None:
        # What the Sail operator made belongs to its own resources: it must not go before its turn.
        how = "Orphan" if item.api_version.startswith("sailoperator.io/") else "Background"
        try:
            answer = self.cluster.delete(
                self._kind(item), item.name, item.namespace or None, propagation="Foreground" if foreground else how
            )
        except ApiError:
            raise
        except MeshopsError:
            return  # its kind has gone with its CustomResourceDefinition
        if answer is not None and answer.get("kind") != "Status":
            self._answer_finalizers(item, answer, 0)
            self.going.append(item)

    def _answer_finalizers(self, item: Item, obj: dict, waited: float) -> None:
        """Istio's own finalizers are taken off at once, since nobody answers them; others of its objects later."""
        if item.part in ("mesh_objects", "operators") and waited > self.finalizer_timeout:
            self.take_off_finalizers(item, obj, lambda name: name not in _KUBERNETES_FINALIZERS)
        elif item.part in ("mesh_objects", "operators", "control_plane", "gateways", "gateway_api"):
            self.take_off_finalizers(item, obj)

    def hurry(self) -> bool:
        """Whether a control plane or gateway takes its own time to end; those that nobody needs are told not to."""
        return bool(self._endings) and self._endings.hurry(self.going)

    def wait(self, items: t.Iterable[Item] | None = None) -> None:
        """Waits until objects whose deletion was asked for are gone.

        :param items: only these; all by default
        :raises MeshopsError: an object stays; the message names its finalizers
        """
        wanted = None if items is None else set(items)
        begun = time.monotonic()
        while True:
            waiting = [item for item in self.going if wanted is None or item in wanted]
            self.hurry()
            with concurrent.futures.ThreadPoolExecutor(self.cluster.concurrency) as pool:
                seen = list(zip(waiting, pool.map(self.get, waiting), strict=True))
            left = {item: obj for item, obj in seen if obj is not None and obj["metadata"].get("deletionTimestamp")}
            self.going = [item for item in self.going if item not in waiting or item in left]
            if not left:
                return
            waited = time.monotonic() - begun
            if waited > self.wait_timeout:
                item, obj = next(iter(left.items()))
                finalizers = ", ".join(obj["metadata"].get("finalizers") or []) or "none"
                raise MeshopsError(f"{item.where} isn't gone after {waited:.0f} s (its finalizers: {finalizers})")
            for item, obj in left.items():
                self._answer_finalizers(item, obj, waited)
            time.sleep(max(POLL, len(left) / _LOOKS_A_SECOND))
