# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the cluster and its proxies say, not what Ansible said."""

from __future__ import annotations

import json
import os
import pathlib

import pytest
import testinfra


@pytest.fixture(scope="module")
def lab() -> dict:
    home = pathlib.Path(os.environ.get("MESHOPS_LAB_HOME") or "~/.cache/meshops-lab").expanduser()
    return json.loads((home / "clusters/molecule/env.json").read_text())


@pytest.fixture(scope="module")
def kubectl(lab):
    """kubectl's output as JSON (or text), asked from this machine."""
    local = testinfra.get_host("local://")

    def ask(words: str, *, text: bool = False):
        out = local.check_output(f"env KUBECONFIG={lab['KUBECONFIG']} {lab['PATH'].split(':')[0]}/kubectl {words}")
        return out if text else json.loads(out)

    return ask


@pytest.fixture(scope="module")
def pods(kubectl):
    """The pods of a namespace, the ones that are going excepted."""

    def found(namespace: str, *words: str) -> list[dict]:
        items = kubectl(" ".join(["-n", namespace, "get", "pods", *words, "-o", "json"]))["items"]
        return [each for each in items if "deletionTimestamp" not in each["metadata"]]

    return found


@pytest.fixture(scope="module")
def pod(kubectl, pods):
    """A testinfra host inside a container of the first pod that a label selects."""

    def inside(namespace: str, selector: str, container: str):
        name = pods(namespace, "-l", selector)[0]["metadata"]["name"]
        return lambda words: kubectl(f"-n {namespace} exec {name} -c {container} -- {words}", text=True)

    return inside


def test_every_pod_of_the_mesh_is_ready(pods):
    found = [*pods("istio-system"), *pods("demo")]
    assert len(found) >= 4
    for each in found:
        assert all(c["ready"] for c in each["status"]["containerStatuses"]), each["metadata"]["name"]


def test_the_probe_runs_with_sidecars(pods):
    for each in pods("demo"):
        spec = each["spec"]
        assert "istio-proxy" in [c["name"] for c in spec["containers"] + spec.get("initContainers", [])]


def test_the_client_reaches_echo_over_mutual_tls(pod):
    answer = pod("demo", "app=client", "client")("probe get http://echo/")
    assert "spiffe://cluster.local/ns/demo/sa/" in answer


def test_the_proxy_has_the_weights_and_subsets(pod):
    config = json.loads(pod("demo", "app=client", "istio-proxy")("pilot-agent request GET config_dump"))
    text = json.dumps(config)
    assert "outbound|80|v1|echo.demo.svc.cluster.local" in text
    weights = [
        {c["name"].split("|")[2]: c["weight"] for c in route["route"]["weighted_clusters"]["clusters"]}
        for dump in config["configs"]
        for listed in dump.get("dynamic_route_configs", [])
        for host in listed["route_config"].get("virtual_hosts", [])
        for route in host["routes"]
        if "echo.demo.svc.cluster.local" in host["domains"] and "weighted_clusters" in route.get("route", {})
    ]
    assert weights
    assert all(found == {"v1": 90, "v2": 10} for found in weights)


def test_the_ingress_gateway_answers_from_this_machine(lab):
    out = testinfra.get_host("local://").check_output(
        f"curl --silent --retry 20 --retry-all-errors --retry-delay 1 -o /dev/null -w '%{{http_code}}' http://{lab['LAB_INGRESS_HTTP']}/"
    )
    assert out == "200"
