# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether an upgrade of a mesh may begin."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError
from ..cluster.kinds import KNOWN
from ..errors import MeshopsError
from ..mesh import mesh_config
from ..mesh_info.read import ControlPlane, Mesh, Proxy, read_mesh
from ..reconcile.identity import title
from ..reconcile.selectors import matches
from ..reconcile.types import K8sObject
from ..reconcile.wording import listed
from .charts import Target
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


@dataclasses.dataclass(frozen=True)
class UpgradeOptions:
    """What is upgraded to.

    :ivar revision: the revision; C(default) for the one without a name
    :ivar version: the version of Istio
    :ivar namespace: of the control plane
    :ivar rollback: an older version is meant
    """

    revision: str
    version: str
    namespace: str = "istio-system"
    rollback: bool = False


class Checked(t.TypedDict):
    """What a check that passed returns."""

    changed: bool
    version: str
    control_planes: list[ControlPlane]
    warnings: list[str]


def check(cluster: Cluster, options: UpgradeOptions, target: Target) -> Checked:
    """Whether an upgrade may begin; gives the control planes that run, and warnings.

    :raises MeshopsError: it may not; the text names every reason
    """
    mesh = read_mesh(cluster, ["control_planes", "proxies"])
    webhooks = cluster.list(_WEBHOOKS, labels="istio.io/rev")
    problems = skew_problems(mesh["control_planes"], mesh["proxies"], options, external=bool(webhooks))
    problems += overlap_problems(cluster.list(_NAMESPACE), webhooks)
    refused, warnings = _configuration_findings(cluster, mesh, options.version, target.definitions)
    if not mesh["control_planes"] and webhooks:
        warnings.insert(
            0,
            "no istiod runs in this cluster, whose proxies belong to a control plane elsewhere: upgrade that one first,"
            " because it must not be older than its proxies",
        )
    if options.rollback:  # fields that an older version lacks may be lost, and a rollback must be possible all the same
        warnings = refused + warnings
    else:
        problems += refused
    if problems:
        raise MeshopsError(
            "the upgrade can't begin:\n  " + "\n  ".join(problems), {"problems": problems, "warnings": warnings}
        )
    control_planes = mesh["control_planes"]
    return {"changed": False, "version": options.version, "control_planes": control_planes, "warnings": warnings}


def _configuration_findings(
    cluster: Cluster, mesh: Mesh, version: str, definitions: t.Sequence[K8sObject]
) -> tuple[list[str], list[str]]:
    """What of the mesh's configuration the new version refuses, and warnings."""
    objects = istio_objects(cluster)
    live = [crd for crd in cluster.list(_DEFINITIONS) if crd["spec"]["group"].endswith("istio.io")]
    refused = storage_problems(live, definitions) + schema_problems(objects, definitions)
    warnings = removed_kinds(live)
    for istiod in mesh["control_planes"]:
        name = "istio" if istiod["revision"] == "default" else f"istio-{istiod['revision']}"
        config_map = cluster.get(KNOWN["", "ConfigMap"], name, istiod["namespace"])
        if config_map is not None:
            about = f"mesh configuration in ConfigMap {istiod['namespace']}/{name}"
            warnings += deprecated_fields("MeshConfig", mesh_config.running(config_map), about)
    versions = {proxy["version"] for proxy in mesh["proxies"] if proxy["version"]}
    for obj in objects:
        if obj["kind"] == "EnvoyFilter":
            warnings += envoy_filter_findings(obj, versions, version)
        if obj["apiVersion"].startswith("networking.istio.io/"):
            warnings += deprecated_fields(obj["kind"], obj.get("spec"), title(obj))
    lone = lone_workloads(_with_proxies(cluster, mesh["proxies"]))
    if lone:
        warnings.append(
            f"requests may be lost when these are restarted: {listed(lone, 5)}. Give them a second pod, or a preStop"
            " hook that waits"
        )
    return refused, warnings


def istio_objects(cluster: Cluster) -> list[K8sObject]:
    """Every object of Istio's own kinds, in a version that the server serves."""
    kinds = [cluster.served(kind) for (group, _name), kind in KNOWN.items() if group.endswith("istio.io")]
    return [obj for kind in kinds if kind is not None for obj in cluster.list(kind)]


