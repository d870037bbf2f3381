# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads what every proxy of a mesh holds."""

from __future__ import annotations

import base64
import concurrent.futures
import json
import typing as t

from ..cluster.client import Cluster
from ..cluster.kinds import POD
from ..errors import MeshopsError
from ..mesh.certificates import certificates, fingerprints
from ..mesh.pods import PROXY, control_plane_namespace, describe_proxy, has_proxy, is_live
from ..reconcile.types import K8sObject
from .proxy import Proxy

_SEPARATOR = "--- root-cert.pem"
_SECRETS_PATH = "config_dump?resource=dynamic_active_secrets"
#: Both files of a proxy in one exec; an image without a shell is asked by pilot-agent alone. Where there is a curl, it
#: starts with a fraction of what pilot-agent needs, which counts where hundreds of proxies are asked.
_READ = (
    f"{{ curl -fs -m 10 --noproxy '*' 'http://localhost:15000/{_SECRETS_PATH}' 2>/dev/null"
    f" || pilot-agent request GET '{_SECRETS_PATH}'; }} && echo && echo '{_SEPARATOR}'"
    " && cat /var/run/secrets/istio/root-cert.pem"
)


# -- proxies --------------------------------------------------------------


def proxy_pods(cluster: Cluster, namespace: str | None = None) -> list[K8sObject]:
    """Every pod with a proxy, gateways included."""
    return [pod for pod in cluster.list(POD, namespace) if has_proxy(pod) and is_live(pod)]


def proxy_pods_of(cluster: Cluster, namespace: str) -> list[K8sObject]:
    """Every pod with a proxy that has its certificate from an istiod in a namespace, or doesn't tell from which."""
    return [pod for pod in proxy_pods(cluster) if control_plane_namespace(pod) in ("", namespace)]


def read_proxies(cluster: Cluster, pods: t.Sequence[K8sObject]) -> list[Proxy]:
    """What each of these pods' proxies holds, several read at once; one that can't be read says why."""
    with concurrent.futures.ThreadPoolExecutor(cluster.concurrency) as pool:
        return list(pool.map(lambda pod: read_proxy(cluster, pod), pods))


def read_proxy(cluster: Cluster, pod: K8sObject) -> Proxy:
    """What one pod's proxy holds."""
    known = describe_proxy(pod)
    if not known["running"] or known["kind"] == "ztunnel":
        return Proxy(**known)
    namespace, name = known["namespace"], known["pod"]
    try:
        try:
            text = cluster.execute(namespace, name, ["sh", "-c", _READ], PROXY)
        except MeshopsError:
            text = cluster.execute(namespace, name, ["pilot-agent", "request", "GET", _SECRETS_PATH], PROXY)
        return Proxy(**known, **held_by_proxy(text))
    except Exception as error:  # whatever the connection to a pod that goes away raises: it isn't proven, that is all
        return Proxy(**known, error=str(error) or type(error).__name__)


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


def _inline(source: t.Mapping[str, t.Any] | None) -> str:
    source = source or {}
    return source.get("inline_string") or base64.b64decode(source.get("inline_bytes") or "").decode(errors="replace")
