# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults in a mesh with traffic, as a client in the mesh sees them, and the traces that they leave."""

from __future__ import annotations

import copy
import json
import os
import re
import signal
import subprocess

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.faults.inject import remove_all_faults
from ansible_collections.meshops.istio.plugins.module_utils.faults.target import with_faults
from following import eventually

VIRTUAL_SERVICE = KNOWN["networking.istio.io", "VirtualService"]
JOB, ROLE, ACCOUNT = KNOWN["batch", "Job"], KNOWN["rbac.authorization.k8s.io", "Role"], KNOWN["", "ServiceAccount"]
#: The share of a delay after which an answer may come: Envoy's timers fire early where the machine is busy.
EARLIEST = 0.95
EXPIRY = "meshops.istio/fault-injection-expiry"
#: What a busy machine may add to the median of the delayed requests.
TOLERANT = ("-e", "fault_injection_tolerance_ms=1000")


@pytest.fixture(autouse=True)
def no_faults_are_left(mesh):
    """Whatever a test does, the next one begins without faults."""
    yield
    remove_all_faults(mesh.cluster, with_faults(mesh.cluster, None), check_mode=False)


@pytest.fixture
def bare(mesh):
    """A host that has no VirtualService."""
    spec = {"selector": {"app": "echo"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
    mesh.cluster.create(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "bare", "namespace": "demo"}, "spec": spec}
    )
    yield "bare"
    mesh.cluster.delete(KNOWN["", "Service"], "bare", "demo")


def fault(mesh, fails=False, **options):
    """Runs the module and gives what it returned."""
    command = ["ansible", "demo", "-i", "playbooks/inventory/demo", "-m", "meshops.istio.fault_injection"]
    command += ["-a", json.dumps({"kubeconfig": mesh.kubeconfig, **options})]
    done = subprocess.run(command, env=mesh.env, capture_output=True, text=True, timeout=300)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return json.loads("{" + done.stdout.partition("=> {")[2])


def get(mesh, url="http://echo/", headers=(), requests=10):
    """What the probe saw, asked without any of the collection's own measuring."""
    options = [word for header in headers for word in ("-header", header)]
    said = mesh.execute(
        "demo", "app=client", "probe", "get", "-n", str(requests), "-c", "5", *options, url, container="client"
    )
    return json.loads(said)


def routes(mesh, name="echo"):
    found = mesh.cluster.get(VIRTUAL_SERVICE, name, "demo")
    meta = {k: v for k, v in found["metadata"].items() if k not in ("resourceVersion", "generation")}
    return {**found, "metadata": meta}


def expiry_objects(mesh):
    return [o["metadata"]["name"] for kind in (JOB, ROLE, ACCOUNT) for o in mesh.cluster.list(kind, "demo", EXPIRY)]


def test_the_playbook_measures_a_delay_and_an_abort_and_leaves_no_trace(mesh, tmp_path):
    before = routes(mesh)
    report = tmp_path / "report.html"
    run = mesh.play("meshops.istio.fault_test", *TOLERANT, "-e", f"fault_injection_report={report}")
    assert "20 of 20 delayed: " in run.text and "20 of 20: 20 × 418" in run.text, run.text
    assert "NOT AS EXPECTED" not in run.text
    assert "everything as expected" in report.read_text()
    assert routes(mesh) == before, "labels, annotations, field owners and routes are what they were"
    eventually(lambda: expiry_objects(mesh), [])
    assert get(mesh)["statuses"] == {"200": 10}


def test_delay_of_two_seconds_affects_only_matching_requests(mesh):
    faults = [
        {"abort": 418, "match": [{"headers": {"x-user": {"exact": "tester"}}}]},
        {"delay": "2s", "match": [{"uri": {"prefix": "/slow"}}]},
        {"abort": 503, "match": [{"sourceLabels": {"app": "somebody-else"}}]},
    ]
    # The last measurement waits for nothing in this client's proxy, but the ones before have.
    measure = [{"url": "http://echo/", "fault": 0}]
    before = routes(mesh)
    result = fault(mesh, hostname="echo", namespace="demo", faults=faults, measure=measure)
    assert result["measured"][0]["statuses"] == {"200": 20}
    assert get(mesh, headers=["x-user: tester"])["statuses"] == {"418": 10}
    assert get(mesh, headers=["x-user: other"])["statuses"] == {"200": 10}
    slow = get(mesh, "http://echo/slow")
    assert slow["statuses"] == {"200": 10} and slow["latency_ms"]["min"] >= EARLIEST * 2000
    eventually(lambda: 2000 <= get(mesh, "http://echo/slow")["latency_ms"]["p50"] <= 2300, True)
    assert get(mesh)["latency_ms"]["p50"] < EARLIEST * 2000
    again = fault(mesh, hostname="echo", namespace="demo", faults=faults)
    assert again["changed"] is False
    fault(
        mesh,
        hostname="echo.demo",
        namespace="default",
        state="absent",
        measure=[{"url": "http://echo/", "namespace": "demo"}],
    )
    assert get(mesh, headers=["x-user: tester"])["statuses"] == {"200": 10}
    assert routes(mesh) == before


