# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lists what C(footprint) reads: all requests behind a footprint, and no more of them than needed."""

from __future__ import annotations

import concurrent.futures
import re
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError
from ..cluster.kinds import KNOWN, Kind, known
from ..mesh.names import CA_SECRETS, gateway_api, istio_group
from ..reconcile.identity import Key as Id
from ..reconcile.identity import key
from ..reconcile.types import K8sObject
from .charts import CHART_KINDS, Release, read_releases
from .evidence import candidate_namespaces
from .footprint import footprint
from .item import Footprint

#: Listed whole: few, small, or without a label that could select them.
_WHOLE = (
    ("", "Namespace"),
    ("", "Node"),
    ("", "Pod"),
    ("", "Service"),
    ("", "ServiceAccount"),
    ("", "ResourceQuota"),
    ("apps", "Deployment"),
    ("apps", "DaemonSet"),
    ("apps", "StatefulSet"),
    ("batch", "CronJob"),
    ("autoscaling", "HorizontalPodAutoscaler"),
    ("policy", "PodDisruptionBudget"),
    ("networking.k8s.io", "NetworkPolicy"),
    ("networking.k8s.io", "Ingress"),
    ("rbac.authorization.k8s.io", "Role"),
    ("rbac.authorization.k8s.io", "RoleBinding"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
    ("certificates.k8s.io", "ClusterTrustBundle"),
)
_INGRESS_CLASS = Kind("networking.k8s.io", "v1", "IngressClass", "ingressclasses", namespaced=False)
_ATTACHMENT = Kind(
    "k8s.cni.cncf.io", "v1", "NetworkAttachmentDefinition", "network-attachment-definitions", namespaced=True
)

#: ConfigMaps and Secrets can be many, and Secrets are confidential: only these are asked for.
_SELECTED: tuple[tuple[str, str | None, str | None], ...] = (
    ("ConfigMap", "istio.io/config=true", None),
    ("ConfigMap", None, "metadata.name=istio-ca-root-cert"),
    ("ConfigMap", "app.kubernetes.io/part-of=istio", None),
    ("ConfigMap", "operator.istio.io/component", None),
    ("Secret", "istio/multiCluster=true", None),
    ("Secret", "app.kubernetes.io/part-of=istio", None),
    ("Secret", "operator.istio.io/component", None),
    *(("Secret", None, f"metadata.name={name}") for name in CA_SECRETS),
    ("Secret", None, "type=istio.io/key-and-cert"),
    ("Secret", "owner=helm,status!=superseded", "type=helm.sh/release.v1"),
)
_CRD = KNOWN["apiextensions.k8s.io", "CustomResourceDefinition"]
#: What can be a part of a path, and what can be in a label selector.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]*")
_VERSION = re.compile(r"([a-z0-9.-]+/)?v[a-z0-9]+")
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


class Request(t.NamedTuple):
    """One list: of all namespaces, unless it names one."""

    kind: Kind
    namespace: str | None = None
    labels: str | None = None
    fields: str | None = None


class Listing(t.NamedTuple):
    """What a footprint is read from.

    :ivar objects: every object that may be Istio's, each once
    :ivar complete: the namespaces of which everything is listed
    :ivar unanswered: APIs that did not answer: what they serve in a namespace is not known
    """

    objects: list[K8sObject]
    complete: list[str]
    unanswered: list[str]


def read_footprint(cluster: Cluster) -> Footprint:
    """The footprint of whatever Istio is, or was, in a cluster."""
    return footprint(*list_istio(cluster))


def list_istio(cluster: Cluster) -> Listing:
    """Lists every object that may be Istio's, and all objects of the namespaces that may be deleted."""
    seen: dict[Id, K8sObject] = {}
    access = _Access(cluster)
    complete: list[str] = []
    unanswered: list[str] = []
    with concurrent.futures.ThreadPoolExecutor(cluster.concurrency) as pool:

        def each(requests: t.Iterable[Request]) -> None:
            requests = list(requests)
            for objects in pool.map(lambda request: _list(cluster, access, request), requests):
                seen.update((key(obj), obj) for obj in objects)

        each(_requests(cluster))
        each(Request(kind) for kind in custom_kinds(o for o in seen.values() if o["kind"] == _CRD.kind))
        each(
            Request(KNOWN["", "Secret"], r.namespace, f"owner=helm,name={r.name}")
            for r in read_releases(list(seen.values()))
            if _LABEL_VALUE.fullmatch(r.name)
        )
        releases = read_releases(list(seen.values()))
        objects = pool.map(lambda f: _get(cluster, *f), _unseen(cluster, releases, seen))
        seen.update((key(obj), obj) for obj in objects if obj is not None)
        complete = [name for name in candidate_namespaces(list(seen.values())) if access.to(name)]
        if complete:
            kinds, unanswered = namespaced_kinds(cluster, pool)
            each(Request(kind, name) for name in complete for kind in kinds)
    return Listing(list(seen.values()), [] if unanswered else complete, unanswered)


def _get(cluster: Cluster, kind: Kind, namespace: str | None, name: str) -> K8sObject | None:
    """One object; None where it is not there, or its name, which a release's manifest gives, is not a valid one."""
    try:
        return cluster.get(kind, name, namespace)
    except ApiError as error:
        if error.status not in (400, 403):
            raise
        return None


class _Access:
    """Which namespaces may be listed whole, with their Secrets: an operator may not read everybody's."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: dict[str, bool] = {}

    def to(self, namespace: str) -> bool:
        if namespace not in self._known:
            try:
                self._cluster.list(KNOWN["", "Secret"], namespace, fields="metadata.name=cacerts")
                self._known[namespace] = True
            except ApiError as error:
                if error.status != 403:
                    raise
                self._known[namespace] = False
        return self._known[namespace]


def _list(cluster: Cluster, access: _Access, request: Request) -> list[K8sObject]:
    """The objects; of Secrets, where not all may be read, those in the namespaces where they may."""
    kind, namespace, labels, fields = request
    try:
        return cluster.list(kind, namespace, labels, fields)
    except ApiError as error:
        if error.status != 403 or kind.kind != "Secret" or namespace:
            raise
    names = [each["metadata"]["name"] for each in cluster.list(KNOWN["", "Namespace"])]
    return [obj for name in names if access.to(name) for obj in cluster.list(kind, name, labels, fields)]


def _unseen(
    cluster: Cluster, releases: t.Iterable[Release], seen: t.Container[Id]
) -> list[tuple[Kind, str | None, str]]:
    """The objects of releases that no list holds, such as the Route of a gateway: kind, namespace, name.

    Only kinds that Istio's charts contain are read, and only by names that can be a part of a path.
    """
    wanted = {}
    for release in releases:
        for ident, api_version in release.objects.items():
            group, kind_name, namespace, name = ident
            valid = _NAME.fullmatch(name) and (not namespace or _NAME.fullmatch(namespace))
            if (
                ident in seen
                or (group, kind_name) not in CHART_KINDS
                or not valid
                or not _VERSION.fullmatch(api_version)
            ):
                continue
            kind = known(api_version, kind_name) or cluster.discover(api_version).get(kind_name)
            if kind is not None and kind.namespaced == bool(namespace):
                wanted[kind, namespace or None, name] = True
    return list(wanted)


def _requests(cluster: Cluster) -> t.Iterator[Request]:
    for group_and_kind in _WHOLE:
        yield Request(KNOWN[group_and_kind])
    yield Request(_CRD)
    yield Request(_INGRESS_CLASS)
    yield Request(_ATTACHMENT, labels="operator.istio.io/component")
    for name, labels, fields in _SELECTED:
        yield Request(KNOWN["", name], labels=labels, fields=fields)


def custom_kinds(definitions: t.Iterable[K8sObject]) -> list[Kind]:
    """The kinds of Istio's and of the Gateway API that CustomResourceDefinitions define, in their stored version."""
    kinds = []
    for definition in definitions:
        spec = definition["spec"]
        kind = spec["names"]["kind"]
        if istio_group(spec["group"]) or gateway_api(spec["group"], kind) or kind == "GatewayClass":
            served = [v for v in spec["versions"] if v["served"]]
            version = next((v for v in served if v["storage"]), served[0] if served else None)
            if version:
                names = spec["names"]
                kinds.append(
                    Kind(spec["group"], version["name"], names["kind"], names["plural"], spec["scope"] == "Namespaced")
                )
    return kinds


def namespaced_kinds(cluster: Cluster, pool: concurrent.futures.Executor) -> tuple[list[Kind], list[str]]:
    """Every kind that can be listed in a namespace, each once, in the first version that serves it.

    A group serves some kinds in a version only that is not its preferred one, as C(kubectl api-resources) shows.

    :returns: the kinds, and the group versions that do not answer
    """
    groups = cluster.request("GET", "/apis")["groups"]
    paths = ["/api/v1", *(f"/apis/{version}" for group in groups for version in _versions(group))]

    def resources(path: str) -> list[Kind] | None:
        try:
            answer = cluster.request("GET", path)
        except ApiError as error:
            return [] if error.status == 404 else None  # 404: its definition has just been deleted
        group, _slash, version = answer["groupVersion"].rpartition("/")
        return [
            Kind(group, version, r["kind"], r["name"], namespaced=True)
            for r in answer["resources"]
            if r["namespaced"] and "/" not in r["name"] and "list" in r["verbs"]
        ]

    kinds: dict[tuple[str, str], Kind] = {}
    unanswered = []
    for path, served in zip(paths, pool.map(resources, paths), strict=True):
        if served is None:
            unanswered.append(path.removeprefix("/apis/"))
        for kind in served or ():
            kinds.setdefault((kind.group, kind.plural), kind)
    return [kind for kind in kinds.values() if kind.group != "metrics.k8s.io"], unanswered


def _versions(group: t.Mapping[str, t.Any]) -> list[str]:
    """The versions of an API group, the preferred one first."""
    preferred = group["preferredVersion"]["groupVersion"]
    return [preferred, *(v["groupVersion"] for v in group["versions"] if v["groupVersion"] != preferred)]
