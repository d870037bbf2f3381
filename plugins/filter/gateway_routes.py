# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: gateway_routes
short_description: The OpenShift Routes of a list of gateways
version_added: 0.1.0
author:
  - The meshops.istio authors (@meshops)
description:
  - Gives a Route for each gateway that has C(openshift_route), as objects for M(meshops.istio.mesh_objects).
positional: namespace
options:
  _input:
    description: The gateways, as in C(gateways_list).
    type: list
    elements: dict
    required: true
  namespace:
    description: Namespace of the gateways that name none.
    type: str
    default: istio-system
"""

EXAMPLES = r"""
- name: The Routes
  meshops.istio.mesh_objects:
    objects: "{{ gateways_list | meshops.istio.gateway_routes }}"
"""

RETURN = r"""
_value:
  description: The Routes.
  type: list
  elements: dict
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ClusterError
from ansible_collections.meshops.istio.plugins.module_utils.istio.gateways import gateway_routes


def routes(gateways, namespace="istio-system"):
    try:
        return gateway_routes(gateways, namespace)
    except ClusterError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    def filters(self):
        return {"gateway_routes": routes}
