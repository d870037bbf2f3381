# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a user is told where the API server refuses an object. The messages are as kube-apiserver 1.34 sends them."""

from __future__ import annotations

import base64

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.refusal import (
    hushed,
    sentences,
    steps_of,
    value_at,
)
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.schema import Schema

SCHEMA = Schema(
    {
        "properties": {
            "metadata": {"properties": {"labels": {"additionalProperties": {"type": "string"}}}},
            "spec": {
                "properties": {
                    "exportTo": {"type": "array", "items": {"type": "string"}},
                    "http": {
                        "type": "array",
                        "items": {
                            "properties": {
                                "retries": {"properties": {"attempts": {"type": "integer"}}},
                                "route": {"items": {"properties": {"weight": {}, "destination": {}}}},
                            }
                        },
                    },
                }
            },
        }
    }
)
TYPED = "failed to create typed patch object (shop/x; networking.istio.io/v1, Kind=VirtualService): "


def told(message, obj=None, causes=(), schema=lambda: SCHEMA):
    return sentences(message, causes, obj or {}, schema)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("spec.exportto", "unknown field spec.exportto: did you mean exportTo?"),
        ("spec.export_to", "unknown field spec.export_to: did you mean exportTo?"),
        ("spec.http[0].rotue", "unknown field spec.http[0].rotue: did you mean route?"),
        ("spec.http[0].route[0].retries", "unknown field spec.http[0].route[0].retries: it belongs to spec.http"),
        ("spec.http[1].zzz", "unknown field spec.http[1].zzz: known there: retries, route"),
    ],
)
def test_an_unknown_field_leads_to_a_known_one(path, answer):
    assert told(f"{TYPED}.{path}: field not declared in schema") == [answer]
    assert told(f'strict decoding error: unknown field "{path}"') == [answer]


def test_an_unknown_field_is_named_where_the_schema_is_not_known():
    assert told(f"{TYPED}.spec.x: field not declared in schema", schema=lambda: None) == [
        "unknown field spec.x: leave it out"
    ]


def test_every_field_of_one_refusal_is_told():
    obj = {"spec": {"http": [{"timeout": 5, "route": [{"weight": "10"}]}]}}
    message = (
        f"{TYPED}errors:\n  .spec.http[0].route[0].weight: expected numeric (int or float), got string\n"
        "  .spec.http[0].timeout: expected string, got &value.valueUnstructured{Value:5}"
    )
    assert told(message, obj) == [
        "spec.http[0].route[0].weight must be a number, not '10': write it without quotes,"
        " or with `| int` where it comes from a template",
        'spec.http[0].timeout must be a string, not 5: write "5", or "5s" where it is a duration'
        ", or with `| string` where it comes from a template",
    ]


def test_a_label_is_not_taken_for_a_duration():
    message = f"{TYPED}.metadata.labels.version: expected string, got &value.valueUnstructured{{Value:1}}"
    assert told(message, {"metadata": {"labels": {"version": 1}}}) == [
        'metadata.labels.version must be a string, not 1: write "1", or with `| string` where it comes from a template'
    ]
    message = f"{TYPED}.metadata.labels.on: expected string, got &value.valueUnstructured{{Value:true}}"
    assert told(message, {"metadata": {"labels": {"on": True}}}) == [
        'metadata.labels.on must be a string, not True: write "true", or with `| string` where it comes from a template'
    ]


@pytest.mark.parametrize(
    ("problem", "value", "answer"),
    [
        ("expected list, got &{a}", "a", "spec.hosts must be a list, not 'a': write each item on a line of its own"),
        ("expected map, got &{[]}", [], "spec.hosts must be a mapping, not []: write its fields below it"),
        ("expected boolean, got &{1}", 1, "spec.hosts must be true or false, not 1: write it without quotes"),
    ],
)
def test_a_wrong_type_has_a_remedy(problem, value, answer):
    assert told(f"{TYPED}.spec.hosts: {problem}", {"spec": {"hosts": value}})[0].startswith(answer)


