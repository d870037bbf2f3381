# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The marks by which Helm tells which release an object belongs to. Pure."""

from __future__ import annotations

import typing as t

from ..reconcile.types import K8sObject

_NAME, _NAMESPACE = "meta.helm.sh/release-name", "meta.helm.sh/release-namespace"
_MANAGED_BY = ("app.kubernetes.io/managed-by", "Helm")
_KEEP = ("helm.sh/resource-policy", "keep")


class Named(t.Protocol):
    """A release, as far as its marks need it; C(releases.Release) would ship with every module that reads a mark."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def namespace(self) -> str:
        """The namespace in which Helm keeps it."""


def release_of(live: t.Mapping[str, t.Any]) -> tuple[str, str] | None:
    """Namespace and name of the release that an object belongs to, by its annotations; None where it has none."""
    annotations = live["metadata"].get("annotations") or {}
    namespace, name = annotations.get(_NAMESPACE), annotations.get(_NAME)
    return (namespace, name) if namespace and name else None


def is_proven(live: t.Mapping[str, t.Any], namespace: str, name: str) -> bool:
    """Whether a live object carries all of Helm's marks of a release: both annotations and the label."""
    labels = live["metadata"].get("labels") or {}
    return release_of(live) == (namespace, name) and labels.get(_MANAGED_BY[0]) == _MANAGED_BY[1]


def is_kept(obj: t.Mapping[str, t.Any]) -> bool:
    """Whether Helm leaves an object in the cluster when its release drops it (C(helm.sh/resource-policy: keep))."""
    return bool((obj["metadata"].get("annotations") or {}).get(_KEEP[0]) == _KEEP[1])


def in_release(obj: K8sObject, release: Named) -> K8sObject:
    """An object with the marks that Helm gives what it installs."""
    meta = dict(obj["metadata"])
    meta["labels"] = {**(meta.get("labels") or {}), _MANAGED_BY[0]: _MANAGED_BY[1]}
    meta["annotations"] = {**(meta.get("annotations") or {}), _NAME: release.name, _NAMESPACE: release.namespace}
    return {**obj, "metadata": meta}
