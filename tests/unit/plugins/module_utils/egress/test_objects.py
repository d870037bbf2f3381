# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import re

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.meshops.istio.plugins.filter import egress_objects as filter_plugin
from ansible_collections.meshops.istio.plugins.module_utils.egress.objects import egress_objects
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError

ROOTS = {"credentialName": "roots"}


def made(objects):
    """kind -> spec, of the objects for one host."""
    return {obj["kind"]: obj["spec"] for obj in objects}


def test_a_host_alone_is_a_service_entry_for_tls_that_the_workload_speaks():
    (entry,) = egress_objects(None, [{"host": "api.example.com"}])
    assert entry["metadata"] == {"name": "egress-api-example-com", "namespace": "istio-system"}
    assert entry["spec"] == {
        "hosts": ["api.example.com"],
        "location": "MESH_EXTERNAL",
        "resolution": "DNS",
        "ports": [{"number": 443, "name": "tls-443", "protocol": "TLS"}],
        "exportTo": ["*"],
    }


def test_what_comes_as_text_means_what_it_says():
    """As -e gives it."""
    hosts = [{"host": "a.example.com", "ports": "80, 443"}, {"host": "b.example.com", "through_gateway": "yes"}]
    real = [{"host": "a.example.com", "ports": [80, 443]}, {"host": "b.example.com", "through_gateway": True}]
    text = egress_objects("REGISTRY_ONLY", hosts, "demo, shop", "false", network_policy="no")
    assert text == egress_objects("REGISTRY_ONLY", real, ["demo", "shop"], False, network_policy=False)
    assert egress_objects(None, [{"host": "a.example.com", "ports": "443"}]) == egress_objects(
        None, [{"host": "a.example.com", "ports": 443}]
    )


def test_the_mesh_opens_tls_where_it_is_asked_to():
    port = {"number": 80, "tls": "originate", "tls_settings": ROOTS}
    specs = made(egress_objects(None, [{"host": "api.example.com", "ports": [port], "through_gateway": True}])[:2])
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
def test_how_a_proxy_finds_the_host(host, resolution):
    assert made(egress_objects(None, [host]))["ServiceEntry"]["resolution"] == resolution


def test_the_policy_is_for_the_mesh_or_for_namespaces_which_alone_see_the_hosts():
    everywhere = egress_objects("REGISTRY_ONLY", [])
    assert [(o["kind"], o["metadata"]["namespace"]) for o in everywhere] == [("Sidecar", "istio-system")]
    some = egress_objects("REGISTRY_ONLY", [{"host": "a.example.com"}], namespaces=["shop"], network_policy=True)
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


def test_through_the_gateway_each_leg_has_its_route():
    ports = [80, {"number": 8443, "tls": "passthrough"}, {"number": 9000, "protocol": "TCP"}]
    host = {"host": "a.example.com", "ports": ports}
    objects = egress_objects(None, [host], through_gateway=True, gateway={"name": "out", "namespace": "gates"})
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


def test_two_http_ports_of_a_host_are_told_apart_by_a_header_that_stays_inside():
    objects = egress_objects(None, [{"host": "a.example.com", "ports": [80, 8080]}], through_gateway=True)
    inward, outward = (o["spec"]["http"] for o in objects if o["kind"] == "VirtualService")
    for number, to_door, out in zip(("80", "8080"), inward, outward, strict=True):
        assert to_door["headers"]["request"]["set"] == {"x-egress-port": number}
        assert out["match"][0]["headers"] == {"x-egress-port": {"exact": number}}
        assert out["headers"]["request"]["remove"] == ["x-egress-port"]
    (gateway,) = (o for o in objects if o["kind"] == "Gateway")
    assert len(gateway["spec"]["servers"]) == 1


def test_the_gateway_looks_up_the_hosts_of_a_wildcard():
    objects = egress_objects(None, [{"host": "*.example.com", "ports": [80, 443]}], through_gateway=True)
    specs = made(objects)
    assert [s["tls"]["mode"] for s in specs["Gateway"]["servers"]] == ["ISTIO_MUTUAL", "PASSTHROUGH"]
    patches = specs["EnvoyFilter"]["configPatches"]
    assert [p["applyTo"] for p in patches] == ["CLUSTER", "CLUSTER", "HTTP_FILTER", "NETWORK_FILTER"]
    clusters = [p["patch"]["value"]["name"] for p in patches[:2]]
    routed = [f"outbound|{port}||{host}" for gateway, _in, host, port in legs_of(objects) if gateway != "mesh"]
    assert clusters == routed, "the gateway's routes lead to the clusters that look hosts up"
    caches = [p["patch"]["value"].get("cluster_type", p["patch"]["value"])["typed_config"] for p in patches]
    assert len({str(cache["dns_cache_config"]) for cache in caches}) == 1, "Envoy refuses one cache said in two ways"


def test_one_host_may_go_another_way_than_the_others():
    hosts = [{"host": "a.example.com", "through_gateway": False}, {"host": "b.example.com"}]
    names = [o["metadata"]["name"] for o in egress_objects(None, hosts, through_gateway=True) if o["kind"] == "Gateway"]
    assert names == ["egress-b-example-com"]


