# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import re

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.egress.objects import egress_objects
from ansible_collections.meshops.istio.plugins.module_utils.egress.options import read_options

ROOTS = {"credentialName": "roots"}


def written(policy, hosts, namespaces=(), through_gateway=False, **options):
    """The objects for these options."""
    given = {"policy": policy, "namespaces": namespaces, "through_gateway": through_gateway, **options}
    return egress_objects(read_options(hosts, given))


def made(objects):
    """kind -> spec, of the objects for one host."""
    return {obj["kind"]: obj["spec"] for obj in objects}


def test_host_alone_is_a_service_entry_with_tls_passthrough():
    (entry,) = written(None, [{"host": "api.example.com"}])
    assert entry["metadata"] == {"name": "egress-api-example-com", "namespace": "istio-system"}
    assert entry["spec"] == {
        "hosts": ["api.example.com"],
        "location": "MESH_EXTERNAL",
        "resolution": "DNS",
        "ports": [{"number": 443, "name": "tls-443", "protocol": "TLS"}],
        "exportTo": ["*"],
    }


def test_tls_origination_is_a_destination_rule():
    port = {"number": 80, "tls": "originate", "tls_settings": ROOTS}
    specs = made(written(None, [{"host": "api.example.com", "ports": [port], "through_gateway": True}])[:2])
    assert specs["ServiceEntry"]["ports"] == [{"number": 80, "name": "http-80", "protocol": "HTTP", "targetPort": 443}]
    (level,) = specs["DestinationRule"]["trafficPolicy"]["portLevelSettings"]
    assert level == {
        "port": {"number": 80},
        "tls": {"mode": "SIMPLE", "sni": "api.example.com", "credentialName": "roots"},
    }


@pytest.mark.parametrize(
    ("host", "resolution"),
    [({"host": "*.example.com"}, "NONE"), ({"host": "a.example.com", "endpoints": ["192.0.2.1"]}, "STATIC")],
)
def test_resolution_depends_on_wildcard_and_endpoints(host, resolution):
    assert made(written(None, [host]))["ServiceEntry"]["resolution"] == resolution


def test_policy_applies_to_the_mesh_or_to_namespaces_that_alone_see_the_hosts():
    everywhere = written("REGISTRY_ONLY", [])
    assert [(o["kind"], o["metadata"]["namespace"]) for o in everywhere] == [("Sidecar", "istio-system")]
    some = written("REGISTRY_ONLY", [{"host": "a.example.com"}], namespaces=["shop"], network_policy=True)
    assert [(o["kind"], o["metadata"]["namespace"]) for o in some[:2]] == [
        ("Sidecar", "shop"),
        ("NetworkPolicy", "shop"),
    ]
    assert some[2]["spec"]["exportTo"] == ["istio-system", "shop"]


def legs_of(objects):
    """Gateway, port, destination and its port, of every route, in order."""
    found = []
    for spec in (o["spec"] for o in objects if o["kind"] == "VirtualService"):
        for route in [*spec.get("http", []), *spec.get("tls", []), *spec.get("tcp", [])]:
            there = route["route"][0]["destination"]
            found.append((spec["gateways"][0], route["match"][0]["port"], there["host"], there["port"]["number"]))
    return found


def test_each_part_of_a_path_through_the_gateway_has_its_route():
    ports = [80, {"number": 8443, "tls": "passthrough"}, {"number": 9000, "protocol": "TCP"}]
    host = {"host": "a.example.com", "ports": ports}
    objects = written(None, [host], through_gateway=True, gateway={"name": "out", "namespace": "gates"})
    specs = made(objects)
    assert specs["Gateway"]["selector"] == {"istio": "out"}
    assert [(s["port"]["number"], s["hosts"], s["tls"]["mode"]) for s in specs["Gateway"]["servers"]] == [
        (80, ["a.example.com"], "ISTIO_MUTUAL"),
        (443, ["port-8443.a.example.com"], "ISTIO_MUTUAL"),
        (443, ["port-9000.a.example.com"], "ISTIO_MUTUAL"),
    ]
    assert legs_of(objects) == [
        ("mesh", 80, "out.gates.svc.cluster.local", 80),
        ("mesh", 8443, "out.gates.svc.cluster.local", 443),
        ("mesh", 9000, "out.gates.svc.cluster.local", 443),
        ("gates/egress-a-example-com", 80, "a.example.com", 80),
        ("gates/egress-a-example-com", 443, "a.example.com", 8443),
        ("gates/egress-a-example-com", 443, "a.example.com", 9000),
    ]
    names = {
        subset["name"]: subset["trafficPolicy"]["portLevelSettings"][0]["tls"]["sni"]
        for subset in specs["DestinationRule"]["subsets"]
    }
    assert names == {
        "a-example-com": "a.example.com",
        "a-example-com-8443": "port-8443.a.example.com",
        "a-example-com-9000": "port-9000.a.example.com",
    }


