# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.helm.releases import Release
from ansible_collections.meshops.istio.plugins.module_utils.helm.stored import Stored
from ansible_collections.meshops.istio.plugins.module_utils.releases.undeclared import (
    Owner,
    check_unused,
    undeclared,
    users_of,
)


class Cluster:
    """Has the records of releases, by namespace and name, and may refuse to list them all."""

    def __init__(self, *releases, refuses=0, users=()):
        self.releases, self.refuses, self.users = releases, refuses, users

    def list(self, kind, namespace=None, labels=None):
        if kind.kind != "Secret":
            return [user for user in self.users if user["kind"] == kind.kind]
        assert labels == "owner=helm,status!=superseded,meshops.istio/owner=prod"
        if namespace is None and self.refuses:
            raise ApiError("no", self.refuses)
        found = [(ns, name) for ns, name in self.releases if namespace in (None, ns)]
        return [{"metadata": {"namespace": ns, "labels": {"name": name}}} for ns, name in found]


def test_releases_that_are_not_declared_are_removed():
    found = undeclared(Cluster(("a", "x"), ("a", "y"), ("b", "x")), [Release("x", "c", "a")], Owner("prod"))
    assert [(r.namespace, r.name, r.state) for r in found.releases] == [("a", "y", "absent"), ("b", "x", "absent")]
    assert found.notes == []


def test_without_pruning_they_are_named():
    found = undeclared(Cluster(("a", "y")), [], Owner("prod", prune=False))
    assert found.releases == []
    assert found.notes == ["Release a/y is no longer declared, and is retained"]


def test_without_an_owner_nothing_is_looked_for():
    assert undeclared(None, [], None).releases == []


def test_what_may_not_be_listed_is_said():
    found = undeclared(Cluster(("a", "y"), ("b", "z"), refuses=403), [Release("x", "c", "a")], Owner("prod"))
    assert [release.name for release in found.releases] == ["y"]
    assert "is Forbidden" in found.notes[0]
    with pytest.raises(ApiError):
        undeclared(Cluster(refuses=500), [], Owner("prod"))


RECORD = Stored("r", "n", 1, "deployed", "", {}, "c", "1", "", {}, "csa", 0, {})


def test_release_whose_kinds_or_namespace_are_used_is_refused():
    names = {"kind": "Shop", "plural": "shops"}
    spec = {"group": "g.io", "names": names, "scope": "Namespaced", "versions": [{"name": "v1", "served": True}]}
    definition = {"apiVersion": "x/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "shops"}, "spec": spec}
    shops = [
        {"apiVersion": "g.io/v1", "kind": "Shop", "metadata": {"name": f"s{n}", "namespace": "n"}} for n in range(5)
    ]
    with pytest.raises(MeshopsError, match="in use by Shop n/s0, Shop n/s1, Shop n/s2 and 2 more"):
        check_unused(RECORD, users_of(Cluster(users=shops), [definition]))
    check_unused(RECORD, users_of(Cluster(users=shops), [definition, *shops]))
    check_unused(RECORD, users_of(Cluster(), [definition]))
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
    workload = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "n"}}
    with pytest.raises(MeshopsError, match="in use by Deployment n/d"):
        check_unused(RECORD, users_of(Cluster(users=[workload]), [namespace]))
    check_unused(RECORD, users_of(Cluster(users=[workload]), [namespace, workload]))


def test_what_another_room_finds_counts_but_for_what_is_deleted_too():
    def further(_cluster, deleted):
        return ["Gateway n/a", *(f"{obj['kind']} n/{obj['metadata']['name']}" for obj in deleted)]

    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "n"}}
    assert users_of(Cluster(), [service], further) == ["Gateway n/a"]
