# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Upgrades of a mesh: whether one may begin, its data plane, and revisions that nothing uses any more."""

from __future__ import annotations

import dataclasses
import re
import time
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError, ClusterError
from ..cluster.kinds import KNOWN
from ..cluster.workloads import WORKLOADS, restart
from ..helm.stored import stored_releases
from ..reconcile.identity import title
from ..reconcile.plan import Change
from ..reconcile.readiness import unready
from ..reconcile.selectors import matches
from . import mesh_config
from .injection import keeps_pods, not_restarted, stale_reason, workloads
from .mesh_info import read_mesh
from .release_takeover import release_of
from .upgrade_findings import (
    deprecated_fields,
    envoy_filter_findings,
    lone_workloads,
    removed_kinds,
    schema_problems,
    storage_problems,
)

_NAMESPACE = KNOWN["", "Namespace"]
_DEFINITIONS = KNOWN["apiextensions.k8s.io", "CustomResourceDefinition"]
_WEBHOOKS = KNOWN["admissionregistration.k8s.io", "MutatingWebhookConfiguration"]
#: How many minor versions a control plane may be newer than the one before it: in place, and beside it
#: (https://istio.io/latest/docs/setup/upgrade/).
_STEPS = {True: 1, False: 2}


class UpgradeError(ClusterError):
    """An upgrade that may not begin or that doesn't get on; the text says why.

    :ivar result: what the module returns beside the message
    """

    def __init__(self, message: str, result: dict | None = None) -> None:
        super().__init__(message)
        self.result = result or {}


# -- before -------------------------------------------------------------------


def check(
    cluster: Cluster, revision: str, version: str, rollback: bool, definitions: t.Sequence[dict] = ()
) -> dict[str, t.Any]:
    """Whether an upgrade may begin; gives the control planes that run, and what to look after.

    :param revision: the revision to upgrade to; empty where it has none
    :param version: the version of Istio to upgrade to
    :param rollback: an older version is meant
    :param definitions: the CustomResourceDefinitions of that version
    :raises UpgradeError: it may not; the text names every reason
    """
    mesh = read_mesh(cluster, ["control_planes", "proxies"], lambda pem: [])
    wanted = revision or "default"
    problems = skew_problems(mesh["control_planes"], mesh["proxies"], wanted, version, rollback)
    problems += overlap_problems(cluster.list(_NAMESPACE), cluster.list(_WEBHOOKS, labels="istio.io/rev"))
    refused, warnings = _configuration_findings(cluster, mesh, version, definitions)
    if rollback:  # what an older version doesn't know may be lost, and going back must be possible all the same
        warnings = refused + warnings
    else:
        problems += refused
    if problems:
        raise UpgradeError(
            "the upgrade can't begin:\n  " + "\n  ".join(problems), {"problems": problems, "warnings": warnings}
        )
    return {"changed": False, "version": version, "control_planes": mesh["control_planes"], "warnings": warnings}


def _configuration_findings(
    cluster: Cluster, mesh: t.Mapping[str, t.Any], version: str, definitions: t.Sequence[dict]
) -> tuple[list[str], list[str]]:
    """What of the mesh's configuration the new version refuses, and what to look after."""
    objects = istio_objects(cluster)
    live = [one for one in cluster.list(_DEFINITIONS) if one["spec"]["group"].endswith("istio.io")]
    refused = storage_problems(live, definitions) + schema_problems(objects, definitions)
    warnings = removed_kinds(live)
    for one in mesh["control_planes"]:
        name = "istio" if one["revision"] == "default" else f"istio-{one['revision']}"
        config_map = cluster.get(KNOWN["", "ConfigMap"], name, one["namespace"])
        if config_map is not None:
            about = f"mesh configuration in ConfigMap {one['namespace']}/{name}"
            warnings += deprecated_fields("MeshConfig", mesh_config.running(config_map), about)
    versions = {proxy["version"] for proxy in mesh["proxies"] if proxy["version"]}
    for obj in objects:
        if obj["kind"] == "EnvoyFilter":
            warnings += envoy_filter_findings(obj, versions, version)
        if obj["apiVersion"].startswith("networking.istio.io/"):
            warnings += deprecated_fields(obj["kind"], obj.get("spec"), title(obj))
    lone = lone_workloads(_with_proxies(cluster, mesh["proxies"]))
    if lone:
        more = f" and {len(lone) - 5} more" if len(lone) > 5 else ""
        warnings.append(
            f"requests may be lost when these are restarted: {', '.join(lone[:5])}{more}. Give them a second pod, or a"
            " preStop hook that waits"
        )
    return refused, warnings


