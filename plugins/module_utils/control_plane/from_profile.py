# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Helm releases that a profile and its options stand for."""

from __future__ import annotations

import dataclasses
import difflib
import typing as t

from ..errors import MeshopsError
from ..helm.releases import Release, merged
from ..mesh.profiles import RELEASE_NAMES, istiod_release_name, profile, tag_release_name

#: istiod's values with which a mesh takes another root CA while it runs; proxies read theirs when they start, so it is
#: too late for them on the day of the rotation.
FOLLOWS_ITS_CA = {
    "env": {"ISTIO_MULTIROOT_MESH": "true"},
    "meshConfig": {"defaultConfig": {"proxyMetadata": {"PROXY_CONFIG_XDS_AGENT": "true"}}},
}


def desired_releases(variables: t.Mapping[str, t.Any]) -> list[Release]:
    """The releases that make up the control plane that the variables ask for, in their order.

    :param variables: the control_plane role's variables without their prefix: profile, version, revision, tags,
        values, mesh_config, charts, hub, tag, namespace, cni; what is missing or None has the role's default
    :raises MeshopsError: something in them is unknown; the text says what and what to do
    """
    given = {key: value for key, value in variables.items() if value is not None}
    chosen = profile(given.get("profile", "default"))
    namespace = given.get("namespace", "istio-system")
    revision = given.get("revision", "")
    tags = given.get("tags", [])
    values = given.get("values", {})
    components = list(chosen.components)
    _check_components(values)
    if given.get("cni") and "cni" not in components:
        components.insert(1 if components else 0, "cni")
    if given.get("cni") is False and "cni" in components:
        components.remove("cni")

    shared: dict[str, t.Any] = {"global": {"istioNamespace": namespace}}
    if chosen.charts:
        shared["profile"] = chosen.charts
    if chosen.platform:
        shared["global"]["platform"] = chosen.platform
    for key in ("hub", "tag"):
        if given.get(key):
            shared["global"][key] = str(given[key])
    own: dict[str, dict] = {
        "base": {"defaultRevision": revision or "default"},
        "cni": {},
        "istiod": merged(FOLLOWS_ITS_CA),
        "ztunnel": {},
    }
    if "cni" in components and not chosen.platform and chosen.charts != "ambient":
        own["istiod"]["cni"] = {"enabled": True}
    if revision:
        for component in ("cni", "istiod", "ztunnel"):
            own[component]["revision"] = revision

    unused = [component for component in values if component not in components]
    if unused:
        raise MeshopsError(
            f"values has {unused[0]}, which profile {given.get('profile', 'default')} doesn't install:"
            f" {'set cni to true, or ' if unused[0] == 'cni' else ''}choose another profile, or leave it out"
        )
    useless = [name for name in ("tags", "mesh_config") if given.get(name) and "istiod" not in components]
    if useless:
        raise MeshopsError(
            f"{' and '.join(useless)} can have no effect, because profile {given.get('profile')} installs no istiod:"
            " choose another profile, or leave it out"
        )
    mesh_config = {"istiod": {"meshConfig": given["mesh_config"]}} if given.get("mesh_config") else {}
    names = {component: RELEASE_NAMES[component] for component in components}
    if "istiod" in names:
        names["istiod"] = istiod_release_name(revision)
    after = {"base": [], "cni": ["base"], "istiod": ["base"], "ztunnel": ["cni", "istiod"]}
    releases = [
        Release(
            name=names[component],
            chart=component,
            namespace=chosen.node_namespace if component in ("cni", "ztunnel") and chosen.node_namespace else namespace,
            values=merged(shared, own[component], values.get(component), mesh_config.get(component)),
            charts=given.get("charts"),
            version=given.get("version"),
            after=[names[other] for other in after[component] if other in names],
        )
        for component in components
    ]
    if given.get("cni") is False:
        node_namespace = chosen.node_namespace or namespace
        releases.append(Release(RELEASE_NAMES["cni"], "cni", node_namespace, state="absent"))
    if "istiod" in names:
        releases += [tag_release(tag, releases[components.index("istiod")]) for tag in tags]
    return releases


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


def _check_components(values: t.Mapping[str, t.Any]) -> None:
    for component, content in values.items():
        if component not in RELEASE_NAMES:
            near = difflib.get_close_matches(component, RELEASE_NAMES, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise MeshopsError(f"values has no chart {component!r}{hint}: it has base, istiod, cni and ztunnel")
        if not isinstance(content, dict):
            raise MeshopsError(f"values.{component} must be a dict of the chart's values, not {content!r}")
