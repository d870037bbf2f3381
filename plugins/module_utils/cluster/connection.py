# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A connection to an API server: where it is, who we are, and a pool of connections.

The usual kubeconfig (certificates, a token) is read here: loading the official kubernetes package for it would
cost every task more time than all the rest of its start. What else a kubeconfig or the options can hold (programs
that make tokens, auth providers, proxies, a pod's service account) is left to the official package.
"""

from __future__ import annotations

import base64
import http.client
import os
import ssl
import tempfile
import typing as t
import urllib.parse

from . import auth
from .proxy import proxy_for

try:
    import urllib3
    import yaml
    from urllib3._collections import HTTPHeaderDict  # urllib3 1.26 has it nowhere else
except ImportError:
    urllib3 = None  # type: ignore[assignment]

_PLAIN_OPTIONS = {
    "kubeconfig", "context", "host", "api_key", "validate_certs", "ca_cert", "client_cert", "client_key",
    "impersonate_user", "impersonate_groups", "persist_config",
}  # fmt: skip
_PLAIN_CLUSTER = {
    "server", "certificate-authority", "certificate-authority-data", "insecure-skip-tls-verify", "extensions",
}  # fmt: skip
_PLAIN_USER = {
    "client-certificate", "client-certificate-data", "client-key", "client-key-data", "token", "tokenFile",
    *auth.IMPERSONATION,
}  # fmt: skip


class Connection(t.Protocol):
    """What a Cluster needs to know of a connection.

    :ivar host: URL of the API server
    :ivar pool: urllib3's pool manager
    """

    host: str
    pool: t.Any

    def headers(self) -> t.Any:
        """The headers that say who we are; a token is as new as it can be."""

    def kubeconfig(self) -> dict[str, t.Any]:
        """See C(auth.kubeconfig)."""

    def single(self, timeout: float) -> http.client.HTTPConnection:
        """A connection of its own, with the same trust, identity and proxy, for one command."""


def connect(params: t.Mapping[str, t.Any], pool_size: int) -> Connection:
    """The connection that a module's connection options lead to.

    :param params: a module's parameters; options that are None fall back to K8S_AUTH_* variables
    :param pool_size: how many connections are kept open at most
    :raises MeshopsError: the options don't lead to a cluster; the text says which and what to do
    """
    options = auth.options(params)
    plain = _plain(options) if urllib3 else None
    if plain is None:
        return _Official(params, pool_size)
    return _Plain(*plain, options, pool_size)


class _Official:
    """A connection as the official kubernetes package makes it."""

    def __init__(self, params: t.Mapping[str, t.Any], pool_size: int) -> None:
        options = auth.options(params)
        self._api = auth.api_client(params, pool_size)
        self._identity = auth.identity(options, auth.kubeconfig_user(options))
        self.host = self._api.configuration.host
        self.pool = self._api.rest_client.pool_manager
        if self.host.startswith("https:") and "ssl_context" not in self.pool.connection_pool_kw:
            self.pool.connection_pool_kw["ssl_context"] = _lenient(secure=self._api.configuration.verify_ssl)

    def headers(self) -> t.Any:
        headers = {k: v for k, v in self._api.default_headers.items() if not k.startswith("Impersonate-")}
        bearer = self._api.configuration.auth_settings().get("BearerToken")  # a token may have been renewed
        if bearer:
            headers["authorization"] = bearer["value"]
        return _with_identity(headers, self._identity)

    def kubeconfig(self) -> dict[str, t.Any]:
        return auth.kubeconfig(self._api, self._identity)

    def single(self, timeout: float) -> http.client.HTTPConnection:
        pool = self.pool.connection_from_url(self.host)
        connection: http.client.HTTPConnection = pool._new_conn()  # urllib3 has no public name for either
        connection.timeout = timeout
        if pool.proxy is not None and pool.scheme == "https":
            pool._prepare_proxy(connection)
        return connection


class _Plain:
    """A connection with certificates or a token, made from a kubeconfig's cluster and user."""

    def __init__(
        self, cluster: dict[str, t.Any], user: dict[str, t.Any], options: dict[str, t.Any], pool_size: int
    ) -> None:
        self.host = cluster["server"]
        self._cluster = cluster
        self._identity = auth.identity(options, user)
        self._user = {k: v for k, v in user.items() if k not in auth.IMPERSONATION}
        self._secure = not cluster.get("insecure-skip-tls-verify")
        self._single_context: ssl.SSLContext | None = None
        more: dict[str, t.Any] = {"cert_reqs": "CERT_REQUIRED" if self._secure else "CERT_NONE"}
        if self.host.startswith("https:"):
            more["ssl_context"] = _context(cluster, self._user, secure=self._secure)
        self.pool = urllib3.PoolManager(maxsize=pool_size, **more)
        if not self._secure:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

    def headers(self) -> t.Any:
        headers: dict[str, str] = {}
        token = self._user.get("token")
        if self._user.get("tokenFile"):
            with open(self._user["tokenFile"], encoding="utf-8") as file:
                token = file.read().strip()
        if token:
            headers["authorization"] = f"Bearer {token}"
        return _with_identity(headers, self._identity)

    def kubeconfig(self) -> dict[str, t.Any]:
        return auth.one_context(self._cluster, {**self._user, **self._identity})

    def single(self, timeout: float) -> http.client.HTTPConnection:
        url = urllib.parse.urlsplit(self.host)
        if not self.host.startswith("https:"):
            return http.client.HTTPConnection(url.hostname or "", url.port, timeout=timeout)
        if self._single_context is None:
            context = _context(self._cluster, self._user, secure=self._secure)
            # urllib3 1.26 makes contexts that leave the host name to urllib3 itself; nobody else would check it here.
            context.check_hostname = self._secure
            self._single_context = context
        return http.client.HTTPSConnection(url.hostname or "", url.port, timeout=timeout, context=self._single_context)


def _with_identity(headers: dict[str, str], identity: t.Mapping[str, t.Any]) -> t.Any:
    """The headers with those that name the impersonated user: a line for each group."""
    if not identity:
        return headers
    several = HTTPHeaderDict(headers)
    for name, value in auth.identity_headers(identity):
        several.add(name, value)
    return several


def _plain(options: dict[str, t.Any]) -> tuple[dict[str, t.Any], dict[str, t.Any]] | None:
    """Cluster and user as a kubeconfig writes them, with absolute paths; None where it takes the official package."""
    if set(options) - _PLAIN_OPTIONS:
        return None
    given = options.get("kubeconfig") or (None if options.get("host") else os.environ.get("KUBECONFIG"))
    if given is None and options.get("host"):
        cluster: dict[str, t.Any] = {"server": options["host"]}
        user: dict[str, t.Any] = {}
    else:
        found = _read(given or "~/.kube/config", options.get("context"))
        if found is None:
            return None
        cluster, user = found
    if options.get("host"):
        cluster["server"] = options["host"]
    if options.get("api_key"):
        user = {"token": options["api_key"], **{k: v for k, v in user.items() if k in auth.IMPERSONATION}}
    if options.get("validate_certs") is not None:
        cluster["insecure-skip-tls-verify"] = not options["validate_certs"]
    for option, part, name in (
        ("ca_cert", cluster, "certificate-authority"),
        ("client_cert", user, "client-certificate"),
        ("client_key", user, "client-key"),
    ):
        if options.get(option):
            part.pop(f"{name}-data", None)
            part[name] = os.path.abspath(os.path.expanduser(options[option]))
    return None if proxy_for(cluster["server"], options, None) else (cluster, user)


def _read(given: t.Any, context: str | None) -> tuple[dict[str, t.Any], dict[str, t.Any]] | None:
    try:
        folder = os.getcwd()
        config = given
        if not isinstance(given, dict):
            path = os.path.expanduser(given)
            folder = os.path.dirname(os.path.abspath(path))
            with open(path, encoding="utf-8") as file:
                config = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        chosen = _named(config["contexts"], context or config["current-context"])["context"]
        cluster = dict(_named(config["clusters"], chosen["cluster"])["cluster"])
        user = dict(_named(config["users"], chosen["user"])["user"] or {})
    except (OSError, LookupError, TypeError, yaml.YAMLError):
        return None  # the official package says what is wrong
    if set(cluster) - _PLAIN_CLUSTER or set(user) - _PLAIN_USER or "server" not in cluster:
        return None
    for part in (cluster, user):
        for name in ("certificate-authority", "client-certificate", "client-key", "tokenFile"):
            if part.get(name):
                part[name] = os.path.join(folder, part[name])
    cluster.pop("extensions", None)
    return cluster, user


def _named(entries: list[dict[str, t.Any]], name: str) -> dict[str, t.Any]:
    found = [entry for entry in entries if entry["name"] == name]
    return found[0]


def _lenient(*, secure: bool) -> ssl.SSLContext:
    """A TLS context that takes what kubectl takes.

    From 3.13 on Python refuses CA certificates without a keyUsage extension, as older clusters have them. The chain,
    the expiry and the host name are checked all the same.
    """
    context: ssl.SSLContext = urllib3.util.ssl_.create_urllib3_context()
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if secure:
        context.verify_mode = ssl.CERT_REQUIRED
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _context(cluster: dict[str, t.Any], user: dict[str, t.Any], *, secure: bool) -> ssl.SSLContext:
    context = _lenient(secure=secure)
    if not secure:
        pass
    elif cluster.get("certificate-authority-data"):
        context.load_verify_locations(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    elif cluster.get("certificate-authority"):
        context.load_verify_locations(cafile=cluster["certificate-authority"])
    else:
        context.load_default_certs()
    certificate, key = (_file(user, name) for name in ("client-certificate", "client-key"))
    try:
        if certificate[0] and key[0]:
            context.load_cert_chain(certificate[0], key[0])
    finally:
        for path, temporary in (certificate, key):
            if temporary:
                os.unlink(path)
    return context


def _file(user: dict[str, t.Any], name: str) -> tuple[str, bool]:
    """The path of a file with the entry, and whether to delete it. Python loads client certificates from files only."""
    data = user.get(f"{name}-data")
    if not data:
        return user.get(name, ""), False
    handle, path = tempfile.mkstemp()  # mode 0600
    with os.fdopen(handle, "wb") as file:
        file.write(base64.b64decode(data))
    return path, True
