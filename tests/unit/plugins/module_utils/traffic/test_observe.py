# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json
from unittest import mock

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.traffic import observe as observed_traffic
from ansible_collections.meshops.istio.plugins.module_utils.traffic.observe import (
    NAME,
    Tally,
    logging_filter,
    observe,
    read_line,
    workload_of,
)

MARK = f"{NAME}-1"


def line(**fields):
    usual = {
        "log": MARK,
        "type": "DownstreamEnd",
        "stream": "s",
        "server_name": None,
        "principal": "spiffe://cluster.local/ns/demo/sa/client",
        "address": "10.0.0.1",
        "port": 8080,
        "method": "GET",
        "path": "/x?y=1",
        "details": "via_upstream",
        "ended": None,
    }
    return json.dumps({**usual, **fields})


def test_a_request_is_read_without_its_query():
    assert read_line(line(), MARK) == {
        "source": "cluster.local/ns/demo/sa/client",
        "address": "",
        "port": 8080,
        "protocol": "http",
        "method": "GET",
        "path": "/x",
        "refused": "",
        "stream": "s",
        "over": True,
    }


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"method": None, "path": None, "details": None}, {"protocol": "tcp", "method": "", "path": ""}),
        ({"principal": None}, {"source": "", "address": "10.0.0.1"}),
        ({"details": "rbac_access_denied_matched_policy[none]"}, {"refused": "policy"}),
        ({"method": None, "ended": "rbac_access_denied_matched_policy[none]"}, {"refused": "policy"}),
        ({"details": "jwt_authn_access_denied{Jwt_is_expired}"}, {"refused": "check"}),
        ({"details": "ext_authz_denied"}, {"refused": "check"}),
        ({"type": "DownstreamStart"}, {"over": False}),
        ({"type": "TcpUpstreamConnected", "principal": None}, {"over": False, "source": ""}),
        ({"type": "TcpPeriodic", "principal": None, "server_name": "own.tls"}, {"over": False, "source": ""}),
    ],
)
def test_what_a_line_says(fields, wanted):
    read = read_line(line(**fields), MARK)
    assert {name: read[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[2026] GET / 200",
        json.dumps({"log": "another"}),
        f'{{"log": "{MARK}',
        f"{MARK} {{}}",
        line(log=f"{NAME}-0"),
        line(type="TcpUpstreamConnected", principal=None, server_name="outbound_.80_._.x"),
    ],
    ids=["nothing", "text", "another log", "half a line", "no log", "a former run's", "a handshake under way"],
)
def test_other_lines_are_passed_over(text):
    assert read_line(text, MARK) is None


def pod(labels=None, name="web-5d4-x", containers=("web", "istio-proxy"), **meta):
    spec = {"containers": [{"name": one} for one in containers]}
    return {"metadata": {"name": name, "namespace": "demo", "labels": labels or {}, **meta}, "spec": spec}


@pytest.mark.parametrize(
    ("labels", "name", "selector"),
    [
        ({"app": "a", "app.kubernetes.io/name": "b", "version": "v1"}, "a", {"app": "a"}),
        ({"app.kubernetes.io/name": "b"}, "b", {"app.kubernetes.io/name": "b"}),
        (
            {"run": "r", "pod-template-hash": "1", "service.istio.io/canonical-name": "web"},
            "web",
            {"run": "r"},
        ),
        ({"run": "r"}, "web-5d4", {"run": "r"}),
    ],
)
def test_a_workload_is_named_and_found_by_its_labels(labels, name, selector):
    found = workload_of(pod(labels, generateName="web-5d4-"))
    assert (found["workload"], found["selector"]) == (name, selector)


def test_what_is_alike_is_counted_and_each_once():
    tally, workload = Tally(), workload_of(pod({"app": "a"}))

    def tell(**fields):
        tally.add(workload, read_line(line(**fields), MARK))

    tell()
    tell(type="DownstreamStart", stream="2")
    tell(stream="2")
    tell(path="/z")
    tell(path="/stream", type="DownstreamStart", stream="3")
    tell(method=None, path=None, type="TcpUpstreamConnected", stream="4")
    tell(method=None, path=None, type="TcpPeriodic", stream="4")
    tell(method=None, path=None, type="TcpPeriodic", stream="5")
    tell(method=None, path=None, type="TcpConnectionEnd", stream="5")
    found = [(flow["path"], flow["count"]) for flow in tally.flows()]
    assert found == [("", 2), ("/stream", 1), ("/x", 2), ("/z", 1)]


