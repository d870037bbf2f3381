# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.mesh.mesh_config import check, differences
from ansible_collections.meshops.istio.plugins.module_utils.mesh.schema import ENUMS, TYPES


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"accessLogFile": "/dev/stdout", "enableTracing": True, "proxyListenPort": 15001},
        {"access_log_file": "/dev/stdout"},
        {"connectTimeout": "10s", "dnsRefreshRate": "1.5m"},
        {"defaultConfig": {"concurrency": 2, "proxyMetadata": {"ANY_NAME": "true"}}},
        {"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}},
        {"extensionProviders": [{"name": "x", "zipkin": {"service": "z", "port": 9411}}]},
        {"defaultConfig": {"tracing": {"customTags": {"a": {"literal": {"value": "b"}}}, "sampling": 12.5}}},
        {"discoverySelectors": [{"matchLabels": {"istio-discovery": "enabled"}}]},
        {"accessLogFile": None},
        {"ingressControllerMode": "OFF", "outboundTrafficPolicy": {"mode": 1}},
    ],
)
def test_what_istio_takes_passes(config):
    check(config)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"acessLogFile": "x"}, "mesh_config.acessLogFile: unknown field; did you mean accessLogFile?"),
        ({"defaultConfig": {"concurency": 2}}, "mesh_config.defaultConfig.concurency: unknown field"),
        ({"outboundTrafficPolicy": {"mode": "REGISTRY"}}, "invalid value 'REGISTRY'; did you mean REGISTRY_ONLY?"),
        (
            {"defaultConfig": {"proxyMetadata": {"A": True}}},
            "mesh_config.defaultConfig.proxyMetadata.A: must be a string, got True; put it in quotes",
        ),
        ({"connectTimeout": 10}, "mesh_config.connectTimeout: must be a duration such as 5s, got 10"),
        ({"enableTracing": "yes"}, "mesh_config.enableTracing: must be true or false, got 'yes'"),
        ({"extensionProviders": {"name": "x"}}, "mesh_config.extensionProviders: must be a list"),
        ({"extensionProviders": [{"name": "x", "zipkn": {}}]}, "extensionProviders[0].zipkn: unknown field"),
        ({"defaultConfig": "x"}, "mesh_config.defaultConfig: must be a dictionary, got 'x'"),
        (
            {"ingressControllerMode": False},  # OFF without quotes
            "invalid value False: must be one of UNSPECIFIED, OFF, DEFAULT, STRICT; put it in quotes",
        ),
        ({"outboundTrafficPolicy": {"mode": True}}, "invalid value True: must be one of REGISTRY_ONLY, ALLOW_ANY, "),
        (
            {"outboundTrafficPolicy": {"mode": ["ALLOW_ANY"]}},
            "mesh_config.outboundTrafficPolicy.mode: invalid value ['ALLOW_",
        ),
        ({"proxyListenPort": 1.5}, "mesh_config.proxyListenPort: must be an integer, got 1.5"),
    ],
)
def test_what_istiod_would_trip_over_is_named(config, said):
    with pytest.raises(MeshopsError) as error:
        check(config)
    assert said in str(error.value)


def test_all_mistakes_are_named_at_once():
    with pytest.raises(MeshopsError, match=r"\.one: .*; .*\.two: "):
        check({"one": 1, "two": 2})


def test_fields_of_a_newer_istio_pass_but_known_ones_are_still_checked():
    check({"somethingNew": 1}, istio="1.99.0")
    with pytest.raises(MeshopsError):
        check({"accessLogFile": 1}, istio="1.99.0")
    check({"ingressControllerMode": "NEW"}, istio="1.99.0")
    with pytest.raises(MeshopsError):
        check({"ingressControllerMode": False}, istio="1.99.0")
    with pytest.raises(MeshopsError):
        check({"somethingNew": 1}, istio="1.31.4")


