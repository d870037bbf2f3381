# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Finds and removes Istio's own in-cluster operator, which existed until Istio 1.23."""

from __future__ import annotations

import dataclasses
import typing as t

from ..cluster.client import Cluster
from ..cluster.kinds import KNOWN, Kind
from ..cluster.poll import until
from ..errors import MeshopsError
from ..helm.ownership import release_of
from ..reconcile.identity import declared, title
from ..reconcile.types import K8sObject
from ..reconcile.yaml_text import to_yaml

_IOP_GROUP = "install.istio.io"
_FINALIZER = f"istio-finalizer.{_IOP_GROUP}"
#: The records that istioctl kept until 1.23; the operator's own documents are named by users.
RECORD = "installed-state"
#: What belongs to an operator by its name (manifests/charts/istio-operator of Istio 1.23).
_OPERATORS_OWN = (
    ("", "Service"),
    ("", "ServiceAccount"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
)
_POD_LABELS = "name=istio-operator"


@dataclasses.dataclass
class Installer:
    """What an earlier installer has left of itself in the cluster.

    :ivar operators: the Deployments of in-cluster operators, which would undo what others change
    :ivar documents: IstioOperator objects, those that users wrote before the records of istioctl
    """

    operators: list[K8sObject]
    documents: list[K8sObject]


def find_installer(cluster: Cluster) -> Installer:
    """The operators and IstioOperator objects of a cluster."""
    deployments = cluster.list(KNOWN["apps", "Deployment"])
    operators = [d for d in deployments if d["spec"]["selector"].get("matchLabels", {}).get("name") == "istio-operator"]
    kind = _document_kind(cluster)
    documents = cluster.list(kind) if kind else []
    documents.sort(key=lambda document: (is_record(document), document["metadata"]["name"]))
    return Installer(operators, documents)


def is_record(document: K8sObject) -> bool:
    """Whether istioctl wrote an IstioOperator object as its record, not a user."""
    name: str = document["metadata"]["name"]
    return name.startswith(RECORD)


def _document_kind(cluster: Cluster) -> Kind | None:
    return cluster.discover(f"{_IOP_GROUP}/v1alpha1").get("IstioOperator")


def belongings(cluster: Cluster, operator: K8sObject) -> list[K8sObject]:
    """An operator's Deployment, and the objects that belong to it by their name."""
    meta, objects = operator["metadata"], [operator]
    for kind in [KNOWN[name] for name in _OPERATORS_OWN]:
        own = cluster.get(kind, meta["name"], meta["namespace"])
        objects += [{**own, "apiVersion": kind.api_version, "kind": kind.kind}] if own else []
    return objects


def removal_diff(objects: list[K8sObject]) -> list[dict[str, str]]:
    """The diff of objects that are removed, one entry each."""
    return [
        {"before_header": title(obj), "after_header": title(obj), "before": to_yaml(declared(obj)), "after": ""}
        for obj in objects
    ]


def stop_operator(cluster: Cluster, operator: K8sObject, timeout: float) -> None:
    """Stops an operator before anything else is changed, because it would revert each change.

    :raises MeshopsError: its pods are still there when the time is over
    """
    meta = operator["metadata"]
    cluster.patch(KNOWN["apps", "Deployment"], meta["name"], {"spec": {"replicas": 0}}, meta["namespace"])
    pods = KNOWN["", "Pod"]
    if not until(lambda: not cluster.list(pods, meta["namespace"], labels=_POD_LABELS), timeout):
        left = [title({"kind": "Pod", **pod}) for pod in cluster.list(pods, meta["namespace"], labels=_POD_LABELS)]
        name = title({"kind": "Deployment", **operator})
        raise MeshopsError(
            f"{name}: timed out after {timeout:.0f} s waiting for the operator's pods to be deleted: {', '.join(left)}."
            " Nothing else was changed. Delete the pods, and run this again"
        )


def remove_object(cluster: Cluster, obj: K8sObject) -> None:
    """Deletes an object, and removes the legacy operator's finalizer from it."""
    meta = obj["metadata"]
    kind = cluster.kind(obj["apiVersion"], obj["kind"])
    finalizers = meta.get("finalizers") or []
    if _FINALIZER in finalizers:  # the operator that would answer it is gone; answering it would remove the mesh
        kept = [name for name in finalizers if name != _FINALIZER]
        cluster.patch(kind, meta["name"], {"metadata": {"finalizers": kept}}, meta.get("namespace"))
    cluster.delete(kind, meta["name"], meta.get("namespace"))


def remove_legacy_operators(module: t.Any, cluster: Cluster) -> dict[str, t.Any]:
    """Removes legacy operators and the objects that belong to them by their names; gives the module's result.

    IstioOperator objects, their CustomResourceDefinition and the mesh are retained.
    """
    operators = find_installer(cluster).operators
    removed = [obj for operator in operators for obj in belongings(cluster, operator)]
    releases = sorted({release for release in map(release_of, operators) if release})
    result: dict[str, t.Any] = {
        "changed": bool(removed),
        "removed": [title(obj) for obj in removed],
        "releases": [{"name": name, "namespace": namespace, "state": "absent"} for namespace, name in releases],
    }
    if removed and module._diff:
        result["diff"] = removal_diff(removed)
    if module.check_mode:
        return result
    for operator in operators:
        stop_operator(cluster, operator, module.params["wait_timeout"])
    for obj in removed:
        remove_object(cluster, obj)
    return result
