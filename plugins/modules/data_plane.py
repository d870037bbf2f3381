#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: data_plane
short_description: Bring every proxy to its control plane's version
version_added: 0.1.0
author:
  - The meshops.istio authors (@meshops)
description:
  - Restarts the workloads whose proxies differ from what the injector would create today, namespace by namespace and
    one workload at a time. Waits until the new pods are ready before it restarts the next workload.
  - Proves then that every proxy of the mesh belongs to the revision, has its version, and has acknowledged the
    configuration that istiod sent.
  - Reports which other revisions there are, and what still uses them.
  - A run that was interrupted can be repeated, because it does not restart workloads that are up to date.
extends_documentation_fragment:
  - meshops.istio.connection
  - meshops.istio.attributes
requirements:
  - cryptography >= 42
options:
  revision:
    description: Revision that all proxies must belong to. Empty for the default revision.
    type: str
    default: ""
  version:
    description:
      - Version of Istio that the control plane will have. Used only in check mode, in which it is not installed yet, so
        that the restarts of an upgrade are reported.
    type: str
    default: ""
  rollback:
    description: Also counts newer revisions, instead of older ones, as those that the upgrade came from.
    type: bool
    default: false
  wait_timeout:
    description: Waits this many seconds for a workload to become ready, and for proxies to be in sync.
    type: int
    default: 300
seealso:
  - module: meshops.istio.injection
  - module: meshops.istio.proxies_info
"""

EXAMPLES = r"""
- name: Bring every proxy to the revision 1-31-0
  meshops.istio.data_plane:
    revision: 1-31-0
"""

RETURN = r"""
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
      description: The same for programs, see M(meshops.istio.injection). In check mode also V(other_version).
      type: str
      returned: always
proxies:
  description: Number of proxies, all of them proven. 0 in check mode.
  returned: success
  type: int
revisions:
  description: The other revisions.
  returned: success
  type: list
  elements: dict
  contains:
    revision:
      description: Its name.
      type: str
      returned: always
    namespace:
      description: The namespace of its istiod.
      type: str
      returned: always
    used_by:
      description:
        - Proxies, tags, namespaces, workloads that will get it with their next pods, registered machines, ztunnels, and
          clients of other clusters that its istiod reports.
      type: list
      elements: str
      returned: always
unused_releases:
  description:
    - The releases of the unused revisions that the upgrade came from, in the form that M(meshops.istio.releases) takes.
      These are older, in the same namespace, and were installed by this collection, and the namespace has no remote
      secrets.
    - An unused revision that this does not hold for is retained, with a warning that names the reason.
  returned: success
  type: list
  elements: dict
diff:
  description: The workloads that were restarted, one entry each.
  returned: when something changes
  type: list
  elements: dict
"""

from ansible_collections.meshops.istio.plugins.module_utils.cluster.module import run_module
from ansible_collections.meshops.istio.plugins.module_utils.upgrade.data_plane import DataPlane
from ansible_collections.meshops.istio.plugins.module_utils.upgrade.unused_revisions import Upgraded, other_revisions

ARGUMENT_SPEC = {
    "revision": {"type": "str", "default": ""},
    "version": {"type": "str", "default": ""},
    "rollback": {"type": "bool", "default": False},
    "wait_timeout": {"type": "int", "default": 300},
}


def run(module, cluster):
    params = module.params
    revision = params["revision"] or "default"
    plane = DataPlane(cluster, revision, params["wait_timeout"], params["version"])
    result = plane.reconcile(check_mode=module.check_mode)
    others = other_revisions(cluster, Upgraded(revision, params["rollback"]))
    return {**result, **others, "warnings": result["warnings"] + others["warnings"]}


def main():
    run_module(ARGUMENT_SPEC, run)


if __name__ == "__main__":
    main()
