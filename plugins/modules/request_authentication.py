#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: request_authentication
short_description: Create, change or remove an Istio RequestAuthentication
version_added: 0.1.0
description:
  - A RequestAuthentication checks the JSON web tokens that requests carry. A request with a bad token is refused, one
    without a token is not. To demand a token, add an M(meshops.istio.authorization_policy).
extends_documentation_fragment:
  - meshops.istio.object
  - meshops.istio.connection
  - meshops.istio.attributes
options:
  selector:
    description:
      - The pods that it is for, by C(matchLabels).
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
  jwt_rules:
    description:
      - "Which tokens are accepted: C(issuer), C(jwksUri) or C(jwks), C(audiences), and where they are looked for."
    type: list
    elements: dict
    aliases: [jwtRules]
seealso:
  - module: meshops.istio.mesh_objects
  - name: Reference of RequestAuthentication
    description: Every field and what it means.
    link: https://istio.io/latest/docs/reference/config/security/request_authentication/
author:
  - The meshops.istio authors (@meshops)
"""

EXAMPLES = r"""
- name: Accept the tokens of our identity provider on the ingress gateway
  meshops.istio.request_authentication:
    name: staff
    namespace: istio-ingress
    selector:
      matchLabels:
        istio: ingress
    jwt_rules:
      - issuer: https://login.example.com
        jwksUri: https://login.example.com/.well-known/jwks.json
        forwardOriginalToken: true

- name: Stop looking at tokens
  meshops.istio.request_authentication:
    name: staff
    namespace: istio-ingress
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
    kind: RequestAuthentication
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
    "jwt_rules": {"type": "list", "elements": "dict", "aliases": ["jwtRules"]},
}


def main() -> None:
    run_typed_module("security.istio.io/v1", "RequestAuthentication", SPEC)


if __name__ == "__main__":
    main()
