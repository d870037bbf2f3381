#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: mesh_objects
short_description: Any number of mesh objects in one task
version_added: 0.1.0
author:
  - The meshops.istio authors (@meshops)
description:
  - Makes the cluster hold the declared objects, of whichever kinds they are.
  - With O(prune), deletes those that are declared no longer.
  - Reads what is live with a few lists, compares it on its own, and writes only what differs, many objects at once,
    by server-side apply under the field manager C(meshops.istio). Fields that were declared once and are not any more
    are removed. Fields of others are left alone.
  - Where the order matters it is kept. A DestinationRule is written before the routes that name its subsets.
  - An object that fails does not stop the others. Only a route whose new subsets could not be written is not written
    either, and what such a route may still need is not taken away.
extends_documentation_fragment:
  - meshops.istio.connection
  - meshops.istio.attributes
options:
  objects:
    description:
      - The objects, each with C(apiVersion), C(kind) and C(metadata.name). A C(List) is replaced by its items.
      - Hundreds of objects are quicker to read from files, with O(src).
    type: list
    elements: dict
    default: []
  src:
    description:
      - Files with objects, in YAML or JSON, of one or more documents; they are read where the module runs.
      - A directory is replaced by all files below it that end in C(.yml), C(.yaml) or C(.json). V(*), V(?) and V(**)
        match as in a shell.
    type: list
    elements: path
    default: []
  state:
    description:
      - V(present) makes objects be as declared.
      - V(absent) deletes them. What else is declared of them than their names does not matter then.
    type: str
    choices: [present, absent]
    default: present
  namespace:
    description: Where objects live that name no namespace.
    type: str
    default: default
  owner:
    description:
      - A name for this set of objects. They get it as their label C(meshops.istio/owner).
      - An object of another owner is not touched; the task fails before anything is changed.
    type: str
  adopt:
    description:
      - Whether objects that are there already and belong to no owner become O(owner)'s, and so can be pruned later.
        Otherwise the task fails before anything is changed, and names them.
    type: bool
    default: true
  prune:
    description:
      - Delete objects of this O(owner) that are not declared any more, once all that is declared could be written.
      - They are looked for in the kinds of Istio and of the Gateway API, among workloads (but Pods and Jobs), Services,
        ConfigMaps, Secrets, and the kinds of access rights, of network policies and of scaling, and in the kinds of the
        declared objects, in all namespaces. A user without the right to list all namespaces prunes in those of the
        declared objects.
      - Namespaces and CustomResourceDefinitions stay, as others' objects in them would be deleted, too. So does what a
        controller has made with a copy of the label.
    type: bool
    default: false
  prune_all:
    description: Let O(prune) delete everything of the owner where no object is declared. Otherwise that is an error.
    type: bool
    default: false
  wait:
    description:
      - Wait until the objects are ready, or gone.
      - Readiness is what the kind means by it, such as available pods, or the conditions of a Gateway. A kind without a
        status is ready at once.
    type: bool
    default: false
  wait_timeout:
    description: Seconds that writing, repeating refused requests, and waiting may take.
    type: int
    default: 120
  force_conflicts:
    description:
      - Take over fields that another field manager owns. Otherwise they are an error that names manager and fields.
    type: bool
    default: false
  force_conflicts_from:
    description:
      - The field managers from which fields are taken over, instead of from all of them.
      - Items that they keep in a declared list are removed where the list is declared without them.
    type: list
    elements: str
    default: []
  keep_weights:
    description:
      - Leave the weights of the destinations that a live route has already as they are, as a canary controller
        (Argo Rollouts, Flagger) sets them. The declared weights are those of new routes.
    type: bool
    default: false
  settle:
    description:
      - Seconds that proxies are given to take the new subsets of a DestinationRule before the routes are written that
        name them, and to take changed routes before a subset or a DestinationRule is removed.
      - A mesh whose proxies take longer, as the metric C(pilot_proxy_convergence_time) of istiod tells, needs more.
        V(0) does not wait, for a mesh without traffic.
    type: float
    default: 1.0
  concurrency:
    description: How many requests may be under way at once.
    type: int
    default: 16
"""

EXAMPLES = r"""
- name: Route half of the requests to the new version
  meshops.istio.mesh_objects:
    objects:
      - apiVersion: networking.istio.io/v1
        kind: DestinationRule
        metadata:
          name: reviews
          namespace: shop
        spec:
          host: reviews
          subsets:
            - name: v1
              labels:
                version: v1
            - name: v2
              labels:
                version: v2
      - apiVersion: networking.istio.io/v1
        kind: VirtualService
        metadata:
          name: reviews
          namespace: shop
        spec:
          hosts:
            - reviews
          http:
            - route:
                - destination:
                    host: reviews
                    subset: v1
                  weight: 50
                - destination:
                    host: reviews
                    subset: v2
                  weight: 50

