# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the operator decides, without a cluster: status, pace, drift, leadership, metrics, and whose what is."""

from __future__ import annotations

import json
import types

import pytest
from ansible_collections.meshops.istio.extensions.operator import documents, status
from ansible_collections.meshops.istio.extensions.operator.drift import Table, token
from ansible_collections.meshops.istio.extensions.operator.leader import DURATION, Sight, claim
from ansible_collections.meshops.istio.extensions.operator.metrics import Metrics
from ansible_collections.meshops.istio.extensions.operator.pace import QUIET, Pace, backoff
from ansible_collections.meshops.istio.extensions.operator.settings import read
from ansible_collections.meshops.istio.plugins.module_utils.istio_operator.custom_resource import verdict

SETTINGS = read(
    {
        "POD_NAMESPACE": "istio-operator", "POD_NAME": "one", "WATCH_NAMESPACES": "istio-system",
        "MANAGED_NAMESPACES": "ingress,istio-system", "CHARTS": "/charts", "ISTIO_VERSION": "1.31.0",
    }
)  # fmt: skip


def obj(name="mesh", generation=1, created="2026-01-01T00:00:00Z", status=None, **spec):
    meta = {
        "name": name, "namespace": "istio-system", "uid": name, "generation": generation, "creationTimestamp": created,
    }  # fmt: skip
    found = {"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator", "metadata": meta, "spec": spec}
    return {**found, "status": status} if status else found


def release(name, namespace="istio-system", chart="gateway", version="1.31.0"):
    return types.SimpleNamespace(name=name, namespace=namespace, chart=chart, version=version)


# -- documents ----------------------------------------------------------------


def test_the_operators_own_field_is_no_part_of_the_document():
    assert "deletionPolicy" not in documents.document(obj(deletionPolicy="Retain", profile="demo"))["spec"]


@pytest.mark.parametrize(
    ("tag", "version"),
    [("1.30.0", "1.30.0"), ("1.30.0-distroless", "1.30.0"), ("1.32.0-rc.1", "1.32.0-rc.1"), ("latest", "1.31.0")],
)
def test_a_tag_names_the_charts_version(tag, version):
    assert documents.chart_version(obj(tag=tag), SETTINGS) == version


def test_a_namespace_that_is_not_managed_is_refused_with_the_remedy():
    gateways = [{"name": "gw", "enabled": True, "namespace": "elsewhere"}]
    with pytest.raises(documents.Invalid, match="namespace elsewhere: add it to managedNamespaces"):
        documents.wanted(obj(components={"egressGateways": gateways}), SETTINGS)
    gateways[0]["namespace"] = "ingress"
    names = [r.name for r in documents.wanted(obj(components={"egressGateways": gateways}), SETTINGS).releases]
    assert names == ["istio-base", "istiod", "istio-ingressgateway", "gw"]


def test_a_bad_document_is_refused_with_the_path():
    with pytest.raises(documents.Invalid, match="spec.components.pilot.k8s.overlays.0..name: is missing"):
        documents.wanted(obj(components={"pilot": {"k8s": {"overlays": [{"kind": "Deployment"}]}}}), SETTINGS)


def shares(*objects):
    return {name: share for (_namespace, name), share in documents.shares(objects, SETTINGS).items()}


def names(share):
    return [r.name for r in share.wanted.releases] if share.wanted else []


LATER = "2026-02-01T00:00:00Z"


def test_of_several_objects_the_newest_version_has_what_there_is_one_of():
    old, new = obj("old", tag="1.30.0"), obj("new", created=LATER, tag="1.31.0", revision="new")
    found = shares(old, new)
    assert names(found["old"]) == ["istiod"]
    assert names(found["new"]) == ["istio-base", "istiod-new", "istio-ingressgateway"]
    assert {r.name: owner for r, owner in found["old"].not_owned} == dict.fromkeys(
        ("istio-base", "istio-ingressgateway"), "IstioOperator istio-system/new"
    )
    assert names(shares(old)["old"]) == ["istio-base", "istiod", "istio-ingressgateway"]


def test_of_several_objects_of_one_version_the_oldest_has_it():
    one, two = obj("one"), obj("two", created=LATER, revision="two")
    found = shares(two, one)
    assert names(found["one"]) == ["istio-base", "istiod", "istio-ingressgateway"]
    assert names(found["two"]) == ["istiod-two"]
    components = status.components(found["two"].wanted.releases, {}, not_owned=found["two"].not_owned)
    told = {c["name"]: (c["state"], c.get("message")) for c in components}
    assert told["istio-ingressgateway"] == ("NotOwned", "owned by IstioOperator istio-system/one")


def test_a_gateway_of_its_own_is_an_objects_beside_one_that_another_has():
    gateways = [
        {"name": "istio-ingressgateway"},
        {"name": "mine"},
        {"name": "istio-ingressgateway", "namespace": "ingress"},
    ]
    two = obj("two", created=LATER, revision="two", components={"ingressGateways": gateways})
    found = [(r.namespace, r.name) for r in shares(obj("one"), two)["two"].wanted.releases if r.chart == "gateway"]
    assert found == [("istio-system", "mine"), ("ingress", "istio-ingressgateway")]


