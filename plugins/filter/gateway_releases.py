# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: gateway_releases
short_description: Turn a list of gateways into Helm releases
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
  source:
    description: The chart's source. What is empty is left to M(meshops.istio.releases).
    type: dict
    default: {}
    suboptions:
      charts:
        description: Where the chart comes from.
        type: str
      version:
        description: Version of the chart.
        type: str
      digests:
        description: Digests of charts by their names, of which that of C(gateway) is taken.
        type: dict
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

ABSENT = ("name", "namespace", "chart", "state")


def releases(gateways, namespace="istio-system", revision="", platform="", source=None):
    try:
        found = gateway_releases(gateways, namespace, revision, platform)
    except MeshopsError as error:
        raise AnsibleFilterError(str(error)) from error
    source = source or {}
    given = {"charts": source.get("charts"), "version": source.get("version")}
    given["digest"] = (source.get("digests") or {}).get("gateway")
    given = {field: value for field, value in given.items() if value}
    return [_release(release) | (given if release.state == "present" else {}) for release in found]


def _release(release):
    fields = ("name", "namespace", "chart", "values", "objects") if release.state == "present" else ABSENT
    return {field: getattr(release, field) for field in fields}


class FilterModule:
    def filters(self):
        return {"gateway_releases": releases}
