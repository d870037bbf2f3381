# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.meshops.istio.plugins.filter import egress_objects as filter_plugin
from ansible_collections.meshops.istio.plugins.module_utils.egress.options import read_options
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError

ROOTS = {"credentialName": "roots"}


def test_text_of_the_command_line_is_read_as_its_value():
    """As -e gives it."""
    hosts = [{"host": "a.example.com", "ports": "80, 443"}, {"host": "b.example.com", "through_gateway": "yes"}]
    real = [{"host": "a.example.com", "ports": [80, 443]}, {"host": "b.example.com", "through_gateway": True}]
    text = {"policy": "REGISTRY_ONLY", "namespaces": "demo, shop", "through_gateway": "false", "network_policy": "no"}
    typed = {**text, "namespaces": ["demo", "shop"], "through_gateway": False, "network_policy": False}
    assert read_options(hosts, text) == read_options(real, typed)
    one = [{"host": "a.example.com", "ports": 443}]
    assert read_options([{"host": "a.example.com", "ports": "443"}], {}) == read_options(one, {})


def test_resolvers_are_added_to_the_dns_addresses_given_as_text():
    options = read_options(
        [], {"policy": "ALLOW_ANY", "dns_addresses": "10.0.0.1, 10.0.0.2", "resolvers": ["10.0.0.2"]}
    )
    assert options.dns_blocks == ("10.0.0.1/32", "10.0.0.2/32")


def test_defaults_of_gateway_and_ports():
    options = read_options([{"host": "a.example.com"}], {"policy": "", "gateway": {"name": "istio-out"}})
    assert options.policy is None and options.visible_in == ["*"]
    assert options.gateway.host == "istio-out.istio-system.svc.cluster.local"
    assert options.gateway.selector == {"istio": "out"}
    (port,) = options.hosts[0].ports
    assert (port.number, port.tls, port.protocol, port.target, port.is_connection) == (
        443,
        "passthrough",
        "TLS",
        443,
        True,
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": "DENY"}, "must be one of REGISTRY_ONLY, ALLOW_ANY, got 'DENY'"),
        ({"hosts": [{"host": "localhost"}]}, r"egress_hosts\[0\].host: invalid host name 'localhost'"),
        ({"hosts": [{"host": "https://a.example.com"}]}, "invalid host name"),
        ({"hosts": [{"host": "a.example.com", "port": 80}]}, "unknown port. Known keys: endpoints, host, ports"),
        ({"hosts": [{"host": "a.example.com"}] * 2}, "is declared twice"),
        ({"hosts": [{"host": "a.example.com", "ports": [80, 80]}]}, "a port is declared twice"),
        ({"hosts": [{"host": "a.example.com", "ports": [0]}]}, "must be a port number, got 0"),
        (
            {"hosts": [{"host": "a.example.com", "ports": [{"number": 1, "tls": "on"}]}]},
            "originate, got 'on'",
        ),
        (
            {"hosts": [{"host": "a.example.com", "ports": [{"number": 1, "tls": "originate", "protocol": "TCP"}]}]},
            "TCP cannot be combined with tls originate",
        ),
        (
            {"hosts": [{"host": "a.example.com", "ports": [{"number": 1, "tls_settings": {"mode": "MUTUAL"}}]}]},
            "requires tls originate",
        ),
        (
            {
                "hosts": [{"host": "*.example.com", "ports": [443, {"number": 8443, "tls": "passthrough"}]}],
                "through_gateway": True,
            },
            "cannot distinguish the ports 443, 8443",
        ),
        (
            {"hosts": [{"host": "*.example.com", "ports": [{"number": 80, "tls": "originate"}]}]},
            "cannot originate TLS for a wildcard",
        ),
        (
            {
                "hosts": [{"host": "*.example.com", "ports": [{"number": 9, "protocol": "TCP"}]}],
                "through_gateway": True,
            },
            "plain TCP contains no host name",
        ),
        ({"network_policy": "yes"}, "requires egress_namespaces"),
        ({"through_gateway": "maybe"}, "egress_through_gateway: must be true or false, got 'maybe'"),
        (
            {"hosts": [{"host": "a.example.com", "through_gateway": "2"}]},
            r"way: must be true or false, got '2'",
        ),
        ({"hosts": "a.example.com"}, "egress_hosts: must be a list, got 'a.example.com'"),
        ({"namespaces": {"a": 1}}, "egress_namespaces: must be a list"),
        ({"hosts": [{"host": "192.0.2.1"}]}, "is an address. Set host to a name, and endpoints to the address"),
        (
            {"hosts": [{"host": "a.example.com", "ports": "https"}]},
            "ports.0..number: must be a port number",
        ),
        (
            {
                "hosts": [
                    {"host": "a.example.com", "ports": [{"number": 80, "tls": "originate", "tls_settings": ROOTS}]}
                ]
            },
            "Set through_gateway to true, or use caCertificates",
        ),
        ({"gateway": {"label": "x"}, "policy": "REGISTRY_ONLY"}, "unknown label"),
        ({}, "set egress_state to absent"),
        ({"network_policy": True, "namespaces": ["shop"], "dns_addresses": ["dns"]}, "'dns' is not a valid IP address"),
        ({"hosts": [{"host": "*.example.com", "endpoints": ["192.0.2.1"]}]}, "a wildcard cannot have endpoints"),
        ({"polcy": "REGISTRY_ONLY"}, "unknown polcy"),
        (
            {
                "hosts": [{"host": "a.example.com"}],
                "through_gateway": True,
                "network_policy": True,
                "namespaces": ["demo", "istio-system"],
            },
            "would prevent the gateway from reaching a.example.com. Remove it",
        ),
    ],
)
def test_unsupported_options_are_refused_with_the_remedy(options, message):
    given = {"hosts": [], **options}
    hosts = given.pop("hosts")
    with pytest.raises(MeshopsError, match=message):
        read_options(hosts, given)
    with pytest.raises(AnsibleFilterError, match=message):
        filter_plugin.egress_objects(hosts, **given)
