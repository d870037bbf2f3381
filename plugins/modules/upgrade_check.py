#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: upgrade_check
short_description: Whether an upgrade of a mesh may begin
version_added: 0.1.0
author:
  - The meshops.istio authors (@meshops)
description:
  - Compares the version to upgrade to with the control planes and proxies that run, and fails where it is too far away.
    In place that is one minor version, by a revision beside the old one two.
  - Fails where the pods of a namespace would be injected by two revisions, and where Istio's objects do not fit the new
    version's CustomResourceDefinitions.
  - Warns of fields that are deprecated, of EnvoyFilters that are for the proxies of now only or depend on each other,
    and of workloads whose restart may lose requests.
  - Nothing is changed.
extends_documentation_fragment:
  - meshops.istio.connection
  - meshops.istio.attributes
  - meshops.istio.attributes.info
options:
  charts:
    description: Where the charts to upgrade to come from. The istiod chart says which version of Istio it is.
    type: str
    default: https://istio-release.storage.googleapis.com/charts
  version:
    description: Version of the charts. Without it the newest.
    type: str
  revision:
    description: The revision to upgrade to. Empty where it has no name.
    type: str
    default: ""
  istio_operator:
    description: The IstioOperator document to upgrade to, which then names the revision.
    type: raw
  rollback:
    description:
      - Whether an older version is meant. What it doesn't know of Istio's objects is a warning then.
    type: bool
    default: false
  ask_istiod:
    description:
      - Have the istiod of O(revision), which must run already, validate each of Istio's objects in a dry run, and fail
        where it refuses one. Nothing else is checked then.
    type: bool
    default: false
  binary_path:
    description: Path of C(helm), else it is looked for on the E(PATH).
    type: path
seealso:
  - module: meshops.istio.data_plane
"""

EXAMPLES = r"""
- name: May the mesh be upgraded to 1.31.0 by the revision 1-31-0?
  meshops.istio.upgrade_check:
    version: 1.31.0
    revision: 1-31-0
"""

RETURN = r"""
revision:
  description: The revision to upgrade to, from O(revision) or the document. Empty where it has no name.
  returned: success, without O(ask_istiod)
  type: str
  sample: 1-31-0
version:
  description: The version of Istio that the charts install.
  returned: success, without O(ask_istiod)
  type: str
  sample: 1.31.0
control_planes:
  description: Every istiod that runs, as in M(meshops.istio.mesh_info).
  returned: success, without O(ask_istiod)
  type: list
  elements: dict
problems:
  description: What speaks against the upgrade.
  returned: failure
  type: list
  elements: str
"""

from ansible_collections.meshops.istio.plugins.module_utils.cluster.module import run_module
from ansible_collections.meshops.istio.plugins.module_utils.helm.helm import RenderOptions
from ansible_collections.meshops.istio.plugins.module_utils.helm.releases import Release
from ansible_collections.meshops.istio.plugins.module_utils.istio_operator.translate import revision_of
from ansible_collections.meshops.istio.plugins.module_utils.releases.reconcile import open_helm
from ansible_collections.meshops.istio.plugins.module_utils.releases.render import parse_manifest
from ansible_collections.meshops.istio.plugins.module_utils.upgrade.check import check, check_validation

ARGUMENT_SPEC = {
    "charts": {"type": "str", "default": "https://istio-release.storage.googleapis.com/charts"},
    "version": {"type": "str"},
    "revision": {"type": "str", "default": ""},
    "istio_operator": {"type": "raw"},
    "rollback": {"type": "bool", "default": False},
    "ask_istiod": {"type": "bool", "default": False},
    "binary_path": {"type": "path"},
}


def run(module, cluster):
    params = module.params
    if params["ask_istiod"]:
        return check_validation(cluster, params["revision"])
    revision = revision_of(params["istio_operator"]) if params["istio_operator"] else params["revision"]
    revision = "" if revision == "default" else revision
    source = {"charts": params["charts"], "version": params["version"]}
    with open_helm(params) as helm:
        version = helm.app_version(Release("istiod", "istiod", "istio-system", **source))
        rendered = helm.template(
            Release("istio-base", "base", "istio-system", **source), RenderOptions(include_crds=True)
        )
    objects = parse_manifest(rendered, "chart base")
    definitions = [obj for obj in objects if obj["kind"] == "CustomResourceDefinition"]
    result = check(cluster, revision, version, params["rollback"], definitions)
    for line in result.pop("warnings"):
        module.warn(line)
    return {**result, "revision": revision}


def main():
    run_module(ARGUMENT_SPEC, run)


if __name__ == "__main__":
    main()
