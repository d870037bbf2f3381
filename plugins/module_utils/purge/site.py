# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The variables of playbooks/site.yml that make the same mesh again, one file a revision.

C(site.yml) is for the default revision, or the first; C(site.REVISION.yml) for further revisions, and
C(site.REVISION.TAG.yml) for namespaces that name a tag. They are played in this order.
"""

from __future__ import annotations

import collections
import dataclasses
import re
import typing as t

from ..footprint.charts import Release, documents
from ..footprint.item import Item, Reason
from ..footprint.revision import tags_of
from ..reconcile.identity import Key as Id
from ..reconcile.types import K8sObject
from .plan import Plan

try:
    import yaml
except ImportError:
    pass  # the kubernetes package brings it; cluster.auth tells the user

Objects = t.Mapping[Id, K8sObject]
Variables = dict[str, t.Any]
_CHART_VALUES = {"base": "base", "istiod": "istiod", "istio-discovery": "istiod", "cni": "cni", "ztunnel": "ztunnel"}


@dataclasses.dataclass(frozen=True)
class _ControlPlane:
    """What is known of one control plane."""

    revision: str
    values: Variables
    version: str
    tags: tuple[str, ...]


def file_name(name: str) -> str:
    """A name from the cluster as that of one file.

    >>> file_name("site.../../x")
    'site..._.._x.yml'
    """
    return f"{re.sub(r'[^A-Za-z0-9._-]', '_', name)}.yml"


def is_installed(item: Item) -> bool:
    """Whether an installer made a gateway, so that site.yml makes it again."""
    return item.has(Reason.HELM_RELEASE, Reason.INSTALLER_LABEL, Reason.CHART_LABEL)


def site_files(plan: Plan, objects: Objects) -> dict[str, Variables]:
    """The variables that bring back the mesh: file -> variables, in the order in which they are played."""
    releases = _of_cluster(plan, objects)
    shared = {_CHART_VALUES[r.chart]: r for r in releases if r.chart in _CHART_VALUES}
    istiod = shared.pop("istiod", None)
    common = _common(shared, istiod)
    files: dict[str, Variables] = {}
    planes = _control_planes(releases, objects)
    for number, plane in enumerate(planes):
        variables: Variables = {
            **common,
            **({"control_plane_version": plane.version} if plane.version else {}),
            **({"control_plane_revision": plane.revision} if plane.revision != "default" else {}),
            **({"control_plane_tags": list(plane.tags)} if plane.tags else {}),
            "control_plane_values": {
                **{name: r.values for name, r in shared.items() if r.values},
                "istiod": plane.values,
            },
        }
        injected = _injected_by(plan, objects, [plane.revision, *plane.tags])
        own = injected.pop(plane.revision, [])
        if not own and injected:
            name = max(injected, key=lambda name: len(injected[name]))
            own = injected.pop(name)
            variables["injection_revision"] = "" if name == "default" else name
        if own:
            variables["injection_namespaces"] = own
        gateways = _gateways(plan)
        # A gateway needs the istiod of its own revision, so gateways come with the last control plane.
        if gateways and number == len(planes) - 1:
            variables["gateways_list"] = gateways
        files["site.yml" if number == 0 else file_name(f"site.{plane.revision}")] = variables
        for name, namespaces in injected.items():
            label = {"injection_revision": "" if name == "default" else name, "injection_namespaces": namespaces}
            files[file_name(f"site.{plane.revision}.{name}")] = {**variables, **label}
    return files


def _of_cluster(plan: Plan, objects: Objects) -> list[Release]:
    """The releases that the cluster itself confirms.

    A control plane, CNI or ztunnel owns cluster-scoped objects, which whoever can only write a Secret in some namespace
    can't create: such a claim must not decide what a restore installs.
    """
    owners = {item.release for item in plan.items if item.has(Reason.HELM_RELEASE) and not item.namespace}
    return [r for r in plan.releases if r.where in owners]


def _common(shared: t.Mapping[str, Release], istiod: Release | None) -> Variables:
    """The variables that all control planes share."""
    namespace = istiod.namespace if istiod else shared["base"].namespace if "base" in shared else "istio-system"
    common: Variables = {"control_plane_profile": "ambient"} if "ztunnel" in shared else {}
    if namespace != "istio-system":
        common["control_plane_namespace"] = namespace
    if "cni" in shared and "ztunnel" not in shared:
        common["control_plane_cni"] = True
    return common


def _control_planes(releases: t.Sequence[Release], objects: Objects) -> list[_ControlPlane]:
    """The control planes: the default one first."""
    controls = [r for r in releases if r.part == "control_plane" and r.revision]
    found = [(r.revision, dict(r.values), r.version) for r in sorted(controls, key=lambda r: r.revision != "default")]
    planes = []
    for revision, values, version in found or _without_release(objects):
        values.pop("revision", None)
        declared = values.pop("revisionTags", None)
        tags = {tag for tag in declared or () if isinstance(tag, str)} if isinstance(declared, list) else set()
        ordered = [tag for tag in declared or () if tag in tags]
        ordered += [tag for tag in tags_of(objects.values(), revision) if tag not in tags]
        planes.append(_ControlPlane(revision, values, version, tuple(ordered)))
    return planes


def _injected_by(plan: Plan, objects: Objects, names: t.Collection[str]) -> dict[str, list[str]]:
    """The namespaces that get their sidecars from a revision, by the one of its names that they carry."""
    found = collections.defaultdict(list)
    for item in plan.part("injection"):
        labels = objects[item.id]["metadata"].get("labels") or {}
        wanted = labels.get("istio.io/rev") or ("default" if labels.get("istio-injection") == "enabled" else "")
        if item.kind == "Namespace" and wanted in names:
            found[wanted].append(item.name)
    return dict(found)


def _without_release(objects: Objects) -> list[tuple[str, Variables, str]]:
    """The values of control planes that istioctl installed: istiod keeps them in a ConfigMap."""
    found = []
    for (_group, kind, _namespace, name), obj in sorted(objects.items()):
        labels = obj["metadata"].get("labels") or {}
        if kind == "ConfigMap" and name.partition("-")[0] == "values" and "operator.istio.io/component" in labels:
            try:
                values = yaml.safe_load((obj.get("data") or {}).get("original-values") or "{}")
            except yaml.YAMLError:
                values = None
            found.append((labels.get("istio.io/rev") or "default", values if isinstance(values, dict) else {}, ""))
    return sorted(found, key=lambda entry: entry[0] != "default")


def _gateways(plan: Plan) -> list[Variables]:
    """The gateways: those of releases, else those that istioctl installed."""
    owners = {item.release for item in plan.items if item.has(Reason.HELM_RELEASE)}
    gateways = [
        {"name": r.name, "namespace": r.namespace, "values": r.values, **_openshift_route(r)}
        for r in plan.releases
        if r.chart == "gateway" and r.where in owners
    ]
    return gateways or [
        {"name": item.name, "namespace": item.namespace, "direction": _direction(item)}
        for item in plan.part("gateways")
        if item.kind == "Deployment" and is_installed(item)
    ]


def _direction(item: Item) -> str:
    is_egress = any(
        each.kind is Reason.INSTALLER_LABEL and each.detail == "operator.istio.io/component=EgressGateways"
        for each in item.evidence
    )
    return "egress" if is_egress else "ingress"


def _openshift_route(release: Release) -> Variables:
    """The Route in a gateway's release as a variable of the gateways role."""
    route = next((o for o in documents(release.manifest) if o["kind"] == "Route"), None)
    spec = (route or {}).get("spec")
    if route is None or not isinstance(spec, dict):
        return {}
    declared = {field: spec[field] for field in ("host", "path", "tls") if spec.get(field)}
    if route["metadata"].get("annotations"):
        declared["annotations"] = route["metadata"]["annotations"]
    if isinstance(spec.get("port"), dict) and "targetPort" in spec["port"]:
        declared["port"] = spec["port"]["targetPort"]
    return {"openshift_route": declared}
