# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.faults.measure import (
    ExpectedRoutes,
    client_pod,
    curl_command,
    measure,
    mode_of,
    probe_command,
    read_curl,
    read_probe,
    wait_for_routes,
)
from fakes.api_server import ApiServer
from fakes.objects import pod


def test_command_of_probe_for_each_kind_of_url():
    request = {"requests": 3, "parallel": 2, "headers": {"x": "y"}}
    http = probe_command({**request, "url": "http://echo/"}, 5)
    assert http[:4] == ["probe", "get", "-n", "3"] and http[-1] == "http://echo/" and "-c" in http
    grpc = probe_command({**request, "url": "grpc://echo:8081"}, 5)
    assert grpc[1] == "grpc" and grpc[-3:] == ["-header", "x: y", "http://echo:8081"] and "-c" not in grpc
    tcp = probe_command({**request, "url": "tcp://echo:9000"}, 5)
    assert tcp[1] == "tcp" and tcp[-1] == "echo:9000" and "-header" not in tcp
    for wrong in ("echo", "ftp://echo/", "http://"):
        with pytest.raises(MeshopsError, match="must start with one of http://, https://, grpc://, tcp://"):
            mode_of(wrong)


def test_curl_output_gives_the_same_fields_as_probe_output():
    result = read_curl("200 0.002000 0\n503 2.001000 0\n000 10.000100 28\n")
    assert (result["requests"], result["statuses"]) == (3, {"200": 1, "503": 1})
    assert result["errors"] == {"curl exit code 28": 1}
    assert result["latencies_ms"] == [2.0, 2001.0, 10000.1] and result["latency_ms"]["p50"] == 2001.0


def test_curl_numbers_its_requests_in_the_fragment_of_the_url():
    request = {"url": "http://echo/[x]", "requests": 3, "headers": {"a": "b c"}}
    command = curl_command(request, 5)
    assert command[-1] == r"http://echo/\[x\]#[1-3]"
    assert command[command.index("--header") + 1] == "a: b c"


SUMMARY = {
    "requests": 2,
    "statuses": {"200": 2},
    "versions": {"v1": 2},
    "errors": {},
    "latency_ms": {"p50": 10**9},
    "latencies_ms": [3.0, 1.0],
}


def test_probe_output_is_reduced_to_counts_and_times():
    measured = read_probe(json.dumps({**SUMMARY, "first": {"body": "{{ 1/0 }}"}, "more": 1}))
    assert measured["latencies_ms"] == [1.0, 3.0] and measured["latency_ms"]["p50"] == 1.0
    assert set(measured) == {"requests", "statuses", "errors", "versions", "latency_ms", "latencies_ms"}


@pytest.mark.parametrize(
    "fields",
    [
        {"requests": "2"},
        {"requests": -1},
        {"requests": True},
        {"requests": 1},
        {"statuses": {"{{ 1/0 }}": 1}},
        {"statuses": {"200": "{{ 1/0 }}"}},
        {"statuses": ["200"]},
        {"errors": {"refused": []}},
        {"versions": "v1"},
        {"latencies_ms": ["fast"]},
        {"latencies_ms": [float("nan")]},
        {"latencies_ms": [-1.0]},
        {"latencies_ms": [[1.0]]},
    ],
)
def test_probe_output_with_other_types_is_refused(fields):
    client = pod(containers=("app", "istio-proxy"))
    server = ApiServer([client])
    server.outputs["web-1"] = json.dumps({**SUMMARY, **fields})
    request = {"url": "http://echo/", "requests": 2, "parallel": 1, "headers": {}, "tool": "probe"}
    with pytest.raises(MeshopsError, match="Pod shop/web-1: unexpected output of probe"):
        measure(server, client, request, 1.0)


@pytest.mark.parametrize("output", ["", "[]", "null", "Traceback\x1b[2J {{ 1/0 }}"])
@pytest.mark.parametrize("tool", ["probe", "curl"])
def test_output_of_another_program_is_refused_in_printable_text(output, tool):
    client = pod(containers=("app", "istio-proxy"))
    server = ApiServer([client])
    server.outputs["web-1"] = output if tool == "probe" else output + " x"
    request = {"url": "http://echo/", "requests": 2, "parallel": 1, "headers": {}, "tool": tool}
    with pytest.raises(MeshopsError, match="unexpected output") as error:
        measure(server, client, request, 1.0)
    assert str(error.value).isprintable() and "{{" not in str(error.value)


def test_errors_and_versions_of_a_client_pod_are_printable_and_few():
    errors = {f"\x1b[2J{{{{ 1/0 }}}}{number}": 1 for number in range(1000)}
    measured = read_probe(json.dumps({**SUMMARY, "errors": errors, "versions": {"<v>\n" * 1000: 2}}))
    for key in (*measured["errors"], *measured["versions"]):
        assert key.isprintable() and "{{" not in key and len(key) <= 300
    assert len(measured["errors"]) <= 50


class Client(ApiServer):
    """A client pod that has only some programs."""

    def __init__(self, pod, outputs):
        super().__init__([pod])
        self.programs = outputs

    def execute(self, namespace, pod, command, container=None, timeout=30):
        program = command[0] if command[0] != "sh" else "curl"
        if program not in self.programs:
            raise MeshopsError(f'can\'t run {program}: exec: "{program}": executable file not found in $PATH')
        return self.programs[program]


def test_curl_measures_where_the_container_has_no_probe():
    client = pod(containers=("app", "istio-proxy"))
    request = {"url": "http://echo/", "requests": 1, "parallel": 1, "headers": {}, "tool": "auto"}
    server = Client(client, {"curl": "200 0.001 0\n"})
    assert measure(server, client, request, 1.0)["statuses"] == {"200": 1}
    with pytest.raises(MeshopsError, match="has no probe, and curl does not support tcp://echo:9000"):
        measure(server, client, {**request, "url": "tcp://echo:9000"}, 1.0)
    with pytest.raises(MeshopsError, match="executable file not found"):
        measure(server, client, {**request, "tool": "probe"}, 1.0)


def test_client_pod_runs_and_has_a_sidecar():
    plain, meshed = pod("plain"), pod("meshed", containers=("app", "istio-proxy"))
    labels = {"app": "client"}
    for one in (plain, meshed):
        one["metadata"]["labels"] = labels
    assert client_pod(ApiServer([plain, meshed]), "shop", "app=client")["metadata"]["name"] == "meshed"
    with pytest.raises(MeshopsError, match="Pod shop/plain: it has no sidecar"):
        client_pod(ApiServer([plain]), "shop", "app=client")
    with pytest.raises(MeshopsError, match="no running pod has the labels app=client"):
        client_pod(ApiServer([]), "shop", "app=client")


def test_wait_for_routes_reports_what_the_proxy_lacks_or_still_has():
    client = pod(containers=("app", "istio-proxy"))
    server = ApiServer([client])
    name = "meshops-fault-injection-1-abc"
    server.outputs["web-1"] = f"name: {name}"
    wait_for_routes(server, client, ExpectedRoutes(frozenset({name}), frozenset()), 0)
    with pytest.raises(MeshopsError, match="still has .*1-abc"):
        wait_for_routes(server, client, ExpectedRoutes(frozenset(), frozenset({name})), 0)
    with pytest.raises(MeshopsError, match="lacks .*2-def"):
        wait_for_routes(server, client, ExpectedRoutes(frozenset({"meshops-fault-injection-2-def"}), frozenset()), 0)
