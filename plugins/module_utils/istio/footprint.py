# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What in a cluster belongs to Istio, and why: a pure reading of listed objects, whoever installed them.

An object is Istio's when there is a reason that only Istio has (its API group, the release of an Istio chart, the
installer's labels, a webhook that calls istiod, a name that Istio itself writes). A name or label that merely looks
like Istio is no reason: such objects are listed as unsure and left alone.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import gzip
import json
import re
import typing as t

try:
    import yaml
except ImportError:
    yaml = None  # type: ignore[assignment]  # the kubernetes package brings it; cluster.auth tells the user

#: The parts of a footprint, in the order in which a purge takes them away.
PARTS = (
    "operators",
    "webhooks",
    "injection",
    "sidecars",
    "gateways",
    "control_plane",
    "mesh_objects",
    "trust",
    "ca",
    "crds",
    "cni",
    "releases",
    "namespaces",
    "proof",
)

#: Charts of Istio's own Helm repository (1.5 until now), of the Sail operator and of this collection.
_CHART_PARTS = {
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
_COMPONENT_PARTS = {
    "Cni": "cni",
    "IngressGateways": "gateways",
    "EgressGateways": "gateways",
    "IstioOperator": "operators",
}
_OPERATOR_GROUPS = ("sailoperator.io", "install.istio.io")

#: ConfigMaps and Leases by which istiod elects leaders (pilot/pkg/leaderelection/leaderelection.go, 1.10 until now).
_ELECTIONS = re.compile(
    r"istio-(leader|gateway-leader|status-leader|analyze-leader|gateway-status-leader|namespace-controller-election"
    r"|validation-controller-election|clustertrustbundle-controller-election|serviceexport-controller-election"
    r"|ip-autoallocate|gateway-deployment|gateway-inferencepool|gateway-ambient-leader|node-untaint)(-.+)?"
)
#: By these operators elect leaders: ours, Istio's own until 1.23, Sail.
_OPERATOR_ELECTIONS = ("istio-operator", "istio-operator-lock", "sail-operator-lock")
_CA_SECRETS = ("cacerts", "istio-ca-secret")
_ROOT_CONFIG_MAPS = ("istio-ca-root-cert", "istio-ca-crl")
#: Namespaces that Istio's documentation, its operators and this collection make for Istio alone.
_OWN_NAMESPACES = ("istio-system", "istio-operator", "istio-cni", "sail-operator", "istio-ingress", "istio-egress")
#: How a purge that was killed finds its way: as an annotation it says that a namespace is C(going), or was
#: C(injected) and still has to show that pods start in it; as a label it marks what looks at the nodes.
MARK = "meshops.istio/purge"
#: Injected pods of these can be replaced by a rolling restart of their owner.
RESTARTABLE = ("Deployment", "StatefulSet", "DaemonSet")
_LOOKS_LIKE = re.compile(r"(^|[^a-z])istio")
_NEVER_NAMESPACES = re.compile(r"default|kube-.*|openshift.*")
_FOLLOWERS = ("Pod", "ReplicaSet", "ControllerRevision", "EndpointSlice", "Endpoints", "Event", "PodMetrics", "Job")

Id = tuple[str, str, str, str]


@dataclasses.dataclass(frozen=True)
class Item:
    """One object, and what a purge does with it.

    :ivar part: one of PARTS; empty for what is left alone
    :ivar action: delete, strip (take keys off an object that is not Istio's), restart, or leave
    :ivar why: the reasons
    :ivar keys: for strip and restart: what is taken off, such as C(label istio-injection)
    :ivar revision: the control plane's revision that it belongs to, where that is known
    """

    part: str
    action: str
    api_version: str
    kind: str
    namespace: str
    name: str
    why: tuple[str, ...]
    keys: tuple[str, ...] = ()
    revision: str = ""

    @property
    def id(self) -> Id:
        return (self.api_version.rpartition("/")[0], self.kind, self.namespace, self.name)

    @property
    def where(self) -> str:
        """How a user finds it: kind, then namespace/name."""
        return f"{self.kind} {self.namespace + '/' if self.namespace else ''}{self.name}"

    def report(self) -> dict:
        """The item as a module returns it."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items() if v}


@dataclasses.dataclass(frozen=True)
class Release:
    """A Helm release of an Istio chart.

    :ivar values: what its user gave
    :ivar objects: the ids of the objects in its manifest
    """

    name: str
    namespace: str
    chart: str
    version: str
    status: str
    values: dict
    manifest: str
    objects: frozenset[Id]

    @property
    def part(self) -> str:
        return _CHART_PARTS[self.chart]

    @property
    def revision(self) -> str:
        return self.values.get("revision") or ("default" if self.chart in ("istiod", "istio-discovery") else "")


@dataclasses.dataclass(frozen=True)
class Footprint:
    """All that Istio has put into a cluster (C(items)), and what looks like it but stays (C(unsure))."""

    items: tuple[Item, ...]
    unsure: tuple[Item, ...]
    releases: tuple[Release, ...] = ()

    def part(self, *names: str) -> list[Item]:
        return [item for item in self.items if item.part in names]


# -- reading ----------------------------------------------------------------


def group_of(obj: dict) -> str:
    """An object's API group."""
    return obj.get("apiVersion", "").rpartition("/")[0]


def id_of(obj: dict) -> Id:
    """Group, kind, namespace (empty for none) and name."""
    meta = obj["metadata"]
    return (group_of(obj), obj["kind"], meta.get("namespace") or "", meta["name"])


def istio_group(group: str) -> bool:
    """Whether an API group is Istio's or the Sail operator's."""
    return group in ("istio.io", "sailoperator.io") or group.endswith((".istio.io", ".sailoperator.io"))


def istio_key(key: str) -> bool:
    """Whether a label, annotation or taint key is Istio's: C(istio-injection), or in the domain istio.io."""
    return key == "istio-injection" or ("/" in key and istio_group(key.partition("/")[0]))


def istio_finalizer(finalizer: str) -> bool:
    """Whether a finalizer waits for an Istio operator."""
    return istio_group(finalizer.partition("/")[0])


def injected(pod: dict) -> bool:
    """Whether a pod that neither ends nor has ended carries a sidecar, is a gateway's, or is in an ambient mesh."""
    if pod["metadata"].get("deletionTimestamp") or pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return False
    annotations = pod["metadata"].get("annotations") or {}
    return "sidecar.istio.io/status" in annotations or annotations.get("ambient.istio.io/redirection") == "enabled"


def revision_of_pod(pod: dict) -> str:
    """The revision whose injector made a pod; empty where it has no sidecar."""
    status = (pod["metadata"].get("annotations") or {}).get("sidecar.istio.io/status")
    if not status:
        return ""
    try:
        return json.loads(status).get("revision") or "default"
    except ValueError:
        return "default"


def read_release(secret: dict) -> Release | None:
    """The Helm release in a Secret of type helm.sh/release.v1, where it is one of an Istio chart.

    Helm stores base64(gzip(JSON)), and the API encodes a Secret's data once more.
    """
    try:
        return _read_stored(secret["data"]["release"], secret["metadata"]["namespace"])
    except KeyError:
        return None


@functools.lru_cache(maxsize=32)  # a purge reads its releases several times, and the manifest of base is long
def _read_stored(data: str, stored_in: str) -> Release | None:
    try:
        stored = base64.b64decode(base64.b64decode(data))
        release = json.loads(gzip.decompress(stored) if stored[:2] == b"\x1f\x8b" else stored)
    except (ValueError, OSError):
        return None
    chart = release.get("chart", {}).get("metadata", {})
    origin = " ".join([*(chart.get("sources") or []), *(chart.get("keywords") or []), chart.get("home") or ""]).lower()
    if chart.get("name") not in _CHART_PARTS or "istio" not in origin:
        return None
    namespace = release.get("namespace") or stored_in
    objects = set()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for document in yaml.load_all(release.get("manifest") or "", Loader=loader):  # noqa: S506 - both are safe
        if isinstance(document, dict) and document.get("kind") and document.get("metadata"):
            group, kind, where, name = id_of(document)
            objects |= (
                {(group, kind, where, name)} if where else {(group, kind, "", name), (group, kind, namespace, name)}
            )
    return Release(
        release["name"],
        namespace,
        chart["name"],
        chart.get("version", ""),
        release.get("info", {}).get("status", ""),
        release.get("config") or {},
        release.get("manifest") or "",
        frozenset(objects),
    )


def read_releases(listed: t.Iterable[dict]) -> list[Release]:
    """The newest stored release of every Istio chart among the listed Secrets."""
    newest: dict[tuple[str, str], tuple[int, Release]] = {}
    for secret in listed:
        if secret["kind"] != "Secret" or secret.get("type") != "helm.sh/release.v1":
            continue
        release = read_release(secret)
        if release:
            version = int((secret["metadata"].get("labels") or {}).get("version", 0))
            key = (release.namespace, release.name)
            if key not in newest or newest[key][0] < version:
                newest[key] = (version, release)
    return [release for _version, release in newest.values()]


# -- reasons ----------------------------------------------------------------


def _chart(obj: dict) -> str:
    """The Istio chart that an object's labels name; charts label their objects since 1.24."""
    labels = obj["metadata"].get("labels") or {}
    chart = labels.get("helm.sh/chart", "").rpartition("-")[0]
    while chart and chart not in _CHART_PARTS:  # base-1.31.0-rc.1: versions hold dashes too
        chart = chart.rpartition("-")[0]
    return chart if labels.get("app.kubernetes.io/part-of") == "istio" else ""


def _webhook_reasons(obj: dict) -> list[str]:
    names = [hook["name"] for hook in obj.get("webhooks") or []]
    if names and all(istio_group(name) for name in names):
        return [f"webhook {names[0]}"]
    return []


def _label_reasons(obj: dict) -> list[str]:
    labels = obj["metadata"].get("labels") or {}
    reasons = [
        f"label {key}={labels[key]}"
        for key in ("operator.istio.io/component", "gateway.istio.io/managed")
        if key in labels
    ]
    if not reasons and "install.operator.istio.io/owning-resource" in labels:
        reasons.append("label install.operator.istio.io/owning-resource")
    if _chart(obj):
        reasons.append(f"label helm.sh/chart={labels['helm.sh/chart']}")
    if obj["kind"] == "Secret" and labels.get("istio/multiCluster") == "true":
        reasons.append("label istio/multiCluster=true (a remote cluster's credentials)")
    if obj["kind"] == "ConfigMap" and labels.get("istio.io/config") == "true":
        reasons.append("label istio.io/config=true")
    if MARK in labels:
        reasons.append(f"label {MARK}")
    if obj["kind"] == "Deployment" and labels.get("app.kubernetes.io/name") in ("sailoperator", "sail-operator"):
        reasons.append("the Sail operator")
    return reasons


def _kind_reasons(obj: dict) -> list[str]:
    """Reasons in the fields that only one kind has."""
    kind, spec, name = obj["kind"], obj.get("spec") or {}, obj["metadata"]["name"]
    if kind == "CustomResourceDefinition" and istio_group(spec.get("group", "")):
        return [f"API group {spec['group']}"]
    if kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        return _webhook_reasons(obj)
    if kind == "GatewayClass" and spec.get("controllerName", "").startswith("istio.io/"):
        return [f"controller {spec['controllerName']}"]
    if kind == "IngressClass" and spec.get("controller", "").startswith("istio.io/"):
        return [f"controller {spec['controller']}"]
    if kind == "ClusterTrustBundle" and spec.get("signerName", "").startswith("istio.io/"):
        return [f"signer {spec['signerName']}"]
    if kind in ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding") and istio_group(
        name if kind == "ValidatingAdmissionPolicy" else spec.get("policyName", "")
    ):
        return ["policy of the domain istio.io"]
    if kind == "Secret" and obj.get("type", "").startswith("istio.io/"):
        return [f"type {obj['type']}"]
    if (
        kind == "ConfigMap"
        and name in _ROOT_CONFIG_MAPS
        and set(obj.get("data") or {}) <= {"root-cert.pem", "ca-crl.pem"}
    ):
        return ["name under which istiod publishes its root"]
    return []


