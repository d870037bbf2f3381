# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: egress_objects
short_description: Make the objects that restrict outbound traffic
version_added: 0.1.0
author: The meshops.istio authors
description:
  - Makes the ServiceEntries, Gateways, VirtualServices, DestinationRules, Sidecars and NetworkPolicies of the role
    P(meshops.istio.egress#role).
options:
  _input:
    description: The hosts, as in the role's C(egress_hosts).
    type: list
    elements: dict
    required: true
  policy:
    description: As in the role's C(egress_policy).
    type: str
  namespaces:
    description: As in the role's C(egress_namespaces).
    type: list
    elements: str
  through_gateway:
    description: As in the role's C(egress_through_gateway).
    type: bool
    default: false
  gateway:
    description: As in the role's C(egress_gateway).
    type: dict
  root_namespace:
    description: As in the role's C(egress_root_namespace).
    type: str
    default: istio-system
  network_policy:
    description: As in the role's C(egress_network_policy).
    type: bool
    default: false
  dns_addresses:
    description: As in the role's C(egress_dns_addresses).
    type: list
    elements: str
    default: [169.254.20.10]
  resolvers:
    description: Further addresses of DNS resolvers, such as those of M(meshops.istio.dns_resolvers_info).
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Show what would be written for one host
  ansible.builtin.debug:
    msg: "{{ [{'host': 'api.example.com'}] | meshops.istio.egress_objects(policy='REGISTRY_ONLY') }}"
"""

RETURN = r"""
_value:
  description: The objects.
  type: list
  elements: dict
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.meshops.istio.plugins.module_utils.egress import objects
from ansible_collections.meshops.istio.plugins.module_utils.egress.options import read_options
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError


def egress_objects(hosts, **options):
    """See module_utils/egress/objects.py."""
    try:
        return objects.egress_objects(read_options(hosts, options))
    except MeshopsError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Makes egress_objects a filter."""

    def filters(self):
        return {"egress_objects": egress_objects}
