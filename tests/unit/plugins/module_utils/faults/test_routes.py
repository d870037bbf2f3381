# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import copy
import json
import re

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.faults import bookkeeping, intersect, options
from ansible_collections.meshops.istio.plugins.module_utils.faults import routes as faults
from hypothesis import given
from hypothesis import strategies as st

TEXTS = st.sampled_from(["", "/", "/a", "/ab", "/b", "x"])
MATCHERS = st.one_of(
    st.builds(lambda text: {"exact": text}, TEXTS),
    st.builds(lambda text: {"prefix": text}, TEXTS),
    st.sampled_from([{"regex": "/a.*"}, {"regex": ".*b"}]),
)
NAMES = st.sampled_from(["one", "two"])
MATCHES = st.fixed_dictionaries(
    {},
    optional={
        "uri": MATCHERS,
        "method": MATCHERS,
        "headers": st.dictionaries(NAMES, st.one_of(MATCHERS, st.just({})), max_size=2),
        "withoutHeaders": st.dictionaries(NAMES, st.one_of(MATCHERS, st.just({})), max_size=2),
        "queryParams": st.dictionaries(NAMES, MATCHERS, max_size=2),
        "port": st.sampled_from([80, 81]),
        "sourceLabels": st.dictionaries(NAMES, st.sampled_from(["x", "y"]), max_size=2),
        "sourceNamespace": st.sampled_from(["demo", "other"]),
        "gateways": st.lists(st.sampled_from(["mesh", "ingress"]), min_size=1, unique=True),
    },
)
REQUESTS = st.fixed_dictionaries(
    {
        "uri": TEXTS,
        "method": TEXTS,
        "headers": st.dictionaries(NAMES, TEXTS, max_size=2),
        "queryParams": st.dictionaries(NAMES, TEXTS, max_size=2),
        "port": st.sampled_from([80, 81]),
        "sourceLabels": st.dictionaries(NAMES, st.sampled_from(["x", "y"]), max_size=2),
        "sourceNamespace": st.sampled_from(["demo", "other"]),
        "gateway": st.sampled_from(["mesh", "ingress"]),
    }
)
DELAY = {"match": [], "fault": {"delay": {"fixedDelay": "2s", "percentage": {"value": 100}}}}
ECHO = {"hosts": ["echo"], "http": [{"route": [{"destination": {"host": "echo"}}]}]}
TO_ECHO = [{"destination": {"host": "echo"}}]


def string_fits(text, wanted):
    if not wanted:
        return text is not None
    if text is None:
        return False
    ((how, value),) = wanted.items()
    if how == "regex":
        return re.fullmatch(value, text) is not None
    return text.startswith(value) if how == "prefix" else text == value


def fits(request, match):
    """An HTTPMatchRequest as Istio's documentation says it."""
    return (
        all(string_fits(request[name], match[name]) for name in ("uri", "method") if name in match)
        and all(string_fits(request["headers"].get(k), v) for k, v in match.get("headers", {}).items())
        and not any(string_fits(request["headers"].get(k), v) for k, v in match.get("withoutHeaders", {}).items())
        and all(string_fits(request["queryParams"].get(k), v) for k, v in match.get("queryParams", {}).items())
        and match.get("port", request["port"]) == request["port"]
        and match.get("sourceNamespace", request["sourceNamespace"]) == request["sourceNamespace"]
        and request["gateway"] in match.get("gateways", [request["gateway"]])
        and all(request["sourceLabels"].get(k) == v for k, v in match.get("sourceLabels", {}).items())
    )


@given(MATCHES, MATCHES, st.lists(REQUESTS, min_size=1, max_size=20))
def test_both_matches_hold_exactly_where_both_hold(one, other, requests):
    try:
        joined = intersect.both(one, other)
    except MeshopsError:
        return
    for request in requests:
        wanted = fits(request, one) and fits(request, other)
        assert (joined is not None and fits(request, joined)) == wanted


ROUTES = st.builds(
    lambda match, name, kind: {
        **({"match": match} if match else {}),
        **({"name": name} if name else {}),
        **({"route": TO_ECHO} if kind else {"redirect": {"uri": "/x"}}),
    },
    st.lists(MATCHES, max_size=2),
    st.sampled_from(["", "mine"]),
    st.booleans(),
)


