# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The usual kubeconfig is read without the official package, with the same outcome; the unusual one by it."""

from __future__ import annotations

import base64
import datetime
import ssl

import pytest
import yaml
from ansible_collections.meshops.istio.plugins.module_utils.cluster import auth
from ansible_collections.meshops.istio.plugins.module_utils.cluster.connection import _Official, _Plain, connect
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

SERVER = "https://127.0.0.1:6443"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("KUBECONFIG", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def pair():
    """A certificate and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "user")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM), private


def config(user, **cluster):
    return auth.one_context({"server": SERVER, **cluster}, user)


def data(text):
    return base64.b64encode(text).decode()


def users(pair):
    return [
        {"token": "abc"},
        {"client-certificate-data": data(pair[0]), "client-key-data": data(pair[1])},
        {},
    ]


@pytest.mark.parametrize("number", range(3))
def test_both_ways_lead_to_the_same_server_as_the_same_user(pair, tmp_path, number):
    user = users(pair)[number]
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config(user, **{"certificate-authority-data": data(pair[0])})))
    params = {"kubeconfig": str(path), "impersonate_user": "me", "impersonate_groups": ["a", "b"]}
    plain, official = connect(params, 4), _Official(params, 4)
    assert isinstance(plain, _Plain)
    assert plain.host == official.host == SERVER
    for connection in (plain, official):
        headers = connection.headers()
        assert headers.getlist("Impersonate-Group") == ["a", "b"]
        assert headers["Impersonate-User"] == "me"
        assert headers.get("authorization") == ("Bearer abc" if "token" in user else None)
    told = [c.kubeconfig()["users"][0]["user"] for c in (plain, official)]
    assert all(t["as"] == "me" and t["as-groups"] == ["a", "b"] and t.get("token") == user.get("token") for t in told)


def test_keys_are_not_left_in_files(pair, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    connect({"kubeconfig": config(users(pair)[1])}, 4)
    assert list(tmp_path.iterdir()) == []


def test_options_win_over_the_kubeconfig(pair, tmp_path):
    authority = tmp_path / "ca.pem"
    authority.write_bytes(pair[0])
    found = connect(
        {
            "kubeconfig": config({"token": "abc"}),
            "host": "https://127.0.0.1:1",
            "api_key": "xyz",
            "ca_cert": str(authority),
        },
        4,
    )
    assert found.host == "https://127.0.0.1:1"
    assert found.headers()["authorization"] == "Bearer xyz"
    assert found.kubeconfig()["clusters"][0]["cluster"]["certificate-authority"] == str(authority)
    assert found.pool.connection_pool_kw["ssl_context"].verify_mode == ssl.CERT_REQUIRED
    insecure = connect({"kubeconfig": config({}), "validate_certs": False}, 4)
    assert insecure.pool.connection_pool_kw["ssl_context"].verify_mode == ssl.CERT_NONE


def test_paths_are_relative_to_the_kubeconfig_and_tokens_are_read_anew(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    (tmp_path / "token").write_text("one\n")
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config({"tokenFile": "token"})))
    found = connect({"kubeconfig": str(path)}, 4)
    assert found.headers()["authorization"] == "Bearer one"
    (tmp_path / "token").write_text("two\n")
    assert found.headers()["authorization"] == "Bearer two"


@pytest.mark.parametrize(
    ("params", "environment"),
    [
        ({"kubeconfig": config({"username": "a", "password": "b"})}, {}),
        ({"kubeconfig": config({}, **{"proxy-url": "http://127.0.0.1:1"})}, {}),
        ({"kubeconfig": config({}), "username": "a", "password": "b"}, {}),
        ({"kubeconfig": config({})}, {"HTTPS_PROXY": "http://127.0.0.1:1"}),
    ],
)
def test_the_unusual_goes_the_official_way(params, environment, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert isinstance(connect(params, 4), _Official)


def test_a_context_that_is_not_there():
    with pytest.raises(MeshopsError, match="no context named 'other'"):
        connect({"kubeconfig": config({}), "context": "other"}, 4)


def test_no_kubeconfig(tmp_path):
    with pytest.raises(MeshopsError, match="no kubeconfig at .*missing: set the option kubeconfig"):
        connect({"kubeconfig": str(tmp_path / "missing")}, 4)
