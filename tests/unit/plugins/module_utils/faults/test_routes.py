# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import copy

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.faults.options import read_fault
from ansible_collections.meshops.istio.plugins.module_utils.faults.routes import (
    MARK,
    add_faults,
    is_plain_spec,
    mark_of,
    marked_routes,
    marks,
    plain_spec,
    reaches,
    routes_of,
    sections_patch,
    without_faults,
)
from fakes.matches import MATCHES, REQUESTS, fits
from hypothesis import given
from hypothesis import strategies as st

DELAY = {"match": [], "fault": {"delay": {"fixedDelay": "2s", "percentage": {"value": 100}}}}
ECHO = {"hosts": ["echo"], "http": [{"route": [{"destination": {"host": "echo"}}]}]}
TO_ECHO = [{"destination": {"host": "echo"}}]

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
def test_fault_affects_the_matching_requests_and_changes_no_route(routes, match, requests):
    spec = {"hosts": ["echo"], "http": routes}
    before = copy.deepcopy(spec)
    try:
        after = add_faults(spec, [{"match": match, "fault": DELAY["fault"]}], "demo/echo")
    except MeshopsError:
        return
    assert spec == before, "the given spec was changed"
    assert without_faults(after) == before
    assert [r for r in after["http"] if not mark_of(r)] == routes
    for request in requests:
        was, now = chosen(routes, request), chosen(after["http"], request)
        meant = was is not None and "route" in was and (not match or any(fits(request, m) for m in match))
        assert (now or {}).get("fault") == (DELAY["fault"] if meant else None)
        assert (now or {}).get("route") == (was or {}).get("route")


@given(st.lists(ROUTES, min_size=1, max_size=3), st.lists(MATCHES, max_size=1))
def test_adding_faults_twice_equals_adding_them_once(routes, match):
    fault = [{"match": match, "fault": DELAY["fault"]}]
    try:
        once = add_faults({"http": routes}, fault, "demo/echo")
    except MeshopsError:
        return
    assert add_faults(once, fault, "demo/echo") == once
    assert len(set(marks(once))) == len(marks(once)), "two routes have the same name"


def test_another_fault_gets_other_route_names():
    one = add_faults(ECHO, [read_fault({"delay": "1s"})], "demo/echo")
    other = add_faults(one, [read_fault({"delay": "2s"})], "demo/echo")
    elsewhere = add_faults(ECHO, [read_fault({"delay": "1s"})], "other/echo")
    assert not set(marks(one)) & set(marks(other))
    assert not set(marks(one)) & set(marks(elsewhere))


def test_several_faults_keep_their_order():
    declared = [
        read_fault({"abort": 503, "match": [{"headers": {"x-user": {"exact": "tester"}}}]}),
        read_fault({"delay": "1s"}),
    ]
    routes = add_faults(ECHO, declared, "demo/echo")["http"]
    assert [sorted(r.get("fault", {})) for r in routes] == [["abort"], ["delay"], []]
    with pytest.raises(MeshopsError, match="fault 2 is unreachable"):
        add_faults(ECHO, declared[::-1], "demo/echo")


def connections(spec, section="tcp"):
    """Where each route of connections leads to: host (nowhere for a mark) and weight."""
    found = []
    for route in spec[section]:
        ways = [(one["destination"].get("host"), one.get("weight")) for one in route["route"]]
        found.append([("nowhere" if host.startswith(MARK) else host, weight) for host, weight in ways])
    return found


def test_closing_copies_are_before_connection_routes_and_change_no_requests():
    match = [{"port": 9000, "sourceLabels": {"app": "a"}}]
    spec = {**ECHO, "tcp": [{"match": [{"port": 9000}], "route": TO_ECHO}, {"match": [{"port": 1}], "route": TO_ECHO}]}
    after = add_faults(spec, [read_fault({"abort": "close", "match": match})], "demo/echo")
    assert after["http"] == spec["http"]
    assert connections(after) == [[("nowhere", None)], [("echo", None)], [("echo", None)]]
    assert after["tcp"][0]["match"] == match
    assert len(marks(after)) == 1 and without_faults(after) == spec
    assert reaches(after["tcp"][0], {"app": "a"}, "demo")
    assert not reaches(after["tcp"][0], {"app": "b"}, "demo")


def test_share_of_connections_is_closed_and_the_rest_is_routed_as_before():
    ways = [{"destination": {"host": "one"}, "weight": 75}, {"destination": {"host": "two"}, "weight": 25}]
    fault = read_fault({"abort": {"close": True, "percentage": 20}})
    after = add_faults({"hosts": ["echo"], "tcp": [{"route": ways}]}, [fault], "demo/echo")
    ((nowhere, one, two), _rest) = connections(after)
    total = nowhere[1] + one[1] + two[1]
    assert [round(100 * weight / total, 6) for _host, weight in (nowhere, one, two)] == [20, 60, 20]


