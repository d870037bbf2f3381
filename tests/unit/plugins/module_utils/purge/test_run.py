# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whole purges, on an API server in memory."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.purge.run import PurgeOptions, purge
from fakes.api_server import ApiServer
from fakes.objects import obj


@pytest.fixture
def server():
    """A cluster with a control plane that istioctl has installed, and with an object of a user's."""
    pilot = {"operator.istio.io/component": "Pilot", "istio.io/rev": "default"}
    hook = {
        "name": "rev.namespace.sidecar-injector.istio.io",
        "clientConfig": {"service": {"name": "istiod", "namespace": "istio-system"}},
    }
    return ApiServer(
        [
            obj("Namespace", "default", None),
            obj("Namespace", "kube-system", None, uid="cluster"),
            obj("Namespace", "istio-system", None),
            obj("ConfigMap", "istio", "istio-system", labels=pilot, data={"mesh": ""}),
            obj("Service", "istiod", "istio-system", labels=pilot, selector={"app": "istiod"}),
            obj("MutatingWebhookConfiguration", "istio-sidecar-injector", None, labels=pilot, webhooks=[hook]),
            obj("ConfigMap", "mine", "default", data={"a": "b"}),
        ]
    )


def run(server, *, check_mode=False, **options):
    return purge(server, PurgeOptions(wait_timeout=5, finalizer_timeout=0, **options), check_mode=check_mode)


def test_check_mode_shows_the_plan_and_writes_nothing(server):
    result = run(server, check_mode=True)
    assert result["changed"]
    assert {item["name"] for item in result["purged"]} >= {"istio", "istiod", "istio-sidecar-injector"}
    assert server.writes == []


def test_nothing_is_deleted_without_a_confirmation(server):
    with pytest.raises(MeshopsError, match=r"Refusing to delete \d+ objects: set .confirm: true."):
        run(server)
    assert server.writes == []


def test_a_purge_leaves_what_is_not_istios_and_proves_it(server):
    result = run(server, confirm=True)
    assert server.all("MutatingWebhookConfiguration", "Service") == []
    assert server.find("ConfigMap", "mine", "default")["data"] == {"a": "b"}
    assert result["proof"][0] == "the footprint is empty"
    assert run(server, confirm=True)["changed"] is False


def test_webhooks_are_deleted_first(server):
    run(server, confirm=True)
    deletions = [request.kind.kind for request in server.requests if request.method == "DELETE" and request.writes]
    assert deletions[0] == "MutatingWebhookConfiguration"


def test_a_backup_is_written_before_anything_is_deleted(server, tmp_path):
    folder = tmp_path / "backup"
    seen = []

    def look(request):
        if request.method == "DELETE" and request.writes:
            seen.append(folder.exists() and bool(list(folder.rglob("*.yml"))))

    server.on_request(look)
    result = run(server, confirm=True, backup_dir=str(folder), backup_anywhere=True)
    assert seen
    assert all(seen)
    assert result["backup"]


def test_a_purge_that_fails_says_how_far_it_came(server):
    def refusal(request):
        is_service = request.method == "DELETE" and request.writes and request.kind.kind == "Service"
        return ApiError("no", status=500) if is_service else None

    server.refuse(refusal)
    with pytest.raises(MeshopsError, match="Completed steps are not undone: run the purge again") as failure:
        run(server, confirm=True)
    assert failure.value.result["changed"]
    assert server.all("MutatingWebhookConfiguration") == []
