# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.faults import expiry, inject
from ansible_collections.meshops.istio.plugins.module_utils.faults.bookkeeping import ANNOTATION
from ansible_collections.meshops.istio.plugins.module_utils.faults.inject import (
    InjectOptions,
    inject_faults,
    plan_injection,
    remove_all_faults,
)
from ansible_collections.meshops.istio.plugins.module_utils.faults.options import read_fault
from ansible_collections.meshops.istio.plugins.module_utils.faults.routes import marks
from ansible_collections.meshops.istio.plugins.module_utils.faults.target import Host, Target, with_faults
from fakes.api_server import ApiServer
from fakes.objects import obj, pod

DELAY = (read_fault({"delay": "2s"}),)
HTTP = [{"route": [{"destination": {"host": "echo"}}]}]


def mesh(*objects):
    return ApiServer([obj("Service", "echo"), *objects])


def routed(**options):
    return mesh(obj("VirtualService", "echo", hosts=["echo"], http=HTTP, **options))


def run(server, faults=DELAY, *, check_mode=False, **options):
    return inject_faults(server, InjectOptions(Host("echo", "shop"), faults, **options), check_mode=check_mode)


def remove(server, *, check_mode=False):
    return remove_all_faults(server, with_faults(server, None), check_mode=check_mode)


def echo(server):
    return server.find("VirtualService", "echo", "shop")


def without_counters(virtual_service):
    meta = {k: v for k, v in virtual_service["metadata"].items() if k not in ("resourceVersion", "generation")}
    return {**virtual_service, "metadata": meta}


@pytest.mark.parametrize("annotations", [{}, {"a": "b"}], ids=["without annotations", "with annotations"])
def test_removing_faults_restores_the_virtual_service(annotations):
    server = routed(**({"annotations": annotations} if annotations else {}))
    before = echo(server)
    assert run(server).changed and len(marks(echo(server)["spec"])) == 1
    assert ANNOTATION in echo(server)["metadata"]["annotations"]
    assert not run(server).changed
    (outcome,) = remove(server)
    assert outcome.changed and outcome.after == before["spec"]
    assert without_counters(echo(server)) == without_counters(before)


def test_host_without_virtual_service_gets_one_that_is_deleted_with_the_faults():
    server = mesh()
    outcome = run(server)
    assert (outcome.before, outcome.name) == (None, "fault-injection-echo")
    assert server.all("VirtualService") == ["VirtualService shop/fault-injection-echo"]
    assert remove(server)[0].after is None
    assert server.all("VirtualService") == []


def test_created_virtual_service_with_routes_of_others_is_retained():
    server = mesh()
    run(server)
    live = server.find("VirtualService", "fault-injection-echo", "shop")
    live["spec"]["http"].append({"name": "theirs", "route": [{"destination": {"host": "other"}}]})
    server.put(live)
    remove(server)
    retained = server.find("VirtualService", "fault-injection-echo", "shop")
    assert [route.get("name") for route in retained["spec"]["http"]] == [None, "theirs"]


def test_retained_virtual_service_does_not_belong_to_the_deleted_job_any_more(monkeypatch):
    job_pod = pod("expiry")
    monkeypatch.setattr(expiry, "_pod_of", lambda *_arguments: job_pod)
    monkeypatch.setattr(expiry, "wait_ready", lambda *_arguments: [job_pod])
    server = mesh()
    run(server, duration=600.0, image="proxy")
    live = server.find("VirtualService", "fault-injection-echo", "shop")
    live["spec"]["http"].append({"name": "theirs", "route": [{"destination": {"host": "other"}}]})
    live["metadata"]["ownerReferences"].append({"apiVersion": "v1", "kind": "ConfigMap", "name": "theirs", "uid": "1"})
    server.put(live)
    remove(server)
    retained = server.find("VirtualService", "fault-injection-echo", "shop")
    assert [owner["kind"] for owner in retained["metadata"]["ownerReferences"]] == ["ConfigMap"]
    assert ANNOTATION not in (retained["metadata"].get("annotations") or {}) and server.all("Job") == []


def test_check_mode_reports_the_same_diff_and_writes_nothing():
    server = routed()
    predicted = run(server, check_mode=True, duration=600.0)
    assert server.writes == []
    assert predicted.diff == run(server).diff and predicted.changed
    during = echo(server)
    assert remove(server, check_mode=True)[0].diff == remove(server)[0].diff
    assert marks(during["spec"]) and not marks(echo(server)["spec"])


