# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Converts a mesh that istioctl or the legacy in-cluster operator installed to Helm releases, in place."""

from __future__ import annotations

import pathlib
import typing as t

from ..cluster.client import Cluster
from ..cluster.kinds import KNOWN
from ..control_plane.checks import check_kubernetes, check_platform
from ..control_plane.declared import desired_control_plane
from ..control_plane.reconcile import add_proof
from ..errors import MeshopsError
from ..helm.helm import Helm
from ..helm.ownership import release_of
from ..helm.releases import Release
from ..istio_operator.translate import read_document
from ..reconcile.identity import Key, key, title
from ..reconcile.types import K8sObject
from ..reconcile.yaml_text import to_yaml
from ..releases.model import ReleasePlan
from ..releases.plan import PlanOptions, plan_releases
from ..releases.reconcile import apply_plans, declared_releases, planned_result
from .legacy_operator import (
    Installer,
    belongings,
    find_installer,
    is_record,
    removal_diff,
    remove_object,
    stop_operator,
)

#: What istioctl and the operator write on everything that they install (operator/pkg/manifest/types.go).
_MANAGED = "operator.istio.io/managed=Reconcile"
_REVISION, _TAG = "istio.io/rev", "istio.io/tag"

_WORKLOADS = ("Deployment", "DaemonSet")
#: The kinds that istioctl installs, without those that are retained: CRDs and namespaces.
_KINDS = (
    ("apps", "Deployment"),
    ("apps", "DaemonSet"),
    ("autoscaling", "HorizontalPodAutoscaler"),
    ("policy", "PodDisruptionBudget"),
    ("networking.k8s.io", "NetworkPolicy"),
    ("", "Service"),
    ("", "ServiceAccount"),
    ("", "ConfigMap"),
    ("rbac.authorization.k8s.io", "RoleBinding"),
    ("rbac.authorization.k8s.io", "Role"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
)


def document_of(installer: Installer, revision: str) -> K8sObject | None:
    """The IstioOperator document that the mesh was installed from, where the cluster has kept it.

    :param revision: of the control plane that is adopted
    :raises MeshopsError: there are several
    """
    documents = [d for d in installer.documents if ((d.get("spec") or {}).get("revision") or "") == revision]
    written = [document for document in documents if not is_record(document)] or documents
    if len(written) > 1:
        names = ", ".join(title(document) for document in written)
        raise MeshopsError(
            f"there are several IstioOperator objects: {names}. Set istio_operator to the one that describes the mesh"
            " (a list of documents is merged in its order)"
        )
    if not written:
        return None
    (document,) = written
    meta = {"name": document["metadata"]["name"]}
    spec = document.get("spec") or {}
    return {"apiVersion": document["apiVersion"], "kind": document["kind"], "metadata": meta, "spec": spec}


def leftovers(cluster: Cluster, planned: t.Collection[Key], revision: str) -> list[K8sObject]:
    """The objects that istioctl installed for a revision and that no release has, in the order of their removal.

    Tags of a named revision are retained: namespaces may use them.
    """
    chosen = []
    for obj in [obj for kind in _KINDS for obj in cluster.list(KNOWN[kind], labels=_MANAGED)]:
        labels = obj["metadata"]["labels"]
        of_revision = labels.get(_REVISION, "default") == (revision or "default")
        if key(obj) not in planned and of_revision and not (revision and labels.get(_TAG)) and release_of(obj) is None:
            chosen.append(obj)
    return chosen


def reconcile_adoption(module: t.Any, cluster: Cluster, helm: Helm) -> dict[str, t.Any]:
    """Adopts a mesh as a module's parameters describe it; gives the module's result.

    :raises MeshopsError: the mesh can't be adopted so, or the control plane fails its checks afterwards
    """
    params = module.params
    installer = find_installer(cluster)
    document = _document(installer, params)
    of_document = {"istio_operator": document, "revision": None} if document else {}
    wanted = desired_control_plane({**params, **of_document}, helm.app_version)
    for line in wanted.warnings:
        module.warn(line)
    for release in wanted.releases[:1]:
        check_kubernetes(cluster.server_version(), helm.app_version(release))
    check_platform(cluster.versions, wanted.releases)
    istiods = [r.name for r in wanted.releases if r.chart == "istiod" and not r.labels]
    further = declared_releases(params, [release.name for release in wanted.releases])
    for release in further:
        release.after = [*release.after, *istiods]
    further += [
        Release(name, "", namespace, state="absent")
        for namespace, name in filter(None, map(release_of, installer.operators))
    ]
    options = PlanOptions(take_ownership=True, timeout=params["wait_timeout"])
    plans = plan_releases(cluster, helm, [*wanted.releases, *further], options)
    removed = _removals(cluster, plans, installer, wanted.revision, remove_workloads=params["remove_workloads"])
    result = planned_result(module, cluster, plans)
    result["removed"] = [title(obj) for obj in removed]
    result["restarted"] = [name for release in result["releases"] for name in release["restarted"]]
    if document:
        result["istio_operator"] = document
    written = _write(params["document_dest"], document, check_mode=module.check_mode) if document else []
    if removed or written:
        result |= {"changed": True, "diff": [*written, *result.get("diff", []), *removal_diff(removed)]}
    if module.check_mode:
        return result
    for operator in installer.operators:
        stop_operator(cluster, operator, params["wait_timeout"])
    apply_plans(module, cluster, helm, plans, result, options)
    add_proof(module, cluster, wanted, result)
    for obj in removed:
        remove_object(cluster, obj)
    return result


def _document(installer: Installer, params: t.Mapping[str, t.Any]) -> K8sObject | None:
    """The document to use where the parameters don't declare the mesh: the cluster's, or the one that an earlier run
    wrote.

    :raises MeshopsError: C(document_dest) is missing
    """
    if any(params[name] for name in ("istio_operator", "profile", "values", "mesh_config")):
        return None
    document, dest = document_of(installer, params["revision"] or ""), params["document_dest"]
    if document and not dest:
        raise MeshopsError(
            f"the mesh was installed from {title(document)}, which the adoption removes. Set document_dest to the file"
            " to write it to, and name that file in the inventory as the control plane's istio_operator"
        )
    if document is None and dest and pathlib.Path(dest).expanduser().exists():
        return read_document(dest)
    return document


def _removals(
    cluster: Cluster, plans: t.Sequence[ReleasePlan], installer: Installer, revision: str, *, remove_workloads: bool
) -> list[K8sObject]:
    """The objects that no release has, in the order of their removal: istioctl's, operators, documents.

    :raises MeshopsError: there are workloads among them, and C(remove_workloads) isn't set
    """
    planned = {key(obj) for plan in plans for obj in plan.objects}
    removed = leftovers(cluster, planned, revision)
    workloads = [title(obj) for obj in removed if obj["kind"] in _WORKLOADS]
    if workloads and not remove_workloads:
        raise MeshopsError(
            f"{', '.join(workloads)}: istioctl installed this, and no declared release has it. Add it to the control"
            " plane or the gateways, or set remove_workloads if it isn't needed any more"
        )
    for operator in installer.operators:
        if not release_of(operator):  # else it is removed as a release
            removed += belongings(cluster, operator)
    return [*removed, *installer.documents]


def _write(dest: str, document: K8sObject, *, check_mode: bool) -> list[dict[str, str]]:
    """Writes the document that a mesh was installed from; gives a diff.

    :raises MeshopsError: the file can't be written, or exists with another content
    """
    path, text = pathlib.Path(dest).expanduser(), to_yaml(document)
    try:
        before = path.read_text() if path.exists() else ""
        if before and before != text:
            raise MeshopsError(
                f"document_dest {path} exists, and its content is not the mesh's IstioOperator document. Move it away"
            )
        if before != text and not check_mode:
            path.write_text(text)
    except OSError as error:
        raise MeshopsError(f"document_dest {path} can't be written: {error.strerror}") from error
    header = {"before_header": str(path), "after_header": str(path)}
    return [{**header, "before": before, "after": text}] if before != text else []
