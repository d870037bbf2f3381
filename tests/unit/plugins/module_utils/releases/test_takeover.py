# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import copy

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


class Cluster:
    """One object, whose managedFields somebody else writes first, as often as it is told."""

    def __init__(self, live, conflicts=0, refuses=""):
        self.live, self.conflicts, self.refuses, self.applied = live, conflicts, refuses, []

    def kind(self, *_names):
        return "kind"

    def get(self, *_where, **_options):
        return copy.deepcopy(self.live)

    def patch(self, _kind, _name, patch, _namespace, options):
        assert (options.how, options.manager) == ("json", "helm")
        if self.conflicts:
            self.conflicts -= 1
            raise ApiError("conflict", 409, "Conflict", [])
        self.live["metadata"]["managedFields"] = patch[0]["value"]
        return self.live

    def apply(self, obj, force, manager, dry_run=False):
        if self.refuses:
            raise ApiError(self.refuses, 422, "Invalid", [])
        self.applied.append((manager, dry_run))
        return obj


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
    cluster = Cluster(deployment())
    for image, restarts in (("old", False), ("new", True)):
        takeover = Takeover(deployment(), deployment(image))
        takeover = foreseen(cluster, takeover, RELEASE)
        assert takeover.restarts is restarts
    assert cluster.applied == [("istio-operator", True)] * 2


def test_what_can_not_be_taken_over_is_told():
    with pytest.raises(MeshopsError, match="selects its pods by app=istiod, and the one of chart istiod by app=other"):
        foreseen(Cluster(deployment()), Takeover(deployment(), deployment(app="other")), RELEASE)
    with pytest.raises(MeshopsError, match="Deployment istio-system/istiod cannot become part of release istiod: no"):
        foreseen(Cluster(deployment(), refuses="no"), Takeover(deployment(), deployment()), RELEASE)


def test_fields_are_handed_over_before_the_object_is_applied():
    cluster = Cluster(deployment(), conflicts=2)
    take_over(cluster, Takeover(deployment(), deployment()))
    assert [entry["manager"] for entry in cluster.live["metadata"]["managedFields"]] == ["helm"]
    assert cluster.applied == [("helm", False)]


def test_an_object_that_others_write_all_the_time():
    cluster = Cluster(deployment(), conflicts=99)
    with pytest.raises(ApiError, match="conflict"):
        take_over(cluster, Takeover(deployment(), deployment()))
    assert cluster.applied == []
