# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Edits of an object that others write too, on an API server in memory."""

from __future__ import annotations

import doctest

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster import edit as editing
from ansible_collections.meshops.istio.plugins.module_utils.cluster.edit import ATTEMPTS, ObjectRef, edit
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import CONFIG_MAP
from fakes.api_server import ApiServer
from fakes.objects import obj

REF = ObjectRef(CONFIG_MAP, "c", "shop")


def server(others=0):
    """Has one ConfigMap; others write it a number of times just before the first edits arrive."""
    found = ApiServer([obj("ConfigMap", "c")])
    left = [others]

    def write(request):
        if request.method == "PATCH" and left[0]:
            left[0] -= 1
            found.put(obj("ConfigMap", "c", labels={"left": str(left[0])}))

    found.on_request(write)
    return found


def add(_live):
    return [{"op": "add", "path": "/data", "value": {"a": "b"}}]


def test_edit_begins_again_on_what_others_wrote():
    cluster = server(others=3)
    assert edit(cluster, REF, add)["data"] == {"a": "b"}
    live = cluster.find("ConfigMap", "c", "shop")
    assert (live["data"], live["metadata"]["labels"]) == ({"a": "b"}, {"left": "0"})


def test_edit_gives_up_after_some_conflicts():
    cluster = server(others=99)
    with pytest.raises(ApiError) as refused:
        edit(cluster, REF, add)
    assert refused.value.status == 409
    assert len([request for request in cluster.requests if request.method == "PATCH"]) == ATTEMPTS


def test_edit_leaves_an_object_alone_without_operations():
    cluster = server()
    assert edit(cluster, REF, lambda _live: []) == cluster.find("ConfigMap", "c", "shop")
    assert edit(ApiServer(), REF, add) is None
    assert cluster.writes == []


def test_in_check_mode_nothing_is_kept():
    cluster = server()
    assert edit(cluster, REF, add, check_mode=True)["data"] == {"a": "b"}
    assert "data" not in cluster.find("ConfigMap", "c", "shop")


def test_edit_examples():
    assert doctest.testmod(editing).failed == 0
