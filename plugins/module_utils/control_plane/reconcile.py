# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A declared control plane: checked, planned as one, applied, and proven."""

from __future__ import annotations

import typing as t

from ..cluster.client import Cluster
from ..errors import MeshopsError
from ..helm.helm import Helm
from ..releases.reconcile import Rules, reconcile_releases
from .checks import check_default_tag, check_kubernetes, check_platform, is_remote
from .declared import ControlPlane, desired_control_plane
from .proof import prove
from .shared_base import settle_base
from .undeclared import add_removals

RULES = Rules(remedy=". A mesh that istioctl has installed is adopted by the playbook meshops.istio.adopt")


def reconcile_control_plane(module: t.Any, cluster: Cluster, helm: Helm) -> dict[str, t.Any]:
    """Checks, plans, applies and proves the control plane that a module's parameters ask for; gives its result.

    :raises MeshopsError: a check, the installation or the proof failed; the text says why
    """
    params = module.params
    wanted = desired_control_plane(params, helm.app_version)
    for release in [release for release in wanted.releases if release.state == "present"][:1]:
        check_kubernetes(cluster.server_version(), helm.app_version(release))
    check_platform(cluster.versions, wanted.releases)
    check_default_tag(cluster, wanted)
    settle_base(cluster, helm, wanted, hold=params["hold_tags"], retiring=params["retiring"])
    add_removals(cluster, wanted, remove=params["remove_undeclared"])
    for line in wanted.warnings:
        module.warn(line)
    result = reconcile_releases(module, cluster, helm, wanted.releases, RULES)
    result |= {
        "revision": wanted.revision,
        "namespace": wanted.namespace,
        "tags": wanted.tags,
        "platform": wanted.platform,
    }
    if params["prove"] and not module.check_mode:
        add_proof(module, cluster, wanted, result)
    return result


def add_proof(module: t.Any, cluster: Cluster, wanted: ControlPlane, result: dict[str, t.Any]) -> None:
    """Adds what the control plane has shown of itself, where it runs here and was waited for.

    :raises NotProven: it doesn't do what it should
    """
    serves = any(release.chart == "istiod" and not release.labels for release in wanted.releases)
    if not module.params["wait"] or not serves or is_remote(wanted):
        return
    try:
        proof = prove(cluster, wanted.namespace, wanted.revision, wanted.tags)
    except MeshopsError as error:
        error.result = result
        raise
    for gap in proof.gaps:
        module.warn(str(gap))
    result["proof"] = {
        "version": proof.version,
        "proxy_image": proof.proxy_image,
        "unproven": [{"reason": gap.gap.name.lower(), "message": gap.why} for gap in proof.gaps],
    }