def test_several_faults_at_once_by_port_by_caller_by_grpc_status_and_on_connections(mesh, tmp_path):
    """The example, with what -e gives as text, and a report where it was started."""
    before = routes(mesh)
    started = copy.copy(mesh)
    started.env = {**mesh.env, "PWD": str(tmp_path)}
    given = ("fault_injection_limits=p99_ms=10000", "fault_injection_requests=25")
    run = started.play("playbooks/examples/faults.yml", *TOLERANT, *(word for one in given for word in ("-e", one)))
    for said in ("25 of 25: 25 × HTTP 200, grpc-status", "25 of 25 delayed: ", "100 % closed", "p99 at most 10.00 s"):
        assert said in run.text, run.text
    assert "NOT AS EXPECTED" not in run.text and "as before: 200" in run.text
    bars = latencies(tmp_path / "faults-demo.html")
    assert [sum(counts[phase] for counts in bars.values()) for phase in range(3)] == [100, 100, 100]
    late = [counts for step, counts in bars.items() if step == "to 512.0 ms" or step.endswith(" s")]
    during = [sum(counts[phase] for counts in late) for phase in range(3)]
    assert during[1] >= 25 > max(during[0], during[2]), "the tester's requests, and only during the faults"
    assert routes(mesh) == before
    eventually(lambda: expiry_objects(mesh), [])


def latencies(page):
    """The report's distribution: step -> how many requests before, during and after took so long."""
    rows = re.findall(r"<tr><td>(to [^<]+)</td>(.*)</tr>", page.read_text())
    return {label: [int(count) for count in re.findall(r"</span> (\d+)</td>", cells)] for label, cells in rows}


def connect(mesh, times=20):
    words = ("probe", "tcp", "-n", str(times), "-timeout", "5s", "echo:9000")
    return json.loads(mesh.execute("demo", "app=client", *words, container="client"))


def test_half_of_the_connections_are_closed_until_the_expiry_job_removes_the_fault(mesh):
    before = routes(mesh)
    measured = fault(
        mesh, hostname="echo", namespace="demo", abort={"close": True, "percentage": 50}, match=[{"port": 9000}],
        duration="60s", measure=[{"url": "tcp://echo:9000", "requests": 200}],
    )["measured"]  # fmt: skip
    assert 72 <= sum(measured[0]["errors"].values()) <= 128  # four standard deviations
    eventually(lambda: routes(mesh) == before, True, 120)
    eventually(lambda: connect(mesh)["statuses"], {"200": 20})


def test_fault_at_the_ingress_gateway_affects_only_its_requests(mesh):
    before = routes(mesh, "ingress")
    fault(mesh, hostname="echo", namespace="demo", virtual_service="ingress", abort=418)
    eventually(lambda: mesh.ingress()[0], 418)
    assert get(mesh)["statuses"] == {"200": 10}
    fault(mesh, hostname="echo", namespace="demo", virtual_service="ingress", state="absent")
    eventually(lambda: mesh.ingress()[0], 200)
    assert routes(mesh, "ingress") == before


def test_fault_of_fifty_percent_affects_half_of_the_requests(mesh):
    result = fault(
        mesh, hostname="echo", namespace="demo", abort={"httpStatus": 418, "percentage": {"value": 50}},
        measure=[{"url": "http://echo/", "requests": 400}],
    )  # fmt: skip
    assert 160 <= result["measured"][0]["statuses"]["418"] <= 240  # four standard deviations


def test_host_without_virtual_service_has_one_only_during_the_fault(mesh, bare):
    fault(mesh, hostname=bare, namespace="demo", abort=418, measure=[{"url": "http://bare/"}])
    assert get(mesh, "http://bare/")["statuses"] == {"418": 10}
    fault(mesh, hostname=bare, namespace="demo", state="absent", measure=[{"url": "http://bare/"}])
    assert get(mesh, "http://bare/")["statuses"] == {"200": 10}
    assert mesh.cluster.get(VIRTUAL_SERVICE, "fault-injection-bare", "demo") is None


