# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Releases that an inventory has declared once and no longer declares."""

from __future__ import annotations

import dataclasses
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError
from ..cluster.kinds import Kind
from ..errors import MeshopsError
from ..helm.releases import Release
from ..helm.stored import Stored, labelled_releases
from ..reconcile.identity import OWNER_LABEL, title
from ..reconcile.types import K8sObject
from ..reconcile.wording import listed

_SHOWN = 3

#: Gives what uses live objects that will be deleted, in words.
Users = t.Callable[[Cluster, t.Sequence[K8sObject]], list[str]]


@dataclasses.dataclass(frozen=True)
class Owner:
    """The inventory that declares releases.

    :ivar name: the value of the label on the records of its releases
    :ivar prune: uninstall what it no longer declares; else a warning names it
    """

    name: str
    prune: bool = True


@dataclasses.dataclass(frozen=True)
class Undeclared:
    """What an inventory no longer declares.

    :ivar releases: to be uninstalled
    :ivar notes: what is retained or could not be seen
    """

    releases: list[Release] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)


def undeclared(cluster: Cluster, declared: t.Sequence[Release], owner: Owner | None) -> Undeclared:
    """The releases that carry an inventory's label and that it does not declare."""
    if owner is None or not owner.name:
        return Undeclared()
    notes: list[str] = []
    try:
        secrets = labelled_releases(cluster, OWNER_LABEL, owner.name)
    except ApiError as error:
        if error.status != 403:
            raise
        namespaces = sorted({release.namespace for release in declared})
        secrets = [s for n in namespaces for s in labelled_releases(cluster, OWNER_LABEL, owner.name, n)]
        notes.append(
            "Releases that are no longer declared were looked for only in the namespaces of declared ones: listing"
            " Secrets in the cluster is Forbidden"
        )
    known = {release.id for release in declared}
    found = sorted({_id(secret) for secret in secrets} - known)
    if not owner.prune:
        notes += [f"Release {'/'.join(id_)} is no longer declared, and is retained" for id_ in found]
        return Undeclared([], notes)
    return Undeclared([Release(name, "", namespace, state="absent") for namespace, name in found], notes)


def _id(secret: K8sObject) -> tuple[str, str]:
    meta = secret["metadata"]
    return meta["namespace"], meta["labels"].get("name", "")


def check_unused(record: Stored, users: t.Sequence[str]) -> None:
    """Checks that what a release that is no longer declared would take with it has no users.

    :param users: see C(users_of)
    :raises MeshopsError: it has
    """
    if users:
        raise MeshopsError(
            f"Refusing to uninstall release {record.namespace}/{record.name}, which is no longer declared: it is in use"
            f" by {listed(users, _SHOWN)}. Remove them, declare the release again (with state absent to uninstall it"
            " all the same), or set prune to false to retain it. If another inventory declares it, give each inventory"
            " an owner of its own"
        )


def users_of(cluster: Cluster, deleted: t.Sequence[K8sObject], further: Users | None = None) -> list[str]:
    """What uses live objects that will be deleted: objects of the kinds they define, and what is in their namespaces.

    :param further: finds what else uses them
    """
    names = {title(obj) for obj in deleted}
    users = [title(user) for obj in deleted for user in _users(cluster, obj)]
    users += further(cluster, deleted) if further else []
    return [user for user in users if user not in names]


def _users(cluster: Cluster, obj: K8sObject) -> list[K8sObject]:
    if obj["kind"] == "CustomResourceDefinition":
        spec = obj["spec"]
        version = next((v["name"] for v in spec["versions"] if v.get("served")), None)
        if version is None:
            return []
        names = spec["names"]
        kind = Kind(spec["group"], version, names["kind"], names["plural"], spec["scope"] == "Namespaced")
        return cluster.list(kind)
    if obj["kind"] == "Namespace" and obj["apiVersion"] == "v1":
        return [o for kind in _WORKLOADS for o in cluster.list(kind, obj["metadata"]["name"])]
    return []


_WORKLOADS = (
    Kind("apps", "v1", "Deployment", "deployments", namespaced=True),
    Kind("apps", "v1", "DaemonSet", "daemonsets", namespaced=True),
    Kind("apps", "v1", "StatefulSet", "statefulsets", namespaced=True),
    Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", namespaced=True),
)
