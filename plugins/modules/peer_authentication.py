#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: peer_authentication
short_description: Create, change or remove an Istio PeerAuthentication
version_added: 0.1.0
description:
  - A PeerAuthentication says whether workloads accept mutual TLS only, plain text too, or no TLS at all.
  - One without O(selector) is for the whole namespace; in the root namespace it is for the whole mesh.
extends_documentation_fragment:
  - meshops.istio.object
  - meshops.istio.connection
  - meshops.istio.attributes
options:
  selector:
    description:
      - The pods that it is for, by C(matchLabels).
    type: dict
  mtls:
    description:
      - "The C(mode): V(STRICT), V(PERMISSIVE), V(DISABLE) or V(UNSET)."
    type: dict
  port_level_mtls:
    description:
      - Another mode for single ports of the workload, by port number. Needs O(selector).
    type: dict
    aliases: [portLevelMtls]
seealso:
  - module: meshops.istio.mesh_objects
  - name: Reference of PeerAuthentication
    description: Every field and what it means.
    link: https://istio.io/latest/docs/reference/config/security/peer_authentication/
author:
  - The meshops.istio authors (@meshops)
"""

EXAMPLES = r"""
- name: Only mutual TLS in bookinfo
  meshops.istio.peer_authentication:
    name: default
    namespace: bookinfo
    mtls:
      mode: STRICT

- name: Let anybody read the metrics of ratings
  meshops.istio.peer_authentication:
    name: ratings
    namespace: bookinfo
    selector:
      matchLabels:
        app: ratings
    mtls:
      mode: STRICT
    port_level_mtls:
      9090:
        mode: DISABLE

- name: No exception for ratings any more
  meshops.istio.peer_authentication:
    name: ratings
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
    kind: PeerAuthentication
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
    "mtls": {"type": "dict"},
    "port_level_mtls": {"type": "dict", "aliases": ["portLevelMtls"]},
}


def main() -> None:
    run_typed_module("security.istio.io/v1", "PeerAuthentication", SPEC)


if __name__ == "__main__":
    main()