def _part(obj: dict, release: Release | None) -> str:
    """The part of the footprint to which an object of Istio's belongs."""
    group, kind, name = group_of(obj), obj["kind"], obj["metadata"]["name"]
    labels = obj["metadata"].get("labels") or {}
    if group in _OPERATOR_GROUPS or (kind in ("ConfigMap", "Lease") and name in _OPERATOR_ELECTIONS):
        return "operators"
    if istio_group(group):
        return "mesh_objects"
    if group == "admissionregistration.k8s.io":
        return "operators" if release and release.part == "operators" and "Policy" in kind else "webhooks"
    if kind == "CustomResourceDefinition":
        return "crds"
    if kind == "Secret" and (name in _CA_SECRETS or labels.get("istio/multiCluster") == "true"):
        return "ca"
    if kind == "ConfigMap" and name in _ROOT_CONFIG_MAPS:
        return "trust"
    if kind == "ClusterTrustBundle" or obj.get("type") == "istio.io/key-and-cert":
        return "trust"
    if (
        labels.get(MARK) == "cni"
        or labels.get("app") == "istio-cni"
        or labels.get("k8s-app", "").startswith("istio-cni")
    ):
        return "cni"
    if labels.get("app.kubernetes.io/name") in ("sailoperator", "sail-operator"):
        return "operators"
    if "gateway.istio.io/managed" in labels or group == "gateway.networking.k8s.io" and kind == "Gateway":
        return "gateways"
    component = labels.get("operator.istio.io/component")
    if component in _COMPONENT_PARTS:
        return _COMPONENT_PARTS[component]
    return _CHART_PARTS.get(_chart(obj)) or (release.part if release else "control_plane")


