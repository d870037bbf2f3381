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
from fakes.api_server import ApiServer
from fakes.objects import obj


def record(namespace, name):
    """A release's record, labelled as the inventory's."""
    labels = {"owner": "helm", "name": name, "status": "deployed", "meshops.istio/owner": "prod"}
    return obj("Secret", f"sh.helm.release.v1.{name}.v1", namespace, labels=labels)


def cluster(*releases, refuses=0):
    """A cluster with the records of releases; it may refuse to list all Secrets."""
    server = ApiServer([record(*release) for release in releases])

    def refusal(request):
        everywhere = request.kind and request.kind.kind == "Secret" and request.namespace is None
        return ApiError("no", refuses) if refuses and everywhere else None

    server.refuse(refusal)
    return server


def test_releases_that_are_not_declared_are_removed():
    found = undeclared(cluster(("a", "x"), ("a", "y"), ("b", "x")), [Release("x", "c", "a")], Owner("prod"))
    assert [(r.namespace, r.name, r.state) for r in found.releases] == [("a", "y", "absent"), ("b", "x", "absent")]
    assert found.notes == []


def test_without_pruning_they_are_named():
    found = undeclared(cluster(("a", "y")), [], Owner("prod", prune=False))
    assert found.releases == []
    assert found.notes == ["Release a/y is no longer declared, and is retained"]


def test_without_an_owner_nothing_is_looked_for():
    assert undeclared(None, [], None).releases == []


def test_what_may_not_be_listed_is_said():
    found = undeclared(cluster(("a", "y"), ("b", "z"), refuses=403), [Release("x", "c", "a")], Owner("prod"))
    assert [release.name for release in found.releases] == ["y"]
    assert "is Forbidden" in found.notes[0]
    with pytest.raises(ApiError):
        undeclared(cluster(refuses=500), [], Owner("prod"))


RECORD = Stored("r", "n", 1, "deployed", "", {}, "c", "1", "", {}, "csa", 0, {})


def test_release_whose_kinds_or_namespace_are_used_is_refused():
    names = {"kind": "Shop", "plural": "shops"}
    spec = {"group": "g.io", "names": names, "scope": "Namespaced", "versions": [{"name": "v1", "served": True}]}
    definition = obj("CustomResourceDefinition", "shops.g.io", None, spec=spec)
    shops = [obj("Shop", f"s{n}", "n", "g.io/v1", size=n) for n in range(5)]
    server = ApiServer([definition, *shops])
    with pytest.raises(MeshopsError, match="in use by Shop n/s0, Shop n/s1, Shop n/s2 and 2 more"):
        check_unused(RECORD, users_of(server, [definition]))
    check_unused(RECORD, users_of(server, [definition, *shops]))
    check_unused(RECORD, users_of(ApiServer([definition]), [definition]))
    server = ApiServer([obj("Namespace", "n", None), obj("Deployment", "d", "n", replicas=1)])
    with pytest.raises(MeshopsError, match="in use by Deployment n/d"):
        check_unused(RECORD, users_of(server, [obj("Namespace", "n", None)]))
