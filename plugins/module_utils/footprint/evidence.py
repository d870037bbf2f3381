# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why an object belongs to Istio: the evidence that the object itself, its release, its owner or its class gives."""

from __future__ import annotations

import json
import re
import typing as t

from ..mesh.names import CA_SECRETS, GATEWAY_API, istio_group
from ..mesh.pods import gateway_template
from ..reconcile.identity import Key as Id
from ..reconcile.identity import api_group, key
from ..reconcile.types import K8sObject
from .charts import Release, is_record, read_releases
from .classify import (
    CONTROL_PLANE_PARTS,
    ELECTIONS,
    OPERATOR_ELECTIONS,
    ROOT_CONFIG_MAPS,
    chart_label,
    is_sail_operator,
    part_of,
)
from .item import MARK, Evidence, Part, Reason, mark_of

#: Namespaces that Istio's documentation, its operators and this collection create for Istio alone.
CONTROL_PLANE_NAMESPACES = ("istio-system", "istio-operator", "istio-cni", "sail-operator")
_GATEWAY_NAMESPACES = ("istio-ingress", "istio-egress")
#: Field managers under which installers of Istio create a namespace, and under which Helm does for any chart.
_INSTALLERS = ("meshops.istio", "istioctl", "helm")
_NEVER_NAMESPACES = re.compile(r"default|kube-.*|openshift.*")
#: Objects that Kubernetes' controllers create for others.
FOLLOWERS = ("Pod", "ReplicaSet", "ControllerRevision", "EndpointSlice", "Endpoints", "Event", "PodMetrics", "Job")
#: What may hold a user's data: a label does not make it Istio's.
_NEVER_BY_LABEL = ("Secret", "PersistentVolumeClaim", "PersistentVolume", "Namespace")


def _labels(obj: K8sObject) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


# -- what the object itself says ------------------------------------------------


def _label_evidence(obj: K8sObject) -> list[Evidence]:
    labels = _labels(obj)
    found = [
        Evidence(Reason.INSTALLER_LABEL, f"{name}={labels[name]}")
        for name in ("operator.istio.io/component", "gateway.istio.io/managed")
        if name in labels
    ]
    if not found and "install.operator.istio.io/owning-resource" in labels:
        found.append(Evidence(Reason.INSTALLER_LABEL, "install.operator.istio.io/owning-resource"))
    if chart_label(obj):
        found.append(Evidence(Reason.CHART_LABEL, labels["helm.sh/chart"]))
    if obj["kind"] == "ConfigMap" and labels.get("istio.io/config") == "true":
        found.append(Evidence(Reason.ISTIO_LABEL, "istio.io/config=true"))
    if MARK in labels:
        found.append(Evidence(Reason.ISTIO_LABEL, MARK))
    if obj["kind"] == "Deployment" and is_sail_operator(obj):
        found.append(Evidence(Reason.SAIL_OPERATOR))
    return found


def _of_definition(obj: K8sObject) -> list[Evidence]:
    group = (obj.get("spec") or {}).get("group", "")
    return [Evidence(Reason.API_GROUP, group)] if istio_group(group) else []


def _of_webhooks(obj: K8sObject) -> list[Evidence]:
    names = [hook["name"] for hook in obj.get("webhooks") or []]
    return [Evidence(Reason.WEBHOOK, names[0])] if names and all(istio_group(name) for name in names) else []


def _of_field(field: str, reason: Reason) -> t.Callable[[K8sObject], list[Evidence]]:
    def read(obj: K8sObject) -> list[Evidence]:
        value = (obj.get("spec") or {}).get(field, "")
        return [Evidence(reason, value)] if value.startswith("istio.io/") else []

    return read


def _of_policy(obj: K8sObject) -> list[Evidence]:
    is_policy = obj["kind"] == "ValidatingAdmissionPolicy"
    name = obj["metadata"]["name"] if is_policy else (obj.get("spec") or {}).get("policyName", "")
    return [Evidence(Reason.POLICY)] if istio_group(name) else []


def _of_secret(obj: K8sObject) -> list[Evidence]:
    found = []
    if _labels(obj).get("istio/multiCluster") == "true":
        found.append(Evidence(Reason.REMOTE_SECRET))
    if obj.get("type", "").startswith("istio.io/"):
        found.append(Evidence(Reason.SECRET_TYPE, obj["type"]))
    return found