_REVISIONED = (
    "istiod-clusterrole",
    "istiod-gateway-controller",
    "istio-reader-clusterrole",
    "istio-validator",
    "istiod",
)


def _revision(obj: dict, release: Release | None, namespaces: t.Collection[str]) -> str:
    """The control plane revision that an object belongs to; empty where it belongs to all of them."""
    labels, name = obj["metadata"].get("labels") or {}, obj["metadata"]["name"]
    if istio_group(group_of(obj)):
        return ""
    election = _ELECTIONS.fullmatch(name) if obj["kind"] in ("ConfigMap", "Lease") else None
    if election:
        return (election.group(2) or "").removeprefix("-")
    if labels.get("istio.io/rev"):
        return labels["istio.io/rev"]
    if release and release.revision:
        return release.revision
    # istioctl gives RBAC objects no revision label, but names them PREFIX[-REVISION][-NAMESPACE].
    prefix = next((p for p in _REVISIONED if name == p or name.startswith(p + "-")), None)
    if prefix and _chart(obj) in ("istiod", ""):
        rest = name[len(prefix) :]
        for namespace in namespaces:
            rest = rest.removesuffix("-" + namespace)
        return rest.strip("-") or "default"
    return ""


class _Sure:
    """The objects that are Istio's, with their reasons."""

    def __init__(self, listed: list[dict], releases: list[Release]) -> None:
        self.listed = listed
        self.reasons: dict[Id, list[str]] = {}
        self.of_release: dict[Id, Release] = {o: r for r in releases for o in r.objects}
        self.releases = {(r.namespace, r.name): r for r in releases}
        self.uids: dict[str, dict] = {}
        for obj in listed:
            found = self._direct(obj)
            if found:
                self.add(obj, found)
        self._by_class()
        self._in_control_planes()
        self._by_owner()

    def add(self, obj: dict, reasons: list[str]) -> None:
        self.reasons.setdefault(id_of(obj), []).extend(reasons)
        if obj["metadata"].get("uid"):
            self.uids[obj["metadata"]["uid"]] = obj

    def __contains__(self, obj: dict) -> bool:
        return id_of(obj) in self.reasons

    def _direct(self, obj: dict) -> list[str]:
        if obj["kind"] in _FOLLOWERS:
            return []
        if obj["kind"] == "Namespace":
            return []
        reasons = [f"API group {group_of(obj)}"] if istio_group(group_of(obj)) else []
        release = self.of_release.get(id_of(obj))
        if release:
            named = (obj["metadata"].get("annotations") or {}).get("meta.helm.sh/release-name")
            if named in (None, release.name):
                reasons.append(f"Helm release {release.name} (chart {release.chart} {release.version})")
        if obj["kind"] == "Secret" and obj.get("type") == "helm.sh/release.v1":
            release = self.stored_release(obj)
            return [f"Helm release {release.name} (chart {release.chart} {release.version})"] if release else []
        return reasons + _label_reasons(obj) + _kind_reasons(obj)

    def stored_release(self, obj: dict) -> Release | None:
        """The release of an Istio chart of which a Secret is one stored version."""
        if obj.get("type") != "helm.sh/release.v1":
            return None
        name = (obj["metadata"].get("labels") or {}).get("name", "")
        return self.releases.get((obj["metadata"]["namespace"], name))

    def _by_class(self) -> None:
        """Gateway API objects that Istio's controllers serve."""
        classes = {o["metadata"]["name"]: o for o in self.listed if o["kind"] == "GatewayClass"}
        gateways = {}
        for obj in self.listed:
            if group_of(obj) == "gateway.networking.k8s.io" and obj["kind"] == "Gateway":
                name = obj.get("spec", {}).get("gatewayClassName", "")
                if (name in classes and classes[name] in self) or (name not in classes and _served_by_istio(obj)):
                    self.add(obj, [f"GatewayClass {name} is Istio's"])
                    gateways[obj["metadata"]["namespace"], obj["metadata"]["name"]] = obj
        for obj in self.listed:
            if group_of(obj) == "gateway.networking.k8s.io" and obj["kind"].endswith("Route"):
                parents = obj.get("spec", {}).get("parentRefs") or []
                own = obj["metadata"]["namespace"]
                if parents and all(_parent(p, own) in gateways or _served_by_istio(obj) for p in parents):
                    self.add(obj, ["only Istio serves its parents"])

    def control_planes(self) -> dict[str, str]:
        """The namespaces that hold a control plane's workloads or are made for Istio alone, with the reason."""
        found = {}
        for obj in self.listed:
            meta = obj["metadata"]
            if obj["kind"] == "Namespace":
                if (meta.get("annotations") or {}).get(MARK) == "going":
                    found[meta["name"]] = "a purge found a control plane here"
                elif meta["name"] in _OWN_NAMESPACES:
                    found.setdefault(meta["name"], "name that Istio's installers use")
            elif obj["kind"] in ("Deployment", "DaemonSet") and obj in self:
                part = _part(obj, self.of_release.get(id_of(obj)))
                if part in ("control_plane", "cni", "operators"):
                    found[meta["namespace"]] = f"{obj['kind']} {meta['name']} runs here"
        return {name: why for name, why in found.items() if not _NEVER_NAMESPACES.fullmatch(name)}

    def _in_control_planes(self) -> None:
        namespaces = set(self.control_planes()) | {
            o["metadata"]["namespace"] for o in self.listed if o["kind"] in ("Deployment", "DaemonSet") and o in self
        }
        for obj in self.listed:
            meta = obj["metadata"]
            if meta.get("namespace") not in namespaces:
                continue
            if obj["kind"] in ("ConfigMap", "Lease"):
                if _ELECTIONS.fullmatch(meta["name"]):
                    self.add(obj, ["name by which istiod elects a leader"])
                elif meta["name"] in _OPERATOR_ELECTIONS:
                    self.add(obj, ["name by which an operator elects a leader"])
                elif meta["name"].startswith("istio-") and _leader(obj).startswith("istiod-"):
                    self.add(obj, [f"held by {_leader(obj)}"])
            if obj["kind"] == "Secret" and meta["name"] in _CA_SECRETS:
                self.add(obj, ["name of istiod's CA secret, in a control plane's namespace"])

    def _by_owner(self) -> None:
        found = True
        while found:
            found = False
            for obj in self.listed:
                for owner in obj["metadata"].get("ownerReferences") or []:
                    if owner["uid"] in self.uids and obj not in self and obj["kind"] not in _FOLLOWERS:
                        self.add(obj, [f"owner reference to {owner['kind']} {owner['name']}"])
                        found = True


