# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults in VirtualServices of a real API server: what is written, and that nothing of it stays."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster import errors
from ansible_collections.meshops.istio.plugins.module_utils.cluster.client import PatchOptions
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.faults import inject as fault_runs
from ansible_collections.meshops.istio.plugins.module_utils.faults.expiry_job import LABEL
from ansible_collections.meshops.istio.plugins.module_utils.faults.options import read_fault
from ansible_collections.meshops.istio.plugins.module_utils.faults.routes import mark_of, marked

VIRTUAL_SERVICE = KNOWN["networking.istio.io", "VirtualService"]
JOB, NETWORK_POLICY = KNOWN["batch", "Job"], KNOWN["networking.k8s.io", "NetworkPolicy"]
DELAY = [read_fault({"delay": "2s"})]
CLOSE = [read_fault({"abort": {"close": True, "percentage": 50}})]


@pytest.fixture(autouse=True)
def echo(cluster, namespace):
    meta = {"name": "echo", "namespace": namespace}
    cluster.create(
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": [{"name": "http", "port": 80}]}}
    )


def routes(namespace, name="echo", hosts=("echo",), **metadata):
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": {
            "hosts": list(hosts),
            "http": [
                {"name": "api", "match": [{"uri": {"prefix": "/api"}}], "route": [{"destination": {"host": "echo"}}]},
                {"route": [{"destination": {"host": "echo"}, "weight": 100}], "timeout": "5s"},
            ],
        },
    }


def get(cluster, namespace, name="echo"):
    return cluster.get(VIRTUAL_SERVICE, name, namespace)


def all_but_the_version(obj):
    """Everything but what counts writes."""
    meta = {k: v for k, v in obj["metadata"].items() if k not in ("resourceVersion", "generation")}
    return {**obj, "metadata": meta}


def put_in(cluster, namespace, faults=DELAY, check=False, **more):
    return fault_runs.put_in(cluster, fault_runs.Wish("echo", namespace, faults, **more), check)


def take_out(cluster, namespace, check=False):
    return fault_runs.take_all_out(cluster, fault_runs.faulted(cluster, namespace), check)


@pytest.mark.parametrize("annotations", [None, {"a": "b"}], ids=["without annotations", "with annotations"])
@pytest.mark.parametrize("how", ["apply", "create"])
def test_nothing_stays_of_a_fault_not_even_in_the_field_owners(cluster, namespace, how, annotations):
    obj = routes(namespace, labels={"x": "y"}, **({"annotations": annotations} if annotations else {}))
    getattr(cluster, how)(obj)
    before = get(cluster, namespace)
    outcome = put_in(cluster, namespace)
    during = get(cluster, namespace)
    assert outcome.changed and len(marked(during["spec"])) == 2
    assert [r for r in during["spec"]["http"] if not mark_of(r)] == before["spec"]["http"]
    assert take_out(cluster, namespace)[0].changed
    assert all_but_the_version(get(cluster, namespace)) == all_but_the_version(before)


@pytest.mark.parametrize("tcp", [None, [{"route": [{"destination": {"host": "echo"}}]}]], ids=["no routes", "routes"])
def test_nothing_stays_of_closed_connections_beside_other_faults(cluster, namespace, tcp):
    obj = routes(namespace)
    if tcp:
        obj["spec"]["tcp"] = tcp
    cluster.apply(obj)
    before = get(cluster, namespace)
    put_in(cluster, namespace, [*DELAY, *CLOSE])
    during = get(cluster, namespace)["spec"]
    assert [len(marked({section: during[section]})) for section in ("http", "tcp")] == [2, 1]
    put_in(cluster, namespace)
    assert get(cluster, namespace)["spec"].get("tcp") == tcp, "only the delay is left"
    put_in(cluster, namespace, CLOSE)
    assert get(cluster, namespace)["spec"]["http"] == before["spec"]["http"]
    take_out(cluster, namespace)
    assert all_but_the_version(get(cluster, namespace)) == all_but_the_version(before)


def test_a_host_without_routes_has_none_after_its_connections_were_closed(cluster, namespace):
    put_in(cluster, namespace, CLOSE)
    (made,) = cluster.list(VIRTUAL_SERVICE, namespace)
    assert "http" not in made["spec"] and len(marked(made["spec"])) == 1
    assert take_out(cluster, namespace)[0].after is None
    assert cluster.list(VIRTUAL_SERVICE, namespace) == []


def test_who_applied_the_routes_can_apply_others_afterwards(cluster, namespace):
    cluster.apply(routes(namespace))
    put_in(cluster, namespace)
    take_out(cluster, namespace)
    other = routes(namespace)
    other["spec"]["http"] = other["spec"]["http"][1:]
    assert cluster.apply(other)["spec"] == other["spec"]


