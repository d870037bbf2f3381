# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Builders of Kubernetes objects for unit tests.

``obj("VirtualService", "reviews", hosts=["reviews"])`` gives an object with that spec in namespace ``shop``;
``obj("ConfigMap", "c", data={"a": "b"})`` gives one whose fields stand beside metadata, as those of its kind do.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN

#: The kinds whose fields stand at the top, and not in spec.
_WITHOUT_SPEC = {
    "ConfigMap", "Secret", "ServiceAccount", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding", "Event",
    "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "Endpoints", "EndpointSlice",
}  # fmt: skip
_METADATA = ("labels", "annotations", "uid", "ownerReferences", "finalizers", "resourceVersion", "deletionTimestamp")


def obj(
    kind: str, name: str, namespace: str | None = "shop", api_version: str | None = None, **fields: Any
) -> dict[str, Any]:
    """An object of a known kind.

    :param namespace: left out where the kind has none
    :param api_version: needed where several groups have a kind of that name, or none that is known
    :param fields: labels, annotations and the like go to metadata, status stays status, all else is the spec
    """
    known = next((k for k in KNOWN.values() if k.kind == kind and api_version in (None, k.api_version)), None)
    assert known or api_version, f"{kind} is no known kind: give its apiVersion"
    meta: dict[str, Any] = {"name": name}
    if namespace and (known is None or known.namespaced):
        meta["namespace"] = namespace
    meta.update({key: fields.pop(key) for key in _METADATA if key in fields})
    made: dict[str, Any] = {"apiVersion": api_version or (known and known.api_version), "kind": kind, "metadata": meta}
    status = fields.pop("status", None)
    if kind in _WITHOUT_SPEC:
        made.update(fields)
    elif fields:
        made["spec"] = fields.pop("spec", None) or fields
    if status is not None:
        made["status"] = status
    return made


def container(name: str = "app", image: str = "app:1", ready: bool = True, **fields: Any) -> dict[str, Any]:
    """A container for ``pod``; ``status`` among the fields is its containerStatus beside name, image and ready."""
    return {"name": name, "image": image, "ready": ready, **fields}


def pod(
    name: str = "web-1",
    namespace: str = "shop",
    containers: tuple[dict[str, Any] | str, ...] = ("app",),
    init_containers: tuple[dict[str, Any] | str, ...] = (),
    *,
    phase: str = "Running",
    ready: bool = True,
    owner: tuple[str, str] | None = None,
    node: str = "node-1",
    **metadata: Any,
) -> dict[str, Any]:
    """A pod with its status.

    :param containers: names, or what ``container`` gives
    :param init_containers: alike; with ``restartPolicy="Always"`` a native sidecar
    :param owner: kind and name of its controller
    :param metadata: labels, annotations, uid, ...
    """
    meta: dict[str, Any] = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "labels": {}, "annotations": {}}
    if owner:
        api = "apps/v1" if owner[0] in ("Deployment", "ReplicaSet", "DaemonSet", "StatefulSet") else "batch/v1"
        meta["ownerReferences"] = [
            {"apiVersion": api, "kind": owner[0], "name": owner[1], "uid": f"uid-{owner[1]}", "controller": True}
        ]
    spec: dict[str, Any] = {"nodeName": node}
    status: dict[str, Any] = {
        "phase": phase,
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
    }
    for field, statuses, wanted in (
        ("initContainers", "initContainerStatuses", init_containers),
        ("containers", "containerStatuses", containers),
    ):
        full = [container(each) if isinstance(each, str) else dict(each) for each in wanted]
        if full:
            spec[field], status[statuses] = [], []
        for each in full:
            own = {"state": {"running": {}}, "restartCount": 0, **each.pop("status", {})}
            is_ready = each.pop("ready") and ready
            status[statuses].append({"name": each["name"], "image": each["image"], "ready": is_ready, **own})
            spec[field].append(each)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**meta, **metadata},
        "spec": spec,
        "status": status,
    }


def workload(
    kind: str = "Deployment",
    name: str = "web",
    namespace: str = "shop",
    *,
    replicas: int = 1,
    ready: bool = True,
    template_labels: dict[str, str] | None = None,
    template_annotations: dict[str, str] | None = None,
    **metadata: Any,
) -> dict[str, Any]:
    """A Deployment, DaemonSet or StatefulSet with a status that says whether it is ready."""
    labels = {"app": name, **(template_labels or {})}
    up = replicas if ready else 0
    template: dict[str, Any] = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "app", "image": "a:1"}]},
    }
    if template_annotations:
        template["metadata"]["annotations"] = template_annotations
    spec: dict[str, Any] = {"selector": {"matchLabels": {"app": name}}, "template": template}
    status: dict[str, Any] = {"observedGeneration": 1}
    if kind == "DaemonSet":
        status.update(desiredNumberScheduled=replicas, updatedNumberScheduled=replicas, numberAvailable=up)
    else:
        spec["replicas"] = replicas
        status.update(replicas=replicas, updatedReplicas=replicas, readyReplicas=up, availableReplicas=up)
    meta = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "generation": 1, **metadata}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": meta, "spec": spec, "status": status}


def gateway(name: str = "edge", namespace: str = "edge", revision: str = "", **labels: str) -> dict[str, Any]:
    """The Deployment of Istio's gateway chart, whose proxy has the image C(auto) until an injector completes it."""
    labels = {"istio": name, **({"istio.io/rev": revision} if revision else {}), **labels}
    annotations = {"inject.istio.io/templates": "gateway"}
    made = workload("Deployment", name, namespace, template_labels=labels, template_annotations=annotations)
    made["spec"]["template"]["spec"]["containers"] = [{"name": "istio-proxy", "image": "auto"}]
    return made


def gateway_pod(deployment: dict[str, Any], number: int = 1) -> dict[str, Any]:
    """A pod of such a Deployment, completed by the injector."""
    meta, labels = deployment["metadata"], deployment["spec"]["template"]["metadata"]["labels"]
    proxy = container("istio-proxy", "proxyv2:1", args=["proxy", "router"])
    return pod(f"{meta['name']}-{number}", meta["namespace"], (proxy,), labels=dict(labels))
