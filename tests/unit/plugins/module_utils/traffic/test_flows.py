# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.traffic.access_log import NAME
from ansible_collections.meshops.istio.plugins.module_utils.traffic.flows import (
    LOG_FORMAT,
    Tally,
    describe,
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


def test_no_operator_of_the_log_gives_a_query():
    """%REQ(:PATH)% and %PATH% hold the query, which may hold a token."""
    assert LOG_FORMAT["path"] == "%REQ_WITHOUT_QUERY(:PATH)%"
    assert not any("REQ(:PATH)" in operator or operator == "%PATH%" for operator in LOG_FORMAT.values())


def test_a_line_with_other_types_than_envoys_is_read_as_text():
    read = read_line(line(port="x", path={"a": 1}, principal=7), MARK)
    assert (read["port"], read["path"], read["source"]) == (0, "{'a': 1}", "7")


def test_a_flow_is_described_on_one_line():
    flow = {"count": 1, "protocol": "http", "method": "GET", "path": "/\x1b[31m{{ 1 }}\n", "port": 80}
    assert describe(flow) == "1 × GET /?[31m{ { 1 }}? on port 80"
