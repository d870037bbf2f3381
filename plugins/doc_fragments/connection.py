# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The connection options, the same as in every module of kubernetes.core."""

from __future__ import annotations


class ModuleDocFragment:
    """Documents C(cluster.auth.connection_spec())."""

    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - Path of the kubeconfig file, several paths separated by C(:), or the content of a kubeconfig as a dictionary.
      - Without it, E(K8S_AUTH_KUBECONFIG) and E(KUBECONFIG) are looked at, then C(~/.kube/config), then the
        service account of the pod that this runs in.
    type: raw
  context:
    description:
      - The context of the kubeconfig to use, else its current context.
      - Falls back to E(K8S_AUTH_CONTEXT).
    type: str
    aliases: [kube_context]
  host:
    description:
      - URL of the API server.
      - Falls back to E(K8S_AUTH_HOST).
    type: str
    aliases: [api_host]
  api_key:
    description:
      - A bearer token.
      - Falls back to E(K8S_AUTH_API_KEY).
    type: str
  username:
    description:
      - User name for HTTP basic authentication, for example at a proxy in front of the API server.
      - Falls back to E(K8S_AUTH_USERNAME).
    type: str
  password:
    description:
      - Password for HTTP basic authentication.
      - Falls back to E(K8S_AUTH_PASSWORD).
    type: str
  validate_certs:
    description:
      - Whether the API server's certificate must be trusted.
      - Falls back to E(K8S_AUTH_VERIFY_SSL).
    type: bool
    aliases: [verify_ssl]
  ca_cert:
    description:
      - Path of the CA certificates that the API server's certificate is checked with.
      - Falls back to E(K8S_AUTH_SSL_CA_CERT).
    type: path
    aliases: [ssl_ca_cert]
  client_cert:
    description:
      - Path of a client certificate.
      - Falls back to E(K8S_AUTH_CERT_FILE).
    type: path
    aliases: [cert_file]
  client_key:
    description:
      - Path of the client certificate's key.
      - Falls back to E(K8S_AUTH_KEY_FILE).
    type: path
    aliases: [key_file]
  proxy:
    description:
      - URL of an HTTP proxy on the way to the API server.
      - Falls back to E(K8S_AUTH_PROXY), and from version 37 of the Python package kubernetes on to E(HTTPS_PROXY) or
        E(HTTP_PROXY), as the scheme of the API server's URL is.
    type: str
  no_proxy:
    description:
      - Hosts, domains, addresses and networks, separated by commas, that are reached without the proxy.
      - Falls back to E(K8S_AUTH_NO_PROXY), and from version 37 of the Python package kubernetes on to E(NO_PROXY).
    type: str
  proxy_headers:
    description:
      - Headers for the proxy.
    type: dict
    suboptions:
      proxy_basic_auth:
        description:
          - C(user:password) for the proxy's basic authentication.
        type: str
      basic_auth:
        description:
          - C(user:password) for basic authentication.
        type: str
      user_agent:
        description:
          - The user agent to name.
        type: str
  persist_config:
    description:
      - Whether a refreshed login token is written back to the kubeconfig file.
      - Falls back to E(K8S_AUTH_PERSIST_CONFIG).
    type: bool
  impersonate_user:
    description:
      - The user to act as.
      - Falls back to E(K8S_AUTH_IMPERSONATE_USER).
    type: str
  impersonate_groups:
    description:
      - The groups to act as.
      - Falls back to E(K8S_AUTH_IMPERSONATE_GROUPS), separated by commas.
    type: list
    elements: str
requirements:
  - "kubernetes >= 33 (Python package)"
"""
