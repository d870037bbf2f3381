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
  digests:
    description: Digests of charts by their names, of which that of C(gateway) is taken.
    type: dict
    default: {}
  charts:
    description: Where the chart comes from. Empty leaves it to M(meshops.istio.releases).
    type: str
    default: ""
  version:
    description: Version of the chart. Empty leaves it to M(meshops.istio.releases).
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
  description: Releases with name, namespace, chart, values, state, source of the chart and, as objects, their Routes.
  type: list
  elements: dict
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.gateways import gateway_releases
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError


def releases(gateways, namespace="istio-system", revision="", platform="", digests=None, charts="", version=""):
    try:
        found = gateway_releases(gateways, namespace, revision, platform)
    except MeshopsError as error:
        raise AnsibleFilterError(str(error)) from error
    fields = ("name", "namespace", "chart", "values", "objects")
    source = {"digest": (digests or {}).get("gateway"), "charts": charts, "version": version}
    source = {field: value for field, value in source.items() if value}
    return [{field: getattr(release, field) for field in fields} | source for release in found]


class FilterModule:
    def filters(self):
        return {"gateway_releases": releases}