def _leader(obj: dict) -> str:
    """Who holds a Lease, or a ConfigMap that is used as one."""
    if obj["kind"] == "Lease":
        return (obj.get("spec") or {}).get("holderIdentity") or ""
    record = (obj["metadata"].get("annotations") or {}).get("control-plane.alpha.kubernetes.io/leader") or "{}"
    try:
        return json.loads(record).get("holderIdentity") or ""
    except (ValueError, AttributeError):
        return ""


def _served_by_istio(obj: dict) -> bool:
    """Whether every status entry of a Gateway API object was written by a controller of Istio's."""
    status = obj.get("status") or {}
    controllers = [p.get("controllerName", "") for p in status.get("parents") or []]
    if obj["kind"] == "Gateway":
        return any(a.startswith("gateway.istio.io/") for a in obj["metadata"].get("annotations") or {})
    return bool(controllers) and all(c.startswith("istio.io/") for c in controllers)


def _parent(ref: dict, namespace: str) -> tuple[str, str] | None:
    if ref.get("kind", "Gateway") != "Gateway":
        return None
    return (ref.get("namespace") or namespace, ref["name"])


# -- the footprint ------------------------------------------------------------


def candidate_namespaces(listed: list[dict]) -> list[str]:
    """The namespaces that may go: all of their objects must be listed before footprint() decides."""
    return sorted(_Sure(listed, read_releases(listed)).control_planes())