def _of_config_map(obj: K8sObject) -> list[Evidence]:
    keys = set(obj.get("data") or {})
    is_root = obj["metadata"]["name"] in ROOT_CONFIG_MAPS and keys <= {"root-cert.pem", "ca-crl.pem"}
    return [Evidence(Reason.ROOT_CONFIG_MAP)] if is_root else []


#: Evidence in the fields that only one kind has.
_BY_KIND: dict[str, t.Callable[[K8sObject], list[Evidence]]] = {
    "CustomResourceDefinition": _of_definition,
    "MutatingWebhookConfiguration": _of_webhooks,
    "ValidatingWebhookConfiguration": _of_webhooks,
    "GatewayClass": _of_field("controllerName", Reason.CONTROLLER),
    "IngressClass": _of_field("controller", Reason.CONTROLLER),
    "ClusterTrustBundle": _of_field("signerName", Reason.SIGNER),
    "ValidatingAdmissionPolicy": _of_policy,
    "ValidatingAdmissionPolicyBinding": _of_policy,
    "Secret": _of_secret,
    "ConfigMap": _of_config_map,
}


def _own_evidence(obj: K8sObject) -> list[Evidence]:
    group = api_group(obj)
    found = [Evidence(Reason.API_GROUP, group)] if istio_group(group) else []
    if obj["kind"] not in _NEVER_BY_LABEL:
        found += _label_evidence(obj)
    if obj["kind"] in _BY_KIND:
        found += _BY_KIND[obj["kind"]](obj)
    if gateway_template(obj):
        found.append(Evidence(Reason.GATEWAY_TEMPLATE))
    return found


# -- what the objects together say -----------------------------------------------


