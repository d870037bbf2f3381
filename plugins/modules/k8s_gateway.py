#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_gateway
short_description: Manage a Gateway of the Kubernetes Gateway API
version_added: 0.1.0
description:
  - A Gateway of the Kubernetes Gateway API. With the class V(istio), Istio runs a proxy and a service for it; with
    V(istio-waypoint) it is a waypoint of an ambient mesh.
  - For Istio's own Gateway there is M(meshops.istio.gateway).
extends_documentation_fragment:
  - meshops.istio.object
  - meshops.istio.connection
  - meshops.istio.attributes
options:
  gateway_class_name:
    description:
      - "The class: V(istio), V(istio-waypoint), V(istio-remote), V(istio-east-west), or that of another
        implementation."
      - Required with O(state=present).
    type: str
    aliases: [gatewayClassName]
  listeners:
    description:
      - "The ports that are opened: each with C(name), C(port), C(protocol), and C(hostname), C(tls),
        C(allowedRoutes)."
      - Required with O(state=present).
    type: list
    elements: dict
  addresses:
    description:
      - The requested addresses, else the platform gives one.
    type: list
    elements: dict
  infrastructure:
    description:
      - Labels, annotations and parameters for what is made for the gateway.
    type: dict
  allowed_listeners:
    description:
      - The namespaces whose C(ListenerSet) objects may add listeners.
    type: dict
    aliases: [allowedListeners]
  tls:
    description:
      - How clients and backends are checked on all listeners.
    type: dict
  default_scope:
    description:
      - Whether routes without a parent attach to it. In the experimental channel only.
    type: str
    choices: ["All", "None"]
    aliases: [defaultScope]
seealso:
  - module: meshops.istio.mesh_objects
  - name: Reference of Gateway
    description: Every field and what it means.
    link: https://gateway-api.sigs.k8s.io/reference/spec/#gateway
author:
  - The meshops.istio authors (@meshops)
"""

EXAMPLES = r"""
- name: A gateway that Istio runs, for the routes of its own namespace
  meshops.istio.k8s_gateway:
    name: books
    namespace: bookinfo
    gateway_class_name: istio
    listeners:
      - name: http
        port: 80
        protocol: HTTP
        hostname: "*.example.com"

- name: The same, and go on when it has an address and is programmed
  meshops.istio.k8s_gateway:
    name: books
    namespace: bookinfo
    gateway_class_name: istio
    listeners:
      - name: http
        port: 80
        protocol: HTTP
        hostname: "*.example.com"
    wait: true
    wait_timeout: 120

- name: Remove it, and with it the proxy
  meshops.istio.k8s_gateway:
    name: books
    namespace: bookinfo
    state: absent
"""

RETURN = r"""
action:
  description: What was done with the object, or in check mode would be.
  returned: always
  type: str
  sample: updated
object:
  description: The object as the server has it now, or in check mode would have it. Empty where there is none.
  returned: always
  type: dict
  sample:
    apiVersion: gateway.networking.k8s.io/v1
    kind: Gateway
    metadata:
      name: example
      namespace: example
diff:
  description: What is declared, before and after.
  returned: when something changes, in diff mode
  type: dict
  contains:
    before:
      description: The fields before, as YAML.
      returned: success
      type: str
    after:
      description: The fields after, as YAML.
      returned: success
      type: str
    before_header:
      description: The kind, namespace and name.
      returned: success
      type: str
    after_header:
      description: The kind, namespace and name.
      returned: success
      type: str
"""

from ansible_collections.meshops.istio.plugins.module_utils.objects.typed_module import run_typed_module

SPEC: dict[str, dict] = {
    "gateway_class_name": {"type": "str", "aliases": ["gatewayClassName"]},
    "listeners": {"type": "list", "elements": "dict"},
    "addresses": {"type": "list", "elements": "dict"},
    "infrastructure": {"type": "dict"},
    "allowed_listeners": {"type": "dict", "aliases": ["allowedListeners"]},
    "tls": {"type": "dict"},
    "default_scope": {"type": "str", "choices": ["All", "None"], "aliases": ["defaultScope"]},
}


def main() -> None:
    run_typed_module("gateway.networking.k8s.io/v1", "Gateway", SPEC, required=["gateway_class_name", "listeners"])


if __name__ == "__main__":
    main()
