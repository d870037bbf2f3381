#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: sidecar
short_description: Create, change or remove an Istio Sidecar
version_added: 0.1.0
description:
  - A Sidecar narrows down what a workload's proxy listens on and which services it knows. In a large mesh that saves
    much memory and time in every proxy.
  - One without O(workload_selector) is for the whole namespace; in the root namespace it is for the whole mesh.
extends_documentation_fragment:
  - meshops.istio.object
  - meshops.istio.connection
  - meshops.istio.attributes
options:
  workload_selector:
    description:
      - The pods that it is for, by C(labels).
    type: dict
    aliases: [workloadSelector]
  ingress:
    description:
      - What the proxy listens on for incoming traffic, where that shall differ from the service's ports.
    type: list
    elements: dict
  egress:
    description:
      - The services that the proxy knows, as C(namespace/host) under C(hosts).
    type: list
    elements: dict
  inbound_connection_pool:
    description:
      - Limits for incoming connections.
    type: dict
    aliases: [inboundConnectionPool]
  outbound_traffic_policy:
    description:
      - "What happens to traffic for unknown services: C(mode) V(REGISTRY_ONLY) or V(ALLOW_ANY)."
    type: dict
    aliases: [outboundTrafficPolicy]
seealso:
  - module: meshops.istio.mesh_objects
  - name: Reference of Sidecar
    description: Every field and what it means.
    link: https://istio.io/latest/docs/reference/config/networking/sidecar/
author:
  - The meshops.istio authors (@meshops)
"""

EXAMPLES = r"""
- name: Let the proxies of bookinfo know their own namespace and istio-system only
  meshops.istio.sidecar:
    name: default
    namespace: bookinfo
    egress:
      - hosts:
          - ./*
          - istio-system/*

- name: Let ratings talk to known services only
  meshops.istio.sidecar:
    name: ratings
    namespace: bookinfo
    workload_selector:
      labels:
        app: ratings
    outbound_traffic_policy:
      mode: REGISTRY_ONLY

- name: Give the whole namespace the view of the whole mesh again
  meshops.istio.sidecar:
    name: default
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
    kind: Sidecar
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
    "workload_selector": {"type": "dict", "aliases": ["workloadSelector"]},
    "ingress": {"type": "list", "elements": "dict"},
    "egress": {"type": "list", "elements": "dict"},
    "inbound_connection_pool": {"type": "dict", "aliases": ["inboundConnectionPool"]},
    "outbound_traffic_policy": {"type": "dict", "aliases": ["outboundTrafficPolicy"]},
}


def main() -> None:
    run_typed_module("networking.istio.io/v1", "Sidecar", SPEC)


if __name__ == "__main__":
    main()
