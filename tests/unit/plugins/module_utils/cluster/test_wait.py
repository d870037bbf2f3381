# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waiting until objects are gone, and until kinds are served."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN, Kind
from ansible_collections.meshops.istio.plugins.module_utils.cluster.wait import wait_established, wait_gone
from ansible_collections.meshops.istio.plugins.module_utils.cluster.workloads import NotReady
from fakes.api_server import ApiServer
from fakes.objects import obj


def test_objects_that_are_gone_need_no_time():
    wait_gone(ApiServer(), [obj("ConfigMap", "c")], 0)


def test_an_object_that_remains_is_named_with_its_finalizers():
    server = ApiServer()
    live = server.put(obj("ConfigMap", "c", finalizers=["example.com/keep"]))
    server.delete(KNOWN["", "ConfigMap"], "c", "shop")
    with pytest.raises(NotReady, match="ConfigMap shop/c: it is held by the finalizers example.com/keep"):
        wait_gone(server, [live], 0, poll=0.01)


def test_another_object_of_the_same_name_is_not_waited_for():
    server = ApiServer()
    server.put(obj("ConfigMap", "c"))
    wait_gone(server, [obj("ConfigMap", "c", uid="of the deleted one")], 0)


def test_a_kind_without_definition_is_missing_and_a_served_one_is_not():
    thing = Kind("example.com", "v1", "Thing", "things", namespaced=True)
    assert wait_established(ApiServer(), [KNOWN["networking.istio.io", "VirtualService"], thing], 0) == [thing]