@pytest.fixture
def curl_client(mesh):
    """A client in the mesh that has no probe, but a shell and curl: Istio's proxy image, run as another user."""
    pod = {
        "containers": [
            {
                "name": "client",
                "image": f"{mesh.env['LAB_HUB']}/proxyv2:{mesh.env['LAB_TAG']}",
                "imagePullPolicy": "IfNotPresent",
                "command": ["sleep", "3600"],
                "securityContext": {"runAsUser": 1000},
            }
        ],
        "terminationGracePeriodSeconds": 1,
    }
    meta = {"name": "curl-client", "namespace": "demo", "labels": {"app": "curl-client"}}
    mesh.cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": pod})
    wait = ["kubectl", "-n", "demo", "wait", "pod/curl-client", "--for=condition=Ready", "--timeout=180s"]
    subprocess.run(wait, env=mesh.env, check=True, capture_output=True)
    yield "app=curl-client"
    mesh.cluster.delete(KNOWN["", "Pod"], "curl-client", "demo")


def test_client_with_curl_measures_the_same(mesh, curl_client):
    measure = [{"url": "http://echo/", "selector": curl_client, "requests": 10}]
    result = fault(mesh, hostname="echo", namespace="demo", delay="500ms", abort=418, measure=measure)
    measured = result["measured"][0]
    assert measured["statuses"] == {"418": 10} and measured["latency_ms"]["min"] >= EARLIEST * 500
    result = fault(mesh, hostname="echo", namespace="demo", state="absent", measure=measure)
    assert result["measured"][0]["statuses"] == {"200": 10} and result["measured"][0]["errors"] == {}


def test_expiry_job_removes_the_faults_of_a_killed_run(mesh, bare):
    before = routes(mesh)
    fault(mesh, hostname=bare, namespace="demo", abort=418, duration="60s", measure=[{"url": "http://bare/"}])
    command = ["ansible-playbook", "playbooks/fault_test.yml", "-i", "playbooks/inventory/demo"]
    command += ["-e", "fault_injection_duration=60s", "-e", "fault_injection_requests=2000"]
    run = subprocess.Popen(
        command, env=mesh.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    eventually(lambda: "fault" in routes(mesh)["spec"]["http"][0], True, 180)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    eventually(lambda: get(mesh, requests=5)["latency_ms"]["min"] >= EARLIEST * 2000, True, 30)
    eventually(lambda: routes(mesh) == before, True, 150)
    eventually(lambda: mesh.cluster.get(VIRTUAL_SERVICE, "fault-injection-bare", "demo"), None, 150)
    eventually(lambda: get(mesh)["latency_ms"]["p50"] < EARLIEST * 2000, True)
    eventually(lambda: get(mesh, "http://bare/")["statuses"], {"200": 10})
    eventually(lambda: expiry_objects(mesh), [], 180)


def test_failed_gate_leaves_no_fault(mesh):
    before = routes(mesh)
    run = mesh.play(
        "fault_test", "-e", '{"fault_injection_delay": "", "fault_injection_abort": 503,'
        ' "fault_injection_limits": {"success_percent": 99}}', fails=True,
    )  # fmt: skip
    assert "at least 99 % answered below 500" in run.text and "NOT AS EXPECTED" in run.text
    assert routes(mesh) == before


def test_faults_of_another_run_are_refused_and_retained(mesh):
    fault(mesh, hostname="echo", namespace="demo", abort=418)
    during = routes(mesh)
    run = mesh.play("fault_test", fails=True)
    assert "VirtualService demo/echo: faults of another run are injected" in run.text
    assert routes(mesh) == during
    fault(mesh, hostname="echo", namespace="demo", state="absent")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hostname": "ecko"}, "Host ecko: no Service and no ServiceEntry defines it"),
        ({"hostname": "echo", "duration": "5m", "image": "localhost/nothing/here:0"}, "localhost/nothing/here:0"),
        ({"hostname": "echo", "measure": [{"url": "http://echo/", "selector": "app=nobody"}]}, "no running pod"),
        ({"hostname": "echo", "match": [{"uri": "/x"}]}, "must be one of exact, prefix and regex"),
        ({"hostname": "echo", "duration": "4s"}, "duration: 4 s is too short"),
    ],
    ids=["unknown host", "image that can't be pulled", "no client", "wrong match", "over before it begins"],
)
def test_impossible_faults_are_refused_and_nothing_is_changed(mesh, options, message):
    before = routes(mesh)
    result = fault(mesh, fails=True, namespace="demo", abort=503, **options)
    assert message in result["msg"]
    assert routes(mesh) == before
    eventually(lambda: expiry_objects(mesh), [])