def footprint(listed: list[dict], complete: t.Collection[str] = ()) -> Footprint:
    """What belongs to Istio among the listed objects.

    :param listed: objects as the API server gives them, each once
    :param complete: the namespaces of which every object is listed; only these can be found empty of others
    """
    releases = read_releases(listed)
    sure = _Sure(listed, releases)
    namespaces = {"istio-system", *sure.control_planes()}
    items = []
    for obj in listed:
        reasons = sure.reasons.get(id_of(obj))
        if reasons:
            release = sure.of_release.get(id_of(obj)) or sure.stored_release(obj)
            part = "releases" if sure.stored_release(obj) else _part(obj, release)
            if part == "mesh_objects" and _of_installer(obj, reasons):
                part = "control_plane"
            items.append(_item(obj, part, "delete", reasons, revision=_revision(obj, release, namespaces)))
    going, staying = _namespaces(listed, sure, complete)
    items += going
    gone = {item.name for item in going}
    items += _strips(listed, sure, gone)
    restarts, stuck = _restarts(listed, sure, gone)
    items += restarts
    order = {part: place for place, part in enumerate(PARTS)}
    items.sort(key=lambda item: (order[item.part], item.kind, item.namespace, item.name))
    return Footprint(tuple(items), tuple(staying + stuck + _unsure(listed, sure, gone, restarts)), tuple(releases))


