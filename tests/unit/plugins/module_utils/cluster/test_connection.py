# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The usual kubeconfig is read without the official package, with the same outcome; the unusual one by it."""

from __future__ import annotations

import base64
import datetime
import socket
import ssl
import sys
import threading

import pytest
import urllib3
import yaml
from ansible_collections.meshops.istio.plugins.module_utils.cluster import auth
from ansible_collections.meshops.istio.plugins.module_utils.cluster.client import Cluster
from ansible_collections.meshops.istio.plugins.module_utils.cluster.connection import _Official, _Plain, connect
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import POD
from ansible_collections.meshops.istio.plugins.module_utils.cluster.watch import MetadataWatch
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

SERVER = "https://127.0.0.1:6443"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in (
        "NO_PROXY",
        "no_proxy",
        "KUBECONFIG",
        "HTTPS_PROXY",
        "https_proxy",
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
    ):
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
    """A kubeconfig; exec credentials make it one for the official package."""
    return auth.one_context({"server": SERVER, **cluster}, user)


FAR = "https://10.20.30.40:6443"


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
        ({"kubeconfig": config({}, server="https://10.0.0.1:6443")}, {"HTTPS_PROXY": "http://127.0.0.1:1"}),
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


# -- host names ---------------------------------------------------------------


@pytest.fixture
def other_server(tmp_path):
    """A TLS server whose certificate is that of another host, by a CA that the client trusts; what it was sent."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "node-7.internal")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("node-7.internal")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    received = []

    def serve(listener):
        while True:
            try:
                raw, _address = listener.accept()
                with context.wrap_socket(raw, server_side=True) as connection:
                    connection.settimeout(2)
                    received.extend(filter(None, [connection.recv(65536)]))
            except ssl.SSLError:
                continue
            except OSError:
                return

    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve, args=(listener,), daemon=True).start()
    user = {"token": "SECRET-ADMIN-TOKEN"}
    address = {"server": f"https://localhost:{listener.getsockname()[1]}", "certificate-authority": str(pem)}
    yield auth.one_context(address, user), received
    listener.close()


@pytest.mark.parametrize("version", ["1.26", "2"])
@pytest.mark.parametrize("path", ["request", "execute", "watch"])
@pytest.mark.parametrize("user", [{"token": "SECRET-ADMIN-TOKEN"}, {"username": "a", "password": "b"}])
def test_the_host_name_is_checked_on_every_path(other_server, monkeypatch, version, path, user):
    kubeconfig, received = other_server
    kubeconfig["users"][0]["user"] = user
    made = urllib3.util.ssl_.create_urllib3_context

    def of_126(*arguments, **options):
        context = made(*arguments, **options)
        context.check_hostname = False
        return context

    if version == "1.26" and path == "execute":  # urllib3 2 itself would not check with such a context
        monkeypatch.setattr(urllib3.util.ssl_, "create_urllib3_context", of_126)
    params = {"kubeconfig": kubeconfig}
    ask = {
        "request": lambda: Cluster(params, retry_time=0).request("GET", "/version"),
        "execute": lambda: Cluster(params, retry_time=0).execute("app", "web", ["true"]),
        "watch": lambda: MetadataWatch(params, POD, None, "app").list(),
    }[path]
    with pytest.raises(MeshopsError, match="match|mismatch"):
        ask()
    assert not received, "the token was sent to another host"


def test_certificates_without_key_usage_are_taken_and_the_chain_is_checked():
    context = connect({"kubeconfig": config({})}, 4).pool.connection_pool_kw["ssl_context"]
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert context.verify_mode == ssl.CERT_REQUIRED
    unusual = connect({"kubeconfig": config({"username": "a", "password": "b"})}, 4)
    context = unusual.pool.connection_pool_kw["ssl_context"]
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert context.verify_mode == ssl.CERT_REQUIRED


# -- impersonation ------------------------------------------------------------


@pytest.mark.parametrize("user", [{"token": "abc"}, {"username": "a", "password": "b"}])
def test_the_impersonation_of_a_kubeconfig_holds_for_modules_and_helm(user, tmp_path):
    who = {"as": "deployer", "as-groups": ["team-a", "team-b"], "as-uid": "7", "as-user-extra": {"scope": ["dev"]}}
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config({**user, **who})))
    found = connect({"kubeconfig": str(path)}, 4)
    headers = found.headers()
    assert headers["Impersonate-User"] == "deployer"
    assert headers.getlist("Impersonate-Group") == ["team-a", "team-b"]
    assert headers["Impersonate-Uid"] == "7"
    assert headers["Impersonate-Extra-scope"] == "dev"
    made = found.kubeconfig()["users"][0]["user"]
    assert {name: made[name] for name in who} == who
    chosen = connect({"kubeconfig": str(path), "impersonate_user": "me"}, 4)
    assert chosen.headers()["Impersonate-User"] == "me"
    assert not chosen.headers().getlist("Impersonate-Group")


# -- proxies ------------------------------------------------------------------


@pytest.mark.parametrize("user", [{"token": "abc"}, {"username": "a", "password": "b"}])
@pytest.mark.parametrize(
    ("cluster", "environment", "proxy"),
    [
        ({}, {"HTTPS_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ({}, {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "10.20.30.40"}, None),
        ({}, {"HTTPS_PROXY": "http://proxy:3128", "no_proxy": "example.com, 10.20.0.0/16"}, None),
        ({}, {"HTTP_PROXY": "http://proxy:3128"}, None),
        ({"server": SERVER}, {"HTTPS_PROXY": "http://proxy:3128"}, None),
        ({"proxy-url": "http://other:1"}, {"NO_PROXY": "10.20.30.40"}, "http://other:1"),
        ({"proxy-url": "http://other:1"}, {"HTTPS_PROXY": "http://proxy:3128"}, "http://other:1"),
    ],
)
def test_modules_and_helm_use_the_proxy_that_kubectl_uses(user, cluster, environment, proxy, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = connect({"kubeconfig": config(user, **{"server": FAR, **cluster})}, 4)
    used = found.pool.proxy
    assert (used and f"{used.scheme}://{used.host}:{used.port}") == proxy
    assert found.kubeconfig()["clusters"][0]["cluster"].get("proxy-url") == proxy


def test_a_socks_proxy_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "socks", None)
    monkeypatch.delitem(sys.modules, "urllib3.contrib.socks", raising=False)
    with pytest.raises(MeshopsError, match="pip install PySocks"):
        connect({"kubeconfig": config({}, **{"server": FAR, "proxy-url": "socks5://127.0.0.1:1080"})}, 4)
