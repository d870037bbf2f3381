#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: control_plane
short_description: An Istio control plane from Helm charts, proven to work
version_added: 0.1.0
author:
  - The meshops.istio authors (@meshops)
description:
  - Installs and upgrades a control plane, which is a set of Helm releases, in one task. See M(meshops.istio.releases)
    for how releases are planned, applied and repaired.
  - Checks first, and changes nothing where a check fails. The cluster answers, its Kubernetes is new enough, profile
    and charts exist, and every field of the mesh configuration is one that istiod knows.
  - Proves then what was installed. istiod serves, the injector adds a sidecar to a pod (which is only dry-run), and the
    mesh configuration that istiod runs is the wanted one.
extends_documentation_fragment:
  - meshops.istio.connection
  - meshops.istio.attributes
  - meshops.istio.helm
  - meshops.istio.helm.charts_login
  - meshops.istio.helm.ownership
  - meshops.istio.helm.control_plane
options:
  hold_tags:
    description:
      - Leave the tags where they are for now, and with them what validates objects that name no revision.
      - So an upgrade installs a revision beside another before anything depends on it.
    type: bool
    default: false
  prove:
    description: Prove that the control plane works.
    type: bool
    default: true
  remove_undeclared:
    description:
      - Uninstall the tags, the CNI plugin and ztunnel that this collection has installed for this revision and that are
        no longer declared. What is in use is not removed; the module fails and names the users.
      - With V(false) they are retained, and a warning names them.
    type: bool
    default: true
  retiring:
    description:
      - Revisions that will be removed after this task, V(default) for the control plane without a revision.
      - The default validator does not stay with them.
    type: list
    elements: str
    default: []
seealso:
  - module: meshops.istio.releases
"""

EXAMPLES = r"""
- name: The default profile, with access logs
  meshops.istio.control_plane:
    version: 1.31.0
    mesh_config:
      accessLogFile: /dev/stdout

- name: A second revision beside the first, to which namespaces come by the tag prod
  meshops.istio.control_plane:
    revision: 1-31-0
    tags: [prod]
    values:
      istiod:
        autoscaleMin: 2
"""

RETURN = r"""
diff:
  description: The objects that change, one entry each.
  returned: in diff mode, when something changes
  type: list
  elements: dict
releases:
  description: What was done for each release, see M(meshops.istio.releases).
  returned: success
  type: list
  elements: dict
revision:
  description: The control plane's revision, from O(revision) or the document. Empty where it has none.
  returned: success
  type: str
  sample: 1-31-0
namespace:
  description: The namespace of its istiod.
  returned: success
  type: str
  sample: istio-system
tags:
  description: The revision tags that point to it; none with O(hold_tags).
  returned: success
  type: list
  elements: str
platform:
  description: The platform in the charts' values, such as V(openshift). Empty where there is none.
  returned: success
  type: str
proof:
  description: What the control plane has shown of itself.
  returned: success, where istiod runs in this cluster and O(prove), not in check mode
  type: dict
  contains:
    version:
      description: What istiod says its version is.
      type: str
      returned: always
    proxy_image:
      description: Image of the proxy that the injector adds; empty, with a warning, where it could not be asked.
      type: str
      returned: always
    unproven:
      description:
        - What could not be proven, although nothing shows a fault; each is a warning, too.
        - C(reason) is V(pod_refused) (a policy or quota refuses the pod), V(no_namespace) (every namespace decides
          about injection itself), V(exec_forbidden) (no permission for C(pods/exec)), or V(debug_off) (istiod's debug
          endpoint is off).
      type: list
      elements: dict
      returned: always
      contains:
        reason:
          description: Which part of the proof is missing.
          type: str
          returned: always
        message:
          description: Why it could not be made.
          type: str
          returned: always
  sample:
    version: 1.31.0-eed52ebb66ad-Clean
    proxy_image: registry.istio.io/release/proxyv2:1.31.0
"""

from ansible_collections.meshops.istio.plugins.module_utils.cluster.module import run_module
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.options import CONTROL_PLANE_OPTIONS
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.reconcile import reconcile_control_plane
from ansible_collections.meshops.istio.plugins.module_utils.releases.reconcile import (
    HELM_OPTIONS,
    OWNERSHIP_OPTION,
    UNLOGGED,
    open_helm,
)

ARGUMENT_SPEC = {
    **CONTROL_PLANE_OPTIONS,
    "hold_tags": {"type": "bool", "default": False},
    "prove": {"type": "bool", "default": True},
    "remove_undeclared": {"type": "bool", "default": True},
    "retiring": {"type": "list", "elements": "str", "default": []},
    **HELM_OPTIONS,
    **OWNERSHIP_OPTION,
}


def run(module, cluster):
    with open_helm(module.params, cluster) as helm:
        return reconcile_control_plane(module, cluster, helm)


def main():
    run_module(ARGUMENT_SPEC, run, unlogged=UNLOGGED)


if __name__ == "__main__":
    main()
