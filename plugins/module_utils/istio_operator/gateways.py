# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The gateways of an IstioOperator document, as releases of the C(gateway) chart.

istioctl renders them from two old charts that no Helm repository has. Same names, selectors, ports and service: so a
gateway that istioctl has installed can be taken over in place, with its address.
"""

from __future__ import annotations

import typing as t

from ..helm.releases import Release, merged
from .validate import document_error

#: field of the document's components -> istioctl's chart, after which its values, labels and defaults are named
GATEWAY_CHARTS = {"ingressGateways": "istio-ingressgateway", "egressGateways": "istio-egressgateway"}

_PORTS = [
    {"port": 15021, "targetPort": 15021, "name": "status-port", "protocol": "TCP"},
    {"port": 80, "targetPort": 8080, "name": "http2", "protocol": "TCP"},
    {"port": 443, "targetPort": 8443, "name": "https", "protocol": "TCP"},
]
#: What istioctl's charts have where the document says nothing.
_DEFAULTS: dict[str, t.Any] = {
    "autoscaleEnabled": True,
    "autoscaleMin": 1,
    "autoscaleMax": 5,
    "cpu": {"targetAverageUtilization": 80},
    "rollingMaxSurge": "100%",
    "rollingMaxUnavailable": "25%",
}
_OWN_DEFAULTS = {
    "ingressGateways": {"type": "LoadBalancer", "ports": _PORTS},
    # istioctl's egress chart: no status port, and its https port is the last
    "egressGateways": {
        "type": "ClusterIP",
        "ports": [{"port": 80, "targetPort": 8080, "name": "http2", "protocol": "TCP"}]
        + [{"port": 443, "targetPort": 8443, "name": "https", "protocol": "TCP"}],
    },
}
_SMALL = {"requests": {"cpu": "10m", "memory": "40Mi"}}
#: profile of the charts -> chart -> what it has instead (manifests/helm-profiles)
_PROFILES: dict[str, dict[str, dict[str, t.Any]]] = {
    "demo": {
        "istio-egressgateway": {"autoscaleEnabled": False, "resources": _SMALL},
        "istio-ingressgateway": {
            "autoscaleEnabled": False,
            "resources": _SMALL,
            "ports": [
                {"port": 15021, "targetPort": 15021, "name": "status-port"},
                {"port": 80, "targetPort": 8080, "name": "http2"},
                {"port": 443, "targetPort": 8443, "name": "https"},
                {"port": 31400, "targetPort": 31400, "name": "tcp"},
                {"port": 15443, "targetPort": 15443, "name": "tls"},
            ],
        },
    }
}
#: Values of istioctl's charts that are read below, or that it ignores itself.
_READ = {
    "additionalContainers", "autoscaleEnabled", "autoscaleMax", "autoscaleMin", "configVolumes", "cpu", "customService",
    "enabled", "env", "externalTrafficPolicy", "ingressPorts", "injectionTemplate", "ipFamilies", "ipFamilyPolicy",
    "labels", "loadBalancerIP", "loadBalancerSourceRanges", "memory", "name", "nodeSelector", "podAnnotations", "ports",
    "replicaCount", "resources", "rollingMaxSurge", "rollingMaxUnavailable", "runAsRoot", "secretVolumes",
    "serviceAccount", "serviceAnnotations", "tag", "tolerations", "type",
}  # fmt: skip


def gateway_release(
    field: str, gateway: t.Mapping[str, t.Any], values: dict[str, t.Any], warnings: list[str]
) -> Release:
    """The release of one gateway; namespace and the patches of its k8s settings are the caller's.

    :param field: C(ingressGateways) or C(egressGateways)
    :param gateway: the gateway's entry in the document
    :param values: the document's values, with those of its profile
    :param warnings: gets a line for each value that the C(gateway) chart has no counterpart for
    """
    chart = GATEWAY_CHARTS[field]
    name = gateway["name"]
    of_profile = _PROFILES.get(values.get("profile") or "", {}).get(chart)
    own = merged(_DEFAULTS, _OWN_DEFAULTS[field], of_profile, (values.get("gateways") or {}).get(chart))
    shared = values.get("global") or {}
    for key in own:
        if key not in _READ:
            warnings.append(f"spec.values.gateways.{chart}.{key} has no effect on gateway {name}: set it in its k8s")
    labels = {"app": chart, "istio": chart.removeprefix("istio-"), **(gateway.get("label") or {})}
    budget = (shared.get("defaultPodDisruptionBudget") or {}).get("enabled", True)
    found: dict[str, t.Any] = {
        "name": name,
        "labels": labels,
        "service": _service(own, labels, gateway.get("k8s") or {}),
        "serviceAccount": _given({"name": f"{name}-service-account"}, own.get("serviceAccount") or {}, "annotations"),
        "autoscaling": {
            "enabled": bool(own["autoscaleEnabled"] and own["autoscaleMin"] and own["autoscaleMax"]),
            "minReplicas": own["autoscaleMin"],
            "maxReplicas": own["autoscaleMax"],
            "targetCPUUtilizationPercentage": (own.get("cpu") or {}).get("targetAverageUtilization"),
        },
        "strategy": {
            "rollingUpdate": {"maxSurge": own["rollingMaxSurge"], "maxUnavailable": own["rollingMaxUnavailable"]}
        },
        "podDisruptionBudget": {"minAvailable": 1} if budget else {},
        "podAnnotations": _pod_annotations(own, gateway, shared),
        "env": {key: str(value) for key, value in (own.get("env") or {}).items()},
        "tolerations": own.get("tolerations") or shared.get("defaultTolerations"),
        "nodeSelector": own.get("nodeSelector") or shared.get("defaultNodeSelector"),
        "resources": own.get("resources"),
        "replicaCount": own.get("replicaCount"),
        "additionalContainers": own.get("additionalContainers"),
        "imagePullPolicy": shared.get("imagePullPolicy"),
        "imagePullSecrets": [{"name": secret} for secret in shared.get("imagePullSecrets") or []],
        "priorityClassName": shared.get("priorityClassName"),
        "revision": values.get("revision"),
        "platform": values.get("platform") or shared.get("platform"),
        "global": {"networkPolicy": shared["networkPolicy"]} if shared.get("networkPolicy") else None,
        **_volumes(own),
    }
    if own.get("runAsRoot"):
        root = {"runAsUser": 0, "runAsGroup": 0, "runAsNonRoot": False}
        found |= {"securityContext": root, "containerSecurityContext": root}
    kept = {key: value for key, value in found.items() if value not in (None, {}, [], "")}
    return Release(name=name, chart="gateway", namespace="", values=kept, patches=_selectors(name, labels, values))


def _given(into: dict[str, t.Any], source: t.Mapping[str, t.Any], *keys: str) -> dict[str, t.Any]:
    return {**into, **{key: source[key] for key in keys if source.get(key)}}


def _service(own: t.Mapping[str, t.Any], labels: dict[str, t.Any], k8s: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    ports = (k8s.get("service") or {}).get("ports") or own["ports"] or []
    extra = [{"port": port.get("port"), "name": port.get("name")} for port in own.get("ingressPorts") or []]
    service = {
        "type": "None" if own.get("customService") else own["type"],
        "ports": [*ports, *extra],
        "selectorLabels": _further(labels),
        "annotations": {key: str(value) for key, value in (own.get("serviceAnnotations") or {}).items()},
    }
    return _given(
        service,
        own,
        "externalTrafficPolicy",
        "ipFamilies",
        "ipFamilyPolicy",
        "loadBalancerIP",
        "loadBalancerSourceRanges",
    )


def _further(labels: t.Mapping[str, str]) -> dict[str, str]:
    """The labels that istioctl's charts select by, and the C(gateway) chart doesn't by itself."""
    return {key: value for key, value in labels.items() if key not in ("app", "istio")}


def _selectors(name: str, labels: dict[str, t.Any], values: t.Mapping[str, t.Any]) -> list[t.Mapping[str, t.Any]]:
    further = _further(labels)
    if not further:
        return []
    match = {"matchLabels": further}
    network = ((values.get("global") or {}).get("networkPolicy") or {}).get("enabled")
    budget = {"kind": "PodDisruptionBudget", "name": name, "merge": {"spec": {"selector": match}}}
    found = [{"kind": "Deployment", "name": name, "merge": {"spec": {"selector": match}}}]
    if network:
        policy = f"{name}-{values['revision']}" if values.get("revision") else name
        found.append({"kind": "NetworkPolicy", "name": policy, "merge": {"spec": {"podSelector": match}}})
    return [*found, {**budget, "optional": True}]


def _pod_annotations(
    own: t.Mapping[str, t.Any], gateway: t.Mapping[str, t.Any], shared: t.Mapping[str, t.Any]
) -> dict[str, t.Any]:
    annotations = dict(own.get("podAnnotations") or {})
    if own.get("injectionTemplate"):
        annotations["inject.istio.io/templates"] = own["injectionTemplate"]
    tag = gateway.get("tag") if gateway.get("tag") is not None else own.get("tag")
    if tag is not None or gateway.get("hub"):
        hub = gateway.get("hub") or shared.get("hub")
        tag = tag if tag is not None else shared.get("tag")
        if not hub or tag is None:
            raise document_error([f"spec.components: gateway {gateway['name']} has a hub or tag of its own: set both"])
        proxy = shared.get("proxy") or {}
        variant = proxy.get("variant") or shared.get("variant")
        image = f"{hub}/{proxy.get('image') or 'proxyv2'}:{tag}" + (f"-{variant}" if variant else "")
        annotations["sidecar.istio.io/proxyImage"] = image
    return annotations


def _volumes(own: t.Mapping[str, t.Any]) -> dict[str, list[dict[str, t.Any]]]:
    volumes, mounts = [], []
    for secret in own.get("secretVolumes") or []:
        volumes.append({"name": secret["name"], "secret": {"secretName": secret["secretName"], "optional": True}})
        mounts.append({"name": secret["name"], "mountPath": secret["mountPath"], "readOnly": True})
    for config in own.get("configVolumes") or []:
        volumes.append({"name": config["name"], "configMap": {"name": config["configMapName"], "optional": True}})
        if config.get("mountPath"):
            mounts.append({"name": config["name"], "mountPath": config["mountPath"], "readOnly": True})
    return {"volumes": volumes, "volumeMounts": mounts}
