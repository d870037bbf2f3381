#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: virtual_service
short_description: Create, change or remove an Istio VirtualService
version_added: 0.1.0
description:
  - "A VirtualService says how requests for its hosts are routed: to which service and subset, with which weights,
    timeouts, retries and faults."
extends_documentation_fragment:
  - meshops.istio.object
  - meshops.istio.connection
  - meshops.istio.attributes
options:
  keep_weights:
    description:
      - Leave the weights of the destinations that a live route has already as they are, as a canary controller
        (Argo Rollouts, Flagger) sets them. The declared weights are those of new routes.
    type: bool
    default: false
  hosts:
    description:
      - "The hosts that requests name: service names, DNS names, or names with a wildcard such as V(*.example.com)."
    type: list
    elements: str
  gateways:
    description:
      - The gateways on which the routes apply, as C(name) or C(namespace/name).
      - V(mesh) means every sidecar, which is also what happens without this option.
    type: list
    elements: str
  http:
    description:
      - Routes for HTTP traffic. The first one that matches is taken.
    type: list
    elements: dict
  tls:
    description:
      - Routes for TLS traffic that is passed on without being decrypted, chosen by SNI.
    type: list
    elements: dict
  tcp:
    description:
      - Routes for other TCP traffic.
    type: list
    elements: dict
  export_to:
    description:
      - "The namespaces that see it: V(.) for its own alone, V(*) for all."
    type: list
    elements: str
    aliases: [exportTo]
seealso:
  - module: meshops.istio.mesh_objects
  - name: Reference of VirtualService
    description: Every field and what it means.
    link: https://istio.io/latest/docs/reference/config/networking/virtual-service/
author:
  - The meshops.istio authors (@meshops)
"""

EXAMPLES = r"""
- name: Send a tenth of the requests to the new version of reviews
  meshops.istio.virtual_service:
    name: reviews
    namespace: bookinfo
    hosts:
      - reviews
    http:
      - route:
          - destination:
              host: reviews
              subset: v1
            weight: 90
          - destination:
              host: reviews
              subset: v2
            weight: 10
        timeout: 5s

- name: Publish the product page on the ingress gateway
  meshops.istio.virtual_service:
    name: productpage
    namespace: bookinfo
    hosts:
      - books.example.com
    gateways:
      - bookinfo
    export_to:
      - "."
    http:
      - match:
          - uri:
              prefix: /productpage
        route:
          - destination:
              host: productpage
              port:
                number: 9080

- name: Remove the routes for reviews
  meshops.istio.virtual_service:
    name: reviews
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
    kind: VirtualService
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
    "hosts": {"type": "list", "elements": "str"},
    "gateways": {"type": "list", "elements": "str"},
    "http": {"type": "list", "elements": "dict"},
    "tls": {"type": "list", "elements": "dict"},
    "tcp": {"type": "list", "elements": "dict"},
    "export_to": {"type": "list", "elements": "str", "aliases": ["exportTo"]},
}


def main() -> None:
    run_typed_module("networking.istio.io/v1", "VirtualService", SPEC)


if __name__ == "__main__":
    main()
