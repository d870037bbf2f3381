# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Finds the in-cluster operator of older Istio releases, and what is its own."""

from __future__ import annotations

import dataclasses

from ..cluster.client import Cluster
from ..cluster.kinds import KNOWN, Kind
from ..cluster.wait import wait_gone

_IOP_GROUP = "install.istio.io"
_FINALIZER = f"istio-finalizer.{_IOP_GROUP}"
#: The records that istioctl kept until 1.23; the operator's own documents are named by users.
_RECORD = "installed-state"
#: What belongs to an operator by its name (manifests/charts/istio-operator of Istio 1.23).
_OPERATORS_OWN = (
    ("", "Service"),
    ("", "ServiceAccount"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
)


@dataclasses.dataclass
class Installer:
    """What an earlier installer has left of itself in the cluster.

    :ivar operators: the Deployments of in-cluster operators, which would undo what others change
    :ivar documents: IstioOperator objects, those that users wrote before the records of istioctl
    """

    operators: list[dict]
    documents: list[dict]


def find_installer(cluster: Cluster) -> Installer:
    """What there is of operators and IstioOperator objects."""
    deployments = cluster.list(KNOWN["apps", "Deployment"])
    operators = [d for d in deployments if d["spec"]["selector"].get("matchLabels", {}).get("name") == "istio-operator"]
    kind = _document_kind(cluster)
    documents = cluster.list(kind) if kind else []
    documents.sort(key=lambda one: (one["metadata"]["name"].startswith(_RECORD), one["metadata"]["name"]))
    return Installer(operators, documents)


def _document_kind(cluster: Cluster) -> Kind | None:
    return cluster.discover(f"{_IOP_GROUP}/v1alpha1").get("IstioOperator")


def belongings(cluster: Cluster, operator: dict) -> list[dict]:
    """An operator's Deployment, and what belongs to it by its name."""
    meta, found = operator["metadata"], [operator]
    for kind in [KNOWN[name] for name in _OPERATORS_OWN]:
        own = cluster.get(kind, meta["name"], meta["namespace"])
        found += [{**own, "apiVersion": kind.api_version, "kind": kind.kind}] if own else []
    return found


def stop_operator(cluster: Cluster, operator: dict, timeout: float) -> None:
    """Ends an operator before anything else is done: it would put back whatever is changed."""
    meta = operator["metadata"]
    cluster.patch(KNOWN["apps", "Deployment"], meta["name"], {"spec": {"replicas": 0}}, meta["namespace"])
    pods = cluster.list(KNOWN["", "Pod"], meta["namespace"], labels="name=istio-operator")
    wait_gone(cluster, pods, timeout)


def remove_object(cluster: Cluster, obj: dict) -> None:
    """Deletes an object, and answers the finalizer of the operator of old."""
    meta = obj["metadata"]
    kind = cluster.kind(obj["apiVersion"], obj["kind"])
    finalizers = meta.get("finalizers") or []
    if _FINALIZER in finalizers:  # the operator that would answer it is gone; answering it would take the mesh away
        kept = [name for name in finalizers if name != _FINALIZER]
        cluster.patch(kind, meta["name"], {"metadata": {"finalizers": kept}}, meta.get("namespace"))
    cluster.delete(kind, meta["name"], meta.get("namespace"))
