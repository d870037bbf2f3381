# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""No secret gets through."""

from __future__ import annotations

import base64
import copy
import json

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.mesh_info.redaction import (
    REMOVED,
    redacted_object,
    redacted_text,
)
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import example, given
from hypothesis import strategies as st

PRIVATE_KEY = (
    ec.generate_private_key(ec.SECP256R1())
    .private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    .decode()
)
KEY_LINE = PRIVATE_KEY.splitlines()[1]


def part(content: dict) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


JWT = f"{part({'alg': 'none', 'typ': 'JWT'})}.{part({'sub': 'somebody'})}.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"before\n{PRIVATE_KEY}after", KEY_LINE),
        (f"cut off {PRIVATE_KEY[:120]}", KEY_LINE[:40]),
        (f"authorization: {JWT}", JWT),
        ("Authorization: Bearer 0123456789abcdef", "0123456789abcdef"),
        ("GET https://user:hunter22@example.com/x", "hunter22"),
        ("started with --db-password=hunter22 --verbose", "hunter22"),
        ('{"api_key": "hunter22", "x": 1}', "hunter22"),
        ("client_secret: 'hunter 22'", "hunter 22"),
        ("/callback?access_token=hunter22&x=1", "hunter22"),
    ],
    ids="key cut-key jwt bearer url flag json quoted query".split(),
)
def test_texts_lose_their_secrets(text, secret):
    assert secret in text
    assert secret not in redacted_text(text)
    assert REMOVED in redacted_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23T15:45:15Z info ads Push debounce stable[12] 1 for config ServiceEntry/shop/db",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "https://example.com:8443/x@y",
    ],
)
def test_other_texts_are_retained(text):
    assert redacted_text(text) == text


def test_a_secret_keeps_the_names_of_its_data_only():
    value = base64.b64encode(b"hunter22").decode()
    applied = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps({"data": {"a": value}}), "note": "x"}
    secret = {
        "kind": "Secret",
        "metadata": {"name": "s", "annotations": applied, "managedFields": [{}]},
        "data": {"a": value},
        "stringData": {"b": "hunter22"},
    }
    given_object = copy.deepcopy(secret)
    shown = redacted_object(secret)
    assert secret == given_object
    assert shown["data"] == {"a": REMOVED, "b": REMOVED}
    assert shown["metadata"] == {"name": "s", "annotations": {"note": "x"}}
    assert "hunter22" not in json.dumps(shown)
    assert value not in json.dumps(shown)


def test_objects_lose_values_of_sensitive_fields():
    obj = {
        "kind": "EnvoyFilter",
        "metadata": {"name": "x"},
        "spec": {
            "env": [{"name": "DB_PASSWORD", "value": "hunter22"}, {"name": "LEVEL", "value": "info"}],
            "headers": {"request": {"set": {"Authorization": "hunter22", "x-kind": "a"}}},
            "generic_secret": {"secret": {"inline_string": "hunter22"}},
            "config": {"inline_string": "function f() end"},
            "tls": {"credentialName": "books-tls", "privateKey": "hunter22"},
            "volumes": [{"secret": {"secretName": "cacerts"}}],
            "automountServiceAccountToken": True,
        },
    }
    shown = redacted_object(obj)
    assert "hunter22" not in json.dumps(shown)
    spec = shown["spec"]
    assert spec["env"] == [{"name": "DB_PASSWORD", "value": REMOVED}, {"name": "LEVEL", "value": REMOVED}]
    assert spec["headers"]["request"]["set"]["x-kind"] == "a"
    assert spec["config"] == {"inline_string": "function f() end"}
    assert spec["tls"]["credentialName"] == "books-tls"
    assert spec["volumes"] == [{"secret": {"secretName": "cacerts"}}]
    assert spec["automountServiceAccountToken"] is True


