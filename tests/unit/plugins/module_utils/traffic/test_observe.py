# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json
from unittest import mock

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.traffic import observe as observed_traffic
from ansible_collections.meshops.istio.plugins.module_utils.traffic.access_log import NAME, SECONDS
from ansible_collections.meshops.istio.plugins.module_utils.traffic.observe import Options, in_use, observe


def line(**fields):
    usual = {"type": "DownstreamEnd", "stream": "s", "address": "10.0.0.1", "port": 8080, "method": "GET", "path": "/x"}
    return json.dumps({**usual, **fields})


def pod():
    spec = {"containers": [{"name": "web"}, {"name": "istio-proxy"}]}
    meta = {"name": "web-5d4-x", "namespace": "demo", "labels": {"app": "a"}, "uid": "1"}
    return {"metadata": meta, "spec": spec, "status": {"phase": "Running", "podIP": "10.0.0.1"}}


class FakeCluster:
    """One pod, whose log has a line more each time that it is read; the server starts at the whole second."""

    concurrency = 2

    def __init__(self):
        self.filters, self.reads, self.looks, self.mark = {}, [], 0, ""

    def apply(self, obj, force):
        meta = {**obj["metadata"], "creationTimestamp": "2026-01-01T00:00:00Z", "uid": "u", "generation": 1}
        self.mark = meta["name"]
        self.filters[self.mark] = {"metadata": meta}
        return {"metadata": meta}

    def get(self, kind, name, namespace=None):
        return self.filters.get(name)

    def delete(self, kind, name, namespace, uid=None):
        self.filters.pop(name, None)

    def list(self, kind, namespace=None, labels=None):
        return list(self.filters.values()) if kind.kind == "EnvoyFilter" else [pod()]

    def execute(self, namespace, name, command, container):
        """The proxy follows at the second look."""
        self.looks += 1
        state = "active_state" if self.looks > 1 else "warming_state"
        return json.dumps({"configs": [{"name": "virtualInbound", state: {"listener": self.mark}}]})

    def logs(self, namespace, name, container, lines, since):
        assert self.mark in self.filters
        self.reads.append(since)
        text = [f"2026-01-01T00:00:0{i}.5Z {line(log=self.mark)}" for i in range(len(self.reads))]
        return "\n".join(text)


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.setattr(observed_traffic, "_PAUSE", 0.01)
    return FakeCluster()


def options(seconds=0.05, **more):
    return Options(("demo",), seconds, **more)


def test_each_line_counts_once_and_the_proxies_log_as_before_at_the_end(cluster):
    seen = observe(cluster, options(), check_mode=False)
    assert cluster.looks == 2 and len(cluster.reads) > 1 and cluster.reads[0] == "2026-01-01T00:00:00Z"
    (flow,) = seen["plain_text"]
    assert flow["count"] == len(cluster.reads)
    assert flow["text"] == f"demo/web-5d4-x (10.0.0.1) to demo/a: {flow['count']} × GET /x on port 8080"
    assert seen["workloads"][0]["pods"] == 1 and cluster.filters == {} and seen["gaps"] == []


def test_the_log_is_removed_after_an_error_and_check_mode_writes_nothing(cluster, monkeypatch):
    monkeypatch.setattr(cluster, "logs", mock.Mock(side_effect=MeshopsError("no")))
    with pytest.raises(MeshopsError):
        observe(cluster, options(0.01), check_mode=False)
    assert cluster.filters == {}
    monkeypatch.setattr(observed_traffic, "_PATIENCE", 0.01)
    monkeypatch.setattr(cluster, "execute", mock.Mock(side_effect=MeshopsError("no such container")))
    with pytest.raises(MeshopsError, match="Pod demo/web-5d4-x: no such container after 0 s"):
        observe(cluster, options(60), check_mode=False)
    assert cluster.filters == {}
    monkeypatch.setattr(cluster, "apply", None)
    assert observe(cluster, options(60), check_mode=True)["flows"] == []
    nothing = observe(cluster, options(0), check_mode=False)
    assert nothing["workloads"][0]["pods"] == 1 and [gap["reason"] for gap in nothing["gaps"]] == ["not_observed"]


@pytest.mark.parametrize(
    ("age", "lifetime", "left"),
    [(60, "300", True), (400, "300", False), (60, "", False), (60, "9" * 9, False)],
    ids=["under way", "of a killed run", "no lifetime", "a lifetime that is none"],
)
def test_another_runs_filter_is_left_alone_until_it_is_stale(cluster, age, lifetime, left):
    minute, second = divmod(3600 - age, 60)
    meta = {"name": f"{NAME}-other", "uid": "other", "annotations": {SECONDS: lifetime}}
    meta["creationTimestamp"] = f"2025-12-31T23:{minute:02}:{second:02}Z"
    cluster.filters[meta["name"]] = {"metadata": meta}
    observe(cluster, options(), check_mode=False)
    assert (meta["name"] in cluster.filters) is left


@pytest.mark.parametrize("generation", [None, 2], ids=["deleted", "changed"])
def test_an_observation_whose_filter_is_gone_is_no_evidence(cluster, monkeypatch, generation):
    real = cluster.logs

    def logs(*arguments, **more):
        text = real(*arguments, **more)
        made = cluster.filters.pop(cluster.mark)
        if generation:
            cluster.filters[cluster.mark] = {"metadata": {**made["metadata"], "generation": generation}}
        return text

    monkeypatch.setattr(cluster, "logs", logs)
    with pytest.raises(MeshopsError, match="during the observation, so traffic may be missing"):
        observe(cluster, options(), check_mode=False)


def test_a_pod_that_starts_and_does_not_log_fails_the_observation(cluster, monkeypatch):
    monkeypatch.setattr(observed_traffic, "_PATIENCE", 1)
    young = pod()
    young["metadata"] = {**young["metadata"], "name": "young", "uid": "2"}
    real = cluster.list
    monkeypatch.setattr(
        cluster,
        "list",
        lambda kind, *more, **labels: (
            real(kind, *more, **labels) + ([young] if cluster.reads and kind.kind == "Pod" else [])
        ),
    )
    real_execute = cluster.execute
    monkeypatch.setattr(
        cluster, "execute", lambda space, name, *more: "{}" if name == "young" else real_execute(space, name, *more)
    )
    with pytest.raises(MeshopsError, match="Pod demo/young: its proxy does not log"):
        observe(cluster, options(), check_mode=False)


@pytest.mark.parametrize("dump", ["", "[]", '{"configs": [{"draining_state": "m"}, {"warming_state": "m"}]}'])
def test_listeners_that_drain_or_warm_do_not_count(dump):
    assert not in_use(dump, "m")
    assert in_use('{"configs": [{"active_state": {"listener": "m"}, "draining_state": "x"}]}', "m")
