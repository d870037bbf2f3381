# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads from the running mesh what the gates judge: secrets, ConfigMaps, webhooks, istiod, and every proxy."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import datetime
import re
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError
from ..cluster.kinds import CONFIG_MAP, KNOWN, NAMESPACE, POD, SECRET
from ..errors import MeshopsError
from ..mesh.certificates import CertificateError, fingerprints
from ..mesh.pods import (
    DISCOVERY,
    container,
    container_state,
    environment,
    is_over,
    is_ready,
    labels_of,
    owner_of,
    revision_of_istiod,
    time_of,
)
from ..reconcile.selectors import matches
from ..reconcile.types import K8sObject
from .gate import Istiod, Neighbours

with contextlib.suppress(ImportError):  # comes with ansible-core
    import yaml

#: Label of istiod pods that a restart has taken out of the Services and will end.
RETIRED = "meshops.istio/retired"
#: Namespaces in which istiod writes no ConfigMap (IgnoredNamespaces in pkg/kube/inject/initializer.go).
IGNORED_NAMESPACES = ("kube-public", "kube-node-lease", "local-path-storage")
#: The label that names the network of a namespace, or of an east-west gateway's Service.
NETWORK = "topology.istio.io/network"
_WEBHOOKS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")


def now() -> datetime.datetime:
    """This moment, in UTC."""
    return datetime.datetime.now(datetime.timezone.utc)


def secret_text(secret: K8sObject | None) -> dict[str, str]:
    """A secret's data, decoded; empty without a secret."""
    data = (secret or {}).get("data") or {}
    return {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}


def mesh_config(cluster: Cluster, namespace: str, revision: str = "default") -> dict[str, t.Any]:
    """The mesh config of a revision as its ConfigMap holds it; empty where there is none.

    :raises MeshopsError: it isn't a map in YAML
    """
    return _config(cluster, namespace, revision, "mesh")


def _config(cluster: Cluster, namespace: str, revision: str, key: str) -> dict[str, t.Any]:
    """What one key of a revision's ConfigMap holds: C(mesh) or C(meshNetworks)."""
    name = "istio" if revision == "default" else f"istio-{revision}"
    obj = cluster.get(CONFIG_MAP, name, namespace)
    wrong = f"the ConfigMap {namespace}/{name} holds no mesh config in its key {key}"
    remedy = "correct it, or install the control plane again"
    try:
        loaded = yaml.safe_load(((obj or {}).get("data") or {}).get(key, "")) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise MeshopsError(f"{wrong}: not YAML{f', line {mark.line + 1}' if mark else ''}; {remedy}") from None
    if not isinstance(loaded, dict):
        raise MeshopsError(f"{wrong}: not a map; {remedy}")
    return loaded


def mesh_configs(cluster: Cluster, namespace: str, istiods: t.Iterable[Istiod]) -> dict[str, dict[str, t.Any]]:
    """revision -> its mesh config, of every revision that runs in a namespace."""
    revisions = sorted({istiod.revision for istiod in istiods})
    return {revision: mesh_config(cluster, namespace, revision) for revision in revisions}


# -- istiod ---------------------------------------------------------------


def istiod_pods(cluster: Cluster, namespace: str) -> list[K8sObject]:
    """The pods of every control plane in a namespace, whatever their labels are at the moment."""
    return [pod for pod in cluster.list(POD, namespace) if container(pod, DISCOVERY)]


def istiods(cluster: Cluster, namespace: str, *, expiries: bool = True) -> list[Istiod]:
    """Every istiod in a namespace.

    :param expiries: also ask each for the dates of expiry that it reports
    """
    pods = [pod for pod in istiod_pods(cluster, namespace) if not is_over(pod)]
    with concurrent.futures.ThreadPoolExecutor(cluster.concurrency) as pool:
        return list(pool.map(lambda pod: _istiod(cluster, pod, expiries=expiries), pods))


def _istiod(cluster: Cluster, pod: K8sObject, *, expiries: bool) -> Istiod:
    meta = pod["metadata"]
    env = environment(container(pod, DISCOVERY))
    started = container_state(pod, DISCOVERY).get("state", {}).get("running", {}).get("startedAt")
    terminating = "deletionTimestamp" in meta or RETIRED in labels_of(pod)
    root = chain = None
    error = ""
    if expiries and is_ready(pod) and not terminating:
        try:
            root, chain = _reported_expiries(cluster, meta["namespace"], meta["name"])
        except MeshopsError as problem:
            error = f"its metrics on port 15014 can't be read: {problem}"
    return Istiod(
        namespace=meta["namespace"],
        pod=meta["name"],
        uid=meta["uid"],
        revision=revision_of_istiod(pod),
        owner=str(owner_of(pod) or ""),
        ready=is_ready(pod),
        terminating=terminating,
        multi_root=env.get("ISTIO_MULTIROOT_MESH", "").lower() in ("true", "1", "t"),
        started=time_of(started),
        root_expiry=root,
        chain_expiry=chain,
        error=error,
        trouble="" if is_ready(pod) else why_not_ready(pod),
    )


def why_not_ready(pod: K8sObject) -> str:
    """Why a pod isn't ready, as the scheduler or kubelet says; empty where neither does."""
    status = pod.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] != "True":
            return f"it can't be scheduled: {condition.get('message') or condition.get('reason', 'no reason')}"
    states = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    for state in states:
        waiting = (state.get("state") or {}).get("waiting") or {}
        if waiting.get("reason"):
            message = f" ({waiting['message']})" if waiting.get("message") else ""
            return f"container {state['name']}: {waiting['reason']}{message}"
    return ""


