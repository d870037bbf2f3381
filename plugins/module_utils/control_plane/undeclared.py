# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Parts of a control plane that this collection has installed and that the inventory no longer declares.

Only releases that carry our mark count, and only those of the very revision that is declared: what belongs to another
revision is another inventory's.
"""

from __future__ import annotations

import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError
from ..cluster.kinds import KNOWN
from ..errors import MeshopsError
from ..helm.helm import RELEASE_LABEL
from ..helm.ownership import release_of
from ..helm.releases import Release
from ..helm.stored import Stored, stored_releases
from ..mesh.pods import in_ambient, is_live, labels_of
from ..mesh.profiles import RELEASE_NAMES, tag_release_name
from ..reconcile.identity import title
from ..reconcile.types import K8sObject
from ..reconcile.wording import listed
from .declared import ControlPlane

_INJECTORS = KNOWN["admissionregistration.k8s.io", "MutatingWebhookConfiguration"]
_NAMESPACE, _POD = KNOWN["", "Namespace"], KNOWN["", "Pod"]
_WORKLOADS = [KNOWN["apps", kind] for kind in ("Deployment", "StatefulSet", "DaemonSet")]
_SHOWN = 5


def add_removals(cluster: Cluster, wanted: ControlPlane, *, remove: bool) -> None:
    """Adds the releases that are no longer declared to a control plane, to be uninstalled.

    :param remove: False retains them, with a warning
    :raises MeshopsError: one is still in use; the text says by whom
    """
    _add_tags(cluster, wanted, remove=remove)
    _add_node_components(cluster, wanted, remove=remove)


# -- tags ---------------------------------------------------------------------


def _add_tags(cluster: Cluster, wanted: ControlPlane, *, remove: bool) -> None:
    if wanted.held_tags or not any(release.chart == "istiod" for release in wanted.releases):
        return
    revision = wanted.revision or "default"
    for injector in cluster.list(_INJECTORS, labels=f"istio.io/tag,istio.io/rev={revision}"):
        tag = labels_of(injector)["istio.io/tag"]
        release = (wanted.namespace, tag_release_name(tag))
        if tag in wanted.tags or release_of(injector) != release or _mark(cluster, *release) is None:
            continue
        if not remove:
            wanted.warnings.append(f"Tag {tag} is no longer declared, and is retained (release {'/'.join(release)})")
            continue
        users = _users_of_tag(cluster, tag)
        if users:
            raise MeshopsError(
                f"Refusing to remove the tag {tag}, which is no longer declared: it is in use by"
                f" {listed(users, _SHOWN)}. Label them with another revision, declare the tag again (tags), or set"
                " remove_undeclared to false"
            )
        wanted.releases.append(Release(release[1], "istiod", wanted.namespace, state="absent"))


def _users_of_tag(cluster: Cluster, tag: str) -> list[str]:
    """Namespaces and workloads that choose a tag."""
    users = [title(found) for found in cluster.list(_NAMESPACE) if _chooses(labels_of(found), tag)]
    for kind in _WORKLOADS:
        for workload in cluster.list(kind):
            template = (workload.get("spec") or {}).get("template") or {}
            if (template.get("metadata", {}).get("labels") or {}).get("istio.io/rev") == tag:
                users.append(title(workload))
    return users


def _chooses(labels: t.Mapping[str, str], tag: str) -> bool:
    injection = labels.get("istio-injection")
    if injection:
        return tag == "default" and injection == "enabled"
    return labels.get("istio.io/rev") == tag


# -- the CNI plugin and ztunnel ------------------------------------------------


def _add_node_components(cluster: Cluster, wanted: ControlPlane, *, remove: bool) -> None:
    installed = {release.chart for release in wanted.releases if release.state == "present"}
    explicit = {release.chart: release for release in wanted.releases if release.state == "absent"}
    if "istiod" not in installed:
        return
    missing = [chart for chart in ("ztunnel", "cni") if chart not in installed]
    releases = {chart: _node_release(cluster, wanted, chart) for chart in missing}
    present = {chart: release for chart, release in releases.items() if release is not None}
    if not present:
        return
    pods = [pod for pod in cluster.list(_POD) if is_live(pod)]
    for chart, release in present.items():
        where = f"{release.namespace}/{release.name}"
        if not remove and chart not in explicit:
            wanted.warnings.append(f"Release {where} (chart {chart}) is no longer declared, and is retained")
            continue
        ambient = _ambient_users(cluster, pods)
        if ambient:
            raise MeshopsError(
                f"Refusing to remove release {where}, which is no longer declared: the ambient mesh needs it, with"
                f" {listed(ambient, _SHOWN)}. Take them out of the ambient mesh, declare the component again, or set"
                " remove_undeclared to false"
            )
        dependents = [title(pod) for pod in pods if _made_for_cni(pod)] if chart == "cni" else []
        if dependents:
            wanted.releases = [one for one in wanted.releases if one is not explicit.get(chart)]
            wanted.warnings.append(
                f"Release {where} is retained for now: pods that were made for the CNI plugin are still running:"
                f" {listed(dependents, _SHOWN)}. Restart their workloads (the role injection, with injection_restart"
                " all), then run this again"
            )
        elif chart not in explicit:
            wanted.releases.append(release)


def _node_release(cluster: Cluster, wanted: ControlPlane, chart: str) -> Release | None:
    """The release of cni or ztunnel of this revision that we have installed, to be uninstalled."""
    for namespace in dict.fromkeys((wanted.namespace, "kube-system")):
        try:
            record = _mark(cluster, namespace, RELEASE_NAMES[chart])
        except ApiError as error:
            if error.status != 403 or namespace == wanted.namespace:
                raise
            continue  # who may not read Helm's records there has installed nothing there
        if record is not None and (record.values.get("revision") or "") == wanted.revision:
            return Release(RELEASE_NAMES[chart], chart, namespace, state="absent")
    return None


def _mark(cluster: Cluster, namespace: str, name: str) -> Stored | None:
    """The newest record of a release, where this collection has installed it."""
    records = stored_releases(cluster, [(namespace, name)]).get((namespace, name)) or []
    return records[0] if records and RELEASE_LABEL in records[0].labels else None


def _ambient_users(cluster: Cluster, pods: t.Sequence[K8sObject]) -> list[str]:
    namespaces = cluster.list(_NAMESPACE, labels="istio.io/dataplane-mode=ambient")
    return [title(namespace) for namespace in namespaces] + [title(pod) for pod in pods if in_ambient(pod)]


def _made_for_cni(pod: K8sObject) -> bool:
    """Whether a pod's traffic is redirected by the CNI plugin: it has istio-validation in place of istio-init."""
    return any(c["name"] == "istio-validation" for c in (pod.get("spec") or {}).get("initContainers") or ())
