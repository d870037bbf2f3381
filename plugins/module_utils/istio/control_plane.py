# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A control plane as a playbook asks for it: checked, planned as one, applied, and proven."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ClusterError
from ..helm.helm import Helm
from ..helm.releases import Release
from . import mesh_config
from .installation import reconcile_releases
from .istio_operator import translate
from .profiles import desired_releases
from .proof import prove

#: Istio's minor version (of 1.x) -> the oldest minor version of Kubernetes 1.x that it runs on
#: (MinK8SVersion in istioctl/pkg/install/k8sversion of that release).
_OLDEST_KUBERNETES = {31: 32}


class TooOld(ClusterError):
    """A Kubernetes that this Istio doesn't run on."""


class WrongPlatform(ClusterError):
    """A cluster that isn't of the platform that the control plane is for."""


@dataclasses.dataclass
class ControlPlane:
    """What a playbook asks for, in full.

    :ivar releases: its releases, in their order
    :ivar namespace: where istiod runs
    :ivar revision: empty where it has none
    :ivar tags: revision tags that point to it
    :ivar warnings: what was asked for and has no effect
    """

    releases: list[Release]
    namespace: str
    revision: str
    tags: list[str]
    warnings: list[str] = dataclasses.field(default_factory=list)


def desired_control_plane(variables: t.Mapping[str, t.Any]) -> ControlPlane:
    """The control plane that the control_plane role's variables (without their prefix) ask for.

    :param variables: those of C(profiles.desired_releases), or C(istio_operator) with charts, version, hub and tag
    :raises ClusterError: something in them is unknown or contradicts itself
    """
    if variables.get("istio_operator"):
        mixed = [n for n in ("profile", "revision", "tags", "values", "mesh_config", "cni") if variables.get(n)]
        if mixed:
            raise ClusterError(
                f"{', '.join(mixed)} can't be given beside istio_operator: write them into the IstioOperator document"
            )
        given = translate(
            variables["istio_operator"],
            charts=variables.get("charts"),
            version=variables.get("version"),
            hub=variables.get("hub"),
            tag=variables.get("tag"),
        )
        wanted = ControlPlane(given.releases, given.namespace, given.revision, [], given.warnings)
        _validate_by_default(wanted)
    else:
        wanted = ControlPlane(
            desired_releases(variables),
            variables.get("namespace") or "istio-system",
            variables.get("revision") or "",
            list(variables.get("tags") or []),
        )
    for release in wanted.releases:
        if release.values.get("meshConfig") is not None:
            mesh_config.check(release.values["meshConfig"], variables.get("version"), "meshConfig")
    digests = variables.get("digests") or {}
    for release in wanted.releases:
        release.digest = digests.get(release.chart)
    return wanted


def _validate_by_default(wanted: ControlPlane) -> None:
    """Validation of objects that name no revision: C(istioctl install) adds it to what a document renders to."""
    for release in wanted.releases:
        if release.chart == "base" and not wanted.revision and not release.values.get("defaultRevision"):
            release.values = {**release.values, "defaultRevision": "default"}


def check_kubernetes(kubernetes: str, istio: str) -> None:
    """Whether a version of Istio runs on a version of Kubernetes; unknown versions pass.

    :raises TooOld: it doesn't
    """
    have, want = _minor(kubernetes), _OLDEST_KUBERNETES.get(_minor(istio) or 0)
    if have is not None and want is not None and have < want:
        raise TooOld(
            f"the cluster runs Kubernetes {kubernetes}, and Istio {istio} needs 1.{want} or newer:"
            " upgrade the cluster, or install an older Istio (version)"
        )


def check_platform(served: t.Callable[[str], t.Any], releases: t.Iterable[Release]) -> None:
    """Whether the cluster is of the platform that the charts are told of.

    :param served: tells of an API group whether the cluster has it
    :raises WrongPlatform: it isn't; the text says what is missing
    """
    for release in releases:
        values = release.values
        if release.state != "present" or (values.get("global") or {}).get("platform") != "openshift":
            continue
        if not served("security.openshift.io"):
            raise WrongPlatform(
                "the platform is to be openshift, and this cluster has no API of security.openshift.io: choose another"
                " profile (or global.platform), unless the wrong cluster was named"
            )
        if release.chart == "cni" and values.get("provider", "multus") == "multus" and not served("k8s.cni.cncf.io"):
            raise WrongPlatform(
                "Istio's CNI plugin is run by Multus on OpenShift, and this cluster has no API of k8s.cni.cncf.io:"
                " enable Multus, or set cni to false"
            )


def _minor(version: str) -> int | None:
    numbers = re.match(r"v?1\.(\d+)", version)
    return int(numbers[1]) if numbers else None


def reconcile_control_plane(module: t.Any, cluster: Cluster, helm: Helm) -> dict[str, t.Any]:
    """Checks, plans, applies and proves the control plane that a module's parameters ask for; gives its result.

    :raises ClusterError: a check, the installation or the proof failed; the text says why
    """
    params = module.params
    wanted = desired_control_plane(params)
    for line in wanted.warnings:
        module.warn(line)
    for release in [release for release in wanted.releases if release.state == "present"][:1]:
        check_kubernetes(cluster.server_version(), helm.app_version(release))
    check_platform(cluster.versions, wanted.releases)
    result = reconcile_releases(module, cluster, helm, wanted.releases)
    if params["prove"] and not module.check_mode:
        add_proof(cluster, wanted, params["wait"], result)
    return result


def add_proof(cluster: Cluster, wanted: ControlPlane, waited: bool, result: dict[str, t.Any]) -> None:
    """Adds what the control plane has shown of itself, where it runs here and was waited for.

    :raises NotProven: it doesn't do what it should
    """
    serves = any(release.chart == "istiod" and not release.labels for release in wanted.releases)
    if not waited or not serves or _is_remote(wanted):
        return
    try:
        result["proof"] = prove(cluster, wanted.namespace, wanted.revision, wanted.tags)
    except ClusterError as error:
        error.result = result
        raise


def _is_remote(wanted: ControlPlane) -> bool:
    """Whether istiod runs in another cluster."""
    values = [release.values for release in wanted.releases]
    return any(v.get("profile") == "remote" or (v.get("istiodRemote") or {}).get("enabled") for v in values)
