# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From an IstioOperator object to what the control_plane role is given, and which of several objects has what."""

from __future__ import annotations

import copy
import re
import typing as t

from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ClusterError
from ansible_collections.meshops.istio.plugins.module_utils.istio.control_plane import (
    ControlPlane,
    desired_control_plane,
)

from .settings import Settings

#: Components of which a cluster has one, however many control planes it runs.
SHARED = ("base", "cni", "ztunnel")
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(-(?:alpha|beta|rc)\.\d+)?")
#: What Istio's own operator, and istioctl, marked what they had installed with.
LEGACY_LABEL = "install.operator.istio.io/owning-resource"


class Invalid(ClusterError):
    """An object that can't be carried out as it is; the text says which field is wrong, and why."""


def document(obj: t.Mapping[str, t.Any], shared: t.Collection[str] = SHARED) -> dict[str, t.Any]:
    """The IstioOperator document in an object.

    :param shared: the shared components that are this object's; the others are another object's business
    """
    spec = copy.deepcopy(dict(obj.get("spec") or {}))
    spec.pop("deletionPolicy", None)
    for name in SHARED:
        component = (spec.get("components") or {}).get(name) or {}
        if name in shared or (name != "base" and component.get("enabled") is not True):
            continue
        spec.setdefault("components", {})[name] = {**component, "enabled": False}
        if name == "cni":  # pods still rely on it, whoever installs it
            values = spec["unvalidatedValues"] = spec.get("unvalidatedValues") or {}
            values.setdefault("pilot", {}).setdefault("cni", {})["enabled"] = True
    meta = obj["metadata"]
    return {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "metadata": {"name": meta["name"], "namespace": meta["namespace"]},
        "spec": spec,
    }


def chart_version(obj: t.Mapping[str, t.Any], settings: Settings) -> str:
    """The version of the charts: that of the document's tag where it names a version, else the operator's."""
    found = _VERSION.match(str((obj.get("spec") or {}).get("tag") or ""))
    return found[0] if found else settings.version


def variables(obj: t.Mapping[str, t.Any], settings: Settings, shared: t.Collection[str] = SHARED) -> dict[str, t.Any]:
    """The control_plane role's variables, without their prefix."""
    found = {
        "istio_operator": document(obj, shared),
        "charts": settings.charts,
        "version": chart_version(obj, settings),
        "hub": settings.hub,
        "tag": settings.tag,
        "wait_timeout": settings.wait_timeout,
    }
    return {name: value for name, value in found.items() if value not in ("", None)}


def wanted(obj: t.Mapping[str, t.Any], settings: Settings, shared: t.Collection[str] = SHARED) -> ControlPlane:
    """The control plane that an object asks for.

    :raises Invalid: it asks for what does not exist, or can't be allowed; nothing was changed
    """
    try:
        found = desired_control_plane(variables(obj, settings, shared))
    except ClusterError as error:
        raise Invalid(str(error)) from error
    foreign = sorted({r.namespace for r in found.releases} - set(settings.managed))
    if foreign:
        raise Invalid(
            f"the operator may not install into namespace {', '.join(foreign)}: add it to managedNamespaces of the"
            f" operator's chart, or choose another (it may into {', '.join(settings.managed)})"
        )
    return found


def _order(obj: t.Mapping[str, t.Any], settings: Settings) -> tuple:
    numbers = _VERSION.match(chart_version(obj, settings))
    version = tuple(-int(number) for number in numbers.groups()[:3]) if numbers else (0,)
    meta = obj["metadata"]
    return (version, meta.get("creationTimestamp", ""), meta["namespace"], meta["name"])


def shared_by(obj: t.Mapping[str, t.Any], objects: t.Iterable[t.Mapping[str, t.Any]], settings: Settings) -> list[str]:
    """The shared components that are an object's: of all that want one, the newest version has it, else the oldest.

    :param objects: all IstioOperator objects, this one among them; those that are going don't count
    """
    going = [o for o in objects if not o["metadata"].get("deletionTimestamp") or _same(o, obj)]
    rivals = sorted(going, key=lambda o: _order(o, settings))
    found = []
    for name in SHARED:
        first = next((o for o in rivals if _wants(o, name)), None)
        if first is None or _same(first, obj):
            found.append(name)
    return found


def _same(one: t.Mapping[str, t.Any], other: t.Mapping[str, t.Any]) -> bool:
    return all(one["metadata"][key] == other["metadata"][key] for key in ("namespace", "name"))


def _wants(obj: t.Mapping[str, t.Any], component: str) -> bool:
    given = (((obj.get("spec") or {}).get("components") or {}).get(component) or {}).get("enabled")
    return given is not False if component == "base" else given is True


def left_over(
    components: t.Iterable[t.Mapping[str, t.Any]],
    releases: t.Iterable[t.Any],
    others: t.Iterable[t.Mapping[str, t.Any]],
) -> list[dict[str, t.Any]]:
    """The components that an object once asked for and does so no more, and that no other object has.

    :param components: those in the object's status
    :param releases: those that it asks for now
    :param others: the other IstioOperator objects
    """
    held = {(release.namespace, release.name) for release in releases}
    for other in others:
        held |= {(c["namespace"], c["name"]) for c in (other.get("status") or {}).get("components") or ()}
    return [dict(c) for c in components if (c["namespace"], c["name"]) not in held]
