# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a former manager claims must not outlive what is declared; tried on an API server in memory."""

from __future__ import annotations

import copy
import doctest
import types

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.objects.options import ApplyOptions
from ansible_collections.meshops.istio.plugins.module_utils.objects.reconcile import reconcile_objects
from ansible_collections.meshops.istio.plugins.module_utils.reconcile import handover
from fakes.api_server import ApiServer
from fakes.objects import obj
from hypothesis import given, settings
from hypothesis import strategies as st

KUBECTL, CONTROLLER = "kubectl-client-side-apply", "some-controller"


def run(server, *objects, check_mode=False, **options):
    module = types.SimpleNamespace(check_mode=check_mode, _diff=True)
    return reconcile_objects(module, server, copy.deepcopy(list(objects)), ApplyOptions(settle=0, **options))


def rule(**spec):
    return obj("DestinationRule", "reviews", host="reviews", **spec)


def spec_of(server, wanted):
    return server.find(wanted["kind"], wanted["metadata"]["name"], "shop")["spec"]


def test_examples():
    assert doctest.testmod(handover).failed == 0


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (rule(trafficPolicy={"outlierDetection": {"consecutive5xxErrors": 5}}), rule()),
        (rule(exportTo=["."]), rule()),
        (obj("ConfigMap", "c", data={"a": "1", "b": "2"}), obj("ConfigMap", "c", data={"a": "1"})),
        (obj("ConfigMap", "c", labels={"a": "1"}), obj("ConfigMap", "c")),
    ],
)
@pytest.mark.parametrize("manager", [KUBECTL, "OpenAPI-Generator", "Helm"])
def test_a_field_that_a_former_manager_set_too_is_removed(before, after, manager):
    server = ApiServer()
    server.put(before, manager=manager)
    run(server, before)
    foreseen = run(server, after, check_mode=True)
    result = run(server, after)
    assert [r["objects"][0]["action"] for r in (foreseen, result)] == ["updated", "updated"]
    assert manager in result["objects"][0]["note"]
    assert foreseen["diff"] == result["diff"] != []
    live = server.find(after["kind"], after["metadata"]["name"], "shop")
    assert live.get("spec") == after.get("spec") and (live.get("data") or None) == after.get("data")
    assert "labels" not in live["metadata"]
    assert not run(server, after)["changed"]


def test_a_field_that_a_controller_set_too_is_retained():
    server = ApiServer()
    server.put(rule(exportTo=["."]), manager=CONTROLLER)
    run(server, rule(exportTo=["."]))
    run(server, rule())
    assert spec_of(server, rule())["exportTo"] == ["."]
    server.put(rule(exportTo=["*"]), manager=CONTROLLER)
    with pytest.raises(MeshopsError, match=CONTROLLER):
        run(server, rule(exportTo=["."]), force_conflicts_from=["kubectl-edit"])
    run(server, rule(exportTo=["."]), force_conflicts_from=[CONTROLLER])
    assert spec_of(server, rule())["exportTo"] == ["."]


def entry(*names):
    ports = [{"number": 80 + number, "name": name} for number, name in enumerate(names)]
    return obj("ServiceEntry", "partner", hosts=["p.example.com"], ports=ports)


def test_an_item_that_a_former_manager_keeps_is_removed_by_force():
    server = ApiServer()
    server.put(entry("http"), manager=KUBECTL)
    run(server, entry("web"), force_conflicts=True)
    assert spec_of(server, entry()) == entry("web")["spec"]
    assert not run(server, entry("web"), force_conflicts=True)["changed"]


def test_a_declared_item_is_renamed_without_force():
    server = ApiServer()
    server.put(entry("http"), manager=KUBECTL)
    run(server, entry("http"))
    run(server, entry("web"))
    assert spec_of(server, entry()) == entry("web")["spec"]