def neighbours(cluster: Cluster, namespace: str, istiods: t.Iterable[Istiod]) -> Neighbours:
    """What shows that other control planes or clusters may trust the same root."""
    secrets = cluster.list(SECRET, namespace, labels="istio/multiCluster=true")
    services = cluster.list(KNOWN["", "Service"], labels=NETWORK)
    own = labels_of(cluster.get(NAMESPACE, namespace) or {"metadata": {}}).get(NETWORK)
    networks = {labels_of(service)[NETWORK] for service in services}
    for revision in sorted({istiod.revision for istiod in istiods}):
        declared = _config(cluster, namespace, revision, "meshNetworks").get("networks")
        networks |= set(declared) if isinstance(declared, dict) else set()
    pods = [pod for pod in cluster.list(POD, labels="app=istiod") if container(pod, DISCOVERY) and not is_over(pod)]
    others = sorted({pod["metadata"]["namespace"] for pod in pods} - {namespace})
    return Neighbours(
        remote_secrets=tuple(sorted(_where(secret) for secret in secrets)),
        networks=tuple(sorted(networks)) if len(networks | ({own} if own else set())) > 1 else (),
        gateways=tuple(sorted(_where(service) for service in services)),
        control_planes={other: _roots_of(cluster, other, pods) for other in others},
    )


def _where(obj: K8sObject) -> str:
    return f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"


def _roots_of(cluster: Cluster, namespace: str, pods: t.Sequence[K8sObject]) -> frozenset[str] | None:
    """The roots that the istiod of a namespace gives out, and those that its secret holds; None where unread."""
    mine = [pod for pod in pods if pod["metadata"]["namespace"] == namespace]
    found = []
    for kind, name in ((CONFIG_MAP, bundle_config_map_name(mine)), (SECRET, "cacerts"), (SECRET, "istio-ca-secret")):
        try:
            obj = cluster.get(kind, name, namespace)
        except ApiError as error:
            if error.status != 403:
                raise
            continue
        data = (obj or {}).get("data") or {}
        text = data if kind is CONFIG_MAP else secret_text(obj)
        found.append(_fingerprints(text.get("root-cert.pem") or text.get("ca.crt") or text.get("ca-cert.pem") or ""))
    roots = frozenset[str]().union(*found)
    return roots or None


def _reported_expiries(cluster: Cluster, namespace: str, pod: str) -> tuple[int | None, int | None]:
    metrics = cluster.request("GET", f"/api/v1/namespaces/{namespace}/pods/{pod}:15014/proxy/metrics", raw=True)
    found = []
    for which in ("root_cert", "cert_chain"):
        value = re.search(rf"^citadel_server_{which}_expiry_timestamp(?:\{{[^}}]*\}})? (\S+)$", metrics, re.MULTILINE)
        found.append(int(float(value.group(1))) if value else None)
    return found[0], found[1]


# -- ConfigMaps and webhooks ----------------------------------------------


def bundle_config_map_name(pods: t.Iterable[K8sObject]) -> str:
    """The name under which istiod writes its roots into namespaces."""
    for pod in pods:
        name = environment(container(pod, DISCOVERY)).get("PILOT_CA_CERT_CONFIGMAP")
        if name:
            return name
    return "istio-ca-root-cert"


def served_namespaces(
    cluster: Cluster, selectors: t.Sequence[t.Sequence[K8sObject]], written: t.Container[str] = ()
) -> list[str]:
    """Every namespace into which istiod writes its roots.

    One revision, which they elect, writes for all: what all of them select, and what some do and is written.

    :param selectors: each revision's discoverySelectors; none means every namespace
    :param written: the namespaces that hold roots
    """

    def selected(namespace: K8sObject) -> bool:
        labels = labels_of(namespace)
        by = [not its or any(matches(each, labels) for each in its) for its in selectors]
        return all(by) or (any(by) and namespace["metadata"]["name"] in written)

    return [
        namespace["metadata"]["name"]
        for namespace in cluster.list(NAMESPACE)
        if namespace["metadata"]["name"] not in IGNORED_NAMESPACES
        and namespace["status"].get("phase") != "Terminating"
        and selected(namespace)
    ]


def root_config_maps(cluster: Cluster, name: str) -> dict[str, frozenset[str]]:
    """namespace -> the fingerprints in its ConfigMap of roots."""
    found = cluster.list(CONFIG_MAP, fields=f"metadata.name={name}")
    texts = {each["metadata"]["namespace"]: (each.get("data") or {}).get("root-cert.pem", "") for each in found}
    return {namespace: _fingerprints(text) for namespace, text in texts.items()}


def served_roots(maps: t.Mapping[str, frozenset[str]], namespace: str) -> frozenset[str]:
    """The roots that istiod gives out: those in its own namespace, or else those in most of the others."""
    if namespace in maps or not maps:
        return maps.get(namespace, frozenset())
    held = list(maps.values())
    return max(held, key=held.count)


def webhook_bundles(cluster: Cluster, namespace: str) -> dict[str, frozenset[str]]:
    """name of each webhook that calls an istiod in the namespace -> the fingerprints in its caBundle."""
    found = {}
    for kind in _WEBHOOKS:
        for configuration in cluster.list(KNOWN["admissionregistration.k8s.io", kind]):
            for webhook in configuration.get("webhooks") or []:
                service = webhook["clientConfig"].get("service") or {}
                if service.get("namespace") == namespace and service.get("name", "").startswith("istiod"):
                    text = base64.b64decode(webhook["clientConfig"].get("caBundle") or "").decode(errors="replace")
                    found[f"{configuration['metadata']['name']}/{webhook['name']}"] = _fingerprints(text)
    return found


def _fingerprints(text: str) -> frozenset[str]:
    try:
        return fingerprints(text)
    except CertificateError:
        return frozenset()
