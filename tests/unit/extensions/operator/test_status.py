# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The status of an object."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.extensions.operator import status
from ansible_collections.meshops.istio.plugins.module_utils.istio_operator.custom_resource import verdict
from fakes.istio_operators import obj, release


def outcome(state, message="", **more):
    return status.Outcome(state, state, message, **more)


def conditions(found):
    return {c["type"]: c["status"] for c in found["conditions"]}


@pytest.mark.parametrize(
    ("state", "ready", "reconciling", "valid"),
    [
        ("Ready", "True", "False", "True"), ("Reconciling", "False", "True", "True"),
        ("Failed", "False", "False", "True"), ("Invalid", "False", "False", "False"),
    ],
)  # fmt: skip
def test_conditions(state, ready, reconciling, valid):
    found = status.status(obj(generation=3), outcome(state, "why"), "t")
    assert conditions(found) == {"Ready": ready, "Reconciling": reconciling, "Valid": valid}
    assert found["observedGeneration"] == 3


def test_a_condition_keeps_the_time_of_its_last_change():
    first = status.status(obj(), outcome("Ready"), "t1")
    second = status.status(obj(status=first), outcome("Ready", "still"), "t2")
    third = status.status(obj(status=second), outcome("Failed", "no"), "t3")
    times = [next(c["lastTransitionTime"] for c in s["conditions"] if c["type"] == "Ready") for s in (second, third)]
    assert times == ["t1", "t3"]


def test_a_bad_object_keeps_what_is_known_of_what_runs():
    good = status.status(obj(), outcome("Ready", components=[{"name": "istiod"}], version="1.31.0"), "t")
    bad = status.status(obj(generation=2, status=good), outcome("Invalid", "spec.x: unknown\nfield"), "t")
    assert (bad["components"], bad["version"], bad["message"]) == (
        [{"name": "istiod"}],
        "1.31.0",
        "spec.x: unknown field",
    )


SYSTEM = "istio-system"


def test_a_component_fails_by_the_release_that_the_result_names():
    releases = [release(name) for name in ("istio-base", "istiod", "istio-ingressgateway")]
    progress = status.Progress(
        failed={(SYSTEM, "istiod"): "Deployment istio-system/istiod is not ready"},
        not_begun={(SYSTEM, "istio-ingressgateway")},
    )
    found = status.components(releases, progress)
    assert [one["state"] for one in found] == ["Ready", "Failed", "Pending"]


def test_a_component_does_not_fail_because_its_name_is_part_of_a_message():
    failed = {(SYSTEM, "istiod"): "istio-base and gw are fine"}
    found = status.components([release("gw"), release("istiod")], status.Progress(failed=failed))
    assert [one["state"] for one in found] == ["Ready", "Failed"]


def test_a_component_of_another_object_names_its_owner():
    (found,) = status.components([], status.Progress(), not_owned=[(release("gw"), "IstioOperator istio-system/one")])
    assert (found["state"], found["message"]) == ("NotOwned", "owned by IstioOperator istio-system/one")


def test_a_workload_that_is_not_ready_shows():
    found = status.components([release("gw")], status.Progress({(SYSTEM, "gw"): "Deployment gw: 0 of 1"}))
    assert (found[0]["state"], found[0]["message"]) == ("NotReady", "Deployment gw: 0 of 1")


def test_events_tell_what_was_done_and_why():
    planned = [
        {"name": "istiod", "namespace": "s", "action": "upgrade", "reasons": ["its values differ"]},
        {"name": "base", "namespace": "s", "action": "none"},
    ]
    assert status.events(planned) == [("Upgraded", "istiod in s: its values differ")]


def test_who_waits_is_told_only_of_the_present_generation():
    ready = status.status(obj(), outcome("Ready"), "t")
    assert verdict(obj(status=ready)) == (True, "")
    assert verdict(obj(generation=2, status=ready)) == (False, "")
    assert verdict(obj()) == (False, "")
    assert verdict(obj(status=status.status(obj(), outcome("Invalid", "spec.x: no"), "t"))) == (True, "spec.x: no")