def chosen(routes, request):
    """The first route that a request fits."""
    return next((r for r in routes if not r.get("match") or any(fits(request, m) for m in r["match"])), None)


@given(st.lists(ROUTES, min_size=1, max_size=4), st.lists(MATCHES, max_size=2), st.lists(REQUESTS, min_size=1))
def test_a_fault_meets_the_requests_it_is_meant_for_and_changes_no_route(routes, match, requests):
    spec = {"hosts": ["echo"], "http": routes}
    before = copy.deepcopy(spec)
    try:
        after = faults.inject(spec, [{"match": match, "fault": DELAY["fault"]}], "demo/echo")
    except MeshopsError:
        return
    assert spec == before, "the given spec was changed"
    assert faults.take_out(after) == before
    assert [r for r in after["http"] if not faults.mark_of(r)] == routes
    for request in requests:
        was, now = chosen(routes, request), chosen(after["http"], request)
        meant = was is not None and "route" in was and (not match or any(fits(request, m) for m in match))
        assert (now or {}).get("fault") == (DELAY["fault"] if meant else None)
        assert (now or {}).get("route") == (was or {}).get("route")


@given(st.lists(ROUTES, min_size=1, max_size=3), st.lists(MATCHES, max_size=1))
def test_injecting_twice_is_injecting_once(routes, match):
    wish = [{"match": match, "fault": DELAY["fault"]}]
    try:
        once = faults.inject({"http": routes}, wish, "demo/echo")
    except MeshopsError:
        return
    assert faults.inject(once, wish, "demo/echo") == once
    assert len(set(faults.marked(once))) == len(faults.marked(once)), "two routes have the same name"


def test_another_fault_gives_other_names_so_that_a_proxy_can_be_seen_to_follow():
    one = faults.inject(ECHO, [options.read_fault({"delay": "1s"})], "demo/echo")
    other = faults.inject(one, [options.read_fault({"delay": "2s"})], "demo/echo")
    elsewhere = faults.inject(ECHO, [options.read_fault({"delay": "1s"})], "other/echo")
    assert not set(faults.marked(one)) & set(faults.marked(other))
    assert not set(faults.marked(one)) & set(faults.marked(elsewhere))


def test_several_faults_stand_in_their_order():
    wishes = [
        options.read_fault({"abort": 503, "match": [{"headers": {"x-user": {"exact": "tester"}}}]}),
        options.read_fault({"delay": "1s"}),
    ]
    routes = faults.inject(ECHO, wishes, "demo/echo")["http"]
    assert [sorted(r.get("fault", {})) for r in routes] == [["abort"], ["delay"], []]
    with pytest.raises(MeshopsError, match="fault 2 would never be met"):
        faults.inject(ECHO, wishes[::-1], "demo/echo")


def connections(spec, section="tcp"):
    """Where each route of connections leads to: host (nowhere for a mark) and weight."""
    found = []
    for route in spec[section]:
        ways = [(one["destination"].get("host"), one.get("weight")) for one in route["route"]]
        found.append([("nowhere" if host.startswith(faults.MARK) else host, weight) for host, weight in ways])
    return found


def test_closing_goes_in_front_of_routes_of_connections_and_leaves_requests_alone():
    match = [{"port": 9000, "sourceLabels": {"app": "a"}}]
    spec = {**ECHO, "tcp": [{"match": [{"port": 9000}], "route": TO_ECHO}, {"match": [{"port": 1}], "route": TO_ECHO}]}
    after = faults.inject(spec, [options.read_fault({"abort": "close", "match": match})], "demo/echo")
    assert after["http"] == spec["http"]
    assert connections(after) == [[("nowhere", None)], [("echo", None)], [("echo", None)]]
    assert after["tcp"][0]["match"] == match
    assert len(faults.marked(after)) == 1 and faults.take_out(after) == spec
    assert faults.reaches(after["tcp"][0], {"app": "a"}, "demo")
    assert not faults.reaches(after["tcp"][0], {"app": "b"}, "demo")


def test_a_share_of_connections_is_closed_and_the_rest_goes_as_before():
    ways = [{"destination": {"host": "one"}, "weight": 75}, {"destination": {"host": "two"}, "weight": 25}]
    wish = options.read_fault({"abort": {"close": True, "percentage": 20}})
    after = faults.inject({"hosts": ["echo"], "tcp": [{"route": ways}]}, [wish], "demo/echo")
    ((nowhere, one, two), _rest) = connections(after)
    total = nowhere[1] + one[1] + two[1]
    assert [round(100 * weight / total, 6) for _host, weight in (nowhere, one, two)] == [20, 60, 20]


