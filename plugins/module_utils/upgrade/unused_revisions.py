# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The other revisions beside the declared one: who uses them, and which of them an upgrade may remove."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError
from ..cluster.kinds import KNOWN
from ..cluster.poll import until
from ..cluster.workloads import WORKLOADS
from ..errors import MeshopsError
from ..helm.helm import RELEASE_LABEL
from ..helm.ownership import release_of
from ..helm.stored import stored_releases
from ..mesh.pods import environment, is_ready, proxy_container, revision_of_istiod
from ..mesh_info.read import ControlPlane, Mesh, read_mesh, version_numbers
from ..reconcile.identity import title
from ..reconcile.types import K8sObject
from ..reconcile.wording import listed

_NAMESPACE = KNOWN["", "Namespace"]
#: Seconds in which the connection of a deleted pod ends.
_PATIENCE = 15.0
_ZTUNNEL_ADDRESSES = ("XDS_ADDRESS", "CA_ADDRESS")


@dataclasses.dataclass(frozen=True)
class Upgraded:
    """What an upgrade went to.

    :ivar revision: while it doesn't run, no other revision counts as unused
    :ivar rollback: an older version was meant, so that newer revisions are those that the upgrade came from
    """

    revision: str
    rollback: bool = False


class Revision(t.TypedDict):
    """Another revision, as the module returns it."""

    revision: str
    namespace: str
    used_by: list[str]


class UnusedRelease(t.TypedDict):
    """A release to remove, as the module C(releases) takes it."""

    name: str
    namespace: str
    state: str


class Others(t.TypedDict):
    """The other revisions, the releases of those that may be removed, and warnings about those that are retained."""

    revisions: list[Revision]
    unused_releases: list[UnusedRelease]
    warnings: list[str]


def other_revisions(cluster: Cluster, upgraded: Upgraded) -> Others:
    """The other revisions with what still uses them.

    Only what the upgrade came from may be removed: an older control plane (on a rollback a newer one) in the namespace
    of the one that was upgraded to, without any client, whose release this collection installed.
    """
    mesh = read_mesh(cluster, ["control_planes", "proxies", "namespaces"])
    kept = next((istiod for istiod in mesh["control_planes"] if istiod["revision"] == upgraded.revision), None)
    others: Others = {"revisions": [], "unused_releases": [], "warnings": []}
    users = _users(cluster, mesh)
    for istiod in mesh["control_planes"]:
        if istiod["revision"] == upgraded.revision:
            continue
        used = [*users.get(istiod["revision"], []), *_machines(cluster, istiod), *_ztunnels(cluster, istiod)]
        removable = kept is not None and not used and _came_from(istiod, kept, rollback=upgraded.rollback)
        clients, gap = _lasting_clients(cluster, istiod, mesh, patience=_PATIENCE if removable else 0)
        used += clients
        others["revisions"].append({"revision": istiod["revision"], "namespace": istiod["namespace"], "used_by": used})
        if used or not removable:
            continue
        deployment = cluster.get(KNOWN["apps", "Deployment"], istiod["name"], istiod["namespace"])
        if deployment is None:
            continue
        release, why = _own_release(cluster, deployment)
        why = why or gap or _remote_clusters(cluster, istiod["namespace"])
        if release is not None and not why:
            others["unused_releases"].append({"name": release[1], "namespace": release[0], "state": "absent"})
        else:
            others["warnings"].append(
                f"revision {istiod['revision']} is unused in this cluster, and is retained: {title(deployment)} {why}."
                f" Remove it by playbooks/purge.yml with purge_revision={istiod['revision']} and purge_confirm=true"
            )
    return others


def _came_from(istiod: ControlPlane, kept: ControlPlane, *, rollback: bool) -> bool:
    """Whether an upgrade to one control plane may have come from another one; a canary for later is newer."""
    old, new = version_numbers(istiod["version"]), version_numbers(kept["version"])
    if istiod["namespace"] != kept["namespace"] or old is None or new is None:
        return False
    return old >= new if rollback else old <= new


# -- who uses a revision ------------------------------------------------------


def _users(cluster: Cluster, mesh: Mesh) -> dict[str, list[str]]:
    """Revision -> the proxies, tags, namespaces and workloads of this cluster that use it."""
    users: dict[str, list[str]] = {}
    for proxy in mesh["proxies"]:
        users.setdefault(proxy["revision"], []).append(f"proxy {proxy['namespace']}/{proxy['pod']}")
    for istiod in mesh["control_planes"]:
        users.setdefault(istiod["revision"], []).extend(f"tag {tag}" for tag in istiod["tags"])
    for namespace in mesh["namespaces"]:
        # In ambient mode ztunnel serves a namespace, whose label only selects the revision of its waypoints.
        if namespace["mode"] == "sidecar" or (namespace["mode"] == "ambient" and namespace["revision"] != "default"):
            users.setdefault(namespace["revision"], []).append(f"namespace {namespace['name']}")
    points_at = {tag["name"]: tag["revision"] for tag in mesh["tags"]}
    for revision, workload in _choosing_workloads(cluster):
        users.setdefault(points_at.get(revision, revision), []).append(workload)
    return users


