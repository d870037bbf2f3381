# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who asks whom for what: for a while the proxies log what comes in, with the caller's identity, and that is read."""

from __future__ import annotations

import collections
import concurrent.futures
import json
import time
import typing as t
import uuid

from ..cluster.errors import ApiError
from ..cluster.kinds import KNOWN
from ..errors import MeshopsError
from ..mesh.pods import PROXY, has_sidecar, is_gateway

if t.TYPE_CHECKING:
    from ..cluster.client import Cluster

_POD, _ENVOY_FILTER = KNOWN["", "Pod"], KNOWN["networking.istio.io", "EnvoyFilter"]
#: The EnvoyFilter that lets the proxies log; it is there only while somebody reads.
NAME = "meshops-observed-traffic"
_PAUSE = 5.0
#: Seconds that the proxies may take to follow.
_PATIENCE = 60.0
_LISTENERS = ["pilot-agent", "request", "GET", "config_dump?resource=dynamic_listeners"]
_TYPE = "type.googleapis.com/envoy.extensions"
_FORMAT = {
    "type": "%ACCESS_LOG_TYPE%",
    "stream": "%STREAM_ID%",
    "server_name": "%REQUESTED_SERVER_NAME%",
    "principal": "%DOWNSTREAM_PEER_URI_SAN%",
    "address": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
    "port": "%DOWNSTREAM_LOCAL_PORT%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(:PATH)%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "ended": "%CONNECTION_TERMINATION_DETAILS%",
}
_ENDS = ("DownstreamEnd", "TcpConnectionEnd")
#: How Envoy says that it refused by an AuthorizationPolicy, and that it did for another reason.
_BY_POLICY, _BY_CHECK = "rbac_access_denied", ("ext_authz_", "jwt_authn_")
#: What names a workload on its pods, in the order in which Istio's own tools look.
_NAMES = ("app", "app.kubernetes.io/name", "k8s-app")
_OF_ONE_POD = (
    "pod-template-hash",
    "controller-revision-hash",
    "pod-template-generation",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
    "controller-uid",
)
_OF_THE_MESH = ("security.istio.io/", "service.istio.io/", "istio.io/", "sidecar.istio.io/", "networking.istio.io/")


# -- pure -----------------------------------------------------------------


def logging_filter(namespace: str, mark: str, plain_text_only: bool = False, seconds: float = 300) -> dict:
    """The EnvoyFilter by which a namespace's sidecars log what comes in, beside their other logs.

    Requests and connections are logged when they begin, too: one that stays open would not be seen otherwise.

    :param mark: is in every line, so that a former run's lines aren't taken for this one's
    :param plain_text_only: log only what comes without mTLS
    :param seconds: how long it will be there
    """
    log: dict[str, t.Any] = {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": f"{_TYPE}.access_loggers.file.v3.FileAccessLog",
            "path": "/dev/stdout",
            "log_format": {"json_format": {"log": mark, **_FORMAT}},
        },
    }
    if plain_text_only:
        kind = f"{_TYPE}.access_loggers.filters.cel.v3.ExpressionFilter"
        log["filter"] = {
            "extension_filter": {
                "name": "envoy.access_loggers.extension_filters.cel",
                "typed_config": {"@type": kind, "expression": "!connection.mtls"},
            }
        }
    # A connection's caller isn't always known when it begins, so it is told again while it stays open.
    again = f"{max(_PAUSE, min(30.0, seconds / 3)):.0f}s"
    options: dict[str, dict] = {
        "http_connection_manager.v3.HttpConnectionManager": {"flush_access_log_on_new_request": True},
        "tcp_proxy.v3.TcpProxy": {"flush_access_log_on_connected": True, "access_log_flush_interval": again},
    }
    patches = []
    for kind, when in options.items():
        typed = {"@type": f"{_TYPE}.filters.network.{kind}", "access_log": [log], "access_log_options": when}
        chain = {"filter": {"name": f"envoy.filters.network.{kind.partition('.')[0]}"}}
        patches.append(
            {
                "applyTo": "NETWORK_FILTER",
                "match": {"context": "SIDECAR_INBOUND", "listener": {"filterChain": chain}},
                "patch": {"operation": "MERGE", "value": {"typed_config": typed}},
            }
        )
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": {"configPatches": patches},
    }


