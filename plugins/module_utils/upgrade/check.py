# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Upgrades of a mesh: whether one may begin, its data plane, and revisions that nothing uses any more."""

from __future__ import annotations

import re
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError
from ..cluster.kinds import KNOWN
from ..mesh import mesh_config
from ..mesh_info.read import read_mesh
from ..reconcile.identity import title
from ..reconcile.selectors import matches
from .errors import UpgradeError
from .findings import (
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