def test_what_others_change_meanwhile_stays(cluster, namespace):
    cluster.apply(routes(namespace))
    put_in(cluster, namespace)
    theirs = {"name": "theirs", "match": [{"uri": {"exact": "/theirs"}}], "route": [{"destination": {"host": "echo"}}]}
    patch = [
        {"op": "add", "path": "/spec/http/0", "value": theirs},
        {"op": "add", "path": "/metadata/labels", "value": {"l": "1"}},
    ]
    cluster.patch(VIRTUAL_SERVICE, "echo", patch, namespace, PatchOptions(how="json", manager="colleague"))
    take_out(cluster, namespace)
    after = get(cluster, namespace)
    assert after["spec"]["http"] == [theirs, *routes(namespace)["spec"]["http"]]
    assert after["metadata"]["labels"] == {"l": "1"} and "annotations" not in after["metadata"]
    managers = [entry["manager"] for entry in after["metadata"]["managedFields"]]
    assert "colleague" in managers and fault_runs.MANAGER not in managers


def test_a_run_killed_between_routes_and_metadata_is_finished_by_the_next(cluster, namespace, monkeypatch):
    cluster.apply(routes(namespace))
    before = get(cluster, namespace)
    put_in(cluster, namespace)
    monkeypatch.setattr(fault_runs, "leave_patch", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        take_out(cluster, namespace)
    monkeypatch.undo()
    assert get(cluster, namespace)["spec"] == before["spec"], "the faults themselves go first"
    assert take_out(cluster, namespace)[0].changed
    assert all_but_the_version(get(cluster, namespace)) == all_but_the_version(before)


def test_another_fault_replaces_the_former_and_the_original_is_still_known(cluster, namespace):
    cluster.apply(routes(namespace))
    before = get(cluster, namespace)
    first = put_in(cluster, namespace)
    again = put_in(cluster, namespace)
    other = put_in(cluster, namespace, [read_fault({"abort": 418})])
    assert (first.changed, again.changed, other.changed) == (True, False, True)
    assert [r["fault"] for r in get(cluster, namespace)["spec"]["http"] if mark_of(r)] == [
        {"abort": {"httpStatus": 418, "percentage": {"value": 100}}}
    ] * 2
    take_out(cluster, namespace)
    assert all_but_the_version(get(cluster, namespace)) == all_but_the_version(before)


def test_a_write_of_somebody_else_in_between_is_met_with_a_second_look(cluster, namespace, monkeypatch):
    cluster.apply(routes(namespace))
    real, raced = fault_runs._patch, []

    def raced_patch(on, path, live, patch, check=False):
        if not raced:
            raced.append(1)
            cluster.patch(
                VIRTUAL_SERVICE, "echo", {"spec": {"exportTo": ["."]}}, namespace, PatchOptions(manager="colleague")
            )
        return real(on, path, live, patch, check)

    monkeypatch.setattr(fault_runs, "_patch", raced_patch)
    put_in(cluster, namespace)
    after = get(cluster, namespace)["spec"]
    assert marked(after) and after["exportTo"] == ["."]


def test_a_host_without_routes_gets_some_for_as_long_as_the_faults_are_there(cluster, namespace):
    outcome = put_in(cluster, namespace)
    made = get(cluster, namespace, "fault-injection-echo")
    assert outcome.before is None and made["spec"]["hosts"] == [f"echo.{namespace}.svc.cluster.local"]
    assert put_in(cluster, namespace).changed is False
    take_out(cluster, namespace)
    assert cluster.list(VIRTUAL_SERVICE, namespace) == []
    assert take_out(cluster, namespace) == []


def test_check_mode_says_the_same_and_writes_nothing(cluster, namespace):
    cluster.apply(routes(namespace))
    before = get(cluster, namespace)
    predicted = put_in(cluster, namespace, check=True)
    assert get(cluster, namespace) == before
    real = put_in(cluster, namespace)
    assert (predicted.changed, predicted.diff) == (real.changed, real.diff)
    during = get(cluster, namespace)
    assert take_out(cluster, namespace, check=True)[0].diff == take_out(cluster, namespace)[0].diff
    assert marked(during["spec"]) and not marked(get(cluster, namespace)["spec"])


def test_check_mode_asks_the_server_which_refuses_what_it_would_refuse_later(cluster, namespace):
    fault = [{"match": [], "fault": {"delay": {"fixedDelay": "not a duration"}}}]
    with pytest.raises(errors.ApiError):
        put_in(cluster, namespace, fault, check=True)


def test_a_host_that_nothing_defines_is_refused_with_the_names_that_are_alike(cluster, namespace):
    with pytest.raises(MeshopsError, match=rf"defines the host ecko .*there is .*echo\.{namespace}"):
        fault_runs.put_in(cluster, fault_runs.Wish("ecko", namespace, DELAY), False)
    assert cluster.list(VIRTUAL_SERVICE, namespace) == []


def test_two_sets_of_routes_for_a_host_need_a_word_of_the_user(cluster, namespace):
    cluster.apply(routes(namespace))
    cluster.apply(routes(namespace, "second", [f"echo.{namespace}.svc.cluster.local"]))
    with pytest.raises(MeshopsError, match=f"{namespace}/echo, {namespace}/second"):
        put_in(cluster, namespace)
    put_in(cluster, namespace, virtual_service="second")
    assert not marked(get(cluster, namespace)["spec"]) and marked(get(cluster, namespace, "second")["spec"])
    with pytest.raises(MeshopsError, match="no VirtualService third"):
        put_in(cluster, namespace, virtual_service="third")


def test_the_faults_of_a_host_are_found_in_a_gateways_routes_too(cluster, namespace):
    gateway = routes(namespace, "door", ["shop.example.com"])
    gateway["spec"]["gateways"] = ["door"]
    cluster.apply(gateway)
    put_in(cluster, namespace, virtual_service="door")
    found = fault_runs.faulted_for(cluster, "echo", namespace, None, "cluster.local")
    assert [one["metadata"]["name"] for one in found] == ["door"]
    assert fault_runs.faulted_for(cluster, "other", namespace, None, "cluster.local") == []


def test_a_host_outside_is_found_by_its_service_entry(cluster, namespace):
    spec = {"hosts": [f"{namespace}.example.com"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}]}
    meta = {"name": "outside", "namespace": namespace}
    cluster.apply({"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": meta, "spec": spec})
    host = f"{namespace}.example.com"
    outcome = fault_runs.put_in(cluster, fault_runs.Wish(host, "default", DELAY), False)
    assert (outcome.namespace, outcome.name) == (namespace, f"fault-injection-{host}")
    found = fault_runs.faulted_for(cluster, host, "default", None, "cluster.local")
    assert [o.after for o in fault_runs.take_all_out(cluster, found, False)] == [None]


