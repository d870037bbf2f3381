#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: former_operator
short_description: Istio's own operator of old makes room for the operator of this collection
version_added: 0.1.0
author:
  - The meshops.istio authors (@meshops)
description:
  - Stops every operator of Istio 1.23 and older (C(istioctl operator init), or its Helm chart), and deletes its
    Deployment, Service, ServiceAccount, ClusterRole and ClusterRoleBinding.
  - What it has installed stays, and so do IstioOperator objects with their finalizers and their definition.
  - The role P(meshops.istio.operator#role) uses it before it installs the operator of this collection, which goes on
    with the same objects. M(meshops.istio.adoption) makes a mesh of Helm releases without any operator.
extends_documentation_fragment:
  - meshops.istio.connection
  - meshops.istio.attributes
options:
  wait_timeout:
    description: Seconds that the operator's pods may take to end.
    type: int
    default: 300
seealso:
  - module: meshops.istio.adoption
  - module: meshops.istio.istio_operator
"""

EXAMPLES = r"""
- name: Make room for another operator
  meshops.istio.former_operator:
"""

RETURN = r"""
diff:
  description: The objects that go.
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
  description: What was deleted, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample:
    - Deployment istio-operator/istio-operator
    - ClusterRole istio-operator
"""

from ansible_collections.meshops.istio.plugins.module_utils.adoption.remove_legacy_operator import (
    remove_former_operators,
)
from ansible_collections.meshops.istio.plugins.module_utils.cluster.module import run_module


def main():
    run_module({"wait_timeout": {"type": "int", "default": 300}}, remove_former_operators)


if __name__ == "__main__":
    main()
