#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: istio_operator
short_description: Apply an IstioOperator object and wait for the operator
version_added: 0.1.0
author:
  - The meshops.istio authors (@meshops)
description:
  - Applies an IstioOperator object to a cluster in which the operator of this collection runs, and waits until the
    operator has carried it out.
  - A mistake in the document fails the task before anything is applied. What the operator says against it fails the
    task with the operator's own message.
  - To install from the same document without an operator, use M(meshops.istio.control_plane).
extends_documentation_fragment:
  - meshops.istio.connection
  - meshops.istio.attributes
options:
  definition:
    description:
      - The IstioOperator document, as a dict or the path of a file with one.
      - Beside what C(istioctl) knows it may hold C(spec.deletionPolicy), which is V(Delete) or V(Retain).
    type: raw
    required: true
  name:
    description: What the object is called where the document doesn't say.
    type: str
    default: istio
  namespace:
    description: The object's namespace where the document names none.
    type: str
    default: istio-system
  state:
    description:
      - Whether the object exists. Deleting it uninstalls what the operator has installed for it, except with
        C(deletionPolicy) V(Retain).
    type: str
    choices: [present, absent]
    default: present
  wait:
    description: Wait until the operator is done.
    type: bool
    default: true
  wait_timeout:
    description: Seconds that this may take.
    type: int
    default: 600
seealso:
  - module: meshops.istio.control_plane
"""

EXAMPLES = r"""
- name: A mesh, described as an object
  meshops.istio.istio_operator:
    definition:
      apiVersion: install.istio.io/v1alpha1
      kind: IstioOperator
      metadata:
        name: mesh
      spec:
        profile: demo

- name: Remove the mesh
  meshops.istio.istio_operator:
    definition: mesh.yaml
    state: absent
"""

RETURN = r"""
action:
  description: What was done with the object, which is V(created), V(updated), V(deleted) or V(unchanged).
  returned: success
  type: str
components:
  description: What the operator says of each component.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the component's Helm release.
      type: str
      returned: always
    namespace:
      description: Its namespace.
      type: str
      returned: always
    chart:
      description: Its chart.
      type: str
      returned: always
    version:
      description: The chart's version.
      type: str
      returned: when it is known
    state:
      description: V(Ready), V(NotReady), V(Pending), V(Failed) or V(Superseded).
      type: str
      returned: always
    message:
      description: Why.
      type: str
      returned: when there is something to say
  sample:
    - name: istiod
      namespace: istio-system
      chart: istiod
      version: 1.31.0
      state: Ready
message:
  description: What the operator says of the whole.
  returned: always
  type: str
  sample: 4 of 4 components ready
diff:
  description: What changes in the object.
  returned: in diff mode, when something changes
  type: dict
"""

from ansible_collections.meshops.istio.plugins.module_utils.cluster.module import run_module
from ansible_collections.meshops.istio.plugins.module_utils.istio_operator.custom_resource import (
    reconcile_istio_operator,
)


def main():
    spec = {
        "definition": {"type": "raw", "required": True},
        "name": {"type": "str", "default": "istio"},
        "namespace": {"type": "str", "default": "istio-system"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "wait": {"type": "bool", "default": True},
        "wait_timeout": {"type": "int", "default": 600},
    }
    run_module(spec, reconcile_istio_operator)


if __name__ == "__main__":
    main()