# -- what runs, compared ------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "running"),
    [
        ({"accessLogFile": "/dev/stdout"}, {"accessLogFile": "/dev/stdout", "more": 1}),
        ({"access_log_file": "x"}, {"accessLogFile": "x"}),
        (
            {"defaultConfig": {"proxyMetadata": {"SOME_NAME": "1"}}},
            {"defaultConfig": {"proxyMetadata": {"SOME_NAME": "1"}}},
        ),
        ({"connectTimeout": "1m"}, {"connectTimeout": "60s"}),
        ({"connectTimeout": "1.5s"}, {"connectTimeout": "1500ms"}),
        ({"enableTracing": False}, {}),
        ({"a": None, "b": {}, "c": []}, {}),
        (
            {"extensionProviders": [{"name": "mine"}]},
            {"extensionProviders": [{"name": "istio's"}, {"name": "mine", "p": 1}]},
        ),
        ({"statusPort": 15020}, {"statusPort": "15020"}),
        # zero values, which istiod leaves out
        ({"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}}, {"outboundTrafficPolicy": {}}),
        ({"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}}, {}),
        ({"outboundTrafficPolicy": {"mode": 0}}, {}),
        ({"outboundTrafficPolicy": {"mode": "1"}}, {"outboundTrafficPolicy": {"mode": "ALLOW_ANY"}}),
        ({"inboundTrafficPolicy": {"mode": "PASSTHROUGH"}}, {"inboundTrafficPolicy": {}}),
        ({"access_log_encoding": "TEXT", "h2UpgradePolicy": "DO_NOT_UPGRADE"}, {}),
        ({"defaultConfig": {"statusPort": "0", "interceptionMode": "REDIRECT"}}, {"defaultConfig": {}}),
        ({"defaultConfig": {"tracing": {"sampling": "0.0"}}}, {"defaultConfig": {"tracing": {}}}),
        ({"defaultConfig": {"concurrency": "2"}}, {"defaultConfig": {"concurrency": 2.0}}),
        ({"dnsRefreshRate": "0s"}, {}),
        ({"accessLogFile": ""}, {}),
    ],
)
def test_differences_ignores_what_means_the_same_to_istiod(wanted, running):
    assert differences(wanted, running) == []


@pytest.mark.parametrize(
    ("wanted", "running", "said"),
    [
        ({"accessLogFile": "x"}, {}, "accessLogFile is not set, expected 'x'"),
        ({"accessLogFile": "x"}, {"accessLogFile": "y"}, "accessLogFile is 'y', not 'x'"),
        ({"connectTimeout": "1m"}, {"connectTimeout": "61s"}, "connectTimeout is '61s', not '1m'"),
        (
            {"outboundTrafficPolicy": {"mode": "ALLOW_ANY"}},
            {},
            "outboundTrafficPolicy.mode is not set, expected 'ALLOW_ANY'",
        ),
        (
            {"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}},
            {"outboundTrafficPolicy": {"mode": "ALLOW_ANY"}},
            "outboundTrafficPolicy.mode is 'ALLOW_ANY', not 'REGISTRY_ONLY'",
        ),
        (
            {"defaultConfig": {"statusPort": "1"}},
            {"defaultConfig": {}},
            "defaultConfig.statusPort is not set, expected '1'",
        ),
        ({"enableTracing": True}, {}, "enableTracing is not set, expected True"),
        ({"a": [1, 2]}, {"a": [1]}, "a has 1 items, not 2"),
        ({"a": [{"name": "n", "b": 1}]}, {"a": [{"name": "n", "b": 2}]}, "a[n].b is 2, not 1"),
        ({"a": [{"name": "n", "b": 1}]}, {"a": [{"name": "m"}]}, "a[n].name is not set, expected 'n'"),
    ],
)
def test_differences_names_field_and_values(wanted, running, said):
    assert said in differences(wanted, running)


def test_differences_takes_the_zero_value_of_every_enum():
    """istiod leaves it out, wherever the enum is."""
    checked = 0
    for message, fields in TYPES.items():
        for field, kind in fields.items():
            if kind in ENUMS and message.startswith("Mesh"):
                assert differences({field: ENUMS[kind][0]}, {}, message) == [], (message, field)
                if len(ENUMS[kind]) > 1:
                    assert differences({field: ENUMS[kind][1]}, {}, message), (message, field)
                checked += 1
    assert checked > 15
