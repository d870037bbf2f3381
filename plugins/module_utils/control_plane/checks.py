# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is checked of the cluster and the declared control plane before anything is planned."""

from __future__ import annotations

import re
import typing as t

from ..cluster.client import Cluster
from ..cluster.kinds import KNOWN
from ..errors import MeshopsError
from ..helm.releases import Release
from ..reconcile.selectors import matches
from .declared import ControlPlane

#: Istio's minor version (of 1.x) -> the oldest minor version of Kubernetes 1.x that it is supported on
#: (https://istio.io/latest/docs/releases/supported-releases/; 1.31: MinK8SVersion of istioctl/pkg/install/k8sversion).
_OLDEST_KUBERNETES = {
    20: 25, 21: 26, 22: 27, 23: 27, 24: 28, 25: 29, 26: 29, 27: 29, 28: 30, 29: 31, 30: 32, 31: 32,
}  # fmt: skip

_INJECTORS = KNOWN["admissionregistration.k8s.io", "MutatingWebhookConfiguration"]
_ENABLED = {"istio-injection": "enabled"}


def check_kubernetes(kubernetes: str, istio: str) -> None:
    """Whether a version of Istio runs on a version of Kubernetes.

    An Istio that is newer than the table needs at least what the newest in it does; one that is older passes.

    :raises MeshopsError: it doesn't
    """
    have, minor = _minor(kubernetes), min(_minor(istio) or 0, max(_OLDEST_KUBERNETES))
    want = _OLDEST_KUBERNETES.get(minor)
    if have is not None and want is not None and have < want:
        raise MeshopsError(
            f"the cluster runs Kubernetes {kubernetes}, and Istio {istio} needs 1.{want} or newer:"
            " upgrade the cluster, or install an older Istio (version)"
        )


def check_platform(served: t.Callable[[str], t.Any], releases: t.Iterable[Release]) -> None:
    """Checks that the cluster is of the platform in the charts' values.

    :param served: whether the cluster has an API group
    :raises MeshopsError: it isn't; the text says what is missing
    """
    for release in releases:
        values = release.values
        if release.state != "present" or (values.get("global") or {}).get("platform") != "openshift":
            continue
        if not served("security.openshift.io"):
            raise MeshopsError(
                "the platform is to be openshift, and this cluster has no API of security.openshift.io: choose another"
                " profile (or global.platform), unless the wrong cluster was named"
            )
        if release.chart == "cni" and values.get("provider", "multus") == "multus" and not served("k8s.cni.cncf.io"):
            raise MeshopsError(
                "Istio's CNI plugin is run by Multus on OpenShift, and this cluster has no API of k8s.cni.cncf.io:"
                " enable Multus, or set cni to false"
            )


def check_default_tag(cluster: Cluster, wanted: ControlPlane) -> None:
    """Whether the label C(istio-injection=enabled) will mean one control plane.

    :raises MeshopsError: it would mean two, the one without a revision and the one that the tag default points to
    """
    if not any(release.chart == "istiod" for release in wanted.releases) or is_remote(wanted):
        return
    tagged = "default" in (*wanted.tags, *wanted.held_tags)
    if not wanted.revision and not tagged:
        for one in cluster.list(_INJECTORS, labels="istio.io/tag=default,istio.io/rev!=default"):
            revision = one["metadata"]["labels"].get("istio.io/rev")
            raise MeshopsError(
                f"the tag default points to revision {revision}, so istio-injection=enabled would mean that one and the"
                " control plane without a revision: let the tag point to this one, too, by tags (control_plane_tags)"
                " with default in it"
            )
    if wanted.revision and tagged:
        for one in cluster.list(_INJECTORS, labels="istio.io/rev=default,!istio.io/tag"):
            if any(matches(w.get("namespaceSelector"), _ENABLED) for w in one.get("webhooks") or ()):
                raise MeshopsError(
                    f"the tag default can't point to revision {wanted.revision} while there is a control plane without"
                    f" a revision: istio-injection=enabled means that one, too (MutatingWebhookConfiguration"
                    f" {one['metadata']['name']}). Bring its namespaces over by another tag or by the revision's own"
                    " name (injection_revision), and add the tag default when it is gone"
                )


def _minor(version: str) -> int | None:
    numbers = re.match(r"v?1\.(\d+)", version)
    return int(numbers[1]) if numbers else None


def is_remote(wanted: ControlPlane) -> bool:
    """Whether istiod runs in another cluster."""
    values = [release.values for release in wanted.releases]
    return any(v.get("profile") == "remote" or (v.get("istiodRemote") or {}).get("enabled") for v in values)
