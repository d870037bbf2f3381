#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: data_plane
short_description: Bring every proxy to the version of its control plane, and prove it
version_added: 0.1.0
author:
  - The meshops.istio authors (@meshops)
description:
  - Restarts the workloads whose proxies are not as the injector would make them today, namespace by namespace and one
    workload at a time. The next one is begun when the pods of the one before are ready.
  - Proves then that every proxy of the mesh belongs to the revision, has its version, and holds the configuration that
    istiod has sent.
  - Says which other revisions there are, and what still uses them.
  - A run that was interrupted goes on where it was, because what is up to date is not restarted again.
extends_documentation_fragment:
  - meshops.istio.connection
  - meshops.istio.attributes
requirements:
  - cryptography >= 42
options:
  revision:
    description: The revision that all proxies should belong to. Empty where it has no name.
    type: str
    default: ""
  wait_timeout:
    description: Seconds that a workload may take to become ready, and that proxies may take to be in sync.
    type: int
    default: 300
seealso:
  - module: meshops.istio.injection
  - module: meshops.istio.proxies
"""

EXAMPLES = r"""
- name: Every proxy comes to the revision 1-31-0
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
proxies:
  description: How many proxies there are, all proven. 0 in check mode.
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
        - Proxies, tags, namespaces, and workloads that will ask for it when they get pods.
        - Where there are none, it can be removed.
      type: list
      elements: str
      returned: always
unused_releases:
  description:
    - The releases of the revisions that nothing uses, as M(meshops.istio.releases) takes them to remove them.
    - A revision that no release of the chart C(istiod) holds is a warning instead.
  returned: success
  type: list
  elements: dict
diff:
  description: The workloads that were restarted, one entry each.
  returned: when something changes
  type: list
  elements: dict
"""

import datetime

from ansible_collections.meshops.istio.plugins.module_utils.cluster.module import run_module
from ansible_collections.meshops.istio.plugins.module_utils.proxies.report import read_all
from ansible_collections.meshops.istio.plugins.module_utils.upgrade.data_plane import DataPlane
from ansible_collections.meshops.istio.plugins.module_utils.upgrade.unused_revisions import other_revisions

ARGUMENT_SPEC = {
    "revision": {"type": "str", "default": ""},
    "wait_timeout": {"type": "int", "default": 300},
}


def run(module, cluster):
    revision = module.params["revision"] or "default"

    def read_proxies():
        return read_all(cluster, [], sync=True, now=datetime.datetime.now(datetime.timezone.utc))

    plane = DataPlane(cluster, revision, module.params["wait_timeout"], read_proxies)
    result = plane.reconcile(module.check_mode)
    others = other_revisions(cluster, revision)
    return {**result, **others, "warnings": result["warnings"] + others["warnings"]}


def main():
    run_module(ARGUMENT_SPEC, run)


if __name__ == "__main__":
    main()