def _of_installer(obj: dict, reasons: list[str]) -> bool:
    """Whether an object of Istio's API came with a chart, so that a backup of the user's objects must not hold it."""
    return any(r.startswith(("Helm release", "label helm.sh/chart", "label operator.istio.io")) for r in reasons)


def released(item: Item) -> bool:
    """Whether an object came with a Helm release, whose record may be all that proves it."""
    return any(reason.startswith("Helm release") for reason in item.why)


def _item(
    obj: dict, part: str, action: str, why: t.Iterable[str], keys: t.Iterable[str] = (), revision: str = ""
) -> Item:
    meta = obj["metadata"]
    return Item(
        part,
        action,
        obj["apiVersion"],
        obj["kind"],
        meta.get("namespace") or "",
        meta["name"],
        tuple(dict.fromkeys(why)),
        tuple(keys),
        revision,
    )


def _namespaces(listed: list[dict], sure: _Sure, complete: t.Collection[str]) -> tuple[list[Item], list[Item]]:
    """Which namespaces go, and which stay because others live there."""
    going, staying = [], []
    for name, why in sure.control_planes().items():
        namespace = next((o for o in listed if o["kind"] == "Namespace" and o["metadata"]["name"] == name), None)
        if namespace is None:
            continue
        others = [o for o in listed if o["metadata"].get("namespace") == name and o not in sure and not _ordinary(o)]
        if name not in complete:
            staying.append(_item(namespace, "", "leave", [f"{why}, but its contents are not known"]))
        elif others:
            first = ", ".join(f"{o['kind']} {o['metadata']['name']}" for o in others[:5])
            staying.append(_item(namespace, "", "leave", [f"{why}, but it holds what is not Istio's: {first}"]))
        else:
            going.append(_item(namespace, "namespaces", "delete", [why, "holds nothing but Istio's objects"]))
    return going, staying


