#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: workload_group
short_description: Create, change or remove an Istio WorkloadGroup
version_added: 0.1.0
description:
  - A WorkloadGroup is the template from which workload entries are made when machines outside of Kubernetes join the
    mesh by themselves.
extends_documentation_fragment:
  - meshops.istio.object
  - meshops.istio.connection
  - meshops.istio.attributes
options:
  metadata:
    description:
      - C(labels) and C(annotations) for the workload entries.
    type: dict
  template:
    description:
      - What the workload entries have in common, such as C(serviceAccount) and C(ports).
      - Required with O(state=present).
    type: dict
  probe:
    description:
      - How the health of a workload is checked.
    type: dict
seealso:
  - module: meshops.istio.mesh_objects
  - name: Reference of WorkloadGroup
    description: Every field and what it means.
    link: https://istio.io/latest/docs/reference/config/networking/workload-group/
author:
  - The meshops.istio authors (@meshops)
"""

EXAMPLES = r"""
- name: Let virtual machines join as instances of ratings
  meshops.istio.workload_group:
    name: ratings
    namespace: bookinfo
    metadata:
      labels:
        app: ratings
    template:
      serviceAccount: bookinfo-ratings
      ports:
        http: 8080
    probe:
      periodSeconds: 5
      httpGet:
        path: /health
        port: 8080

- name: No more machines join
  meshops.istio.workload_group:
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
    apiVersion: networking.istio.io/v1
    kind: WorkloadGroup
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
    "metadata": {"type": "dict"},
    "template": {"type": "dict"},
    "probe": {"type": "dict"},
}


def main() -> None:
    run_typed_module("networking.istio.io/v1", "WorkloadGroup", SPEC, required=["template"])


if __name__ == "__main__":
    main()
