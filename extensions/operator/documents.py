# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From an IstioOperator object to what the control_plane role is given, and which of several objects has what."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
import typing as t

from ansible_collections.meshops.istio.plugins.module_utils.control_plane.declared import (
    ControlPlane,
    desired_control_plane,
)
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.istio_operator.gateways import GATEWAY_CHARTS

from .drift import Release
from .settings import Settings

#: Components of which a cluster has one, however many control planes it runs.
SHARED = ("base", "cni", "ztunnel")
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(-(?:alpha|beta|rc)\.\d+)?")
#: What Istio's own operator, and istioctl, marked what they had installed with.
LEGACY_LABEL = "install.operator.istio.io/owning-resource"
#: By this an operator is told to leave an object alone: istioctl writes it on its records of what it has installed.
IGNORE = "install.istio.io/ignoreReconcile"
#: The annotation with the last spec that was carried out well.
LAST_GOOD = "operator.meshops.istio/last-good"
#: States of components in an object's status that aren't its own (any more).
SUPERSEDED, NOT_OWNED = "Superseded", "NotOwned"


class Invalid(MeshopsError):
    """An object that can't be carried out as it is; the text says which field is wrong, and why."""


def is_ignored(obj: t.Mapping[str, t.Any]) -> bool:
    """Whether an object is none of the operator's business."""
    return (obj["metadata"].get("annotations") or {}).get(IGNORE) == "true"


def last_good(obj: t.Mapping[str, t.Any]) -> dict[str, t.Any] | None:
    """The object as it was when it was last carried out well, where that is known and it was another one."""
    kept = (obj["metadata"].get("annotations") or {}).get(LAST_GOOD)
    try:
        spec = json.loads(kept) if kept else None
    except ValueError:
        return None
    return {**obj, "spec": spec} if isinstance(spec, dict) and spec != obj.get("spec") else None


def document(obj: t.Mapping[str, t.Any], others: t.Collection[t.Any] = ()) -> dict[str, t.Any]:
    """The IstioOperator document in an object.

    :param others: the releases (see C(ControlPlane)) that it asks for and that are another object's business
    """
    spec = copy.deepcopy(dict(obj.get("spec") or {}))
    spec.pop("deletionPolicy", None)
    lost = {release.chart for release in others}
    for name in SHARED:
        if name not in lost:
            continue
        components = spec["components"] = spec.get("components") or {}
        components[name] = {**(components.get(name) or {}), "enabled": False}
        if name == "cni":  # pods still rely on it, whoever installs it
            values = spec["unvalidatedValues"] = spec.get("unvalidatedValues") or {}
            values.setdefault("pilot", {}).setdefault("cni", {})["enabled"] = True
    if "gateway" in lost:
        _leave_gateways(spec, {(r.namespace, r.name) for r in others if r.chart == "gateway"})
    meta = obj["metadata"]
    return {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "metadata": {"name": meta["name"], "namespace": meta["namespace"]},
        "spec": spec,
    }


def _leave_gateways(spec: dict[str, t.Any], lost: t.Collection[Release]) -> None:
    """Takes gateways out of a document: a list of its own takes the place of its profile's."""
    components = spec["components"] = spec.get("components") or {}
    given = [
        ((spec.get(name) or {}).get("global") or {}).get("istioNamespace") for name in ("unvalidatedValues", "values")
    ]
    of_control_plane = next(filter(None, given), "istio-system")
    for field, chart in GATEWAY_CHARTS.items():
        own = components.get(field)
        listed = own if own is not None else [{"name": chart}]
        kept = [g for g in listed if (g.get("namespace") or of_control_plane, g["name"]) not in lost]
        if kept != listed:
            components[field] = kept


def chart_version(obj: t.Mapping[str, t.Any], settings: Settings) -> str:
    """The version of the charts: that of the document's tag where it names a version, else the operator's."""
    found = _VERSION.match(str((obj.get("spec") or {}).get("tag") or ""))
    return found[0] if found else settings.version


def variables(obj: t.Mapping[str, t.Any], settings: Settings, others: t.Collection[t.Any] = ()) -> dict[str, t.Any]:
    """The control_plane role's variables, without their prefix."""
    found = {
        "istio_operator": document(obj, others),
        "charts": settings.charts,
        "version": chart_version(obj, settings),
        "hub": settings.hub,
        "tag": settings.tag,
        "wait_timeout": settings.wait_timeout,
    }
    return {name: value for name, value in found.items() if value not in ("", None)}


def wanted(obj: t.Mapping[str, t.Any], settings: Settings, others: t.Collection[t.Any] = ()) -> ControlPlane:
    """The control plane that an object asks for.

    :param others: see C(document)
    :raises Invalid: it asks for what does not exist, or can't be allowed; nothing was changed
    """
    try:
        found = desired_control_plane(variables(obj, settings, others))
    except MeshopsError as error:
        raise Invalid(str(error)) from error
    foreign = sorted({r.namespace for r in found.releases} - set(settings.managed))
    if foreign:
        raise Invalid(
            f"the operator may not install into namespace {', '.join(foreign)}: add it to managedNamespaces of the"
            f" operator's chart, or choose another (it may into {', '.join(settings.managed)})"
        )
    return found


