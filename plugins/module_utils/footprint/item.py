# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An object of the footprint, and the footprint as a whole."""

from __future__ import annotations

import dataclasses
import typing as t

from .charts import Id, Release

#: The parts of a footprint, in the order in which a purge takes them away. C(gateway_api) is what istiod makes for the
#: Gateway API, C(mesh_objects) what users write, for it too.
PARTS = (
    "operators",
    "webhooks",
    "injection",
    "sidecars",
    "gateways",
    "gateway_api",
    "control_plane",
    "mesh_objects",
    "trust",
    "ca",
    "crds",
    "cni",
    "releases",
    "namespaces",
    "proof",
)
#: How a purge that was killed finds its way: as an annotation it says that a namespace is C(going), had a
#: C(control-plane) and stays, or was C(injected) and still has to show that pods start in it; as a label it marks
#: what looks at the nodes.
MARK = "meshops.istio/purge"


@dataclasses.dataclass(frozen=True)
class Item:
    """One object, and what a purge does with it.

    :ivar part: one of PARTS; empty for what is left alone
    :ivar action: delete, strip (take keys off an object that is not Istio's), restart, or leave
    :ivar why: the reasons
    :ivar keys: for strip and restart: what is taken off, such as C(label istio-injection)
    :ivar revision: the control plane's revision that it belongs to, where that is known
    """

    part: str
    action: str
    api_version: str
    kind: str
    namespace: str
    name: str
    why: tuple[str, ...]
    keys: tuple[str, ...] = ()
    revision: str = ""

    @property
    def id(self) -> Id:
        return (self.api_version.rpartition("/")[0], self.kind, self.namespace, self.name)

    @property
    def where(self) -> str:
        """How a user finds it: kind, then namespace/name."""
        return f"{self.kind} {self.namespace + '/' if self.namespace else ''}{self.name}"

    def report(self) -> dict:
        """The item as a module returns it."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items() if v}


@dataclasses.dataclass(frozen=True)
class Footprint:
    """All that Istio has put into a cluster (C(items)), and what looks like it but stays (C(unsure)).

    :ivar stuck: the workloads and pods among C(unsure) whose sidecars no restart would take out
    :ivar control_planes: the namespaces that a control plane, or an operator, runs or ran in
    """

    items: tuple[Item, ...]
    unsure: tuple[Item, ...]
    releases: tuple[Release, ...] = ()
    stuck: tuple[Item, ...] = ()
    control_planes: tuple[str, ...] = ()

    def part(self, *names: str) -> list[Item]:
        return [item for item in self.items if item.part in names]


def _mark(namespace: dict) -> str:
    """What an interrupted purge has written on a namespace (see MARK)."""
    return (namespace["metadata"].get("annotations") or {}).get(MARK, "")


def marked_injected(listed: t.Iterable[dict]) -> list[str]:
    """The namespaces in which an interrupted purge has still to show that pods start."""
    return [o["metadata"]["name"] for o in listed if o["kind"] == "Namespace" and _mark(o) == "injected"]


def released(item: Item) -> bool:
    """Whether an object came with a Helm release, whose record may be all that proves it."""
    return any(reason.startswith("Helm release") for reason in item.why)


def _item(
    obj: dict, part: str, action: str, why: t.Iterable[str], keys: t.Iterable[str] = (), revision: str = ""
) -> Item:
    meta = obj["metadata"]
    return Item(
        part,
        action,
        obj["apiVersion"],
        obj["kind"],
        meta.get("namespace") or "",
        meta["name"],
        tuple(dict.fromkeys(why)),
        tuple(keys),
        revision,
    )


def mark_strips(listed: t.Iterable[dict], gone: t.Collection[str]) -> list[Item]:
    """The marks that a purge has left on namespaces which stay."""
    items = []
    for obj in listed:
        if obj["kind"] == "Namespace" and _mark(obj) and obj["metadata"]["name"] not in gone:
            rest = "to prove that pods start here" if _mark(obj) == "injected" else "to end what it found here"
            items.append(
                _item(obj, "proof", "strip", [f"an interrupted purge has still {rest}"], [f"annotation {MARK}"])
            )
    return items
