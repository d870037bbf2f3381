# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The backup of a purge as documents: every object that is deleted, and what is removed from others.

C(namespaces/) and C(workloads/): the labels that are removed, C(ca/): the secrets of the CA and of remote clusters,
C(mesh_objects/): objects of users, one file each, C(operators/): the resources from which an operator made a mesh,
C(objects/): all other objects as they were, with what was changed by hand, C(releases/): every release with its values.
C(site.yml), C(site.REVISION.yml): variables of playbooks/site.yml (see site.py), and C(restore.yml), which uses them.
"""

from __future__ import annotations

import typing as t

from ..footprint.item import MARK, Item, Reason, Scope
from ..mesh.names import istio_group
from ..mesh.pods import gateway_template
from ..reconcile.identity import declared, key
from ..reconcile.types import K8sObject
from .backup_folder import unsafe
from .plan import Plan
from .restore import restore_playbook
from .site import file_name, is_installed, site_files

#: Parts whose objects are in objects/: a chart makes them again, but not as they were.
_AS_THEY_WERE = ("control_plane", "gateways", "gateway_api", "cni", "webhooks", "operators")
#: Objects that say nothing about a mesh.
_ELECTIONS = (Reason.ELECTION, Reason.ELECTION_HOLDER, Reason.OPERATOR_ELECTION)


def backup_files(plan: Plan, listed: t.Sequence[K8sObject], *, with_ca: bool = True) -> dict[str, t.Any]:
    """Path in the backup folder -> document, for everything that a purge deletes and a user may want back."""
    objects = {key(obj): obj for obj in listed}
    files: dict[str, t.Any] = {}
    for item in plan.items:
        entry = _file_of(item, objects[item.id], with_ca=with_ca)
        if entry:
            files[entry[0]] = entry[1]
    for release in plan.releases:
        files[f"releases/{file_name(f'{release.namespace}.{release.name}')}"] = {
            "name": release.name,
            "namespace": release.namespace,
            "chart": release.chart,
            "version": release.version,
            "values": release.values,
        }
    sites = site_files(plan, objects)
    files.update({name: unsafe(variables) for name, variables in sites.items()})
    if sites:
        files["restore.yml"] = restore_playbook(sites.values())
    return files


def _file_of(item: Item, obj: K8sObject, *, with_ca: bool) -> tuple[str, K8sObject] | None:
    """The path and the document for one item; None where there is nothing to keep."""
    if item.part == "mesh_objects" or (gateway_template(obj) and not is_installed(item)):
        return _path("mesh_objects", item), clean(obj)
    if item.part == "operators" and istio_group(item.id[0]):
        return _path("operators", item), clean(obj)
    if item.part == "ca":
        return (_path("ca", item), clean(obj)) if with_ca else None
    if item.part == "namespaces":
        return _path("namespaces", item), clean({k: v for k, v in obj.items() if k != "spec"})
    if item.part == "injection" and item.kind != "Node":
        removed = _removed(item, obj)
        return (_path("namespaces" if item.kind == "Namespace" else "workloads", item), removed) if removed else None
    if item.action == "restart":
        return (_path("workloads", item), _removed_from_template(item, obj)) if item.keys else None
    if item.part in _AS_THEY_WERE and item.action == "delete" and not item.has(*_ELECTIONS):
        return _path("objects", item), clean(obj)
    return None


def clean(obj: K8sObject) -> K8sObject:
    """An object without what the server writes, ready to be applied again."""
    wanted: K8sObject = declared(obj)
    meta = {k: v for k, v in wanted["metadata"].items() if k not in ("ownerReferences", "finalizers")}
    annotations = {k: v for k, v in (meta.pop("annotations", None) or {}).items() if k != MARK}
    if annotations:
        meta["annotations"] = annotations
    rest = {k: v for k, v in wanted.items() if k not in ("apiVersion", "kind", "metadata")}
    return {"apiVersion": wanted["apiVersion"], "kind": wanted["kind"], "metadata": meta, **rest}


def _path(folder: str, item: Item) -> str:
    group = item.id[0]
    known = not group or group == "apps" or istio_group(group)
    kind = item.kind.lower() if known else f"{item.kind.lower()}.{group}"  # Gateways are Istio's and the Gateway API's
    return f"{folder}/{file_name('.'.join(part for part in (kind, item.namespace, item.name) if part))}"


def _named(item: Item) -> dict[str, t.Any]:
    return {"name": item.name, **({"namespace": item.namespace} if item.namespace else {})}


def _removed(item: Item, obj: K8sObject) -> K8sObject | None:
    """The labels and annotations that are removed from an object, as a part of it."""
    meta = _named(item)
    for field, scope in (("labels", Scope.LABEL), ("annotations", Scope.ANNOTATION)):
        removed = {name: obj["metadata"][field][name] for name in item.names(scope)}
        if removed:
            meta[field] = removed
    if "labels" not in meta and "annotations" not in meta:
        return None
    return {"apiVersion": item.api_version, "kind": item.kind, "metadata": meta}


def _removed_from_template(item: Item, obj: K8sObject) -> K8sObject:
    template = obj["spec"]["template"]["metadata"]
    removed: dict[str, t.Any] = {}
    for field, scope in (("labels", Scope.TEMPLATE_LABEL), ("annotations", Scope.TEMPLATE_ANNOTATION)):
        keys = {name: template[field][name] for name in item.names(scope)}
        if keys:
            removed[field] = keys
    return {
        "apiVersion": item.api_version,
        "kind": item.kind,
        "metadata": _named(item),
        "spec": {"template": {"metadata": removed}},
    }
