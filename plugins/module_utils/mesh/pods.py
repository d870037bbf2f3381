# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a pod says about its proxy: sidecar, gateway, revision, owner."""

from __future__ import annotations

import datetime
import json
import re
import typing as t

from .names import _PROXY, RESTARTABLE


def time_of(text: str | None) -> datetime.datetime | None:
    """A Kubernetes timestamp."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None


def describe_proxy(pod: dict) -> dict[str, t.Any]:
    """What the pod itself says of its proxy."""
    meta, labels = pod["metadata"], pod["metadata"].get("labels") or {}
    container, state = _container(pod, "istio-proxy"), _container_state(pod, "istio-proxy")
    env = _environment(container)
    return {
        "namespace": meta["namespace"],
        "pod": meta["name"],
        "kind": _proxy_kind(container, labels),
        "control_plane": _control_plane(container),
        "owner": owner_of(pod),
        "revision": labels.get("istio.io/rev")
        or (meta.get("annotations") or {}).get("istio.io/rev")
        or env.get("ISTIO_META_REVISION")
        or "default",
        "version": container.get("image", "").rpartition(":")[2],
        "push": env.get("PROXY_CONFIG_XDS_AGENT", "").lower() in ("true", "1", "t"),
        "running": "running" in state.get("state", {}),
        "ready": is_ready(pod),
        "generation": f"{meta['uid']}/{state.get('restartCount', 0)}",
        "started": time_of(state.get("state", {}).get("running", {}).get("startedAt")),
    }


def _control_plane(container: dict | None) -> str:
    """The namespace in the address by which a proxy gets its certificate, C(istiod.NAMESPACE.svc); else empty."""
    env = _environment(container)
    service = re.match(r"(?:https://)?[^.:/]+\.([^.:/]+)\.svc\b", env.get("CA_ADDR") or env.get("CA_ADDRESS") or "")
    return service.group(1) if service else ""


def _proxy_kind(container: dict, labels: t.Mapping[str, str]) -> str:
    arguments = container.get("args") or []
    if "ztunnel" in arguments or labels.get("app") == "ztunnel":
        return "ztunnel"
    if "waypoint" in arguments:
        return "waypoint"
    return "gateway" if "router" in arguments else "sidecar"


# -- pods -----------------------------------------------------------------


def _container(pod: dict, name: str) -> dict | None:
    spec = pod["spec"]
    for container in (*spec.get("containers", []), *spec.get("initContainers", [])):
        if container["name"] == name:
            return container
    return None


def _container_state(pod: dict, name: str) -> dict:
    status = pod.get("status") or {}
    for state in (*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])):
        if state["name"] == name:
            return state
    return {}


def _environment(container: dict | None) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in (container or {}).get("env") or []}


def is_ready(pod: dict) -> bool:
    """Whether a pod's condition Ready is true."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def owner_of(pod: dict) -> str:
    """The workload that made the pod: for a ReplicaSet with a template hash, its Deployment."""
    for reference in pod["metadata"].get("ownerReferences") or []:
        if reference.get("controller"):
            kind, name = reference["kind"], reference["name"]
            template = (pod["metadata"].get("labels") or {}).get("pod-template-hash")
            if kind == "ReplicaSet" and template and name.endswith(f"-{template}"):
                return f"Deployment/{name[: -len(template) - 1]}"
            return f"{kind}/{name}"
    return ""


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


def owner_of_pod(pod: dict) -> tuple[str, str] | None:
    """Kind and name of what keeps a pod alive; a ReplicaSet's name is its Deployment's and the template's hash."""
    owner = next((o for o in pod["metadata"].get("ownerReferences") or [] if o.get("controller")), None)
    if owner is None:
        return None
    template = (pod["metadata"].get("labels") or {}).get("pod-template-hash")
    if owner["kind"] == "ReplicaSet" and template and owner["name"].endswith("-" + template):
        return ("Deployment", owner["name"][: -len(template) - 1])
    return (owner["kind"], owner["name"])


def _has_proxy(workload: dict) -> bool:
    """Whether a workload's own pod template holds the proxy, so that every new pod has it again."""
    spec = ((workload.get("spec") or {}).get("template") or {}).get("spec") or {}
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    return any(container["name"] == _PROXY for container in containers)
