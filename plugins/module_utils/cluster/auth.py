# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a module finds and logs in to a cluster: the connection options of kubernetes.core.

This is the only file that imports from kubernetes.core. The official kubernetes package is loaded when it is needed,
not before: see C(connection).
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import (
    AUTH_ARG_SPEC,
)

from ..errors import MeshopsError

try:
    import urllib3
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


def connection_spec() -> dict[str, dict]:
    """The argument spec of the connection options: as in kubernetes.core, and C(api_host) as another name of host."""
    spec = {name: dict(option) for name, option in AUTH_ARG_SPEC.items()}
    spec["host"]["aliases"] = ["api_host"]  # see module.run_module
    spec["kubeconfig"]["no_log"] = False  # Ansible would cut the v1 of a dict's apiVersion from every result
    return spec


def secrets(kubeconfig: t.Any, secret: bool = False) -> t.Iterator[str]:
    """The secret texts in a kubeconfig that is given as a dict."""
    if isinstance(kubeconfig, dict):
        for name, value in kubeconfig.items():
            yield from secrets(value, secret or name in _SECRET)
    elif isinstance(kubeconfig, list):
        for value in kubeconfig:
            yield from secrets(value, secret)
    elif secret and kubeconfig and isinstance(kubeconfig, str):
        yield kubeconfig


def options(params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The connection options that were given, by parameter or by environment variable."""
    found = {}
    for name, variable in _ENVIRONMENT.items():
        value = params.get(name)
        if value is None:
            value = os.environ.get(variable)
            if value is not None and name in ("validate_certs", "persist_config"):
                value = value.lower() not in ("0", "no", "false", "off", "n", "f")
            if value is not None and name == "impersonate_groups":
                value = value.split(",")
        if value is not None:
            found[name] = value
    return found


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
    """The official kubernetes package, with its client, config and stream.

    :raises MeshopsError: it isn't there
    """
    try:
        import kubernetes
        import kubernetes.client
        import kubernetes.config
        import kubernetes.stream
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

    A header of the client can have one value only: of several groups to impersonate it has the first.
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
        ("proxy", "proxy"),
        ("no_proxy", "no_proxy"),
    ):
        if given.get(name) is not None:
            setattr(configuration, attribute, given[name])
    if given.get("proxy_headers"):
        configuration.proxy_headers = urllib3.util.make_headers(
            **{k: v for k, v in given["proxy_headers"].items() if v is not None}
        )
    configuration.connection_pool_maxsize = pool_size
    configuration.retries = False
    client = kubernetes.client.ApiClient(configuration)
    if given.get("username") and given.get("password"):
        headers = urllib3.util.make_headers(basic_auth=f"{given['username']}:{given['password']}")
        client.set_default_header("Authorization", headers["authorization"])
    if given.get("impersonate_user"):
        client.set_default_header("Impersonate-User", given["impersonate_user"])
    if given.get("impersonate_groups"):
        client.set_default_header("Impersonate-Group", given["impersonate_groups"][0])
    return client


def kubeconfig(client: t.Any, groups: t.Sequence[str] = ()) -> dict[str, t.Any]:
    """A kubeconfig for other programs that leads exactly where an ApiClient leads, with the same identity.

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
    headers = client.default_headers
    bearer = configuration.auth_settings().get("BearerToken")
    if bearer:
        user["token"] = bearer["value"].partition(" ")[2]
    elif configuration.username and configuration.password:
        user["username"], user["password"] = configuration.username, configuration.password
    if headers.get("Impersonate-User"):
        user["as"] = headers["Impersonate-User"]
    if groups:
        user["as-groups"] = list(groups)
    return one_context(cluster, user)


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