class Proven:
    """The objects that are Istio's, with their evidence.

    >>> deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {
    ...     "name": "istiod", "namespace": "mesh", "labels": {"operator.istio.io/component": "Pilot"}}}
    >>> secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cacerts", "namespace": "mesh"}}
    >>> [str(each) for each in Proven([deployment, secret], []).of(secret)]
    ["name of a Secret of istiod's CA, in the namespace of a control plane"]
    """

    def __init__(self, listed: t.Sequence[K8sObject], releases: t.Iterable[Release]) -> None:
        self.listed = listed
        self.releases = {(r.namespace, r.name): r for r in releases}
        self._evidence: dict[Id, list[Evidence]] = {}
        self._uids: set[str] = set()
        self._claims: dict[Id, list[Release]] = {}
        for release in self.releases.values():
            for ident in release.objects:
                self._claims.setdefault(ident, []).append(release)
        self._selecting = {
            (o["metadata"]["namespace"], o["metadata"]["name"])
            for o in listed
            if o["kind"] == "Service" and (o.get("spec") or {}).get("selector")
        }
        for obj in listed:
            self._add(obj, self._direct(obj))
        self._by_class()
        self._in_control_planes()
        self._by_owner()

    def of(self, obj: K8sObject) -> list[Evidence]:
        """The evidence for an object; none where it is not Istio's."""
        return self._evidence.get(key(obj), [])

    def __contains__(self, obj: object) -> bool:
        return isinstance(obj, dict) and key(obj) in self._evidence

    def release_of(self, obj: K8sObject) -> Release | None:
        """The release that owns an object."""
        return next((r for r in self._claims.get(key(obj), ()) if r.owns(obj)), None)

    def claims_on(self, obj: K8sObject) -> list[Release]:
        """The releases whose manifests name an object that they do not own."""
        return [release for release in self._claims.get(key(obj), ()) if not release.owns(obj)]

    def release_of_record(self, obj: K8sObject) -> Release | None:
        """The release of an Istio chart of which a Secret is one stored version."""
        if not is_record(obj):
            return None
        return self.releases.get((obj["metadata"]["namespace"], _labels(obj).get("name", "")))

    def part(self, obj: K8sObject) -> Part:
        """The part that an object belongs to; empty where it is not Istio's."""
        return part_of(obj, self.release_of(obj)) if obj in self else ""

    def _add(self, obj: K8sObject, evidence: list[Evidence]) -> None:
        if evidence:
            self._evidence.setdefault(key(obj), []).extend(evidence)
            if obj["metadata"].get("uid"):
                self._uids.add(obj["metadata"]["uid"])

    def _follows(self, obj: K8sObject) -> bool:
        """Whether an object is deleted with another; charts have endpoints of their own for an istiod elsewhere."""
        meta = obj["metadata"]
        if obj["kind"] == "EndpointSlice":
            return bool(meta.get("ownerReferences"))
        if obj["kind"] == "Endpoints":  # a controller's have the labels of their Service, and no owner
            names = (*(meta.get("labels") or {}), *(meta.get("annotations") or {}))
            by_controller = any(name.startswith("endpoints.kubernetes.io/") for name in names)
            return by_controller or (meta["namespace"], meta["name"]) in self._selecting
        return obj["kind"] in FOLLOWERS

    def _direct(self, obj: K8sObject) -> list[Evidence]:
        if obj["kind"] == "Namespace" or self._follows(obj):
            return []
        if is_record(obj):
            stored = self.release_of_record(obj)
            return [Evidence(Reason.HELM_RECORD, stored.title)] if stored else []
        release = self.release_of(obj)
        owned = [Evidence(Reason.HELM_RELEASE, release.title)] if release else []
        return owned + _own_evidence(obj)

    def _by_class(self) -> None:
        """Gateway API objects that Istio's controllers serve.

        A Gateway whose class does not exist any more says itself who served it; that counts for its own namespace only.
        """
        classes = {o["metadata"]["name"]: o for o in self.listed if o["kind"] == "GatewayClass"}
        gateways: dict[tuple[str, str], bool] = {}
        for obj in self.listed:
            if api_group(obj) == GATEWAY_API and obj["kind"] == "Gateway":
                name = (obj.get("spec") or {}).get("gatewayClassName", "")
                by_class = name in classes and classes[name] in self
                if by_class or (name not in classes and _served_by_istio(obj)):
                    self._add(obj, [Evidence(Reason.GATEWAY_CLASS, name)])
                    gateways[obj["metadata"]["namespace"], obj["metadata"]["name"]] = by_class
        for obj in self.listed:
            if api_group(obj) == GATEWAY_API and obj["kind"].endswith("Route"):
                own = obj["metadata"]["namespace"]
                parents = [_parent(ref, own) for ref in (obj.get("spec") or {}).get("parentRefs") or []]
                known = [p for p in parents if p in gateways and (gateways[p] or p[0] == own)]
                if parents and (len(known) == len(parents) or _served_by_istio(obj)):
                    self._add(obj, [Evidence(Reason.PARENTS)])

    def control_planes(self) -> dict[str, Evidence]:
        """The namespaces that a control plane, the CNI or an operator runs in, or ran in, with the reason."""
        found = {}
        for obj in self.listed:
            meta = obj["metadata"]
            if obj["kind"] == "Namespace" and mark_of(obj) in ("going", "control-plane"):
                found[meta["name"]] = Evidence(Reason.INTERRUPTED_PURGE)
            elif obj["kind"] in ("Deployment", "DaemonSet") and self.part(obj) in CONTROL_PLANE_PARTS:
                found[meta["namespace"]] = Evidence(Reason.CONTROL_PLANE_HERE, f"{obj['kind']} {meta['name']}")
        return found

    def homes(self) -> dict[str, tuple[Evidence, bool]]:
        """The namespaces that may be Istio's alone: why one should think so, and whether that is proven.

        A name proves nothing unless a control plane is there. A gateway proves nothing: it may run among a user's
        workloads, or in a namespace that the user has created for it.
        """
        found = {name: (why, True) for name, why in self.control_planes().items()}
        inhabited = {
            obj["metadata"].get("namespace")
            for obj in self.listed
            if self.part(obj) not in ("", "mesh_objects", "trust")
        }
        gateways = {r.namespace: r.name for r in self.releases.values() if r.part == "gateways"}
        for obj in self.listed:
            name = obj["metadata"]["name"]
            if obj["kind"] != "Namespace" or name in found:
                continue
            if name in CONTROL_PLANE_NAMESPACES:
                found[name] = (Evidence(Reason.NAMESPACE_NAME), name in inhabited or _made_by_installer(obj))
            elif name in _GATEWAY_NAMESPACES:
                found[name] = (Evidence(Reason.NAMESPACE_NAME), _made_by_installer(obj))
            elif name in gateways:
                found[name] = (Evidence(Reason.RELEASE_HERE, gateways[name]), _made_by_installer(obj))
        return {name: why for name, why in found.items() if not _NEVER_NAMESPACES.fullmatch(name)}

    def _in_control_planes(self) -> None:
        namespaces = {*self.control_planes(), *CONTROL_PLANE_NAMESPACES}
        for obj in self.listed:
            if obj["metadata"].get("namespace") in namespaces:
                self._add(obj, _beside_control_plane(obj))

    def _by_owner(self) -> None:
        grown = True
        while grown:
            grown = False
            for obj in self.listed:
                if obj in self or obj["kind"] in FOLLOWERS:
                    continue
                owners = [o for o in obj["metadata"].get("ownerReferences") or [] if o["uid"] in self._uids]
                self._add(obj, [Evidence(Reason.OWNER, f"{owner['kind']} {owner['name']}") for owner in owners])
                grown = grown or bool(owners)


