#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: injection
short_description: Inject sidecars into the workloads of namespaces
version_added: 0.1.0
author:
  - The meshops.istio authors (@meshops)
description:
  - Labels namespaces, so that new pods get a sidecar, and restarts the workloads whose pods are not as the injector
    would create them today, one at a time. Waits for each before the next one.
  - Asks the injector itself what a workload's pods should be, with a pod that is only dry-run. So it finds workloads
    without a sidecar, with one of another revision, and with an old one after an upgrade, and leaves workloads alone
    that opted out of injection.
  - Compares the image and revision of the sidecar, and the init containers of Istio (C(istio-init), or
    C(istio-validation) with the CNI plugin). After a change of anything else that the injector adds, such as the
    proxy's resources or environment, use O(restart=all).
  - Fails where no injector serves O(revision), because new pods would get no sidecar.
  - Names in a warning what no restart helps - the pods of a DaemonSet or StatefulSet with the update strategy
    OnDelete, those of a paused Deployment, bare pods, and those of Jobs, plain ReplicaSets, Argo Rollouts and other
    controllers.
  - Waits for a roll-out that an earlier run left unfinished, and fails while a pod without its sidecar keeps serving.
extends_documentation_fragment:
  - meshops.istio.connection
  - meshops.istio.attributes
options:
  namespaces:
    description: Names of the namespaces. Creates those that are missing.
    type: list
    elements: str
    required: true
  revision:
    description: Selects the revision or tag that injects the sidecars. Empty means the default one.
    type: str
    default: ""
  restart:
    description:
      - V(stale) restarts the workloads whose pods differ from what the injector would create today.
      - V(all) restarts every workload of the namespaces, each time. V(never) restarts none.
    type: str
    choices: [stale, all, never]
    default: stale
  wait_timeout:
    description: Waits this many seconds for a restarted workload to become ready.
    type: int
    default: 300
  prune:
    description:
      - Removes the injection label from namespaces that are not in O(namespaces), where an earlier run of this module
        set it and it selects O(revision).
      - A namespace with injected pods keeps its label, and a warning names the pods.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Inject sidecars into the shop
  meshops.istio.injection:
    namespaces: [shop, payments]

- name: Inject sidecars of the revision that the tag prod points to
  meshops.istio.injection:
    namespaces: [shop, payments]
    revision: prod
"""

RETURN = r"""
namespaces:
  description: The changes of the namespaces.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the namespace.
      type: str
      returned: always
    action:
      description: One of V(create), V(update), V(unchanged), and V(remove_label) with O(prune).
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
    reason_code:
      description:
        - The same for programs. One of V(no_sidecar), V(unwanted_sidecar), V(other_revision), V(other_image),
          V(other_init_containers), V(requested).
      type: str
      returned: always
  sample:
    - kind: Deployment
      namespace: shop
      name: cart
      reason: pod cart-5d4f7 has no sidecar
      reason_code: no_sidecar
diff:
  description: The namespaces and workloads that change, one entry each.
  returned: when something changes
  type: list
  elements: dict
"""

from ansible_collections.meshops.istio.plugins.module_utils.cluster.module import run_module
from ansible_collections.meshops.istio.plugins.module_utils.injection.reconcile import (
    InjectionOptions,
    reconcile_injection,
)

ARGUMENT_SPEC = {
    "namespaces": {"type": "list", "elements": "str", "required": True},
    "revision": {"type": "str", "default": ""},
    "restart": {"type": "str", "choices": ["stale", "all", "never"], "default": "stale"},
    "wait_timeout": {"type": "int", "default": 300},
    "prune": {"type": "bool", "default": False},
}


def run(module, cluster):
    params = module.params
    options = InjectionOptions(
        params["namespaces"], params["revision"], params["restart"], params["wait_timeout"], params["prune"]
    )
    return reconcile_injection(cluster, options, check_mode=module.check_mode)


def main():
    run_module(ARGUMENT_SPEC, run)


if __name__ == "__main__":
    main()
