# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What in a cluster belongs to Istio, and why: a pure reading of listed objects, whoever installed them.

An object is Istio's when there is evidence that only Istio gives (its API group, a release that the object itself
names, the installer's labels, a webhook that calls istiod, a name that Istio itself writes). A name or label that
merely resembles Istio proves nothing: such objects are listed as unsure and left alone.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ..mesh.names import RESTARTABLE, istio_finalizer, istio_key
from ..reconcile.identity import key
from ..reconcile.types import K8sObject
from ..reconcile.wording import listed as some
from .charts import read_releases
from .classify import part_of, revision_of
from .evidence import FOLLOWERS, Proven
from .item import Evidence, Footprint, Item, Key, Reason, Scope, item_of, mark_strips
from .selected import SelectedKeys
from .sidecars import Sidecars, template_keys

_LOOKS_LIKE = re.compile(r"(^|[^a-z])istio")
#: Evidence that an object of Istio's API came with an installer, so that it is not a user's.
_OF_INSTALLER = (Reason.HELM_RELEASE, Reason.CHART_LABEL, Reason.INSTALLER_LABEL)


def footprint(
    listed: t.Sequence[K8sObject], complete: t.Collection[str] = (), unanswered: t.Collection[str] = ()
) -> Footprint:
    """What belongs to Istio among the listed objects.

    >>> istiod = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {
    ...     "name": "istiod", "namespace": "mesh", "labels": {"operator.istio.io/component": "Pilot"}}}
    >>> shop = {"apiVersion": "v1", "kind": "Namespace", "metadata": {
    ...     "name": "shop", "labels": {"istio-injection": "enabled", "team": "a"}}}
    >>> demo = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-demo"}}
    >>> found = footprint([istiod, shop, demo])
    >>> [(item.action, item.where, item.why) for item in found.items]  # doctest: +NORMALIZE_WHITESPACE
    [('delete', 'Deployment mesh/istiod', ('label operator.istio.io/component=Pilot',)),
     ('strip', 'Namespace shop', ('label istio-injection',))]
    >>> [item.where for item in found.unsure]
    ['Namespace istio-demo']

    :param listed: objects as the API server gives them, each once
    :param complete: the namespaces of which every object is listed; only these can be found empty of others
    :param unanswered: APIs that could not be listed
    """
    releases = read_releases(listed)
    proven = Proven(listed, releases)
    control_planes = proven.control_planes()
    items = [_proven_item(obj, proven, {"istio-system", *control_planes}) for obj in listed if obj in proven]
    namespaces = _Namespaces(listed, proven, complete, unanswered)
    items += namespaces.going
    gone = {item.name for item in namespaces.going}
    selected = SelectedKeys(listed, proven)
    strips, retained = _strips(listed, proven, gone, selected)
    sidecars = Sidecars(listed, proven, gone, selected)
    items += strips + mark_strips(listed, gone) + sidecars.restarts
    items.sort(key=lambda item: (item.part, item.kind, item.namespace, item.name))
    unsure = namespaces.retained + sidecars.stuck + sidecars.retained + retained
    seen = {item.id for item in unsure}
    unsure += _unsure([obj for obj in listed if key(obj) not in seen], proven, gone, sidecars.restarts)
    existing = {o["metadata"]["name"] for o in listed if o["kind"] == "Namespace"}
    return Footprint(
        tuple(items),
        tuple(unsure),
        tuple(releases),
        tuple(sidecars.stuck),
        tuple(sorted(existing & set(control_planes))),
    )


def _proven_item(obj: K8sObject, proven: Proven, namespaces: t.Collection[str]) -> Item:
    stored = proven.release_of_record(obj)
    release = stored or proven.release_of(obj)
    item = item_of(obj, "releases" if stored else part_of(obj, release), "delete", proven.of(obj))
    if item.part == "mesh_objects" and item.has(*_OF_INSTALLER):
        item = dataclasses.replace(item, part="control_plane")
    return dataclasses.replace(
        item, revision=revision_of(obj, release, namespaces), release=release.where if release else ""
    )


class _Namespaces:
    """Which namespaces are deleted, and which are retained because others have objects there."""

    def __init__(
        self,
        listed: t.Sequence[K8sObject],
        proven: Proven,
        complete: t.Collection[str],
        unanswered: t.Collection[str],
    ) -> None:
        self.going: list[Item] = []
        self.retained: list[Item] = []
        objects = {o["metadata"]["name"]: o for o in listed if o["kind"] == "Namespace"}
        unknown = Evidence(Reason.CONTENTS_UNKNOWN, f" ({', '.join(unanswered)} does not answer)" if unanswered else "")
        for name, (why, is_proven) in proven.homes().items():
            if name not in objects:
                continue
            others = [
                o for o in listed if o["metadata"].get("namespace") == name and o not in proven and not _ordinary(o)
            ]
            if not is_proven:
                self._retain(objects[name], why, Evidence(Reason.NOT_PROVEN))
            elif name not in complete:
                self._retain(objects[name], why, unknown)
            elif others:
                first = some([f"{o['kind']} {o['metadata']['name']}" for o in others], 5)
                self._retain(objects[name], why, Evidence(Reason.HOLDS_OTHERS, first))
            else:
                evidence = [why, Evidence(Reason.ONLY_ISTIO_INSIDE)]
                self.going.append(item_of(objects[name], "namespaces", "delete", evidence))

    def _retain(self, namespace: K8sObject, *evidence: Evidence) -> None:
        self.retained.append(item_of(namespace, "", "leave", evidence))


