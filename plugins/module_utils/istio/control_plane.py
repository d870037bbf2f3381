# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A control plane as a playbook asks for it: checked, planned as one, applied, and proven."""

from __future__ import annotations

import dataclasses
import difflib
import re
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ClusterError
from ..cluster.kinds import KNOWN
from ..helm.helm import Helm
from ..helm.releases import Release
from ..reconcile.selectors import matches
from . import mesh_config
from .installation import reconcile_releases
from .istio_operator import translate
from .profiles import RELEASE_NAMES, desired_releases, tag_release
from .proof import prove
from .release_takeover import release_of

#: Istio's minor version (of 1.x) -> the oldest minor version of Kubernetes 1.x that it is supported on
#: (https://istio.io/latest/docs/releases/supported-releases/; 1.31: MinK8SVersion of istioctl/pkg/install/k8sversion).
_OLDEST_KUBERNETES = {
    20: 25, 21: 26, 22: 27, 23: 27, 24: 28, 25: 29, 26: 29, 27: 29, 28: 30, 29: 31, 30: 32, 31: 32,
}  # fmt: skip

_INJECTORS = KNOWN["admissionregistration.k8s.io", "MutatingWebhookConfiguration"]
_VALIDATORS = KNOWN["admissionregistration.k8s.io", "ValidatingWebhookConfiguration"]
#: What validates objects that name no revision; part of the chart base.
_DEFAULT_VALIDATOR = "istiod-default-validator"
_ENABLED = {"istio-injection": "enabled"}

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
#: Characters of a name: Helm's own have 53 at most, such as istiod-REVISION and istio-tag-TAG.
_ROOM = {"revision": 46, "tag": 43, "namespace": 63}

#: The charts that an inventory pins; the gateway's is for the role gateways.
_CHARTS = (*RELEASE_NAMES, "gateway")
_DIGEST = re.compile("(sha256:)?[0-9a-f]{64}")


class TooOld(ClusterError):
    """A Kubernetes that this Istio doesn't run on."""


class TwoDefaults(ClusterError):
    """Two control planes that the label C(istio-injection=enabled) would mean."""


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
    :ivar held_tags: tags that are to point to it later, and stay where they are for now
    """

    releases: list[Release]
    namespace: str
    revision: str
    tags: list[str]
    warnings: list[str] = dataclasses.field(default_factory=list)
    held_tags: list[str] = dataclasses.field(default_factory=list)

    @property
    def platform(self) -> str:
        """The platform that the charts are told of; empty where they aren't."""
        shared = [(release.values.get("global") or {}).get("platform") for release in self.releases]
        return next(filter(None, shared), "")


def declared_control_plane(variables: t.Mapping[str, t.Any]) -> ControlPlane:
    """As C(desired_control_plane), without what it checks of the mesh configuration and of digests.

    :raises ClusterError: something in them is unknown or contradicts itself
    """
    wanted = _of_document(variables) if variables.get("istio_operator") else _of_profile(variables)
    _check_names(wanted)
    return wanted


def desired_control_plane(
    variables: t.Mapping[str, t.Any], app_version: t.Callable[[Release], str] | None = None
) -> ControlPlane:
    """The control plane that the control_plane role's variables (without their prefix) ask for.

    :param variables: those of C(profiles.desired_releases), or C(istio_operator) with charts, version, hub, tag and
        namespace, and with revision and tags where these agree with the document; C(hold_tags) leaves the tags out
    :param app_version: tells the version of Istio from a release's chart; asked where the variables name no version
    :raises ClusterError: something in them is unknown or contradicts itself
    """
    wanted = declared_control_plane(variables)
    if variables.get("hold_tags"):
        wanted.releases = [release for release in wanted.releases if not release.labels]
        wanted.tags, wanted.held_tags = [], wanted.tags
    for release in wanted.releases:
        if release.values.get("meshConfig") is not None:
            version = variables.get("version") or (app_version(release) if app_version else None)
            mesh_config.check(release.values["meshConfig"], version, "meshConfig")
    digests = checked_digests(variables.get("digests"))
    for release in wanted.releases:
        release.digest = digests.get(release.chart)
    return wanted


