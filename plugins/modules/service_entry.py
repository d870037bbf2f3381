#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: service_entry
short_description: Create, change or remove an Istio ServiceEntry
version_added: 0.1.0
description:
  - A ServiceEntry makes a service known to the mesh that Kubernetes doesn't know, such as a database outside of the
    cluster or a host on the internet.
extends_documentation_fragment:
  - meshops.istio.object
  - meshops.istio.connection
  - meshops.istio.attributes
options:
  hosts:
    description:
      - The DNS names of the service.
      - Required with O(state=present).
    type: list
    elements: str
  addresses:
    description:
      - Virtual IP addresses, or networks in CIDR notation, that belong to the service.
    type: list
    elements: str
  ports:
    description:
      - "The service's ports: each with C(number), C(name) and C(protocol)."
    type: list
    elements: dict
  location:
    description:
      - Whether the service is outside of the mesh or a part of it.
    type: str
    choices: [MESH_EXTERNAL, MESH_INTERNAL]
  resolution:
    description:
      - How the addresses behind the service are found.
    type: str
    choices: [NONE, STATIC, DNS, DNS_ROUND_ROBIN, DYNAMIC_DNS]
  endpoints:
    description:
      - The addresses behind the service.
    type: list
    elements: dict
  workload_selector:
    description:
      - Takes pods and workload entries with these C(labels) as endpoints.
    type: dict
    aliases: [workloadSelector]
  export_to:
    description:
      - "The namespaces that see it: V(.) for its own alone, V(*) for all."
    type: list
    elements: str
    aliases: [exportTo]
  subject_alt_names:
    description:
      - The names of which the service's certificate must hold one.
    type: list
    elements: str
    aliases: [subjectAltNames]
seealso:
  - module: meshops.istio.mesh_objects
  - name: Reference of ServiceEntry
    description: Every field and what it means.
    link: https://istio.io/latest/docs/reference/config/networking/service-entry/
author:
  - The meshops.istio authors (@meshops)
"""

EXAMPLES = r"""
- name: Let workloads reach a payment service on the internet
  meshops.istio.service_entry:
    name: payments
    namespace: bookinfo
    hosts:
      - payments.example.com
    ports:
      - number: 443
        name: tls
        protocol: TLS
    location: MESH_EXTERNAL
    resolution: DNS

- name: A database outside of the cluster, on two fixed addresses
  meshops.istio.service_entry:
    name: legacy-database
    namespace: bookinfo
    hosts:
      - db.bookinfo.internal
    ports:
      - number: 3306
        name: mysql
        protocol: MySQL
    location: MESH_INTERNAL
    resolution: STATIC
    endpoints:
      - address: 192.0.2.10
      - address: 192.0.2.11

- name: The payment service is no longer used
  meshops.istio.service_entry:
    name: payments
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
    kind: ServiceEntry
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
    "hosts": {"type": "list", "elements": "str"},
    "addresses": {"type": "list", "elements": "str"},
    "ports": {"type": "list", "elements": "dict"},
    "location": {"type": "str", "choices": ["MESH_EXTERNAL", "MESH_INTERNAL"]},
    "resolution": {"type": "str", "choices": ["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"]},
    "endpoints": {"type": "list", "elements": "dict"},
    "workload_selector": {"type": "dict", "aliases": ["workloadSelector"]},
    "export_to": {"type": "list", "elements": "str", "aliases": ["exportTo"]},
    "subject_alt_names": {"type": "list", "elements": "str", "aliases": ["subjectAltNames"]},
}


def main() -> None:
    run_typed_module("networking.istio.io/v1", "ServiceEntry", SPEC, required=["hosts"])


if __name__ == "__main__":
    main()