def test_a_host_without_routes_for_tcp_gets_only_what_closes():
    after = faults.inject(ECHO, [options.read_fault({"abort": {"close": True, "percentage": 50}})], "demo/echo")
    assert connections(after) == [[("nowhere", 5000), ("echo", 5000)]]
    assert faults.take_out(after) == ECHO
    assert faults.changed_sections(after, ECHO) == [{"op": "remove", "path": "/spec/tcp"}]
    assert faults.changed_sections(ECHO, after) == [{"op": "add", "path": "/spec/tcp", "value": after["tcp"]}]
    with pytest.raises(MeshopsError, match="name a host"):
        faults.inject({"hosts": ["*.example.com"]}, [options.read_fault({"abort": "close"})], "demo/wild")


def test_tls_is_closed_by_the_servers_name_of_its_route():
    tls = [{"match": [{"sniHosts": ["a.example.com"]}], "route": TO_ECHO}]
    wish = options.read_fault({"abort": "close", "match": [{"port": 443}]})
    after = faults.inject({"hosts": ["a.example.com"], "tls": tls}, [wish], "demo/a")
    assert connections(after, "tls") == [[("nowhere", None)], [("echo", None)]]
    assert after["tls"][0]["match"] == [{"sniHosts": ["a.example.com"], "port": 443}]


def test_requests_and_connections_can_have_faults_at_once():
    wishes = [options.read_fault({"abort": 503}), options.read_fault({"abort": "close"})]
    after = faults.inject(ECHO, wishes, "demo/echo")
    assert [section for section, _route in faults.all_marked(after)] == ["http", "tcp"]
    with pytest.raises(MeshopsError, match="fault 3 would never be met"):
        faults.inject(ECHO, [*wishes, options.read_fault({"abort": "close", "match": [{"port": 1}]})], "demo/echo")


@pytest.mark.parametrize(
    ("given_fault", "message"),
    [
        ({"abort": "close", "delay": "1s"}, "which Istio can't delay"),
        ({"abort": {"close": False}}, "False is not true"),
        ({"abort": "close", "match": [{"uri": {"exact": "/"}}]}, "unknown uri; known are destinationSubnets, gateways"),
        ({}, "give delay, abort, or both"),
        ({"delay": "soon"}, "fault.delay.fixedDelay: 'soon' is no duration"),
        ({"delay": "0s"}, "too short"),
        ({"delay": {"percentage": 50}}, "no duration"),
        ({"delay": {"fixedDelay": "1s", "percentage": 0}}, "not more than 0"),
        ({"delay": {"fixedDelay": "1s", "percentage": {"value": 101}}}, "at most 100"),
        ({"delay": {"fixedDelay": "1s", "percent": 50}}, "unknown percent; known are fixedDelay, percentage"),
        ({"abort": 99}, "no status between 200 and 599"),
        ({"abort": True}, "no status"),
        ({"abort": {"grpcStatus": "NOPE"}}, "none of CANCELLED"),
        ({"abort": {"grpcStatus": "UNAVAILABLE", "httpStatus": 503}}, "one of httpStatus, grpcStatus and close"),
        ({"abort": 503, "match": [{"header": {}}]}, r"fault.match\[0\]: unknown header"),
        ({"abort": 503, "match": [{"uri": "/a"}]}, "wants one of exact, prefix, regex"),
        ({"abort": 503, "match": [{"headers": ["x"]}]}, "wants a dictionary of names"),
        ({"abort": 503, "match": [{"port": 0}]}, "no port"),
        ({"abort": 503, "match": [{"sourceLabels": "app=web"}]}, "sourceLabels: wants a dictionary, not 'app=web'"),
        ({"abort": 503, "match": [{"gateways": "mesh"}]}, "gateways: wants a list, not 'mesh'"),
        ({"abort": {"close": True, "percentage": 0.004}}, "0.004 is too little to close connections"),
    ],
)
def test_a_wrong_fault_is_refused_by_name(given_fault, message):
    with pytest.raises(MeshopsError, match=message):
        options.read_fault(given_fault)