def istio_objects(cluster: Cluster) -> list[dict]:
    """Every object of Istio's own kinds, in a version that the server serves."""
    kinds = [cluster.served(kind) for (group, _name), kind in KNOWN.items() if group.endswith("istio.io")]
    return [obj for kind in kinds if kind is not None for obj in cluster.list(kind)]


def _with_proxies(cluster: Cluster, proxies: t.Iterable[dict]) -> list[dict]:
    """The Deployments and StatefulSets that proxies belong to, told from the names of their pods."""
    pods = {(proxy["namespace"], proxy["pod"]) for proxy in proxies}
    found = [o for name in ("Deployment", "StatefulSet") for o in cluster.list(KNOWN["apps", name])]
    return [
        obj
        for obj in found
        if any(
            namespace == obj["metadata"]["namespace"] and pod.startswith(f"{obj['metadata']['name']}-")
            for namespace, pod in pods
        )
    ]


def check_validation(cluster: Cluster, revision: str) -> dict[str, t.Any]:
    """Whether the validation of a revision that runs already takes all of Istio's objects.

    :raises UpgradeError: it doesn't; the text names every object
    """
    problems = refused_by_istiod(cluster, revision or "default")
    if problems:
        raise UpgradeError(
            f"istiod of revision {revision or 'default'} refuses what the mesh has:\n  " + "\n  ".join(problems),
            {"problems": problems},
        )
    return {"changed": False}


def refused_by_istiod(cluster: Cluster, revision: str) -> list[str]:
    """What of Istio's objects the validation of a revision that runs already refuses.

    Each object is written in a dry run, with the label that makes it the revision's to validate.
    """
    found = []
    for obj in istio_objects(cluster):
        meta, kind = obj["metadata"], cluster.kind(obj["apiVersion"], obj["kind"])
        patch = {"metadata": {"labels": {"istio.io/rev": revision}}}
        path = kind.path(meta["namespace"], meta["name"])
        try:
            cluster.request("PATCH", path, {"dryRun": "All"}, patch, "application/merge-patch+json")
        except ApiError as error:
            if error.status != 404:
                found.append(f"{title(obj)}: {error}")
    return found


def skew_problems(
    control_planes: t.Sequence[dict], proxies: t.Sequence[dict], revision: str, version: str, rollback: bool
) -> list[str]:
    """What versions speak against an upgrade; versions that aren't numbers pass."""
    target = _minor(version)
    if not control_planes:
        return ["no istiod runs in this cluster: install one first, by site.yml"]
    if target is None:
        return []
    found = []
    for one in control_planes:
        have = _minor(one["version"])
        if have is None:
            continue
        about = f"{one['namespace']}/{one['name']} is {one['version']}"
        in_place = one["revision"] == revision
        if target - have > _STEPS[in_place]:
            way = f"go to 1.{have + _STEPS[in_place]} first"
            found.append(f"{about}, and {version} is {target - have} minor versions newer: {way}")
        elif _numbers(version) < _numbers(one["version"]) and not rollback:
            found.append(f"{about}, and {version} is older: to go back, set upgrade_rollback to true")
    for version_of_proxy in sorted({proxy["version"] or "" for proxy in proxies}):
        have = _minor(version_of_proxy)
        if have is not None and target - have > 2:
            names = [f"{p['namespace']}/{p['pod']}" for p in proxies if p["version"] == version_of_proxy]
            found.append(
                f"{len(names)} proxies are {version_of_proxy}, too old for an istiod {version}: restart"
                f" {', '.join(names[:5])} with the istiod that runs now"
            )
    return found


def overlap_problems(namespaces: t.Sequence[dict], webhooks: t.Sequence[dict]) -> list[str]:
    """Namespaces whose pods more than one revision would inject into."""
    found = []
    tags = [config["metadata"]["labels"] for config in webhooks]
    default_tag = next((one["istio.io/rev"] for one in tags if one.get("istio.io/tag") == "default"), "")
    for namespace in namespaces:
        name = namespace["metadata"]["name"]
        labels = {"kubernetes.io/metadata.name": name, **(namespace["metadata"].get("labels") or {})}
        revisions = sorted(
            {
                config["metadata"]["labels"]["istio.io/rev"]
                for config in webhooks
                for webhook in config.get("webhooks") or ()
                if matches(webhook.get("namespaceSelector"), labels) and matches(webhook.get("objectSelector"), {})
            }
        )
        if len(revisions) > 1:
            remedy = (
                "leave it one of the labels istio-injection and istio.io/rev, or remove the revision that is not meant"
            )
            if default_tag and labels.get("istio-injection") == "enabled" and "istio.io/rev" not in labels:
                remedy = (
                    "the tag default and the control plane without a revision both mean istio-injection=enabled. Give"
                    f" the namespace the label istio.io/rev={default_tag} instead, or let the tag point to revision"
                    " default"
                )
            found.append(
                f"pods in namespace {name} would be injected by the revisions {' and '.join(revisions)}: {remedy}"
            )
    return found


