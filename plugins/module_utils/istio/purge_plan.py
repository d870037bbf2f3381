# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a purge takes away and what it leaves: a pure function of the footprint and the user's wishes."""

from __future__ import annotations

import dataclasses
import typing as t

from ..cluster.errors import ClusterError
from .footprint import PARTS, Footprint, Item, Release, footprint, of_revision, uses_of_revision
from .purge_mtls import mtls_warnings

#: What each word of the option keep spares. CRDs can't go without their objects.
KEEPABLE = {
    "crds": ("crds",),
    "mesh_objects": ("mesh_objects", "crds"),
    "ca": ("ca",),
    "namespaces": ("namespaces",),
    "operators": ("operators",),
}
#: API groups of operators: where these are spared, so are the definitions of their resources.
_OPERATOR_GROUPS = (".install.istio.io", ".sailoperator.io")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What goes (C(items), in order) and what stays, with the reasons, and what to put right first (C(warnings))."""

    items: tuple[Item, ...]
    stays: tuple[Item, ...]
    releases: tuple[Release, ...]
    warnings: tuple[str, ...] = ()

    def part(self, *names: str) -> list[Item]:
        return [item for item in self.items if item.part in names]

    @property
    def parts(self) -> list[str]:
        """The parts that have something to do, in order."""
        return [part for part in PARTS if self.part(part)]


def plan_purge(
    listed: list[dict],
    complete: t.Collection[str],
    keep: t.Collection[str] = (),
    restart_workloads: bool = True,
    revision: str | None = None,
) -> Plan:
    """What a purge of the listed cluster does.

    :param listed: see footprint()
    :param complete: see footprint()
    :param keep: words of KEEPABLE
    :param restart_workloads: whether sidecars are taken out of running workloads
    :param revision: only this revision, and what nothing else uses
    :raises ClusterError: the revision is still in use, or there is none of that name but others
    """
    whole = footprint(listed, complete)
    if revision:
        return _plan_revision(whole, listed, revision)
    kept: dict[str, str] = {part: f"keep holds {word}" for word in keep for part in KEEPABLE[word]}
    holding = {item.namespace for item in whole.items if item.part in kept}
    items, stays = [], []
    for item in whole.items:
        if item.part in kept:
            stays.append(_left(item, kept[item.part]))
        elif "operators" in keep and item.part == "crds" and item.name.endswith(_OPERATOR_GROUPS):
            stays.append(_left(item, kept["operators"]))
        elif item.part == "namespaces" and item.name in holding:
            stays.append(_left(item, "it holds what keep names"))
        elif item.part == "sidecars" and not restart_workloads:
            stays.append(_left(item, "restart_workloads is false: restart it yourself"))
        else:
            items.append(item)
    restarts = [item for item in items if item.action == "restart"]
    roots = {
        "istio-system",
        *(i.namespace for i in whole.items if i.part == "control_plane" and i.kind == "Deployment"),
    }
    return Plan(tuple(items), (*stays, *whole.unsure), whole.releases, tuple(mtls_warnings(listed, restarts, roots)))


def _plan_revision(whole: Footprint, listed: list[dict], revision: str) -> Plan:
    known = sorted(
        {item.revision for item in whole.items if item.revision and item.part in ("webhooks", "control_plane")}
    )
    going = of_revision(whole, revision)
    if not going.items:
        return Plan((), (), ())
    uses = uses_of_revision(listed, revision)
    if uses:
        shown = ", ".join(uses[:10]) + (f" and {len(uses) - 10} more" if len(uses) > 10 else "")
        raise ClusterError(
            f"revision {revision} is still used by {shown}: move them to another revision first"
            f" (revisions here: {', '.join(known)})"
        )
    return Plan(going.items, (), going.releases)


def _left(item: Item, why: str) -> Item:
    return dataclasses.replace(item, action="leave", why=(why, *item.why))


def plan_text(plan: Plan) -> tuple[str, str]:
    """The plan as text before and after, for diff mode: by part and kind, with reasons."""
    going = []
    for part in plan.parts:
        going.append(f"{part}:")
        going += [f"  {_line(item)}" for item in plan.part(part)]
    stays = ["stays:", *(f"  {item.where}: {'; '.join(item.why)}" for item in plan.stays)] if plan.stays else []
    return "".join(f"{line}\n" for line in going + stays), "".join(f"{line}\n" for line in stays)


def _line(item: Item) -> str:
    verb = {"delete": "delete", "strip": "take off", "restart": "restart"}[item.action]
    if item.action == "strip":
        return f"{verb} {item.where}: {', '.join(item.keys)}"
    keys = f" and take off {', '.join(item.keys)}" if item.keys else ""
    return f"{verb} {item.where}{keys}: {'; '.join(item.why)}"


def plan_summary(plan: Plan) -> dict[str, int]:
    """How many objects of each kind go."""
    counts: dict[str, int] = {}
    for item in plan.items:
        if item.action == "delete":
            counts[item.kind] = counts.get(item.kind, 0) + 1
    return counts
