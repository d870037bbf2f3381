# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Helm releases that a profile and its options stand for."""

from __future__ import annotations

import dataclasses
import typing as t

from ..errors import MeshopsError
from ..helm.releases import Release, merged
from ..mesh.profiles import (
    RELEASE_NAMES,
    RELEASE_ORDER,
    Profile,
    istiod_release_name,
    profile,
    tag_release_name,
)
from ..reconcile.wording import did_you_mean
from .options import ControlPlaneOptions

#: istiod's values with which a mesh takes another root CA while it runs; proxies read theirs when they start, so it is
#: too late for them on the day of the rotation.
FOLLOWS_ITS_CA = {
    "env": {"ISTIO_MULTIROOT_MESH": "true"},
    "meshConfig": {"defaultConfig": {"proxyMetadata": {"PROXY_CONFIG_XDS_AGENT": "true"}}},
}

#: The charts' profiles that set something which base reads.
_PROFILES_OF_BASE = ("stable",)


def desired_releases(options: ControlPlaneOptions) -> list[Release]:
    """The releases that make up the declared control plane, in their order.

    :raises MeshopsError: an option is unknown or has no effect; the text says what to do
    """
    chosen = profile(options.profile)
    charts = components(options, chosen)
    validate(options, charts)
    names = {chart: RELEASE_NAMES[chart] for chart in charts}
    if "istiod" in names:
        names["istiod"] = istiod_release_name(options.revision)
    releases = [
        Release(
            name=names[chart],
            chart=chart,
            namespace=_namespace(options, chosen, chart),
            values=merged(
                shared_values(options, chosen, chart),
                component_values(options, chosen, chart, charts),
                options.values.get(chart),
                {"meshConfig": options.mesh_config} if options.mesh_config and chart == "istiod" else None,
            ),
            charts=options.charts,
            version=options.version,
            after=[names[other] for other in RELEASE_ORDER[chart] if other in names],
        )
        for chart in charts
    ]
    if options.cni is False:
        releases.append(Release(RELEASE_NAMES["cni"], "cni", _namespace(options, chosen, "cni"), state="absent"))
    if "istiod" in charts:
        releases += [tag_release(tag, releases[charts.index("istiod")]) for tag in options.tags]
    return releases


def components(options: ControlPlaneOptions, chosen: Profile) -> list[str]:
    """The charts that are installed, in the order of their installation."""
    charts = [chart for chart in chosen.components if chart != "cni" or options.cni is not False]
    if options.cni and "cni" not in charts:
        charts.insert(1 if charts else 0, "cni")
    return charts


def validate(options: ControlPlaneOptions, charts: t.Sequence[str]) -> None:
    """Whether all options have an effect on the charts that are installed.

    :raises MeshopsError: one has none
    """
    for chart, values in options.values.items():
        if chart not in RELEASE_NAMES:
            hint = did_you_mean(chart, RELEASE_NAMES)
            raise MeshopsError(f"values has no chart {chart!r}{hint}: it has base, istiod, cni and ztunnel")
        if not isinstance(values, dict):
            raise MeshopsError(f"values.{chart} must be a dictionary of the chart's values, got {values!r}")
        if chart not in charts:
            raise MeshopsError(
                f"values has {chart}, which profile {options.profile} doesn't install:"
                f" {'set cni to true, or ' if chart == 'cni' else ''}choose another profile, or leave it out"
            )
    useless = [name for name in ("tags", "mesh_config") if getattr(options, name) and "istiod" not in charts]
    if useless:
        raise MeshopsError(
            f"{' and '.join(useless)} can have no effect, because profile {options.profile} installs no istiod:"
            " choose another profile, or leave it out"
        )


def shared_values(options: ControlPlaneOptions, chosen: Profile, chart: str) -> dict[str, t.Any]:
    """The values that all charts get.

    The release of base is shared by all revisions: it gets only what base reads, so that two of them do not change it
    in turns.
    """
    shared: dict[str, t.Any] = {"global": {"istioNamespace": options.home}}
    if chosen.platform:
        shared["global"]["platform"] = chosen.platform
    if chart == "base":
        return shared | ({"profile": chosen.charts} if chosen.charts in _PROFILES_OF_BASE else {})
    if chosen.charts:
        shared["profile"] = chosen.charts
    for name, value in (("hub", options.hub), ("tag", options.tag)):
        if value:
            shared["global"][name] = str(value)
    return shared


def component_values(
    options: ControlPlaneOptions, chosen: Profile, chart: str, charts: t.Sequence[str]
) -> dict[str, t.Any]:
    """The values of one chart beside what all charts get and what the user gives."""
    if chart == "base":
        return {"defaultRevision": options.revision or "default"}
    own: dict[str, t.Any] = merged(FOLLOWS_ITS_CA) if chart == "istiod" else {}
    if chart == "istiod" and "cni" in charts and not chosen.platform and chosen.charts != "ambient":
        own["cni"] = {"enabled": True}
    if options.revision:
        own["revision"] = options.revision
    return own


def _namespace(options: ControlPlaneOptions, chosen: Profile, chart: str) -> str:
    return chosen.node_namespace if chart in ("cni", "ztunnel") and chosen.node_namespace else options.home


def tag_release(tag: str, istiod: Release) -> Release:
    """A revision tag: the istiod chart again, of which only the tag's own objects are kept."""
    return dataclasses.replace(
        istiod,
        name=tag_release_name(tag),
        values=merged(istiod.values, {"revisionTags": [tag]}),
        patches=[{**patch, "optional": True} for patch in istiod.patches],  # most of them are for other objects
        labels={"istio.io/tag": tag},
        after=[istiod.name],
    )