- name: Let the cluster hold what the directory holds, no more and no less
  meshops.istio.mesh_objects:
    src: "{{ playbook_dir }}/mesh"
    owner: shop
    prune: true

- name: Show what would change, and why
  meshops.istio.mesh_objects:
    src: "{{ playbook_dir }}/mesh/*.yml"
  check_mode: true
  diff: true

- name: Remove everything that the owner shop has
  meshops.istio.mesh_objects:
    owner: shop
    prune: true
    prune_all: true
"""

RETURN = r"""
objects:
  description:
    - The outcome of each object.
    - If the task fails, the failed objects are first, and unchanged ones are only counted in RV(summary).
  returned: when the plan could be made
  type: list
  elements: dict
  contains:
    kind:
      description: The object's kind.
      type: str
      returned: always
    namespace:
      description: The object's namespace, none for a kind without.
      type: str
      returned: always
    name:
      description: The object's name.
      type: str
      returned: always
    action:
      description: One of created, updated, deleted, unchanged, failed.
      type: str
      returned: always
    error:
      description: Why it failed.
      type: str
      returned: always
    note:
      description: What check mode could not find out about it, or why it was not pruned.
      type: str
      returned: where there is something to report
    reason:
      description:
        - Why, for programs, beside C(error) or C(note).
        - The API server's own, such as C(Forbidden) or C(Invalid); C(FieldManagerConflict), C(DependencyFailed),
          C(DependentFailed), C(NotPruned), C(Unreachable), C(TakesOver), C(HoldsOtherObjects),
          C(NotAppliedByThisCollection), C(NamespaceCreatedInThisRun), C(NamespaceMissing), C(KindNotServedYet),
          C(DefinitionChangedInThisRun).
      type: str
      returned: where there is one
  sample:
    - kind: VirtualService
      namespace: shop
      name: reviews
      action: updated
      error: null
diff:
  description: What is declared of each object that changes, before and after. Of a Secret only that it changes.
  returned: in diff mode
  type: list
  elements: dict
  contains:
    before_header:
      description: The kind, namespace and name.
      type: str
      returned: success
    after_header:
      description: The kind, namespace and name.
      type: str
      returned: success
    before:
      description: The fields before, as YAML.
      type: str
      returned: success
    after:
      description: The fields after, as YAML.
      type: str
      returned: success
summary:
  description: How many objects were created, updated, deleted, unchanged, failed.
  returned: when the plan could be made
  type: dict
  sample:
    created: 0
    updated: 1
    deleted: 0
    unchanged: 1999
    failed: 0
"""

import gc

from ansible_collections.meshops.istio.plugins.module_utils.cluster.module import run_module
from ansible_collections.meshops.istio.plugins.module_utils.objects.options import SETTLE, ApplyOptions
from ansible_collections.meshops.istio.plugins.module_utils.objects.reconcile import reconcile_objects
from ansible_collections.meshops.istio.plugins.module_utils.objects.sources import declared_objects

ARGUMENT_SPEC = {
    "objects": {"type": "list", "elements": "dict", "default": []},
    "src": {"type": "list", "elements": "path", "default": []},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "namespace": {"type": "str", "default": "default"},
    "owner": {"type": "str"},
    "adopt": {"type": "bool", "default": True},
    "prune": {"type": "bool", "default": False},
    "prune_all": {"type": "bool", "default": False},
    "wait": {"type": "bool", "default": False},
    "wait_timeout": {"type": "int", "default": 120},
    "force_conflicts": {"type": "bool", "default": False},
    "force_conflicts_from": {"type": "list", "elements": "str", "default": []},
    "keep_weights": {"type": "bool", "default": False},
    "settle": {"type": "float", "default": SETTLE},
    "concurrency": {"type": "int", "default": 16},
}
PASSED_ON = (
    "state", "namespace", "owner", "adopt", "prune", "prune_all", "wait", "wait_timeout", "force_conflicts", "settle",
    "keep_weights",
)  # fmt: skip


def run(module, cluster):
    objects = declared_objects(module.params["objects"], module.params["src"])
    options = ApplyOptions(
        force_conflicts_from=tuple(module.params["force_conflicts_from"]),
        **{name: module.params[name] for name in PASSED_ON},
    )
    return reconcile_objects(module, cluster, objects, options)


def main():
    gc.disable()  # ten thousand objects are a million values, and none of them is garbage that only gc finds
    run_module(ARGUMENT_SPEC, run, concurrency=lambda params: params["concurrency"], unlogged=["objects"])


if __name__ == "__main__":
    main()
