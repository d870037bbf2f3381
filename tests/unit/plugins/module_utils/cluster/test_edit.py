# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import doctest

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster import edit as editing
from ansible_collections.meshops.istio.plugins.module_utils.cluster.edit import ObjectRef, edit
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import CONFIG_MAP


class Cluster:
    """Holds one ConfigMap; others write it a number of times before the first edits come through."""

    def __init__(self, others=0, exists=True):
        self.others, self.exists, self.version, self.patches = others, exists, 1, []

    def get(self, *_which):
        return {"metadata": {"name": "c", "resourceVersion": str(self.version)}} if self.exists else None

    def patch(self, _kind, _name, patch, _namespace, options, dry_run):
        assert options.how == "json"
        if self.others:
            self.others -= 1
            self.version += 1
        if patch[0]["value"] != str(self.version):
            raise ApiError("the object has been modified", status=409)
        self.patches.append(patch[1:])
        return {"metadata": {"resourceVersion": str(self.version + 1)}}


def add(_live):
    return [{"op": "add", "path": "/data", "value": {}}]


def test_edit_begins_again_on_what_others_wrote():
    cluster = Cluster(others=3)
    assert edit(cluster, ObjectRef(CONFIG_MAP, "c", "n"), add)["metadata"]["resourceVersion"] == "5"
    assert cluster.patches == [add(None)]


def test_edit_gives_up_after_some_conflicts():
    with pytest.raises(ApiError, match="has been modified"):
        edit(Cluster(others=99), ObjectRef(CONFIG_MAP, "c", "n"), add)


def test_edit_leaves_an_object_alone_without_operations():
    cluster = Cluster()
    assert edit(cluster, ObjectRef(CONFIG_MAP, "c", "n"), lambda _live: []) == cluster.get()
    assert edit(Cluster(exists=False), ObjectRef(CONFIG_MAP, "c", "n"), add) is None
    assert not cluster.patches


def test_edit_examples():
    assert doctest.testmod(editing).failed == 0