@pytest.mark.parametrize(
    "name",
    "AWS_SECRET_ACCESS_KEY SECRET_KEY SECRET_KEY_BASE DB_PASS MYSQL_PWD ENCRYPTION_KEY JWT_SIGNING_KEY ACCESS_KEY"
    " PASSWORD_1 TOKEN_2 GITHUB_PAT LEVEL".split(),
)
def test_environment_shows_names_and_no_values_of_users(name):
    pod = {
        "kind": "Pod",
        "metadata": {"name": "x"},
        "spec": {"containers": [{"env": [{"name": name, "value": "hunter22"}]}]},
    }
    shown = redacted_object(pod)
    assert shown["spec"]["containers"][0]["env"] == [{"name": name, "value": REMOVED}]


def test_environment_of_istio_that_support_needs_is_shown():
    source = {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}
    env = [{"name": "ISTIO_META_CLUSTER_ID", "value": "east"}, {"name": "PILOT_ENABLE_STATUS", "value": "true"}, source]
    pod = {"kind": "Pod", "metadata": {"name": "x"}, "spec": {"env": env}}
    assert redacted_object(pod)["spec"]["env"][:2] == env[:2]
    assert redacted_object(pod)["spec"]["env"][2]["valueFrom"]["secretKeyRef"]["name"] == "db"


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--db-password", "hunter22"], ["--db-password", REMOVED]),
        (["--token", "hunter22", "--v", "2"], ["--token", REMOVED, "--v", "2"]),
        (["--api-key=hunter22"], [f"--api-key={REMOVED}"]),
        (["--secret", "--verbose", "x"], ["--secret", "--verbose", "x"]),
        (["proxy", "sidecar", "--domain", "x.svc"], ["proxy", "sidecar", "--domain", "x.svc"]),
        (["sh", "-c", "run --password hunter22 --x"], ["sh", "-c", f"run --password {REMOVED} --x"]),
    ],
)
def test_arguments_after_flags_that_name_a_secret_are_removed(words, shown):
    pod = {"kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [{"args": words}]}}
    assert redacted_object(pod)["spec"]["containers"][0]["args"] == shown


@pytest.mark.parametrize(
    "spec",
    [
        {"jwtRules": [{"issuer": "x", "jwks": '{"keys": [{"kty": "oct", "k": "hunter22"}]}'}]},
        {"pluginConfig": {"credentials": ["hunter22"], "secretKey": "hunter22", "tokens": ["hunter22"]}},
        {"inlineCode": "local key = 'hunter22'"},
        {"value": {"inline_code": "x = 'hunter22'"}},
        {"credentials": ["hunter22"], "tokens": ["hunter22"], "secretKey": "hunter22"},
    ],
    ids="jwks plugin lua lua-envoy lists".split(),
)
def test_fields_that_hold_secrets_never_leave(spec):
    assert "hunter22" not in json.dumps(redacted_object({"kind": "X", "metadata": {"name": "x"}, "spec": spec}))


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\npassword: >-\n  hunter22\nb: 2\n",
        "db:\n  api_key: |\n    hunter22\n    more\n  x: y\n",
        '{"kty": "oct", "k": "hunter22"}',
        "run --db-password hunter22",
    ],
)
def test_config_maps_lose_block_texts_and_keys(text):
    shown = redacted_object({"kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"c.yaml": text}})["data"][
        "c.yaml"
    ]
    assert "hunter22" not in shown


def test_jwks_uri_and_credential_names_remain():
    spec = {"jwtRules": [{"jwksUri": "https://x/jwks", "issuer": "i"}], "tls": {"credentialName": "c"}}
    assert redacted_object({"kind": "X", "metadata": {"name": "x"}, "spec": spec})["spec"] == spec


NAMES = st.sampled_from(["spec", "env", "a", "list", "value", "name"])


@example({"env": [{"spec": PRIVATE_KEY, "value": "a"}]})
@example({"env": [{"name": "JWT_POLICY", "value": {"a": PRIVATE_KEY}}]})
@given(
    st.recursive(
        st.just(PRIVATE_KEY),
        lambda below: st.lists(below, max_size=3) | st.dictionaries(NAMES, below, max_size=3),
        max_leaves=8,
    )
)
def test_a_private_key_is_found_wherever_it_is(value):
    assert KEY_LINE not in json.dumps(redacted_object({"kind": "ConfigMap", "metadata": {"name": "x"}, "data": value}))
