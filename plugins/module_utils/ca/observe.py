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
from ..cluster.kinds import CONFIG_MAP, KNOWN, NAMESPACE, POD
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
from .gate import Istiod

with contextlib.suppress(ImportError):  # comes with ansible-core
    import yaml

#: Label of istiod pods that a restart has taken out of the Services and will end.
RETIRED = "meshops.istio/retired"
#: Namespaces in which istiod writes no ConfigMap (IgnoredNamespaces in pkg/kube/inject/initializer.go).
IGNORED_NAMESPACES = ("kube-public", "kube-node-lease", "local-path-storage")
_WEBHOOKS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")


def now() -> datetime.datetime:
    """This moment, in UTC."""
    return datetime.datetime.now(datetime.UTC)


def secret_text(secret: dict | None) -> dict[str, str]:
    """A secret's data, decoded; empty where there is no secret."""
    data = (secret or {}).get("data") or {}
    return {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}


def mesh_config(cluster: Cluster, namespace: str, revision: str = "default") -> dict:
    """The mesh config of a revision as its ConfigMap holds it; empty where there is none.

    :raises MeshopsError: it isn't a map in YAML
    """
    name = "istio" if revision == "default" else f"istio-{revision}"
    found = cluster.get(CONFIG_MAP, name, namespace)
    wrong = f"the ConfigMap {namespace}/{name} holds no mesh config in its key mesh"
    remedy = "correct it, or install the control plane again"
    try:
        loaded = yaml.safe_load(((found or {}).get("data") or {}).get("mesh", "")) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise MeshopsError(f"{wrong}: not YAML{f', line {mark.line + 1}' if mark else ''}; {remedy}") from None
    if not isinstance(loaded, dict):
        raise MeshopsError(f"{wrong}: not a map; {remedy}")
    return loaded


def mesh_configs(cluster: Cluster, namespace: str, istiods: t.Iterable[Istiod]) -> dict[str, dict]:
    """revision -> its mesh config, of every revision that runs in a namespace."""
    revisions = sorted({istiod.revision for istiod in istiods})
    return {revision: mesh_config(cluster, namespace, revision) for revision in revisions}


# -- istiod ---------------------------------------------------------------


def istiod_pods(cluster: Cluster, namespace: str) -> list[dict]:
    """The pods of every control plane in a namespace, whatever their labels are at the moment."""
    return [pod for pod in cluster.list(POD, namespace) if container(pod, DISCOVERY)]


def istiods(cluster: Cluster, namespace: str, expiries: bool = True) -> list[Istiod]:
    """Every istiod in a namespace.

    :param expiries: also ask each for the dates of expiry that it reports
    """
    pods = [pod for pod in istiod_pods(cluster, namespace) if not is_over(pod)]
    with concurrent.futures.ThreadPoolExecutor(cluster.concurrency) as pool:
        return list(pool.map(lambda pod: _istiod(cluster, pod, expiries), pods))


def _istiod(cluster: Cluster, pod: dict, expiries: bool) -> Istiod:
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
        name = environment(container(pod, DISCOVERY)).get("PILOT_CA_CERT_CONFIGMAP")
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