@pytest.mark.parametrize(
    ("problem", "answer"),
    [
        (
            'spec.ports: element 1: associative list with keys has an element that omits all key fields ["number"]'
            " (and doesn't have default values for any key fields)",
            "spec.ports[1].number is missing: it tells the items of this list apart",
        ),
        (
            'spec.listeners: duplicate entries for key [name="a"]',
            'spec.listeners: two items have name="a": it must tell the items of this list apart',
        ),
        ("spec.x: something new", "spec.x: something new"),
    ],
)
def test_other_misfits(problem, answer):
    assert told(f"{TYPED}.{problem}") == [answer]


def test_broken_rules_name_the_field_and_its_value():
    causes = [
        {
            "field": "spec.http[0].timeout",
            "message": "Invalid value: \"string\": type conversion error from 'string' to"
            " 'google.protobuf.Duration' evaluating rule: must be a valid duration greater than 1ms",
        },
        {"field": "spec.mtls.mode", "message": 'Unsupported value: "strict": supported values: "DISABLE", "STRICT"'},
        {
            "field": "spec.url",
            "message": 'Invalid value: "string": url must have schema one of [http, https, file, oci]',
        },
        {"field": "<nil>", "message": "Invalid value: null: some validation rules were not checked because"},
    ]
    obj = {"spec": {"http": [{"timeout": "5"}], "mtls": {"mode": "strict"}, "url": "ftp://x"}}
    assert told("is invalid", obj, causes) == [
        "spec.http[0].timeout must be a duration such as 5s or 1h30m, not '5'",
        'spec.mtls.mode: Unsupported value: "strict": supported values: "DISABLE", "STRICT"',
        "spec.url: url must have schema one of [http, https, file, oci] (it is 'ftp://x')",
    ]


@pytest.mark.parametrize(
    ("told_by_istiod", "spec", "answer"),
    [
        ("weight -1 < 0", {"http": [{"route": [{"weight": -1}]}]}, "weight -1 < 0 (see spec.http[0].route[0].weight)"),
        (
            'invalid protocol "FOO", supported protocols are HTTP, TCP',
            {"servers": [{"hosts": ["*"], "port": {"protocol": "HTTP"}}, {"port": {"protocol": "FOO"}}]},
            'invalid protocol "FOO", supported protocols are HTTP, TCP (see spec.servers[1].port.protocol)',
        ),
        (
            'invalid protocol "FOO"',
            {"servers": [{"port": {"protocol": "FOO"}}, {"port": {"protocol": "FOO"}}]},
            'invalid protocol "FOO"',
        ),
        (
            'invalid protocol "FOO"',
            {"servers": [{"port": {"protocol": "FOO", "number": 80}}]},
            'invalid protocol "FOO" (see spec.servers[0].port.protocol)',
        ),
        (
            "1 error occurred:\n\t* jwks parse error: bad\n\n",
            {"jwtRules": [{"issuer": "a", "jwks": "x"}]},
            "jwks parse error: bad (see spec.jwtRules[0].jwks)",
        ),
        ("2 errors occurred:\n\t* one\n\t* two\n\n", {}, "one; two"),
        ("http, tcp or tls must be provided in virtual service", {"hosts": ["a"]}, "http, tcp or tls must be provided"),
    ],
)
def test_istiods_own_validation_is_told_with_the_field_that_it_means(told_by_istiod, spec, answer):
    message = (
        f'admission webhook "rev.validation.istio.io" denied the request: configuration is invalid: {told_by_istiod}'
    )
    (said,) = told(message, {"spec": spec})
    assert said.startswith(f"istiod refuses it: {answer}")
    assert ("see" in said) == ("see" in answer)


