# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads from the running mesh what the gates judge: secrets, ConfigMaps, webhooks, istiod, and every proxy."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import datetime
import json
import re
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError, ClusterError
from ..cluster.kinds import KNOWN
from .certificates import CertificateError, certificates, fingerprints
from .gate import Istiod, Proxy

with contextlib.suppress(ImportError):  # comes with ansible-core
    import yaml

POD = KNOWN["", "Pod"]
SECRET = KNOWN["", "Secret"]
CONFIG_MAP = KNOWN["", "ConfigMap"]
NAMESPACE = KNOWN["", "Namespace"]

#: Label of istiod pods that a restart has taken out of the Services and will end.
RETIRED = "meshops.istio/retired"
#: Namespaces in which istiod writes no ConfigMap (IgnoredNamespaces in pkg/kube/inject/initializer.go).
IGNORED_NAMESPACES = ("kube-public", "kube-node-lease", "local-path-storage")
_WEBHOOKS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
_SEPARATOR = "--- root-cert.pem"
_SECRETS_PATH = "config_dump?resource=dynamic_active_secrets"
#: Both files of a proxy in one exec; an image without a shell is asked by pilot-agent alone. Where there is a curl, it
#: starts with a fraction of what pilot-agent needs, which counts where hundreds of proxies are asked.
_READ = (
    f"{{ curl -fs -m 10 --noproxy '*' 'http://localhost:15000/{_SECRETS_PATH}' 2>/dev/null"
    f" || pilot-agent request GET '{_SECRETS_PATH}'; }} && echo && echo '{_SEPARATOR}'"
    " && cat /var/run/secrets/istio/root-cert.pem"
)


def now() -> datetime.datetime:
    """This moment, in UTC."""
    return datetime.datetime.now(datetime.UTC)


def time_of(text: str | None) -> datetime.datetime | None:
    """A Kubernetes timestamp."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None


def secret_text(secret: dict | None) -> dict[str, str]:
    """A secret's data, decoded; empty where there is no secret."""
    data = (secret or {}).get("data") or {}
    return {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}


def mesh_config(cluster: Cluster, namespace: str, revision: str = "default") -> dict:
    """The mesh config of a revision as its ConfigMap holds it; empty where there is none.

    :raises ClusterError: it isn't a map in YAML
    """
    name = "istio" if revision == "default" else f"istio-{revision}"
    found = cluster.get(CONFIG_MAP, name, namespace)
    wrong = f"the ConfigMap {namespace}/{name} holds no mesh config in its key mesh"
    remedy = "correct it, or install the control plane again"
    try:
        loaded = yaml.safe_load(((found or {}).get("data") or {}).get("mesh", "")) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ClusterError(f"{wrong}: not YAML{f', line {mark.line + 1}' if mark else ''}; {remedy}") from None
    if not isinstance(loaded, dict):
        raise ClusterError(f"{wrong}: not a map; {remedy}")
    return loaded


def mesh_configs(cluster: Cluster, namespace: str, istiods: t.Iterable[Istiod]) -> dict[str, dict]:
    """revision -> its mesh config, of every revision that runs in a namespace."""
    revisions = sorted({istiod.revision for istiod in istiods})
    return {revision: mesh_config(cluster, namespace, revision) for revision in revisions}


# -- istiod ---------------------------------------------------------------


def istiod_pods(cluster: Cluster, namespace: str) -> list[dict]:
    """The pods of every control plane in a namespace, whatever their labels are at the moment."""
    return [pod for pod in cluster.list(POD, namespace) if _container(pod, "discovery")]


def control_plane_pods(cluster: Cluster) -> list[dict]:
    """The running istiod pods of every namespace."""
    return [pod for pod in cluster.list(POD, labels="app=istiod") if is_ready(pod) and _container(pod, "discovery")]


