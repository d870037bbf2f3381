# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the plan decides, without a server: who owns what, and what is pruned."""

from __future__ import annotations

import doctest

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.reconcile import plan as planning
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.plan import PlanError, PlanOptions, plan
from fakes.applied import SPECS, live, virtual_service
from hypothesis import given
from hypothesis import strategies as st


def actions(changes):
    return [(change.action, change.name) for change in changes]


def test_actions():
    a, b, c = (virtual_service(name, hosts=[name]) for name in "abc")
    changed = virtual_service("b", hosts=["x"])
    found = plan([a, changed, c], [live(a), live(b)])
    assert actions(found) == [("unchanged", "a"), ("update", "b"), ("create", "c")]
    assert found[1].reasons == ["spec.hosts differs"]
    assert found[1].title == "VirtualService shop/b"


def test_absent():
    a, b = virtual_service("a"), virtual_service("b")
    assert actions(plan([a, b], [live(a)], PlanOptions(state="absent"))) == [("delete", "a"), ("unchanged", "b")]


def test_an_object_that_declares_only_its_name_is_unchanged():
    obj = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
    found = live(obj)
    del found["metadata"]["managedFields"]
    assert actions(plan([obj], [found])) == [("unchanged", "shop")]


OURS = {"meshops.istio/owner": "us"}

THEIRS = {"meshops.istio/owner": "them"}


def test_prune_takes_only_what_is_the_owners():
    declared_one = virtual_service("a")
    found = [
        live(virtual_service(name, labels)) for name, labels in (("a", OURS), ("b", OURS), ("c", THEIRS), ("d", None))
    ]
    changes = plan([declared_one], found, PlanOptions(owner="us", prune=True))
    assert actions(changes) == [("unchanged", "a"), ("delete", "b")]
    assert actions(plan([declared_one], found, PlanOptions(owner="us"))) == [("unchanged", "a")]


def test_prune_leaves_what_others_have_made_with_copied_labels():
    generated = live(virtual_service("gateway-istio", OURS), manager="istio.io/gateway-controller")
    assert plan([], [generated], PlanOptions(owner="us", prune=True)) == []


@pytest.mark.parametrize("kind", ["Namespace", "CustomResourceDefinition"])
def test_what_holds_others_objects_is_not_pruned(kind):
    [change] = plan([], [live({**virtual_service("a", OURS), "kind": kind})], PlanOptions(owner="us", prune=True))
    assert change.action == "unchanged"
    assert change.note.startswith("not pruned, as everything in it would be deleted")


def test_what_is_about_to_go_is_neither_there_nor_deleted_again():
    going = live(virtual_service("a", OURS), deletionTimestamp="2026-11-25T10:00:00Z", finalizers=["example.com/hold"])
    told = "VirtualService shop/a is being deleted since 2026-11-25T10:00:00Z, and waits for example.com/hold: run this"
    with pytest.raises(PlanError, match=told):
        plan([virtual_service("a")], [going])
    assert actions(plan([virtual_service("a")], [going], PlanOptions(state="absent"))) == [("unchanged", "a")]
    assert actions(plan([], [going], PlanOptions(owner="us", prune=True))) == [("unchanged", "a")]


def test_what_is_read_twice_is_planned_once():
    wanted, dropped = live(virtual_service("a", OURS)), live(virtual_service("b", OURS))
    changes = plan([virtual_service("a")], [wanted, dropped, dropped, wanted], PlanOptions(owner="us", prune=True))
    assert actions(changes) == [("unchanged", "a"), ("delete", "b")]
    with pytest.raises(PlanError) as error:
        plan([virtual_service("a")], [wanted, wanted], PlanOptions(owner="them"))
    assert len(error.value.problems) == 1


@pytest.mark.parametrize("state", ["present", "absent"])
def test_an_object_of_another_owner_is_a_problem(state):
    with pytest.raises(PlanError, match="VirtualService shop/a belongs to owner 'them', not to 'us'"):
        plan([virtual_service("a")], [live(virtual_service("a", THEIRS))], PlanOptions(owner="us", state=state))


def test_an_object_of_nobody_is_taken_into_the_set_or_a_problem():
    found = [live(virtual_service("a"))]
    assert actions(plan([virtual_service("a")], found, PlanOptions(owner="us"))) == [("update", "a")]
    with pytest.raises(PlanError, match="shop/a exists already and is unmanaged: give it the label"):
        plan([virtual_service("a")], found, PlanOptions(owner="us", adopt=False))
    ours = [live(virtual_service("a", OURS))]
    assert actions(plan([virtual_service("a")], ours, PlanOptions(owner="us", adopt=False))) == [("unchanged", "a")]
    assert actions(plan([virtual_service("a")], found, PlanOptions(state="absent", owner="us", adopt=False))) == [
        ("delete", "a")
    ]


def test_without_an_owner_an_object_keeps_the_one_it_has():
    [change] = plan([virtual_service("a", hosts=["x"])], [live(virtual_service("a", OURS))])
    assert change.after["metadata"]["labels"] == OURS
    assert change.reasons == ["spec is not set"] or change.action == "update"


def test_without_an_owner_an_object_can_be_handed_over_by_its_label():
    [change] = plan([virtual_service("a", THEIRS)], [live(virtual_service("a", OURS))])
    assert (change.action, change.after["metadata"]["labels"]) == ("update", THEIRS)


def test_declared_twice():
    with pytest.raises(PlanError, match="VirtualService shop/a is declared twice"):
        plan([virtual_service("a"), {**virtual_service("a"), "apiVersion": "networking.istio.io/v1beta1"}], [])


@given(st.lists(st.tuples(st.sampled_from("abcdef"), SPECS), unique_by=lambda pair: pair[0]), st.randoms())
def test_the_order_of_what_is_live_does_not_matter(pairs, random):
    wanted = [virtual_service(name, hosts=["x"]) for name, _spec in pairs[::2]]
    found = [live(virtual_service(name, OURS, **spec)) for name, spec in pairs]
    shuffled = random.sample(found, len(found))
    once, again = (plan(wanted, each, PlanOptions(owner="us", prune=True)) for each in (found, shuffled))
    assert sorted(actions(once)) == sorted(actions(again))


def test_the_examples_of_the_plan():
    assert doctest.testmod(planning).failed == 0
