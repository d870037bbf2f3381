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
from hypothesis import given
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
def test_other_texts_stay(text):
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
    assert spec["env"][1] == {"name": "LEVEL", "value": "info"}
    assert spec["headers"]["request"]["set"]["x-kind"] == "a"
    assert spec["config"] == {"inline_string": "function f() end"}
    assert spec["tls"]["credentialName"] == "books-tls"
    assert spec["volumes"] == [{"secret": {"secretName": "cacerts"}}]
    assert spec["automountServiceAccountToken"] is True


NAMES = st.sampled_from(["spec", "env", "a", "list", "value", "name"])


@given(
    st.recursive(
        st.just(PRIVATE_KEY),
        lambda below: st.lists(below, max_size=3) | st.dictionaries(NAMES, below, max_size=3),
        max_leaves=8,
    )
)
def test_a_private_key_is_found_wherever_it_is(value):
    assert KEY_LINE not in json.dumps(redacted_object({"kind": "ConfigMap", "metadata": {"name": "x"}, "data": value}))
