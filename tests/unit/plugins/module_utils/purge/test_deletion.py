# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Deleting many objects and waiting for them, on an API server in memory."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.footprint.item import Item
from ansible_collections.meshops.istio.plugins.module_utils.purge.deletion import Deletions
from fakes.api_server import ApiServer
from fakes.objects import obj


@pytest.fixture
def server():
    return ApiServer()


def item(live, part="control_plane"):
    meta = live["metadata"]
    return Item(part, "delete", live["apiVersion"], live["kind"], meta.get("namespace", ""), meta["name"], (),
                uid=meta.get("uid", ""))  # fmt: skip


def deletions(server, wait=5, finalizers=0.0):
    return Deletions(server, wait, finalizers, [], hurry=False)


def test_objects_are_deleted_and_gone(server):
    items = [item(server.put(obj("ConfigMap", name))) for name in "ab"]
    objects = deletions(server)
    objects.delete(items)
    assert server.all("ConfigMap") == []
    assert objects.going == []


def test_an_object_that_took_the_name_is_left_alone(server):
    old = item(server.put(obj("ConfigMap", "a")))
    server.request("DELETE", "/api/v1/namespaces/shop/configmaps/a")
    server.put(obj("ConfigMap", "a", data={"mine": "1"}))
    deletions(server).delete([old])
    assert server.find("ConfigMap", "a", "shop")["data"] == {"mine": "1"}


def test_istios_own_finalizer_is_removed_at_once(server):
    live = server.put(obj("ConfigMap", "a", finalizers=["istio-finalizer.install.istio.io"]))
    objects = deletions(server, finalizers=60)
    objects.delete([item(live)])
    assert server.find("ConfigMap", "a", "shop") is None
    assert objects.finalizers == ["ConfigMap shop/a: istio-finalizer.install.istio.io"]


def test_another_finalizer_of_a_mesh_object_is_removed_when_nobody_has_answered_it(server):
    live = server.put(obj("VirtualService", "a", finalizers=["example.com/mine"]))
    deletions(server, finalizers=0.05).delete([item(live, "mesh_objects")])
    assert server.find("VirtualService", "a", "shop") is None


def test_a_finalizer_of_somebody_elses_object_is_named_and_left(server):
    live = server.put(obj("ConfigMap", "a", finalizers=["example.com/mine"]))
    with pytest.raises(MeshopsError, match=r"ConfigMap shop/a: deletion failed \(Timeout\).*example.com/mine"):
        deletions(server, wait=0.2).delete([item(live)])
    assert server.find("ConfigMap", "a", "shop")["metadata"]["finalizers"] == ["example.com/mine"]


def test_a_kind_that_is_no_longer_served_is_gone(server):
    gone = Item("mesh_objects", "delete", "gone.istio.io/v1", "Gone", "shop", "a", ())
    objects = deletions(server)
    assert objects.get(gone) is None
    objects.delete([gone])
    assert objects.going == []
