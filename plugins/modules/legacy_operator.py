#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: legacy_operator
short_description: Remove Istio's legacy in-cluster operator
version_added: 0.1.0
author:
  - The meshops.istio authors (@meshops)
description:
  - Stops every operator of Istio 1.23 and older (C(istioctl operator init), or its Helm chart), and deletes its
    Deployment, Service, ServiceAccount, ClusterRole and ClusterRoleBinding.
  - Retains the mesh that the operator installed, and IstioOperator objects with their finalizers and their
    CustomResourceDefinition.
  - The role P(meshops.istio.operator#role) uses it before it installs the operator of this collection, which then
    reconciles the same objects. M(meshops.istio.adoption) converts a mesh to Helm releases without any operator.
  - Was called C(former_operator) before; the old name still works.
extends_documentation_fragment:
  - meshops.istio.connection
  - meshops.istio.attributes
options:
  wait_timeout:
    description: Waits this many seconds for the operator's pods to be deleted.
    type: int
    default: 300
seealso:
  - module: meshops.istio.adoption
  - module: meshops.istio.istio_operator
"""

EXAMPLES = r"""
- name: Remove the legacy operator
  meshops.istio.legacy_operator:
"""

RETURN = r"""
diff:
  description: The removed objects.
  returned: in diff mode, when something changes
  type: list
  elements: dict
releases:
  description: The Helm releases that held the operators, for M(meshops.istio.releases), which removes what is left.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the release.
      type: str
      returned: always
    namespace:
      description: Namespace of the release.
      type: str
      returned: always
    state:
      description: Always V(absent).
      type: str
      returned: always
  sample: []
removed:
  description: The removed objects; in check mode those that would be removed.
  returned: success
  type: list
  elements: str
  sample:
    - Deployment istio-operator/istio-operator
    - ClusterRole istio-operator
"""

from ansible_collections.meshops.istio.plugins.module_utils.adoption.legacy_operator import remove_legacy_operators
from ansible_collections.meshops.istio.plugins.module_utils.cluster.module import run_module


def main():
    run_module({"wait_timeout": {"type": "int", "default": 300}}, remove_legacy_operators)


if __name__ == "__main__":
    main()
