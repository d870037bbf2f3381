# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waits for what the API server itself brings about: that objects are gone, that kinds are served.

Waiting until objects are ready is in C(workloads).
"""

from __future__ import annotations

import time
import typing as t

from ..reconcile.identity import title
from .client import Cluster
from .kinds import KNOWN, Kind
from .workloads import NotReady


def wait_gone(cluster: Cluster, objects: t.Iterable[t.Mapping[str, t.Any]], timeout: float, poll: float = 0.5) -> None:
    """Waits until no object exists any more, or until another has taken its name.

    :param objects: what was deleted, with its uid where another may take the name
    :raises NotReady: objects are still there; the text names the finalizers that hold them
    """
    begin = time.monotonic()
    waiting = list(objects)
    while True:
        found = [(obj, _look(cluster, obj)) for obj in waiting]
        left = [
            (obj, live)
            for obj, live in found
            if live and obj["metadata"].get("uid", live["metadata"]["uid"]) == live["metadata"]["uid"]
        ]
        if not left:
            return
        spent = time.monotonic() - begin
        if spent + poll > timeout:
            held = "; ".join(f"{title(obj)}: {_held(live)}" for obj, live in left[:10])
            raise NotReady(f"not gone after {timeout:.0f} s: {held}")
        waiting = [obj for obj, _live in left]
        time.sleep(poll)


def wait_established(cluster: Cluster, kinds: t.Iterable[Kind], timeout: float, poll: float = 0.2) -> list[Kind]:
    """Waits until the server serves kinds whose CustomResourceDefinition exists.

    :returns: the kinds without a CustomResourceDefinition, or that it doesn't serve in this version
    """
    missing = []
    deadline = time.monotonic() + timeout
    for kind in kinds:
        while True:
            cluster.forget_kinds()
            if kind.kind in cluster.discover(kind.api_version):
                break
            definition = cluster.get(
                KNOWN["apiextensions.k8s.io", "CustomResourceDefinition"], f"{kind.plural}.{kind.group}"
            )
            versions = definition["spec"]["versions"] if definition else []
            if time.monotonic() > deadline or not any(v["name"] == kind.version and v["served"] for v in versions):
                missing.append(kind)
                break
            time.sleep(poll)
    return missing


def _look(cluster: Cluster, obj: t.Mapping[str, t.Any]) -> dict[str, t.Any] | None:
    live = cluster.get(
        cluster.kind(obj["apiVersion"], obj["kind"]), obj["metadata"]["name"], obj["metadata"].get("namespace")
    )
    if live is not None:
        live.setdefault("apiVersion", obj["apiVersion"])
        live.setdefault("kind", obj["kind"])
    return live


def _held(live: t.Mapping[str, t.Any]) -> str:
    finalizers = live["metadata"].get("finalizers") or (live.get("spec") or {}).get("finalizers")
    return f"it is held by the finalizers {', '.join(finalizers)}" if finalizers else "it is still being deleted"
