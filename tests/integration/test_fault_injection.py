# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults in VirtualServices of a real API server: what is written, and that removing them leaves no trace."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster import errors
from ansible_collections.meshops.istio.plugins.module_utils.cluster.client import PatchOptions
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.faults import expiry, inject, target
from ansible_collections.meshops.istio.plugins.module_utils.faults.expiry_job import LABEL
from ansible_collections.meshops.istio.plugins.module_utils.faults.options import read_fault
from ansible_collections.meshops.istio.plugins.module_utils.faults.routes import mark_of, marks
from ansible_collections.meshops.istio.plugins.module_utils.faults.target import Host

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


def inject_faults(
    cluster, namespace, faults=DELAY, *, check_mode=False, hostname="echo", virtual_service=None, **options
):
    host = Host(hostname, namespace, virtual_service)
    return inject.inject_faults(cluster, inject.InjectOptions(host, faults, **options), check_mode=check_mode)


def remove_faults(cluster, namespace, *, check_mode=False):
    return inject.remove_all_faults(cluster, target.with_faults(cluster, namespace), check_mode=check_mode)


@pytest.mark.parametrize("annotations", [None, {"a": "b"}], ids=["without annotations", "with annotations"])
@pytest.mark.parametrize("how", ["apply", "create"])
def test_removing_a_fault_leaves_no_trace_not_even_in_the_field_owners(cluster, namespace, how, annotations):
    obj = routes(namespace, labels={"x": "y"}, **({"annotations": annotations} if annotations else {}))
    getattr(cluster, how)(obj)
    before = get(cluster, namespace)
    outcome = inject_faults(cluster, namespace)
    during = get(cluster, namespace)
    assert outcome.changed and len(marks(during["spec"])) == 2
    assert [r for r in during["spec"]["http"] if not mark_of(r)] == before["spec"]["http"]
    assert remove_faults(cluster, namespace)[0].changed
    assert all_but_the_version(get(cluster, namespace)) == all_but_the_version(before)


@pytest.mark.parametrize("tcp", [None, [{"route": [{"destination": {"host": "echo"}}]}]], ids=["no routes", "routes"])
def test_removing_closed_connections_beside_other_faults_leaves_no_trace(cluster, namespace, tcp):
    obj = routes(namespace)
    if tcp:
        obj["spec"]["tcp"] = tcp
    cluster.apply(obj)
    before = get(cluster, namespace)
    inject_faults(cluster, namespace, [*DELAY, *CLOSE])
    during = get(cluster, namespace)["spec"]
    assert [len(marks({section: during[section]})) for section in ("http", "tcp")] == [2, 1]
    inject_faults(cluster, namespace)
    assert get(cluster, namespace)["spec"].get("tcp") == tcp, "only the delay is left"
    inject_faults(cluster, namespace, CLOSE)
    assert get(cluster, namespace)["spec"]["http"] == before["spec"]["http"]
    remove_faults(cluster, namespace)
    assert all_but_the_version(get(cluster, namespace)) == all_but_the_version(before)


def test_host_without_routes_has_none_after_its_connections_were_closed(cluster, namespace):
    inject_faults(cluster, namespace, CLOSE)
    (made,) = cluster.list(VIRTUAL_SERVICE, namespace)
    assert "http" not in made["spec"] and len(marks(made["spec"])) == 1
    assert remove_faults(cluster, namespace)[0].after is None
    assert cluster.list(VIRTUAL_SERVICE, namespace) == []


def test_routes_can_be_applied_without_conflict_afterwards(cluster, namespace):
    cluster.apply(routes(namespace))
    inject_faults(cluster, namespace)
    remove_faults(cluster, namespace)
    other = routes(namespace)
    other["spec"]["http"] = other["spec"]["http"][1:]
    assert cluster.apply(other)["spec"] == other["spec"]


def test_changes_of_others_during_the_fault_are_retained(cluster, namespace):
    cluster.apply(routes(namespace))
    inject_faults(cluster, namespace)
    theirs = {"name": "theirs", "match": [{"uri": {"exact": "/theirs"}}], "route": [{"destination": {"host": "echo"}}]}
    patch = [
        {"op": "add", "path": "/spec/http/0", "value": theirs},
        {"op": "add", "path": "/metadata/labels", "value": {"l": "1"}},
    ]
    cluster.patch(VIRTUAL_SERVICE, "echo", patch, namespace, PatchOptions(how="json", manager="colleague"))
    remove_faults(cluster, namespace)
    after = get(cluster, namespace)
    assert after["spec"]["http"] == [theirs, *routes(namespace)["spec"]["http"]]
    assert after["metadata"]["labels"] == {"l": "1"} and "annotations" not in after["metadata"]
    managers = [entry["manager"] for entry in after["metadata"]["managedFields"]]
    assert "colleague" in managers and inject.MANAGER not in managers


