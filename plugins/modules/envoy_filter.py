#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: envoy_filter
short_description: Create, change or remove an Istio EnvoyFilter
version_added: 0.1.0
description:
  - An EnvoyFilter changes the configuration that Istio makes for Envoy. It is the last resort where no other object
    of Istio does what you need, and has to be looked at again with every upgrade.
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
  target_refs:
    description:
      - The gateways or services that it is for.
    type: list
    elements: dict
    aliases: [targetRefs]
  config_patches:
    description:
      - "The changes: C(applyTo) and C(match) say where, C(patch) says what."
    type: list
    elements: dict
    aliases: [configPatches]
  priority:
    description:
      - The order among several filters, lowest first.
    type: int
seealso:
  - module: meshops.istio.mesh_objects
  - name: Reference of EnvoyFilter
    description: Every field and what it means.
    link: https://istio.io/latest/docs/reference/config/networking/envoy-filter/
author:
  - The meshops.istio authors (@meshops)
"""

EXAMPLES = r"""
- name: Close idle TCP connections of ratings to its database after five minutes
  meshops.istio.envoy_filter:
    name: ratings-idle-timeout
    namespace: bookinfo
    workload_selector:
      labels:
        app: ratings
    config_patches:
      - applyTo: NETWORK_FILTER
        match:
          context: SIDECAR_OUTBOUND
          listener:
            filterChain:
              filter:
                name: envoy.filters.network.tcp_proxy
        patch:
          operation: MERGE
          value:
            name: envoy.filters.network.tcp_proxy
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
              idle_timeout: 300s

- name: Remove the change
  meshops.istio.envoy_filter:
    name: ratings-idle-timeout
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
    apiVersion: networking.istio.io/v1alpha3
    kind: EnvoyFilter
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
    "target_refs": {"type": "list", "elements": "dict", "aliases": ["targetRefs"]},
    "config_patches": {"type": "list", "elements": "dict", "aliases": ["configPatches"]},
    "priority": {"type": "int"},
}


def main() -> None:
    run_typed_module("networking.istio.io/v1alpha3", "EnvoyFilter", SPEC)


if __name__ == "__main__":
    main()
