#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: telemetry
short_description: Create, change or remove an Istio Telemetry
version_added: 0.1.0
description:
  - A Telemetry sets access logs, metrics and traces for workloads.
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
  access_logging:
    description:
      - Which requests are written to the access log, and by which providers.
    type: list
    elements: dict
    aliases: [accessLogging]
  metrics:
    description:
      - Which metrics are made, with which tags, and by which providers.
    type: list
    elements: dict
  tracing:
    description:
      - Which requests are traced, and by which providers.
    type: list
    elements: dict
seealso:
  - module: meshops.istio.mesh_objects
  - name: Reference of Telemetry
    description: Every field and what it means.
    link: https://istio.io/latest/docs/reference/config/telemetry/
author:
  - The meshops.istio authors (@meshops)
"""

EXAMPLES = r"""
- name: Log only the requests of bookinfo that failed
  meshops.istio.telemetry:
    name: errors
    namespace: bookinfo
    access_logging:
      - providers:
          - name: envoy
        filter:
          expression: response.code >= 500

- name: Trace one request of a hundred in the whole mesh
  meshops.istio.telemetry:
    name: mesh-default
    namespace: istio-system
    tracing:
      - randomSamplingPercentage: 1

- name: Log as the rest of the mesh does
  meshops.istio.telemetry:
    name: errors
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
    apiVersion: telemetry.istio.io/v1
    kind: Telemetry
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
    "access_logging": {"type": "list", "elements": "dict", "aliases": ["accessLogging"]},
    "metrics": {"type": "list", "elements": "dict"},
    "tracing": {"type": "list", "elements": "dict"},
}


def main() -> None:
    run_typed_module("telemetry.istio.io/v1", "Telemetry", SPEC)


if __name__ == "__main__":
    main()
