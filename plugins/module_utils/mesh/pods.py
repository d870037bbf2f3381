# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one reading of a pod: its proxy, kind, revision, owner and readiness. Pure.

Every room asks here, so that an upgrade, injection, a purge and a CA rotation agree about one pod.
"""

from __future__ import annotations

import datetime
import json
import re
import typing as t

from ..reconcile.types import K8sObject, Labels
from .names import RESTARTABLE

#: The container that holds the proxy, in sidecars, gateways, waypoints and ztunnel alike
#: (ProxyContainerName in pkg/kube/inject/inject.go).
PROXY = "istio-proxy"
#: The container that holds istiod.
DISCOVERY = "discovery"
#: The annotation in which the injector records what it has added.
STATUS = "sidecar.istio.io/status"
REVISION = "istio.io/rev"
_TEMPLATES = "inject.istio.io/templates"
_AMBIENT = "ambient.istio.io/redirection"

ProxyKind = t.Literal["sidecar", "gateway", "waypoint", "ztunnel"]
#: The type argument of pilot-agent's and ztunnel's command C(proxy) -> the kind of proxy.
_KINDS: dict[str, ProxyKind] = {
    "sidecar": "sidecar",
    "router": "gateway",
    "waypoint": "waypoint",
    "ztunnel": "ztunnel",
}
_TRUE = ("true", "1", "t")


class Owner(t.NamedTuple):
    """The workload that keeps a pod alive."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


# -- containers -----------------------------------------------------------


def containers(pod: t.Mapping[str, t.Any]) -> list[K8sObject]:
    """A pod's containers, then its init containers, of which a native sidecar is one."""
    spec = pod.get("spec") or {}
    return [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]


def container(pod: t.Mapping[str, t.Any], name: str) -> K8sObject | None:
    """The container of that name; None where there is none."""
    return next((each for each in containers(pod) if each["name"] == name), None)


def container_state(pod: t.Mapping[str, t.Any], name: str) -> K8sObject:
    """The status of the container of that name; empty where kubelet has not reported any."""
    status = pod.get("status") or {}
    states = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    return next((state for state in states if state["name"] == name), {})


def environment(of: t.Mapping[str, t.Any] | None) -> dict[str, str]:
    """The environment variables that a container's spec sets by value."""
    return {each["name"]: each.get("value", "") for each in (of or {}).get("env") or ()}


# -- the proxy ------------------------------------------------------------


def proxy_container(pod: t.Mapping[str, t.Any]) -> K8sObject | None:
    """The container that holds a pod's proxy (FindSidecar in pkg/kube/inject/webhook.go); None where it has none."""
    return container(pod, PROXY)


def has_proxy(pod: t.Mapping[str, t.Any]) -> bool:
    """Whether a pod runs a proxy of any kind."""
    return proxy_container(pod) is not None


def proxy_kind(pod: t.Mapping[str, t.Any]) -> ProxyKind | None:
    """The kind of a pod's proxy, by the argument that tells it its own kind; None where the pod has no proxy.

    A label such as C(app=ztunnel) does not count: anybody may put it on a pod.
    """
    proxy = proxy_container(pod)
    if proxy is None:
        return None
    words = (proxy.get("args") or ())[:2]
    return next((_KINDS[word] for word in words if word in _KINDS), "sidecar")


def is_gateway(pod: t.Mapping[str, t.Any]) -> bool:
    """Whether a pod is an ingress, egress or east-west gateway, of a chart or of the Gateway API."""
    return proxy_kind(pod) == "gateway"


def has_sidecar(pod: t.Mapping[str, t.Any]) -> bool:
    """Whether a pod has a proxy beside a container of its own."""
    own = (each["name"] for each in (pod.get("spec") or {}).get("containers") or ())
    return proxy_kind(pod) == "sidecar" and any(name != PROXY for name in own)


def was_injected(pod: t.Mapping[str, t.Any]) -> bool:
    """Whether an injector has completed a pod, be it a sidecar's or a gateway's.

    It always writes its status (applyMetadata in pkg/kube/inject/webhook.go), also for a template that adds no proxy.
    """
    return STATUS in _annotations(pod)


def in_ambient(pod: t.Mapping[str, t.Any]) -> bool:
    """Whether the CNI plugin redirects a pod's traffic to ztunnel."""
    return _annotations(pod).get(_AMBIENT) == "enabled"


def injected(pod: t.Mapping[str, t.Any]) -> bool:
    """Whether a pod that neither ends nor has ended carries a sidecar, is a gateway's, or is in an ambient mesh."""
    return is_live(pod) and (was_injected(pod) or in_ambient(pod))


def revision_of(pod: t.Mapping[str, t.Any]) -> str:
    """The revision of the control plane that made a pod's proxy; empty where the pod has none.

    The first of these that is there, each as istiod's source has it:

    1. C(revision) in the annotation C(sidecar.istio.io/status). The injector writes its own revision there
       (getInjectionStatus in pkg/kube/inject/webhook.go), and says why not in the label: a user's C(istio.io/rev) may
       hold a revision tag, and is retained.
    2. The label C(istio.io/rev) of a proxy that no injector has seen: istiod writes its revision there for gateways and
       waypoints of the Gateway API (C(kube-gateway.yaml) and C(waypoint.yaml) in istio-discovery/files).
    3. The annotation C(istio.io/rev): the ztunnel chart writes it, as did injectors before Istio 1.10, whose status
       held no revision (injection-template.yaml in istio-discovery/files).
    4. C(default), as istiod calls itself without a revision.

    revisionOfPod in pkg/kube/client.go, of istioctl, puts the label first; it is wrong about pods that ask for a tag.
    """
    if not was_injected(pod) and not has_proxy(pod):
        return ""
    noted = _noted_revision(_annotations(pod).get(STATUS, ""))
    labelled = "" if was_injected(pod) else labels_of(pod).get(REVISION)
    return noted or labelled or _annotations(pod).get(REVISION) or "default"