def _of_profile(variables: t.Mapping[str, t.Any]) -> ControlPlane:
    revision = "" if variables.get("revision") == "default" else variables.get("revision") or ""
    return ControlPlane(
        desired_releases({**variables, "revision": revision}),
        variables.get("namespace") or "istio-system",
        revision,
        list(variables.get("tags") or []),
    )


def _of_document(variables: t.Mapping[str, t.Any]) -> ControlPlane:
    mixed = [n for n in ("profile", "values", "mesh_config", "cni") if variables.get(n) not in (None, "", {})]
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
        namespace=variables.get("namespace"),
    )
    if given.revision == "default":
        raise ClusterError(
            "the IstioOperator document has the revision default, which is what the control plane without a revision"
            " is called: leave spec.revision out"
        )
    wanted = ControlPlane(given.releases, given.namespace, given.revision, [], given.warnings)
    _add_tags(wanted, variables.get("tags") or [])
    _agree("namespace", variables.get("namespace"), given.namespace, "spec.values.global.istioNamespace")
    _agree("revision", variables.get("revision"), given.revision or "default", "spec.revision")
    _validate_by_default(wanted)
    return wanted


def _agree(name: str, value: t.Any, of_document: t.Any, path: str) -> None:
    """What is said twice is said once more for those who read the variable alone: it must be the same.

    :raises ClusterError: it isn't
    """
    if value and value != of_document:
        raise ClusterError(
            f"{name} is {value}, and the IstioOperator document has {of_document} ({path}): make them the same, or"
            f" leave {name} out"
        )


def _add_tags(wanted: ControlPlane, tags: t.Sequence[str]) -> None:
    """Tags, and those of a document, become releases of their own: so they can move to another revision."""
    istiods = [release for release in wanted.releases if release.chart == "istiod"]
    written = [tag for istiod in istiods for tag in istiod.values.pop("revisionTags", None) or []]
    if written:
        _agree("tags", sorted(tags), sorted(written), "spec.values.revisionTags")
    wanted.tags = list(tags) or written
    if wanted.tags and not istiods:
        raise ClusterError("tags have no effect, because the IstioOperator document installs no istiod: leave them out")
    wanted.releases += [tag_release(tag, istiods[0]) for tag in wanted.tags]


def _check_names(wanted: ControlPlane) -> None:
    """Whether objects can be called after revision, tags and namespace.

    :raises ClusterError: they can't; the text says what would do
    """
    revisions = [("revision", wanted.revision)] if wanted.revision else []
    for what, name in (*revisions, *(("tag", tag) for tag in wanted.tags), ("namespace", wanted.namespace)):
        if not (_NAME.fullmatch(name) and len(name) <= _ROOM[what]):
            better = re.sub("[^a-z0-9]+", "-", name.lower())[: _ROOM[what]].strip("-") or "1-31-0"
            raise ClusterError(
                f"{what} {name!r} can't be part of the names of objects: write up to {_ROOM[what]} small letters,"
                f" digits and dashes between them, such as {better}"
            )
    if wanted.revision in wanted.tags:
        raise ClusterError(
            f"the tag {wanted.revision} is called like the revision: pods would be injected twice. Give it another name"
        )