def read_line(line: str, mark: str) -> dict | None:
    """What one line of a proxy's log says: C(source), C(address), C(port), C(protocol), C(method), C(path), C(refused).

    None where the line is another log's, or says nothing yet. C(source) is the caller's principal, empty for plain
    text; C(address) is only given then. C(refused) is empty, C(policy) (by an AuthorizationPolicy), or C(check) (a
    token, an external check). C(stream) tells the request or connection from others; C(over) is whether it has ended.
    """
    start = line.find("{")
    if start < 0 or mark not in line:
        return None
    try:
        found = json.loads(line[start:])
    except ValueError:
        return None
    if not isinstance(found, dict) or found.get("log") != mark:
        return None
    method = found.get("method") or ""
    source = (found.get("principal") or "").removeprefix("spiffe://")
    if found.get("type") == "TcpUpstreamConnected" and not source and found.get("server_name"):
        return None  # TLS, whose handshake may not be over
    said = f"{found.get('details') or ''} {found.get('ended') or ''}"
    by_check = any(word in said for word in _BY_CHECK)
    return {
        "source": source,
        "address": "" if source else found.get("address") or "",
        "port": int(found.get("port") or 0),
        "protocol": "http" if method else "tcp",
        "method": method,
        "path": (found.get("path") or "").partition("?")[0],
        "refused": "policy" if _BY_POLICY in said else "check" if by_check else "",
        "stream": found.get("stream") or "",
        "over": found.get("type") in _ENDS,
    }


def workload_of(pod: t.Mapping[str, t.Any]) -> dict:
    """The workload that a pod is of: C(namespace), C(workload) (its name), C(selector) (labels that find its pods)."""
    meta = pod["metadata"]
    labels = meta.get("labels") or {}
    for label in _NAMES:
        if labels.get(label):
            return {"namespace": meta["namespace"], "workload": labels[label], "selector": {label: labels[label]}}
    own = {k: v for k, v in labels.items() if k not in _OF_ONE_POD and not k.startswith(_OF_THE_MESH)}
    name = labels.get("service.istio.io/canonical-name") or meta.get("generateName", meta["name"]).rstrip("-")
    return {"namespace": meta["namespace"], "workload": name, "selector": own}


class Tally:
    """Counts equal requests and connections, each once: one that has begun counts as it is told last."""

    def __init__(self) -> None:
        self._over: collections.Counter[str] = collections.Counter()
        self._open: dict[str, str] = {}

    def add(self, workload: t.Mapping[str, t.Any], line: t.Mapping[str, t.Any]) -> None:
        """One line, from read_line(), of a workload, from workload_of()."""
        request = {name: value for name, value in line.items() if name not in ("stream", "over")}
        text = json.dumps({**workload, **request}, sort_keys=True)
        if line["over"]:
            self._open.pop(line["stream"], None)
            self._over[text] += 1
        else:
            self._open[line["stream"]] = text

    def flows(self) -> list[dict]:
        """Each kind of request once, with its C(count), in a fixed order."""
        counts = self._over + collections.Counter(self._open.values())
        return [{**json.loads(key), "count": count} for key, count in sorted(counts.items())]


def describe(flow: t.Mapping[str, t.Any]) -> str:
    """C(12 × GET /path on port 8080)."""
    what = f"{flow['method']} {flow['path']}" if flow["protocol"] == "http" else "a connection"
    said = f"{flow['count']} × {what} on port {flow['port']}"
    return "".join(one if one.isprintable() else "?" for one in said)


# -- the cluster ----------------------------------------------------------


def observe(cluster: Cluster, namespaces: t.Sequence[str], seconds: float, plain_text_only: bool, check: bool) -> dict:
    """Lets the proxies of namespaces log what comes in for a while, and gives what came.

    :param seconds: for how long; 0 writes nothing
    :param plain_text_only: only what came without mTLS
    :param check: write nothing, so that nothing is logged: only the workloads are found
    :returns: C(workloads) and C(gateways) (as workload_of, with C(labels) and C(pods)), C(flows) (as Tally.flows, and
        the caller's pod as C(client) where it comes in plain text), C(plain_text) (those flows alone)
    """
    tally = Tally()
    if not check and seconds:
        mark = f"{NAME}-{uuid.uuid4().hex[:8]}"
        try:
            begun = {}
            for namespace in namespaces:
                # What a killed run has left is old, and so would be what is read.
                cluster.delete(_ENVOY_FILTER, NAME, namespace)
                made = cluster.apply(logging_filter(namespace, mark, plain_text_only, seconds), force=True)
                begun[namespace] = made["metadata"]["creationTimestamp"]
            _wait_for_log(cluster, namespaces, mark)
            _read_on(cluster, begun, seconds, mark, tally)
        finally:
            for namespace in namespaces:
                cluster.delete(_ENVOY_FILTER, NAME, namespace)
    flows = tally.flows()
    _name_clients(cluster, flows)
    plain = [flow for flow in flows if not flow["source"]]
    running = [pod for namespace in namespaces for pod in cluster.list(_POD, namespace) if _runs(pod)]
    return {
        "workloads": _workloads(filter(has_sidecar, running)),
        "gateways": _workloads(filter(is_gateway, running)),
        "flows": flows,
        "plain_text": plain,
    }


