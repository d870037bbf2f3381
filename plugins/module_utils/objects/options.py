# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options of a caller beside the objects."""

from __future__ import annotations

import dataclasses

from ..errors import MeshopsError
from ..reconcile.handover import is_former

#: How long proxies are given to take subsets before routes name them, and routes before subsets go, in seconds: ten
#: times istiod's moment of quiet before a push. tests/bench/order measures what is too short.
SETTLE = 1.0


@dataclasses.dataclass(frozen=True)
class ApplyOptions:
    """How objects are brought about.

    :ivar state: C(present), or C(absent): delete them; only apiVersion, kind, name and namespace count then
    :ivar owner: the set that they belong to: their label C(meshops.istio/owner)
    :ivar prune: delete objects of this owner that are not declared any more, if all that is declared could be
        written; they are looked for in the kinds of the mesh, in C(kinds.BESIDE), and in the kinds that are declared
    :ivar prune_all: allow this even where nothing is declared, so that everything of the owner is deleted
    :ivar wait: wait until all are ready, or gone
    :ivar wait_timeout: seconds that the whole may take; also how long refused requests are repeated
    :ivar force_conflicts: take fields over from other field managers
    :ivar force_conflicts_from: the managers from which, also without force_conflicts; none: from all of them
    :ivar keep_weights: leave the weights of destinations that a live route has already to whoever set them
    :ivar namespace: the namespace of objects that name none
    :ivar adopt: whether objects that exist and belong to no owner become this one's
    :ivar return_objects: put the live object into its entry, as C(object)
    :ivar settle: seconds that proxies are given to take new subsets before routes name them, and routes before
        subsets go
    """

    state: str = "present"
    owner: str | None = None
    prune: bool = False
    prune_all: bool = False
    wait: bool = False
    wait_timeout: float = 120
    force_conflicts: bool = False
    force_conflicts_from: tuple[str, ...] = ()
    keep_weights: bool = False
    namespace: str = "default"
    return_objects: bool = False
    adopt: bool = True
    settle: float = SETTLE

    @property
    def keep_objects(self) -> bool:
        """Whether live objects are needed after the plan."""
        return self.wait or self.return_objects

    def takes_over(self, manager: str) -> bool:
        """Whether fields that a manager owns with another value are taken over."""
        return manager in self.force_conflicts_from or (self.force_conflicts and not self.force_conflicts_from)

    def takes_items(self, manager: str) -> bool:
        """Whether a manager's items of declared lists are removed where they are not declared."""
        return self.takes_over(manager) and (is_former(manager) or manager in self.force_conflicts_from)

    def check(self, declared: int) -> None:
        """Refuses what contradicts itself.

        :param declared: how many objects are declared
        :raises MeshopsError: the text says which options
        """
        if not self.namespace:
            raise MeshopsError(
                "namespace is empty: name the namespace of objects that name none, or leave the option out"
            )
        if not 0 <= self.settle < float("inf"):
            raise MeshopsError(
                f"settle is {self.settle}: give the seconds that proxies need to take a change, 0 or more"
            )
        if not self.prune:
            return
        if not self.owner:
            raise MeshopsError("prune deletes what an owner no longer declares: set the option owner too")
        if self.state == "absent":
            raise MeshopsError(
                "prune and state absent contradict each other: to delete all of an owner, give no objects,"
                " state present and prune_all: true"
            )
        if not declared and not self.prune_all:
            raise MeshopsError(
                f"nothing is declared, so prune would delete everything of owner {self.owner!r}:"
                " if that is meant, set prune_all: true; else check that objects or src lead to the objects"
            )
