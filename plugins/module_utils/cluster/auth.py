# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a module finds and logs in to a cluster: the connection options of kubernetes.core.

This is the only file that imports from kubernetes.core. The official kubernetes package is loaded when it is needed,
not before: see C(connection).
"""

from __future__ import annotations

import os
import typing as t
import urllib.parse

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import (
    AUTH_ARG_SPEC,
)

from ..errors import MeshopsError
from .proxy import proxy_for

try:
    import urllib3
    import yaml
except ImportError:
    pass  # api_client() tells the user

#: Environment variables of kubernetes.core, option by option.
_ENVIRONMENT = {name: "K8S_AUTH_" + name.upper() for name in AUTH_ARG_SPEC}
_ENVIRONMENT.update(
    validate_certs="K8S_AUTH_VERIFY_SSL",
    ca_cert="K8S_AUTH_SSL_CA_CERT",
    client_cert="K8S_AUTH_CERT_FILE",
    client_key="K8S_AUTH_KEY_FILE",
)

#: What is secret in a kubeconfig, with all that is below it.
_SECRET = ("token", "password", "client-key-data", "auth-provider", "env")


_SOCKS = (
    "the proxy {proxy!r} is a SOCKS proxy, for which this interpreter lacks the Python package PySocks:"
    " pip install PySocks"
)


def connection_spec() -> dict[str, dict[str, t.Any]]:
    """The argument spec of the connection options: as in kubernetes.core, and C(api_host) as another name of host."""
    spec = {name: dict(option) for name, option in AUTH_ARG_SPEC.items()}
    spec["host"]["aliases"] = ["api_host"]  # see module.run_module
    spec["context"]["aliases"] = [*spec["context"].get("aliases", ()), "kube_context"]
    spec["kubeconfig"]["no_log"] = False  # Ansible would cut the v1 of a dict's apiVersion from every result
    return spec


def secrets(kubeconfig: t.Any, *, secret: bool = False) -> t.Iterator[str]:
    """The secret texts in a kubeconfig that is given as a dict."""
    if isinstance(kubeconfig, dict):
        for name, value in kubeconfig.items():
            yield from secrets(value, secret=secret or name in _SECRET)
    elif isinstance(kubeconfig, list):
        for value in kubeconfig:
            yield from secrets(value, secret=secret)
    elif secret and kubeconfig and isinstance(kubeconfig, str):
        yield kubeconfig


def options(params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The connection options that were given, by parameter or by environment variable."""
    found = {}
    for name, variable in _ENVIRONMENT.items():
        value = params.get(name)
        if value is None:
            text = os.environ.get(variable)
            if text is not None and name in ("validate_certs", "persist_config"):
                value = text.lower() not in ("0", "no", "false", "off", "n", "f")
            elif text is not None and name == "impersonate_groups":
                value = text.split(",")
            else:
                value = text
        if value is not None:
            found[name] = value
    return found


#: What of a kubeconfig's user says as whom the requests are made, and the header for it.
IMPERSONATION = {
    "as": "Impersonate-User",
    "as-uid": "Impersonate-Uid",
    "as-groups": "Impersonate-Group",
    "as-user-extra": "Impersonate-Extra-",
}


