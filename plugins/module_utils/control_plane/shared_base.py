# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The release of the chart base, which all revisions share: its definitions, and what validates by default.

The default validator checks objects that name no revision. It belongs to

1. the revision that the tag C(default) points to,
2. else the control plane without a revision,
3. else the revision that has it already, until a tag that points there moves to another revision, or its istiod is
   gone or about to be removed,
4. else the revision that is installed.

So a canary does not take it, and two inventories do not change it in turns. The definitions are never taken back to an
older version while another revision runs.
"""

from __future__ import annotations

import re
import typing as t

from ..cluster.client import Cluster
from ..cluster.kinds import KNOWN
from ..helm.helm import Helm
from ..helm.ownership import release_of
from ..helm.releases import Release
from ..helm.stored import stored_releases
from ..mesh.pods import labels_of
from ..reconcile.types import K8sObject
from .declared import ControlPlane

_VALIDATORS = KNOWN["admissionregistration.k8s.io", "ValidatingWebhookConfiguration"]
_INJECTORS = KNOWN["admissionregistration.k8s.io", "MutatingWebhookConfiguration"]
_DEPLOYMENT = KNOWN["apps", "Deployment"]
#: What validates objects that name no revision; part of the chart base.
DEFAULT_VALIDATOR = "istiod-default-validator"
_DEFAULT = "default"


def settle_base(
    cluster: Cluster, helm: Helm, wanted: ControlPlane, *, hold: bool, retiring: t.Collection[str] = ()
) -> None:
    """Gives the release of base what the revisions beside this one leave to it.

    :param hold: whether the tags stay where they are for now, and with them the default validator
    :param retiring: revisions that will be removed: nothing is left to them
    """
    base = next((release for release in wanted.releases if release.chart == "base"), None)
    if base is None or base.state != "present":
        return
    istiods = cluster.list(_DEPLOYMENT, labels="app=istiod")
    revisions = {labels_of(istiod).get("istio.io/rev") or _DEFAULT for istiod in istiods} - set(retiring)
    if wanted.revision:
        live = cluster.get(_VALIDATORS, DEFAULT_VALIDATOR)
        _keep_default_validator(cluster, base, live, wanted, revisions, hold=hold)
    if revisions - {wanted.revision or _DEFAULT}:
        _keep_newer_definitions(cluster, helm, base, wanted)


def _keep_default_validator(
    cluster: Cluster, base: Release, live: K8sObject | None, wanted: ControlPlane, revisions: set[str], *, hold: bool
) -> None:
    if live is None:
        return  # the chart makes it for this revision
    owner = labels_of(live).get("istio.io/rev") or _DEFAULT
    if not base.values.get("defaultRevision") and release_of(live) != (base.namespace, base.name):
        return  # a document that asks for none, and somebody else's validator
    if hold:
        keeps = True
    elif _DEFAULT in wanted.tags:
        keeps = False
    else:
        keeps = owner in revisions and not _takes_tag_over(cluster, wanted, owner)
    base.values = {**base.values, "defaultRevision": owner if keeps else wanted.revision}


def _takes_tag_over(cluster: Cluster, wanted: ControlPlane, owner: str) -> bool:
    """Whether a tag of this control plane points to another revision now."""
    if owner == wanted.revision:
        return False
    tagged = cluster.list(_INJECTORS, labels=f"istio.io/tag,istio.io/rev={owner}") if wanted.tags else []
    return any(labels_of(injector)["istio.io/tag"] in wanted.tags for injector in tagged)


def _keep_newer_definitions(cluster: Cluster, helm: Helm, base: Release, wanted: ControlPlane) -> None:
    """Leaves base alone where another revision has installed a newer version of it."""
    records = stored_releases(cluster, [(base.namespace, base.name)]).get((base.namespace, base.name)) or []
    deployed = next((record for record in records if record.status == "deployed"), None)
    version = base.version or helm.app_version(base)
    if deployed is None or _numbers(deployed.version) <= _numbers(version):
        return
    wanted.releases = [release for release in wanted.releases if release is not base]
    for release in wanted.releases:
        release.after = [name for name in release.after if name != base.name]
    wanted.warnings.append(
        f"release {base.namespace}/{base.name} is retained at version {deployed.version}, newer than {version}:"
        " another revision needs its CustomResourceDefinitions"
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])
