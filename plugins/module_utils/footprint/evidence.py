# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why an object belongs to Istio, and to which part of it."""

from __future__ import annotations

import json
import re
import typing as t

from ..mesh.names import _GATEWAY_API, CA_SECRETS, gateway_api, istio_group
from ..mesh.pods import gateway_template
from .charts import CHART_PARTS, Id, Release, group_of, id_of, read_releases
from .item import MARK, _mark

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
_ROOT_CONFIG_MAPS = ("istio-ca-root-cert", "istio-ca-crl")
#: Namespaces that Istio's documentation, its operators and this collection make for Istio alone.
_CONTROL_PLANE_NAMESPACES = ("istio-system", "istio-operator", "istio-cni", "sail-operator")
_GATEWAY_NAMESPACES = ("istio-ingress", "istio-egress")
#: Field managers under which installers of Istio make a namespace, and under which Helm does for any chart.
_INSTALLERS = ("meshops.istio", "istioctl", "helm")
_NEVER_NAMESPACES = re.compile(r"default|kube-.*|openshift.*")
_FOLLOWERS = ("Pod", "ReplicaSet", "ControllerRevision", "EndpointSlice", "Endpoints", "Event", "PodMetrics", "Job")


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
