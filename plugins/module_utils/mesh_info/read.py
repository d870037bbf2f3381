# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What runs in a mesh: a pure reading of listed objects, and the few LISTs that it needs."""

from __future__ import annotations

import collections
import concurrent.futures
import re
import typing as t

from ..cluster.client import Cluster
from ..cluster.kinds import KNOWN
from ..errors import MeshopsError
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

#: What each section of the report reads: a name for the LIST, its kind, and how it is narrowed.
_PODS = ("Pod", ("", "Pod"), {})
_NAMESPACES = ("Namespace", ("", "Namespace"), {})
_SERVICES = ("Service", ("", "Service"), {})
_CONTROL_PLANES = ("istiod", ("apps", "Deployment"), {"labels": "app=istiod"})
_WEBHOOKS = ("webhook", ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"), {"labels": "istio.io/rev"})
_ROOTS = ("roots", ("", "ConfigMap"), {"fields": "metadata.name=istio-ca-root-cert"})
_NEEDS = {
    "control_planes": (_CONTROL_PLANES, _PODS, _WEBHOOKS),
    "proxies": (_PODS, _CONTROL_PLANES),
    "gateways": (_PODS, _SERVICES),
    "ca": (_ROOTS,),
    "namespaces": (_NAMESPACES, _PODS, _WEBHOOKS, _CONTROL_PLANES),
}
SECTIONS = tuple(_NEEDS)

_VARIANT = re.compile(r"-(distroless|debug)$")

Listed = t.Mapping[str, t.Sequence[dict]]


def read_mesh(cluster: Cluster, sections: t.Iterable[str], describe: t.Callable[[str], list[dict]]) -> dict[str, t.Any]:
    """The sections of the report, from one LIST a kind, all sent at once.

    :param sections: some of SECTIONS
    :param describe: the certificates of a PEM text as dicts
    """
    sections = list(sections)
    needed = {need[0]: need for section in sections for need in _NEEDS[section]}
    with concurrent.futures.ThreadPoolExecutor(cluster.concurrency) as pool:
        lists = pool.map(lambda need: cluster.list(KNOWN[need[1]], **need[2]), needed.values())
        listed = dict(zip(needed, lists, strict=True))
    report: dict[str, t.Any] = {}
    if "control_planes" in sections:
        report["control_planes"] = control_planes(listed)
        report["tags"] = tags(listed)
    if "proxies" in sections:
        report["proxies"] = proxies(listed)
        report["proxy_versions"] = dict(collections.Counter(p["version"] or "unknown" for p in report["proxies"]))
    if "gateways" in sections:
        report["gateways"] = gateways(listed)
    if "ca" in sections:
        report["ca"] = ca(listed, describe)
    if "namespaces" in sections:
        report["namespaces"] = namespaces(listed)
    return report


# -- readings -----------------------------------------------------------------


def image_version(image: str) -> str | None:
    """The Istio version in an image's tag: C(istio/proxyv2:1.31.0-distroless) -> C(1.31.0); None without a tag."""
    name = image.partition("@")[0].rpartition("/")[2]
    _name, colon, tag = name.partition(":")
    return _VARIANT.sub("", tag) if colon else None


def control_planes(listed: Listed) -> list[dict]:
    """Every istiod, with its revision, version, and how many proxies its injector made."""
    used = collections.Counter(p["revision"] for p in _proxies(listed))
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


def tags(listed: Listed) -> list[dict]:
    """Every revision tag with the revision that it points at."""
    found = {
        (labels["istio.io/tag"], labels["istio.io/rev"])
        for labels in map(labels_of, listed["webhook"])
        if labels.get("istio.io/tag")
    }
    return [{"name": tag, "revision": revision} for tag, revision in sorted(found)]


def proxies(listed: Listed) -> list[dict]:
    """Every proxy. C(outdated) says that no control plane of its revision has its version.

    Where no control plane runs in this cluster (its istiod is in another one), nothing is outdated.
    """
    versions: dict[str, set] = collections.defaultdict(set)
    for istiod in listed["istiod"]:
        versions[_revision(istiod)].add(_istiod_version(istiod))
    every = set().union(*versions.values())
    found = []
    for proxy in _proxies(listed):
        expected = every if proxy["type"] == "ztunnel" else versions[proxy["revision"]]
        shown = {k: proxy[k] for k in ("namespace", "pod", "type", "revision", "version", "ready")}
        shown["outdated"] = bool(every) and bool(proxy["version"]) and proxy["version"] not in expected
        found.append(shown)
    return found


def gateways(listed: Listed) -> list[dict]:
    """Every gateway and waypoint: the workload, its proxies' versions, and the services that lead to it."""
    pods: dict[tuple, list[dict]] = collections.defaultdict(list)
    for proxy in _proxies(listed):
        if proxy["type"] in ("gateway", "waypoint"):
            pods[proxy["namespace"], proxy["workload"], proxy["type"]].append(proxy)
    found = []
    for (namespace, workload, kind), members in sorted(pods.items()):
        labels = members[0]["labels"]
        found.append(
            {
                "namespace": namespace,
                "name": workload,
                "type": kind,
                "gateway_api": labels.get("gateway.networking.k8s.io/gateway-name", ""),
                "revisions": sorted({m["revision"] for m in members}),
                "versions": sorted({m["version"] or "unknown" for m in members}),
                "pods": len(members),
                "ready": sum(m["ready"] for m in members),
                "services": [_service(s) for s in listed["Service"] if _selects(s, namespace, labels)],
            }
        )
    return found


def ca(listed: Listed, describe: t.Callable[[str], list[dict]]) -> dict[str, t.Any]:
    """The roots that namespaces are told to trust, each with the namespaces that have it.

    :returns: C(roots), C(complete): whether every namespace has the same roots, and C(unreadable): the namespaces
        whose roots can't be read, with the reason
    """
    roots: dict[str, dict] = {}
    bundles = set()
    unreadable = {}
    for config_map in listed["roots"]:
        namespace = config_map["metadata"]["namespace"]
        try:
            facts = describe((config_map.get("data") or {}).get("root-cert.pem") or "")
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


def namespaces(listed: Listed) -> list[dict]:
    """Every namespace that is told to be in the mesh, or has pods that are.

    C(revision) is what new pods get, with tags followed to the revision that they point at.
    """
    pods = collections.Counter(p["metadata"]["namespace"] for p in listed["Pod"] if not is_over(p))
    ambient = collections.Counter(p["metadata"]["namespace"] for p in listed["Pod"] if not is_over(p) and in_ambient(p))
    members = collections.defaultdict(list)
    for proxy in proxies(listed):
        if proxy["type"] == "sidecar":
            members[proxy["namespace"]].append(proxy)
    points_at = {tag["name"]: tag["revision"] for tag in tags(listed)}
    found = []
    for namespace in listed["Namespace"]:
        name = namespace["metadata"]["name"]
        mode, asked = _mode(labels_of(namespace))
        if mode == "none" and not members[name] and not ambient[name]:
            continue
        found.append(
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
    return found


# -- one object -----------------------------------------------------------------


def _revision(istiod: dict) -> str:
    return labels_of(istiod).get("istio.io/rev") or "default"


def _istiod_version(istiod: dict) -> str | None:
    containers = istiod["spec"]["template"]["spec"]["containers"]
    image = next((c["image"] for c in containers if c["name"] == "discovery"), containers[0]["image"])
    return image_version(image) or labels_of(istiod).get("app.kubernetes.io/version")


def _mode(labels: dict[str, str]) -> tuple[str, str]:
    """How pods of a namespace join the mesh (sidecar, ambient, none), and the revision or tag that is asked for.

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


def _proxies(listed: Listed) -> t.Iterator[dict]:
    for pod in listed["Pod"]:
        container = proxy_container(pod)
        if container is None or is_over(pod):
            continue
        owner = owner_of(pod)
        yield {
            "namespace": pod["metadata"]["namespace"],
            "pod": pod["metadata"]["name"],
            "workload": owner.name if owner else pod["metadata"]["name"],
            "labels": labels_of(pod),
            "type": proxy_kind(pod),
            "revision": revision_of(pod),
            "version": image_version(container["image"]),
            "ready": bool(container_state(pod, PROXY).get("ready")),
        }


def _selects(service: dict, namespace: str, labels: dict[str, str]) -> bool:
    selector = service["spec"].get("selector") or {}
    return (
        service["metadata"]["namespace"] == namespace and bool(selector) and matches({"matchLabels": selector}, labels)
    )


def _service(service: dict) -> dict:
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
