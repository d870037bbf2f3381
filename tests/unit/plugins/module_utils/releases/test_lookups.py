# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.identity import key
from ansible_collections.meshops.istio.plugins.module_utils.releases.lookups import Lookups

SCALER = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "h", "namespace": "n"},
    "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d"}},
}
DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "n"}}


class Cluster:
    """Serves Deployments and a kind of its own; one aggregated API does not answer."""

    concurrency = 2

    def __init__(self):
        self.asked = []

    def request(self, _method, path):
        self.asked.append(path)
        if path == "/apis":
            versions = [{"groupVersion": v} for v in ("apps/v1", "broken.example.com/v1")]
            return {"groups": [{"versions": versions}]}
        if path == "/apis/broken.example.com/v1":
            raise ApiError("unavailable", 503)
        kinds = {"/api/v1": ["Pod", "Binding"], "/apis/apps/v1": ["Deployment", "Scale"]}[path]
        return {"resources": [{"kind": kind, "name": kind.lower()} for kind in kinds]}

    def kind(self, api_version, kind):
        if api_version.startswith("broken"):
            raise ApiError("unavailable", 503)
        if kind == "Nothing":
            raise MeshopsError("no such kind")
        return KNOWN.get((api_version.rpartition("/")[0], kind))

    def get(self, _kind, name, _namespace):
        self.asked.append(name)
        return {"metadata": {"name": name, "namespace": "n"}, "spec": {}} if name == "d" else None

    def list(self, _kind, namespace):
        self.asked.append(namespace)
        return [SCALER]


@pytest.fixture
def lookups():
    with Lookups(Cluster()) as lookups:
        yield lookups


def test_api_versions_have_kinds_and_those_of_subresources(lookups):
    assert lookups.api_versions == (
        "v1",
        "apps/v1",
        "broken.example.com/v1",
        "apps/v1/Deployment",
        "apps/v1/Scale",
        "v1/Binding",
        "v1/Pod",
    )


def test_kind_that_is_not_served_is_told_from_a_failure(lookups):
    assert lookups.kind({"apiVersion": "v1", "kind": "Nothing"}) is None
    with pytest.raises(ApiError):
        lookups.kind({"apiVersion": "broken.example.com/v1", "kind": "X"})
    assert lookups.is_served(DEPLOYMENT)
    assert not lookups.is_served({**DEPLOYMENT, "apiVersion": "apps/v1beta1"})


def test_live_objects_are_read_once(lookups):
    assert lookups.live(DEPLOYMENT)["kind"] == "Deployment"
    other = {**DEPLOYMENT, "metadata": {"name": "e", "namespace": "n"}}
    assert set(lookups.live_of([DEPLOYMENT, other])) == {key(DEPLOYMENT)}
    assert lookups.cluster.asked == ["d", "e"]


def test_autoscaler_that_is_dropped_does_not_count(lookups):
    assert lookups.is_autoscaled(DEPLOYMENT)
    assert not lookups.is_autoscaled(DEPLOYMENT, {key(SCALER)})
    assert lookups.cluster.asked == ["n"]


def test_objects_get_the_namespace_of_their_release(lookups):
    objects = [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}},
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x", "namespace": "wrong"}},
        {"apiVersion": "v1", "kind": "Nothing", "metadata": {"name": "x"}},
    ]
    found = [obj["metadata"].get("namespace") for obj in lookups.in_namespace(objects, "mine")]
    assert found == ["mine", None, None]