def test_headers_are_the_same_in_any_case_and_what_re2_alone_knows_is_refused():
    route, fault = {"headers": {"X-User": {"exact": "a"}}}, {"headers": {"x-user": {"prefix": "a"}}}
    assert intersect.both(route, fault) == {"headers": {"x-user": {"exact": "a"}}}
    assert intersect.both(route, {"headers": {"x-user": {"exact": "b"}}}) is None
    with pytest.raises(MeshopsError, match="can't be told here .* give the fault an exact value"):
        intersect.both({"uri": {"exact": "/a"}}, {"uri": {"regex": r"/\pL+"}})


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"tcp": [{"route": TO_ECHO}]}, "has no http route"),
        ({"http": [{"redirect": {"uri": "/"}}]}, "only redirects"),
        ({"http": [{"delegate": {"name": "a", "namespace": "b"}}]}, r"virtual_service \(b/a\)"),
        ({"http": [{"match": [{"uri": {"exact": "/x"}}], "route": TO_ECHO}]}, "fits no request"),
    ],
)
def test_a_spec_that_cannot_take_the_fault_is_refused_with_the_reason(spec, message):
    wish = {"match": [{"uri": {"prefix": "/api"}}], "fault": DELAY["fault"]}
    with pytest.raises(MeshopsError, match=message):
        faults.inject(spec, [wish], "demo/echo")


@pytest.mark.parametrize(("text", "value"), [("2s", 2), ("1m30s", 90), ("500ms", 0.5), ("1h", 3600), ("1.5s", 1.5)])
def test_durations(text, value):
    assert options.seconds(text, "delay") == value


def vs(name, namespace, hosts, **spec):
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"hosts": hosts, **spec}}


def test_the_routes_of_a_host_are_those_that_sidecars_follow():
    services = [
        vs("short", "demo", ["echo"]),
        vs("elsewhere", "other", ["echo"]),
        vs("ingress", "demo", ["echo.demo.svc.cluster.local"], gateways=["ingress"]),
        vs("wild", "demo", ["*"]),
    ]
    found = faults.routes_of("echo.demo.svc.cluster.local", services, "cluster.local")
    assert [one["metadata"]["name"] for one in found] == ["short"]
    with pytest.raises(MeshopsError, match="demo/wild, which serves other hosts"):
        faults.routes_of("echo.third.svc.cluster.local", services, "cluster.local")
    assert faults.routes_of("a.example.com", services[:3], "cluster.local") == []


def test_only_the_proxies_that_get_a_route_are_waited_for():
    route = {"match": [{"sourceLabels": {"app": "client"}}, {"sourceNamespace": "test"}]}
    assert faults.reaches(route, {"app": "client"}, "demo")
    assert faults.reaches(route, {}, "test")
    assert not faults.reaches(route, {"app": "other"}, "demo")
    assert not faults.reaches({"match": [{"gateways": ["ingress"]}]}, {}, "demo")
    assert faults.reaches({}, {}, "demo")


def test_nothing_of_the_annotation_stays_and_the_owners_are_those_of_before():
    owners = [{"manager": "helm", "operation": "Apply", "time": "1", "fieldsV1": {"f:spec": {}}}]
    live = {"metadata": {"managedFields": owners}}
    state = bookkeeping.to_save(live)
    text = json.dumps(state)
    assert bookkeeping.annotate_patch(live, text) == [
        {"op": "add", "path": "/metadata/annotations", "value": {bookkeeping.ANNOTATION: text}}
    ]
    now = [{**owners[0], "fieldsV1": {}}, {"manager": "meshops", "operation": "Update", "time": "2"}]
    back = bookkeeping.owners_to_leave(now, state, ("meshops",))
    assert back == owners
    patch = bookkeeping.leave_patch({bookkeeping.ANNOTATION: text}, state, back)
    assert patch[-2:] == [
        {"op": "remove", "path": "/metadata/annotations"},
        {"op": "replace", "path": "/metadata/managedFields", "value": owners},
    ]
    others = [*now, {"manager": "kubectl", "operation": "Update", "time": "3"}]
    assert bookkeeping.owners_to_leave(others, state, ("meshops",)) == [others[0], others[2]], (
        "another's write was forgotten"
    )
    kept = bookkeeping.leave_patch({"a": "b", bookkeeping.ANNOTATION: text}, state, back)
    assert kept[0] == {"op": "remove", "path": "/metadata/annotations/meshops.istio~1fault-injection"}
