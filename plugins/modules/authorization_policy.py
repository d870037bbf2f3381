#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: authorization_policy
short_description: Create, change or remove an Istio AuthorizationPolicy
version_added: 0.1.0
description:
  - An AuthorizationPolicy says which requests a workload accepts.
  - One without O(rules) matches no request, so that with O(action=ALLOW), the default, nothing is let through. One
    with a single empty rule matches every request.
extends_documentation_fragment:
  - meshops.istio.object
  - meshops.istio.connection
  - meshops.istio.attributes
options:
  selector:
    description:
      - The pods that it is for, by C(matchLabels). Without it, the whole namespace.
    type: dict
  target_ref:
    description:
      - The gateway or service that it is for. O(target_refs) can do the same and more.
    type: dict
    aliases: [targetRef]
  target_refs:
    description:
      - The gateways or services that it is for.
    type: list
    elements: dict
    aliases: [targetRefs]
  action:
    description:
      - What happens to a request that matches. The server takes V(ALLOW) where this is not given.
    type: str
    choices: [ALLOW, DENY, AUDIT, CUSTOM]
  rules:
    description:
      - "The requests that match: who sends them (C(from)), what they do (C(to)), further conditions (C(when))."
    type: list
    elements: dict
  provider:
    description:
      - "Who decides with O(action=CUSTOM): the C(name) of an extension provider of the mesh configuration."
    type: dict
seealso:
  - module: meshops.istio.mesh_objects
  - name: Reference of AuthorizationPolicy
    description: Every field and what it means.
    link: https://istio.io/latest/docs/reference/config/security/authorization-policy/
author:
  - The meshops.istio authors (@meshops)
"""

EXAMPLES = r"""
- name: Let nobody in, unless another policy does
  meshops.istio.authorization_policy:
    name: allow-nothing
    namespace: bookinfo

- name: Only the product page may read reviews
  meshops.istio.authorization_policy:
    name: reviews
    namespace: bookinfo
    selector:
      matchLabels:
        app: reviews
    action: ALLOW
    rules:
      - from:
          - source:
              principals:
                - cluster.local/ns/bookinfo/sa/bookinfo-productpage
        to:
          - operation:
              methods:
                - GET

- name: Open the namespace again
  meshops.istio.authorization_policy:
    name: allow-nothing
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
    apiVersion: security.istio.io/v1
    kind: AuthorizationPolicy
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
    "target_ref": {"type": "dict", "aliases": ["targetRef"]},
    "target_refs": {"type": "list", "elements": "dict", "aliases": ["targetRefs"]},
    "action": {"type": "str", "choices": ["ALLOW", "DENY", "AUDIT", "CUSTOM"]},
    "rules": {"type": "list", "elements": "dict"},
    "provider": {"type": "dict"},
}


def main() -> None:
    run_typed_module("security.istio.io/v1", "AuthorizationPolicy", SPEC)


if __name__ == "__main__":
    main()