@pytest.mark.parametrize("value", [12345678, True, {"a": "tell\nnobody"}, ["tell", "nobody"]])
def test_no_value_of_a_secret_is_told(value):
    message = f"{TYPED}.data.password: expected string, got &value.valueUnstructured{{Value:{value!r}}}"
    secret = {"kind": "Secret", "data": {"password": value}}
    assert told(message, secret) == ["data.password must be a string: write it in quotes"]
    causes = [{"field": "data.password", "message": "Too long: must have at most 1048576 bytes"}]
    assert told("is invalid", secret, causes) == ["data.password: Too long: must have at most 1048576 bytes"]


def test_a_path_may_hold_a_space():
    message = (
        f"{TYPED}errors:\n  .data.my key: expected string, got &value.valueUnstructured{{Value:12345678}}\n"
        "  .data.b: expected string, got &value.valueUnstructured{Value:4711}"
    )
    assert told(message, {"kind": "Secret", "data": {"my key": 12345678, "b": 4711}}) == [
        "data.my key must be a string: write it in quotes",
        "data.b must be a string: write it in quotes",
    ]
    assert told(message, {"kind": "ConfigMap", "data": {"my key": 12345678, "b": 4711}}) == [
        'data.my key must be a string, not 12345678: write "12345678", or "12345678s" where it is a duration'
        ", or with `| string` where it comes from a template",
        'data.b must be a string, not 4711: write "4711", or "4711s" where it is a duration, or with `| string`'
        " where it comes from a template",
    ]


def test_what_a_webhook_repeats_of_a_secret_is_taken_out():
    pem = "-----BEGIN KEY-----\nMHcCAQEEIIrY\n-----END KEY-----\n"
    former = {"kind": "Secret", "data": {"a": base64.b64encode(b"former one").decode()}}
    secret = {
        "kind": "Secret",
        "data": {
            "a": base64.b64encode(b'say "hunter2"').decode(),
            "key": base64.b64encode(pem.encode()).decode(),
            "n": 4711,
        },
        "stringData": {"b": "test"},
    }
    words = ["former one", 'say "hunter2"', r"say \"hunter2\"", "MHcCAQEEIIrY", "test", *secret["data"].values()]
    text = 'admission webhook "x" denied the request: ' + "; ".join(f"value '{word}'" for word in words)
    assert hushed(text, former, secret) == 'admission webhook "x" denied the request: ' + "; ".join(
        ["value '(removed)'"] * len(words)
    )
    assert hushed("the latest, got latest", None, secret) == "the latest", "a short value may be in any word"
    assert hushed(text, None, {**secret, "kind": "ConfigMap"}) == text
    causes = [{"field": "data.a", "message": 'Invalid value: "x": MHcCAQEEIIrY is weak'}]
    assert told("is invalid", secret, causes) == ["data.a: (removed) is weak"]


@pytest.mark.parametrize(
    ("name", "remedy"), [("rev.validation.istio.io", "see that istiod runs"), ("x.example.org", "see that its service")]
)
def test_a_webhook_that_does_not_answer_has_a_remedy(name, remedy):
    why = 'failed to call webhook: Post "https://x.y.svc:443/": no endpoints available for service "x"'
    (said,) = told(f'Internal error occurred: failed calling webhook "{name}": {why}')
    assert said.startswith(f"the admission webhook {name} does not answer: {remedy}")
    assert said.endswith(f"({why})")


def test_other_refusals_are_left_to_others():
    def never():
        raise AssertionError("the schema is not needed")

    assert told('namespaces "shop" not found', schema=never) == []


def test_paths_lead_to_values():
    assert steps_of('spec.listeners[name="a b"].ports[1]') == ["spec", "listeners", ("name", "a b"), "ports", 1]
    obj = {"spec": {"listeners": [{"name": "x"}, {"name": "a b", "ports": [1, 2]}]}}
    assert value_at(obj, 'spec.listeners[name="a b"].ports[1]') == 2
    assert value_at(obj, "spec.listeners[7].ports") is None
    assert value_at(obj, "spec.nothing.there") is None
