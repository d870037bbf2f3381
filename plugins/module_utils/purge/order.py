# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The order of a purge, as data: the only order there is, and what check mode prints.

Webhooks first, so that no write and no pod depends on Istio any more; the CNI last, so that pods can be created
meanwhile. What needs time of its own to end is waited for as late as possible.
"""

from __future__ import annotations

import dataclasses
import enum
import typing as t

from ..footprint.item import Item
from ..mesh.names import RESTARTABLE, gateway_api


class Work(enum.Enum):
    """What a step does with its objects."""

    DELETE = "delete and wait until they are gone"
    ASK = "delete, and wait later"
    STRIP = "remove Istio's keys"
    RESTART = "restart one workload at a time"
    CNI = "delete the CNI and prove its nodes clean"
    LAST = "remove the annotations of the purge itself, after the proof"


@dataclasses.dataclass(frozen=True)
class Shared:
    """Namespaces that are still needed when other namespaces are deleted.

    :ivar operators: those of operators, whose resources are deleted later
    :ivar cni: those of the CNI
    """

    operators: frozenset[str] = frozenset()
    cni: frozenset[str] = frozenset()


Select = t.Callable[[Item, Shared], bool]


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of a purge.

    :ivar name: what check mode and the times in results call it
    :ivar select: which of the plan's objects it is for
    :ivar foreground: objects count as gone when everything that belongs to them is gone
    :ivar after: steps whose objects must be gone before this step begins
    :ivar drains: gateways with clients are given a moment to drain before this step begins
    :ivar reads_again: the cluster is read again before this step, so that nothing is deleted that has changed meanwhile
    """

    name: str
    work: Work
    select: Select
    foreground: bool = False
    after: tuple[str, ...] = ()
    drains: bool = False
    reads_again: bool = False


def _parts(*parts: str) -> Select:
    return lambda item, _shared: item.part in parts


def _workloads(*parts: str) -> Select:
    return lambda item, _shared: item.part in parts and item.kind in RESTARTABLE


def _is_class(item: Item) -> bool:
    return item.part in ("gateways", "gateway_api") and item.kind == "GatewayClass"


def _before_gateways(item: Item, _shared: Shared) -> bool:
    """What brings clients to a gateway; while a Gateway exists istiod creates its workload again."""
    of_users = item.part == "mesh_objects" and gateway_api(item.id[0], item.kind)
    of_istio = item.part in ("gateways", "gateway_api") and item.kind not in (*RESTARTABLE, "GatewayClass")
    return of_users or of_istio


def _of_release(item: Item, _shared: Shared) -> bool:
    """In a namespace that is deleted, the proof of these would be deleted with Helm's record."""
    return item.part == "control_plane" and item.is_released


def _namespaces(item: Item, shared: Shared) -> bool:
    return item.part == "namespaces" and item.name not in shared.operators | shared.cni


#: The first step that selects an object is its step.
STEPS = (
    Step("operators", Work.DELETE, _workloads("operators"), foreground=True),
    Step("webhooks", Work.DELETE, _parts("webhooks")),
    Step("injection", Work.STRIP, _parts("injection")),
    Step("sidecars", Work.RESTART, _parts("sidecars")),
    Step("gateways", Work.ASK, _before_gateways, reads_again=True),
    Step(
        "control plane and gateway workloads",
        Work.ASK,
        _workloads("gateways", "gateway_api", "control_plane"),
        foreground=True,
    ),
    Step("control plane of Helm releases", Work.ASK, _of_release, drains=True),
    Step("namespaces", Work.ASK, _namespaces),
    # A running istiod would create the GatewayClasses and some of these again.
    Step(
        "control plane",
        Work.ASK,
        lambda item, _shared: item.part == "control_plane" or _is_class(item),
        after=("control plane and gateway workloads",),
    ),
    Step("operator resources", Work.ASK, _parts("operators")),
    Step("mesh objects", Work.ASK, _parts("mesh_objects")),
    Step("trust", Work.ASK, _parts("trust", "ca")),
    Step("crds", Work.ASK, _parts("crds")),
    Step(
        "namespaces of operators",
        Work.ASK,
        lambda item, shared: item.part == "namespaces" and item.name not in shared.cni,
    ),
    Step(
        "cni",
        Work.CNI,
        _parts("cni"),
        after=(
            "control plane of Helm releases",
            "control plane",
            "operator resources",
            "mesh objects",
            "trust",
            "crds",
        ),
    ),
    Step("helm records", Work.ASK, _parts("releases")),
    Step("namespaces of the cni", Work.ASK, _parts("namespaces")),
    Step("proof", Work.LAST, _parts("proof")),
)


def shared_of(items: t.Iterable[Item]) -> Shared:
    """The namespaces that later steps need."""
    items = list(items)
    return Shared(
        frozenset(item.namespace for item in items if item.part == "operators"),
        frozenset(item.namespace for item in items if item.part == "cni" and item.action == "delete"),
    )


def step_of(item: Item, shared: Shared) -> Step:
    """The step that an object belongs to.

    >>> webhook = Item("webhooks", "delete", "v1", "ValidatingWebhookConfiguration", "", "istiod", ())
    >>> step_of(webhook, Shared()).name
    'webhooks'
    """
    return next(step for step in STEPS if step.select(item, shared))


def by_step(items: t.Iterable[Item]) -> list[tuple[Step, list[Item]]]:
    """Every step in order, with its objects; the objects of a step by kind, namespace and name."""
    items = sorted(items, key=lambda item: (item.kind, item.namespace, item.name))
    shared = shared_of(items)
    found: dict[str, list[Item]] = {step.name: [] for step in STEPS}
    for item in items:
        found[step_of(item, shared).name].append(item)
    return [(step, found[step.name]) for step in STEPS]
