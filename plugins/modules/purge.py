#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: purge
short_description: Take Istio out of a cluster, leaving no trace and breaking nothing
version_added: 0.1.0
author:
  - The meshops.istio authors (@meshops)
description:
  - Finds everything that Istio has put into a cluster, whoever installed it (this collection, Helm, C(istioctl), an
    operator), and takes it away in an order in which pods can always be created.
  - What only looks like Istio is listed under RV(stays) and left alone.
  - Proves at the end that nothing is left, that a new pod starts where pods were injected, and that writes work.
  - A purge that was killed goes on when it is run again. C(istiod) need not run.
extends_documentation_fragment:
  - meshops.istio.connection
  - meshops.istio.attributes
options:
  confirm:
    description:
      - Must be V(true) for anything to be taken away. Not needed in check mode.
    type: bool
    default: false
  revision:
    description:
      - Takes away only this revision of the control plane, and what nothing else uses.
      - Fails while tags, namespaces or proxies still use it. Warns where there is no such revision, and names those
        that there are.
    type: str
  keep:
    description:
      - What is spared. V(mesh_objects) spares what users have written, for the Gateway API too, with the CRDs, the
        GatewayClasses and what istiod has made for their Gateways; V(ca) spares the CA's secrets and their namespace;
        V(operators) spares what installs Istio in the cluster, with the resources that describe a mesh to it.
    type: list
    elements: str
    choices: [crds, mesh_objects, ca, namespaces, operators]
    default: []
  backup_dir:
    description:
      - Folder for the backup that is written first, on the machine that the module runs on. Without it there is none.
      - Files have mode 0600. M(meshops.istio.mesh_objects) and C(playbooks/site.yml) take them back.
      - Where it holds the backup of a purge that has ended, the folder is renamed first, with the time of that purge
        at the end of its name; RV(remarks) says so.
    type: path
  backup_ca:
    description:
      - Whether the secrets of the CA and of remote clusters, which hold private keys, are in the backup.
    type: bool
    default: true
  restart_workloads:
    description:
      - Whether workloads with sidecars are restarted, one at a time, each after the one before is ready again.
      - With V(false), sidecars stay in the running pods until you restart them, and a warning names the workloads.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds to wait for one restarted workload, for objects to be gone, and for an API server that is away.
    type: int
    default: 300
  finalizer_timeout:
    description:
      - Seconds after which finalizers that nobody answers are taken off Istio's own objects.
    type: int
    default: 30
  proof_image:
    description:
      - Image of the pod that is started as a proof. It need not be pulled, since an address in the network is enough.
    type: str
    default: registry.k8s.io/pause:3.10.1
seealso:
  - module: meshops.istio.mesh_info
  - module: meshops.istio.mesh_objects
"""

EXAMPLES = r"""
- name: See what would go, and what stays
  meshops.istio.purge:
  check_mode: true
  diff: true

- name: Take Istio out of the cluster
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
  description: What has gone, or in check mode would go, in this order, with the reasons.
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
      revision: default
stays:
  description: What looks like Istio's, or was kept, and why it is left alone.
  returned: always
  type: list
  elements: dict
  sample:
    - action: leave
      api_version: v1
      kind: Namespace
      name: istio-demo
      why: ["looks like Istio (name istio-demo), but nothing proves it"]
summary:
  description: How many objects of each kind go.
  returned: always
  type: dict
  sample: {CustomResourceDefinition: 15, Deployment: 2}
finalizers:
  description: The finalizers that were taken off because nobody answers them.
  returned: always
  type: list
  elements: str
  sample: ["IstioOperator istio-system/installed-state: istio-finalizer.install.istio.io"]
remarks:
  description: What else a user should know, such as node files that had to be put right.
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
diff:
  description: What there is before, by part and with reasons, and what stays.
  returned: always
  type: dict
"""

from ansible_collections.meshops.istio.plugins.module_utils.cluster.module import run_module
from ansible_collections.meshops.istio.plugins.module_utils.purge.plan import KEEPABLE
from ansible_collections.meshops.istio.plugins.module_utils.purge.run import Wishes, purge


def _hashable(value):
    """Lists as tuples: wishes don't change once they are made."""
    return tuple(value) if isinstance(value, list) else value


def main() -> None:
    spec = {
        "confirm": {"type": "bool", "default": False},
        "revision": {"type": "str"},
        "keep": {"type": "list", "elements": "str", "choices": list(KEEPABLE), "default": []},
        "backup_dir": {"type": "path"},
        "backup_ca": {"type": "bool", "default": True},
        "restart_workloads": {"type": "bool", "default": True},
        "wait_timeout": {"type": "int", "default": 300},
        "finalizer_timeout": {"type": "int", "default": 30},
        "proof_image": {"type": "str", "default": "registry.k8s.io/pause:3.10.1"},
    }

    def carry_out(module, cluster):
        wishes = Wishes(**{name: _hashable(module.params[name]) for name in spec})
        return purge(cluster, wishes, module.check_mode)

    run_module(spec, carry_out)


if __name__ == "__main__":
    main()
