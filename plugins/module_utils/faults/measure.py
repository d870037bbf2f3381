# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measures from inside the mesh: a pod sends requests through its own proxy."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import time
import typing as t

from ..cluster.kinds import KNOWN
from ..errors import MeshopsError
from ..mesh.pods import PROXY, has_proxy
from ..mesh.untrusted import printable
from ..reconcile.types import K8sObject
from .routes import MARK

if t.TYPE_CHECKING:
    from ..cluster.client import Cluster

_CONFIG = "config_dump?resource=dynamic_{}"
_MARKED = re.compile(f"{re.escape(MARK)}[0-9]+-[0-9a-f]+")
#: The mode of probe for a URL's scheme.
_MODES = {"http": "get", "https": "get", "grpc": "grpc", "tcp": "tcp"}
#: What the container runtime reports where a container has no such program.
_NO_PROGRAM = "executable file not found"
#: How many different statuses, versions and errors of a client pod are kept.
_MOST_KEYS = 50
_LONGEST_KEY = 300

#: How often a client saw each status, version or error.
Counts = dict[str, int]
#: What to measure, an entry of the option C(measure).
Request = t.Mapping[str, t.Any]


class Measured(t.TypedDict):
    """What a client pod measured; C(latencies_ms) is sorted."""

    requests: int
    statuses: Counts
    errors: Counts
    versions: Counts
    latency_ms: dict[str, float]
    latencies_ms: list[float]


@dataclasses.dataclass(frozen=True)
class ExpectedRoutes:
    """The state of a proxy's routes that a measurement waits for.

    :ivar present: names of the routes that the proxy must have
    :ivar absent: names of the routes that it must not have
    :ivar connections: whether some are routes of connections, which are in the listeners
    """

    present: frozenset[str]
    absent: frozenset[str]
    connections: bool = False


def client_pod(cluster: Cluster, namespace: str, selector: str) -> K8sObject:
    """A running pod with a proxy, to measure from.

    :raises MeshopsError: there is none
    """
    pods = cluster.list(KNOWN["", "Pod"], namespace, labels=selector)
    running = [p for p in pods if p["status"].get("phase") == "Running" and not p["metadata"].get("deletionTimestamp")]
    if not running:
        raise MeshopsError(
            f"Namespace {namespace}: no running pod has the labels {selector}, so nothing can be measured"
        )
    for pod in running:
        if has_proxy(pod):
            return pod
    raise MeshopsError(
        f"Pod {namespace}/{running[0]['metadata']['name']}: it has no sidecar, and faults happen in the client's proxy."
        " Label the namespace for injection and restart the pod, or measure from another one."
    )


def wait_for_routes(cluster: Cluster, pod: K8sObject, expected: ExpectedRoutes, timeout: float) -> None:
    """Waits until a pod's proxy has exactly the expected routes.

    :raises MeshopsError: not in time
    """
    kinds = ["route_configs", "listeners"] if expected.connections else ["route_configs"]
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    end = time.monotonic() + timeout
    while True:
        commands = [["pilot-agent", "request", "GET", _CONFIG.format(kind)] for kind in kinds]
        live = {mark for words in commands for mark in _MARKED.findall(cluster.execute(namespace, name, words, PROXY))}
        missing, remaining = expected.present - live, expected.absent & live
        if not missing and not remaining:
            return
        if time.monotonic() > end:
            what = f"lacks {sorted(missing)}" if missing else f"still has {sorted(remaining)}"
            raise MeshopsError(
                f"Pod {namespace}/{name}: timed out after {timeout:.0f} s: its proxy {what}."
                " Check that it is connected to istiod."
            )
        time.sleep(0.25)


def measure(cluster: Cluster, pod: K8sObject, request: Request, longest: float) -> Measured:
    """Sends requests from a pod.

    :param request: C(url), C(requests), C(parallel), C(headers), C(container), C(tool) (auto, probe or curl)
    :param longest: seconds that one request may take
    :raises MeshopsError: the container has no such tool, or the output is not the tool's
    """
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    container = request.get("container") or next(c["name"] for c in pod["spec"]["containers"] if c["name"] != PROXY)
    timeout = 60 + longest * request["requests"]
    if request["tool"] != "curl":
        try:
            output = cluster.execute(namespace, name, probe_command(request, longest), container, timeout)
            return _read(read_probe, output, f"Pod {namespace}/{name}: unexpected output of probe")
        except MeshopsError as error:
            if request["tool"] == "probe" or _NO_PROGRAM not in str(error):
                raise
            if mode_of(request["url"]) != "get":
                raise MeshopsError(
                    f"Pod {namespace}/{name}: container {container} has no probe, and curl does not support"
                    f" {request['url']}. Measure from a pod with the image of charts/probe."
                ) from error
    output = cluster.execute(namespace, name, curl_command(request, longest), container, timeout)
    return _read(read_curl, output, f"Pod {namespace}/{name}: unexpected output of curl")


