# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import types

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.faults import module as fault_module
from ansible_collections.meshops.istio.plugins.module_utils.faults.inject import Outcome
from ansible_collections.meshops.istio.plugins.module_utils.faults.module import (
    check_requests,
    declared_faults,
    expected_routes,
    run,
)
from ansible_collections.meshops.istio.plugins.module_utils.faults.routes import marks
from fakes.api_server import ApiServer
from fakes.objects import obj, pod

HTTP = [{"route": [{"destination": {"host": "echo"}}]}]
REQUEST = {
    "url": "http://echo/", "namespace": None, "selector": "app=client", "container": None, "tool": "auto",
    "requests": 2, "parallel": 1, "headers": None, "fault": 1,
}  # fmt: skip
MEASURED = {"requests": 2, "statuses": {"200": 2}}


@pytest.fixture
def server(monkeypatch):
    client = pod("client", containers=("app", "istio-proxy"))
    client["metadata"]["labels"] = {"app": "client"}
    monkeypatch.setattr(fault_module, "wait_for_routes", lambda *_arguments: None)
    monkeypatch.setattr(fault_module, "measure", lambda *_arguments: MEASURED)
    return ApiServer([obj("Service", "echo"), obj("VirtualService", "echo", hosts=["echo"], http=HTTP), client])


def call(server, check_mode=False, **params):
    usual = dict.fromkeys(
        ("delay", "abort", "match", "faults", "virtual_service", "duration", "image", "measure"), None
    )
    usual |= {"hostname": "echo", "namespace": "shop", "domain": "cluster.local", "wait_timeout": 1}
    return run(types.SimpleNamespace(params={**usual, **params}, check_mode=check_mode), server)


def spec(server):
    return server.find("VirtualService", "echo", "shop")["spec"]


def test_present_injects_and_measures_and_absent_removes(server):
    result = call(server, state="present", abort=503, measure=[REQUEST])
    assert result["changed"] and result["virtual_services"][0]["routes"] == marks(spec(server))
    assert result["measured"] == [{"url": "http://echo/", "fault": 1, **MEASURED}]
    assert [fault["fault"]["abort"]["httpStatus"] for fault in result["faults"]] == [503]
    result = call(server, state="absent", hostname=None, namespace=None)
    assert result["changed"] and "faults" not in result and not marks(spec(server))


def test_measured_changes_nothing_and_refuses_faults_of_another_run(server):
    assert call(server, state="measured", measure=[REQUEST])["measured"][0]["statuses"] == {"200": 2}
    assert server.writes == []
    call(server, state="present", abort=503)
    injected, writes = spec(server), len(server.writes)
    for check_mode in (False, True):
        with pytest.raises(MeshopsError, match="VirtualService shop/echo: faults of another run are injected"):
            call(server, check_mode, state="measured", measure=[REQUEST])
    assert spec(server) == injected and len(server.writes) == writes


def test_check_mode_writes_and_measures_nothing(server):
    result = call(server, True, state="present", abort=503, measure=[REQUEST])
    assert result["changed"] and "measured" not in result and server.writes == []


def test_nothing_is_injected_without_a_client_to_measure_from(server):
    with pytest.raises(MeshopsError, match="app=nobody"):
        call(server, state="present", abort=503, measure=[{**REQUEST, "selector": "app=nobody"}])
    assert server.writes == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"fault": 3}, "fault must be between 0 .* and 2, got 3"),
        ({"requests": 0}, "must be at least 1"),
        ({"url": "echo"}, "invalid URL 'echo'"),
    ],
)
def test_wrong_requests_are_refused(fields, message):
    with pytest.raises(MeshopsError, match=message):
        check_requests([{**REQUEST, **fields}], 2)
    check_requests([{**REQUEST, "fault": 3}], None)


def test_declared_faults_are_those_of_the_list_or_the_single_one():
    listed = declared_faults({"faults": [{"delay": "1s", "abort": None, "match": None}]})
    assert listed == declared_faults({"faults": None, "delay": "1s", "abort": None, "match": None})
    with pytest.raises(MeshopsError, match=r"faults\[0\]: give delay, abort, or both"):
        declared_faults({"faults": [{"delay": None}]})


def test_expected_routes_are_those_that_reach_the_pod():
    def outcome(before, after):
        live = {"spec": before}
        return Outcome("shop", "echo", changed=True, before=live, after=after)

    def route(name, **match):
        return {"name": f"meshops-fault-injection-{name}", "match": [match]}

    client = pod("client")
    client["metadata"]["labels"] = {"app": "client"}
    kept, other = route("kept"), route("other", sourceLabels={"app": "other"})
    expected = expected_routes([outcome({"http": [route("old"), kept]}, {"http": [kept, other]})], client)
    assert expected.present == {"meshops-fault-injection-kept"}
    assert expected.absent == {"meshops-fault-injection-old"}
    assert not expected.connections
    assert expected_routes([outcome({}, {"tcp": [route("tcp")]})], client).connections
