#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: upgrade_check
short_description: Check whether an upgrade of a mesh may begin
version_added: 0.1.0
author:
  - The meshops.istio authors (@meshops)
description:
  - Compares the version to upgrade to with the control planes that the upgrade starts from and with the proxies, and
    fails where it is too far away. In place that is one minor version, by a revision beside the old one two.
  - Starts from the control plane of O(revision) in place, else from those in O(namespace) that have proxies or tags.
    Other control planes, such as a canary or another team's, are left alone.
  - Fails where the pods of a namespace would be injected by two revisions, and where Istio's objects do not fit the new
    version's CustomResourceDefinitions.
  - Warns of deprecated fields, of EnvoyFilters that match only the running proxies or depend on each other,
    and of workloads whose restart may lose requests.
  - Changes nothing.
extends_documentation_fragment:
  - meshops.istio.connection
  - meshops.istio.attributes
  - meshops.istio.attributes.info
  - meshops.istio.helm.charts_login
options:
  charts:
    description: Source of the charts to upgrade to. The version of Istio is that of the chart C(istiod).
    type: str
    default: https://istio-release.storage.googleapis.com/charts
  version:
    description: Version of the charts. By default the newest.
    type: str
  revision:
    description: Revision to upgrade to. Empty for the default revision.
    type: str
    default: ""
  istio_operator:
    description: IstioOperator document to upgrade to, which then names the revision.
    type: raw
  namespace:
    description: Namespace of the control plane.
    type: str
    default: istio-system
  rollback:
    description:
      - Allows an older version. What that version refuses of Istio's objects is a warning then.
    type: bool
    default: false
  ask_istiod:
    description:
      - Has the istiod of O(revision), which must run already, validate each of Istio's objects in a dry run, and fails
        where it refuses one. Nothing else is checked then.
    type: bool
    default: false
  binary_path:
    description: Path of C(helm). By default it is searched for on the E(PATH).
    type: path
seealso:
  - module: meshops.istio.data_plane
"""

EXAMPLES = r"""
- name: Check the upgrade to 1.31.0 by the revision 1-31-0
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
  description: What blocks the upgrade.
  returned: failure
  type: list
  elements: str
"""

from ansible_collections.meshops.istio.plugins.module_utils.cluster.module import run_module
from ansible_collections.meshops.istio.plugins.module_utils.istio_operator.translate import revision_of
from ansible_collections.meshops.istio.plugins.module_utils.releases.reconcile import CHARTS_LOGIN_OPTIONS, open_helm
from ansible_collections.meshops.istio.plugins.module_utils.upgrade.charts import read_target
from ansible_collections.meshops.istio.plugins.module_utils.upgrade.check import UpgradeOptions, check, check_validation

ARGUMENT_SPEC = {
    "charts": {"type": "str", "default": "https://istio-release.storage.googleapis.com/charts"},
    "version": {"type": "str"},
    "revision": {"type": "str", "default": ""},
    "istio_operator": {"type": "raw"},
    "namespace": {"type": "str", "default": "istio-system"},
    "rollback": {"type": "bool", "default": False},
    "ask_istiod": {"type": "bool", "default": False},
    "binary_path": {"type": "path"},
    **CHARTS_LOGIN_OPTIONS,
}


def run(module, cluster):
    params = module.params
    if params["ask_istiod"]:
        return check_validation(cluster, params["revision"])
    revision = (
        revision_of(params["istio_operator"], params["version"]) if params["istio_operator"] else params["revision"]
    )
    revision = "" if revision == "default" else revision
    with open_helm(params) as helm:
        target = read_target(helm, params["charts"], params["version"])
    options = UpgradeOptions(revision or "default", target.version, params["namespace"], params["rollback"])
    return {**check(cluster, options, target), "revision": revision}


def main():
    run_module(ARGUMENT_SPEC, run)


if __name__ == "__main__":
    main()