def _lasting_clients(cluster: Cluster, istiod: ControlPlane, mesh: Mesh, *, patience: float) -> tuple[list[str], str]:
    """The clients of an istiod after a while: those of pods that were just deleted may still be connected."""
    answers: list[tuple[list[str], str]] = []

    def gone() -> bool:
        answers.append(_clients(cluster, istiod, mesh))
        clients, gap = answers[-1]
        return not clients or bool(gap)

    until(gone, patience, pause=1, longest_pause=1)
    return answers[-1]


def _clients(cluster: Cluster, istiod: ControlPlane, mesh: Mesh) -> tuple[list[str], str]:
    """The clients of an istiod that this cluster's pods don't show: of other clusters, or on machines.

    :returns: them, and why istiod can't be asked, where it can't
    """
    local = {f"{proxy['pod']}.{proxy['namespace']}" for proxy in mesh["proxies"]}
    clients: set[str] = set()
    for pod in cluster.list(KNOWN["", "Pod"], istiod["namespace"], labels="app=istiod"):
        if not is_ready(pod) or revision_of_istiod(pod) != istiod["revision"]:
            continue
        name = pod["metadata"]["name"]
        command = ["pilot-discovery", "request", "GET", "/debug/syncz"]
        try:
            answer = json.loads(cluster.execute(istiod["namespace"], name, command, "discovery"))
            clients |= {each["proxy"] for each in answer if each.get("proxy")}
        except (ApiError, MeshopsError) as error:
            return [], f"doesn't report its clients: {error}"
        except (ValueError, TypeError):
            return [], "doesn't report its clients: /debug/syncz of its pod gives no list (ENABLE_DEBUG_ON_HTTP)"
    return [f"client {client} outside this cluster's pods" for client in sorted(clients - local)], ""


def _machines(cluster: Cluster, istiod: ControlPlane) -> list[str]:
    """The WorkloadEntries of machines that registered with an istiod."""
    kind = cluster.served(KNOWN["networking.istio.io", "WorkloadEntry"])
    entries = cluster.list(kind) if kind else []
    return [
        f"WorkloadEntry {entry['metadata']['namespace']}/{entry['metadata']['name']}"
        for entry in entries
        if (entry["metadata"].get("annotations") or {})
        .get("istio.io/workloadController", "")
        .rpartition("-")[0]
        .rpartition("-")[0]
        == istiod["name"]
    ]


def _ztunnels(cluster: Cluster, istiod: ControlPlane) -> list[str]:
    """The ztunnels that connect to the Service of a named revision, C(istiod-REVISION)."""
    service = f"istiod-{istiod['revision']}.{istiod['namespace']}."
    found = []
    for daemon_set in cluster.list(KNOWN["apps", "DaemonSet"], labels="app=ztunnel"):
        env = environment(proxy_container(daemon_set["spec"]["template"]))
        hosts = [env.get(name, "").rpartition("://")[2] for name in _ZTUNNEL_ADDRESSES]
        if any(host.startswith(service) for host in hosts):
            found.append(title({"kind": "DaemonSet", **daemon_set}))
    return found


def _remote_clusters(cluster: Cluster, namespace: str) -> str:
    """Why a control plane may be that of other clusters; empty where it isn't."""
    secrets = cluster.list(KNOWN["", "Secret"], namespace, labels="istio/multiCluster=true")
    names = [secret["metadata"]["name"] for secret in secrets]
    if not names:
        return ""
    return f"may serve other clusters, whose namespaces are not seen here (remote secrets {listed(names, 3)})"


def _own_release(cluster: Cluster, istiod: K8sObject) -> tuple[tuple[str, str] | None, str]:
    """Namespace and name of the release that has an istiod and nothing else; else None, and why."""
    place = release_of(istiod)
    if place is None:
        return None, "belongs to no Helm release (istioctl, for one, makes none)"
    records = stored_releases(cluster, [place]).get(place)
    if not records:
        return None, f"names the Helm release {place[0]}/{place[1]}, which doesn't exist"
    record = records[0]
    if record.chart != "istiod":
        return None, f"belongs to the Helm release {place[0]}/{place[1]} of the chart {record.chart}, which has more"
    if RELEASE_LABEL not in record.labels:
        return None, f"belongs to the Helm release {place[0]}/{place[1]}, which this collection didn't install"
    return place, ""


def _choosing_workloads(cluster: Cluster) -> t.Iterator[tuple[str, str]]:
    """Revision or tag, and workload, where its pods choose for themselves, because their namespace doesn't.

    They need not run: a workload without pods, or a CronJob, will get its revision later.
    """
    deciding = {
        namespace["metadata"]["name"]
        for namespace in cluster.list(_NAMESPACE)
        if {"istio.io/rev", "istio-injection"} & set(namespace["metadata"].get("labels") or {})
    }
    for group, name in (*(("apps", kind) for kind in WORKLOADS), ("batch", "CronJob")):
        for obj in cluster.list(KNOWN[group, name]):
            template = obj["spec"]["jobTemplate"]["spec"] if name == "CronJob" else obj["spec"]
            labels = (template["template"].get("metadata") or {}).get("labels") or {}
            injects = labels.get("sidecar.istio.io/inject")
            revision = labels.get("istio.io/rev") or ("default" if injects == "true" else "")
            if revision and injects != "false" and obj["metadata"]["namespace"] not in deciding:
                yield revision, f"{name} {obj['metadata']['namespace']}/{obj['metadata']['name']}"