def test_two_http_ports_of_a_host_are_distinguished_by_a_header_that_the_gateway_removes():
    objects = written(None, [{"host": "a.example.com", "ports": [80, 8080]}], through_gateway=True)
    inward, outward = (o["spec"]["http"] for o in objects if o["kind"] == "VirtualService")
    for number, to_door, out in zip(("80", "8080"), inward, outward, strict=True):
        assert to_door["headers"]["request"]["set"] == {"x-egress-port": number}
        assert out["match"][0]["headers"] == {"x-egress-port": {"exact": number}}
        assert out["headers"]["request"]["remove"] == ["x-egress-port"]
    (gateway,) = (o for o in objects if o["kind"] == "Gateway")
    assert len(gateway["spec"]["servers"]) == 1


def test_one_host_may_bypass_the_gateway():
    hosts = [{"host": "a.example.com", "through_gateway": False}, {"host": "b.example.com"}]
    names = [o["metadata"]["name"] for o in written(None, hosts, through_gateway=True) if o["kind"] == "Gateway"]
    assert names == ["egress-b-example-com"]


def test_names_of_objects_are_unique():
    names = [
        "a.example.com",
        "a-example.com",
        "a.example-com.org",
        f"{'a' * 60}.{'b' * 60}.com",
        f"{'a' * 60}.{'b' * 59}.com",
    ]
    hosts = [{"host": name, "ports": [80, 443]} for name in names]
    hosts.append({"host": "*.a.example.com", "through_gateway": False})
    objects = written("ALLOW_ANY", hosts, through_gateway=True)
    keys = [(o["kind"], o["metadata"]["namespace"], o["metadata"]["name"]) for o in objects]
    assert len(set(keys)) == len(keys)
    assert all(re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name) for _kind, _namespace, name in keys)


def gateway_authorities(ports):
    objects = written(None, [{"host": "*.example.com", "ports": ports}], through_gateway=True)
    specs = [o["spec"] for o in objects if o["kind"] == "VirtualService" and o["spec"]["gateways"] != ["mesh"]]
    return [route["match"][0]["authority"]["regex"] for spec in specs for route in spec.get("http", [])]


@pytest.mark.parametrize(
    ("authority", "reached"),
    [
        ("a.example.com", [True, False]),
        ("a.example.com:80", [True, False]),
        ("a.example.com:8080", [False, True]),
        ("a.example.com:22", [False, False]),
        ("a.example.com:80:22", [False, False]),
    ],
)
def test_wildcard_lets_the_gateway_connect_to_its_own_ports_only(authority, reached):
    """Envoy's dynamic forward proxy connects to the port that the Host header names."""
    assert [bool(re.fullmatch(regex, authority)) for regex in gateway_authorities([80, 8080])] == reached


def test_network_policy_allows_dns_resolvers_that_are_not_pods():
    def rules(**options):
        objects = written(None, [], namespaces=["shop"], network_policy=True, **options)
        return objects[0]["spec"]["egress"]

    ports = [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]
    assert rules()[1] == {"to": [{"ipBlock": {"cidr": "169.254.20.10/32"}}], "ports": ports}
    assert rules(dns_addresses="fd00::10")[1]["to"] == [{"ipBlock": {"cidr": "fd00::10/128"}}]
    assert len(rules(dns_addresses=[])) == 1
    twice = rules(dns_addresses=["10.96.0.10", "169.254.20.10", "10.96.0.10"])[1]["to"]
    assert [entry["ipBlock"]["cidr"] for entry in twice] == ["10.96.0.10/32", "169.254.20.10/32"]
