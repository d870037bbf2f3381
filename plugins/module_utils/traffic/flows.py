# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the proxies' access log says: requests and connections, by workload and caller. Pure."""

from __future__ import annotations

import collections
import enum
import json
import typing as t

from ..mesh.untrusted import printable
from ..reconcile.types import K8sObject

#: Keys of a log line, with the Envoy operator that gives each value. No operator gives the query of a request.
LOG_FORMAT = {
    "type": "%ACCESS_LOG_TYPE%",
    "stream": "%STREAM_ID%",
    "server_name": "%REQUESTED_SERVER_NAME%",
    "principal": "%DOWNSTREAM_PEER_URI_SAN%",
    "address": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
    "port": "%DOWNSTREAM_LOCAL_PORT%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ_WITHOUT_QUERY(:PATH)%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "ended": "%CONNECTION_TERMINATION_DETAILS%",
}
_ENDS = ("DownstreamEnd", "TcpConnectionEnd")
#: How Envoy reports a refusal by an AuthorizationPolicy, and one by another check.
_BY_POLICY, _BY_CHECK = "rbac_access_denied", ("ext_authz_", "jwt_authn_")
#: The labels that name a workload on its pods, in the order in which Istio's own tools look.
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


class Refused(enum.Enum):
    """Who refused a request."""

    NOBODY = ""
    POLICY = "policy"
    CHECK = "check"


class Workload(t.TypedDict):
    """A workload, and the labels that select its pods."""

    namespace: str
    workload: str
    selector: dict[str, str]


class ObservedWorkload(Workload):
    """A workload that runs, with all labels of one of its pods and the number of its pods."""

    labels: dict[str, str]
    pods: int


class Request(t.TypedDict):
    """What was requested, by whom."""

    source: str
    address: str
    port: int
    protocol: str
    method: str
    path: str
    refused: str


class LogLine(Request):
    """A request or connection as one log line has it."""

    stream: str
    over: bool


class Flow(Workload, Request):
    """Equal requests or connections to a workload, counted.

    One without mTLS also has the pod that sent it, and one line that says it all.
    """

    count: int
    client: t.NotRequired[str]
    text: t.NotRequired[str]


def read_line(line: str, mark: str) -> LogLine | None:
    """Reads one line of a proxy's log; None where it is another log's, or doesn't say enough yet.

    C(source) is the caller's principal, empty for plain text; C(address) is only given then. C(stream) tells the
    request or connection from others; C(over) is whether it has ended.
    """
    start = line.find("{")
    if start < 0 or mark not in line:
        return None
    try:
        entry = json.loads(line[start:])
    except ValueError:
        return None
    if not isinstance(entry, dict) or entry.get("log") != mark:
        return None
    fields = {name: str(entry.get(name) or "") for name in LOG_FORMAT}
    source = fields["principal"].removeprefix("spiffe://")
    if fields["type"] == "TcpUpstreamConnected" and not source and fields["server_name"]:
        return None  # TLS, whose handshake may not be over
    return {
        "source": source,
        "address": "" if source else fields["address"],
        "port": int(fields["port"]) if fields["port"].isdecimal() else 0,
        "protocol": "http" if fields["method"] else "tcp",
        "method": fields["method"],
        "path": fields["path"].partition("?")[0],
        "refused": _refused(f"{fields['details']} {fields['ended']}").value,
        "stream": fields["stream"],
        "over": fields["type"] in _ENDS,
    }


def _refused(details: str) -> Refused:
    if _BY_POLICY in details:
        return Refused.POLICY
    return Refused.CHECK if any(word in details for word in _BY_CHECK) else Refused.NOBODY


def workload_of(pod: K8sObject) -> Workload:
    """The workload that a pod belongs to."""
    meta = pod["metadata"]
    labels = meta.get("labels") or {}
    for label in _NAMES:
        if labels.get(label):
            return {"namespace": meta["namespace"], "workload": labels[label], "selector": {label: labels[label]}}
    own = {k: v for k, v in labels.items() if k not in _OF_ONE_POD and not k.startswith(_OF_THE_MESH)}
    name = labels.get("service.istio.io/canonical-name") or meta.get("generateName", meta["name"]).rstrip("-")
    return {"namespace": meta["namespace"], "workload": name, "selector": own}


class Tally:
    """Counts equal requests and connections, each once: an open one counts as its last log line says."""

    def __init__(self) -> None:
        self._over: collections.Counter[str] = collections.Counter()
        self._open: dict[str, str] = {}

    def add(self, workload: Workload, line: LogLine) -> None:
        """Adds one log line of a workload."""
        request = {name: value for name, value in line.items() if name not in ("stream", "over")}
        text = json.dumps({**workload, **request}, sort_keys=True)
        if line["over"]:
            self._open.pop(line["stream"], None)
            self._over[text] += 1
        else:
            self._open[line["stream"]] = text

    def flows(self) -> list[Flow]:
        """Each kind of request once, with its count, in a fixed order."""
        counts = self._over + collections.Counter(self._open.values())
        flows: list[Flow] = []
        for text, count in sorted(counts.items()):
            flow: Flow = json.loads(text)
            flow["count"] = count
            flows.append(flow)
        return flows


def describe(flow: Flow) -> str:
    """C(12 × GET /path on port 8080)."""
    request = f"{flow['method']} {flow['path']}" if flow["protocol"] == "http" else "a connection"
    return printable(f"{flow['count']} × {request} on port {flow['port']}")
