#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: purge
short_description: Remove Istio from a cluster without a trace
version_added: 0.1.0
author:
  - The meshops.istio authors (@meshops)
description:
  - Finds everything that Istio has created in a cluster, whoever installed it (this collection, Helm, C(istioctl), an
    operator), and deletes it in an order in which pods can always be created.
  - Objects that only look like Istio are listed under RV(retained) and left alone. So is an object that the record of
    a Helm release names, unless its own labels and annotations say that this release owns it.
  - Proves at the end that nothing is left, that a new pod starts where pods were injected, and that writes work.
  - A purge that was killed continues when it is run again. C(istiod) need not run.
extends_documentation_fragment:
  - meshops.istio.connection
  - meshops.istio.attributes
options:
  confirm:
    description:
      - Confirms the deletion. Without it the module deletes nothing and fails. Not needed in check mode.
    type: bool
    default: false
  revision:
    description:
      - Removes only this revision of the control plane, and what nothing else uses. The base chart, the CNI and ztunnel
        serve every revision and are retained.
      - Fails while tags, namespaces, proxies, workloads, Gateways, ztunnel or the default validator still use it. Warns
        where there is no such revision, and names those that there are.
    type: str
  keep:
    description:
      - Retains objects. V(mesh_objects) retains what users have written, for the Gateway API too, with the CRDs, the
        GatewayClasses and what istiod has created for their Gateways; V(ca) retains the CA's secrets and their
        namespace; V(operators) retains what installs Istio in the cluster, with the resources that describe a mesh to
        it.
    type: list
    elements: str
    choices: [crds, mesh_objects, ca, namespaces, operators]
    default: []
  accept_outages:
    description:
      - Accepts that requests fail while workloads are restarted. Without it the module refuses to purge where a
        PeerAuthentication says C(STRICT), a DestinationRule says C(ISTIO_MUTUAL), or an AuthorizationPolicy decides by
        the identity of clients, for workloads that lose their sidecars one after another. RV(outages) lists them.
    type: bool
    default: false
  backup_dir:
    description:
      - Folder for the backup that is written first, on the machine that the module runs on. Without it there is none.
      - Files have mode 0600, folders 0700. The playbook C(restore.yml) in it makes the same mesh again.
      - A folder belongs to one purge of one cluster. Where it holds another backup, that one is renamed first, with
        its time at the end of its name; RV(notes) says so.
    type: path
  backup_ca:
    description:
      - Includes the secrets of the CA and of remote clusters, which hold private keys, in the backup.
    type: bool
    default: true
  backup_anywhere:
    description:
      - Accepts a O(backup_dir) in a git work tree, where private keys may be published, or in C(/runner), which an
        execution environment discards.
    type: bool
    default: false
  restart_workloads:
    description:
      - Restarts workloads with sidecars, one at a time, each after the one before is ready again.
      - With V(false), sidecars stay in the running pods until you restart them, and a warning names the workloads.
    type: bool
    default: true
  wait_timeout:
    description:
      - Limits in seconds the wait for one restarted workload, for deletions, and for an API server that is away.
    type: int
    default: 300
  finalizer_timeout:
    description:
      - Limits in seconds the wait for finalizers on Istio's own objects that no controller removes; then the module
        removes them.
    type: int
    default: 30
  proof_image:
    description:
      - Sets the image of the pod that is started as a proof. It need not be pulled, since an address in the network is
        enough.
    type: str
    default: registry.k8s.io/pause:3.10.1
seealso:
  - module: meshops.istio.mesh_info
  - module: meshops.istio.mesh_objects
"""

EXAMPLES = r"""
- name: Preview the purge
  meshops.istio.purge:
  check_mode: true
  diff: true

- name: Remove Istio from the cluster
  meshops.istio.purge:
    confirm: true
    backup_dir: ~/istio-backup

- name: Remove the old control plane after an upgrade
  meshops.istio.purge:
    confirm: true
    revision: 1-30-2
