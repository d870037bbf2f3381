#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway
short_description: Create, change or remove an Istio Gateway
version_added: 0.1.0
description:
  - An Istio Gateway opens ports on the proxies that O(selector) picks, usually those of an ingress or egress gateway.
    A C(VirtualService) then routes the traffic.
  - For the Gateway of the Kubernetes Gateway API there is M(meshops.istio.k8s_gateway).
extends_documentation_fragment:
  - meshops.istio.object
  - meshops.istio.connection
  - meshops.istio.attributes
options:
  selector:
    description:
      - The labels of the gateway pods that this applies to.
    type: dict
  servers:
    description:
      - "The ports to open: each with C(port), C(hosts), and C(tls) for HTTPS and TLS."
    type: list
    elements: dict
seealso:
  - module: meshops.istio.mesh_objects
  - name: Reference of Gateway
    description: Every field and what it means.
    link: https://istio.io/latest/docs/reference/config/networking/gateway/
author:
  - The meshops.istio authors (@meshops)
"""

EXAMPLES = r"""
- name: Open port 80 of the ingress gateway for the book shop
  meshops.istio.gateway:
    name: bookinfo
    namespace: bookinfo
    selector:
      istio: ingress
    servers:
      - port:
          number: 80
          name: http
          protocol: HTTP
        hosts:
          - books.example.com

- name: The same, with a certificate
  meshops.istio.gateway:
    name: bookinfo-tls
    namespace: bookinfo
    selector:
      istio: ingress
    servers:
      - port:
          number: 443
          name: https
          protocol: HTTPS
        hosts:
          - books.example.com
        tls:
          mode: SIMPLE
          credentialName: books-example-com

- name: Close it again
  meshops.istio.gateway:
    name: bookinfo
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
    apiVersion: networking.istio.io/v1
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
    "selector": {"type": "dict"},
    "servers": {"type": "list", "elements": "dict"},
}


def main() -> None:
    run_typed_module("networking.istio.io/v1", "Gateway", SPEC)


if __name__ == "__main__":
    main()
