# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""To which part of Istio, and to which revision, an object of Istio's belongs."""

from __future__ import annotations

import re
import typing as t

from ..mesh.names import CA_SECRETS, GATEWAY_API, gateway_api, istio_group
from ..mesh.pods import gateway_template
from ..reconcile.identity import api_group
from ..reconcile.types import K8sObject
from .charts import CHART_PARTS, REVISIONED_CHARTS, Release
from .item import MARK, Part

#: ConfigMaps and Leases by which istiod elects leaders (pilot/pkg/leaderelection/leaderelection.go, since 1.10).
ELECTIONS = re.compile(
    r"istio-(leader|gateway-leader|status-leader|analyze-leader|gateway-status-leader|namespace-controller-election"
    r"|validation-controller-election|clustertrustbundle-controller-election|serviceexport-controller-election"
    r"|ip-autoallocate|gateway-deployment|gateway-inferencepool|gateway-ambient-leader|node-untaint)(-.+)?"
)
#: The same of operators: this collection's, Istio's own until 1.23, Sail.
OPERATOR_ELECTIONS = ("istio-operator", "istio-operator-lock", "sail-operator-lock")
ROOT_CONFIG_MAPS = ("istio-ca-root-cert", "istio-ca-crl")
#: Parts whose workloads make a namespace that of a control plane.
CONTROL_PLANE_PARTS: tuple[Part, ...] = ("control_plane", "cni", "operators")
_COMPONENT_PARTS: dict[str, Part] = {
    "Cni": "cni",
    "IngressGateways": "gateways",
    "EgressGateways": "gateways",
    "IstioOperator": "operators",
}
#: Components of istioctl that serve every revision.
_SHARED_COMPONENTS = ("Base", "Cni", "Ztunnel")
_DEFAULT_VALIDATOR = "istiod-default-validator"
_OPERATOR_GROUPS = ("sailoperator.io", "install.istio.io")
_SAIL_NAMES = ("sailoperator", "sail-operator")


def _labels(obj: K8sObject) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def chart_label(obj: K8sObject) -> str:
    """The Istio chart that an object's labels name; charts label their objects since 1.24."""
    labels = _labels(obj)
    chart = labels.get("helm.sh/chart", "").rpartition("-")[0]
    while chart and chart not in CHART_PARTS:  # base-1.31.0-rc.1: versions hold dashes too
        chart = chart.rpartition("-")[0]
    return chart if labels.get("app.kubernetes.io/part-of") == "istio" else ""


def is_sail_operator(obj: K8sObject) -> bool:
    return _labels(obj).get("app.kubernetes.io/name") in _SAIL_NAMES


def is_ztunnel(obj: K8sObject) -> bool:
    """Whether a DaemonSet is Istio's ztunnel, whoever installed it."""
    labels = _labels(obj)
    return obj["kind"] == "DaemonSet" and (
        labels.get("app") == "ztunnel"
        or labels.get("operator.istio.io/component") == "Ztunnel"
        or chart_label(obj) == "ztunnel"
    )


def is_default_validator(obj: K8sObject) -> bool:
    """Whether a webhook configuration validates for the whole mesh, by one of its revisions."""
    return obj["kind"] == "ValidatingWebhookConfiguration" and obj["metadata"]["name"] == _DEFAULT_VALIDATOR


def made_for_gateway(obj: K8sObject) -> bool:
    """Whether istiod made an object for a user's Gateway of the Gateway API."""
    owners = obj["metadata"].get("ownerReferences") or []
    return "gateway.istio.io/managed" in _labels(obj) or any(
        owner["kind"] == "Gateway" and owner.get("apiVersion", "").startswith(GATEWAY_API) for owner in owners
    )


def _is_cni(obj: K8sObject) -> bool:
    labels = _labels(obj)
    return (
        labels.get(MARK) == "cni"
        or labels.get("app") == "istio-cni"
        or labels.get("k8s-app", "").startswith("istio-cni")
    )


def _is_operators(obj: K8sObject) -> bool:
    election = obj["kind"] in ("ConfigMap", "Lease") and obj["metadata"]["name"] in OPERATOR_ELECTIONS
    return election or api_group(obj) in _OPERATOR_GROUPS