def _noted_revision(status: str) -> str:
    try:
        noted = json.loads(status)
    except ValueError:
        return ""
    revision = noted.get("revision") if isinstance(noted, dict) else None
    return revision if isinstance(revision, str) else ""


def revision_of_istiod(pod: t.Mapping[str, t.Any]) -> str:
    """The revision that an istiod pod runs as (Revision in pilot/pkg/bootstrap/options.go)."""
    return environment(container(pod, DISCOVERY)).get("REVISION") or "default"


def control_plane_namespace(pod: t.Mapping[str, t.Any]) -> str:
    """The namespace in the address by which a proxy gets its certificate, C(istiod.NAMESPACE.svc); else empty."""
    env = environment(proxy_container(pod))
    service = re.match(r"(?:https://)?[^.:/]+\.([^.:/]+)\.svc\b", env.get("CA_ADDR") or env.get("CA_ADDRESS") or "")
    return service.group(1) if service else ""


class ProxyFacts(t.TypedDict):
    """What a pod itself says of its proxy; the fields are those of C(proxies.proxy.Proxy)."""

    namespace: str
    pod: str
    kind: ProxyKind
    control_plane: str
    owner: str
    revision: str
    version: str
    push: bool
    running: bool
    ready: bool
    generation: str
    started: datetime.datetime | None


def describe_proxy(pod: t.Mapping[str, t.Any]) -> ProxyFacts:
    """What the pod itself says of its proxy."""
    meta, state = pod["metadata"], container_state(pod, PROXY)
    proxy = proxy_container(pod) or {}
    running = state.get("state", {}).get("running")
    return {
        "namespace": meta["namespace"],
        "pod": meta["name"],
        "kind": proxy_kind(pod) or "sidecar",
        "control_plane": control_plane_namespace(pod),
        "owner": str(owner_of(pod) or ""),
        "revision": revision_of(pod),
        "version": proxy.get("image", "").rpartition(":")[2],
        "push": environment(proxy).get("PROXY_CONFIG_XDS_AGENT", "").lower() in _TRUE,
        "running": running is not None,
        "ready": is_ready(pod),
        "generation": f"{meta['uid']}/{state.get('restartCount', 0)}",
        "started": time_of((running or {}).get("startedAt")),
    }


# -- the pod --------------------------------------------------------------


def labels_of(obj: t.Mapping[str, t.Any]) -> Labels:
    """An object's labels."""
    labels: Labels = obj["metadata"].get("labels") or {}
    return labels


def _annotations(obj: t.Mapping[str, t.Any]) -> Labels:
    annotations: Labels = obj["metadata"].get("annotations") or {}
    return annotations


def is_over(pod: t.Mapping[str, t.Any]) -> bool:
    """Whether all of a pod's containers have ended for good."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def is_live(pod: t.Mapping[str, t.Any]) -> bool:
    """Whether a pod neither ends nor has ended."""
    return not pod["metadata"].get("deletionTimestamp") and not is_over(pod)


def is_ready(obj: t.Mapping[str, t.Any] | None) -> bool:
    """Whether the condition Ready of a pod or a node is true."""
    conditions = ((obj or {}).get("status") or {}).get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def owner_of(pod: t.Mapping[str, t.Any]) -> Owner | None:
    """The workload that keeps a pod alive; None for a bare pod.

    A ReplicaSet's name is its Deployment's and the hash of the pod template.
    """
    for reference in pod["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            kind, name = reference["kind"], reference["name"]
            template = labels_of(pod).get("pod-template-hash")
            if kind == "ReplicaSet" and template and name.endswith(f"-{template}"):
                return Owner("Deployment", name[: -len(template) - 1])
            return Owner(kind, name)
    return None


def time_of(text: str | None) -> datetime.datetime | None:
    """A Kubernetes timestamp."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None


# -- workloads ------------------------------------------------------------


def template_has_proxy(workload: t.Mapping[str, t.Any]) -> bool:
    """Whether a workload's own pod template holds the proxy, so that every new pod has it again."""
    return has_proxy((workload.get("spec") or {}).get("template") or {})


def gateway_template(obj: t.Mapping[str, t.Any]) -> bool:
    """Whether a workload's pods are those of a gateway that only Istio's injector makes complete (C(image: auto))."""
    if obj["kind"] not in RESTARTABLE:
        return False
    template = (obj.get("spec") or {}).get("template") or {}
    asked = ((template.get("metadata") or {}).get("annotations") or {}).get(_TEMPLATES, "")
    proxies = [each for each in (template.get("spec") or {}).get("containers") or () if each["name"] == PROXY]
    return "gateway" in [word.strip() for word in asked.split(",")] and any(
        proxy.get("image") == "auto" for proxy in proxies
    )
