# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Translates an IstioOperator object to variables of the control_plane role, and decides which object owns what."""

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
from ansible_collections.meshops.istio.plugins.module_utils.helm.releases import Release as HelmRelease
from ansible_collections.meshops.istio.plugins.module_utils.istio_operator.gateways import GATEWAY_CHARTS
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.types import K8sObject

from .drift import Release
from .settings import Settings

#: Components of which a cluster has one, however many control planes it runs.
SHARED = ("base", "cni", "ztunnel")
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(-(?:alpha|beta|rc)\.\d+)?")
#: A name that Kubernetes and Helm accept: status is written by others too, and is not believed.
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
#: The label by which Istio's legacy operator, and istioctl, marked what they installed.
LEGACY_LABEL = "install.operator.istio.io/owning-resource"
#: The annotation by which operators ignore an object: istioctl writes it on its records of what it has installed.
IGNORE = "install.istio.io/ignoreReconcile"
#: The annotation with the last spec that was applied successfully.
LAST_GOOD = "operator.meshops.istio/last-good"
#: States of components in an object's status that aren't its own (any more).
SUPERSEDED, NOT_OWNED = "Superseded", "NotOwned"

#: Namespace and name of an object.
Ref = tuple[str, str]


class Component(t.TypedDict, total=False):
    """A component as the status lists it."""

    name: str
    namespace: str
    chart: str
    version: str
    state: str
    message: str


class Invalid(MeshopsError):
    """An object that can't be applied as it is; the text says which field is wrong, and why."""


def is_ignored(obj: t.Mapping[str, t.Any]) -> bool:
    """Whether the operator ignores an object."""
    return (obj["metadata"].get("annotations") or {}).get(IGNORE) == "true"


def last_good(obj: t.Mapping[str, t.Any]) -> dict[str, t.Any] | None:
    """The object with its last good spec, where that is known and differs from the present one."""
    kept = (obj["metadata"].get("annotations") or {}).get(LAST_GOOD)
    try:
        spec = json.loads(kept) if kept else None
    except ValueError:
        return None
    return {**obj, "spec": spec} if isinstance(spec, dict) and spec != obj.get("spec") else None


def document(obj: t.Mapping[str, t.Any], others: t.Collection[HelmRelease] = ()) -> dict[str, t.Any]:
    """The IstioOperator document in an object.

    :param others: the releases (see C(ControlPlane)) that it declares and another object owns
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


def variables(
    obj: t.Mapping[str, t.Any], settings: Settings, others: t.Collection[HelmRelease] = ()
) -> dict[str, t.Any]:
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


def desired(obj: t.Mapping[str, t.Any], settings: Settings, others: t.Collection[HelmRelease] = ()) -> ControlPlane:
    """The control plane that an object declares.

    :param others: see C(document)
    :raises Invalid: it declares what does not exist or isn't allowed; nothing was changed
    """
    try:
        found = desired_control_plane(variables(obj, settings, others))
    except MeshopsError as error:
        raise Invalid(str(error)) from error
    foreign = sorted({r.namespace for r in found.releases} - set(settings.managed))
    if foreign:
        raise Invalid(
            f"the operator may not install into namespace {', '.join(foreign)}: add it to managedNamespaces of the"
            f" operator's chart, or choose one of {', '.join(settings.managed)}"
        )
    return found


# -- several objects ----------------------------------------------------------


@dataclasses.dataclass
class Share:
    """What an object owns, beside all the others.

    :ivar obj: the object; with its last good spec where its present one can't be applied
    :ivar problem: why that is so; empty where it can
    :ivar control_plane: what it declares and owns; None where it owns nothing
    :ivar not_owned: what it declares and another object owns, with that object's title
    """

    obj: t.Mapping[str, t.Any]
    problem: str = ""
    control_plane: ControlPlane | None = None
    not_owned: list[tuple[HelmRelease, str]] = dataclasses.field(default_factory=list)

    @property
    def owned(self) -> set[Release]:
        """Its releases."""
        return {(r.namespace, r.name) for r in self.control_plane.releases} if self.control_plane else set()

    @property
    def others(self) -> list[HelmRelease]:
        """The releases that it declares and another object owns."""
        return [release for release, _owner in self.not_owned]


def shares(objects: t.Iterable[t.Mapping[str, t.Any]], settings: Settings) -> dict[Release, Share]:
    """What each of several objects owns, by their namespaces and names. Every release has one owner.

    A revision's control plane belongs to the object that has installed it, else to the oldest that declares it; a
    second object with the revision is invalid. All else belongs to the newest version, else to the oldest object.
    """
    found: dict[Release, Share] = {}
    revisions: dict[str, str] = {}
    for obj in sorted(objects, key=lambda o: (_first_revision(o, settings) not in _installed(o), _age(o))):
        share = found[ref_of(obj)] = _applicable(obj, settings, revisions)
        for name in _revisions(share.control_plane):
            revisions[name] = title(obj)
    owners: dict[str | Release, str] = {}
    for share in sorted(found.values(), key=lambda s: _order(s.obj, settings)):
        for release in share.control_plane.releases if share.control_plane else ():
            owner = owners.setdefault(_claim(release), title(share.obj))
            if owner != title(share.obj):
                share.not_owned.append((release, owner))
        if share.not_owned:
            share.control_plane = desired(share.obj, settings, share.others)
    return found


def title(obj: t.Mapping[str, t.Any]) -> str:
    """How people call an object."""
    return f"{obj['kind']} {obj['metadata']['namespace']}/{obj['metadata']['name']}"


def _applicable(obj: t.Mapping[str, t.Any], settings: Settings, revisions: t.Mapping[str, str]) -> Share:
    """What can be applied of an object: its spec, else its last good one."""
    problem = ""
    for chosen in filter(None, (obj, last_good(obj))):
        try:
            control_plane = desired(chosen, settings)
        except Invalid as error:
            problem = problem or str(error)
            continue
        taken = [name for name in _revisions(control_plane) if name in revisions]
        if not taken:
            return Share(chosen, problem, control_plane)
        problem = problem or (
            f"spec.revision: {control_plane.revision or 'default'} already belongs to {revisions[taken[0]]}: give this"
            " object a revision of its own, or make one object of the two"
        )
    return Share(obj, problem)


def _revisions(control_plane: ControlPlane | None) -> list[str]:
    """The names of its istiods' releases, which have the revision in them."""
    return [r.name for r in control_plane.releases if r.chart == "istiod" and not r.labels] if control_plane else []


