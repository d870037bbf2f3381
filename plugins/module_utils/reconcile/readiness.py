# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether an object is ready, decided from the object alone.

Sources: sigs.k8s.io/cli-utils pkg/kstatus; kubectl rollout status (k8s.io/kubectl/pkg/polymorphichelpers);
the Gateway API's condition reference; istio.io/api meta/v1alpha1 IstioStatus.
"""

from __future__ import annotations

import typing as t

from .identity import api_group


def unready(obj: t.Mapping[str, t.Any]) -> str | None:
    """Why an object isn't ready, in a few words; None where it is ready, or where its kind has no readiness.

    :param obj: the live object, with its status
    """
    if obj["metadata"].get("deletionTimestamp"):
        return "it is being deleted"
    check = _CHECKS.get((api_group(obj), obj["kind"]))
    return check(obj) if check else None


def failed(obj: t.Mapping[str, t.Any]) -> str | None:
    """Why an object will never become ready without a change, or None."""
    if obj["kind"] == "Deployment":
        progressing = _condition(obj, "Progressing")
        if progressing.get("reason") == "ProgressDeadlineExceeded":
            return progressing.get("message") or "its progress deadline has passed"
    if obj["kind"] == "Job" and _condition(obj, "Failed").get("status") == "True":
        return _condition(obj, "Failed").get("message") or "the job failed"
    return None


def _status(obj: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return obj.get("status") or {}


def _condition(obj: t.Mapping[str, t.Any], kind: str) -> dict[str, t.Any]:
    return next((c for c in _status(obj).get("conditions") or () if c.get("type") == kind), {})


def _generation(obj: t.Mapping[str, t.Any]) -> int:
    return obj["metadata"].get("generation", 0)


def _not_observed(obj: t.Mapping[str, t.Any]) -> str | None:
    if _status(obj).get("observedGeneration", 0) < _generation(obj):
        return "its controller has not seen the change yet"
    return None


def _deployment(obj: t.Mapping[str, t.Any]) -> str | None:
    status, want = _status(obj), obj["spec"].get("replicas", 1)
    if late := _not_observed(obj):
        return late
    if hopeless := failed(obj):
        return hopeless
    updated = status.get("updatedReplicas", 0)
    if updated < want:
        return f"{updated} of {want} pods are of the new version"
    if status.get("replicas", 0) > updated:
        return f"{status['replicas'] - updated} pods of the old version are still there"
    if status.get("availableReplicas", 0) < updated:
        return f"{status.get('availableReplicas', 0)} of {updated} pods are available"
    return None


def _daemon_set(obj: t.Mapping[str, t.Any]) -> str | None:
    status = _status(obj)
    if late := _not_observed(obj):
        return late
    want = status.get("desiredNumberScheduled", 0)
    on_delete = (obj["spec"].get("updateStrategy") or {}).get("type") == "OnDelete"
    if not on_delete and status.get("updatedNumberScheduled", 0) < want:
        return f"{status.get('updatedNumberScheduled', 0)} of {want} nodes run the new version"
    if status.get("numberAvailable", 0) < want:
        return f"its pods are available on {status.get('numberAvailable', 0)} of {want} nodes"
    return None


def _stateful_set(obj: t.Mapping[str, t.Any]) -> str | None:
    status, want = _status(obj), obj["spec"].get("replicas", 1)
    if late := _not_observed(obj):
        return late
    strategy = obj["spec"].get("updateStrategy") or {}
    if status.get("readyReplicas", 0) < want:
        return f"{status.get('readyReplicas', 0)} of {want} pods are ready"
    if strategy.get("type") == "OnDelete":
        return None
    due = want - ((strategy.get("rollingUpdate") or {}).get("partition") or 0)
    if status.get("updatedReplicas", 0) < due and status.get("currentRevision") != status.get("updateRevision"):
        return f"{status.get('updatedReplicas', 0)} of {due} pods are of the new version"
    return None


def _replica_set(obj: t.Mapping[str, t.Any]) -> str | None:
    want, ready = obj["spec"].get("replicas", 1), _status(obj).get("readyReplicas", 0)
    return _not_observed(obj) or (f"{ready} of {want} pods are ready" if ready < want else None)


def _job(obj: t.Mapping[str, t.Any]) -> str | None:
    if hopeless := failed(obj):
        return hopeless
    if _condition(obj, "Complete").get("status") == "True":
        return None
    return f"{_status(obj).get('succeeded', 0)} of {obj['spec'].get('completions', 1)} pods have succeeded"


def _pod(obj: t.Mapping[str, t.Any]) -> str | None:
    status = _status(obj)
    if status.get("phase") == "Succeeded" or _condition(obj, "Ready").get("status") == "True":
        return None
    for container in (status.get("initContainerStatuses") or []) + (status.get("containerStatuses") or []):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
            return f"container {container['name']}: {waiting['reason']} {waiting.get('message', '')}".rstrip()
    return _condition(obj, "PodScheduled").get("message") or f"its phase is {status.get('phase', 'Pending')}"


def _service(obj: t.Mapping[str, t.Any]) -> str | None:
    if obj["spec"].get("type") != "LoadBalancer" or (_status(obj).get("loadBalancer") or {}).get("ingress"):
        return None
    return "the load balancer has no address yet"


def _namespace(obj: t.Mapping[str, t.Any]) -> str | None:
    phase = _status(obj).get("phase", "Active")
    return None if phase == "Active" else f"its phase is {phase}"


def _crd(obj: t.Mapping[str, t.Any]) -> str | None:
    if _condition(obj, "NamesAccepted").get("status") == "False":
        return _condition(obj, "NamesAccepted").get("message")
    return None if _condition(obj, "Established").get("status") == "True" else "it is not Established yet"


def _claim(obj: t.Mapping[str, t.Any]) -> str | None:
    phase = _status(obj).get("phase", "Pending")
    return None if phase == "Bound" else f"its phase is {phase}"


def _conditions(obj: t.Mapping[str, t.Any], holder: t.Mapping[str, t.Any], *kinds: str) -> str | None:
    """Whether conditions are true, and of the object's present generation."""
    found = {c["type"]: c for c in holder.get("conditions") or ()}
    for kind in kinds:
        condition = found.get(kind)
        if condition is None or condition.get("observedGeneration", _generation(obj)) < _generation(obj):
            return f"the condition {kind} is not reported yet"
        if condition["status"] != "True":
            return (
                f"{kind} is {condition['status']}: {condition.get('reason', '')} {condition.get('message', '')}".strip()
            )
    return None