def other_writer(server, times):
    """Writes to the VirtualService before the first patches of a run."""

    def write(request):
        if request.method == "PATCH" and request.writes and len(written) < times:
            written.append(1)
            live = echo(server)
            live["metadata"].setdefault("labels", {})["count"] = str(len(written))
            server.put(live, manager="colleague")

    written = []
    server.on_request(write)


def test_write_of_others_in_between_starts_the_injection_again():
    server = routed()
    other_writer(server, 2)
    assert run(server).changed
    assert marks(echo(server)["spec"]) and echo(server)["metadata"]["labels"] == {"count": "2"}
    assert len([write for write in server.writes if write.startswith("PATCH")]) == 3


def test_endless_writes_of_others_are_an_error_and_not_an_endless_loop():
    server = routed()
    other_writer(server, 1000)
    with pytest.raises(ApiError, match="has been modified"):
        run(server)
    assert not marks(echo(server)["spec"])


def test_virtual_service_that_is_deleted_in_between_is_not_an_error():
    server = routed()
    run(server)
    services = with_faults(server, None)
    server.request("DELETE", "/apis/networking.istio.io/v1/namespaces/shop/virtualservices/echo")
    assert [outcome.changed for outcome in remove_all_faults(server, services, check_mode=False)] == [False]


def test_faults_with_a_duration_belong_to_a_running_job(monkeypatch):
    job_pod = pod("expiry")
    monkeypatch.setattr(expiry, "_pod_of", lambda *_arguments: job_pod)
    monkeypatch.setattr(expiry, "wait_ready", lambda *_arguments: [job_pod])
    server = mesh()
    run(server, duration=600.0, image="proxy")
    (job,) = (server.find("Job", name.rpartition("/")[2], "shop") for name in server.all("Job"))
    made = server.find("VirtualService", "fault-injection-echo", "shop")
    assert [owner["uid"] for owner in made["metadata"]["ownerReferences"]] == [job["metadata"]["uid"]]
    assert run(server).changed, "without duration the Job is deleted"
    assert server.all("Job") == [] and server.all("VirtualService")
    assert server.find("VirtualService", "fault-injection-echo", "shop")["metadata"].get("ownerReferences") in (
        None,
        [],
    )


def test_faults_that_are_injected_after_their_deadline_are_removed_with_an_error(monkeypatch):
    job_pod = pod("expiry")
    monkeypatch.setattr(expiry, "_pod_of", lambda *_arguments: job_pod)
    monkeypatch.setattr(expiry, "wait_ready", lambda *_arguments: [job_pod])
    monkeypatch.setattr(expiry.Expiry, "is_over", property(lambda _self: True))
    server = routed()
    with pytest.raises(MeshopsError, match="took longer; they have been removed. Increase duration"):
        run(server, duration=600.0, image="proxy")
    assert not marks(echo(server)["spec"]) and server.all("Job") == []


def test_job_knows_the_generation_after_which_the_metadata_is_restored(monkeypatch):
    server = routed()
    target = Target("shop", "echo", "echo.shop.svc.cluster.local", echo(server))
    options = InjectOptions(Host("echo", "shop"), [*DELAY, read_fault({"abort": "close"})], 600.0, "proxy")
    job = inject._expiry_options(server, plan_injection(target, options), options)
    assert [route.partition("/")[0] for route in job.routes] == ["http", "tcp"]
    # One write injects, two remove the routes, one removes the section.
    assert job.restore_patch[0] == {"op": "test", "path": "/metadata/generation", "value": 1 + 1 + 2 + 1}
    assert (job.added_sections, job.delete, job.user) == (["tcp"], False, 65532)


def test_too_many_field_owners_are_refused():
    server = routed()
    live = echo(server)
    live["metadata"]["managedFields"] = [{"manager": "m" * 250_000}]
    target = Target("shop", "echo", "echo.shop.svc.cluster.local", live)
    with pytest.raises(MeshopsError, match="too long for an annotation"):
        plan_injection(target, InjectOptions(Host("echo", "shop"), DELAY))


def test_warning_names_the_other_hosts_in_printable_text():
    server = mesh(obj("VirtualService", "echo", hosts=["echo", "{{ 1/0 }}.example.com\x1b[2J"], http=HTTP))
    (warning,) = run(server).warnings
    assert warning.isprintable() and "{{" not in warning and "shop/echo routes echo, " in warning
    assert json.loads(echo(server)["metadata"]["annotations"][ANNOTATION])["host"] == "echo.shop.svc.cluster.local"
