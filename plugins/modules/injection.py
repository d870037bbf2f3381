#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: injection
short_description: Bring the workloads of namespaces into the mesh
version_added: 0.1.0
author:
  - The meshops.istio authors (@meshops)
description:
  - Labels namespaces, so that new pods get a sidecar, and restarts the workloads whose pods are not as the injector
    would make them today, one after the other, each waited for.
  - Asks the injector itself what a workload's pods should be, with a pod that is only dry-run. So it sees workloads
    without a sidecar, with one of another revision, and with an old one after an upgrade, and leaves alone what wants
    no sidecar.
  - Leaves alone, with a warning, what a restart does not help; the pods of a DaemonSet or StatefulSet with the
    update strategy OnDelete, and those of a paused Deployment.
extends_documentation_fragment:
  - meshops.istio.connection
  - meshops.istio.attributes
options:
  namespaces:
    description: Names of the namespaces. They are made where missing.
    type: list
    elements: str
    required: true
  revision:
    description: Revision or tag that the sidecars belong to. Empty means the default one.
    type: str
    default: ""
  restart:
    description:
      - V(stale) restarts the workloads with pods that the injector would make otherwise today.
      - V(all) restarts every workload of the namespaces, each time. V(never) restarts none.
    type: str
    choices: [stale, all, never]
    default: stale
  wait_timeout:
    description: Seconds that a restarted workload may take to become ready.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: The shop's workloads get sidecars
  meshops.istio.injection:
    namespaces: [shop, payments]

- name: They come to the revision that the tag prod points to
  meshops.istio.injection:
    namespaces: [shop, payments]
    revision: prod
"""

RETURN = r"""
namespaces:
  description: What was done to the namespaces.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the namespace.
      type: str
      returned: always
    action:
      description: One of V(create), V(update), V(unchanged).
      type: str
      returned: always
restarted:
  description: The workloads that were restarted, in their order.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: Kind of the workload.
      type: str
      returned: always
    namespace:
      description: Its namespace.
      type: str
      returned: always
    name:
      description: Its name.
      type: str
      returned: always
    reason:
      description: Why it was restarted.
      type: str
      returned: always
  sample:
    - kind: Deployment
      namespace: shop
      name: cart
      reason: pod cart-5d4f7 has no sidecar
diff:
  description: The namespaces and workloads that change, one entry each.
  returned: when something changes
  type: list
  elements: dict
"""

from ansible_collections.meshops.istio.plugins.module_utils.cluster.module import run_module
from ansible_collections.meshops.istio.plugins.module_utils.injection.reconcile import reconcile_injection

ARGUMENT_SPEC = {
    "namespaces": {"type": "list", "elements": "str", "required": True},
    "revision": {"type": "str", "default": ""},
    "restart": {"type": "str", "choices": ["stale", "all", "never"], "default": "stale"},
    "wait_timeout": {"type": "int", "default": 300},
}


def run(module, cluster):
    params = module.params
    return reconcile_injection(
        cluster, params["namespaces"], params["revision"], params["restart"], params["wait_timeout"], module.check_mode
    )


def main():
    run_module(ARGUMENT_SPEC, run)


if __name__ == "__main__":
    main()
