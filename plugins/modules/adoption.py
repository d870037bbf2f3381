#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: adoption
short_description: Convert a mesh of istioctl to Helm releases, in place
version_added: 0.1.0
author:
  - The meshops.istio authors (@meshops)
description:
  - Takes over a mesh that C(istioctl install), the legacy in-cluster operator, or C(kubectl apply) of their manifests
    installed. Its objects are retained and become part of Helm releases, as with the option C(take_ownership) of
    M(meshops.istio.releases).
  - Pods are recreated only where their specification changes. The result and the diff name them, in check mode, too.
  - Stops an in-cluster operator first. Removes at the end what no release has, namely the operator, its IstioOperator
    objects with their finalizer, and objects that only istioctl's charts have.
  - Where the parameters don't declare the mesh, an IstioOperator object in the cluster does.
  - Proves that the control plane works, as M(meshops.istio.control_plane) does.
extends_documentation_fragment:
  - meshops.istio.connection
  - meshops.istio.attributes
  - meshops.istio.helm
  - meshops.istio.helm.charts_login
  - meshops.istio.helm.releases
  - meshops.istio.helm.control_plane
options:
  document_dest:
    description:
      - File to write the cluster's IstioOperator document to. Required where there is one and the parameters do not
        declare the mesh.
      - Without such a document in the cluster, this file is read as the document, so that the task can be run again.
    type: path
  owner:
    description:
      - Name of the inventory that declares O(releases), which is the label C(meshops.istio/owner) on their records, as
        in M(meshops.istio.releases).
    type: str
  remove_workloads:
    description:
      - Removes Deployments and DaemonSets that istioctl installed and that no release has.
      - Otherwise the task fails where there are any, before it changes anything.
    type: bool
    default: false
seealso:
  - module: meshops.istio.control_plane
  - module: meshops.istio.releases
"""

EXAMPLES = r"""
- name: Adopt what istioctl install -f mesh.yaml installed
  meshops.istio.adoption:
    istio_operator: mesh.yaml
    version: 1.31.0
    releases: []

- name: Adopt a mesh of the profile default with a gateway
  meshops.istio.adoption:
    profile: default
    version: 1.31.0
    releases:
      - name: istio-ingressgateway
        namespace: istio-system
        chart: gateway
        values:
          serviceAccount:
            name: istio-ingressgateway-service-account
"""

RETURN = r"""
diff:
  description: The objects that change, one entry each.
  returned: in diff mode, when something changes
  type: list
  elements: dict
releases:
  description:
    - The changes of each release, see M(meshops.istio.releases).
    - C(taken_over) lists the objects that became the release's, C(restarted) those of them whose pods are recreated.
  returned: success
  type: list
  elements: dict
restarted:
  description: Workloads whose pods are recreated.
  returned: success
  type: list
  elements: str
  sample: [Deployment istio-system/istio-ingressgateway]
removed:
  description: The removed objects, which no release has.
  returned: success
  type: list
  elements: str
  sample: [ServiceAccount istio-system/istio-reader]
istio_operator:
  description: The IstioOperator document of the cluster, where it declares the mesh.
  returned: where there is one
  type: dict
proof:
  description: The checks of the control plane, see M(meshops.istio.control_plane).
  returned: success, not in check mode
  type: dict
"""

from ansible_collections.meshops.istio.plugins.module_utils.adoption.reconcile import reconcile_adoption
from ansible_collections.meshops.istio.plugins.module_utils.cluster.module import run_module
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.options import CONTROL_PLANE_OPTIONS
from ansible_collections.meshops.istio.plugins.module_utils.releases.reconcile import (
    HELM_OPTIONS,
    RELEASES_OPTION,
    UNLOGGED,
    open_helm,
)

ARGUMENT_SPEC = {
    **CONTROL_PLANE_OPTIONS,
    "releases": {**RELEASES_OPTION, "required": True},
    "owner": {"type": "str"},
    "document_dest": {"type": "path"},
    "remove_workloads": {"type": "bool", "default": False},
    **HELM_OPTIONS,
}


def run(module, cluster):
    with open_helm(module.params, cluster) as helm:
        return reconcile_adoption(module, cluster, helm)


def main():
    run_module(ARGUMENT_SPEC, run, unlogged=UNLOGGED)


if __name__ == "__main__":
    main()
