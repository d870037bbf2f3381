# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import re

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.meshops.istio.plugins.filter import egress_objects as filter_plugin
from ansible_collections.meshops.istio.plugins.module_utils.istio.egress import EgressError, egress_objects


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


def test_the_mesh_opens_tls_where_it_is_asked_to():
    port = {"number": 80, "tls": "originate", "tls_settings": {"credentialName": "roots"}}
    specs = made(egress_objects(None, [{"host": "api.example.com", "ports": [port]}]))
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


def test_through_the_gateway_each_leg_has_its_route():
    host = {"host": "a.example.com", "ports": [80, {"number": 8443, "tls": "passthrough"}]}
    specs = made(egress_objects(None, [host], through_gateway=True, gateway={"name": "out", "namespace": "gates"}))
    assert specs["Gateway"]["selector"] == {"istio": "out"}
    assert [(s["port"]["number"], s["tls"]["mode"]) for s in specs["Gateway"]["servers"]] == [
        (80, "ISTIO_MUTUAL"),
        (443, "PASSTHROUGH"),
    ]
    legs = [
        (
            r["match"][0]["gateways"][0],
            r["match"][0]["port"],
            r["route"][0]["destination"]["host"],
            r["route"][0]["destination"]["port"]["number"],
        )
        for r in [*specs["VirtualService"]["http"], *specs["VirtualService"]["tls"]]
    ]
    assert legs == [
        ("mesh", 80, "out.gates.svc.cluster.local", 80),
        ("gates/egress-a-example-com", 80, "a.example.com", 80),
        ("mesh", 8443, "out.gates.svc.cluster.local", 443),
        ("gates/egress-a-example-com", 443, "a.example.com", 8443),
    ]


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
        ({"hosts": [{"host": "*.example.com"}], "through_gateway": True}, "a wildcard doesn't say it"),
        (
            {"hosts": [{"host": "*.example.com", "ports": [{"number": 80, "tls": "originate"}]}]},
            "can't open TLS connections for a wildcard",
        ),
        (
            {
                "hosts": [{"host": "a.example.com", "ports": [{"number": 9, "protocol": "TCP"}]}],
                "through_gateway": True,
            },
            "no name in it",
        ),
        (
            {"hosts": [{"host": "a.example.com", "ports": [80, 8080]}], "through_gateway": True},
            "tell the ports 80, 8080",
        ),
        ({"network_policy": True}, "name the namespaces"),
        ({"gateway": {"label": "x"}}, "unknown label"),
    ],
)
def test_what_istio_cannot_do_is_refused_with_the_way_out(options, message):
    given = {"policy": None, "hosts": [], **options}
    with pytest.raises(EgressError, match=message):
        egress_objects(**given)
    with pytest.raises(AnsibleFilterError, match=message):
        filter_plugin.egress_objects(given.pop("hosts"), **given)
