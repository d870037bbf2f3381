# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What runs in a mesh: a pure reading of listed objects, and the few LISTs that it needs."""

from __future__ import annotations

import collections
import concurrent.futures
import datetime
import re
import typing as t

from ..cluster.client import Cluster
from ..cluster.kinds import KNOWN
from ..errors import MeshopsError
from ..mesh.certificates import certificates
from ..mesh.pods import (
    PROXY,
    container_state,
    in_ambient,
    is_over,
    labels_of,
    owner_of,
    proxy_container,
    proxy_kind,
    revision_of,
)
from ..reconcile.selectors import matches
from ..reconcile.types import K8sObject, Labels


class _List(t.NamedTuple):
    """One LIST that a section needs: what the readings call it, its kind, and how it is narrowed."""

    name: str
    kind: tuple[str, str]
    labels: str | None = None
    fields: str | None = None


_PODS = _List("Pod", ("", "Pod"))
_NAMESPACES = _List("Namespace", ("", "Namespace"))
_SERVICES = _List("Service", ("", "Service"))
_CONTROL_PLANES = _List("istiod", ("apps", "Deployment"), labels="app=istiod")
_WEBHOOKS = _List("webhook", ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"), labels="istio.io/rev")
_ROOTS = _List("roots", ("", "ConfigMap"), fields="metadata.name=istio-ca-root-cert")
_NEEDS: dict[str, tuple[_List, ...]] = {
    "control_planes": (_CONTROL_PLANES, _PODS, _WEBHOOKS),
    "proxies": (_PODS, _CONTROL_PLANES),
    "gateways": (_PODS, _SERVICES),
    "ca": (_ROOTS,),
    "namespaces": (_NAMESPACES, _PODS, _WEBHOOKS, _CONTROL_PLANES),
}
SECTIONS = tuple(_NEEDS)

_VARIANT = re.compile(r"-(distroless|debug)$")
_NUMBERS = re.compile(r"(\d+)\.(\d+)\.(\d+)")
#: The annotation by which a pod has a proxy image of its own, whatever its control plane's version.
_OWN_IMAGE = "sidecar.istio.io/proxyImage"

Listed = t.Mapping[str, t.Sequence[K8sObject]]


class ControlPlane(t.TypedDict):
    """An istiod, as C(mesh_info) returns it."""

    namespace: str
    name: str
    revision: str
    version: str | None
    tags: list[str]
    replicas: int
    ready: int
    proxies: int


class Tag(t.TypedDict):
    """A revision tag."""

    name: str
    revision: str


class Proxy(t.TypedDict):
    """A proxy, as C(mesh_info) returns it."""

    namespace: str
    pod: str
    type: str
    revision: str
    version: str | None
    ready: bool
    outdated: bool


class Port(t.TypedDict):
    """A port of a gateway's Service."""

    name: str
    port: int
    node_port: int


class Service(t.TypedDict):
    """A Service that leads to a gateway."""

    name: str
    type: str
    addresses: list[str]
    cluster_ip: str
    ports: list[Port]


class Gateway(t.TypedDict):
    """A gateway or waypoint, as C(mesh_info) returns it."""

    namespace: str
    name: str
    type: str
    gateway_api: str
    revisions: list[str]
    versions: list[str]
    pods: int
    ready: int
    services: list[Service]


class Namespace(t.TypedDict):
    """A namespace of the mesh, as C(mesh_info) returns it."""

    name: str
    mode: str
    revision: str
    tag: str
    pods: int
    sidecars: int
    ambient: int
    outdated: int


class Trust(t.TypedDict):
    """The roots that namespaces trust, as C(mesh_info) returns them."""

    roots: list[dict[str, t.Any]]
    complete: bool
    unreadable: list[dict[str, str]]


class Mesh(t.TypedDict, total=False):
    """The sections of the report that were read."""

    control_planes: list[ControlPlane]
    tags: list[Tag]
    proxies: list[Proxy]
    proxy_versions: dict[str, int]
    gateways: list[Gateway]
    ca: Trust
    namespaces: list[Namespace]


class _Proxy(t.NamedTuple):
    namespace: str
    pod: str
    workload: str
    labels: Labels
    type: str
    revision: str
    version: str | None
    ready: bool
    own_image: bool


def read_mesh(cluster: Cluster, sections: t.Iterable[str]) -> Mesh:
    """The sections of the report, from one LIST a kind, all sent at once.

    :param sections: some of SECTIONS
    """
    sections = list(sections)
    needed = {need.name: need for section in sections for need in _NEEDS[section]}

    def read(need: _List) -> list[K8sObject]:
        return cluster.list(KNOWN[need.kind], labels=need.labels, fields=need.fields)

    with concurrent.futures.ThreadPoolExecutor(cluster.concurrency) as pool:
        listed = dict(zip(needed, pool.map(read, needed.values()), strict=True))
    report: Mesh = {}
    if "control_planes" in sections:
        report["control_planes"] = control_planes(listed)
        report["tags"] = tags(listed)
    if "proxies" in sections:
        report["proxies"] = proxies(listed)
        report["proxy_versions"] = dict(collections.Counter(p["version"] or "unknown" for p in report["proxies"]))
    if "gateways" in sections:
        report["gateways"] = gateways(listed)
    if "ca" in sections:
        report["ca"] = ca(listed, datetime.datetime.now(datetime.timezone.utc))
    if "namespaces" in sections:
        report["namespaces"] = namespaces(listed)
    return report


# -- readings -----------------------------------------------------------------


def image_version(image: str) -> str | None:
    """The Istio version in an image's tag: C(istio/proxyv2:1.31.0-distroless) -> C(1.31.0); None without a tag."""
    name = image.partition("@")[0].rpartition("/")[2]
    _name, colon, tag = name.partition(":")
    return _VARIANT.sub("", tag) if colon else None


def control_planes(listed: Listed) -> list[ControlPlane]:
    """Every istiod, with its revision, version, and how many proxies its injector made."""
    used = collections.Counter(proxy.revision for proxy in _proxies(listed))
    return [
        {
            "namespace": istiod["metadata"]["namespace"],
            "name": istiod["metadata"]["name"],
            "revision": _revision(istiod),
            "version": _istiod_version(istiod),
            "tags": sorted(tag["name"] for tag in tags(listed) if tag["revision"] == _revision(istiod)),
            "replicas": istiod["spec"].get("replicas", 1),
            "ready": istiod.get("status", {}).get("readyReplicas", 0),
            "proxies": used[_revision(istiod)],
        }
        for istiod in listed["istiod"]
    ]


def tags(listed: Listed) -> list[Tag]:
    """Every revision tag with the revision that it points at."""
    found = {
        (labels["istio.io/tag"], labels["istio.io/rev"])
        for labels in map(labels_of, listed["webhook"])
        if labels.get("istio.io/tag")
    }
    return [{"name": tag, "revision": revision} for tag, revision in sorted(found)]


def version_numbers(version: str | None) -> tuple[int, ...] | None:
    """The numbers of a version, C(1.31.0-fips) -> C((1, 31, 0)); None where a tag has no numbers, such as C(latest)."""
    match = _NUMBERS.search(version or "")
    return tuple(int(number) for number in match.groups()) if match else None


def proxies(listed: Listed) -> list[Proxy]:
    """Every proxy. C(outdated) means that no control plane of its revision has its version.

    Only the numbers of versions are compared, because images of one version have tags such as C(1.31.0-fips). Not
    outdated is a proxy whose image the pod itself chooses, one where its tag or its control plane's has no numbers, and
    any where no control plane runs in this cluster.
    """
    versions: dict[str, set[tuple[int, ...] | None]] = collections.defaultdict(set)
    for istiod in listed["istiod"]:
        versions[_revision(istiod)].add(version_numbers(_istiod_version(istiod)))
    every = set().union(*versions.values())
    return [
        {
            "namespace": proxy.namespace,
            "pod": proxy.pod,
            "type": proxy.type,
            "revision": proxy.revision,
            "version": proxy.version,
            "ready": proxy.ready,
            "outdated": bool(every)
            and not proxy.own_image
            and _differs(proxy.version, every if proxy.type == "ztunnel" else versions[proxy.revision]),
        }
        for proxy in _proxies(listed)
    ]


def _differs(version: str | None, expected: set[tuple[int, ...] | None]) -> bool:
    numbers = version_numbers(version)
    return numbers is not None and None not in expected and numbers not in expected


def gateways(listed: Listed) -> list[Gateway]:
    """Every gateway and waypoint: the workload, its proxies' versions, and the Services that lead to it."""
    pods: dict[tuple[str, str, str], list[_Proxy]] = collections.defaultdict(list)
    for proxy in _proxies(listed):
        if proxy.type in ("gateway", "waypoint"):
            pods[proxy.namespace, proxy.workload, proxy.type].append(proxy)
    return [
        {
            "namespace": namespace,
            "name": workload,
            "type": kind,
            "gateway_api": members[0].labels.get("gateway.networking.k8s.io/gateway-name", ""),
            "revisions": sorted({member.revision for member in members}),
            "versions": sorted({member.version or "unknown" for member in members}),
            "pods": len(members),
            "ready": sum(member.ready for member in members),
            "services": [_service(s) for s in listed["Service"] if _selects(s, namespace, members[0].labels)],
        }
        for (namespace, workload, kind), members in sorted(pods.items())
    ]


def ca(listed: Listed, now: datetime.datetime) -> Trust:
    """The roots that namespaces trust, each with the namespaces that have it.

    :returns: C(roots), C(complete): whether every namespace has the same roots, and C(unreadable): the namespaces
        whose roots can't be read, with the reason
    """
    roots: dict[str, dict[str, t.Any]] = {}
    bundles: set[frozenset[str]] = set()
    unreadable: dict[str, str] = {}
    for config_map in listed["roots"]:
        namespace = config_map["metadata"]["namespace"]
        try:
            text = (config_map.get("data") or {}).get("root-cert.pem") or ""
            facts = [certificate.facts(now) for certificate in certificates(text)]
        except MeshopsError as error:
            unreadable[namespace] = str(error)
            continue
        if not facts:
            unreadable[namespace] = "it holds no certificate"
            continue
        bundles.add(frozenset(f["fingerprint"] for f in facts))
        for fact in facts:
            root = roots.setdefault(fact["fingerprint"], {**fact, "namespaces": []})
            root["namespaces"].append(namespace)
    for root in roots.values():
        root["namespaces"].sort()
    return {
        "roots": sorted(roots.values(), key=lambda r: r["not_after"]),
        "complete": len(bundles) <= 1 and not unreadable,
        "unreadable": [{"namespace": name, "reason": unreadable[name]} for name in sorted(unreadable)],
    }


def namespaces(listed: Listed) -> list[Namespace]:
    """Every namespace that chooses the mesh by its labels, or has pods in it.

    C(revision) is what new pods get, with tags followed to the revision that they point at.
    """
    pods = collections.Counter(p["metadata"]["namespace"] for p in listed["Pod"] if not is_over(p))
    ambient = collections.Counter(p["metadata"]["namespace"] for p in listed["Pod"] if not is_over(p) and in_ambient(p))
    members: dict[str, list[Proxy]] = collections.defaultdict(list)
    for proxy in proxies(listed):
        if proxy["type"] == "sidecar":
            members[proxy["namespace"]].append(proxy)
    points_at = {tag["name"]: tag["revision"] for tag in tags(listed)}
    chosen: list[Namespace] = []
    for namespace in listed["Namespace"]:
        name = namespace["metadata"]["name"]
        mode, asked = _mode(labels_of(namespace))
        if mode == "none" and not members[name] and not ambient[name]:
            continue
        chosen.append(
            {
                "name": name,
                "mode": mode,
                "revision": points_at.get(asked, asked),
                "tag": asked if asked in points_at else "",
                "pods": pods[name],
                "sidecars": len(members[name]),
                "ambient": ambient[name],
                "outdated": sum(p["outdated"] for p in members[name]),
            }
        )
    return chosen


# -- one object -----------------------------------------------------------------


def _revision(istiod: K8sObject) -> str:
    return labels_of(istiod).get("istio.io/rev") or "default"


def _istiod_version(istiod: K8sObject) -> str | None:
    containers = istiod["spec"]["template"]["spec"]["containers"]
    image = next((c["image"] for c in containers if c["name"] == "discovery"), containers[0]["image"])
    tag, label = image_version(image), labels_of(istiod).get("app.kubernetes.io/version")
    return label or tag if version_numbers(tag) is None else tag


def _mode(labels: Labels) -> tuple[str, str]:
    """How pods of a namespace join the mesh (sidecar, ambient, none), and the revision or tag that they select.

    istio-injection, whatever its value, wins over istio.io/rev:
    manifests/charts/istio-control/istio-discovery/templates/mutatingwebhook.yaml
    """
    if labels.get("istio-injection") == "enabled":
        return "sidecar", "default"
    if labels.get("istio.io/dataplane-mode") == "ambient":
        return "ambient", labels.get("istio.io/rev", "default")
    if labels.get("istio.io/rev") and "istio-injection" not in labels:
        return "sidecar", labels["istio.io/rev"]
    return "none", ""


def _proxies(listed: Listed) -> t.Iterator[_Proxy]:
    for pod in listed["Pod"]:
        container = proxy_container(pod)
        if container is None or is_over(pod):
            continue
        owner = owner_of(pod)
        yield _Proxy(
            namespace=pod["metadata"]["namespace"],
            pod=pod["metadata"]["name"],
            workload=owner.name if owner else pod["metadata"]["name"],
            labels=labels_of(pod),
            type=proxy_kind(pod) or "sidecar",
            revision=revision_of(pod),
            version=image_version(container["image"]),
            ready=bool(container_state(pod, PROXY).get("ready")),
            own_image=_OWN_IMAGE in (pod["metadata"].get("annotations") or {}),
        )


def _selects(service: K8sObject, namespace: str, labels: Labels) -> bool:
    selector = service["spec"].get("selector") or {}
    return (
        service["metadata"]["namespace"] == namespace and bool(selector) and matches({"matchLabels": selector}, labels)
    )


def _service(service: K8sObject) -> Service:
    spec = service["spec"]
    ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress") or []
    ports = spec.get("ports") or []
    return {
        "name": service["metadata"]["name"],
        "type": spec.get("type", "ClusterIP"),
        "addresses": [i.get("ip") or i.get("hostname") for i in ingress] + (spec.get("externalIPs") or []),
        "cluster_ip": spec.get("clusterIP", ""),
        "ports": [{"name": p.get("name", ""), "port": p["port"], "node_port": p.get("nodePort", 0)} for p in ports],
    }
