#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: policy_proposal
short_description: Propose AuthorizationPolicies for observed traffic
version_added: 0.1.0
author: The meshops.istio authors (@meshops)
description:
  - Starts from deny-all, a policy C(allow-nothing) in each namespace, and adds for each workload what
    M(meshops.istio.observed_traffic) has seen to be needed, by the callers' identities, ports, methods and paths.
  - Callers choose what they request, so nothing that a policy reads as a pattern is taken from them. What has C(*) at
    the end or braces is left out of the policies and reported in RV(findings).
  - Nothing is applied. The proposal is to be read, changed, and applied by somebody who knows the mesh.
  - What an earlier proposal allows, and is in the cluster now, is kept in the new one.
  - A workload that has other ALLOW policies keeps those.
extends_documentation_fragment:
  - meshops.istio.connection
  - meshops.istio.attributes.info
options:
  workloads:
    description: What M(meshops.istio.observed_traffic) returned as C(workloads).
    type: list
    elements: dict
    required: true
  flows:
    description: What M(meshops.istio.observed_traffic) returned as C(flows).
    type: list
    elements: dict
    required: true
  gateways:
    description:
      - What M(meshops.istio.observed_traffic) returned as C(gateways). Deny-all counts for them, too, so each gets a
        policy that lets everything in, as before.
    type: list
    elements: dict
    default: []
  include_refused:
    description: Also allow what AuthorizationPolicies refuse now, for those who have begun with deny-all.
    type: bool
    default: false
  most_paths:
    description:
      - Where more different segments than this were seen at one place of a path, the proposal allows any there, as it
        does for numbers and other identifiers. Each such pattern is reported in RV(findings). The first segment of a
        path is always retained.
    type: int
    default: 10
  root_namespace:
    description: The mesh's root namespace, whose policies count for every namespace.
    type: str
    default: istio-system
"""

EXAMPLES = r"""
- name: Observe for an hour what the shop's clients request
  meshops.istio.observed_traffic:
    namespaces: [shop]
    seconds: 3600
  register: seen

- name: Propose policies for it
  meshops.istio.policy_proposal:
    workloads: "{{ seen.workloads }}"
    flows: "{{ seen.flows }}"
    gateways: "{{ seen.gateways }}"
  register: proposal

- name: Write them to a file for review
  ansible.builtin.copy:
    content: "{{ proposal.document }}"
    dest: shop-policies.yml
    mode: "0644"
  delegate_to: localhost
"""

RETURN = r"""
policies:
  description: The AuthorizationPolicies.
  returned: success
  type: list
  elements: dict
findings:
  description:
    - What a reviewer has to know, each with C(workload), C(message) and C(reason), which is V(plain_text), V(refused),
      V(no_traffic), V(own_permissions), V(open_gateway), V(not_a_literal) (a caller, method or path with characters
      that policies read as a pattern, which is left out) or V(generalised).
  returned: success
  type: list
  elements: dict
document:
  description: The policies as YAML, with the findings and with what each policy was made from as comments.
  returned: success
  type: str
"""

from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.cluster.module import run_module
from ansible_collections.meshops.istio.plugins.module_utils.traffic.propose import Options, document, propose

ARGUMENT_SPEC = {
    "workloads": {"type": "list", "elements": "dict", "required": True},
    "flows": {"type": "list", "elements": "dict", "required": True},
    "gateways": {"type": "list", "elements": "dict", "default": []},
    "include_refused": {"type": "bool", "default": False},
    "most_paths": {"type": "int", "default": 10},
    "root_namespace": {"type": "str", "default": "istio-system"},
}


def run(module, cluster):
    params = module.params
    policies = cluster.list(KNOWN["security.istio.io", "AuthorizationPolicy"])
    options = Options(params["root_namespace"], params["include_refused"], params["most_paths"])
    proposal = propose(params["workloads"], params["flows"], policies, params["gateways"], options)
    return {
        "changed": False,
        "policies": proposal.policies,
        "findings": proposal.findings,
        "document": document(proposal),
    }


def main():
    run_module(ARGUMENT_SPEC, run)


if __name__ == "__main__":
    main()
