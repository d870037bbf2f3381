# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Istio's installation profiles, and the Helm releases that a control plane consists of."""

from __future__ import annotations

import dataclasses

from ..errors import MeshopsError
from ..reconcile.wording import did_you_mean


@dataclasses.dataclass(frozen=True)
class Profile:
    """What a profile means for Helm: see manifests/profiles and manifests/helm-profiles in istio/istio.

    :ivar charts: C(profile) value of the charts; empty where the charts' own defaults are meant
    :ivar platform: C(global.platform) value of the charts
    :ivar components: the charts that are installed
    :ivar node_namespace: namespace of cni and ztunnel, where it isn't that of the control plane
    """

    charts: str = ""
    platform: str = ""
    components: tuple[str, ...] = ("base", "istiod")
    node_namespace: str = ""


AMBIENT = ("base", "cni", "istiod", "ztunnel")

PROFILES = {
    "default": Profile(),
    "demo": Profile(charts="demo"),
    "minimal": Profile(),
    "ambient": Profile(charts="ambient", components=AMBIENT),
    "empty": Profile(components=()),
    "preview": Profile(charts="preview"),
    "remote": Profile(charts="remote"),
    "stable": Profile(charts="stable"),
    "openshift": Profile(platform="openshift", components=("base", "cni", "istiod"), node_namespace="kube-system"),
    "openshift-ambient": Profile(
        charts="ambient", platform="openshift", components=AMBIENT, node_namespace="kube-system"
    ),
}

#: component -> name of its release, where no revision is part of it
RELEASE_NAMES = {"base": "istio-base", "cni": "istio-cni", "istiod": "istiod", "ztunnel": "ztunnel"}

#: chart -> the charts whose releases must be ready before its own
RELEASE_ORDER: dict[str, tuple[str, ...]] = {
    "base": (),
    "cni": ("base",),
    "istiod": ("base",),
    "ztunnel": ("cni", "istiod"),
}


def profile(name: str) -> Profile:
    """The profile of that name.

    :raises MeshopsError: there is none; the text lists the profiles
    """
    if name not in PROFILES:
        hint = did_you_mean(name, PROFILES)
        raise MeshopsError(f"unknown profile {name!r}{hint}: Istio has {', '.join(PROFILES)}")
    return PROFILES[name]


def istiod_release_name(revision: str | None) -> str:
    """The name of the release that holds a revision's istiod."""
    return f"istiod-{revision}" if revision else "istiod"


def tag_release_name(tag: str) -> str:
    """The name of the release that holds a revision tag: of its own, so that moving the tag is one update."""
    return f"istio-tag-{tag}"