def _numbers(version: str | None) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", (version or "").partition("-")[0]))


def _minor(version: str | None) -> int | None:
    numbers = _numbers(version)
    return numbers[1] if len(numbers) > 1 and numbers[0] == 1 else None


# -- the data plane -----------------------------------------------------------


@dataclasses.dataclass
class DataPlane:
    """The workloads with proxies, and how they come to the control plane's version.

    :ivar revision: the revision that they come to; C(default) for the one without a name
    :ivar timeout: seconds that a workload may take to become ready, and proxies to be in sync
    :ivar read_proxies: gives every proxy with C(namespace), C(pod) and C(sync)
    """

    cluster: Cluster
    revision: str
    timeout: float
    read_proxies: t.Callable[[], list[dict]]

    def reconcile(self, check_mode: bool) -> dict[str, t.Any]:
        """Restarts what is stale, namespace by namespace and one workload at a time, and proves the outcome.

        :raises UpgradeError: a workload doesn't come up, or a proxy doesn't get there
        """
        result: dict[str, t.Any] = {"changed": False, "restarted": [], "proxies": 0, "warnings": []}
        for namespace in sorted({proxy["namespace"] for proxy in self._proxies()}):
            for workload in workloads(self.cluster, namespace):
                reason = stale_reason(self.cluster, workload, _unchanged(namespace), "")
                if not reason:
                    continue
                if keeps_pods(workload):
                    result["warnings"].append(not_restarted(workload, reason))
                    continue
                meta = workload["metadata"]
                if not check_mode:
                    self._restart(workload, result)
                result["restarted"].append(
                    {"kind": workload["kind"], "namespace": namespace, "name": meta["name"], "reason": reason}
                )
        result["changed"] = bool(result["restarted"])
        if result["changed"]:
            result["diff"] = [_entry(one) for one in result["restarted"]]
        if not check_mode:
            result["proxies"] = self._prove(result)
        return result

    def _restart(self, workload: dict, result: dict) -> None:
        try:
            restart(self.cluster, workload, unready, self.timeout)
        except ClusterError as error:
            raise UpgradeError(
                f"{error} The workloads after it were not restarted; the old proxies go on. Mend it and run this again",
                result,
            ) from error

    def _proxies(self) -> list[dict]:
        return read_mesh(self.cluster, ["proxies"], lambda pem: [])["proxies"]

    def _prove(self, result: dict) -> int:
        """Waits until every proxy has its control plane's version and holds all of its configuration."""
        deadline = time.monotonic() + self.timeout
        while True:
            found = self._proxies()
            lagging = self._lagging(found)
            if not lagging:
                return len(found)
            if time.monotonic() > deadline:
                raise UpgradeError(f"the data plane isn't where it should be: {'; '.join(lagging[:5])}", result)
            time.sleep(1)

    def _lagging(self, found: list[dict]) -> list[str]:
        lagging = [
            f"{one['namespace']}/{one['pod']} is of revision {one['revision']} and version {one['version']}"
            for one in found
            if one["outdated"] or one["revision"] != self.revision and one["type"] != "ztunnel"
        ]
        if lagging:
            return lagging
        return [
            f"{one['namespace']}/{one['pod']} is not in sync: {_sync_text(one['sync'])}"
            for one in self.read_proxies()
            if one["kind"] != "ztunnel" and (not one["sync"] or "stale" in one["sync"].values())
        ]


def _sync_text(sync: t.Mapping[str, str] | None) -> str:
    return ", ".join(f"{kind} {state}" for kind, state in sync.items()) if sync else "no istiod knows it"


def _unchanged(namespace: str) -> Change:
    return Change("unchanged", "v1", "Namespace", None, namespace)


def _entry(one: t.Mapping[str, str]) -> dict[str, str]:
    header = f"{one['kind']} {one['namespace']}/{one['name']}"
    return {"before_header": header, "after_header": header, "before": f"{one['reason']}\n", "after": "restarted\n"}


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