def _is_controllers_own(obj: K8sObject) -> bool:
    if obj["kind"] in ("Event", "Endpoints", "EndpointSlice", "PodMetrics"):
        return True
    return obj["kind"] in FOLLOWERS and bool(obj["metadata"].get("ownerReferences"))


def _is_token_of_default(obj: K8sObject) -> bool:
    """Whether a Secret was created by Kubernetes or OpenShift for a ServiceAccount that every namespace has."""
    account = (obj["metadata"].get("annotations") or {}).get(
        "kubernetes.io/service-account.name",
        (obj["metadata"].get("annotations") or {}).get("openshift.io/internal-registry-auth-token.service-account", ""),
    )
    return (
        obj["kind"] == "Secret"
        and obj.get("type") in ("kubernetes.io/service-account-token", "kubernetes.io/dockercfg")
        and account in _ORDINARY_NAMES["ServiceAccount"]
    )


#: What Kubernetes and OpenShift create in every namespace.
_ORDINARY_NAMES = {
    "ServiceAccount": ("default", "builder", "deployer"),
    "ConfigMap": ("kube-root-ca.crt", "openshift-service-ca.crt"),
}


def _ordinary(obj: K8sObject) -> bool:
    """Whether every namespace holds such an object, or a controller made it for another one."""
    name = obj["metadata"]["name"]
    return (
        _is_controllers_own(obj)
        or name in _ORDINARY_NAMES.get(obj["kind"], ())
        or _is_token_of_default(obj)
        or (obj["kind"] == "RoleBinding" and name.startswith("system:"))
    )


def istio_keys(obj: K8sObject) -> list[Key]:
    """The labels, annotations, finalizers and taints of Istio's that an object carries."""
    meta = obj["metadata"]
    taints = (obj.get("spec") or {}).get("taints") or [] if obj["kind"] == "Node" else []
    return [
        *(Key(Scope.LABEL, name) for name in meta.get("labels") or {} if istio_key(name)),
        *(Key(Scope.ANNOTATION, name) for name in meta.get("annotations") or {} if istio_key(name)),
        *(Key(Scope.FINALIZER, name) for name in meta.get("finalizers") or [] if istio_finalizer(name)),
        *(Key(Scope.TAINT, taint["key"]) for taint in taints if istio_key(taint["key"])),
    ]


def _strips(
    listed: t.Iterable[K8sObject], proven: Proven, gone: t.Collection[str], selected: SelectedKeys
) -> tuple[list[Item], list[Item]]:
    """Objects that are not Istio's and lose Istio's keys, and those that keep a key which others select by."""
    items, retained = [], []
    for obj in listed:
        if obj in proven or obj["kind"] in FOLLOWERS or obj["metadata"].get("namespace") in gone:
            continue
        if obj["kind"] == "Namespace" and obj["metadata"]["name"] in gone:
            continue
        kept = selected.of_namespaces if obj["kind"] == "Namespace" else {}
        keys = istio_keys(obj)
        held = [k for k in keys if k.scope is Scope.LABEL and k.name in kept]
        keys = [k for k in keys if k not in held]
        if keys:
            items.append(item_of(obj, "injection", "strip", [Evidence(Reason.ISTIO_KEY, str(k)) for k in keys], keys))
        if held:
            why = [Evidence(Reason.KEY_SELECTED, f"{k} (selector of {kept[k.name]})") for k in held]
            retained.append(item_of(obj, "", "leave", why))
    return items, retained


def _unsure(
    listed: t.Iterable[K8sObject], proven: Proven, gone: t.Collection[str], restarts: t.Iterable[Item]
) -> list[Item]:
    """What resembles Istio by name, label, pod template or release, without evidence that only Istio gives."""
    items = []
    restarted = {item.id for item in restarts}
    for obj in listed:
        meta = obj["metadata"]
        if obj in proven or obj["kind"] in FOLLOWERS or meta.get("namespace") in gone or meta["name"] in gone:
            continue
        evidence = [Evidence(Reason.RELEASE_NOT_PROVEN, release.title) for release in proven.claims_on(obj)]
        signs = _signs(obj, is_restarted=key(obj) in restarted)
        if signs:
            evidence.append(Evidence(Reason.LOOKS_LIKE_ISTIO, ", ".join(signs)))
        if evidence:
            items.append(item_of(obj, "", "leave", evidence))
    return items


def _signs(obj: K8sObject, *, is_restarted: bool) -> list[str]:
    meta = obj["metadata"]
    signs = [f"name {meta['name']}"] if _LOOKS_LIKE.search(meta["name"]) else []
    signs += [
        f"label {k}={v}"
        for k, v in (meta.get("labels") or {}).items()
        if v != meta["name"] and not istio_key(k) and _LOOKS_LIKE.search(f"{k} {v}")
    ]
    if obj["kind"] in RESTARTABLE and not is_restarted:
        signs += [str(k) for k in template_keys(obj)]
    return signs
