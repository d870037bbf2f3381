# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.injection.namespaces import (
    FIELD_MANAGER,
    check_served,
    plan_namespaces,
    plan_removals,
    wanted_labels,
    write_labels,
)
from fakes.injection import Cluster, pod


def test_wanted_labels():
    assert wanted_labels("") == {"istio-injection": "enabled", "istio.io/rev": None}
    assert wanted_labels("prod") == {"istio.io/rev": "prod", "istio-injection": None}


def test_plan_of_namespaces():
    there = {"a": {"metadata": {"labels": {"istio-injection": "enabled", "x": "y"}}}, "b": {"metadata": {}}}
    cluster = Cluster(None, namespaces=there)
    changes = plan_namespaces(cluster, ["a", "b", "c", "a"], "")
    assert [(c.name, c.action) for c in changes] == [("a", "unchanged"), ("b", "update"), ("c", "create")]
    (moved,) = plan_namespaces(cluster, ["a"], "prod")
    assert moved.after["metadata"]["labels"] == {"x": "y", "istio.io/rev": "prod"}
    with pytest.raises(MeshopsError, match="Istio never injects into namespace kube-system"):
        plan_namespaces(cluster, ["kube-system"], "")


@pytest.mark.parametrize("name", ["shop_1", "Shop", "-shop", "shop.a", "", "a" * 64])
def test_invalid_namespace_names_are_refused_in_the_plan(name):
    with pytest.raises(MeshopsError, match="is not a valid namespace name"):
        plan_namespaces(Cluster(None, namespaces={}), [name], "")


def labelled(manager, labels=("istio-injection", "enabled"), operation="Update"):
    key, value = labels
    fields = {"f:metadata": {"f:labels": {f"f:{key}": {}}}}
    entry = {"manager": manager, "operation": operation, "fieldsV1": fields}
    return {"metadata": {"labels": {key: value, "team": "a"}, "managedFields": [entry]}}


def test_namespace_that_is_declared_no_longer_loses_the_label_of_this_collection_only():
    there = {
        "kept": labelled(FIELD_MANAGER),
        "dropped": labelled(FIELD_MANAGER),
        "of-a-user": labelled("kubectl-label"),
        "of-an-object": labelled("meshops.istio", operation="Apply"),
        "other-revision": labelled(FIELD_MANAGER, ("istio.io/rev", "prod")),
    }
    cluster = Cluster(None, namespaces=there)
    changes, warnings = plan_removals(cluster, ["kept"], "")
    assert ([change.name for change in changes], warnings) == (["dropped"], [])
    write_labels(cluster, changes[0])
    assert cluster.patched == [("dropped", {"istio.io/rev": None, "istio-injection": None}, FIELD_MANAGER)]
    assert changes[0].after["metadata"]["labels"] == {"team": "a"}


def test_namespace_with_injected_pods_keeps_its_label():
    cluster = Cluster(None, [pod("x:1")], namespaces={"dropped": labelled(FIELD_MANAGER)})
    changes, (warning,) = plan_removals(cluster, [], "")
    assert changes == []
    assert "Namespace dropped is declared no longer, and keeps its label istio-injection: its pods p have" in warning


@pytest.mark.parametrize("revision", ["", "prod", "canary"])
def test_served_revisions_pass(revision):
    cluster = Cluster(None, namespaces={"n": {"metadata": {}}})
    changes = plan_namespaces(cluster, ["n"], revision)
    assert check_served(cluster, changes, revision, check_mode=False) == (True, [])


def test_unknown_revision_is_a_warning_in_check_mode_because_the_run_may_install_it():
    cluster = Cluster(None, namespaces={"n": {"metadata": {}}})
    changes = plan_namespaces(cluster, ["n"], "next")
    served, (warning,) = check_served(cluster, changes, "next", check_mode=True)
    assert not served
    assert "no sidecar injector serves revision or tag 'next'" in warning


def test_cluster_without_injector_is_refused():
    cluster = Cluster(None, webhooks=(), namespaces={"n": {"metadata": {}}})
    changes = plan_namespaces(cluster, ["n"], "")
    with pytest.raises(MeshopsError, match="the default revision.* Install a control plane first"):
        check_served(cluster, changes, "", check_mode=False)
    assert check_served(cluster, changes, "", check_mode=True) == (False, [])