def test_host_without_tcp_routes_gets_only_the_closing_copy():
    after = add_faults(ECHO, [read_fault({"abort": {"close": True, "percentage": 50}})], "demo/echo")
    assert connections(after) == [[("nowhere", 5000), ("echo", 5000)]]
    assert without_faults(after) == ECHO
    assert sections_patch(after, ECHO) == [{"op": "remove", "path": "/spec/tcp"}]
    assert sections_patch(ECHO, after) == [{"op": "add", "path": "/spec/tcp", "value": after["tcp"]}]
    with pytest.raises(MeshopsError, match="name a host"):
        add_faults({"hosts": ["*.example.com"]}, [read_fault({"abort": "close"})], "demo/wild")


def test_tls_is_closed_by_the_server_name_of_its_route():
    tls = [{"match": [{"sniHosts": ["a.example.com"]}], "route": TO_ECHO}]
    fault = read_fault({"abort": "close", "match": [{"port": 443}]})
    after = add_faults({"hosts": ["a.example.com"], "tls": tls}, [fault], "demo/a")
    assert connections(after, "tls") == [[("nowhere", None)], [("echo", None)]]
    assert after["tls"][0]["match"] == [{"sniHosts": ["a.example.com"], "port": 443}]


def test_requests_and_connections_can_have_faults_at_once():
    declared = [read_fault({"abort": 503}), read_fault({"abort": "close"})]
    after = add_faults(ECHO, declared, "demo/echo")
    assert [section for section, _route in marked_routes(after)] == ["http", "tcp"]
    with pytest.raises(MeshopsError, match="fault 3 is unreachable"):
        add_faults(ECHO, [*declared, read_fault({"abort": "close", "match": [{"port": 1}]})], "demo/echo")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"tcp": [{"route": TO_ECHO}]}, "has no http route"),
        ({"http": [{"redirect": {"uri": "/"}}]}, "only redirects"),
        ({"http": [{"delegate": {"name": "a", "namespace": "b"}}]}, r"virtual_service \(b/a\)"),
        ({"http": [{"match": [{"uri": {"exact": "/x"}}], "route": TO_ECHO}]}, "matches no request"),
    ],
)
def test_spec_that_cannot_take_the_fault_is_refused_with_the_reason(spec, message):
    fault = {"match": [{"uri": {"prefix": "/api"}}], "fault": DELAY["fault"]}
    with pytest.raises(MeshopsError, match=message):
        add_faults(spec, [fault], "demo/echo")


def vs(name, namespace, hosts, **spec):
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"hosts": hosts, **spec}}


def test_routes_of_a_host_are_those_of_sidecars():
    services = [
        vs("short", "demo", ["echo"]),
        vs("elsewhere", "other", ["echo"]),
        vs("ingress", "demo", ["echo.demo.svc.cluster.local"], gateways=["ingress"]),
        vs("wild", "demo", ["*"]),
    ]
    found = routes_of("echo.demo.svc.cluster.local", services, "cluster.local")
    assert [one["metadata"]["name"] for one in found] == ["short"]
    with pytest.raises(MeshopsError, match="demo/wild, which serves other hosts"):
        routes_of("echo.third.svc.cluster.local", services, "cluster.local")
    assert routes_of("a.example.com", services[:3], "cluster.local") == []


def test_route_reaches_only_the_pods_that_its_match_names():
    route = {"match": [{"sourceLabels": {"app": "client"}}, {"sourceNamespace": "test"}]}
    assert reaches(route, {"app": "client"}, "demo")
    assert reaches(route, {}, "test")
    assert not reaches(route, {"app": "other"}, "demo")
    assert not reaches({"match": [{"gateways": ["ingress"]}]}, {}, "demo")
    assert reaches({}, {}, "demo")


def test_plain_spec_is_recognised_until_somebody_adds_a_route():
    for fault in ("503", "close"):
        assert is_plain_spec(plain_spec("echo", [read_fault({"abort": fault})]))
    assert not is_plain_spec({"hosts": ["echo"], "http": [{"route": [{"destination": {"host": "other"}}]}]})
    assert not is_plain_spec({"hosts": ["echo", "other"]})


def test_sections_patch_replaces_and_removes_sections():
    before, after = {"http": [1], "tcp": [2]}, {"http": [3]}
    assert sections_patch(before, after) == [
        {"op": "add", "path": "/spec/http", "value": [3]},
        {"op": "remove", "path": "/spec/tcp"},
    ]
    assert sections_patch(before, before) == []


def test_names_of_others_in_errors_are_printable():
    spec = {"hosts": ["*.{{ 1/0 }}\x1b[2J"], "http": [{"delegate": {"name": "{{ 1/0 }}\n", "namespace": "b"}}]}
    for fault in ("503", "close"):
        with pytest.raises(MeshopsError) as error:
            add_faults(spec, [read_fault({"abort": fault})], "demo/echo")
        assert str(error.value).isprintable() and "{{" not in str(error.value)
