#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: reference_grant
short_description: Manage a ReferenceGrant of the Kubernetes Gateway API
version_added: 0.1.0
description:
  - A ReferenceGrant lets objects of other namespaces refer to objects of its own, for example a gateway to a secret.
extends_documentation_fragment:
  - meshops.istio.object
  - meshops.istio.connection
  - meshops.istio.attributes
options:
  from:
    description:
      - "Who may refer: C(group), C(kind) and C(namespace)."
      - Required with O(state=present).
    type: list
    elements: dict
  to:
    description:
      - "What may be referred to: C(group), C(kind), and C(name) for a single object."
      - Required with O(state=present).
    type: list
    elements: dict
seealso:
  - module: meshops.istio.mesh_objects
  - name: Reference of ReferenceGrant
    description: Every field and what it means.
    link: https://gateway-api.sigs.k8s.io/reference/spec/#referencegrant
author:
  - The meshops.istio authors (@meshops)
"""

EXAMPLES = r"""
- name: Let the routes of bookinfo send traffic to the services of payments
  meshops.istio.reference_grant:
    name: bookinfo
    namespace: payments
    from:
      - group: gateway.networking.k8s.io
        kind: HTTPRoute
        namespace: bookinfo
    to:
      - group: ""
        kind: Service

- name: Take the right away
  meshops.istio.reference_grant:
    name: bookinfo
    namespace: payments
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
    kind: ReferenceGrant
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
    "from": {"type": "list", "elements": "dict"},
    "to": {"type": "list", "elements": "dict"},
}


def main() -> None:
    run_typed_module("gateway.networking.k8s.io/v1", "ReferenceGrant", SPEC, required=["from", "to"])


if __name__ == "__main__":
    main()
