# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.helm.ownership import in_release
from ansible_collections.meshops.istio.plugins.module_utils.helm.releases import Release
from ansible_collections.meshops.istio.plugins.module_utils.releases.takeover import (
    Takeover,
    foreseen,
    is_due,
    take_over,
)
from fakes.api_server import ApiServer

RELEASE = Release("istiod", "istiod", "istio-system")


def deployment(image="old", app="istiod", managers=("istio-operator",)):
    labels = {"app": app}
    fields = [{"manager": m, "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}} for m in managers]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "istiod", "namespace": "istio-system", "managedFields": fields, "resourceVersion": "1"},
        "spec": {"selector": {"matchLabels": labels}, "template": {"spec": {"containers": [{"image": image}]}}},
    }


def wanted(**changes):
    """The Deployment as the chart renders it."""
    found = deployment(**changes)
    found["metadata"] = {"name": "istiod", "namespace": "istio-system"}
    return found


def server(conflicts=0, refuses=""):
    """Has the Deployment; others write it just before the first patches arrive, as often as told."""
    found = ApiServer([deployment()])
    left = [conflicts]

    def write(request):
        if request.method == "PATCH" and request.query.get("fieldManager") == "helm" and left[0]:
            left[0] -= 1
            live = found.find("Deployment", "istiod", "istio-system")
            live["metadata"]["labels"] = {"left": str(left[0])}
            found.put(live)

    found.on_request(write)
    found.refuse(lambda request: ApiError(refuses, 422) if refuses and request.method == "PATCH" else None)
    return found


def applied(cluster):
    """Field manager of each server-side apply, and whether it was a dry run."""
    asked = [request for request in cluster.requests if request.method == "PATCH" and isinstance(request.body, dict)]
    return [(request.query["fieldManager"], not request.writes) for request in asked]


def test_what_is_due():
    marked = in_release(deployment(managers=("helm",)), RELEASE)
    assert not is_due(marked, RELEASE, installed=True)
    assert is_due(marked, RELEASE, installed=False)
    assert is_due(marked, Release("other", "istiod", "istio-system"), installed=True)
    assert is_due(in_release(deployment(), RELEASE), RELEASE, installed=True)
    status = in_release(deployment(), RELEASE)
    status["metadata"]["managedFields"][0]["subresource"] = "status"
    assert not is_due(status, RELEASE, installed=True)


def test_whether_pods_are_made_anew_is_asked_in_the_old_owner_s_name():
    cluster = server()
    for image, restarts in (("old", False), ("new", True)):
        takeover = foreseen(cluster, Takeover(deployment(), wanted(image=image)), RELEASE)
        assert takeover.restarts is restarts
    assert applied(cluster) == [("istio-operator", True)] * 2
    assert cluster.writes == []


def test_what_can_not_be_taken_over_is_told():
    with pytest.raises(MeshopsError, match="selects its pods by app=istiod, and the one of chart istiod by app=other"):
        foreseen(server(), Takeover(deployment(), wanted(app="other")), RELEASE)
    with pytest.raises(MeshopsError, match="Deployment istio-system/istiod cannot become part of release istiod: no"):
        foreseen(server(refuses="no"), Takeover(deployment(), wanted()), RELEASE)


def test_fields_are_handed_over_before_the_object_is_applied():
    cluster = server(conflicts=2)
    take_over(cluster, Takeover(deployment(), wanted()))
    live = cluster.find("Deployment", "istiod", "istio-system")
    assert {entry["manager"] for entry in live["metadata"]["managedFields"]} == {"helm"}
    assert applied(cluster) == [("helm", False)]


def test_an_object_that_others_write_all_the_time():
    cluster = server(conflicts=99)
    with pytest.raises(ApiError) as refused:
        take_over(cluster, Takeover(deployment(), wanted()))
    assert refused.value.status == 409
    assert applied(cluster) == []
