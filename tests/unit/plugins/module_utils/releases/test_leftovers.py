# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import yaml
from ansible_collections.meshops.istio.plugins.module_utils.helm.releases import Release
from ansible_collections.meshops.istio.plugins.module_utils.helm.stored import decode
from ansible_collections.meshops.istio.plugins.module_utils.releases.leftovers import leftovers, repaired_manifest
from ansible_collections.meshops.istio.plugins.module_utils.releases.lookups import Lookups
from ansible_collections.meshops.istio.plugins.module_utils.releases.planning import Planner
from fakes.api_server import ApiServer
from fakes.helm import FakeHelm, installed, record
from fakes.objects import obj

SHOP = Release("shop", "shop", "shop")
KEPT, EXTRA = obj("ConfigMap", "kept", data={}), obj("ConfigMap", "extra", data={})


def examined(function, records, live=(), **server):
    helm = FakeHelm({"shop": [KEPT]})
    with Lookups(ApiServer(live, **server)) as lookups:
        planner = Planner(helm, lookups, {SHOP.id: [decode(secret) for secret in records]})
        return function(planner.compared(SHOP), planner, lookups)


def test_objects_of_a_failed_revision_are_deleted():
    records = [record(SHOP, KEPT, EXTRA, revision=2, status="failed"), record(SHOP, KEPT)]
    deletions = examined(leftovers, records, installed(SHOP, KEPT, EXTRA))
    assert [(change.action, change.title) for change in deletions] == [("delete", "ConfigMap shop/extra")]


def test_objects_of_others_are_not_deleted():
    records = [record(SHOP, KEPT, EXTRA, revision=2, status="failed"), record(SHOP, KEPT)]
    assert examined(leftovers, records, [*installed(SHOP, KEPT), EXTRA]) == []
    other = installed(Release("other", "shop", "shop"), EXTRA)
    assert examined(leftovers, records, [*installed(SHOP, KEPT), *other]) == []


def repaired(compared, _planner, lookups):
    return repaired_manifest(compared, lookups)


def test_manifest_without_apis_that_are_no_longer_served():
    gone = {"apiVersion": "old.example.com/v1", "kind": "Thing", "metadata": {"name": "a", "namespace": "shop"}}
    manifest, names = examined(repaired, [record(SHOP, KEPT, gone)])
    assert [document["metadata"]["name"] for document in yaml.safe_load_all(manifest) if document] == ["kept"]
    assert names == ["old.example.com/v1 Thing shop/a"]
    assert examined(repaired, [record(SHOP, KEPT)]) is None


def test_object_whose_kind_is_served_in_another_version_gets_that():
    scaler = {**obj("HorizontalPodAutoscaler", "web", minReplicas=1), "apiVersion": "autoscaling/v2beta2"}
    manifest, _names = examined(repaired, [record(SHOP, scaler)])
    (document,) = [document for document in yaml.safe_load_all(manifest) if document]
    assert (document["apiVersion"], document["spec"]) == ("autoscaling/v2", {"minReplicas": 1})
