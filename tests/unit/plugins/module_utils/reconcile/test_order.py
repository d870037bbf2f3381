# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The order in which changes are made."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.order import stages
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.plan import Change
from hypothesis import given
from hypothesis import strategies as st


def change(action, kind, name="x", before=None, after=None):
    return Change(action, "networking.istio.io/v1", kind, "shop", name, before=before, after=after)


def order_of(changes):
    return [[c.kind for c in stage.changes] for stage in stages(changes)]


def test_creation_and_deletion_go_opposite_ways():
    kinds = ["VirtualService", "DestinationRule", "Namespace"]
    assert order_of([change("create", k) for k in kinds]) == [["Namespace"], ["DestinationRule"], ["VirtualService"]]
    assert order_of([change("delete", k) for k in kinds]) == [["VirtualService"], ["DestinationRule"], ["Namespace"]]


def test_deletions_come_last_and_proxies_get_time_before_rules_go():
    found = stages(
        [change("delete", "DestinationRule"), change("update", "VirtualService"), change("unchanged", "Gateway")]
    )
    assert [([c.action for c in s.changes], s.settle) for s in found] == [(["update"], False), (["delete"], True)]


def policy(*types):
    return {"spec": {"podSelector": {}, "policyTypes": list(types)}}


def test_network_policy_that_restricts_egress_is_written_after_the_routes_that_it_waits_for():
    route = change("update", "VirtualService", after={"spec": {"hosts": ["a"]}})
    egress, ingress = (
        change("create", "NetworkPolicy", name, after=policy(kind))
        for name, kind in (("e", "Egress"), ("i", "Ingress"))
    )
    written = stages([egress, ingress, route, change("create", "Gateway")])
    assert [stage.changes[0].kind for stage in written] == ["Gateway", "VirtualService", "NetworkPolicy"]
    assert written[-1].waits_for == {egress.key: [route.key]}
    assert stages([egress])[0].waits_for == {}
    kinds = [
        stage.changes[0].kind for stage in stages([change("delete", k) for k in ("VirtualService", "NetworkPolicy")])
    ]
    assert kinds == ["NetworkPolicy", "VirtualService"]


@pytest.mark.parametrize("after", [None, {}, {"spec": None}, {"spec": {"policyTypes": "Egress"}}])
def test_invalid_network_policy_is_ordered_all_the_same(after):
    route = change("update", "VirtualService", after={"spec": {"hosts": ["a"]}})
    assert stages([route, change("create", "NetworkPolicy", after=after)])[-1].waits_for == {}


def rule(*subsets):
    return {"spec": {"host": "a", "subsets": [{"name": s} for s in subsets]}}


def test_a_subset_goes_after_the_routes():
    swap = change("update", "DestinationRule", before=rule("v1"), after=rule("v2"))
    route = {"spec": {"http": [{"route": [{"destination": {"host": "a", "subset": "v1"}}]}]}}
    moved = change("update", "VirtualService", before=route, after={"spec": {"http": []}})
    other = change("update", "VirtualService", "other", before={"spec": {}}, after={"spec": {}})
    found = stages([swap, moved, other])
    names = [
        [s["name"] for s in c.after["spec"]["subsets"]] if c.kind == "DestinationRule" else None
        for st in found
        for c in st.changes
    ]
    assert names == [["v2", "v1"], None, None, ["v2"]]
    assert [(s.settle, s.needed_by) for s in found] == [(False, {}), (False, {}), (True, {swap.key: [moved.key]})]
    gone = stages([change("delete", "DestinationRule", before=rule("v1")), moved, other])[-1]
    assert (gone.settle, gone.needed_by) == (True, {swap.key: [moved.key]})
    assert swap.after == rule("v2")
    assert len(stages([swap])) == 1, "without a change of routes there is nothing to wait for"


@pytest.mark.parametrize(
    ("rule_host", "route_host", "waits"),
    [
        ("reviews", "reviews", True),
        ("reviews.shop.svc.cluster.local", "reviews", True),
        ("reviews", "reviews.shop.svc.cluster.local", True),
        ("reviews", "reviews.other.svc.cluster.local", False),
        ("reviews.example.org", "reviews.example.org", True),
        ("*.shop.svc.cluster.local", "reviews", True),
        ("*.local", "reviews", True),
        ("*.other.svc.cluster.local", "reviews", False),
        ("*.example.org", "reviews.example.org", True),
        ("ratings", "reviews", False),
    ],
)
def test_a_route_waits_for_the_new_subsets_of_its_own_hosts(rule_host, route_host, waits):
    arriving = change("create", "DestinationRule", after={"spec": {"host": rule_host, "subsets": [{"name": "v1"}]}})
    route = {"spec": {"http": [{"route": [{"destination": {"host": route_host, "subset": "v1"}}]}]}}
    routing = change("update", "VirtualService", after=route)
    first, second = stages([routing, arriving])
    assert first.waits_for == {}
    assert second.waits_for == ({routing.key: [arriving.key]} if waits else {})
    known = change("update", "DestinationRule", before=arriving.after, after=arriving.after)
    assert stages([routing, known])[1].waits_for == {}, "subsets that are there need no time"


@pytest.mark.parametrize("spec", ["text", ["list"], {"subsets": "v1"}, {"host": 5, "subsets": [{"name": ["v1"]}, 7]}])
def test_what_the_server_will_refuse_is_ordered_all_the_same(spec):
    odd_route = {"spec": {"http": [{"route": [{"destination": {"host": ["a"], "subset": {}}}]}]}}
    odd = [
        change("update", "DestinationRule", before=rule("v1"), after={"spec": spec}),
        change("create", "DestinationRule", "y", after={"spec": spec}),
        change("update", "VirtualService", before={"spec": spec}, after=odd_route),
    ]
    assert sum(len(stage.changes) for stage in stages(odd)) >= len(odd)


KINDS = st.sampled_from(
    ["Namespace", "Secret", "Service", "DestinationRule", "Gateway", "VirtualService", "HTTPRoute", "Job"]
)


@given(st.lists(st.tuples(st.sampled_from(["create", "update", "delete", "unchanged"]), KINDS)))
def test_every_change_is_in_one_stage(pairs):
    changes = [change(action, kind, str(n)) for n, (action, kind) in enumerate(pairs)]
    placed = [c.name for stage in stages(changes) for c in stage.changes]
    assert sorted(placed) == sorted(c.name for c in changes if c.action != "unchanged")


# -- readiness ----------------------------------------------------------------
