# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lists what C(footprint) reads: the only requests behind a footprint, and no more of them than needed."""

from __future__ import annotations

import concurrent.futures
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError
from ..cluster.kinds import KNOWN, Kind, known
from ..mesh.names import CA_SECRETS, gateway_api, istio_group
from .charts import Release, id_of, read_releases
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
_INGRESS_CLASS = Kind("networking.k8s.io", "v1", "IngressClass", "ingressclasses", False)
_ATTACHMENT = Kind("k8s.cni.cncf.io", "v1", "NetworkAttachmentDefinition", "network-attachment-definitions", True)

#: ConfigMaps and Secrets can be many, and Secrets are nobody's business: only these are asked for.
_SELECTED: tuple[tuple[str, dict[str, str]], ...] = (
    ("ConfigMap", {"labels": "istio.io/config=true"}),
    ("ConfigMap", {"fields": "metadata.name=istio-ca-root-cert"}),
    ("ConfigMap", {"labels": "app.kubernetes.io/part-of=istio"}),
    ("ConfigMap", {"labels": "operator.istio.io/component"}),
    ("Secret", {"labels": "istio/multiCluster=true"}),
    ("Secret", {"labels": "app.kubernetes.io/part-of=istio"}),
    ("Secret", {"labels": "operator.istio.io/component"}),
    *(("Secret", {"fields": f"metadata.name={name}"}) for name in CA_SECRETS),
    ("Secret", {"fields": "type=istio.io/key-and-cert"}),
    ("Secret", {"labels": "owner=helm,status!=superseded", "fields": "type=helm.sh/release.v1"}),
)
_CRD = KNOWN["apiextensions.k8s.io", "CustomResourceDefinition"]


def read_footprint(cluster: Cluster) -> Footprint:
    """The footprint of whatever Istio is, or was, in a cluster."""
    listed, complete = list_istio(cluster)
    return footprint(listed, complete)


def list_istio(cluster: Cluster) -> tuple[list[dict], list[str]]:
    """Every object that may be Istio's, each once, and the namespaces of which everything is listed."""
    seen: dict[tuple, dict] = {}
    access = _Access(cluster)
    with concurrent.futures.ThreadPoolExecutor(cluster.concurrency) as pool:

        def each(requests: t.Iterable[tuple[Kind, dict]]) -> None:
            requests = list(requests)
            for objects in pool.map(lambda r: _list(cluster, access, *r), requests):
                seen.update((id_of(obj), obj) for obj in objects)

        each(_requests(cluster))
        each((kind, {}) for kind in custom_kinds(o for o in seen.values() if o["kind"] == _CRD.kind))
        each(
            (KNOWN["", "Secret"], {"namespace": r.namespace, "labels": f"owner=helm,name={r.name}"})
            for r in read_releases(list(seen.values()))
        )
        releases = read_releases(list(seen.values()))
        objects = pool.map(lambda f: cluster.get(f[0], f[2], f[1]), _unseen(cluster, releases, seen))
        seen.update((id_of(obj), obj) for obj in objects if obj is not None)
        complete = candidate_namespaces(list(seen.values()))
        complete = [name for name in complete if access.to(name)]
        if complete:
            kinds = namespaced_kinds(cluster, pool)
            each((kind, {"namespace": name}) for name in complete for kind in kinds)
    return list(seen.values()), complete


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


def _list(cluster: Cluster, access: _Access, kind: Kind, query: dict) -> list[dict]:
    """The objects; of Secrets, where not all may be read, those in the namespaces where they may."""
    try:
        return cluster.list(kind, **query)
    except ApiError as error:
        if error.status != 403 or kind.kind != "Secret" or "namespace" in query:
            raise
    names = [namespace["metadata"]["name"] for namespace in cluster.list(KNOWN["", "Namespace"])]
    return [obj for name in names if access.to(name) for obj in cluster.list(kind, name, **query)]


def _unseen(
    cluster: Cluster, releases: t.Iterable[Release], seen: t.Container[tuple]
) -> list[tuple[Kind, str | None, str]]:
    """The objects of releases that no list holds, such as the Route of a gateway: kind, namespace, name."""
    found = {}
    for release in releases:
        for ident, api_version in release.objects.items():
            _group, kind_name, namespace, name = ident
            if ident in seen:
                continue
            kind = known(api_version, kind_name) or cluster.discover(api_version).get(kind_name)
            if kind is not None and kind.namespaced == bool(namespace):
                found[kind, namespace or None, name] = True
    return list(found)


def _requests(cluster: Cluster) -> t.Iterator[tuple[Kind, dict]]:
    for key in _WHOLE:
        yield KNOWN[key], {}
    yield _CRD, {}
    yield _INGRESS_CLASS, {}
    yield _ATTACHMENT, {"labels": "operator.istio.io/component"}
    for name, query in _SELECTED:
        yield KNOWN["", name], query


def custom_kinds(definitions: t.Iterable[dict]) -> list[Kind]:
    """The kinds of Istio's and of the Gateway API that CustomResourceDefinitions define, in the version stored."""
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


def namespaced_kinds(cluster: Cluster, pool: concurrent.futures.Executor) -> list[Kind]:
    """Every kind that can be listed in a namespace, each in its preferred version."""
    groups = cluster.request("GET", "/apis")["groups"]
    paths = ["/api/v1", *(f"/apis/{g['preferredVersion']['groupVersion']}" for g in groups)]

    def resources(path: str) -> list[Kind]:
        try:
            answer = cluster.request("GET", path)
        except ApiError:
            return []  # an aggregated API without a backend: nothing of Istio's lives there
        group, _slash, version = answer["groupVersion"].rpartition("/")
        return [
            Kind(group, version, r["kind"], r["name"], True)
            for r in answer["resources"]
            if r["namespaced"] and "/" not in r["name"] and "list" in r["verbs"]
        ]

    return [kind for kinds in pool.map(resources, paths) for kind in kinds if kind.group != "metrics.k8s.io"]
