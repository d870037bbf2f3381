# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What in a cluster belongs to Istio, and why: a pure reading of listed objects, whoever installed them.

An object is Istio's when there is a reason that only Istio has (its API group, the release of an Istio chart, the
installer's labels, a webhook that calls istiod, a name that Istio itself writes). A name or label that merely looks
like Istio is no reason: such objects are listed as unsure and left alone.
"""

from __future__ import annotations

import re
import typing as t

from ..mesh.names import RESTARTABLE, istio_finalizer, istio_key
from .charts import id_of, read_releases
from .evidence import _FOLLOWERS, _part, _revision, _Sure
from .item import PARTS, Footprint, Item, _item, mark_strips
from .sidecars import _restarts, template_keys

_LOOKS_LIKE = re.compile(r"(^|[^a-z])istio")


def footprint(listed: list[dict], complete: t.Collection[str] = ()) -> Footprint:
    """What belongs to Istio among the listed objects.

    :param listed: objects as the API server gives them, each once
    :param complete: the namespaces of which every object is listed; only these can be found empty of others
    """
    releases = read_releases(listed)
    sure = _Sure(listed, releases)
    control_planes = sure.control_planes()
    namespaces = {"istio-system", *control_planes}
    items = []
    for obj in listed:
        reasons = sure.reasons.get(id_of(obj))
        if reasons:
            release = sure.of_release.get(id_of(obj)) or sure.stored_release(obj)
            part = "releases" if sure.stored_release(obj) else _part(obj, release)
            if part == "mesh_objects" and _of_installer(obj, reasons):
                part = "control_plane"
            items.append(_item(obj, part, "delete", reasons, revision=_revision(obj, release, namespaces)))
    going, staying = _namespaces(listed, sure, complete)
    items += going
    gone = {item.name for item in going}
    items += _strips(listed, sure, gone) + mark_strips(listed, gone)
    restarts, stuck = _restarts(listed, sure, gone)
    items += restarts
    order = {part: place for place, part in enumerate(PARTS)}
    items.sort(key=lambda item: (order[item.part], item.kind, item.namespace, item.name))
    unsure = staying + stuck
    told = {item.id for item in unsure}
    unsure += _unsure([obj for obj in listed if id_of(obj) not in told], sure, gone, restarts)
    existing = {o["metadata"]["name"] for o in listed if o["kind"] == "Namespace"}
    return Footprint(
        tuple(items), tuple(unsure), tuple(releases), tuple(stuck), tuple(sorted(existing & set(control_planes)))
    )


def _of_installer(obj: dict, reasons: list[str]) -> bool:
    """Whether an object of Istio's API came with a chart, so that a backup of the user's objects must not hold it."""
    return any(r.startswith(("Helm release", "label helm.sh/chart", "label operator.istio.io")) for r in reasons)


def _namespaces(listed: list[dict], sure: _Sure, complete: t.Collection[str]) -> tuple[list[Item], list[Item]]:
    """Which namespaces go, and which stay because others live there."""
    going, staying = [], []
    for name, (why, proven) in sure.homes().items():
        namespace = next((o for o in listed if o["kind"] == "Namespace" and o["metadata"]["name"] == name), None)
        if namespace is None:
            continue
        others = [o for o in listed if o["metadata"].get("namespace") == name and o not in sure and not _ordinary(o)]
        if not proven:
            staying.append(_item(namespace, "", "leave", [f"{why}, but nothing proves that it was made for Istio"]))
        elif name not in complete:
            staying.append(_item(namespace, "", "leave", [f"{why}, but its contents are not known"]))
        elif others:
            first = ", ".join(f"{o['kind']} {o['metadata']['name']}" for o in others[:5])
            staying.append(_item(namespace, "", "leave", [f"{why}, but it holds what is not Istio's: {first}"]))
        else:
            going.append(_item(namespace, "namespaces", "delete", [why, "holds nothing but Istio's objects"]))
    return going, staying


def _ordinary(obj: dict) -> bool:
    """Whether Kubernetes itself puts such an object into every namespace, or a controller made it for another one."""
    kind, meta = obj["kind"], obj["metadata"]
    if kind in ("Event", "Endpoints", "EndpointSlice", "PodMetrics") or (
        kind in _FOLLOWERS and meta.get("ownerReferences")
    ):
        return True
    if kind == "ServiceAccount":
        return meta["name"] in ("default", "builder", "deployer")
    if kind == "ConfigMap":
        return meta["name"] in ("kube-root-ca.crt", "openshift-service-ca.crt")
    if kind == "Secret":
        return obj.get("type") in ("kubernetes.io/service-account-token", "kubernetes.io/dockercfg")
    return kind == "RoleBinding" and meta["name"].startswith("system:")


def istio_keys(obj: dict) -> list[str]:
    """The labels, annotations, finalizers and taints of Istio's that an object carries."""
    meta = obj["metadata"]
    keys = [f"label {key}" for key in meta.get("labels") or {} if istio_key(key)]
    keys += [f"annotation {key}" for key in meta.get("annotations") or {} if istio_key(key)]
    keys += [f"finalizer {name}" for name in meta.get("finalizers") or [] if istio_finalizer(name)]
    if obj["kind"] == "Node":
        keys += [
            f"taint {taint['key']}" for taint in obj.get("spec", {}).get("taints") or [] if istio_key(taint["key"])
        ]
    return keys


def _strips(listed: list[dict], sure: _Sure, gone: set[str]) -> list[Item]:
    """Objects that are not Istio's and carry Istio's labels, annotations, taints or finalizers."""
    items = []
    for obj in listed:
        if obj in sure or obj["kind"] in _FOLLOWERS or obj["metadata"].get("namespace") in gone:
            continue
        if obj["kind"] == "Namespace" and obj["metadata"]["name"] in gone:
            continue
        keys = istio_keys(obj)
        if keys:
            items.append(_item(obj, "injection", "strip", keys, keys))
    return items


def _unsure(listed: list[dict], sure: _Sure, gone: set[str], restarts: list[Item]) -> list[Item]:
    """What looks like Istio's by name, label or pod template, without a reason that only Istio has."""
    items = []
    restarted = {item.id for item in restarts}
    for obj in listed:
        meta = obj["metadata"]
        if obj in sure or obj["kind"] in _FOLLOWERS or meta.get("namespace") in gone or meta["name"] in gone:
            continue
        labels = meta.get("labels") or {}
        signs = [f"name {meta['name']}"] if _LOOKS_LIKE.search(meta["name"]) else []
        signs += [
            f"label {k}={v}"
            for k, v in labels.items()
            if v != meta["name"] and not istio_key(k) and _LOOKS_LIKE.search(f"{k} {v}")
        ]
        if obj["kind"] in RESTARTABLE and id_of(obj) not in restarted:
            signs += template_keys(obj)
        if signs:
            items.append(_item(obj, "", "leave", [f"looks like Istio ({', '.join(signs)}), but nothing proves it"]))
    return items