def istiods(cluster: Cluster, namespace: str, expiries: bool = True) -> list[Istiod]:
    """Every istiod in a namespace.

    :param expiries: also ask each for the dates of expiry that it reports
    """
    pods = [pod for pod in istiod_pods(cluster, namespace) if pod["status"].get("phase") not in ("Failed", "Succeeded")]
    with concurrent.futures.ThreadPoolExecutor(cluster.concurrency) as pool:
        return list(pool.map(lambda pod: _istiod(cluster, pod, expiries), pods))


def _istiod(cluster: Cluster, pod: dict, expiries: bool) -> Istiod:
    meta = pod["metadata"]
    env = _environment(_container(pod, "discovery"))
    started = _container_state(pod, "discovery").get("state", {}).get("running", {}).get("startedAt")
    terminating = "deletionTimestamp" in meta or RETIRED in (meta.get("labels") or {})
    root = chain = None
    error = ""
    if expiries and is_ready(pod) and not terminating:
        try:
            root, chain = _reported_expiries(cluster, meta["namespace"], meta["name"])
        except ClusterError as problem:
            error = f"its metrics on port 15014 can't be read: {problem}"
    return Istiod(
        namespace=meta["namespace"],
        pod=meta["name"],
        uid=meta["uid"],
        revision=env.get("REVISION") or "default",
        owner=owner_of(pod),
        ready=is_ready(pod),
        terminating=terminating,
        multi_root=env.get("ISTIO_MULTIROOT_MESH", "").lower() in ("true", "1", "t"),
        started=time_of(started),
        root_expiry=root,
        chain_expiry=chain,
        error=error,
    )


def _reported_expiries(cluster: Cluster, namespace: str, pod: str) -> tuple[int | None, int | None]:
    metrics = cluster.request("GET", f"/api/v1/namespaces/{namespace}/pods/{pod}:15014/proxy/metrics", raw=True)
    found = []
    for which in ("root_cert", "cert_chain"):
        value = re.search(rf"^citadel_server_{which}_expiry_timestamp(?:\{{[^}}]*\}})? (\S+)$", metrics, re.MULTILINE)
        found.append(int(float(value.group(1))) if value else None)
    return found[0], found[1]


# -- ConfigMaps and webhooks ----------------------------------------------


def bundle_config_map_name(pods: t.Iterable[dict]) -> str:
    """The name under which istiod writes its roots into namespaces."""
    for pod in pods:
        name = _environment(_container(pod, "discovery")).get("PILOT_CA_CERT_CONFIGMAP")
        if name:
            return name
    return "istio-ca-root-cert"


def served_namespaces(
    cluster: Cluster, selectors: t.Sequence[t.Sequence[dict]], written: t.Container[str] = ()
) -> list[str]:
    """Every namespace into which istiod writes its roots.

    One revision, which they elect, writes for all: what all of them select, and what some do and is written.

    :param selectors: each revision's discoverySelectors; none means every namespace
    :param written: the namespaces that hold roots
    """

    def selected(namespace: dict) -> bool:
        labels = namespace["metadata"].get("labels") or {}
        by = [not its or any(selects(each, labels) for each in its) for its in selectors]
        return all(by) or (any(by) and namespace["metadata"]["name"] in written)

    return [
        namespace["metadata"]["name"]
        for namespace in cluster.list(NAMESPACE)
        if namespace["metadata"]["name"] not in IGNORED_NAMESPACES
        and namespace["status"].get("phase") != "Terminating"
        and selected(namespace)
    ]