def _is_ca(obj: K8sObject) -> bool:
    is_named = obj["metadata"]["name"] in CA_SECRETS or _labels(obj).get("istio/multiCluster") == "true"
    return obj["kind"] == "Secret" and is_named


def _is_trust(obj: K8sObject) -> bool:
    is_root = obj["kind"] == "ConfigMap" and obj["metadata"]["name"] in ROOT_CONFIG_MAPS
    return is_root or obj["kind"] == "ClusterTrustBundle" or obj.get("type") == "istio.io/key-and-cert"


#: The first rule that applies decides. Of the charts of operators, policies are theirs and webhooks are not.
_RULES: tuple[tuple[Part, t.Callable[[K8sObject, Release | None], bool]], ...] = (
    ("operators", lambda obj, _: _is_operators(obj)),
    ("mesh_objects", lambda obj, _: istio_group(api_group(obj))),
    (
        "operators",
        lambda obj, release: (
            obj["kind"] in ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
            and release is not None
            and release.part == "operators"
        ),
    ),
    ("webhooks", lambda obj, _: api_group(obj) == "admissionregistration.k8s.io"),
    ("crds", lambda obj, _: obj["kind"] == "CustomResourceDefinition"),
    ("ca", lambda obj, _: _is_ca(obj)),
    ("trust", lambda obj, _: _is_trust(obj)),
    ("cni", lambda obj, _: _is_cni(obj)),
    ("operators", lambda obj, _: is_sail_operator(obj)),
    ("gateways", lambda obj, _: gateway_template(obj)),
    ("gateway_api", lambda obj, _: made_for_gateway(obj) or obj["kind"] == "GatewayClass"),
    ("mesh_objects", lambda obj, _: gateway_api(api_group(obj), obj["kind"])),
)


def part_of(obj: K8sObject, release: Release | None) -> Part:
    """The part of the footprint to which an object of Istio's belongs."""
    for part, applies in _RULES:
        if applies(obj, release):
            return part
    component = _labels(obj).get("operator.istio.io/component", "")
    if component in _COMPONENT_PARTS:
        return _COMPONENT_PARTS[component]
    chart = chart_label(obj) or (release.chart if release else "")
    return CHART_PARTS[chart] if chart else "control_plane"


_REVISIONED_NAMES = (
    "istiod-clusterrole",
    "istiod-gateway-controller",
    "istio-reader-clusterrole",
    "istio-validator",
    "istiod",
)


def serves_every_revision(obj: K8sObject, release: Release | None) -> bool:
    """Whether an object is not of one revision, though it may carry the label of one: base, CNI and ztunnel."""
    chart = chart_label(obj) or (release.chart if release else "")
    return (
        istio_group(api_group(obj))
        or is_ztunnel(obj)
        or is_default_validator(obj)
        or _labels(obj).get("operator.istio.io/component") in _SHARED_COMPONENTS
        or (chart != "" and chart not in (*REVISIONED_CHARTS, "gateway"))
    )


def revision_of(obj: K8sObject, release: Release | None, namespaces: t.Iterable[str]) -> str:
    """The revision that an object belongs to; empty where it belongs to all of them.

    :param namespaces: of control planes
    """
    if serves_every_revision(obj, release):
        return ""
    election = ELECTIONS.fullmatch(obj["metadata"]["name"]) if obj["kind"] in ("ConfigMap", "Lease") else None
    if election:
        return (election.group(2) or "").removeprefix("-")
    label = _labels(obj).get("istio.io/rev")
    if label or (release and release.revision):
        return label or (release.revision if release else "")
    # istioctl gives RBAC objects no revision label, but names them PREFIX[-REVISION][-NAMESPACE].
    name = obj["metadata"]["name"]
    prefix = next((p for p in _REVISIONED_NAMES if name == p or name.startswith(p + "-")), None)
    if prefix is None:
        return ""
    rest = name[len(prefix) :]
    for namespace in sorted(namespaces):
        rest = rest.removesuffix("-" + namespace)
    return rest.strip("-") or "default"
