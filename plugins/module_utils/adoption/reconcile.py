# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A mesh that istioctl or the in-cluster operator of old has installed becomes Helm releases, in place."""

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
from ..reconcile.diff import diff, to_yaml
from ..reconcile.identity import Key, key, title
from ..reconcile.plan import Change
from ..releases.model import ReleasePlan
from ..releases.plan import plan_releases
from ..releases.reconcile import apply_plans, declared_releases, planned_result
from .legacy_operator import _RECORD, Installer, belongings, find_installer, remove_object, stop_operator

#: What istioctl and the operator write on everything that they install (operator/pkg/manifest/types.go).
_MANAGED = "operator.istio.io/managed=Reconcile"
_REVISION, _TAG = "istio.io/rev", "istio.io/tag"

_WORKLOADS = ("Deployment", "DaemonSet")
#: The kinds that istioctl installs, but for what may outlive it: CRDs and namespaces.
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


class AdoptionError(MeshopsError):
    """A mesh that can't be adopted as it is asked for; nothing has been changed."""


def document_of(installer: Installer, revision: str) -> dict | None:
    """The document that the mesh was made from, where the cluster has kept it.

    :param revision: of the control plane that is adopted
    :raises AdoptionError: there are several
    """
    found = [d for d in installer.documents if ((d.get("spec") or {}).get("revision") or "") == revision]
    written = [d for d in found if not d["metadata"]["name"].startswith(_RECORD)] or found
    if len(written) > 1:
        names = ", ".join(title(one) for one in written)
        raise AdoptionError(
            f"there are several IstioOperator objects: {names}. Say which of them make the mesh, with istio_operator"
            " (a list of them is merged in its order)"
        )
    if not written:
        return None
    (one,) = written
    meta = {"name": one["metadata"]["name"]}
    return {"apiVersion": one["apiVersion"], "kind": one["kind"], "metadata": meta, "spec": one.get("spec") or {}}


def leftovers(cluster: Cluster, planned: t.Collection[Key], revision: str) -> list[dict]:
    """What istioctl has installed for a revision and no release has, in the order in which it may go.

    Tags stay that point to a revision with a name: namespaces may use them.
    """
    found = [obj for kind in _KINDS for obj in cluster.list(KNOWN[kind], labels=_MANAGED)]
    chosen = []
    for obj in found:
        labels = obj["metadata"]["labels"]
        of_revision = labels.get(_REVISION, "default") == (revision or "default")
        if key(obj) not in planned and of_revision and not (revision and labels.get(_TAG)) and release_of(obj) is None:
            chosen.append(obj)
    return chosen


def reconcile_adoption(module: t.Any, cluster: Cluster, helm: Helm) -> dict[str, t.Any]:
    """Adopts a mesh, as a module's parameters describe it; gives the module's result.

    :raises MeshopsError: the mesh can't be adopted so, or does not do what it should afterwards
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
    further = declared_releases(params)
    for release in further:
        release.after = [*release.after, *istiods]
    further += [
        Release(name, "", namespace, state="absent")
        for namespace, name in filter(None, map(release_of, installer.operators))
    ]
    plans = plan_releases(cluster, helm, [*wanted.releases, *further], take_ownership=True)
    goes = _what_goes(cluster, plans, installer, wanted.revision, params["remove_workloads"])
    result = planned_result(module, plans)
    result["removed"] = [title(obj) for obj in goes]
    result["restarted"] = [name for one in result["releases"] for name in one["restarted"]]
    if document:
        result["istio_operator"] = document
    written = _write(params["document_dest"], document, module.check_mode) if document else []
    if goes or written:
        removals = diff([Change.deletion(obj) for obj in goes])
        result |= {"changed": True, "diff": [*written, *result.get("diff", []), *removals]}
    if module.check_mode:
        return result
    for operator in installer.operators:
        stop_operator(cluster, operator, params["wait_timeout"])
    apply_plans(module, cluster, helm, plans, result, take_ownership=True)
    add_proof(module, cluster, wanted, result)
    for obj in goes:
        remove_object(cluster, obj)
    return result


def _document(installer: Installer, params: t.Mapping[str, t.Any]) -> dict | None:
    """The document to take, where the parameters don't say what the mesh is: the cluster's, or the one that a run
    before this has written.

    :raises AdoptionError: nobody says where to keep it
    """
    if any(params[name] for name in ("istio_operator", "profile", "values", "mesh_config")):
        return None
    document, dest = document_of(installer, params["revision"] or ""), params["document_dest"]
    if document and not dest:
        raise AdoptionError(
            f"the mesh was made from {title(document)}, which goes with the adoption: say with document_dest where to"
            " write it, and name the file in the inventory as the control plane's istio_operator"
        )
    if document is None and dest and pathlib.Path(dest).expanduser().exists():
        return read_document(dest)
    return document


def _what_goes(
    cluster: Cluster, plans: t.Sequence[ReleasePlan], installer: Installer, revision: str, with_workloads: bool
) -> list[dict]:
    """What no release has, in the order in which it goes: what istioctl installed, operators, documents.

    :raises AdoptionError: there are workloads among it, and nobody said that they may go
    """
    planned = {key(obj) for one in plans for obj in one.objects}
    left = leftovers(cluster, planned, revision)
    workloads = [title(obj) for obj in left if obj["kind"] in _WORKLOADS]
    if workloads and not with_workloads:
        raise AdoptionError(
            f"{', '.join(workloads)}: istioctl has installed this, and no release has it. Add what is missing to the"
            " control plane or the gateways, or set remove_workloads where it isn't needed any more"
        )
    for operator in installer.operators:
        if not release_of(operator):  # else it goes as a release
            left += belongings(cluster, operator)
    return [*left, *installer.documents]


def _write(dest: str, document: dict, check_mode: bool) -> list[dict[str, str]]:
    """Writes the document that a mesh was made from; gives a diff."""
    path, text = pathlib.Path(dest).expanduser(), to_yaml(document)
    try:
        before = path.read_text() if path.exists() else ""
        if before and before != text:
            raise AdoptionError(f"{path} exists, and holds something else than the mesh's IstioOperator: move it away")
        if before != text and not check_mode:
            path.write_text(text)
    except OSError as error:
        raise AdoptionError(f"{path} can't be written: {error.strerror}") from error
    header = {"before_header": str(path), "after_header": str(path)}
    return [{**header, "before": before, "after": text}] if before != text else []
