#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: bundle
short_description: Collect what is needed to find out why a mesh does not work
version_added: 0.1.0
description:
  - Writes an archive with the state of a mesh, the objects that make and configure it, the events around its pods,
    and the logs of control plane and proxies.
  - Secrets are removed first. Of a Secret only the names of its data remain. Private keys, tokens, passwords and the
    like are taken out of all other objects and of logs. Look through the archive nevertheless before you hand it on,
    as a log may hold what no rule can know to be secret.
  - No cluster is changed.
extends_documentation_fragment:
  - meshops.istio.connection
  - meshops.istio.attributes
attributes:
  check_mode:
    details:
      - Reads everything and does not write the archive.
  diff_mode:
    support: none
  idempotent:
    support: none
    details:
      - Each run writes the archive anew.
options:
  dest:
    description:
      - The archive to write, such as V(mesh.tar.gz). Its directory must exist. Only its owner can read it.
    type: path
    required: true
  log_lines:
    description:
      - How many of the last lines of each log are taken.
    type: int
    default: 2000
seealso:
  - module: meshops.istio.mesh_info
author:
  - The meshops.istio authors (@meshops)
"""

EXAMPLES = r"""
- name: Collect what the support asks for
  meshops.istio.bundle:
    dest: /tmp/mesh.tar.gz
    log_lines: 500
"""

RETURN = r"""
dest:
  description: The archive.
  returned: always
  type: str
files:
  description: The names of the files in it.
  returned: always
  type: list
  elements: str
  sample:
    - logs/istio-system/istiod-7c9d-x2x.discovery.log
    - mesh.json
    - objects/VirtualService.networking.istio.io.yaml
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.meshops.istio.plugins.module_utils.cluster.client import Cluster
from ansible_collections.meshops.istio.plugins.module_utils.cluster.module import run_module
from ansible_collections.meshops.istio.plugins.module_utils.mesh.certificates import require_cryptography
from ansible_collections.meshops.istio.plugins.module_utils.mesh_info.findings import findings
from ansible_collections.meshops.istio.plugins.module_utils.mesh_info.read import SECTIONS, read_mesh
from ansible_collections.meshops.istio.plugins.module_utils.mesh_info.support_bundle import collect, write

SPEC: dict[str, dict] = {
    "dest": {"type": "path", "required": True},
    "log_lines": {"type": "int", "default": 2000},
}


def run(module: AnsibleModule, cluster: Cluster) -> dict:
    require_cryptography()
    mesh = read_mesh(cluster, SECTIONS)
    files = collect(cluster, {**mesh, "findings": findings(mesh)}, module.params["log_lines"])
    if not module.check_mode:
        write(files, module.params["dest"])
    return {"changed": True, "dest": module.params["dest"], "files": sorted(files)}


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
