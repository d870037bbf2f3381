# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What in a cluster belongs to Istio, and why: a pure reading of listed objects, whoever installed them.

An object is Istio's when there is a reason that only Istio has (its API group, the release of an Istio chart, the
installer's labels, a webhook that calls istiod, a name that Istio itself writes). A name or label that merely looks
like Istio is no reason: such objects are listed as unsure and left alone.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

from .footprint_releases import CHART_PARTS, Id, Release, group_of, id_of, read_releases

#: The parts of a footprint, in the order in which a purge takes them away. C(gateway_api) is what istiod makes for the
#: Gateway API, C(mesh_objects) what users write, for it too.
PARTS = (
    "operators",
    "webhooks",
    "injection",
    "sidecars",
    "gateways",
    "gateway_api",
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
#: The last two are there while a CA is rotated, and hold keys.
CA_SECRETS = ("cacerts", "istio-ca-secret", "cacerts-next", "cacerts-previous")
_ROOT_CONFIG_MAPS = ("istio-ca-root-cert", "istio-ca-crl")
#: Namespaces that Istio's documentation, its operators and this collection make for Istio alone.
_CONTROL_PLANE_NAMESPACES = ("istio-system", "istio-operator", "istio-cni", "sail-operator")
_GATEWAY_NAMESPACES = ("istio-ingress", "istio-egress")
#: Field managers under which installers of Istio make a namespace, and under which Helm does for any chart.
_INSTALLERS = ("meshops.istio", "istioctl", "helm")
#: How a purge that was killed finds its way: as an annotation it says that a namespace is C(going), had a
#: C(control-plane) and stays, or was C(injected) and still has to show that pods start in it; as a label it marks
#: what looks at the nodes.
MARK = "meshops.istio/purge"
#: Injected pods of these can be replaced by a rolling restart of their owner.
RESTARTABLE = ("Deployment", "StatefulSet", "DaemonSet")
_LOOKS_LIKE = re.compile(r"(^|[^a-z])istio")
_NEVER_NAMESPACES = re.compile(r"default|kube-.*|openshift.*")
_GATEWAY_API = "gateway.networking.k8s.io"
_PROXY = "istio-proxy"
_FOLLOWERS = ("Pod", "ReplicaSet", "ControllerRevision", "EndpointSlice", "Endpoints", "Event", "PodMetrics", "Job")


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
class Footprint:
    """All that Istio has put into a cluster (C(items)), and what looks like it but stays (C(unsure)).

    :ivar stuck: the workloads and pods among C(unsure) whose sidecars no restart would take out
    :ivar control_planes: the namespaces that a control plane, or an operator, runs or ran in
    """

    items: tuple[Item, ...]
    unsure: tuple[Item, ...]
    releases: tuple[Release, ...] = ()
    stuck: tuple[Item, ...] = ()
    control_planes: tuple[str, ...] = ()

    def part(self, *names: str) -> list[Item]:
        return [item for item in self.items if item.part in names]


# -- reading ----------------------------------------------------------------


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


# -- reasons ----------------------------------------------------------------


def _chart(obj: dict) -> str:
    """The Istio chart that an object's labels name; charts label their objects since 1.24."""
    labels = obj["metadata"].get("labels") or {}
    chart = labels.get("helm.sh/chart", "").rpartition("-")[0]
    while chart and chart not in CHART_PARTS:  # base-1.31.0-rc.1: versions hold dashes too
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
    if gateway_template(obj):
        return ["its pod template is a gateway's, which Istio's injector fills in"]
    if (
        kind == "ConfigMap"
        and name in _ROOT_CONFIG_MAPS
        and set(obj.get("data") or {}) <= {"root-cert.pem", "ca-crl.pem"}
    ):
        return ["name under which istiod publishes its root"]
    return []


def gateway_template(obj: dict) -> bool:
    """Whether a workload's pods are those of a gateway that only Istio's injector makes complete (C(image: auto))."""
    if obj["kind"] not in RESTARTABLE:
        return False
    template = (obj.get("spec") or {}).get("template") or {}
    named = ((template.get("metadata") or {}).get("annotations") or {}).get("inject.istio.io/templates", "")
    return "gateway" in [word.strip() for word in named.split(",")] and any(
        container["name"] == _PROXY and container.get("image") == "auto"
        for container in (template.get("spec") or {}).get("containers") or []
    )


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
    if kind == "Secret" and (name in CA_SECRETS or labels.get("istio/multiCluster") == "true"):
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
    if gateway_template(obj):
        return "gateways"
    if _made_for_gateway(obj) or kind == "GatewayClass":
        return "gateway_api"
    if gateway_api(group, kind):
        return "mesh_objects"
    component = labels.get("operator.istio.io/component")
    if component in _COMPONENT_PARTS:
        return _COMPONENT_PARTS[component]
    return CHART_PARTS.get(_chart(obj)) or (release.part if release else "control_plane")


def _made_for_gateway(obj: dict) -> bool:
    """Whether istiod made an object for a user's Gateway of the Gateway API."""
    owners = obj["metadata"].get("ownerReferences") or []
    return "gateway.istio.io/managed" in (obj["metadata"].get("labels") or {}) or any(
        owner["kind"] == "Gateway" and owner.get("apiVersion", "").startswith(_GATEWAY_API) for owner in owners
    )


def gateway_api(group: str, kind: str) -> bool:
    """Whether a kind is one of those that users write for the Gateway API."""
    return group == _GATEWAY_API and (kind == "Gateway" or kind.endswith("Route"))


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
        self._selecting = {
            (o["metadata"]["namespace"], o["metadata"]["name"])
            for o in listed
            if o["kind"] == "Service" and (o.get("spec") or {}).get("selector")
        }
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

    def _follows(self, obj: dict) -> bool:
        """Whether an object goes with another one; charts bring endpoints of their own for an istiod elsewhere."""
        meta = obj["metadata"]
        if obj["kind"] == "EndpointSlice":
            return bool(meta.get("ownerReferences"))
        if obj["kind"] == "Endpoints":  # a controller's have the labels of their Service, and no owner
            keys = (*(meta.get("labels") or {}), *(meta.get("annotations") or {}))
            by_controller = any(key.startswith("endpoints.kubernetes.io/") for key in keys)
            return by_controller or (meta["namespace"], meta["name"]) in self._selecting
        return obj["kind"] in _FOLLOWERS

    def _direct(self, obj: dict) -> list[str]:
        if obj["kind"] == "Namespace" or self._follows(obj):
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
            if group_of(obj) == _GATEWAY_API and obj["kind"] == "Gateway":
                name = obj.get("spec", {}).get("gatewayClassName", "")
                if (name in classes and classes[name] in self) or (name not in classes and _served_by_istio(obj)):
                    self.add(obj, [f"GatewayClass {name} is Istio's"])
                    gateways[obj["metadata"]["namespace"], obj["metadata"]["name"]] = obj
        for obj in self.listed:
            if group_of(obj) == _GATEWAY_API and obj["kind"].endswith("Route"):
                parents = obj.get("spec", {}).get("parentRefs") or []
                own = obj["metadata"]["namespace"]
                if parents and all(_parent(p, own) in gateways or _served_by_istio(obj) for p in parents):
                    self.add(obj, ["only Istio serves its parents"])

    def control_planes(self) -> dict[str, str]:
        """The namespaces that a control plane, the CNI or an operator runs in, or ran in, with the reason."""
        found = {}
        for obj in self.listed:
            meta = obj["metadata"]
            if obj["kind"] == "Namespace" and _mark(obj) in ("going", "control-plane"):
                found[meta["name"]] = "a purge found Istio here"
            elif obj["kind"] in ("Deployment", "DaemonSet") and self._part(obj) in (
                "control_plane",
                "cni",
                "operators",
            ):
                found[meta["namespace"]] = f"{obj['kind']} {meta['name']} runs here"
        return found

    def _part(self, obj: dict) -> str:
        return _part(obj, self.of_release.get(id_of(obj))) if obj in self else ""

    def homes(self) -> dict[str, tuple[str, bool]]:
        """The namespaces that may be Istio's alone: why one should think so, and whether that is proven.

        A name proves nothing unless Istio is there, and neither does a gateway: it may live among a user's workloads.
        """
        found = {name: (why, True) for name, why in self.control_planes().items()}
        inhabited = {
            obj["metadata"].get("namespace")
            for obj in self.listed
            if self._part(obj) not in ("", "mesh_objects", "trust")
        }
        gateways = {r.namespace: r.name for r in self.releases.values() if r.part == "gateways"}
        for obj in self.listed:
            name = obj["metadata"]["name"]
            if obj["kind"] != "Namespace" or name in found:
                continue
            if name in (*_CONTROL_PLANE_NAMESPACES, *_GATEWAY_NAMESPACES):
                found[name] = ("name that Istio's installers use", name in inhabited or _made_by_installer(obj))
            elif name in gateways:
                found[name] = (f"Helm release {gateways[name]} was installed here", _made_by_installer(obj))
        return {name: why for name, why in found.items() if not _NEVER_NAMESPACES.fullmatch(name)}

    def _in_control_planes(self) -> None:
        namespaces = {*self.control_planes(), *_CONTROL_PLANE_NAMESPACES}
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
            if obj["kind"] == "Secret" and meta["name"] in CA_SECRETS:
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


def _mark(namespace: dict) -> str:
    """What an interrupted purge has written on a namespace (see MARK)."""
    return (namespace["metadata"].get("annotations") or {}).get(MARK, "")


def marked_injected(listed: t.Iterable[dict]) -> list[str]:
    """The namespaces in which an interrupted purge has still to show that pods start."""
    return [o["metadata"]["name"] for o in listed if o["kind"] == "Namespace" and _mark(o) == "injected"]


def _made_by_installer(namespace: dict) -> bool:
    """Whether a namespace was made by an installer of Istio, or by Helm for a chart.

    Helm's label C(name) tells nothing: Helm 4 puts it on namespaces that were there before. Who creates a namespace
    owns the label that Kubernetes itself adds, unless it was by a server-side apply: then nobody owns that label.
    """
    meta = namespace["metadata"]
    managers = meta.get("managedFields") or []
    creators = [m["manager"] for m in managers if "f:kubernetes.io/metadata.name" in json.dumps(m.get("fieldsV1"))]
    if not creators:
        creators = [m["manager"] for m in managers if m.get("time") == meta.get("creationTimestamp")]
    return bool(creators) and all(manager in _INSTALLERS for manager in creators)


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
    homes = _Sure(listed, read_releases(listed)).homes()
    return sorted(name for name, (_why, proven) in homes.items() if proven or name in _CONTROL_PLANE_NAMESPACES)


def footprint(listed: list[dict], complete: t.Collection[str] = ()) -> Footprint:
    """What belongs to Istio among the listed objects.

    :param listed: objects as the API server gives them, each once
    :param complete: the namespaces of which every object is listed; only these can be found empty of others
    """
    releases = read_releases(listed)
    sure = _Sure(listed, releases)
    control_planes = sure.control_planes()
    namespaces = {"istio-system", *control_planes}
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
    items += _strips(listed, sure, gone) + mark_strips(listed, gone)
    restarts, stuck = _restarts(listed, sure, gone)
    items += restarts
    order = {part: place for place, part in enumerate(PARTS)}
    items.sort(key=lambda item: (order[item.part], item.kind, item.namespace, item.name))
    unsure = staying + stuck
    told = {item.id for item in unsure}
    unsure += _unsure([obj for obj in listed if id_of(obj) not in told], sure, gone, restarts)
    existing = {o["metadata"]["name"] for o in listed if o["kind"] == "Namespace"}
    return Footprint(
        tuple(items), tuple(unsure), tuple(releases), tuple(stuck), tuple(sorted(existing & set(control_planes)))
    )


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
    for name, (why, proven) in sure.homes().items():
        namespace = next((o for o in listed if o["kind"] == "Namespace" and o["metadata"]["name"] == name), None)
        if namespace is None:
            continue
        others = [o for o in listed if o["metadata"].get("namespace") == name and o not in sure and not _ordinary(o)]
        if not proven:
            staying.append(_item(namespace, "", "leave", [f"{why}, but nothing proves that it was made for Istio"]))
        elif name not in complete:
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
    return items


def mark_strips(listed: t.Iterable[dict], gone: t.Collection[str]) -> list[Item]:
    """The marks that a purge has left on namespaces which stay."""
    items = []
    for obj in listed:
        if obj["kind"] == "Namespace" and _mark(obj) and obj["metadata"]["name"] not in gone:
            rest = "to prove that pods start here" if _mark(obj) == "injected" else "to end what it found here"
            items.append(
                _item(obj, "proof", "strip", [f"an interrupted purge has still {rest}"], [f"annotation {MARK}"])
            )
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
    """Workloads whose pods carry a sidecar, and workloads and pods of which no restart takes it out."""
    workloads = {
        (o["kind"], o["metadata"]["namespace"], o["metadata"]["name"]): o
        for o in listed
        if o["kind"] in RESTARTABLE and o["metadata"]["namespace"] not in gone
    }
    restarts: dict[Id, Item] = {}
    stuck = [
        _item(workload, "", "leave", [_INJECTED_BY_HAND])
        for workload in workloads.values()
        if workload not in sure and _has_proxy(workload)
    ]
    for pod in listed:
        if pod["kind"] != "Pod" or not injected(pod) or pod["metadata"]["namespace"] in gone:
            continue
        namespace = pod["metadata"]["namespace"]
        owner = owner_of_pod(pod)
        workload = workloads.get((owner[0], namespace, owner[1])) if owner else None
        if workload is None:
            keeper = f"its owner, {owner[0]} {owner[1]}, can't be restarted" if owner else "it has no controller"
            stuck.append(_item(pod, "", "leave", [f"carries a sidecar, but {keeper}: delete it and create it again"]))
        elif workload in sure or _has_proxy(workload):
            continue
        elif held := _held_back(workload):
            stuck.append(_item(workload, "", "leave", [f"pods carry a sidecar; {held}"]))
        else:
            item = _item(
                workload, "sidecars", "restart", ["pods carry a sidecar"], template_keys(workload), revision_of_pod(pod)
            )
            restarts.setdefault(item.id, item)
    return list(restarts.values()), list(dict.fromkeys(stuck))


_INJECTED_BY_HAND = (
    f"its own pod template holds {_PROXY} (istioctl kube-inject writes it there): apply its manifest without that"
)


def _has_proxy(workload: dict) -> bool:
    """Whether a workload's own pod template holds the proxy, so that every new pod has it again."""
    spec = ((workload.get("spec") or {}).get("template") or {}).get("spec") or {}
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    return any(container["name"] == _PROXY for container in containers)


def _held_back(workload: dict) -> str:
    """Why a restart would not replace all of a workload's pods, and what to do; empty where it would."""
    spec = workload.get("spec") or {}
    strategy = spec.get("updateStrategy") or {}
    if spec.get("paused"):
        return "its rollout is paused: resume it"
    if strategy.get("type") == "OnDelete":
        return "its strategy is OnDelete: delete its pods"
    if workload["kind"] == "StatefulSet" and (partition := (strategy.get("rollingUpdate") or {}).get("partition")):
        return f"its updateStrategy.rollingUpdate.partition is {partition}: set it to 0"
    return ""


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
