# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a purge deletes and what it retains: a pure function of the footprint and the options."""

from __future__ import annotations

import dataclasses
import typing as t

from ..errors import MeshopsError
from ..footprint.charts import Release
from ..footprint.footprint import footprint
from ..footprint.item import Evidence, Footprint, Item, Part, Reason, mark_strips
from ..footprint.revision import of_revision, uses_of_revision
from ..reconcile.types import K8sObject
from ..reconcile.wording import listed as some
from .order import Step, by_step
from .outages import Outage, outages

#: What each word of the option keep retains. CRDs can't be deleted without their objects, nor a Gateway's workload
#: without the Gateway.
KEEPABLE: dict[str, tuple[Part, ...]] = {
    "crds": ("crds",),
    "mesh_objects": ("mesh_objects", "gateway_api", "crds"),
    "ca": ("ca",),
    "namespaces": ("namespaces",),
    "operators": ("operators",),
}
#: API groups of operators: where these are retained, so are the definitions of their resources.
_OPERATOR_GROUPS = (".install.istio.io", ".sailoperator.io")


@dataclasses.dataclass(frozen=True)
class Scope:
    """Which part of a footprint a purge removes.

    :ivar keep: words of KEEPABLE
    :ivar restart_workloads: whether running workloads lose their sidecars
    :ivar revision: only this revision, and what nothing else uses
    """

    keep: tuple[str, ...] = ()
    restart_workloads: bool = True
    revision: str | None = None


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is changed (C(items)) and what is retained, with the reasons, and what to fix first.

    :ivar outages: what breaks requests on the way
    :ivar control_planes: the namespaces of control planes and operators that are retained
    """

    items: tuple[Item, ...]
    retained: tuple[Item, ...]
    releases: tuple[Release, ...]
    warnings: tuple[str, ...] = ()
    outages: tuple[Outage, ...] = ()
    control_planes: tuple[str, ...] = ()

    def part(self, *names: Part) -> list[Item]:
        return [item for item in self.items if item.part in names]

    @property
    def steps(self) -> list[tuple[Step, list[Item]]]:
        """Every step in order, with its objects."""
        return by_step(self.items)

    @property
    def ordered(self) -> list[Item]:
        """The objects in the order of the steps."""
        return [item for _step, items in self.steps for item in items]


def plan_purge(
    listed: t.Sequence[K8sObject],
    complete: t.Collection[str],
    scope: Scope | None = None,
    unanswered: t.Collection[str] = (),
) -> Plan:
    """What a purge of the listed cluster does.

    :param listed: see footprint()
    :param complete: see footprint()
    :param unanswered: see footprint()
    :raises MeshopsError: the revision is still in use
    """
    scope = scope or Scope()
    whole = footprint(listed, complete, unanswered)
    if scope.revision:
        return _plan_revision(whole, listed, scope.revision)
    items, retained = _divide(whole, scope)
    going = {item.name for item in items if item.part == "namespaces"}
    items = [item for item in items if item.part != "proof"] + mark_strips(listed, going)
    restarts = [item for item in items if item.action == "restart"]
    with_sidecars = [item for item in retained if item.part == "sidecars"] + list(whole.stuck)
    roots = {
        "istio-system",
        *(i.namespace for i in whole.items if i.part == "control_plane" and i.kind == "Deployment"),
    }
    return Plan(
        tuple(items),
        (*retained, *whole.unsure),
        whole.releases,
        (*_retained_sidecars(with_sidecars), *_addresses(listed, items)),
        tuple(outages(listed, restarts, whole.stuck, roots)),
        tuple(name for name in whole.control_planes if name not in going),
    )


def _divide(whole: Footprint, scope: Scope) -> tuple[list[Item], list[Item]]:
    """The items of a footprint that a purge changes, and those that its options retain."""
    holding = {item.namespace for item in whole.items if _kept_by(item, scope.keep)}
    items, retained = [], []
    for item in whole.items:
        if word := _kept_by(item, scope.keep):
            retained.append(item.because(Evidence(Reason.KEPT, word)))
        elif item.part == "namespaces" and item.name in holding:
            retained.append(item.because(Evidence(Reason.HOLDS_KEPT)))
        elif item.part == "sidecars" and not scope.restart_workloads:
            retained.append(item.because(Evidence(Reason.NO_RESTART)))
        else:
            items.append(item)
    return items, retained


def _kept_by(item: Item, keep: t.Iterable[str]) -> str:
    """The word in keep that retains an object; empty where there is none."""
    for word in keep:
        if item.part in KEEPABLE[word]:
            return word
        if word == "operators" and item.part == "crds" and item.name.endswith(_OPERATOR_GROUPS):
            return word
    return ""


def _retained_sidecars(items: t.Sequence[Item]) -> list[str]:
    if not items:
        return []
    return [
        f"Sidecars remain in {some([item.where for item in items], 5)}: without a control plane their certificates"
        " expire, by default after a day. `retained` says for each what to do"
    ]


def _addresses(listed: t.Iterable[K8sObject], items: t.Iterable[Item]) -> list[str]:
    """Services whose address is released with them, so that clients can't find a new one by it."""
    going = {item.id for item in items if item.action == "delete" and item.kind == "Service"}
    found = []
    for obj in listed:
        meta = obj["metadata"]
        if obj["kind"] == "Service" and ("", "Service", meta.get("namespace") or "", meta["name"]) in going:
            ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
            found += [
                f"{meta['namespace']}/{meta['name']} ({address})"
                for entry in ingress
                if (address := entry.get("ip") or entry.get("hostname"))
            ]
    if not found:
        return []
    return [f"The addresses of these load balancers are released: {some(found, 5)}. A restore may get other addresses"]


def _plan_revision(whole: Footprint, listed: t.Sequence[K8sObject], revision: str) -> Plan:
    known = sorted(
        {item.revision for item in whole.items if item.revision and item.part in ("webhooks", "control_plane")}
    )
    going = of_revision(whole, revision)
    if not going.items:
        unknown = f"Revision {revision} not found. Revisions in this cluster: {', '.join(known)}"
        return Plan((), (), (), (unknown,) if known else ())
    uses = uses_of_revision(listed, revision)
    if uses:
        raise MeshopsError(
            f"Refusing to remove revision {revision}: it is still used by {some(uses)}. Move them to another revision"
            f" first (revisions in this cluster: {', '.join(known)}).",
            {"uses": [{"kind": use.kind.name.lower(), "name": use.name} for use in uses]},
        )
    return Plan(going.items, (), going.releases)


def plan_text(plan: Plan) -> tuple[str, str]:
    """The plan as text before and after, for diff mode: by step, with reasons."""
    going = []
    for step, items in plan.steps:
        if items:
            going.append(f"{step.name}:")
            going += [f"  {_line(item)}" for item in items]
    retained = [f"  {item.where}: {'; '.join(item.why)}" for item in plan.retained]
    after = ["retained:", *retained] if retained else []
    return "".join(f"{line}\n" for line in going + after), "".join(f"{line}\n" for line in after)


def _line(item: Item) -> str:
    keys = ", ".join(str(key) for key in item.keys)
    if item.action == "strip":
        return f"remove from {item.where}: {keys}"
    also = f" and remove {keys}" if keys else ""
    return f"{item.action} {item.where}{also}: {'; '.join(item.why)}"


def plan_summary(plan: Plan) -> dict[str, int]:
    """How many objects of each kind are deleted."""
    counts: dict[str, int] = {}
    for item in plan.ordered:
        if item.action == "delete":
            counts[item.kind] = counts.get(item.kind, 0) + 1
    return counts
