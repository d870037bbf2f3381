#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: workload_entry
short_description: Create, change or remove an Istio WorkloadEntry
version_added: 0.1.0
description:
  - A WorkloadEntry describes one workload outside of Kubernetes, such as a virtual machine, so that services can pick
    it as an endpoint.
extends_documentation_fragment:
  - meshops.istio.object
  - meshops.istio.connection
  - meshops.istio.attributes
options:
  address:
    description:
      - The workload's IP address, DNS name, or Unix domain socket (V(unix:///path)).
    type: str
  labels:
    description:
      - The labels of the workload.
    type: dict
  metadata_labels:
    description:
      - The labels of the object itself.
    type: dict
  ports:
    description:
      - The port number behind each port name, where it differs from that of the service.
    type: dict
  locality:
    description:
      - "Where the workload is: C(region/zone/subzone)."
    type: str
  network:
    description:
      - The network that the address belongs to, in a mesh over several networks.
    type: str
  service_account:
    description:
      - The service account that the workload runs as.
    type: str
    aliases: [serviceAccount]
  weight:
    description:
      - Its share of the traffic, compared with the other endpoints.
    type: int
notes:
  - O(labels) are the labels of the workload, as in Istio's documentation. Those of the object itself are
    O(metadata_labels).
seealso:
  - module: meshops.istio.mesh_objects
  - name: Reference of WorkloadEntry
    description: Every field and what it means.
    link: https://istio.io/latest/docs/reference/config/networking/workload-entry/
author:
  - The meshops.istio authors (@meshops)
"""

EXAMPLES = r"""
- name: A virtual machine that serves ratings
  meshops.istio.workload_entry:
    name: ratings-vm-1
    namespace: bookinfo
    address: 192.0.2.21
    labels:
      app: ratings
      version: v1
    ports:
      http: 8080
    service_account: bookinfo-ratings

- name: The machine is gone
  meshops.istio.workload_entry:
    name: ratings-vm-1
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
    kind: WorkloadEntry
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
    "address": {"type": "str"},
    "labels": {"type": "dict"},
    "ports": {"type": "dict"},
    "locality": {"type": "str"},
    "network": {"type": "str"},
    "service_account": {"type": "str", "aliases": ["serviceAccount"]},
    "weight": {"type": "int"},
}


def main() -> None:
    run_typed_module("networking.istio.io/v1", "WorkloadEntry", SPEC)


if __name__ == "__main__":
    main()