def _beside_control_plane(obj: K8sObject) -> list[Evidence]:
    """What names prove in the namespace of a control plane."""
    name = obj["metadata"]["name"]
    if obj["kind"] == "Secret" and name in CA_SECRETS:
        return [Evidence(Reason.CA_SECRET)]
    if obj["kind"] not in ("ConfigMap", "Lease"):
        return []
    if ELECTIONS.fullmatch(name):
        return [Evidence(Reason.ELECTION)]
    if name in OPERATOR_ELECTIONS:
        return [Evidence(Reason.OPERATOR_ELECTION)]
    if name.startswith("istio-") and _leader(obj).startswith("istiod-"):
        return [Evidence(Reason.ELECTION_HOLDER, _leader(obj))]
    return []


def _made_by_installer(namespace: K8sObject) -> bool:
    """Whether an installer of Istio created a namespace, or Helm for a chart.

    Helm's label C(name) proves nothing: Helm 4 sets it on existing namespaces, too. Who creates a namespace owns the
    label that Kubernetes itself adds, except by server-side apply: then nobody owns that label.
    """
    meta = namespace["metadata"]
    managers = meta.get("managedFields") or []
    creators = [m["manager"] for m in managers if "f:kubernetes.io/metadata.name" in json.dumps(m.get("fieldsV1"))]
    if not creators:
        creators = [m["manager"] for m in managers if m.get("time") == meta.get("creationTimestamp")]
    return bool(creators) and all(manager in _INSTALLERS for manager in creators)


def _leader(obj: K8sObject) -> str:
    """Who holds a Lease, or a ConfigMap that is used as one."""
    if obj["kind"] == "Lease":
        return (obj.get("spec") or {}).get("holderIdentity") or ""
    record = (obj["metadata"].get("annotations") or {}).get("control-plane.alpha.kubernetes.io/leader") or "{}"
    try:
        holder = json.loads(record).get("holderIdentity")
    except (ValueError, AttributeError):
        return ""
    return holder if isinstance(holder, str) else ""


def _served_by_istio(obj: K8sObject) -> bool:
    """Whether every status entry of a Gateway API object was written by a controller of Istio's."""
    status = obj.get("status") or {}
    controllers = [p.get("controllerName", "") for p in status.get("parents") or []]
    if obj["kind"] == "Gateway":
        return any(a.startswith("gateway.istio.io/") for a in obj["metadata"].get("annotations") or {})
    return bool(controllers) and all(c.startswith("istio.io/") for c in controllers)


def _parent(ref: t.Mapping[str, t.Any], namespace: str) -> tuple[str, str]:
    """Namespace and name of a route's parent; two empty texts for a parent of another kind."""
    if ref.get("kind", "Gateway") != "Gateway":
        return ("", "")
    return (ref.get("namespace") or namespace, ref["name"])


def candidate_namespaces(listed: t.Sequence[K8sObject]) -> list[str]:
    """The namespaces that may be deleted: all of their objects must be listed before footprint() decides."""
    homes = Proven(listed, read_releases(listed)).homes()
    return sorted(name for name, (_why, proven) in homes.items() if proven or name in CONTROL_PLANE_NAMESPACES)