def test_what_a_profile_enables_has_one_owner_too():
    ambient = {"profile": "ambient"}
    found = shares(obj("one", **ambient), obj("two", created=LATER, revision="two", **ambient))
    assert set(names(found["one"])) == {"istio-base", "istio-cni", "istiod", "ztunnel"}
    assert names(found["two"]) == ["istiod-two"]


def test_a_cni_that_another_object_installs_is_relied_on():
    enabled = {"components": {"cni": {"enabled": True}}}
    one, two = obj("one", **enabled), obj("two", created=LATER, revision="two", **enabled)
    wanted = {r.chart: r for r in shares(one, two)["two"].wanted.releases}
    assert "cni" not in wanted
    assert wanted["istiod"].values["pilot"]["cni"]["enabled"] is True


def test_a_second_object_of_a_revision_is_invalid_and_has_nothing():
    found = shares(obj("two", created=LATER, tag="1.32.0"), obj("one"))
    assert found["one"].problem == ""
    assert found["two"].problem.startswith("spec.revision: default is that of IstioOperator istio-system/one already")
    assert found["two"].wanted is None
    gateways_only = obj("gw", created=LATER, profile="empty", components={"ingressGateways": [{"name": "more"}]})
    assert names(shares(obj("one"), gateways_only)["gw"]) == ["more"]


def test_a_revision_stays_with_the_object_that_has_installed_it():
    istiod = {"name": "istiod", "namespace": "istio-system", "chart": "istiod", "state": "Ready"}
    older, has_it = obj("older"), obj("has-it", created=LATER, status={"components": [istiod]})
    found = shares(older, has_it)
    assert found["has-it"].problem == ""
    assert "is that of IstioOperator istio-system/has-it already" in found["older"].problem
    istiod["state"] = "Superseded"
    assert shares(older, has_it)["older"].problem == ""


def good(found, **spec):
    found["metadata"]["annotations"] = {documents.LAST_GOOD: json.dumps(spec)}
    return found


def test_an_object_that_is_bad_now_keeps_what_it_had():
    bad = good(obj("mesh", revision="Not_A_Name"), profile="minimal")
    share = shares(bad)["mesh"]
    assert "Not_A_Name" in share.problem
    assert names(share) == ["istio-base", "istiod"]
    assert shares(obj(revision="Not_A_Name"))["mesh"].wanted is None
    assert documents.last_good(good(obj(profile="demo"), profile="demo")) is None, "it is the same"


def test_an_object_that_wants_the_revision_of_another_keeps_its_own():
    two = good(obj("two", created=LATER), revision="two", profile="minimal")
    found = shares(obj("one"), two)
    assert "already" in found["two"].problem
    assert names(found["two"]) == ["istiod-two"]


def test_an_object_is_left_alone_where_it_says_so():
    record = obj("installed-state")
    assert not documents.is_ignored(record)
    record["metadata"]["annotations"] = {"install.istio.io/ignoreReconcile": "true"}
    assert documents.is_ignored(record)


def test_left_over_is_what_nobody_asks_for_any_more():
    had = [{"name": n, "namespace": "istio-system", "chart": "gateway"} for n in ("kept", "dropped", "others")]
    other = obj("other", status={"components": [{"name": "others", "namespace": "istio-system"}]})
    found = documents.left_over(had, [release("kept")], [other])
    assert [one["name"] for one in found] == ["dropped"]


# -- status -------------------------------------------------------------------


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


def test_a_failure_is_that_of_the_component_it_names():
    planned = [
        {"name": "istio-base", "namespace": "istio-system", "action": "none"},
        {"name": "istiod", "namespace": "istio-system", "action": "upgrade"},
        {"name": "istio-ingressgateway", "namespace": "istio-system", "action": "install"},
    ]
    releases = [release(one["name"]) for one in planned]
    found = status.components(releases, {}, "Deployment istio-system/istiod is not ready", planned)
    assert [one["state"] for one in found] == ["Ready", "Failed", "Pending"]


def test_a_workload_that_is_not_ready_shows():
    found = status.components([release("gw")], {("istio-system", "gw"): "Deployment gw: 0 of 1"})
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


# -- pace ---------------------------------------------------------------------


def test_pace_of_a_good_object():
    pace = Pace(resync=600)
    assert pace.due() == (0, "Changed")
    pace.begins()
    pace.ran(10, failed=False)
    assert pace.due() == (610, "Resync")
    pace.drift(20)
    assert pace.due() == (20 + QUIET, "Drift")
    pace.begins()
    pace.drift(25)  # while it runs
    pace.ran(30, failed=False, repaired=True)
    assert pace.due() == (30, "Drift"), "what has changed meanwhile is looked at once more"
    pace.begins()
    pace.ran(40, failed=False)
    assert pace.due() == (640, "Resync")


