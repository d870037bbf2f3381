# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measures from inside the mesh: requests that a pod sends through its own proxy."""

from __future__ import annotations

import json
import math
import re
import time
import typing as t

from ..cluster.kinds import KNOWN
from ..errors import MeshopsError
from ..mesh.pods import PROXY, has_proxy
from ..reconcile.types import K8sObject
from .routes import MARK

if t.TYPE_CHECKING:
    from ..cluster.client import Cluster

_CONFIG = "config_dump?resource=dynamic_{}"
_MARKED = re.compile(f"{re.escape(MARK)}[0-9]+-[0-9a-f]+")
#: What probe does for a URL's scheme.
_MODES = {"http": "get", "https": "get", "grpc": "grpc", "tcp": "tcp"}


def client_pod(cluster: Cluster, namespace: str, selector: str) -> K8sObject:
    """A running pod with a proxy, to measure from.

    :raises MeshopsError: there is none
    """
    pods = cluster.list(KNOWN["", "Pod"], namespace, labels=selector)
    running = [p for p in pods if p["status"].get("phase") == "Running" and not p["metadata"].get("deletionTimestamp")]
    if not running:
        raise MeshopsError(
            f"no running pod in namespace {namespace} has the labels {selector}: nothing to measure from"
        )
    for pod in running:
        if has_proxy(pod):
            return pod
    raise MeshopsError(
        f"pod {namespace}/{running[0]['metadata']['name']} has no sidecar: faults happen in the client's proxy;"
        f" label the namespace for injection and restart the pod, or measure from another one"
    )


def wait_for_routes(
    cluster: Cluster, pod: K8sObject, there: set[str], gone: set[str], timeout: float, connections: bool = False
) -> None:
    """Waits until a pod's proxy has the routes of these names, and has no more those that are to be gone.

    :param connections: whether some are routes of connections, which are in the listeners
    :raises MeshopsError: not in time
    """
    kinds = ["route_configs", "listeners"] if connections else ["route_configs"]
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    end = time.monotonic() + timeout
    while True:
        asks = [["pilot-agent", "request", "GET", _CONFIG.format(kind)] for kind in kinds]
        live = {found for ask in asks for found in _MARKED.findall(cluster.execute(namespace, name, ask, PROXY))}
        if there <= live and not gone & live:
            return
        if time.monotonic() > end:
            what = f"lacks {sorted(there - live)}" if there - live else f"still has {sorted(gone & live)}"
            raise MeshopsError(
                f"the proxy of pod {namespace}/{name} {what} after {timeout:.0f} s: does istiod reach it?"
            )
        time.sleep(0.25)


def measure(cluster: Cluster, pod: K8sObject, ask: t.Mapping[str, t.Any], longest: float) -> K8sObject:
    """Sends requests from a pod and gives what came back, as C(probe get) says it.

    :param ask: C(url), C(requests), C(parallel), C(headers), C(container), C(tool) (auto, probe or curl)
    :param longest: seconds that one request may take
    :raises MeshopsError: the container has no such tool
    """
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    container = ask.get("container") or next(c["name"] for c in pod["spec"]["containers"] if c["name"] != PROXY)
    patience = 60 + longest * ask["requests"]
    if ask["tool"] in ("auto", "probe"):
        try:
            return json.loads(cluster.execute(namespace, name, probe_command(ask, longest), container, patience))
        except MeshopsError as error:
            if ask["tool"] == "probe" or "not found" not in str(error):
                raise
            if mode_of(ask["url"]) != "get":
                raise MeshopsError(
                    f"container {container} of pod {namespace}/{name} has no probe, and curl can't ask {ask['url']}:"
                    " measure from a pod with the image of charts/probe"
                ) from error
    return read_curl(cluster.execute(namespace, name, curl_command(ask, longest), container, patience))


def mode_of(url: str) -> str:
    """What probe is to do for a URL: get, grpc or tcp.

    :raises MeshopsError: it knows nothing for it
    """
    scheme, found, rest = url.partition("://")
    if not found or not rest or scheme not in _MODES:
        raise MeshopsError(f"measure: {url!r} is no URL with one of {', '.join(f'{name}://' for name in _MODES)}")
    return _MODES[scheme]


def probe_command(ask: t.Mapping[str, t.Any], longest: float) -> list[str]:
    """C(probe get), C(probe grpc) or C(probe tcp), from the image of charts/probe."""
    mode, url = mode_of(ask["url"]), ask["url"]
    command = ["probe", mode, "-n", str(ask["requests"]), "-latencies", "-timeout", f"{longest:.3f}s"]
    if mode == "get":
        command += ["-c", str(ask["parallel"])]
    if mode != "tcp":
        for name, value in (ask.get("headers") or {}).items():
            command += ["-header", f"{name}: {value}"]
    plain = {"get": url, "grpc": url.replace("grpc://", "http://", 1), "tcp": url.removeprefix("tcp://")}
    return [*command, plain[mode]]


def curl_command(ask: t.Mapping[str, t.Any], longest: float) -> list[str]:
    """One curl for all requests: it numbers them in the URL's fragment, which isn't sent."""
    command = ["curl", "--silent", "--output", "/dev/null", "--max-time", f"{longest:.3f}"]
    command += ["--write-out", r"%{http_code} %{time_total} %{exitcode}\n"]
    for name, value in (ask.get("headers") or {}).items():
        command += ["--header", f"{name}: {value}"]
    # Some of the requests may fail, which is no failure of the measurement.
    url = re.sub(r"([\[\]{}])", r"\\\1", ask["url"])
    return ["sh", "-c", '"$@" || true', "sh", *command, f"{url}#[1-{ask['requests']}]"]


def read_curl(output: str) -> K8sObject:
    """What curl_command() printed, as C(probe get) says it."""
    statuses: dict[str, int] = {}
    errors: dict[str, int] = {}
    times = []
    for line in output.split("\n"):
        if not line.strip():
            continue
        status, took, code = line.split()
        times.append(round(float(took) * 1000, 3))
        into, key = (statuses, status) if code == "0" else (errors, f"curl exit code {code}")
        into[key] = into.get(key, 0) + 1
    times.sort()
    return {
        "requests": len(times),
        "statuses": statuses,
        "errors": errors,
        "versions": {},
        "latency_ms": latency(times),
        "latencies_ms": times,
    }


def latency(times: t.Sequence[float]) -> dict[str, float]:
    """Smallest, mean, largest and percentiles of sorted times."""
    if not times:
        return dict.fromkeys(("min", "mean", "p50", "p90", "p99", "max"), 0.0)

    def at(share: float) -> float:
        return times[max(0, math.ceil(share * len(times)) - 1)]

    mean = round(sum(times) / len(times), 3)
    return {"min": times[0], "mean": mean, "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": times[-1]}
