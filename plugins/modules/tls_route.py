#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: tls_route
short_description: Manage a TLSRoute of the Kubernetes Gateway API
version_added: 0.1.0
description:
  - A TLSRoute says where TLS connections go by the host name that the client names (SNI), without decrypting them.
  - Older releases of the Gateway API have it in the experimental channel only.
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
      - The host names that clients name.
      - Required with O(state=present).
    type: list
    elements: str
  rules:
    description:
      - Where the connections go (C(backendRefs)).
      - Required with O(state=present).
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
  - name: Reference of TLSRoute
    description: Every field and what it means.
    link: https://gateway-api.sigs.k8s.io/reference/spec/#tlsroute
author:
  - The meshops.istio authors (@meshops)
"""

EXAMPLES = r"""
- name: Pass TLS for the vault through to it
  meshops.istio.tls_route:
    name: vault
    namespace: bookinfo
    parent_refs:
      - name: books
        sectionName: tls
    hostnames:
      - vault.example.com
    rules:
      - backendRefs:
          - name: vault
            port: 8200

- name: Close it again
  meshops.istio.tls_route:
    name: vault
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
    kind: TLSRoute
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
    run_typed_module("gateway.networking.k8s.io/v1", "TLSRoute", SPEC, required=["hostnames", "rules"])


if __name__ == "__main__":
    main()