def _runs(pod: t.Mapping[str, t.Any]) -> bool:
    return pod["status"].get("phase") == "Running" and not pod["metadata"].get("deletionTimestamp")


def _wait_for_log(cluster: Cluster, namespaces: t.Iterable[str], mark: str) -> None:
    """Waits until every sidecar logs: what comes to one that doesn't would not be seen.

    :raises MeshopsError: one doesn't follow; the text names its pod
    """
    end = time.monotonic() + _PATIENCE
    done: set[str] = set()
    while True:
        pods = [pod for namespace in namespaces for pod in cluster.list(_POD, namespace)]
        left = [pod for pod in pods if has_sidecar(pod) and _runs(pod) and pod["metadata"]["uid"] not in done]
        with concurrent.futures.ThreadPoolExecutor(cluster.concurrency) as pool:
            why = list(pool.map(lambda pod: _why_silent(cluster, pod, mark), left))
        done |= {pod["metadata"]["uid"] for pod, reason in zip(left, why, strict=True) if not reason}
        silent = [(pod["metadata"], reason) for pod, reason in zip(left, why, strict=True) if reason]
        if not silent:
            return
        if time.monotonic() > end:
            meta, reason = silent[0]
            raise MeshopsError(
                f"pod {meta['namespace']}/{meta['name']}: {reason} after {_PATIENCE:.0f} s, so what comes to it would"
                " not be seen: see with istioctl proxy-status whether its proxy gets configuration, and restart the pod"
            )
        time.sleep(0.5)


def _why_silent(cluster: Cluster, pod: dict, mark: str) -> str:
    """Why a pod's proxy doesn't log yet; empty where it does."""
    try:
        listeners = cluster.execute(pod["metadata"]["namespace"], pod["metadata"]["name"], _LISTENERS, PROXY)
    except MeshopsError as error:  # not started yet, or gone
        return str(error)
    return "" if mark in listeners else "its proxy doesn't log what comes in"


def _read_on(cluster: Cluster, begun: t.Mapping[str, str], seconds: float, mark: str, tally: Tally) -> None:
    """Reads the logs every few seconds, so that a log that is rotated away isn't missed."""
    end = time.monotonic() + seconds
    last: dict[tuple[str, str], str] = {}
    while True:
        left = end - time.monotonic()
        time.sleep(max(0.0, min(_PAUSE, left)))
        pods = [pod for namespace in begun for pod in cluster.list(_POD, namespace) if has_sidecar(pod)]
        with concurrent.futures.ThreadPoolExecutor(cluster.concurrency) as pool:
            texts = pool.map(lambda pod: _lines_since(cluster, pod, last, begun), pods)
            for pod, lines in zip(pods, texts, strict=True):
                workload = workload_of(pod)
                for line in lines:
                    request = read_line(line, mark)
                    if request:
                        tally.add(workload, request)
        if left <= _PAUSE:
            return


def _lines_since(
    cluster: Cluster, pod: dict, last: dict[tuple[str, str], str], begun: t.Mapping[str, str]
) -> list[str]:
    """The lines that a proxy has logged since the last time."""
    meta = pod["metadata"]
    key = meta["uid"], PROXY
    since = last.get(key, begun[meta["namespace"]])
    try:
        text = cluster.logs(meta["namespace"], meta["name"], PROXY, lines=None, since=since)
    except ApiError as error:
        if error.status in (400, 404):  # not started yet, or gone
            return []
        raise
    stamped = [line.partition(" ") for line in text.splitlines()]
    # The server goes back to the whole second.
    new = [(stamp, line) for stamp, _space, line in stamped if stamp > last.get(key, "")]
    if new:
        last[key] = new[-1][0]
    return [line for _stamp, line in new]


def _workloads(pods: t.Iterable[dict]) -> list[dict]:
    found: dict[str, dict] = {}
    for pod in pods:
        one = workload_of(pod)
        key = json.dumps(one, sort_keys=True)
        found.setdefault(key, {**one, "labels": pod["metadata"].get("labels") or {}, "pods": 0})["pods"] += 1
    return [found[key] for key in sorted(found)]


def _name_clients(cluster: Cluster, flows: t.Iterable[dict]) -> None:
    """Adds C(client), the pod that sends it, to what comes in plain text, and C(text), a line that says it all."""
    plain = [flow for flow in flows if not flow["source"]]
    if not plain:
        return
    names = {
        pod["status"]["podIP"]: f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        for pod in cluster.list(_POD)
        if pod["status"].get("podIP") and not pod["spec"].get("hostNetwork")
    }
    for flow in plain:
        flow["client"] = names.get(flow["address"], "")
        who = f"{flow['client']} ({flow['address']})" if flow["client"] else flow["address"]
        flow["text"] = f"{who} to {flow['namespace']}/{flow['workload']}: {describe(flow)}"
