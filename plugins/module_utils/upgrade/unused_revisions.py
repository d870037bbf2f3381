# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Revisions beside the declared one, and who uses them."""

from __future__ import annotations

import typing as t

from ..cluster.client import Cluster
from ..cluster.kinds import KNOWN
from ..cluster.workloads import WORKLOADS
from ..helm.ownership import release_of
from ..helm.stored import stored_releases
from ..mesh_info.read import read_mesh
from ..reconcile.identity import title
from .check import _NAMESPACE

# -- afterwards ---------------------------------------------------------------


def other_revisions(cluster: Cluster, keep: str) -> dict[str, list[dict[str, t.Any]]]:
    """The other revisions, with what still uses them, the releases of those that nothing uses, and warnings.

    :param keep: the revision that was upgraded to; while it doesn't run, no other counts as unused
    """
    mesh = read_mesh(cluster, ["control_planes", "proxies", "namespaces"], lambda pem: [])
    chosen: dict[str, list[str]] = {}
    for one in mesh["namespaces"]:
        # In ambient mode ztunnel serves a namespace, whose label only says which revision its waypoints have.
        if one["mode"] == "sidecar" or one["mode"] == "ambient" and one["revision"] != "default":
            chosen.setdefault(one["revision"], []).append(f"namespace {one['name']}")
    points_at = {tag["name"]: tag["revision"] for tag in mesh["tags"]}
    for revision, workload in _choosing_workloads(cluster):
        chosen.setdefault(points_at.get(revision, revision), []).append(workload)
    found = []
    for one in mesh["control_planes"]:
        revision = one["revision"]
        if revision == keep:
            continue
        used = [f"proxy {p['namespace']}/{p['pod']}" for p in mesh["proxies"] if p["revision"] == revision]
        used += [f"tag {tag}" for tag in one["tags"]]
        used += chosen.get(revision, [])
        found.append({"revision": revision, "namespace": one["namespace"], "name": one["name"], "used_by": used})
    kept_runs = any(one["revision"] == keep for one in mesh["control_planes"])
    unused, warnings = [], []
    for one in found:
        name = one.pop("name")
        if not kept_runs or one["used_by"]:
            continue
        istiod = cluster.get(KNOWN["apps", "Deployment"], name, one["namespace"])
        release, lacks = _own_release(cluster, istiod) if istiod is not None else (None, "")
        if release is not None:
            unused.append({"name": release[1], "namespace": release[0], "state": "absent"})
        elif istiod is not None:
            warnings.append(
                f"nothing uses revision {one['revision']} any more, but it stays: {title(istiod)} {lacks}."
                f" Remove it by playbooks/purge.yml with purge_revision={one['revision']} and purge_confirm=true"
            )
    return {"revisions": found, "unused_releases": unused, "warnings": warnings}


def _own_release(cluster: Cluster, istiod: dict) -> tuple[tuple[str, str] | None, str]:
    """Namespace and name of the release that holds an istiod and nothing else; else None, and what is the matter."""
    place = release_of(istiod)
    if place is None:
        return None, "belongs to no Helm release (istioctl, for one, makes none)"
    records = stored_releases(cluster, [place]).get(place)
    if not records:
        return None, f"says that it belongs to the Helm release {place[0]}/{place[1]}, which isn't there"
    chart = records[0].chart
    if chart != "istiod":
        return None, f"belongs to the Helm release {place[0]}/{place[1]} of the chart {chart}, which holds more"
    return place, ""


def _choosing_workloads(cluster: Cluster) -> t.Iterator[tuple[str, str]]:
    """Revision or tag, and workload, where its pods choose for themselves, because their namespace doesn't.

    They need not run: a workload of no pods, or a CronJob, will ask for its revision later.
    """
    deciding = {
        one["metadata"]["name"]
        for one in cluster.list(_NAMESPACE)
        if {"istio.io/rev", "istio-injection"} & set(one["metadata"].get("labels") or {})
    }
    for group, name in (*(("apps", kind) for kind in WORKLOADS), ("batch", "CronJob")):
        for obj in cluster.list(KNOWN[group, name]):
            template = obj["spec"]["jobTemplate"]["spec"] if name == "CronJob" else obj["spec"]
            labels = (template["template"].get("metadata") or {}).get("labels") or {}
            injects = labels.get("sidecar.istio.io/inject")
            revision = labels.get("istio.io/rev") or ("default" if injects == "true" else "")
            if revision and injects != "false" and obj["metadata"]["namespace"] not in deciding:
                yield revision, f"{name} {obj['metadata']['namespace']}/{obj['metadata']['name']}"