def test_requests_and_connections_are_logged_beside_what_is_logged_already():
    patches = logging_filter("demo", MARK, plain_text_only=True)["spec"]["configPatches"]
    assert [p["patch"]["operation"] for p in patches] == ["MERGE", "MERGE"]
    (log,) = patches[0]["patch"]["value"]["typed_config"]["access_log"]
    assert log["filter"]["extension_filter"]["typed_config"]["expression"] == "!connection.mtls"
    every = logging_filter("demo", MARK)["spec"]["configPatches"][0]["patch"]["value"]["typed_config"]
    assert "filter" not in every["access_log"][0]
    assert every["access_log_options"] == {"flush_access_log_on_new_request": True}
    tcp = logging_filter("demo", MARK, seconds=15)["spec"]["configPatches"][1]["patch"]["value"]["typed_config"]
    assert tcp["access_log_options"] == {"flush_access_log_on_connected": True, "access_log_flush_interval": "5s"}


class FakeCluster:
    """One pod, whose log has a line more each time that it is read; the server goes back to the whole second."""

    concurrency = 2

    def __init__(self):
        self.filters, self.reads, self.looks, self.mark = set(), [], 0, ""

    def apply(self, obj, force):
        self.filters.add(obj["metadata"]["namespace"])
        value = obj["spec"]["configPatches"][0]["patch"]["value"]
        self.mark = value["typed_config"]["access_log"][0]["typed_config"]["log_format"]["json_format"]["log"]
        return {"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}}

    def delete(self, kind, name, namespace):
        self.filters.discard(namespace)

    def list(self, kind, namespace=None):
        own = pod({"app": "a"}, uid="1")
        return [{**own, "status": {"phase": "Running", "podIP": "10.0.0.1"}}]

    def execute(self, namespace, name, command, container):
        """The proxy follows at the second look, and begins to be read then."""
        assert not self.reads
        self.looks += 1
        return f"before {self.mark} behind" if self.looks > 1 else NAME

    def logs(self, namespace, name, container, lines, since):
        assert self.filters == {"demo"}
        self.reads.append(since)
        text = [f"2026-01-01T00:00:0{i}.5Z {line(principal=None, log=self.mark)}" for i in range(len(self.reads))]
        return "\n".join(text)


def test_each_line_counts_once_and_the_proxies_log_as_before_at_the_end(monkeypatch):
    monkeypatch.setattr(observed_traffic, "_PAUSE", 0.01)
    cluster = FakeCluster()
    seen = observe(cluster, ["demo"], 0.05, False, check=False)
    assert cluster.looks == 2 and len(cluster.reads) > 1 and cluster.reads[0] == "2026-01-01T00:00:00Z"
    (flow,) = seen["plain_text"]
    assert flow["count"] == len(cluster.reads)
    assert flow["text"] == f"demo/web-5d4-x (10.0.0.1) to demo/a: {flow['count']} × GET /x on port 8080"
    assert seen["workloads"][0]["pods"] == 1 and cluster.filters == set()


def test_the_log_goes_after_an_error_too_and_check_mode_writes_nothing(monkeypatch):
    cluster = FakeCluster()
    monkeypatch.setattr(cluster, "logs", mock.Mock(side_effect=MeshopsError("no")))
    with pytest.raises(MeshopsError):
        observe(cluster, ["demo"], 0.01, False, check=False)
    assert cluster.filters == set()
    monkeypatch.setattr(observed_traffic, "_PATIENCE", 0.01)
    monkeypatch.setattr(cluster, "execute", mock.Mock(side_effect=MeshopsError("no such container")))
    with pytest.raises(MeshopsError, match="pod demo/web-5d4-x: no such container after 0 s"):
        observe(cluster, ["demo"], 60, False, check=False)
    assert cluster.filters == set()
    monkeypatch.setattr(cluster, "apply", None)
    assert observe(cluster, ["demo"], 60, False, check=True)["flows"] == []
    assert observe(cluster, ["demo"], 0, False, check=False)["workloads"][0]["pods"] == 1
