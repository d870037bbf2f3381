# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json
from unittest import mock

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ClusterError
from ansible_collections.meshops.istio.plugins.module_utils.istio import observed_traffic
from ansible_collections.meshops.istio.plugins.module_utils.istio.observed_traffic import (
    NAME,
    Tally,
    has_sidecar,
    logging_filter,
    observe,
    read_line,
    workload_of,
)


def line(**fields):
    usual = {
        "log": NAME,
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
    assert read_line(line()) == {
        "source": "cluster.local/ns/demo/sa/client",
        "address": "",
        "port": 8080,
        "protocol": "http",
        "method": "GET",
        "path": "/x",
        "refused": "",
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
    ],
)
def test_what_a_line_says(fields, wanted):
    read = read_line(line(**fields))
    assert {name: read[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    "text", ["", "[2026] GET / 200", json.dumps({"log": "another"}), f'{{"log": "{NAME}', f"{NAME} {{}}"]
)
def test_other_lines_are_passed_over(text):
    assert read_line(text) is None


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


def test_gateways_have_no_sidecar():
    assert has_sidecar(pod()) and not has_sidecar(pod(containers=("istio-proxy",)))


def test_what_is_alike_is_counted():
    tally, workload, request = Tally(), workload_of(pod({"app": "a"})), read_line(line())
    for one in (request, request, {**request, "path": "/z"}):
        tally.add(workload, one)
    assert [(flow["path"], flow["count"]) for flow in tally.flows()] == [("/x", 2), ("/z", 1)]


def test_requests_and_connections_are_logged_beside_what_is_logged_already():
    patches = logging_filter("demo", plain_text_only=True)["spec"]["configPatches"]
    assert [p["patch"]["operation"] for p in patches] == ["MERGE", "MERGE"]
    (log,) = patches[0]["patch"]["value"]["typed_config"]["access_log"]
    assert log["filter"]["extension_filter"]["typed_config"]["expression"] == "!connection.mtls"
    every = logging_filter("demo")["spec"]["configPatches"][0]["patch"]["value"]["typed_config"]
    assert "filter" not in every["access_log"][0]


class FakeCluster:
    """One pod, whose log has a line more each time that it is read; the server goes back to the whole second."""

    concurrency = 2

    def __init__(self):
        self.filters, self.reads = set(), []

    def apply(self, obj, force):
        self.filters.add(obj["metadata"]["namespace"])
        return {"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}}

    def delete(self, kind, name, namespace):
        self.filters.discard(namespace)

    def list(self, kind, namespace=None):
        own = pod({"app": "a"}, uid="1")
        return [{**own, "status": {"phase": "Running", "podIP": "10.0.0.1"}}]

    def logs(self, namespace, name, container, lines, since):
        assert self.filters == {"demo"}
        self.reads.append(since)
        text = [f"2026-01-01T00:00:0{i}.5Z {line(principal=None)}" for i in range(len(self.reads))]
        return "\n".join(text)


def test_each_line_counts_once_and_the_proxies_log_as_before_at_the_end(monkeypatch):
    monkeypatch.setattr(observed_traffic, "_PAUSE", 0.01)
    cluster = FakeCluster()
    seen = observe(cluster, ["demo"], 0.05, False, check=False)
    assert len(cluster.reads) > 1 and cluster.reads[0] == "2026-01-01T00:00:00Z"
    (flow,) = seen["plain_text"]
    assert flow["count"] == len(cluster.reads)
    assert flow["text"] == f"demo/web-5d4-x (10.0.0.1) to demo/a: {flow['count']} × GET /x on port 8080"
    assert seen["workloads"][0]["pods"] == 1 and cluster.filters == set()


def test_the_log_goes_after_an_error_too_and_check_mode_writes_nothing(monkeypatch):
    cluster = FakeCluster()
    monkeypatch.setattr(cluster, "logs", mock.Mock(side_effect=ClusterError("no")))
    with pytest.raises(ClusterError):
        observe(cluster, ["demo"], 0, False, check=False)
    assert cluster.filters == set()
    monkeypatch.setattr(cluster, "apply", None)
    assert observe(cluster, ["demo"], 60, False, check=True)["flows"] == []