def test_run_killed_between_routes_and_metadata_is_finished_by_the_next(cluster, namespace, monkeypatch):
    cluster.apply(routes(namespace))
    before = get(cluster, namespace)
    inject_faults(cluster, namespace)
    monkeypatch.setattr(inject, "restore_patch", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        remove_faults(cluster, namespace)
    monkeypatch.undo()
    assert get(cluster, namespace)["spec"] == before["spec"], "the faults themselves are removed first"
    assert remove_faults(cluster, namespace)[0].changed
    assert all_but_the_version(get(cluster, namespace)) == all_but_the_version(before)


def test_another_fault_replaces_the_first_and_the_original_is_restored(cluster, namespace):
    cluster.apply(routes(namespace))
    before = get(cluster, namespace)
    first = inject_faults(cluster, namespace)
    again = inject_faults(cluster, namespace)
    other = inject_faults(cluster, namespace, [read_fault({"abort": 418})])
    assert (first.changed, again.changed, other.changed) == (True, False, True)
    assert [r["fault"] for r in get(cluster, namespace)["spec"]["http"] if mark_of(r)] == [
        {"abort": {"httpStatus": 418, "percentage": {"value": 100}}}
    ] * 2
    remove_faults(cluster, namespace)
    assert all_but_the_version(get(cluster, namespace)) == all_but_the_version(before)


def test_write_of_another_manager_in_between_is_retained(cluster, namespace, monkeypatch):
    cluster.apply(routes(namespace))
    real, raced = inject._patch, []

    def raced_patch(on, live, operations, *, check_mode):
        if not raced:
            raced.append(1)
            cluster.patch(
                VIRTUAL_SERVICE, "echo", {"spec": {"exportTo": ["."]}}, namespace, PatchOptions(manager="colleague")
            )
        return real(on, live, operations, check_mode=check_mode)

    monkeypatch.setattr(inject, "_patch", raced_patch)
    inject_faults(cluster, namespace)
    after = get(cluster, namespace)["spec"]
    assert marks(after) and after["exportTo"] == ["."]


def test_host_without_routes_has_some_only_during_the_faults(cluster, namespace):
    outcome = inject_faults(cluster, namespace)
    made = get(cluster, namespace, "fault-injection-echo")
    assert outcome.before is None and made["spec"]["hosts"] == [f"echo.{namespace}.svc.cluster.local"]
    assert inject_faults(cluster, namespace).changed is False
    remove_faults(cluster, namespace)
    assert cluster.list(VIRTUAL_SERVICE, namespace) == []
    assert remove_faults(cluster, namespace) == []


def test_check_mode_reports_the_same_and_writes_nothing(cluster, namespace):
    cluster.apply(routes(namespace))
    before = get(cluster, namespace)
    predicted = inject_faults(cluster, namespace, check_mode=True)
    assert get(cluster, namespace) == before
    real = inject_faults(cluster, namespace)
    assert (predicted.changed, predicted.diff) == (real.changed, real.diff)
    during = get(cluster, namespace)
    assert remove_faults(cluster, namespace, check_mode=True)[0].diff == remove_faults(cluster, namespace)[0].diff
    assert marks(during["spec"]) and not marks(get(cluster, namespace)["spec"])


def test_check_mode_reports_what_the_server_would_refuse(cluster, namespace):
    fault = [{"match": [], "fault": {"delay": {"fixedDelay": "not a duration"}}}]
    with pytest.raises(errors.ApiError):
        inject_faults(cluster, namespace, fault, check_mode=True)


def test_unknown_host_is_refused_with_similar_names(cluster, namespace):
    with pytest.raises(MeshopsError, match=rf"Host ecko: .* defines it .*Did you mean .*echo\.{namespace}"):
        inject_faults(cluster, namespace, hostname="ecko")
    assert cluster.list(VIRTUAL_SERVICE, namespace) == []


def test_two_virtual_services_of_a_host_must_be_told_apart_by_the_user(cluster, namespace):
    cluster.apply(routes(namespace))
    cluster.apply(routes(namespace, "second", [f"echo.{namespace}.svc.cluster.local"]))
    with pytest.raises(MeshopsError, match=f"{namespace}/echo, {namespace}/second"):
        inject_faults(cluster, namespace)
    inject_faults(cluster, namespace, virtual_service="second")
    assert not marks(get(cluster, namespace)["spec"]) and marks(get(cluster, namespace, "second")["spec"])
    with pytest.raises(MeshopsError, match=f"VirtualService {namespace}/third: it does not exist"):
        inject_faults(cluster, namespace, virtual_service="third")


def test_faults_of_a_host_are_found_in_the_routes_of_a_gateway(cluster, namespace):
    gateway = routes(namespace, "door", ["shop.example.com"])
    gateway["spec"]["gateways"] = ["door"]
    cluster.apply(gateway)
    inject_faults(cluster, namespace, virtual_service="door")
    found = target.with_faults_for(cluster, Host("echo", namespace))
    assert [one["metadata"]["name"] for one in found] == ["door"]
    assert target.with_faults_for(cluster, Host("other", namespace)) == []


def test_external_host_is_found_by_its_service_entry(cluster, namespace):
    spec = {"hosts": [f"{namespace}.example.com"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}]}
    meta = {"name": "outside", "namespace": namespace}
    cluster.apply({"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": meta, "spec": spec})
    host = f"{namespace}.example.com"
    outcome = inject_faults(cluster, "default", hostname=host)
    assert (outcome.namespace, outcome.name) == (namespace, f"fault-injection-{host}")
    found = target.with_faults_for(cluster, Host(host, "default"))
    assert [o.after for o in inject.remove_all_faults(cluster, found, check_mode=False)] == [None]


