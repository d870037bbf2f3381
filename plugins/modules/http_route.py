#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: http_route
short_description: Manage an HTTPRoute of the Kubernetes Gateway API
version_added: 0.1.0
description:
  - An HTTPRoute says where HTTP requests go that come in on a gateway, or, with a service as parent, that are sent
    within the mesh.
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
  parent_refs:
    description:
      - The gateways or services that the route attaches to.
    type: list
    elements: dict
    aliases: [parentRefs]
  hostnames:
    description:
      - The hosts that requests name.
    type: list
    elements: str
  rules:
    description:
      - What is matched (C(matches)), changed (C(filters)), and by which backends it is answered (C(backendRefs)).
    type: list
    elements: dict
  use_default_gateways:
    description:
      - Attaches to the default gateways too. In the experimental channel only.
    type: str
    choices: ["All", "None"]
    aliases: [useDefaultGateways]
seealso:
  - module: meshops.istio.mesh_objects
  - name: Reference of HTTPRoute
    description: Every field and what it means.
    link: https://gateway-api.sigs.k8s.io/reference/spec/#httproute
author:
  - The meshops.istio authors (@meshops)
"""

EXAMPLES = r"""
- name: Publish the product page
  meshops.istio.http_route:
    name: productpage
    namespace: bookinfo
    parent_refs:
      - name: books
    hostnames:
      - books.example.com
    rules:
      - matches:
          - path:
              type: PathPrefix
              value: /productpage
        backendRefs:
          - name: productpage
            port: 9080

- name: Send a tenth of the mesh's requests for reviews to the new version
  meshops.istio.http_route:
    name: reviews
    namespace: bookinfo
    parent_refs:
      - group: ""
        kind: Service
        name: reviews
        port: 9080
    rules:
      - backendRefs:
          - name: reviews-v1
            port: 9080
            weight: 90
          - name: reviews-v2
            port: 9080
            weight: 10

- name: Take the product page off the gateway
  meshops.istio.http_route:
    name: productpage
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
    kind: HTTPRoute
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
    "parent_refs": {"type": "list", "elements": "dict", "aliases": ["parentRefs"]},
    "hostnames": {"type": "list", "elements": "str"},
    "rules": {"type": "list", "elements": "dict"},
    "use_default_gateways": {"type": "str", "choices": ["All", "None"], "aliases": ["useDefaultGateways"]},
}


def main() -> None:
    run_typed_module("gateway.networking.k8s.io/v1", "HTTPRoute", SPEC)


if __name__ == "__main__":
    main()