@pytest.fixture
def guards_run(monkeypatch):
    """No node runs here, so this says what has become of a guard's pod."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "guard"}, "status": {"phase": "Running"}}
    monkeypatch.setattr(fault_runs, "_guard_pod", lambda *_arguments: pod)
    monkeypatch.setattr(fault_runs, "wait_ready", lambda *_arguments: [pod])
    return pod["status"]


def guards(cluster, namespace):
    return [o["metadata"]["name"] for kind in (JOB, NETWORK_POLICY) for o in cluster.list(kind, namespace, LABEL)]


def test_the_guard_may_leave_the_namespace_and_its_time_is_the_clusters(cluster, namespace, guards_run, monkeypatch):
    monkeypatch.setattr(fault_runs.time, "time", lambda: 0.0)
    cluster.apply(routes(namespace))
    other = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "other", "namespace": namespace}}
    before = fault_runs._server_time(cluster, {**other, "spec": SPEC})
    put_in(cluster, namespace, duration=600.0, image="proxy")
    after = fault_runs._server_time(cluster, {**other, "spec": SPEC})
    (job,) = cluster.list(JOB, namespace, LABEL)
    environment = {one["name"]: one.get("value") for one in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert before + 600 <= int(environment["DEADLINE"]) <= after + 600
    assert len(guards(cluster, namespace)) == 2


SPEC = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]}}}


@pytest.mark.parametrize(("phase", "duration"), [("Succeeded", 600.0), ("Running", 4.0)], ids=["over", "nearly over"])
def test_no_fault_goes_in_when_its_guard_is_over(cluster, namespace, guards_run, phase, duration):
    guards_run["phase"] = phase
    cluster.apply(routes(namespace))
    before = get(cluster, namespace)
    with pytest.raises(MeshopsError, match="duration: .* too short: .* no fault was put in; give more"):
        put_in(cluster, namespace, duration=duration, image="proxy")
    assert get(cluster, namespace) == before and cluster.list(JOB, namespace, LABEL) == []


def test_faults_that_went_in_too_late_are_taken_out(cluster, namespace, guards_run, monkeypatch):
    cluster.apply(routes(namespace))
    before = get(cluster, namespace)
    real = fault_runs._start_guard
    monkeypatch.setattr(fault_runs, "_start_guard", lambda *arguments: (real(*arguments)[0], 0.0))
    with pytest.raises(MeshopsError, match="so late that they are out again"):
        put_in(cluster, namespace, duration=600.0, image="proxy")
    assert all_but_the_version(get(cluster, namespace)) == all_but_the_version(before)
    assert cluster.list(JOB, namespace, LABEL) == []


def test_the_same_faults_without_a_limit_stay_for_good(cluster, namespace, guards_run):
    cluster.apply(routes(namespace))
    put_in(cluster, namespace, duration=600.0, image="proxy")
    assert put_in(cluster, namespace, check=True).changed and cluster.list(JOB, namespace, LABEL)
    assert put_in(cluster, namespace).changed
    assert cluster.list(JOB, namespace, LABEL) == [] and marked(get(cluster, namespace)["spec"])
    assert not put_in(cluster, namespace).changed
