# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What belongs to one revision, and what still uses it."""

from __future__ import annotations

import dataclasses
import enum
import typing as t

from ..mesh.names import GATEWAY_API
from ..mesh.pods import injected, revision_of
from ..reconcile.identity import api_group
from ..reconcile.types import K8sObject
from .classify import is_default_validator, is_ztunnel
from .item import Footprint

_ISTIO_CLASSES = ("istio", "istio-waypoint", "istio-remote", "istio-east-west")


class UseKind(enum.Enum):
    """What uses a revision. The value is the word that messages use."""

    TAG = "tag"
    NAMESPACE = "namespace"
    PROXY = "proxy"
    WORKLOAD = "workload"
    GATEWAY = "gateway"
    AMBIENT = "ambient namespace"
    ZTUNNEL = "ztunnel"
    VALIDATOR = "validator"


@dataclasses.dataclass(frozen=True)
class Use:
    """One user of a revision.

    >>> str(Use(UseKind.TAG, "prod"))
    'tag prod'
    """

    kind: UseKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind.value} {self.name}"


def _labels(obj: K8sObject) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def _where(obj: K8sObject) -> str:
    return f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"


def tags_of(listed: t.Iterable[K8sObject], revision: str) -> list[str]:
    """The revision tags that point at a revision."""
    return sorted(
        {
            labels["istio.io/tag"]
            for obj in listed
            if obj["kind"] == "MutatingWebhookConfiguration"
            for labels in [_labels(obj)]
            if labels.get("istio.io/tag") and labels.get("istio.io/rev") == revision
        }
    )


def uses_of_revision(listed: t.Sequence[K8sObject], revision: str) -> list[Use]:
    """Who still uses a revision.

    Tags, namespaces that inject with it, its proxies, workloads without a pod that choose it, Gateways, the default
    validator; and ztunnel with the namespaces that are in ambient mode. Where no ztunnel is listed, it may be of any
    revision.
    """
    uses = [Use(UseKind.TAG, tag) for tag in tags_of(listed, revision)]
    ztunnels = {_labels(obj).get("istio.io/rev") or "default" for obj in listed if is_ztunnel(obj)}
    default = _default_revision(listed)
    ambient = not ztunnels or revision in ztunnels
    for obj in listed:
        use = _use(obj, revision, default, ambient=ambient)
        if use:
            uses.append(use)
    return sorted(uses, key=str)


def _default_revision(listed: t.Iterable[K8sObject]) -> str:
    """The revision of objects that name none: that of the tag C(default), where there is such a tag."""
    pointed = [
        _labels(obj).get("istio.io/rev", "")
        for obj in listed
        if obj["kind"] == "MutatingWebhookConfiguration" and _labels(obj).get("istio.io/tag") == "default"
    ]
    return next((revision for revision in pointed if revision), "default")


def _use(obj: K8sObject, revision: str, default: str, *, ambient: bool) -> Use | None:
    kind, labels = obj["kind"], _labels(obj)
    if kind == "Namespace":
        return _use_of_namespace(obj, revision, ambient=ambient)
    if kind == "Pod":
        used = injected(obj) and revision_of(obj) == revision
        return Use(UseKind.PROXY, _where(obj)) if used else None
    if is_ztunnel(obj):
        used = (labels.get("istio.io/rev") or "default") == revision
        return Use(UseKind.ZTUNNEL, _where(obj)) if used else None
    if is_default_validator(obj):
        return Use(UseKind.VALIDATOR, obj["metadata"]["name"]) if _validates_by(obj) == revision else None
    if kind == "Gateway" and api_group(obj) == GATEWAY_API:
        is_istios = (obj.get("spec") or {}).get("gatewayClassName") in _ISTIO_CLASSES
        used = is_istios and (labels.get("istio.io/rev") or default) == revision
        return Use(UseKind.GATEWAY, _where(obj)) if used else None
    if _chosen_by_template(obj) == revision:
        return Use(UseKind.WORKLOAD, f"{kind} {_where(obj)}")
    return None


def _use_of_namespace(obj: K8sObject, revision: str, *, ambient: bool) -> Use | None:
    labels, name = _labels(obj), obj["metadata"]["name"]
    wanted = labels.get("istio.io/rev") or ("default" if labels.get("istio-injection") == "enabled" else "")
    if wanted == revision:
        return Use(UseKind.NAMESPACE, name)
    if ambient and labels.get("istio.io/dataplane-mode") == "ambient":
        return Use(UseKind.AMBIENT, name)
    return None


def _validates_by(obj: K8sObject) -> str:
    """The revision whose istiod a validating webhook configuration calls."""
    for hook in obj.get("webhooks") or []:
        service = ((hook.get("clientConfig") or {}).get("service") or {}).get("name", "")
        if service == "istiod" or service.startswith("istiod-"):
            return service.removeprefix("istiod").removeprefix("-") or "default"
    return _labels(obj).get("istio.io/rev", "")


def _chosen_by_template(obj: K8sObject) -> str:
    """The revision that the label of a workload's pod template chooses; empty where it chooses none."""
    spec = obj.get("spec") or {}
    if obj["kind"] == "CronJob":
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    elif obj["kind"] not in ("Deployment", "StatefulSet", "DaemonSet"):
        return ""
    meta = (spec.get("template") or {}).get("metadata") or {}
    labels = meta.get("labels") or {}
    if labels.get("app") == "istiod":
        return ""  # the revision's own istiod, which is no user of itself
    revision = labels.get("istio.io/rev")
    return revision if isinstance(revision, str) else ""


def of_revision(whole: Footprint, revision: str) -> Footprint:
    """The part of a footprint that belongs to one revision only."""
    releases = tuple(r for r in whole.releases if r.revision == revision and r.part == "control_plane")
    names = {release.where for release in releases}
    items = tuple(
        item
        for item in whole.items
        if item.part in ("webhooks", "control_plane", "releases")
        and item.revision == revision
        and (item.part != "releases" or item.release in names)
    )
    return Footprint(items, (), releases)