def _first_revision(obj: t.Mapping[str, t.Any], settings: Settings) -> str | None:
    """The release name of the istiod that an object declares."""
    for chosen in filter(None, (obj, last_good(obj))):
        try:
            return next(iter(_revisions(desired(chosen, settings))), None)
        except Invalid:
            continue
    return None


def _installed(obj: t.Mapping[str, t.Any]) -> set[str]:
    """The names of the istiods that an object has installed."""
    states = (SUPERSEDED, NOT_OWNED)
    return {c["name"] for c in components(obj) if c.get("chart") == "istiod" and c.get("state") not in states}


def _claim(release: HelmRelease) -> str | Release:
    return release.chart if release.chart in SHARED else (release.namespace, release.name)


def _age(obj: t.Mapping[str, t.Any]) -> tuple[str, str, str]:
    meta = obj["metadata"]
    return (meta.get("creationTimestamp", ""), meta["namespace"], meta["name"])


def _order(obj: t.Mapping[str, t.Any], settings: Settings) -> tuple[tuple[int, ...], str, str, str]:
    numbers = _VERSION.match(chart_version(obj, settings))
    version = tuple(-int(number) for number in numbers.groups()[:3]) if numbers else (0,)
    return (version, *_age(obj))


def left_over(
    previous: t.Iterable[Component],
    releases: t.Iterable[HelmRelease],
    others: t.Iterable[t.Mapping[str, t.Any]],
) -> list[Component]:
    """The components that an object no longer declares, and that no other object owns or declares.

    :param previous: the components in the object's status
    :param releases: those that it declares now, and those that others declare
    :param others: the other IstioOperator objects
    """
    held = {(release.namespace, release.name) for release in releases}
    for other in others:
        held |= {(c["namespace"], c["name"]) for c in components(other)}
    return [component for component in previous if (component["namespace"], component["name"]) not in held]


def ref_of(obj: t.Mapping[str, t.Any]) -> Ref:
    """Namespace and name of an object."""
    return (obj["metadata"]["namespace"], obj["metadata"]["name"])


def remaining(objects: t.Iterable[K8sObject]) -> t.Iterator[K8sObject]:
    """The objects that are not being deleted."""
    return (obj for obj in objects if not obj["metadata"].get("deletionTimestamp"))


def declared(*shares: Share) -> list[HelmRelease]:
    """All releases that objects declare, whoever owns them."""
    return [r for share in shares if share.control_plane for r in (*share.control_plane.releases, *share.others)]


def components(obj: t.Mapping[str, t.Any]) -> list[Component]:
    """The components in an object's status. Who may write the status decides over them: only valid names count."""
    listed = (obj.get("status") or {}).get("components") or ()
    return [
        t.cast(Component, dict(entry))
        for entry in listed
        if all(_NAME.fullmatch(str(entry.get(field, ""))) for field in ("name", "namespace"))
    ]


def revision_of(release: str) -> str:
    """The revision of an istiod's release."""
    return release.removeprefix("istiod").removeprefix("-") or "default"


def absent(listed: t.Iterable[Component]) -> list[dict[str, str]]:
    """Components as releases that are to be removed."""
    return [{"name": c["name"], "namespace": c["namespace"], "state": "absent"} for c in listed]
