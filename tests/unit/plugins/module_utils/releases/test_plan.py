# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.helm.releases import Release
from ansible_collections.meshops.istio.plugins.module_utils.releases.model import Action, Reason
from ansible_collections.meshops.istio.plugins.module_utils.releases.plan import PlanOptions, plan_releases
from ansible_collections.meshops.istio.plugins.module_utils.releases.undeclared import Owner
from fakes.api_server import ApiServer
from fakes.helm import FakeHelm, installed, record
from fakes.objects import obj

SHOP = Release("shop", "shop", "shop")
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
CONFIG, NEXT = obj("ConfigMap", "settings", data={"a": "1"}), obj("ConfigMap", "settings", data={"a": "2"})


def planned(*live: dict, chart=(CONFIG,), release=SHOP, options=None):
    server = ApiServer([NAMESPACE, *live])
    (plan,) = plan_releases(server, FakeHelm({"shop": chart}), [release], options)
    assert server.writes == []
    return plan


def steps(plan) -> list[tuple[str, str]]:
    return [(change.action, change.title) for change in plan.changes if change.action != "unchanged"]


def test_missing_namespace_is_part_of_the_plan():
    (plan,) = plan_releases(ApiServer(), FakeHelm({"shop": [CONFIG]}), [SHOP])
    assert steps(plan) == [("create", "Namespace shop"), ("create", "ConfigMap shop/settings")]
    assert plan.create_namespace
    assert not planned().create_namespace


def test_unchanged_release():
    plan = planned(record(SHOP, CONFIG), *installed(SHOP, CONFIG))
    assert (plan.changed, plan.action, steps(plan)) == (False, Action.NONE, [])


def test_drift_is_repaired_without_helm():
    drifted = obj("ConfigMap", "settings", data={"a": "drift"})
    plan = planned(record(SHOP, CONFIG), *installed(SHOP, drifted))
    assert (plan.action, [change.title for change in plan.repairs]) == (Action.NONE, ["ConfigMap shop/settings"])
    assert plan.report()["action"] == "repair"


def test_objects_that_the_chart_no_longer_has_are_deleted():
    plan = planned(record(SHOP, CONFIG), *installed(SHOP, CONFIG), chart=())
    assert steps(plan) == [("delete", "ConfigMap shop/settings")]
    kept = {**CONFIG, "metadata": {**CONFIG["metadata"], "annotations": {"helm.sh/resource-policy": "keep"}}}
    assert steps(planned(record(SHOP, kept), *installed(SHOP, kept), chart=())) == []


def test_patched_release_installs_a_manifest_of_its_own():
    patch = {"kind": "ConfigMap", "name": "settings", "merge": {"data": {"b": "2"}}}
    plan = planned(release=dataclasses.replace(SHOP, patches=[patch]))
    assert '"b": "2"' in plan.manifest
    assert planned().manifest is None


def test_existing_objects_of_others_are_refused():
    with pytest.raises(MeshopsError, match=r"belong to another owner \(Conflict\): ConfigMap shop/settings"):
        planned(CONFIG)
    plan = planned(CONFIG, options=PlanOptions(take_ownership=True))
    assert [takeover.live["metadata"]["name"] for takeover in plan.takeovers] == ["settings"]


def test_api_that_the_cluster_does_not_serve_is_refused():
    gone = {"apiVersion": "batch/v1", "kind": "Gone", "metadata": {"name": "web"}}
    with pytest.raises(MeshopsError, match="the cluster does not serve batch/v1 Gone, which chart shop renders"):
        planned(chart=(gone,))


def test_definitions_in_the_folder_crds_are_planned():
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {"group": "example.com", "names": {"kind": "Thing", "plural": "things"}, "scope": "Namespaced"},
    }
    helm = FakeHelm({"shop": [CONFIG]}, {"shop": [definition]})
    (plan,) = plan_releases(ApiServer([NAMESPACE, record(SHOP, CONFIG), *installed(SHOP, CONFIG)]), helm, [SHOP])
    assert steps(plan) == [("create", "CustomResourceDefinition things.example.com")]
    assert [cause.reason for cause in plan.causes] == [Reason.DEFINITION]


def test_release_is_declared_once():
    with pytest.raises(MeshopsError, match="release shop/shop is declared twice"):
        plan_releases(ApiServer(), FakeHelm({}), [SHOP, SHOP])


def test_release_in_a_config_map_is_refused():
    labels = {"owner": "helm", "name": "shop", "status": "deployed"}
    with pytest.raises(MeshopsError, match="shop/shop"):
        planned(obj("ConfigMap", "sh.helm.release.v1.shop.v1", labels=labels, data={}))


def test_release_that_its_owner_no_longer_declares_is_uninstalled():
    owned = {"meshops.istio/owner": "prod"}
    server = ApiServer([NAMESPACE, record(SHOP, CONFIG, labels=owned), *installed(SHOP, CONFIG)])
    (plan,) = plan_releases(server, FakeHelm({}), [], PlanOptions(owner=Owner("prod")))
    assert (plan.action, [cause.reason for cause in plan.causes]) == (Action.UNINSTALL, [Reason.UNDECLARED])
    assert steps(plan) == [("delete", "ConfigMap shop/settings")]


def test_release_of_another_owner_is_refused():
    other = record(SHOP, CONFIG, labels={"meshops.istio/owner": "test"})
    with pytest.raises(MeshopsError, match=r"belongs to inventory 'test', not to 'prod' \(Conflict\)"):
        planned(other, *installed(SHOP, CONFIG), release=dataclasses.replace(SHOP, owner="prod"))
    owned = dataclasses.replace(SHOP, owner="prod")
    unowned = planned(record(SHOP, CONFIG), *installed(SHOP, CONFIG), release=owned)
    assert (unowned.relabel, unowned.changed) == (True, True)


def test_release_in_use_is_not_uninstalled_unless_it_is_declared_so():
    owned = {"meshops.istio/owner": "prod"}
    live = [NAMESPACE, record(SHOP, CONFIG, labels=owned), *installed(SHOP, CONFIG)]
    options = PlanOptions(owner=Owner("prod"), users=lambda _cluster, _deleted: ["Gateway shop/public"])
    with pytest.raises(MeshopsError, match="Refusing to uninstall release shop/shop, .* in use by Gateway shop/public"):
        plan_releases(ApiServer(live), FakeHelm({}), [], options)
    absent = dataclasses.replace(SHOP, state="absent")
    (plan,) = plan_releases(ApiServer(live), FakeHelm({}), [absent], options)
    assert plan.action is Action.UNINSTALL
    assert plan.warnings == ("Release shop/shop is uninstalled while it is in use by Gateway shop/public",)


def test_what_is_retained_is_named_also_where_nothing_is_declared():
    server = ApiServer([NAMESPACE, record(SHOP, CONFIG, labels={"meshops.istio/owner": "prod"})])
    plans = plan_releases(server, FakeHelm({}), [], PlanOptions(owner=Owner("prod", prune=False)))
    assert (list(plans), plans.notes) == ([], ("Release shop/shop is no longer declared, and is retained",))