def _ordinary(obj: dict) -> bool:
    """Whether Kubernetes itself puts such an object into every namespace, or a controller made it for another one."""
    kind, meta = obj["kind"], obj["metadata"]
    if kind in ("Event", "Endpoints", "EndpointSlice", "PodMetrics") or (
        kind in _FOLLOWERS and meta.get("ownerReferences")
    ):
        return True
    if kind == "ServiceAccount":
        return meta["name"] in ("default", "builder", "deployer")
    if kind == "ConfigMap":
        return meta["name"] in ("kube-root-ca.crt", "openshift-service-ca.crt")
    if kind == "Secret":
        return obj.get("type") in ("kubernetes.io/service-account-token", "kubernetes.io/dockercfg")
    return kind == "RoleBinding" and meta["name"].startswith("system:")


def istio_keys(obj: dict) -> list[str]:
    """The labels, annotations, finalizers and taints of Istio's that an object carries."""
    meta = obj["metadata"]
    keys = [f"label {key}" for key in meta.get("labels") or {} if istio_key(key)]
    keys += [f"annotation {key}" for key in meta.get("annotations") or {} if istio_key(key)]
    keys += [f"finalizer {name}" for name in meta.get("finalizers") or [] if istio_finalizer(name)]
    if obj["kind"] == "Node":
        keys += [
            f"taint {taint['key']}" for taint in obj.get("spec", {}).get("taints") or [] if istio_key(taint["key"])
        ]
    return keys


def template_keys(obj: dict) -> list[str]:
    """The labels and annotations of Istio's on a workload's pod template, without what its selector needs."""
    spec = obj.get("spec") or {}
    meta = spec.get("template", {}).get("metadata") or {}
    selected = (spec.get("selector") or {}).get("matchLabels") or {}
    keys = [f"template label {key}" for key in meta.get("labels") or {} if istio_key(key) and key not in selected]
    return keys + [f"template annotation {key}" for key in meta.get("annotations") or {} if istio_key(key)]


def _strips(listed: list[dict], sure: _Sure, gone: set[str]) -> list[Item]:
    """Objects that are not Istio's and carry Istio's labels, annotations, taints or finalizers."""
    items = []
    for obj in listed:
        if obj in sure or obj["kind"] in _FOLLOWERS or obj["metadata"].get("namespace") in gone:
            continue
        if obj["kind"] == "Namespace" and obj["metadata"]["name"] in gone:
            continue
        keys = istio_keys(obj)
        if keys:
            items.append(_item(obj, "injection", "strip", keys, keys))
        if obj["kind"] == "Namespace" and MARK in (obj["metadata"].get("annotations") or {}):
            why = "an interrupted purge has still to prove that pods start here"
            items.append(_item(obj, "proof", "strip", [why], [f"annotation {MARK}"]))
    return items


def owner_of_pod(pod: dict) -> tuple[str, str] | None:
    """Kind and name of what keeps a pod alive; a ReplicaSet's name is its Deployment's and the template's hash."""
    owner = next((o for o in pod["metadata"].get("ownerReferences") or [] if o.get("controller")), None)
    if owner is None:
        return None
    template = (pod["metadata"].get("labels") or {}).get("pod-template-hash")
    if owner["kind"] == "ReplicaSet" and template and owner["name"].endswith("-" + template):
        return ("Deployment", owner["name"][: -len(template) - 1])
    return (owner["kind"], owner["name"])