def test_weights_of_a_canary_controller_are_left_to_it():
    def service(stable, canary, *more):
        targets = [("stable", stable), ("canary", canary)]
        route = [{"destination": {"host": host}, "weight": weight} for host, weight in targets]
        return obj("VirtualService", "web", hosts=["web"], http=[*more, {"name": "primary", "route": route}])

    server, new = ApiServer(), {"name": "new", "route": [{"destination": {"host": "other"}}]}
    run(server, service(100, 0))
    server.put(service(90, 10), manager="rollouts-controller")
    run(server, service(100, 0), keep_weights=True)
    assert spec_of(server, service(0, 0)) == service(90, 10)["spec"]
    assert not run(server, service(100, 0), keep_weights=True)["changed"]
    options = {"keep_weights": True, "force_conflicts_from": ["rollouts-controller"]}
    run(server, service(100, 0, new), **options)
    assert spec_of(server, service(0, 0)) == service(90, 10, new)["spec"]
    server.put(service(50, 50, new), manager="rollouts-controller")
    run(server, service(100, 0, new), **options)
    assert spec_of(server, service(0, 0)) == service(50, 50, new)["spec"]


def test_prune_names_what_it_does_not_own():
    server = ApiServer([obj("ConfigMap", "restored", labels={"meshops.istio/owner": "o"})])
    result = run(server, obj("ConfigMap", "declared"), owner="o", prune=True)
    assert "ConfigMap shop/restored" in result["warnings"][0]
    assert server.all("ConfigMap") == ["ConfigMap shop/declared", "ConfigMap shop/restored"]


def refusal(server, wanted):
    """The message with which a run fails; empty where it does not."""
    try:
        run(server, wanted)
    except MeshopsError as error:
        return str(error)
    return ""


# -- random sequences -----------------------------------------------------------

_NAMES = st.lists(st.sampled_from(["a", "b", "c"]), unique=True, max_size=3)
_ENTRY = st.builds(
    lambda ports, labels, export: obj(
        "ServiceEntry",
        "x",
        hosts=["x.example.com"],
        **({"ports": [{"name": name, "number": ord(name)} for name in ports]} if ports else {}),
        **({"labels": dict.fromkeys(labels, "v")} if labels else {}),
        **({"exportTo": export} if export else {}),
    ),
    _NAMES,
    _NAMES,
    st.sampled_from([[], ["."], ["*"]]),
)


@given(st.lists(st.tuples(st.sampled_from(["us", KUBECTL, CONTROLLER]), _ENTRY), max_size=6), _ENTRY)
@settings(max_examples=60)
def test_after_any_history_the_object_is_as_declared_or_a_conflict_names_the_manager(history, last):
    server = ApiServer()
    for who, wanted in [*history, ("us", last)]:
        if who != "us":
            server.put(wanted, manager=who)
            continue
        if conflict := refusal(server, wanted):
            assert KUBECTL in conflict or CONTROLLER in conflict
            continue
        live = server.find("ServiceEntry", "x", "shop")
        spec = live["spec"]
        for name, value in wanted["spec"].items():
            if name == "ports":
                assert [port for port in spec["ports"] if port in value] == value
            else:
                assert spec[name] == value
        labels = wanted["metadata"].get("labels", {})
        assert labels.items() <= live["metadata"].get("labels", {}).items()
        again = run(server, wanted)
        assert not again["changed"]


@given(st.lists(st.tuples(st.sampled_from(["us", KUBECTL]), _ENTRY), max_size=6), _ENTRY)
@settings(max_examples=60)
def test_what_was_declared_once_is_gone_when_only_former_managers_kept_it(history, last):
    server, ours = ApiServer(), None
    for who, wanted in [*history, ("us", last)]:
        if who != "us":
            server.put(wanted, manager=who)
            continue
        run(server, wanted, force_conflicts=True)
        live, ours = server.find("ServiceEntry", "x", "shop"), wanted
        assert not run(server, wanted, force_conflicts=True)["changed"]
        if "ports" in ours["spec"]:
            assert live["spec"]["ports"] == ours["spec"]["ports"]
