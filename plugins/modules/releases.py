#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: releases
short_description: A set of Helm releases, planned together
version_added: 0.1.0
author:
  - The meshops.istio authors (@meshops)
description:
  - Makes the cluster hold a set of Helm releases, each as its chart and values say.
  - Renders all charts at once, and compares what they render to what Helm has stored and to the live objects.
    Runs C(helm) only for the releases that differ, in their order, independent ones side by side.
  - Live objects that have drifted are repaired without a new revision of the release. Fields that others rightly own
    are left to them, that are a webhook's C(caBundle), its C(failurePolicy) once istiod has switched it, and replicas
    under a HorizontalPodAutoscaler.
  - A release that a killed run has left pending is recovered.
  - Waiting explains itself. A pod that cannot pull its image fails the task within seconds, with the pod's own events.
  - Works with Helm 3 (3.14 and newer) and Helm 4. The plugin helm-diff is not needed.
extends_documentation_fragment:
  - meshops.istio.connection
  - meshops.istio.attributes
  - meshops.istio.helm
  - meshops.istio.helm.ownership
  - meshops.istio.helm.releases
options:
  charts:
    description:
      - Where the charts come from, which is the URL of a Helm repository, an address C(oci://...), or a directory with
        charts as folders or packages.
    type: str
  version:
    description: Version of the charts. Without it the newest.
    type: str
seealso:
  - module: meshops.istio.control_plane
"""

EXAMPLES = r"""
- name: Two gateways, side by side
  meshops.istio.releases:
    charts: https://istio-release.storage.googleapis.com/charts
    version: 1.31.0
    releases:
      - name: istio-ingressgateway
        namespace: istio-system
        chart: gateway
      - name: istio-egressgateway
        namespace: istio-system
        chart: gateway
        values:
          service:
            type: ClusterIP

- name: A chart of one's own, taken back where it does not come up
  meshops.istio.releases:
    atomic: true
    releases:
      - name: shop
        namespace: shop
        chart: ./charts/shop
        values:
          replicas: 3
"""

RETURN = r"""
diff:
  description: The objects that change, one entry each.
  returned: in diff mode, when something changes
  type: list
  elements: dict
releases:
  description: What was done, or in check mode would be done, for each release.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the release.
      type: str
      returned: always
    namespace:
      description: Namespace of the release.
      type: str
      returned: always
    chart:
      description: Its chart.
      type: str
      returned: always
    action:
      description:
        - What helm does, which is V(install), V(upgrade), V(uninstall) or V(none).
        - V(repair) where only live objects had drifted.
      type: str
      returned: always
    reasons:
      description: Why.
      type: list
      elements: str
      returned: always
    kept:
      description: Fields that differ and are left alone, because others own them.
      type: list
      elements: str
      returned: always
  sample:
    - name: istiod
      namespace: istio-system
      chart: istiod
      action: upgrade
      reasons: [its values differ]
      kept: []
"""

from ansible_collections.meshops.istio.plugins.module_utils.cluster.module import run_module
from ansible_collections.meshops.istio.plugins.module_utils.helm.helm import Helm
from ansible_collections.meshops.istio.plugins.module_utils.releases.reconcile import (
    HELM_OPTIONS,
    OWNERSHIP_OPTION,
    RELEASES_OPTION,
    declared_releases,
    reconcile_releases,
)

ARGUMENT_SPEC = {
    "releases": {**RELEASES_OPTION, "required": True},
    "charts": {"type": "str"},
    "version": {"type": "str"},
    **HELM_OPTIONS,
    **OWNERSHIP_OPTION,
}


def run(module, cluster):
    with Helm(cluster, module.params["binary_path"]) as helm:
        return reconcile_releases(module, cluster, helm, declared_releases(module.params))


def main():
    run_module(ARGUMENT_SPEC, run)


if __name__ == "__main__":
    main()
