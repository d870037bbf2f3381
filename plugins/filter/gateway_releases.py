# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: gateway_releases
short_description: The Helm releases of a list of gateways
version_added: 0.1.0
author:
  - The meshops.istio authors (@meshops)
description:
  - Turns the gateways that the role C(meshops.istio.gateways) takes into releases for M(meshops.istio.releases).
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
  revision:
    description: The revision or tag of the control plane that the gateways belong to.
    type: str
    default: ""
  platform:
    description: V(openshift) where the cluster gives the pods their user.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: An ingress gateway
  meshops.istio.releases:
    charts: https://istio-release.storage.googleapis.com/charts
    releases: "{{ [{'name': 'istio-ingressgateway'}] | meshops.istio.gateway_releases }}"
"""

RETURN = r"""
_value:
  description: Releases with name, namespace, chart, values and, as objects, their Routes.
  type: list
  elements: dict
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ClusterError
from ansible_collections.meshops.istio.plugins.module_utils.istio.gateways import gateway_releases


def releases(gateways, namespace="istio-system", revision="", platform=""):
    try:
        found = gateway_releases(gateways, namespace, revision, platform)
    except ClusterError as error:
        raise AnsibleFilterError(str(error)) from error
    fields = ("name", "namespace", "chart", "values", "objects")
    return [{field: getattr(release, field) for field in fields} for release in found]


class FilterModule:
    def filters(self):
        return {"gateway_releases": releases}