def _gateway_class(obj: t.Mapping[str, t.Any]) -> str | None:
    return _conditions(obj, _status(obj), "Accepted")


def _k8s_gateway(obj: t.Mapping[str, t.Any]) -> str | None:
    if problem := _conditions(obj, _status(obj), "Accepted", "Programmed"):
        return problem
    for listener in _status(obj).get("listeners") or ():
        if problem := _conditions(obj, listener, "Accepted", "ResolvedRefs"):
            return f"listener {listener['name']}: {problem}"
    return None


def _route(obj: t.Mapping[str, t.Any]) -> str | None:
    wanted = obj["spec"].get("parentRefs") or []
    parents = _status(obj).get("parents") or []
    for ref in wanted:
        reports = [p for p in parents if _same_parent(p["parentRef"], ref, obj["metadata"].get("namespace"))]
        if not reports:
            return f"parent {ref['name']} has not reported yet"
        for report in reports:
            if problem := _conditions(obj, report, "Accepted", "ResolvedRefs"):
                return f"parent {ref['name']}: {problem}"
    return None


def _same_parent(one: dict[str, t.Any], other: dict[str, t.Any], namespace: str | None) -> bool:
    defaults = {
        "group": "gateway.networking.k8s.io",
        "kind": "Gateway",
        "namespace": namespace,
        "sectionName": None,
        "port": None,
    }
    return one["name"] == other["name"] and all((one.get(k) or d) == (other.get(k) or d) for k, d in defaults.items())


#: The conditions by which istiod in ambient mode says that it does not do what an object asks for. Not ZtunnelAccepted:
#: it is false, too, for a policy that gateways and sidecars enforce (CUSTOM, AUDIT), and stays so.
_NEGATIVE = ("WaypointAccepted", "istio.io/WaypointBound")


def _istio(obj: t.Mapping[str, t.Any]) -> str | None:
    """istiod writes status only where it is configured to (PILOT_ENABLE_ANALYSIS, ambient): without any, all is well.

    Nor is it a reason to wait that an older generation was looked at, unless something was found there: where the
    analysis finds nothing, it writes nothing.
    """
    status, generation = _status(obj), _generation(obj)
    for message in status.get("validationMessages") or ():
        if message.get("level") in ("ERROR", 3):
            if int(status.get("observedGeneration") or generation) < generation:
                return "istiod has not looked at the change yet"
            name = (message.get("type") or {}).get("name", "")
            return f"istiod reports {name} ({message.get('documentationUrl', 'no further text')})"
    for kind in _NEGATIVE:
        condition = _condition(obj, kind)
        # Numbers are strings in the JSON form of protocol buffers, and WaypointBound has none.
        if condition.get("status") == "False" and int(condition.get("observedGeneration") or generation) >= generation:
            return f"{kind} is False: {condition.get('reason', '')} {condition.get('message', '')}".strip()
    return None


_ISTIO_KINDS = {
    "networking.istio.io": (
        "Gateway", "VirtualService", "DestinationRule", "ServiceEntry", "Sidecar", "WorkloadEntry", "WorkloadGroup",
        "EnvoyFilter", "ProxyConfig",
    ),
    "security.istio.io": ("PeerAuthentication", "RequestAuthentication", "AuthorizationPolicy"),
    "telemetry.istio.io": ("Telemetry",),
    "extensions.istio.io": ("WasmPlugin", "TrafficExtension"),
}  # fmt: skip
_ROUTES = ("HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute", "UDPRoute")
_CHECKS: dict[tuple[str, str], t.Callable[[t.Mapping[str, t.Any]], str | None]] = {
    ("apps", "Deployment"): _deployment,
    ("apps", "DaemonSet"): _daemon_set,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "ReplicaSet"): _replica_set,
    ("batch", "Job"): _job,
    ("", "Pod"): _pod,
    ("", "Service"): _service,
    ("", "Namespace"): _namespace,
    ("", "PersistentVolumeClaim"): _claim,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _crd,
    ("gateway.networking.k8s.io", "GatewayClass"): _gateway_class,
    ("gateway.networking.k8s.io", "Gateway"): _k8s_gateway,
    ("gateway.networking.k8s.io", "ListenerSet"): _k8s_gateway,
    **{("gateway.networking.k8s.io", k): _route for k in _ROUTES},
    **{(group, kind): _istio for group, kinds in _ISTIO_KINDS.items() for kind in kinds},
}
