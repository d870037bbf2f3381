# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Helm releases of Istio's charts, and which live objects they own.

A release is a Secret that anybody with rights in its namespace can write. It is only a claim: an object belongs to a
release when the object itself says so, and when its kind is one that Istio's charts contain.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import typing as t
import zlib

from ..helm.ownership import is_proven
from ..helm.stored import RECORD_TYPE, RecordError, Stored, decode
from ..reconcile.identity import Key as Id
from ..reconcile.identity import key
from ..reconcile.types import K8sObject

try:
    import yaml
except ImportError:
    pass  # the kubernetes package brings it; cluster.auth tells the user

#: Charts of Istio's own Helm repository (since 1.5), of the Sail operator and of this collection, and their part.
CHART_PARTS: dict[str, t.Literal["control_plane", "cni", "gateways", "operators"]] = {
    "base": "control_plane",
    "istio-base": "control_plane",
    "istiod": "control_plane",
    "istio-discovery": "control_plane",
    "istio-control": "control_plane",
    "istiod-remote": "control_plane",
    "istio-default": "control_plane",
    "default": "control_plane",
    "ztunnel": "control_plane",
    "ambient": "control_plane",
    "cni": "cni",
    "istio-cni": "cni",
    "gateway": "gateways",
    "istio-ingress": "gateways",
    "istio-egress": "gateways",
    "istio-operator": "operators",
    "sail-operator": "operators",
}
#: Charts of one revision. All the others (base, cni, ztunnel, and ambient, which holds them) serve every revision.
REVISIONED_CHARTS = ("istiod", "istio-discovery", "istio-control", "istiod-remote", "istio-default", "default")
#: The repositories that these charts name in their C(sources). A keyword proves nothing: many charts have "istio"
#: there.
_SOURCES = re.compile(
    r"https?://github\.com/("
    r"istio/istio"
    r"|istio-ecosystem/sail-operator"
    r"|openshift-service-mesh/(sail-operator|istio)"
    r"|meshops/istio"
    r")(\.git)?(/.*)?"
)
#: The kinds that these charts contain. No release makes a purge delete any other kind: no Secret, no
#: PersistentVolumeClaim, no Namespace.
CHART_KINDS = frozenset(
    {
        ("", "ConfigMap"),
        ("", "Endpoints"),
        ("", "ResourceQuota"),
        ("", "Service"),
        ("", "ServiceAccount"),
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ("apps", "DaemonSet"),
        ("apps", "Deployment"),
        ("autoscaling", "HorizontalPodAutoscaler"),
        ("discovery.k8s.io", "EndpointSlice"),
        ("k8s.cni.cncf.io", "NetworkAttachmentDefinition"),
        ("monitoring.coreos.com", "PodMonitor"),
        ("monitoring.coreos.com", "ServiceMonitor"),
        ("networking.istio.io", "EnvoyFilter"),
        ("networking.k8s.io", "NetworkPolicy"),
        ("policy", "PodDisruptionBudget"),
        ("rbac.authorization.k8s.io", "ClusterRole"),
        ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
        ("rbac.authorization.k8s.io", "Role"),
        ("rbac.authorization.k8s.io", "RoleBinding"),
        ("route.openshift.io", "Route"),
    }
)
#: How Istio's charts name what they create outside the release's namespace.
_ISTIO_NAME = re.compile(r"(^|[^a-z])(istio|istiod|ztunnel)($|[^a-z])")


