#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: destination_rule
short_description: Create, change or remove an Istio DestinationRule
version_added: 0.1.0
description:
  - "A DestinationRule says how a service is talked to once a request has been routed to it: load balancing,
    connection pools, TLS, outlier detection. It also names the subsets of the service that a C(VirtualService) can
    route to."
extends_documentation_fragment:
  - meshops.istio.object
  - meshops.istio.connection
  - meshops.istio.attributes
options:
  host:
    description:
      - The service that the rule is for, such as V(reviews) or V(reviews.bookinfo.svc.cluster.local).
      - A short name is completed with the namespace of the rule, not with that of the service.
      - Required with O(state=present).
    type: str
    aliases: []
  api_host:
    description:
      - URL of the API server, which other modules call host too.
      - Falls back to E(K8S_AUTH_HOST).
    type: str
  traffic_policy:
    description:
      - Load balancing, connection pool, outlier detection and TLS for all of the service's ports and subsets.
    type: dict
    aliases: [trafficPolicy]
  subsets:
    description:
      - Named groups of the service's pods, by C(labels), each with a C(trafficPolicy) of its own if need be.
    type: list
    elements: dict
  export_to:
    description:
      - "The namespaces that see it: V(.) for its own alone, V(*) for all."
    type: list
    elements: str
    aliases: [exportTo]
  workload_selector:
    description:
      - The clients that follow the rule, by C(matchLabels), in the namespace of the rule.
    type: dict
    aliases: [workloadSelector]
notes:
  - O(host) is the service here, as in Istio's documentation. Where the API server is given by URL, use O(api_host)
    instead, which every module of the group understands.
seealso:
  - module: meshops.istio.mesh_objects
  - name: Reference of DestinationRule
    description: Every field and what it means.
    link: https://istio.io/latest/docs/reference/config/networking/destination-rule/
author:
  - The meshops.istio authors (@meshops)
"""

EXAMPLES = r"""
- name: Name the versions of reviews, and balance by least requests
  meshops.istio.destination_rule:
    name: reviews
    namespace: bookinfo
    host: reviews
    traffic_policy:
      loadBalancer:
        simple: LEAST_REQUEST
    subsets:
      - name: v1
        labels:
          version: v1
      - name: v2
        labels:
          version: v2

- name: Leave out an instance of ratings for 30 seconds after five errors in a row
  meshops.istio.destination_rule:
    name: ratings
    namespace: bookinfo
    host: ratings
    traffic_policy:
      outlierDetection:
        consecutive5xxErrors: 5
        interval: 10s
        baseEjectionTime: 30s

- name: Remove the rule for ratings
  meshops.istio.destination_rule:
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
    kind: DestinationRule
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
    "host": {"type": "str"},
    "traffic_policy": {"type": "dict", "aliases": ["trafficPolicy"]},
    "subsets": {"type": "list", "elements": "dict"},
    "export_to": {"type": "list", "elements": "str", "aliases": ["exportTo"]},
    "workload_selector": {"type": "dict", "aliases": ["workloadSelector"]},
}


def main() -> None:
    run_typed_module("networking.istio.io/v1", "DestinationRule", SPEC, required=["host"])


if __name__ == "__main__":
    main()
