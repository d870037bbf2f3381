#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: releases
short_description: Install a set of Helm releases, planned together
version_added: 0.1.0
author:
  - The meshops.istio authors (@meshops)
description:
  - Installs, upgrades and removes a set of Helm releases, so that the cluster matches their charts and values.
  - Renders all charts at once, and compares the result to what Helm has stored and to the live objects.
    Runs C(helm) only for the releases that differ, in their order, independent ones side by side.
  - Repairs drift of live objects without a new revision of the release. Fields that other controllers own are kept,
    such as a webhook's C(caBundle), its C(failurePolicy) once istiod has switched it, its selectors, and replicas under
    a HorizontalPodAutoscaler.
  - Creates, upgrades and repairs the CustomResourceDefinitions in a chart's folder C(crds), which Helm only creates.
  - Recovers a release that a killed run has left pending. An operation of a helm that is alive is never interrupted;
    one that this collection did not begin is considered stale after ten minutes, or after O(wait_timeout) where that is
    longer.
  - Deletes the objects of a revision that failed, where no other revision has them.
  - Reports within seconds why a pod does not start, such as an image that cannot be pulled, with the pod's own events.
  - Works with Helm 3 (3.14 and newer) and Helm 4. The plugin helm-diff is not needed.
extends_documentation_fragment:
  - meshops.istio.connection
  - meshops.istio.attributes
  - meshops.istio.helm
  - meshops.istio.helm.charts_login
  - meshops.istio.helm.ownership
  - meshops.istio.helm.releases
options:
  charts:
    description:
      - Where the charts come from, which is the URL of a Helm repository, an address C(oci://...), or a directory with
        charts as folders or packages.
    type: str
  version:
    description:
      - Version of the charts, or a range of versions such as V(~1.31.0), which a directory of charts does not take.
      - Defaults to the newest but pre-releases.
    type: str
  owner:
    description:
      - Name of the inventory that declares these releases, which is the label C(meshops.istio/owner) on their records.
      - A release of another owner fails the task.
    type: str
  prune:
    description:
      - Uninstall the releases of O(owner) that are no longer in O(releases). Set V(false) to get a warning that names
        them instead.
      - Fails where such a release is in use, and where its record names objects that do not carry its marks.
      - A release is in use where objects of a kind that it defines exist, or workloads in a namespace of it. A gateway
        is in use where a Gateway selects its pods and no other gateway's, and where clients have connections open.
    type: bool
    default: true
seealso:
  - module: meshops.istio.control_plane
"""

EXAMPLES = r"""
- name: Install two gateways, side by side
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

- name: Install a chart from a folder, and roll it back where it does not become ready
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
      description: Why the release changes.
      type: list
      elements: str
      returned: always
    reason_codes:
      description:
        - The reasons as words for programs, which are V(not-installed), V(interrupted), V(uninstalling),
          V(not-deployed), V(manifest), V(values), V(chart-version), V(absent), V(undeclared), V(owner), V(leftover),
          V(definition), V(api-removed) and V(drift).
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
      reason_codes: [values]
      kept: []
failures:
  description: The releases that failed.
  returned: failure of a release
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
    stage:
      description:
        - The step that failed, which is V(takeover), V(definitions), V(helm), V(repair), V(ready) or V(uninstall).
      type: str
      returned: always
    message:
      description: What failed, and why.
      type: str
      returned: always
not_begun:
  description: The releases that were not begun, because they come after one that failed.
  returned: failure of a release
  type: list
  elements: dict
"""

from ansible_collections.meshops.istio.plugins.module_utils.cluster.module import run_module
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.gateway_injection import injection_problems
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.gateway_use import gateway_users
from ansible_collections.meshops.istio.plugins.module_utils.releases.reconcile import (
    HELM_OPTIONS,
    OWNERSHIP_OPTION,
    RELEASES_OPTION,
    UNLOGGED,
    Rules,
    declared_releases,
    open_helm,
    reconcile_releases,
)

RULES = Rules(users=gateway_users, problems=injection_problems)

ARGUMENT_SPEC = {
    "releases": {**RELEASES_OPTION, "required": True},
    "charts": {"type": "str"},
    "version": {"type": "str"},
    "owner": {"type": "str"},
    "prune": {"type": "bool", "default": True},
    **HELM_OPTIONS,
    **OWNERSHIP_OPTION,
}


def run(module, cluster):
    with open_helm(module.params, cluster) as helm:
        return reconcile_releases(module, cluster, helm, declared_releases(module.params), RULES)


def main():
    run_module(ARGUMENT_SPEC, run, unlogged=UNLOGGED)


if __name__ == "__main__":
    main()
