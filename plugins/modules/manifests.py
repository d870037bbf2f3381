#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: manifests
short_description: Write manifests to a directory, without a cluster
version_added: 0.1.0
author:
  - The meshops.istio authors (@meshops)
description:
  - Renders a control plane and further Helm releases, with their patches, and writes one file a release, called
    C(NAMESPACE.RELEASE.yaml). For review, and for tools that apply the files of a repository.
  - Files of an earlier run that are not wanted any more are removed; other files in the directory are left alone.
  - Needs C(helm) and the charts, and no cluster. So it isn't in the action group C(meshops.istio.mesh).
attributes:
  check_mode:
    description: Predicts in check mode what would change, and changes nothing.
    support: full
  diff_mode:
    description: Shows in diff mode what has changed, or in check mode would change.
    support: full
  idempotent:
    description: A second run with the same arguments and charts changes nothing.
    support: full
extends_documentation_fragment:
  - meshops.istio.helm.charts_login
options:
  dest:
    description: The directory, made where it is missing.
    type: path
    required: true
  control_plane:
    description:
      - The control plane, with the options of M(meshops.istio.control_plane) that say what it is.
      - Without it none is written.
    type: dict
    suboptions:
      profile:
        description: Istio's installation profile.
        type: str
      version:
        description: Version of the charts.
        type: str
      revision:
        description: Name of the revision.
        type: str
      tags:
        description: Revision tags that point to this revision.
        type: list
        elements: str
      values:
        description: Values for each chart, by C(base), C(istiod), C(cni) and C(ztunnel).
        type: dict
      mesh_config:
        description: The mesh configuration.
        type: dict
      cni:
        description: Whether the CNI plugin is installed. Without it the profile decides.
        type: bool
      istio_operator:
        description: An IstioOperator document, as a dict, the path of a file, or a list of both.
        type: raw
      charts:
        description: Where the charts come from.
        type: str
        default: https://istio-release.storage.googleapis.com/charts
      digests:
        description: Digests that the charts' packages must have, as V(sha256:...), by the chart's name.
        type: dict
      hub:
        description: Where the images come from.
        type: str
      tag:
        description: Tag of the images.
        type: str
      namespace:
        description: Namespace of the control plane.
        type: str
  releases:
    description: Further releases.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the release.
        type: str
        required: true
      namespace:
        description: Namespace of the release, made where it is missing.
        type: str
        required: true
      chart:
        description: Name of the chart within O(charts), or the path or address of a chart of its own.
        type: str
      charts:
        description: Where this release's chart comes from, instead of O(charts).
        type: str
      version:
        description: Version of the chart, else O(version).
        type: str
      digest:
        description: Digest that the chart's package must have, as V(sha256:...).
        type: str
      values:
        description: Values over the chart's own.
        type: dict
        default: {}
      patches:
        description:
          - Changes to the objects that the chart renders, applied in their order.
          - Each names C(kind) and C(name) of an object, and has either C(merge), a strategic merge patch, or C(path)
            and C(value) as in C(k8s.overlays) of an IstioOperator document.
        type: list
        elements: dict
        default: []
      objects:
        description: Further objects that are part of the release, beside what the chart renders.
        type: list
        elements: dict
        default: []
      after:
        description: As for M(meshops.istio.releases); it changes no manifest.
        type: list
        elements: str
        default: []
      state:
        description: Whether the release is there, else it has no file.
        type: str
        choices: [present, absent]
        default: present
  charts:
    description: Where the charts of O(releases) come from.
    type: str
  version:
    description: Version of the charts of O(releases). Without it the newest.
    type: str
  kube_version:
    description: Version of Kubernetes to render for, such as V(1.34.0). Without it the one that Helm was built for.
    type: str
  binary_path:
    description: Path of C(helm), else it is looked for on the E(PATH).
    type: path
seealso:
  - module: meshops.istio.control_plane
  - module: meshops.istio.releases
"""

EXAMPLES = r"""
- name: What the profile demo would apply
  meshops.istio.manifests:
    dest: rendered/prod
    control_plane:
      profile: demo
      version: 1.31.0

- name: Render an IstioOperator document
  meshops.istio.manifests:
    dest: rendered/prod
    control_plane:
      istio_operator: mesh.yaml
      charts: ./charts
"""

RETURN = r"""
diff:
  description: The files that change, one entry each.
  returned: when something changes
  type: list
  elements: dict
files:
  description: The files, in the order in which they would be applied.
  returned: success
  type: list
  elements: str
  sample: [istio-system.istio-base.yaml, istio-system.istiod.yaml]
"""

from ansible_collections.meshops.istio.plugins.module_utils.cluster.module import Module
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.manifests import manifests, write_files
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.options import CONTROL_PLANE_OPTIONS
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.releases.reconcile import (
    CHARTS_LOGIN_OPTIONS,
    RELEASES_OPTION,
    UNLOGGED,
    open_helm,
)

ARGUMENT_SPEC = {
    "dest": {"type": "path", "required": True},
    "control_plane": {
        "type": "dict",
        "options": CONTROL_PLANE_OPTIONS,
    },
    "releases": {**RELEASES_OPTION, "default": []},
    "charts": {"type": "str"},
    "version": {"type": "str"},
    "kube_version": {"type": "str"},
    "binary_path": {"type": "path"},
    **CHARTS_LOGIN_OPTIONS,
}


def main():
    module = Module(UNLOGGED, argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params, warnings = module.params, []
    try:
        with open_helm(params) as helm:
            files = manifests(helm, params["control_plane"], params, params["kube_version"], warnings)
        diff = write_files(params["dest"], files, check_mode=module.check_mode)
    except MeshopsError as error:
        module.fail_json(msg=str(error))
    for line in warnings:
        module.warn(line)
    module.exit_json(changed=bool(diff), files=list(files), **({"diff": diff} if diff else {}))


if __name__ == "__main__":
    main()