@dataclasses.dataclass(frozen=True)
class Release:
    """A Helm release of an Istio chart, in its newest record.

    :ivar values: the values that its user gave
    :ivar objects: id -> apiVersion of the objects in its manifest, in its own namespace and cluster-scoped where the
        manifest names no namespace; none where the release is uninstalled
    """

    name: str
    namespace: str
    chart: str
    version: str
    status: str
    values: dict[str, t.Any]
    manifest: str
    objects: dict[Id, str]

    @property
    def part(self) -> t.Literal["control_plane", "cni", "gateways", "operators"]:
        return CHART_PARTS[self.chart]

    @property
    def revision(self) -> str:
        """The revision that it belongs to; empty where it serves every revision."""
        if self.chart == "gateway":
            return _text(self.values.get("revision"))
        if self.chart not in REVISIONED_CHARTS:
            return ""
        return _text(self.values.get("revision")) or "default"

    @property
    def where(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def title(self) -> str:
        """The release and its chart, for messages."""
        return f"{self.name} (chart {self.chart} {self.version})"

    def names(self, obj: K8sObject) -> bool:
        """Whether its manifest names an object."""
        return key(obj) in self.objects

    def owns(self, obj: K8sObject) -> bool:
        """Whether the live object itself says that it belongs to this release, and is one that its chart may contain.

        Helm writes the label and both annotations on everything that it installs. What is outside the release's own
        namespace must be named as Istio names it, too: whoever can write the Secret of a release could otherwise have
        other objects of that release deleted.
        """
        ident = key(obj)
        return (
            ident in self.objects
            and ident[:2] in CHART_KINDS
            and is_proven(obj, self.namespace, self.name)
            and (ident[2] == self.namespace or _ISTIO_NAME.search(ident[3]) is not None)
        )


def _text(value: t.Any) -> str:
    return value if isinstance(value, str) else ""


def is_record(obj: K8sObject) -> bool:
    """Whether an object is a Secret in which Helm stores one version of a release."""
    return obj["kind"] == "Secret" and obj.get("type") == RECORD_TYPE


def read_record(secret: K8sObject) -> Stored | None:
    """What Helm has stored in a Secret; None where that is not readable as a record."""
    data = (secret.get("data") or {}).get("release")
    return _decoded(data, secret["metadata"]["namespace"]) if isinstance(data, str) else None


@functools.lru_cache(maxsize=32)  # a purge reads its releases several times, and the manifest of base is long
def _decoded(data: str, namespace: str) -> Stored | None:
    try:
        stored = decode({"data": {"release": data}, "metadata": {"namespace": namespace, "name": "record"}})
    except (RecordError, AttributeError, RecursionError, zlib.error):
        return None
    return stored


def is_istio_chart(stored: Stored) -> bool:
    """Whether a record's chart is one of Istio's by its name and by the repository that it names as its source."""
    sources = stored.metadata.get("sources")
    named = sources if isinstance(sources, list) else []
    return stored.chart in CHART_PARTS and any(
        isinstance(source, str) and _SOURCES.fullmatch(source) for source in named
    )


def _release(stored: Stored) -> Release:
    objects: dict[Id, str] = {}
    for identity, version in _in_manifest(stored.manifest) if stored.status != "uninstalled" else ():
        group, kind, namespace, name = identity
        for home in [namespace] if namespace else ["", stored.namespace]:
            objects[group, kind, home, name] = version
    return Release(
        stored.name,
        stored.namespace,
        stored.chart,
        stored.version,
        stored.status,
        stored.values,
        stored.manifest,
        objects,
    )


@functools.lru_cache(maxsize=32)  # as for _decoded
def _in_manifest(manifest: str) -> tuple[tuple[Id, str], ...]:
    """What a release's manifest contains, and its apiVersions."""
    return tuple((key(document), document["apiVersion"]) for document in documents(manifest))


def documents(manifest: str) -> t.Iterator[K8sObject]:
    """The objects in a release's manifest; nothing from where on it is not readable."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for document in yaml.load_all(manifest, Loader=loader):  # noqa: S506 - both are safe
            if _is_object(document):
                yield document
    except (yaml.YAMLError, ValueError, RecursionError):
        return


def _is_object(document: t.Any) -> bool:
    if not isinstance(document, dict) or not isinstance(document.get("metadata"), dict):
        return False
    meta = document["metadata"]
    words = (document.get("apiVersion"), document.get("kind"), meta.get("name"), meta.get("namespace") or "-")
    return all(isinstance(word, str) and word for word in words)


def read_releases(listed: t.Iterable[K8sObject]) -> list[Release]:
    """The releases among the listed Secrets whose newest record is of an Istio chart."""
    newest: dict[tuple[str, str], Stored] = {}
    for secret in listed:
        stored = read_record(secret) if is_record(secret) else None
        if stored:
            place = (stored.namespace, stored.name)
            if place not in newest or newest[place].revision < stored.revision:
                newest[place] = stored
    return [_release(stored) for stored in newest.values() if is_istio_chart(stored)]
