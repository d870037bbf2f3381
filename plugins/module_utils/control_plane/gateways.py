# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ingress and egress gateways: their Helm releases, and their Routes on OpenShift."""

from __future__ import annotations

import difflib
import typing as t

from ..errors import MeshopsError
from ..helm.releases import Release, merged

_FIELDS = ("name", "state", "namespace", "direction", "service", "values", "openshift_route")
_ROUTE_FIELDS = ("host", "port", "tls", "annotations", "path")


#: How istioctl has its gateways asked whether they are ready. The probe that is injected asks every 15 seconds: then a
#: gateway that serves after one second is taken for ready after 16.
READINESS_PROBE = {
    "httpGet": {"path": "/healthz/ready", "port": 15021, "scheme": "HTTP"},
    "initialDelaySeconds": 1,
    "periodSeconds": 2,
    "timeoutSeconds": 3,
    "failureThreshold": 30,
}


def gateway_releases(
    gateways: t.Iterable[t.Mapping[str, t.Any]],
    namespace: str = "istio-system",
    revision: str = "",
    platform: str = "",
) -> list[Release]:
    """The releases of the gateway chart for a list of gateways as the gateways role takes it, Routes included.

    :param namespace: of the gateways that name none
    :param revision: the control plane's revision (or tag) that the gateways belong to
    :param platform: C(openshift) for a gateway pod that gets its user from the cluster
    :raises MeshopsError: one isn't declared as it should be
    """
    releases = []
    for given in gateways:
        gateway = _checked(given)
        home = gateway.get("namespace") or namespace
        if gateway.get("state") == "absent":
            releases.append(Release(gateway["name"], "gateway", home, state="absent"))
            continue
        egress = gateway.get("direction", "ingress") == "egress"
        values: dict[str, t.Any] = {"service": {"type": "ClusterIP"}} if egress else {}
        if revision:
            values["revision"] = revision
        if platform:
            values["platform"] = platform
        if gateway.get("openshift_route") and not egress:
            values = merged(values, {"service": {"type": "ClusterIP"}})
        values = merged(values, {"service": gateway.get("service") or {}}, gateway.get("values"))
        values.setdefault("readinessProbe", READINESS_PROBE)
        releases.append(Release(gateway["name"], "gateway", home, values, objects=_routes(gateway, home)))
    return releases


def _routes(gateway: t.Mapping[str, t.Any], namespace: str) -> list[dict[str, t.Any]]:
    """The OpenShift Route of a gateway (C(openshift_route): true, or its settings)."""
    wanted = gateway.get("openshift_route")
    if not wanted:
        return []
    route = {} if wanted is True else wanted
    spec: dict[str, t.Any] = {
        "to": {"kind": "Service", "name": gateway["name"], "weight": 100},
        "port": {"targetPort": route.get("port", "http2")},
    }
    for field in ("host", "path", "tls"):
        if route.get(field):
            spec[field] = route[field]
    meta = {"name": gateway["name"], "namespace": namespace}
    if route.get("annotations"):
        meta["annotations"] = route["annotations"]
    return [{"apiVersion": "route.openshift.io/v1", "kind": "Route", "metadata": meta, "spec": spec}]


def _checked(gateway: t.Mapping[str, t.Any]) -> t.Mapping[str, t.Any]:
    if not isinstance(gateway, dict) or not gateway.get("name"):
        raise MeshopsError(f"a gateway is a dict with at least a name, not {gateway!r}")
    name = gateway["name"]
    _known(gateway, _FIELDS, f"gateway {name}")
    if gateway.get("state", "present") not in ("present", "absent"):
        raise MeshopsError(f"gateway {name}: state can't be {gateway['state']!r}: it is present or absent")
    if gateway.get("direction", "ingress") not in ("ingress", "egress"):
        raise MeshopsError(f"gateway {name}: direction can't be {gateway['direction']!r}: it is ingress or egress")
    for field in ("service", "values"):
        if not isinstance(gateway.get(field) or {}, dict):
            raise MeshopsError(f"gateway {name}: {field} must be a dict, not {gateway[field]!r}")
    route = gateway.get("openshift_route") or {}
    if not isinstance(route, (dict, bool)):
        raise MeshopsError(f"gateway {name}: openshift_route must be true or a dict, not {route!r}")
    if isinstance(route, dict):
        _known(route, _ROUTE_FIELDS, f"gateway {name}: openshift_route")
    return gateway


def _known(given: t.Mapping[str, t.Any], fields: t.Sequence[str], where: str) -> None:
    for field in given:
        if field not in fields:
            near = difflib.get_close_matches(str(field), fields, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise MeshopsError(f"{where} has no field {field!r}{hint}: it has {', '.join(fields)}")