def checked_digests(digests: t.Mapping[str, t.Any] | None) -> dict[str, str]:
    """Digests by chart.

    :raises ClusterError: a digest would pin nothing, because there is no such chart or it is none
    """
    for chart, digest in (digests or {}).items():
        if chart not in _CHARTS:
            near = difflib.get_close_matches(str(chart), _CHARTS, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise ClusterError(f"digests has no chart {chart!r}{hint}: it has {', '.join(_CHARTS)}")
        if not _DIGEST.fullmatch(str(digest)):
            raise ClusterError(f"digests.{chart} is {digest!r}: write sha256: and 64 digits of 0-9a-f")
    return dict(digests or {})


def _validate_by_default(wanted: ControlPlane) -> None:
    """Validation of objects that name no revision: C(istioctl install) adds it to what a document renders to."""
    for release in wanted.releases:
        if release.chart == "base" and not wanted.revision and not release.values.get("defaultRevision"):
            release.values = {**release.values, "defaultRevision": "default"}


def check_kubernetes(kubernetes: str, istio: str) -> None:
    """Whether a version of Istio runs on a version of Kubernetes.

    An Istio that is newer than the table needs at least what the newest in it does; one that is older passes.

    :raises TooOld: it doesn't
    """
    have, minor = _minor(kubernetes), min(_minor(istio) or 0, max(_OLDEST_KUBERNETES))
    want = _OLDEST_KUBERNETES.get(minor)
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


def check_default_tag(cluster: Cluster, wanted: ControlPlane) -> None:
    """Whether the label C(istio-injection=enabled) will mean one control plane.

    :raises TwoDefaults: it would mean two, the one without a revision and the one that the tag default points to
    """
    if not any(release.chart == "istiod" for release in wanted.releases) or _is_remote(wanted):
        return
    tagged = "default" in (*wanted.tags, *wanted.held_tags)
    if not wanted.revision and not tagged:
        for one in cluster.list(_INJECTORS, labels="istio.io/tag=default,istio.io/rev!=default"):
            revision = one["metadata"]["labels"].get("istio.io/rev")
            raise TwoDefaults(
                f"the tag default points to revision {revision}, so istio-injection=enabled would mean that one and the"
                " control plane without a revision: let the tag point to this one, too, by tags (control_plane_tags)"
                " with default in it"
            )
    if wanted.revision and tagged:
        for one in cluster.list(_INJECTORS, labels="istio.io/rev=default,!istio.io/tag"):
            if any(matches(w.get("namespaceSelector"), _ENABLED) for w in one.get("webhooks") or ()):
                raise TwoDefaults(
                    f"the tag default can't point to revision {wanted.revision} while there is a control plane without"
                    f" a revision: istio-injection=enabled means that one, too (MutatingWebhookConfiguration"
                    f" {one['metadata']['name']}). Bring its namespaces over by another tag or by the revision's own"
                    " name (injection_revision), and add the tag default when it is gone"
                )


def _keep_default_validator(cluster: Cluster, wanted: ControlPlane, hold: bool) -> None:
    """What validates objects that name no revision comes to a new revision together with its tags."""
    base = next((one for one in wanted.releases if one.chart == "base" and one.state == "present"), None)
    live = cluster.get(_VALIDATORS, _DEFAULT_VALIDATOR) if base is not None and wanted.revision else None
    if live is None:
        return
    if hold:
        base.values = {**base.values, "defaultRevision": live["metadata"]["labels"].get("istio.io/rev") or "default"}
    elif not base.values.get("defaultRevision") and release_of(live) == (base.namespace, base.name):
        base.values = {**base.values, "defaultRevision": wanted.revision}


def _minor(version: str) -> int | None:
    numbers = re.match(r"v?1\.(\d+)", version)
    return int(numbers[1]) if numbers else None


def reconcile_control_plane(module: t.Any, cluster: Cluster, helm: Helm) -> dict[str, t.Any]:
    """Checks, plans, applies and proves the control plane that a module's parameters ask for; gives its result.

    :raises ClusterError: a check, the installation or the proof failed; the text says why
    """
    params = module.params
    wanted = desired_control_plane(params, helm.app_version)
    for line in wanted.warnings:
        module.warn(line)
    for release in [release for release in wanted.releases if release.state == "present"][:1]:
        check_kubernetes(cluster.server_version(), helm.app_version(release))
    check_platform(cluster.versions, wanted.releases)
    check_default_tag(cluster, wanted)
    _keep_default_validator(cluster, wanted, params["hold_tags"])
    result = reconcile_releases(module, cluster, helm, wanted.releases)
    result |= {
        "revision": wanted.revision,
        "namespace": wanted.namespace,
        "tags": wanted.tags,
        "platform": wanted.platform,
    }
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
        proof = prove(cluster, wanted.namespace, wanted.revision, wanted.tags)
    except ClusterError as error:
        error.result = result
        raise
    result["warnings"] = [*result.get("warnings", ()), *proof.pop("warnings")]
    result["proof"] = proof


def _is_remote(wanted: ControlPlane) -> bool:
    """Whether istiod runs in another cluster."""
    values = [release.values for release in wanted.releases]
    return any(v.get("profile") == "remote" or (v.get("istiodRemote") or {}).get("enabled") for v in values)
