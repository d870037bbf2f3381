#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: bundle
short_description: Write a support bundle of a mesh
version_added: 0.1.0
description:
  - Writes an archive with the state of a mesh, its objects and configuration, the events around its pods, and the logs
    of control plane and proxies.
  - Removes secrets first. Of a Secret only the names of its data remain, and of environment variables only their
    names, except for a few of Istio's own. Values after flags such as C(--token), JWKS, the configuration of plugins
    and inline code never leave the cluster. Private keys, tokens, passwords and the like are removed from all other
    objects and from logs. Review the archive before you share it, because a log may have secrets that no rule detects.
  - Changes no cluster.
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
      - Each run writes the archive again.
options:
  dest:
    description:
      - Archive to write, such as V(mesh.tar.gz). Its directory must exist. Only its owner can read the archive. A
        symbolic link is refused.
    type: path
    required: true
  log_lines:
    description:
      - Number of lines from the end of each log.
    type: int
    default: 2000
seealso:
  - module: meshops.istio.mesh_info
author:
  - The meshops.istio authors (@meshops)
"""

EXAMPLES = r"""
- name: Write a support bundle
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