def _read(reader: t.Callable[[str], Measured], output: str, problem: str) -> Measured:
    try:
        return reader(output)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise MeshopsError(f"{problem}: {printable(output, 200)!r}") from None


def mode_of(url: str) -> str:
    """The mode of probe for a URL: get, grpc or tcp.

    :raises MeshopsError: no mode is for this URL
    """
    scheme, separator, rest = url.partition("://")
    if not separator or not rest or scheme not in _MODES:
        schemes = ", ".join(f"{name}://" for name in _MODES)
        raise MeshopsError(f"measure: invalid URL {url!r}: must start with one of {schemes}")
    return _MODES[scheme]


def probe_command(request: Request, longest: float) -> list[str]:
    """C(probe get), C(probe grpc) or C(probe tcp), from the image of charts/probe."""
    mode, url = mode_of(request["url"]), request["url"]
    command = ["probe", mode, "-n", str(request["requests"]), "-latencies", "-timeout", f"{longest:.3f}s"]
    if mode == "get":
        command += ["-c", str(request["parallel"])]
    if mode != "tcp":
        for name, value in (request.get("headers") or {}).items():
            command += ["-header", f"{name}: {value}"]
    plain = {"get": url, "grpc": url.replace("grpc://", "http://", 1), "tcp": url.removeprefix("tcp://")}
    return [*command, plain[mode]]


def curl_command(request: Request, longest: float) -> list[str]:
    """One curl for all requests: it numbers them in the URL's fragment, which is not sent."""
    command = ["curl", "--silent", "--output", "/dev/null", "--max-time", f"{longest:.3f}"]
    command += ["--write-out", r"%{http_code} %{time_total} %{exitcode}\n"]
    for name, value in (request.get("headers") or {}).items():
        command += ["--header", f"{name}: {value}"]
    # Some of the requests may fail; the measurement has not failed then.
    url = re.sub(r"([\[\]{}])", r"\\\1", request["url"])
    return ["sh", "-c", '"$@" || true', "sh", *command, f"{url}#[1-{request['requests']}]"]


def read_probe(output: str) -> Measured:
    """Reads what C(probe) printed. A client pod is not trusted: only counts and times of the known form are kept.

    :raises ValueError: or TypeError, KeyError, AttributeError: it is not probe's output
    """
    summary = json.loads(output)
    times = sorted(_time(value) for value in summary.get("latencies_ms") or [])
    requests = _count(summary["requests"])
    if len(times) > requests:
        raise ValueError("more latencies than requests")
    statuses = _counts(summary["statuses"])
    if not all(re.fullmatch("[0-9]{1,3}", status) for status in statuses):
        raise ValueError("not a status")
    return {
        "requests": requests,
        "statuses": statuses,
        "errors": _counts(summary["errors"]),
        "versions": _counts(summary["versions"]),
        "latency_ms": latency(times),
        "latencies_ms": times,
    }


def _counts(value: t.Any) -> Counts:
    counts: Counts = {}
    for key, count in list((value or {}).items())[:_MOST_KEYS]:
        shown = printable(key, _LONGEST_KEY)
        counts[shown] = counts.get(shown, 0) + _count(count)
    return counts


def _count(value: t.Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("not a count")
    return value


def _time(value: t.Any) -> float:
    number = float(value)
    if not 0 <= number < math.inf:
        raise ValueError("not a time")
    return number


def read_curl(output: str) -> Measured:
    """Reads what curl_command() printed.

    :raises ValueError: it is not that command's output
    """
    statuses: Counts = {}
    errors: Counts = {}
    times = []
    for line in output.split("\n"):
        if not line.strip():
            continue
        status, took, code = line.split()
        times.append(round(_time(took) * 1000, 3))
        counts, key = (statuses, f"{int(status):03}") if code == "0" else (errors, f"curl exit code {int(code)}")
        counts[key] = counts.get(key, 0) + 1
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