def _restarts(listed: list[dict], sure: _Sure, gone: set[str]) -> tuple[list[Item], list[Item]]:
    """Workloads whose pods carry a sidecar, and pods that nothing can replace."""
    workloads = {
        (o["kind"], o["metadata"]["namespace"], o["metadata"]["name"]): o for o in listed if o["kind"] in RESTARTABLE
    }
    restarts: dict[Id, Item] = {}
    stuck = []
    for pod in listed:
        if pod["kind"] != "Pod" or not injected(pod) or pod["metadata"]["namespace"] in gone:
            continue
        namespace = pod["metadata"]["namespace"]
        owner = owner_of_pod(pod)
        workload = workloads.get((owner[0], namespace, owner[1])) if owner else None
        if workload is None:
            keeper = f"its owner, {owner[0]} {owner[1]}, can't be restarted" if owner else "it has no controller"
            stuck.append(_item(pod, "", "leave", [f"carries a sidecar, but {keeper}: delete it and create it again"]))
        elif workload in sure:
            continue
        elif workload["spec"].get("paused"):
            stuck.append(_item(workload, "", "leave", ["pods carry a sidecar; its rollout is paused: resume it"]))
        elif (workload["spec"].get("updateStrategy") or {}).get("type") == "OnDelete":
            stuck.append(
                _item(workload, "", "leave", ["pods carry a sidecar; its strategy is OnDelete: delete its pods"])
            )
        else:
            item = _item(
                workload, "sidecars", "restart", ["pods carry a sidecar"], template_keys(workload), revision_of_pod(pod)
            )
            restarts.setdefault(item.id, item)
    return list(restarts.values()), list(dict.fromkeys(stuck))


def _unsure(listed: list[dict], sure: _Sure, gone: set[str], restarts: list[Item]) -> list[Item]:
    """What looks like Istio's by name, label or pod template, without a reason that only Istio has."""
    items = []
    restarted = {item.id for item in restarts}
    for obj in listed:
        meta = obj["metadata"]
        if obj in sure or obj["kind"] in _FOLLOWERS or meta.get("namespace") in gone or meta["name"] in gone:
            continue
        labels = meta.get("labels") or {}
        signs = [f"name {meta['name']}"] if _LOOKS_LIKE.search(meta["name"]) else []
        signs += [
            f"label {k}={v}"
            for k, v in labels.items()
            if v != meta["name"] and not istio_key(k) and _LOOKS_LIKE.search(f"{k} {v}")
        ]
        if obj["kind"] in RESTARTABLE and id_of(obj) not in restarted:
            signs += template_keys(obj)
        if signs:
            items.append(_item(obj, "", "leave", [f"looks like Istio ({', '.join(signs)}), but nothing proves it"]))
    return items


# -- one revision -------------------------------------------------------------


def tags_of(listed: list[dict], revision: str) -> list[str]:
    """The revision tags that point at a revision."""
    return sorted(
        {
            labels["istio.io/tag"]
            for obj in listed
            if obj["kind"] == "MutatingWebhookConfiguration"
            for labels in [obj["metadata"].get("labels") or {}]
            if labels.get("istio.io/tag") and labels.get("istio.io/rev") == revision
        }
    )


def uses_of_revision(listed: list[dict], revision: str) -> list[str]:
    """Who still uses a revision: tags, namespaces that inject with it, proxies that it made."""
    uses = [f"tag {tag}" for tag in tags_of(listed, revision)]
    for obj in listed:
        meta = obj["metadata"]
        labels = meta.get("labels") or {}
        if obj["kind"] == "Namespace":
            wanted = labels.get("istio.io/rev") or ("default" if labels.get("istio-injection") == "enabled" else "")
            if wanted == revision:
                uses.append(f"namespace {meta['name']}")
        elif obj["kind"] == "Pod" and injected(obj) and revision_of_pod(obj) == revision:
            uses.append(f"proxy {meta['namespace']}/{meta['name']}")
    return sorted(uses)


def of_revision(whole: Footprint, revision: str) -> Footprint:
    """The part of a footprint that belongs to one revision only."""
    releases = tuple(r for r in whole.releases if r.revision == revision and r.part == "control_plane")
    names = {f"Helm release {r.name} (chart {r.chart} {r.version})" for r in releases}
    items = tuple(
        item
        for item in whole.items
        if item.part in ("webhooks", "control_plane", "releases")
        and item.revision == revision
        and (item.part != "releases" or item.why[0] in names)
    )
    return Footprint(items, (), releases)
