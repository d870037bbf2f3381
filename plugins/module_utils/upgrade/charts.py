# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the charts to upgrade to say of themselves: their version of Istio, and its CustomResourceDefinitions."""

from __future__ import annotations

import dataclasses

from ..helm.helm import Helm, RenderOptions
from ..helm.releases import Release
from ..reconcile.types import K8sObject
from ..releases.render import parse_manifest


@dataclasses.dataclass(frozen=True)
class Target:
    """What is upgraded to.

    :ivar version: the version of Istio that the charts install
    :ivar definitions: its CustomResourceDefinitions
    """

    version: str
    definitions: list[K8sObject]


def read_target(helm: Helm, charts: str, version: str | None) -> Target:
    """Reads the charts istiod and base.

    :raises MeshopsError: they can't be fetched or rendered
    """
    app_version = helm.app_version(Release("istiod", "istiod", "istio-system", charts=charts, version=version))
    base = Release("istio-base", "base", "istio-system", charts=charts, version=version)
    objects = parse_manifest(helm.template(base, RenderOptions(include_crds=True)), "chart base")
    return Target(app_version, [obj for obj in objects if obj["kind"] == "CustomResourceDefinition"])