def selects(selector: dict, labels: t.Mapping[str, str]) -> bool:
    """Whether a Kubernetes label selector selects labels."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for rule in selector.get("matchExpressions") or []:
        held, values = labels.get(rule["key"]), rule.get("values") or []
        met = {
            "In": held in values,
            "NotIn": held not in values,
            "Exists": held is not None,
            "DoesNotExist": held is None,
        }[rule["operator"]]
        if not met:
            return False
    return True


def root_config_maps(cluster: Cluster, name: str) -> dict[str, frozenset[str]]:
    """namespace -> the fingerprints in its ConfigMap of roots."""
    found = cluster.list(CONFIG_MAP, fields=f"metadata.name={name}")
    texts = {each["metadata"]["namespace"]: (each.get("data") or {}).get("root-cert.pem", "") for each in found}
    return {namespace: _fingerprints(text) for namespace, text in texts.items()}


def served_roots(maps: t.Mapping[str, frozenset[str]], namespace: str) -> frozenset[str]:
    """The roots that istiod gives out: those in its own namespace, or where it looks after others only, in most."""
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


# -- proxies --------------------------------------------------------------


def proxy_pods(cluster: Cluster, namespace: str | None = None) -> list[dict]:
    """Every pod with a proxy, gateways included."""
    return [
        pod
        for pod in cluster.list(POD, namespace)
        if _container(pod, "istio-proxy") and pod["status"].get("phase") not in ("Failed", "Succeeded")
        and "deletionTimestamp" not in pod["metadata"]
    ]  # fmt: skip


def proxy_pods_of(cluster: Cluster, namespace: str) -> list[dict]:
    """Every pod with a proxy that has its certificate from an istiod in a namespace, or doesn't tell from which."""
    return [pod for pod in proxy_pods(cluster) if _control_plane(_container(pod, "istio-proxy")) in ("", namespace)]


def read_proxies(cluster: Cluster, pods: t.Sequence[dict]) -> list[Proxy]:
    """What each of these pods' proxies holds, several read at once; one that can't be read says why."""
    with concurrent.futures.ThreadPoolExecutor(cluster.concurrency) as pool:
        return list(pool.map(lambda pod: read_proxy(cluster, pod), pods))


def read_proxy(cluster: Cluster, pod: dict) -> Proxy:
    """What one pod's proxy holds."""
    known = describe_proxy(pod)
    if not known["running"] or known["kind"] == "ztunnel":
        return Proxy(**known)
    namespace, name = known["namespace"], known["pod"]
    try:
        try:
            text = cluster.execute(namespace, name, ["sh", "-c", _READ], "istio-proxy")
        except ClusterError:
            text = cluster.execute(namespace, name, ["pilot-agent", "request", "GET", _SECRETS_PATH], "istio-proxy")
        return Proxy(**known, **held_by_proxy(text))
    except Exception as error:  # whatever the connection to a pod that goes away raises: it isn't proven, that is all
        return Proxy(**known, error=str(error) or type(error).__name__)


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


def held_by_proxy(text: str) -> dict[str, t.Any]:
    """The fields of a Proxy that a proxy's own answer fills: roots, chain, and the mounted file where it was read."""
    dump, separator, mounted = text.partition(_SEPARATOR)
    held: dict[str, t.Any] = {"mounted": fingerprints(mounted) if separator else None}
    for each in json.loads(dump).get("configs") or []:
        secret = each.get("secret") or {}
        if each.get("name") == "ROOTCA":
            roots = certificates(_inline(secret.get("validation_context", {}).get("trusted_ca")))
            held["roots"] = frozenset(root.fingerprint for root in roots)
            held["root_certificates"] = roots
        elif each.get("name") == "default":
            held["chain"] = certificates(_inline(secret.get("tls_certificate", {}).get("certificate_chain")))
    return held


def _inline(source: dict | None) -> str:
    source = source or {}
    return source.get("inline_string") or base64.b64decode(source.get("inline_bytes") or "").decode(errors="replace")


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


def sync_states(cluster: Cluster, pods: t.Iterable[dict]) -> dict[str, dict]:
    """pod name and namespace as istiod writes them (C(pod.namespace)) -> what /debug/syncz tells of it.

    An istiod that can't be asked (without C(pilot-discovery) in its path, or not running) is passed over.
    """
    found: dict[str, dict] = {}
    for pod in pods:
        try:
            text = cluster.execute(
                pod["metadata"]["namespace"],
                pod["metadata"]["name"],
                ["pilot-discovery", "request", "GET", "/debug/syncz"],
                "discovery",
            )
            found.update({each["proxy"]: each for each in json.loads(text) if each.get("proxy")})
        except (ApiError, ClusterError, ValueError):
            continue
    return found
