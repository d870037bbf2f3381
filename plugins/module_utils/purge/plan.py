# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a purge takes away and what it leaves: a pure function of the footprint and the user's wishes."""

from __future__ import annotations

import dataclasses
import typing as t

from ..errors import MeshopsError
from ..footprint.charts import Release
from ..footprint.footprint import footprint
from ..footprint.item import PARTS, Footprint, Item, mark_strips
from ..footprint.revision import of_revision, uses_of_revision
from .mtls import mtls_warnings

#: What each word of the option keep spares. CRDs can't go without their objects, nor a Gateway's workload without it.
KEEPABLE = {
    "crds": ("crds",),
    "mesh_objects": ("mesh_objects", "gateway_api", "crds"),
    "ca": ("ca",),
    "namespaces": ("namespaces",),
    "operators": ("operators",),
}
#: API groups of operators: where these are spared, so are the definitions of their resources.
_OPERATOR_GROUPS = (".install.istio.io", ".sailoperator.io")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What goes (C(items), in order) and what stays, with the reasons, and what to put right first (C(warnings)).

    :ivar control_planes: the namespaces of control planes and operators that stay
    """

    items: tuple[Item, ...]
    stays: tuple[Item, ...]
    releases: tuple[Release, ...]
    warnings: tuple[str, ...] = ()
    control_planes: tuple[str, ...] = ()

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
    :raises MeshopsError: the revision is still in use
    """
    whole = footprint(listed, complete)
    if revision:
        return _plan_revision(whole, listed, revision)
    holding = {item.namespace for item in whole.items if _spared_by(item, keep)}
    items, stays = [], []
    for item in whole.items:
        if word := _spared_by(item, keep):
            stays.append(_left(item, f"keep holds {word}"))
        elif item.part == "namespaces" and item.name in holding:
            stays.append(_left(item, "it holds what keep names"))
        elif item.part == "sidecars" and not restart_workloads:
            stays.append(_left(item, "restart_workloads is false: restart it yourself"))
        else:
            items.append(item)
    going = {item.name for item in items if item.part == "namespaces"}
    items = [item for item in items if item.part != "proof"] + mark_strips(listed, going)
    restarts = [item for item in items if item.action == "restart"]
    roots = {
        "istio-system",
        *(i.namespace for i in whole.items if i.part == "control_plane" and i.kind == "Deployment"),
    }
    warnings = [
        *mtls_warnings(listed, restarts, roots),
        *_sidecars_that_stay([i for i in stays if i.part == "sidecars"] + list(whole.stuck)),
    ]
    return Plan(
        tuple(items),
        (*stays, *whole.unsure),
        whole.releases,
        tuple(warnings),
        tuple(name for name in whole.control_planes if name not in going),
    )


def _spared_by(item: Item, keep: t.Collection[str]) -> str:
    """The word in keep that spares an object; empty where there is none."""
    for word in keep:
        if item.part in KEEPABLE[word]:
            return word
        if word == "operators" and item.part == "crds" and item.name.endswith(_OPERATOR_GROUPS):
            return word
    return ""


def _sidecars_that_stay(items: t.Sequence[Item]) -> list[str]:
    if not items:
        return []
    shown = ", ".join(item.where for item in items[:5]) + (f" and {len(items) - 5} more" if len(items) > 5 else "")
    return [
        f"sidecars stay in {shown} (see stays for what to do about each). Without a control plane their certificates"
        " run out, after a day unless you have set another time"
    ]


def _plan_revision(whole: Footprint, listed: list[dict], revision: str) -> Plan:
    known = sorted(
        {item.revision for item in whole.items if item.revision and item.part in ("webhooks", "control_plane")}
    )
    going = of_revision(whole, revision)
    if not going.items:
        unknown = f"there is no revision {revision} to purge; revisions here: {', '.join(known)}"
        return Plan((), (), (), (unknown,) if known else ())
    uses = uses_of_revision(listed, revision)
    if uses:
        shown = ", ".join(uses[:10]) + (f" and {len(uses) - 10} more" if len(uses) > 10 else "")
        raise MeshopsError(
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