# -- several objects ----------------------------------------------------------


@dataclasses.dataclass
class Share:
    """What is an object's, beside all the others.

    :ivar obj: the object; with its last good spec where the one that it has can't be carried out
    :ivar problem: why that is so; empty where it can
    :ivar wanted: what it asks for and has; None where it has nothing
    :ivar not_owned: what it asks for and another object has, with that object's title
    """

    obj: t.Mapping[str, t.Any]
    problem: str = ""
    wanted: ControlPlane | None = None
    not_owned: list[tuple[t.Any, str]] = dataclasses.field(default_factory=list)

    @property
    def owned(self) -> set[Release]:
        """Its releases."""
        return {(r.namespace, r.name) for r in self.wanted.releases} if self.wanted else set()

    @property
    def others(self) -> list[t.Any]:
        """The releases that it asks for and another object has."""
        return [release for release, _owner in self.not_owned]


def shares(objects: t.Iterable[t.Mapping[str, t.Any]], settings: Settings) -> dict[Release, Share]:
    """What each of several objects has, by their namespaces and names. Every release has one owner.

    A revision's control plane is that of the object that has installed it, else of the oldest that asks for it; a
    second object with the revision is invalid. All else is that of the newest version, else of the oldest object.
    """
    found, revisions = {}, {}
    for obj in sorted(objects, key=lambda o: (_first_revision(o, settings) not in _installed(o), _age(o))):
        share = found[_age(obj)[1:]] = _carried_out(obj, settings, revisions)
        for name in _revisions(share.wanted):
            revisions[name] = title(obj)
    owners: dict[t.Any, str] = {}
    for share in sorted(found.values(), key=lambda s: _order(s.obj, settings)):
        for release in share.wanted.releases if share.wanted else ():
            owner = owners.setdefault(_claim(release), title(share.obj))
            if owner != title(share.obj):
                share.not_owned.append((release, owner))
        if share.not_owned:
            share.wanted = wanted(share.obj, settings, share.others)
    return found


def title(obj: t.Mapping[str, t.Any]) -> str:
    """How people call an object."""
    return f"{obj['kind']} {obj['metadata']['namespace']}/{obj['metadata']['name']}"


def _carried_out(obj: t.Mapping[str, t.Any], settings: Settings, revisions: t.Mapping[str, str]) -> Share:
    """What can be carried out of an object: its spec, else its last good one."""
    problem = ""
    for chosen in filter(None, (obj, last_good(obj))):
        try:
            control_plane = wanted(chosen, settings)
        except Invalid as error:
            problem = problem or str(error)
            continue
        taken = [name for name in _revisions(control_plane) if name in revisions]
        if not taken:
            return Share(chosen, problem, control_plane)
        problem = problem or (
            f"spec.revision: {control_plane.revision or 'default'} is that of {revisions[taken[0]]} already: give this"
            " object a revision of its own, or make one object of the two"
        )
    return Share(obj, problem)


def _revisions(control_plane: ControlPlane | None) -> list[str]:
    """The names of its istiods' releases, which have the revision in them."""
    return [r.name for r in control_plane.releases if r.chart == "istiod" and not r.labels] if control_plane else []


def _first_revision(obj: t.Mapping[str, t.Any], settings: Settings) -> str | None:
    """The name of the istiod that an object asks for."""
    for chosen in filter(None, (obj, last_good(obj))):
        try:
            return next(iter(_revisions(wanted(chosen, settings))), None)
        except Invalid:
            continue
    return None


def _installed(obj: t.Mapping[str, t.Any]) -> set[str]:
    """The names of the istiods that an object has installed."""
    states = (SUPERSEDED, NOT_OWNED)
    components = (obj.get("status") or {}).get("components") or ()
    return {c["name"] for c in components if c.get("chart") == "istiod" and c.get("state") not in states}


def _claim(release: t.Any) -> t.Any:
    return release.chart if release.chart in SHARED else (release.namespace, release.name)


def _age(obj: t.Mapping[str, t.Any]) -> tuple[str, str, str]:
    meta = obj["metadata"]
    return (meta.get("creationTimestamp", ""), meta["namespace"], meta["name"])


def _order(obj: t.Mapping[str, t.Any], settings: Settings) -> tuple:
    numbers = _VERSION.match(chart_version(obj, settings))
    version = tuple(-int(number) for number in numbers.groups()[:3]) if numbers else (0,)
    return (version, *_age(obj))


def left_over(
    components: t.Iterable[t.Mapping[str, t.Any]],
    releases: t.Iterable[t.Any],
    others: t.Iterable[t.Mapping[str, t.Any]],
) -> list[dict[str, t.Any]]:
    """The components that an object once asked for and does so no more, and that no other object has or asks for.

    :param components: those in the object's status
    :param releases: those that it asks for now, and those that others ask for
    :param others: the other IstioOperator objects
    """
    held = {(release.namespace, release.name) for release in releases}
    for other in others:
        held |= {(c["namespace"], c["name"]) for c in (other.get("status") or {}).get("components") or ()}
    return [dict(c) for c in components if (c["namespace"], c["name"]) not in held]
