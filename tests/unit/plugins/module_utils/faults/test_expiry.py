# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.faults import expiry
from ansible_collections.meshops.istio.plugins.module_utils.faults.expiry_job import LABEL, ExpiryJobOptions
from fakes.api_server import ApiServer
from fakes.objects import obj, pod

OPTIONS = ExpiryJobOptions(
    namespace="shop", name="echo", path="/vs", deadline=0, image="proxy", routes=["http/a"], added_sections=[], limit=1,
    restore_patch=[], annotation_test=[],
)  # fmt: skip
#: The fake server creates everything at this time.
CREATED = 1767225600


@pytest.fixture
def job_pod(monkeypatch):
    """No node runs here: the state of the Job's pod."""
    job_pod = pod("expiry")
    monkeypatch.setattr(expiry, "_pod_of", lambda *_arguments: job_pod)
    monkeypatch.setattr(expiry, "wait_ready", lambda *_arguments: [job_pod])
    return job_pod


def test_job_is_started_after_its_objects_exist_and_by_the_clock_of_the_cluster(job_pod):
    server = ApiServer()
    with expiry.running_job(server, OPTIONS, 600.0) as running:
        assert not running.is_over
        assert running.owner_reference["uid"] == running.job["metadata"]["uid"]
    kinds = [write.rsplit("/", 1)[1] for write in server.writes if write.startswith("POST")]
    assert kinds == ["jobs", "serviceaccounts", "roles", "rolebindings", "networkpolicies"]
    (job,) = expiry.expiry_jobs(server, "shop", "echo")
    environment = {entry["name"]: entry["value"] for entry in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert environment["DEADLINE"] == str(CREATED + 600)
    assert job["spec"]["suspend"] is False


def test_job_is_deleted_where_the_injection_fails(job_pod):
    server = ApiServer()

    def inject():
        with expiry.running_job(server, OPTIONS, 600.0):
            assert server.all("Job")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        inject()
    assert server.all("Job") == []


@pytest.mark.parametrize(("phase", "duration"), [("Succeeded", 600.0), ("Running", 4.0)], ids=["over", "nearly over"])
def test_job_that_starts_too_late_is_an_error(job_pod, phase, duration):
    job_pod["status"]["phase"] = phase
    server = ApiServer()
    with (
        pytest.raises(MeshopsError, match="duration: .* s is too short: .* no fault was injected. Increase duration"),
        expiry.running_job(server, OPTIONS, duration),
    ):
        pytest.fail("the body must not run")
    assert server.all("Job") == []


def test_job_without_pod_is_an_error_with_the_events_of_the_job(monkeypatch):
    monkeypatch.setattr(expiry, "_START_TIMEOUT", 0)
    event = obj("Event", "e", type="Warning", message="exceeded quota {{ 1/0 }}\n", involvedObject={"uid": "uid-1"})
    server = ApiServer([event])
    with (
        pytest.raises(MeshopsError, match="Job shop/fault-expiry-echo-.*waiting for its pod") as error,
        expiry.running_job(server, OPTIONS, 600.0),
    ):
        pytest.fail("the body must not run")
    assert "{{" not in str(error.value) and str(error.value).isprintable()


def test_jobs_of_a_virtual_service_are_deleted_but_one():
    labels = {LABEL: expiry.expiry_key("shop", "echo")}
    other = {LABEL: expiry.expiry_key("shop", "other")}
    server = ApiServer([obj("Job", "a", labels=labels), obj("Job", "b", labels=labels), obj("Job", "c", labels=other)])
    retained = expiry.Expiry(server.find("Job", "b", "shop"), 0.0)
    assert retained.is_over
    expiry.delete_jobs(server, "shop", "echo", retained=retained)
    assert server.all("Job") == ["Job shop/b", "Job shop/c"]
    expiry.delete_jobs(server, "shop", "echo")
    assert server.all("Job") == ["Job shop/c"]


def test_image_is_the_proxy_of_the_namespace_or_of_the_mesh():
    def proxy(namespace, image):
        return pod("p", namespace, containers=({"name": "istio-proxy", "image": image, "ready": True},))

    assert expiry.job_image(ApiServer([proxy("shop", "near"), proxy("other", "far")]), "shop") == "near"
    assert expiry.job_image(ApiServer([proxy("other", "far")]), "shop") == "far"
    with pytest.raises(MeshopsError, match="proxy image with a shell"):
        expiry.job_image(ApiServer([proxy("shop", "proxyv2-distroless")]), "shop")


def test_user_is_chosen_by_openshift():
    assert expiry.job_user(ApiServer()) == 65532