def identity(options: t.Mapping[str, t.Any], user: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Who is impersonated, in a kubeconfig's own words: by the options, else by the kubeconfig's user.

    >>> identity({"impersonate_user": "me"}, {"as": "deployer", "as-groups": ["team"], "token": "x"})
    {'as': 'me'}
    >>> identity({}, {"as": "deployer", "as-groups": ["team"], "token": "x"})
    {'as': 'deployer', 'as-groups': ['team']}
    """
    chosen = {"as": options.get("impersonate_user"), "as-groups": options.get("impersonate_groups")}
    if not chosen["as"]:
        chosen = {**{name: user.get(name) for name in IMPERSONATION}, **{k: v for k, v in chosen.items() if v}}
    return {name: value for name, value in chosen.items() if value}


def identity_headers(who: t.Mapping[str, t.Any]) -> list[tuple[str, str]]:
    """The headers of an impersonation: one for each group, and for each value of an extra field."""
    headers = []
    for name, value in who.items():
        if isinstance(value, dict):
            fields = [(IMPERSONATION[name] + urllib.parse.quote(field), values) for field, values in value.items()]
        else:
            fields = [(IMPERSONATION[name], value if isinstance(value, list) else [value])]
        headers += [(header, str(each)) for header, values in fields for each in values]
    return headers


def kubeconfig_user(options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The user of the kubeconfig's chosen context, or nothing without a kubeconfig to read."""
    return _chosen(options, "users", "user")


def kubeconfig_cluster(options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The cluster of the kubeconfig's chosen context, or nothing without a kubeconfig to read."""
    return _chosen(options, "clusters", "cluster")


def _chosen(options: t.Mapping[str, t.Any], entries: str, part: str) -> dict[str, t.Any]:
    given = options.get("kubeconfig") or (None if options.get("host") else os.environ.get("KUBECONFIG"))
    if given is None and options.get("host"):
        return {}
    configs = [given] if isinstance(given, dict) else _files(given or "~/.kube/config")
    name = options.get("context") or next((c["current-context"] for c in configs if c.get("current-context")), None)
    for config in configs:  # of several files the first that has a name wins
        for context in config.get("contexts") or ():
            if context["name"] == name:
                wanted = context["context"].get(part)
                found = (e[part] for c in configs for e in c.get(entries) or () if e["name"] == wanted)
                return dict(next(found, None) or {})
    return {}


def _files(paths: str) -> list[dict[str, t.Any]]:
    configs = []
    for path in paths.split(os.pathsep):
        try:
            with open(os.path.expanduser(path), encoding="utf-8") as file:
                content = yaml.safe_load(file)
        except (OSError, yaml.YAMLError):
            continue  # the official package says what is wrong
        configs += [content] if isinstance(content, dict) else []
    return configs


def _load_kubeconfig(options: dict[str, t.Any], configuration: t.Any) -> None:
    """Fills configuration from the kubeconfig (a path, several paths, or a dict), or from the pod's service account."""
    kubernetes = official_package()
    kubeconfig = options.get("kubeconfig")
    context = options.get("context")
    if isinstance(kubeconfig, dict):
        kubernetes.config.load_kube_config_from_dict(kubeconfig, context=context, client_configuration=configuration)
        return
    path = kubeconfig or os.environ.get("KUBECONFIG")
    default = os.path.expanduser("~/.kube/config")
    if not path and not os.path.exists(default) and os.environ.get("KUBERNETES_SERVICE_HOST"):
        kubernetes.config.load_incluster_config(client_configuration=configuration)
        return
    path = os.path.expanduser(path or default)
    missing = [p for p in path.split(os.pathsep) if not os.path.exists(p)]
    if len(missing) == len(path.split(os.pathsep)):
        raise MeshopsError(
            f"no kubeconfig at {path}: set the option kubeconfig, or the environment variable KUBECONFIG"
            " or K8S_AUTH_KUBECONFIG, to the file that describes the cluster"
        )
    kubernetes.config.load_kube_config(
        config_file=path,
        context=context,
        client_configuration=configuration,
        persist_config=bool(options.get("persist_config")),
    )


def official_package() -> t.Any:
    """The official kubernetes package, with its client and config.

    :raises MeshopsError: it isn't there
    """
    try:
        import kubernetes
        import kubernetes.client
        import kubernetes.config
    except ImportError as error:
        raise MeshopsError(
            f"the Python package kubernetes is missing from this interpreter ({error}): pip install 'kubernetes>=33'"
        ) from error
    return kubernetes


def api_client(params: t.Mapping[str, t.Any], pool_size: int = 16) -> t.Any:
    """An ApiClient of the official kubernetes package for a module's connection options.

    :param params: a module's parameters; options that are None fall back to K8S_AUTH_* variables
    :param pool_size: how many connections are kept open at most
    :raises MeshopsError: the options don't lead to a cluster; the text says which and what to do

    Who is impersonated is not among its headers, as each can have one value only: see C(connection).
    """
    kubernetes = official_package()
    given = options(params)
    configuration = kubernetes.client.Configuration()
    if given.get("host"):
        configuration.host = given["host"]
    if not given.get("host") or given.get("kubeconfig"):
        try:
            _load_kubeconfig(given, configuration)
        except kubernetes.config.ConfigException as error:
            raise MeshopsError(_explain(error, given)) from error
        if given.get("host"):
            configuration.host = given["host"]
    if given.get("api_key"):
        configuration.api_key = {"authorization": "Bearer " + given["api_key"]}
        configuration.api_key["BearerToken"] = configuration.api_key["authorization"]
    for name, attribute in (
        ("username", "username"),
        ("password", "password"),
        ("validate_certs", "verify_ssl"),
        ("ca_cert", "ssl_ca_cert"),
        ("client_cert", "cert_file"),
        ("client_key", "key_file"),
    ):
        if given.get(name) is not None:
            setattr(configuration, attribute, given[name])
    if given.get("proxy_headers"):
        configuration.proxy_headers = urllib3.util.make_headers(
            **{k: v for k, v in given["proxy_headers"].items() if v is not None}
        )
    # The versions of the package differ in what they make of NO_PROXY: the decision is made here.
    configuration.proxy = proxy_for(configuration.host, given, kubeconfig_cluster(given).get("proxy-url"))
    configuration.no_proxy = ""
    configuration.connection_pool_maxsize = pool_size
    configuration.retries = False
    client = _client(kubernetes, configuration)
    if given.get("username") and given.get("password"):
        headers = urllib3.util.make_headers(basic_auth=f"{given['username']}:{given['password']}")
        client.set_default_header("Authorization", headers["authorization"])
    return client


def _client(kubernetes: t.Any, configuration: t.Any) -> t.Any:
    proxy = configuration.proxy or ""
    try:
        client = kubernetes.client.ApiClient(configuration)
    except ImportError as error:  # of PySocks
        raise MeshopsError(_SOCKS.format(proxy=proxy)) from error
    except urllib3.exceptions.ProxySchemeUnknown as error:  # the package is too old to know of SOCKS
        if not proxy.startswith("socks"):
            raise MeshopsError(f"the proxy {proxy!r} can't be used: give its URL, such as http://HOST:PORT") from error
        client = _through_socks(kubernetes, configuration)
    return client


def _through_socks(kubernetes: t.Any, configuration: t.Any) -> t.Any:
    proxy, configuration.proxy = configuration.proxy, None
    client = kubernetes.client.ApiClient(configuration)
    try:
        from urllib3.contrib.socks import SOCKSProxyManager
    except ImportError as error:
        raise MeshopsError(_SOCKS.format(proxy=proxy)) from error
    direct = client.rest_client.pool_manager
    client.rest_client.pool_manager = SOCKSProxyManager(proxy, **direct.connection_pool_kw)
    configuration.proxy = proxy
    return client


def kubeconfig(client: t.Any, who: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """A kubeconfig for other programs that leads exactly where an ApiClient leads, with the same identity.

    :param who: see C(identity)

    It may hold a token or a password: whoever writes it to a file gives that file the mode 0600.
    """
    configuration = client.configuration
    cluster: dict[str, t.Any] = {"server": configuration.host}
    user: dict[str, t.Any] = {}
    if not configuration.verify_ssl:
        cluster["insecure-skip-tls-verify"] = True
    elif configuration.ssl_ca_cert:
        cluster["certificate-authority"] = configuration.ssl_ca_cert
    if getattr(configuration, "tls_server_name", None):
        cluster["tls-server-name"] = configuration.tls_server_name
    if configuration.proxy:
        cluster["proxy-url"] = configuration.proxy
    if configuration.cert_file:
        user["client-certificate"] = configuration.cert_file
    if configuration.key_file:
        user["client-key"] = configuration.key_file
    bearer = configuration.auth_settings().get("BearerToken")
    if bearer:
        user["token"] = bearer["value"].partition(" ")[2]
    elif configuration.username and configuration.password:
        user["username"], user["password"] = configuration.username, configuration.password
    return one_context(cluster, {**user, **who})


def one_context(cluster: dict[str, t.Any], user: dict[str, t.Any]) -> dict[str, t.Any]:
    """A kubeconfig with one cluster and one user."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": cluster}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "context", "context": {"cluster": "cluster", "user": "user"}}],
        "current-context": "context",
    }


def _explain(error: Exception, options: dict[str, t.Any]) -> str:
    text = str(error)
    context = options.get("context")
    if context and context in text:
        return (
            f"the kubeconfig has no context named {context!r}: see `kubectl config get-contexts`"
            " and set the option context to one of them"
        )
    return f"the kubeconfig can't be used: {text}"