def test_no_two_objects_have_the_same_name():
    names = [
        "a.example.com",
        "a-example.com",
        "a.example-com.org",
        f"{'a' * 60}.{'b' * 60}.com",
        f"{'a' * 60}.{'b' * 59}.com",
    ]
    hosts = [{"host": name, "ports": [80, 443]} for name in names]
    hosts.append({"host": "*.a.example.com", "through_gateway": False})
    objects = egress_objects("ALLOW_ANY", hosts, through_gateway=True)
    keys = [(o["kind"], o["metadata"]["namespace"], o["metadata"]["name"]) for o in objects]
    assert len(set(keys)) == len(keys)
    assert all(re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name) for _kind, _namespace, name in keys)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": "DENY"}, "'DENY' is none of REGISTRY_ONLY, ALLOW_ANY"),
        ({"hosts": [{"host": "localhost"}]}, r"egress_hosts\[0\].host: 'localhost' is no host name"),
        ({"hosts": [{"host": "https://a.example.com"}]}, "is no host name"),
        ({"hosts": [{"host": "a.example.com", "port": 80}]}, "unknown port; known are host, ports"),
        ({"hosts": [{"host": "a.example.com"}] * 2}, "is there twice"),
        ({"hosts": [{"host": "a.example.com", "ports": [80, 80]}]}, "a port is there twice"),
        ({"hosts": [{"host": "a.example.com", "ports": [0]}]}, "0 is no port"),
        ({"hosts": [{"host": "a.example.com", "ports": [{"number": 1, "tls": "on"}]}]}, "'on' is none of none, pass"),
        (
            {"hosts": [{"host": "a.example.com", "ports": [{"number": 1, "tls": "originate", "protocol": "TCP"}]}]},
            "TCP does not go",
        ),
        (
            {"hosts": [{"host": "a.example.com", "ports": [{"number": 1, "tls_settings": {"mode": "MUTUAL"}}]}]},
            "only with tls originate",
        ),
        (
            {
                "hosts": [{"host": "*.example.com", "ports": [443, {"number": 8443, "tls": "passthrough"}]}],
                "through_gateway": True,
            },
            "443, 8443 apart",
        ),
        (
            {"hosts": [{"host": "*.example.com", "ports": [{"number": 80, "tls": "originate"}]}]},
            "opens no TLS connections for a wildcard",
        ),
        (
            {
                "hosts": [{"host": "*.example.com", "ports": [{"number": 9, "protocol": "TCP"}]}],
                "through_gateway": True,
            },
            "no name in it",
        ),
        ({"network_policy": "yes"}, "name the namespaces"),
        ({"through_gateway": "maybe"}, "egress_through_gateway: 'maybe' is neither true nor false"),
        ({"hosts": [{"host": "a.example.com", "through_gateway": "2"}]}, r"through_gateway: '2' is neither"),
        ({"hosts": "a.example.com"}, "egress_hosts: wants a list, not 'a.example.com'"),
        ({"namespaces": {"a": 1}}, "egress_namespaces: wants a list"),
        ({"hosts": [{"host": "192.0.2.1"}]}, "is an address; give the host a name, and the address in endpoints"),
        ({"hosts": [{"host": "a.example.com", "ports": "https"}]}, "ports.0..number: 'https' is no port"),
        (
            {
                "hosts": [
                    {"host": "a.example.com", "ports": [{"number": 80, "tls": "originate", "tls_settings": ROOTS}]}
                ]
            },
            "set through_gateway to true, or give caCertificates",
        ),
        ({"gateway": {"label": "x"}, "policy": "REGISTRY_ONLY"}, "unknown label"),
        ({}, "set egress_state to absent"),
        (
            {
                "hosts": [{"host": "a.example.com"}],
                "through_gateway": True,
                "network_policy": True,
                "namespaces": ["demo", "istio-system"],
            },
            "would keep the gateway itself from reaching a.example.com; leave it out",
        ),
    ],
)
def test_what_istio_cannot_do_is_refused_with_the_way_out(options, message):
    given = {"policy": None, "hosts": [], **options}
    with pytest.raises(MeshopsError, match=message):
        egress_objects(**given)
    with pytest.raises(AnsibleFilterError, match=message):
        filter_plugin.egress_objects(given.pop("hosts"), **given)


def gateway_authorities(ports):
    objects = egress_objects(None, [{"host": "*.example.com", "ports": ports}], through_gateway=True)
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
def test_a_wildcard_lets_the_gateway_dial_no_port_but_its_own(authority, reached):
    """Envoy's dynamic forward proxy dials the port that the Host header names."""
    assert [bool(re.fullmatch(regex, authority)) for regex in gateway_authorities([80, 8080])] == reached


def test_pods_reach_dns_caches_that_are_not_pods():
    def rules(**options):
        objects = egress_objects(None, [], namespaces=["shop"], network_policy=True, **options)
        return objects[0]["spec"]["egress"]

    ports = [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]
    assert rules()[1] == {"to": [{"ipBlock": {"cidr": "169.254.20.10/32"}}], "ports": ports}
    assert rules(dns_addresses="fd00::10")[1]["to"] == [{"ipBlock": {"cidr": "fd00::10/128"}}]
    assert len(rules(dns_addresses=[])) == 1
    with pytest.raises(MeshopsError, match="'dns' is not a valid IP address"):
        rules(dns_addresses=["dns"])
