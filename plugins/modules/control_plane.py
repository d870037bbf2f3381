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
options:
  profile:
    description: Istio's installation profile. Without it V(default).
    type: str
  version:
    description: Version of Istio, which is the version of its charts. Without it the newest.
    type: str
  revision:
    description: Name of the revision. Without it this is the cluster's default control plane.
    type: str
  tags:
    description:
      - Revision tags that point to this revision. V(default) makes it the one that C(istio-injection=enabled) means.
      - Each is a release of its own, C(istio-tag-NAME), so that moving a tag is one update.
    type: list
    elements: str
  values:
    description: Values for each chart, by C(base), C(istiod), C(cni) and C(ztunnel).
    type: dict
  mesh_config:
    description: The mesh configuration, as in Istio's own documentation of MeshConfig.
    type: dict
  cni:
    description: Whether the CNI plugin is installed; V(false) removes it. Without it the profile decides.
    type: bool
  istio_operator:
    description:
      - An IstioOperator document, instead of O(profile), O(revision), O(tags), O(values), O(mesh_config) and O(cni).
      - A dict, the path of a file, or a list of both, which are merged in their order.
    type: raw
  charts:
    description:
      - Where the charts come from, which is the URL of a Helm repository, an address C(oci://...), or a directory.
      - Without it Istio's own repository.
    type: str
    default: https://istio-release.storage.googleapis.com/charts
  digests:
    description: Digests that the charts' packages must have, as V(sha256:...), by the chart's name.
    type: dict
  hub:
    description: Where the images come from. Without it the charts' own.
    type: str
  tag:
    description: Tag of the images. Without it the charts' own.
    type: str
  namespace:
    description: Namespace of the control plane. Without it V(istio-system).
    type: str
  prove:
    description: Prove that the control plane works.
    type: bool
    default: true
  wait:
    description: Wait until workloads and CustomResourceDefinitions are ready.
    type: bool
    default: true
  wait_timeout:
    description: Seconds that a release may take to become ready.
    type: int
    default: 300
  atomic:
    description:
      - Take a release that does not become ready back to its last good revision, or out where it has none.
      - The task fails all the same and says why.
    type: bool
    default: false
  take_ownership:
    description: Take over objects that exist and that no release has, instead of failing. Needs Helm 3.17.
    type: bool
    default: false
  binary_path:
    description: Path of C(helm), else it is looked for on the E(PATH).
    type: path
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
  returned: when something changes
  type: list
  elements: dict
releases:
  description: What was done for each release, see M(meshops.istio.releases).
  returned: success
  type: list
  elements: dict
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
      description: Image of the proxy that the injector adds.
      type: str
      returned: always
  sample:
    version: 1.31.0-eed52ebb66ad-Clean
    proxy_image: registry.istio.io/release/proxyv2:1.31.0
"""

from ansible_collections.meshops.istio.plugins.module_utils.cluster.module import run_module
from ansible_collections.meshops.istio.plugins.module_utils.helm.helm import Helm
from ansible_collections.meshops.istio.plugins.module_utils.istio.control_plane import reconcile_control_plane
from ansible_collections.meshops.istio.plugins.module_utils.istio.installation import HELM_OPTIONS

ARGUMENT_SPEC = {
    "profile": {"type": "str"},
    "version": {"type": "str"},
    "revision": {"type": "str"},
    "tags": {"type": "list", "elements": "str"},
    "values": {"type": "dict"},
    "mesh_config": {"type": "dict"},
    "cni": {"type": "bool"},
    "istio_operator": {"type": "raw"},
    "charts": {"type": "str", "default": "https://istio-release.storage.googleapis.com/charts"},
    "digests": {"type": "dict"},
    "hub": {"type": "str"},
    "tag": {"type": "str"},
    "namespace": {"type": "str"},
    "prove": {"type": "bool", "default": True},
    **HELM_OPTIONS,
}


def run(module, cluster):
    with Helm(cluster, module.params["binary_path"]) as helm:
        return reconcile_control_plane(module, cluster, helm)


def main():
    run_module(ARGUMENT_SPEC, run)


if __name__ == "__main__":
    main()