def test_failures_are_tried_again_ever_more_slowly_until_the_object_changes():
    assert [backoff(n) for n in (1, 2, 3, 20)] == [10, 20, 40, 300]
    pace = Pace(resync=600)
    pace.ran(0, failed=True)
    pace.ran(10, failed=True)
    assert pace.due() == (30, "Retry")
    pace.renew()
    assert pace.due() == (0, "Changed")


def test_drift_is_looked_at_soon_whatever_has_failed():
    pace = Pace(resync=600)
    for at in range(0, 600, 100):
        pace.ran(at, failed=True)
    pace.drift(501)
    assert pace.due() == (510, "Drift")
    pace.drift(520)
    assert pace.due() == (520 + QUIET, "Drift")
    for at in (530, 540, 550, 560):  # what the failing runs themselves change leads to ever fewer of them
        pace.begins()
        pace.drift(at - 1)
        pace.ran(at, failed=True, repaired=True)
    pace.begins()
    pace.drift(569)
    pace.ran(570, failed=True, repaired=True)
    assert pace.due() == (590, "Drift")


def test_a_fight_over_an_object_is_fought_ever_more_slowly():
    pace = Pace(resync=6000)
    delays = []
    now = 0.0
    for _round in range(8):
        pace.begins()
        pace.ran(now, failed=False, repaired=True)
        pace.drift(now + 1)
        delays.append(pace.due()[0] - now)
        now += 20
    assert delays[:3] == [1 + QUIET] * 3
    assert delays[3:] == [10, 20, 40, 80, 160]


# -- drift --------------------------------------------------------------------

HELM = {"meta.helm.sh/release-name": "istiod", "meta.helm.sh/release-namespace": "istio-system"}


def meta(name="istiod", time="1", generation=1, **more):
    fields = [
        {"manager": "helm", "time": time},
        {"manager": "kubelet", "time": more.pop("seen", "1"), "subresource": "status"},
    ]
    return {"name": name, "generation": generation, "managedFields": fields, "annotations": HELM, **more}


def test_status_alone_is_no_drift():
    assert token(meta(seen="1")) == token(meta(seen="2"))
    assert token(meta()) != token(meta(time="2"))
    assert token(meta()) != token(meta(generation=2))
    assert token(meta()) != token(meta(labels={"a": "b"}))


def test_the_first_list_is_no_drift_and_later_ones_are_compared():
    table = Table()
    assert table.replace([meta(), meta("other")]) == []
    assert table.replace([meta(), meta("other")]) == []
    assert table.replace([meta(time="2")]) and len(table.replace([])) == 1


def test_events_of_a_watch():
    table = Table()
    table.replace([meta()])
    assert table.event("MODIFIED", meta(seen="7")) == []
    assert table.event("MODIFIED", meta(time="3")) == [(("istio-system", "istiod"), "istiod")]
    assert table.event("DELETED", meta(time="3")) == [(("istio-system", "istiod"), "istiod")]
    assert table.event("DELETED", meta(time="3")) == []
    assert table.event("ADDED", {**meta("users"), "annotations": {}}) == []


# -- leader -------------------------------------------------------------------


def test_a_lease_is_free_when_its_holder_falls_silent_by_our_own_clock():
    sight = Sight()
    held = {"holderIdentity": "one", "renewTime": "t1", "leaseDurationSeconds": DURATION}
    assert not sight.free(held, "two", 100)
    assert not sight.free(held, "two", 100 + DURATION)
    assert sight.free(held, "two", 101 + DURATION)
    assert not sight.free({**held, "renewTime": "t2"}, "two", 102 + DURATION)
    assert sight.free({**held, "renewTime": "t3"}, "one", 103)
    assert sight.free({"holderIdentity": ""}, "two", 104)


def test_taking_over_counts_a_transition_and_renewing_does_not():
    taken = claim({"holderIdentity": "one", "leaseTransitions": 3, "acquireTime": "t0"}, "two", "t1")
    assert (taken["holderIdentity"], taken["leaseTransitions"], taken["acquireTime"]) == ("two", 4, "t1")
    renewed = claim(taken, "two", "t2")
    assert (renewed["leaseTransitions"], renewed["acquireTime"], renewed["renewTime"]) == (4, "t1", "t2")


# -- metrics ------------------------------------------------------------------


def test_metrics_as_prometheus_reads_them():
    metrics = Metrics()
    metrics.add("istio_operator_failures_total", namespace="s", name='a"b')
    metrics.add("istio_operator_failures_total", namespace="s", name='a"b')
    metrics.observe("istio_operator_reconcile_seconds", 1.5, name="a")
    metrics.set("istio_operator_ready", 1, name="a")
    text = metrics.text()
    assert 'istio_operator_failures_total{name="a\\"b",namespace="s"} 2\n' in text
    assert 'istio_operator_reconcile_seconds_sum{name="a"} 1.5\n' in text
    assert "# TYPE istio_operator_reconcile_seconds summary\n" in text
    metrics.forget(name="a")
    assert "istio_operator_ready{" not in metrics.text()
    assert "istio_operator_reconcile_seconds_count" in metrics.text()