"""

RETURN = r"""
purged:
  description:
    - The objects that were deleted or changed, or in check mode would be, in this order, with the evidence.
    - C(why) holds sentences and C(reasons) a stable code for each, such as C(HelmRelease), C(ApiGroup),
      C(InstallerLabel), C(Webhook). C(keys) lists what is removed from an object that is retained.
  returned: always
  type: list
  elements: dict
  sample:
    - part: webhooks
      action: delete
      api_version: admissionregistration.k8s.io/v1
      kind: MutatingWebhookConfiguration
      name: istio-sidecar-injector
      why: [Helm release istiod (chart istiod 1.31.0), webhook rev.namespace.sidecar-injector.istio.io]
      reasons: [HelmRelease, Webhook]
      release: istio-system/istiod
      revision: default
retained:
  description: Objects that look like Istio's, or that O(keep) includes, and why they are left alone.
  returned: always
  type: list
  elements: dict
  sample:
    - action: leave
      api_version: v1
      kind: Namespace
      name: istio-demo
      why: ["resembles Istio (name istio-demo), but nothing proves it"]
      reasons: [LooksLikeIstio]
outages:
  description: What makes requests fail while workloads are restarted, see O(accept_outages).
  returned: always
  type: list
  elements: dict
  sample:
    - reason: StrictMutualTls
      object: PeerAuthentication shop/default
      workloads: [Deployment shop/client, Deployment shop/echo]
      message: PeerAuthentication shop/default demands mutual TLS (STRICT) of 2 workloads
summary:
  description: How many objects of each kind are deleted.
  returned: always
  type: dict
  sample: {CustomResourceDefinition: 15, Deployment: 2}
finalizers:
  description: The finalizers that were removed because no controller removes them.
  returned: always
  type: list
  elements: str
  sample: ["IstioOperator istio-system/installed-state: istio-finalizer.install.istio.io"]
notes:
  description: Further facts, such as node files that were repaired, or where an earlier backup is now.
  returned: always
  type: list
  elements: str
backup:
  description: The files that were written.
  returned: always
  type: list
  elements: str
proof:
  description: What was proved at the end, one sentence each.
  returned: always
  type: list
  elements: str
  sample: ["the footprint is empty", "a new pod started in namespace shop on node worker-1, without a sidecar"]
seconds:
  description: The seconds that each step took.
  returned: always
  type: dict
uses:
  description: What still uses O(revision), with C(kind) and C(name).
  returned: when the removal of a revision is refused because it is still used
  type: list
  elements: dict
  sample: [{kind: tag, name: prod}]
diff:
  description: The plan by step, with reasons, and the retained objects.
  returned: always
  type: dict
"""

from ansible_collections.meshops.istio.plugins.module_utils.cluster.module import run_module
from ansible_collections.meshops.istio.plugins.module_utils.purge.plan import KEEPABLE
from ansible_collections.meshops.istio.plugins.module_utils.purge.run import PurgeOptions, purge


def main() -> None:
    spec = {
        "confirm": {"type": "bool", "default": False},
        "revision": {"type": "str"},
        "keep": {"type": "list", "elements": "str", "choices": list(KEEPABLE), "default": []},
        "accept_outages": {"type": "bool", "default": False},
        "backup_dir": {"type": "path"},
        "backup_ca": {"type": "bool", "default": True},
        "backup_anywhere": {"type": "bool", "default": False},
        "restart_workloads": {"type": "bool", "default": True},
        "wait_timeout": {"type": "int", "default": 300},
        "finalizer_timeout": {"type": "int", "default": 30},
        "proof_image": {"type": "str", "default": "registry.k8s.io/pause:3.10.1"},
    }

    def run(module, cluster):
        values = {name: module.params[name] for name in spec}
        options = PurgeOptions(**{**values, "keep": tuple(values["keep"])})
        return purge(cluster, options, check_mode=module.check_mode)

    run_module(spec, run)


if __name__ == "__main__":
    main()
