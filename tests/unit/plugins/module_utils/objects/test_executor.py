# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a failed write holds back, and what it doesn't."""

from __future__ import annotations

import types

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.objects import executor as writing
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.order import stages
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.plan import Change


def obj(kind, name, **spec):
    meta = {"namespace": "shop", "name": name, "uid": "1", "resourceVersion": "1"}
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": meta, "spec": spec}


def rule(name, *subsets):
    return obj("DestinationRule", name, host=name, subsets=[{"name": subset} for subset in subsets])


def route(name, subset):
    return obj("VirtualService", name, http=[{"route": [{"destination": {"host": name, "subset": subset}}]}])


def change(before, after):
    action = "create" if before is None else "delete" if after is None else "update"
    shown = after or before
    meta = shown["metadata"]
    return Change(action, shown["apiVersion"], shown["kind"], "shop", meta["name"], before=before, after=after)


def run(changes, failing=lambda obj: False, error=None, check_mode=False, settle=0, written=None):
    """Executes changes on a server that refuses some objects; what became of each, and what was written."""
    written = [] if written is None else written

    def apply(obj, force, dry_run):
        if failing(obj):
            raise error or ApiError("no", status=422)
        written.append((obj["kind"], obj["metadata"]["name"]))
        return {**obj, "metadata": {**obj["metadata"], "resourceVersion": "2"}}

    def delete(kind, name, namespace, uid, dry_run):
        written.append(("gone", name))

    cluster = types.SimpleNamespace(
        concurrency=2, apply=apply, delete=delete, kind=lambda api_version, kind: kind, deadline=lambda: 0
    )
    outcomes = writing.Executor(cluster, writing.Execution(settle, check_mode=check_mode)).run(stages(changes))
    return [(o.change.kind, o.change.name, o.action, str(o.error or "")) for o in outcomes], written


def swap(name):
    return [change(rule(name, "v1"), rule(name, "v2")), change(route(name, "v1"), route(name, "v2"))]


def test_a_route_that_fails_keeps_its_own_rule_and_no_other():
    outcomes, written = run(
        [*swap("a"), *swap("b"), change(rule("c", "v1"), None)],
        lambda obj: (obj["kind"], obj["metadata"]["name"]) == ("VirtualService", "a"),
    )
    failed = [outcome for outcome in outcomes if outcome[2] == "failed"]
    assert [outcome[:2] for outcome in failed] == [("VirtualService", "a"), ("DestinationRule", "a")]
    assert failed[1][3].endswith(
        "what is to be deleted was left beside what is new, as it may be needed by VirtualService shop/a, which failed"
    )
    assert written.count(("DestinationRule", "a")) == 1
    assert written.count(("DestinationRule", "b")) == 2
    assert ("gone", "c") in written


def test_something_else_that_fails_holds_nothing_back():
    other = change(None, obj("Gateway", "g"))
    outcomes, written = run([*swap("a"), other], lambda obj: obj["kind"] == "Gateway")
    assert [outcome[1] for outcome in outcomes if outcome[2] == "failed"] == ["g"]
    assert written.count(("DestinationRule", "a")) == 2


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_route_is_not_written_without_its_new_subsets(check_mode):
    outcomes, written = run(swap("a") + swap("b"), lambda obj: obj["spec"].get("host") == "a", check_mode=check_mode)
    assert (("VirtualService", "a") in written) == check_mode, "check mode tries what it can"
    assert ("VirtualService", "b") in written
    if not check_mode:
        [held] = [outcome[3] for outcome in outcomes if outcome[:2] == ("VirtualService", "a")]
        assert held.endswith("nothing was done, as it needs DestinationRule shop/a, which failed")


@pytest.mark.parametrize("check_mode", [False, True])
def test_nothing_is_written_for_a_moment_before_routes_that_wait(monkeypatch, check_mode):
    """So that istiod, which waits for a moment of quiet, pushes the subsets before it sees a route."""
    written, now = [], [1000.0]

    def sleep(seconds):
        now[0] += seconds
        if seconds:
            written.append(("pause", seconds))

    monkeypatch.setattr(writing, "time", types.SimpleNamespace(sleep=sleep, monotonic=lambda: now[0]))
    created = [change(None, rule(name, "v1")) for name in "abc"] + [change(None, route(name, "v1")) for name in "abc"]
    run(created, check_mode=check_mode, settle=2.0, written=written)
    assert [each[0] for each in written[:3]] == ["DestinationRule"] * 3
    assert (written[3] == ("pause", 0.4)) is not check_mode
    written.clear()
    run(created, check_mode=check_mode, settle=0, written=written)
    assert "pause" not in [each[0] for each in written]
    written.clear()
    run([change(None, obj("Sidecar", "s")), change(None, route("a", "v1"))], settle=2.0, written=written)
    assert "pause" not in [each[0] for each in written]


def test_nothing_is_pruned_when_something_could_not_be_written():
    former = change(obj("VirtualService", "old"), None)
    former.pruned = True
    declared = [change(None, obj("VirtualService", "new")), change(None, obj("Sidecar", "s"))]
    outcomes, written = run([former, *declared], lambda obj: obj["metadata"]["name"] == "new")
    assert written == [("Sidecar", "s")]
    assert outcomes[-1][2:] == ("failed", "VirtualService shop/old: not pruned, as VirtualService shop/new failed")
    assert run([former, *declared])[1][-1] == ("gone", "old")


def test_whatever_goes_wrong_with_one_the_others_are_told():
    outcomes, _written = run(
        [change(None, obj("Gateway", name)) for name in "ab"], lambda obj: obj["metadata"]["name"] == "a", KeyError("x")
    )
    assert [outcome[2] for outcome in outcomes] == ["failed", "created"]
    assert outcomes[0][3] == "Gateway shop/a: KeyError: 'x'"


def definition():
    crd = obj("CustomResourceDefinition", "things.example.org", group="example.org", names={"kind": "Thing"})
    return {**crd, "apiVersion": "apiextensions.k8s.io/v1"}


def test_fields_of_a_definition_that_was_just_written_are_waited_for(monkeypatch):
    monkeypatch.setattr(writing.time, "sleep", lambda _seconds: None)
    refusals = [True, True]
    thing = {**obj("Thing", "one", color="red"), "apiVersion": "example.org/v1"}

    def failing(written):
        return written["kind"] == "Thing" and bool(refusals) and refusals.pop()

    outcomes, written = run([change(None, definition()), change(None, thing)], failing)
    assert outcomes[-1] == ("Thing", "one", "created", "")
    assert written[-1] == ("Thing", "one")


def test_an_unknown_field_of_another_kind_fails_at_once():
    calls = []

    def failing(written):
        calls.append(written["kind"])
        return written["kind"] == "VirtualService"

    outcomes, _written = run([change(None, definition()), change(None, route("a", "v1"))], failing)
    assert ("VirtualService", "a", "failed") in [outcome[:3] for outcome in outcomes]
    assert calls.count("VirtualService") == 1