@pytest.fixture
def job_runs(monkeypatch):
    """No node runs here: the state of the expiry Job's pod."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "expiry"}, "status": {"phase": "Running"}}
    monkeypatch.setattr(expiry, "_pod_of", lambda *_arguments: pod)
    monkeypatch.setattr(expiry, "wait_ready", lambda *_arguments: [pod])
    return pod["status"]


def expiry_objects(cluster, namespace):
    return [o["metadata"]["name"] for kind in (JOB, NETWORK_POLICY) for o in cluster.list(kind, namespace, LABEL)]


def test_expiry_job_has_a_network_policy_and_the_time_of_the_cluster(cluster, namespace, job_runs, monkeypatch):
    monkeypatch.setattr(expiry.time, "time", lambda: 0.0)
    cluster.apply(routes(namespace))
    other = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "other", "namespace": namespace}}
    before = expiry._server_time(cluster, {**other, "spec": SPEC})
    inject_faults(cluster, namespace, duration=600.0, image="proxy")
    after = expiry._server_time(cluster, {**other, "spec": SPEC})
    (job,) = cluster.list(JOB, namespace, LABEL)
    environment = {one["name"]: one.get("value") for one in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert before + 600 <= int(environment["DEADLINE"]) <= after + 600
    assert len(expiry_objects(cluster, namespace)) == 2


SPEC = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]}}}


@pytest.mark.parametrize(("phase", "duration"), [("Succeeded", 600.0), ("Running", 4.0)], ids=["over", "nearly over"])
def test_no_fault_is_injected_when_its_expiry_job_is_over(cluster, namespace, job_runs, phase, duration):
    job_runs["phase"] = phase
    cluster.apply(routes(namespace))
    before = get(cluster, namespace)
    with pytest.raises(MeshopsError, match="duration: .* too short: .* no fault was injected. Increase duration"):
        inject_faults(cluster, namespace, duration=duration, image="proxy")
    assert get(cluster, namespace) == before and cluster.list(JOB, namespace, LABEL) == []


def test_faults_that_were_injected_too_late_are_removed(cluster, namespace, job_runs, monkeypatch):
    cluster.apply(routes(namespace))
    before = get(cluster, namespace)
    monkeypatch.setattr(expiry.Expiry, "is_over", property(lambda _self: True))
    with pytest.raises(MeshopsError, match="took longer; they have been removed"):
        inject_faults(cluster, namespace, duration=600.0, image="proxy")
    assert all_but_the_version(get(cluster, namespace)) == all_but_the_version(before)
    assert cluster.list(JOB, namespace, LABEL) == []


def test_same_faults_without_duration_have_no_expiry_job(cluster, namespace, job_runs):
    cluster.apply(routes(namespace))
    inject_faults(cluster, namespace, duration=600.0, image="proxy")
    assert inject_faults(cluster, namespace, check_mode=True).changed and cluster.list(JOB, namespace, LABEL)
    assert inject_faults(cluster, namespace).changed
    assert cluster.list(JOB, namespace, LABEL) == [] and marks(get(cluster, namespace)["spec"])
    assert not inject_faults(cluster, namespace).changed


def test_routes_of_others_in_a_created_virtual_service_outlive_its_expiry_job(cluster, namespace, job_runs):
    inject_faults(cluster, namespace, duration=600.0, image="proxy")
    theirs = {"name": "theirs", "match": [{"uri": {"exact": "/theirs"}}], "route": [{"destination": {"host": "echo"}}]}
    patch = [{"op": "add", "path": "/spec/http/0", "value": theirs}]
    cluster.patch(
        VIRTUAL_SERVICE, "fault-injection-echo", patch, namespace, PatchOptions(how="json", manager="colleague")
    )
    remove_faults(cluster, namespace)
    retained = get(cluster, namespace, "fault-injection-echo")
    assert retained["spec"]["http"][0] == theirs and not marks(retained["spec"])
    assert not {"ownerReferences", "annotations"} & retained["metadata"].keys()
    assert cluster.list(JOB, namespace, LABEL) == []