def _with_proxies(cluster: Cluster, proxies: t.Iterable[Proxy]) -> list[K8sObject]:
    """The Deployments and StatefulSets that proxies belong to, by the names of their pods."""
    pods = {(proxy["namespace"], proxy["pod"]) for proxy in proxies}
    every = [obj for name in ("Deployment", "StatefulSet") for obj in cluster.list(KNOWN["apps", name])]
    return [
        obj
        for obj in every
        if any(
            namespace == obj["metadata"]["namespace"] and pod.startswith(f"{obj['metadata']['name']}-")
            for namespace, pod in pods
        )
    ]


def check_validation(cluster: Cluster, revision: str) -> dict[str, t.Any]:
    """Whether the validation of a revision that runs already accepts all of Istio's objects.

    :raises MeshopsError: it doesn't; the text names every object
    """
    problems = refused_by_istiod(cluster, revision or "default")
    if problems:
        raise MeshopsError(
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
    control_planes: t.Sequence[ControlPlane], proxies: t.Sequence[Proxy], options: UpgradeOptions, *, external: bool
) -> list[str]:
    """The version skew that forbids an upgrade; versions that aren't numbers pass.

    :param external: injectors of a control plane outside this cluster serve its pods
    """
    target = _minor(options.version)
    if not control_planes and not external:
        return ["no istiod runs in this cluster. Install a control plane first, by site.yml"]
    if target is None:
        return []
    problems = []
    for istiod in _upgraded(control_planes, options):
        minor = _minor(istiod["version"])
        if minor is None:
            continue
        about = f"{istiod['namespace']}/{istiod['name']} is {istiod['version']}"
        step = _STEPS[istiod["revision"] == options.revision]
        if target - minor > step:
            problems.append(
                f"{about}, and {options.version} is {target - minor} minor versions newer: go to 1.{minor + step} first"
            )
        elif _numbers(options.version) < _numbers(istiod["version"]) and not options.rollback:
            problems.append(f"{about}, and {options.version} is older: to roll back, set upgrade_rollback to true")
    for version_of_proxy in sorted({proxy["version"] or "" for proxy in proxies}):
        minor = _minor(version_of_proxy)
        if minor is not None and target - minor > 2:
            names = [f"{p['namespace']}/{p['pod']}" for p in proxies if p["version"] == version_of_proxy]
            problems.append(
                f"{len(names)} proxies are {version_of_proxy}, too old for an istiod {options.version}: restart"
                f" {', '.join(names[:5])} with the istiod that runs now"
            )
    return problems


def _upgraded(control_planes: t.Sequence[ControlPlane], options: UpgradeOptions) -> list[ControlPlane]:
    """The control planes that the upgrade starts from; others beside them, such as a canary, are left alone.

    In place that is the one of the revision. By a revision those of the same namespace that have proxies or tags, or
    all of them where none has.
    """
    in_place = [istiod for istiod in control_planes if istiod["revision"] == options.revision]
    if in_place:
        return in_place
    beside = [istiod for istiod in control_planes if istiod["namespace"] == options.namespace] or list(control_planes)
    return [istiod for istiod in beside if istiod["proxies"] or istiod["tags"]] or beside


def overlap_problems(namespaces: t.Sequence[K8sObject], webhooks: t.Sequence[K8sObject]) -> list[str]:
    """Namespaces whose pods more than one revision would inject into."""
    problems = []
    tags = [config["metadata"]["labels"] for config in webhooks]
    default_tag = next((tag["istio.io/rev"] for tag in tags if tag.get("istio.io/tag") == "default"), "")
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
            problems.append(
                f"pods in namespace {name} would be injected by the revisions {' and '.join(revisions)}: {remedy}"
            )
    return problems


def _numbers(version: str | None) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", (version or "").partition("-")[0]))


def _minor(version: str | None) -> int | None:
    numbers = _numbers(version)
    return numbers[1] if len(numbers) > 1 and numbers[0] == 1 else None
