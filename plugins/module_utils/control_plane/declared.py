# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The releases of a declared control plane, from a profile or an IstioOperator document."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ..errors import MeshopsError
from ..helm.releases import Release
from ..istio_operator.translate import TranslateOptions, translate
from ..mesh import mesh_config
from ..mesh.profiles import RELEASE_NAMES
from ..mesh.schema import is_newer, schema_for, value_typos
from ..reconcile.wording import did_you_mean
from .from_profile import desired_releases, tag_release
from .options import ControlPlaneOptions

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
#: Characters of a name: Helm's own have 53 at most, such as istiod-REVISION and istio-tag-TAG.
_ROOM = {"revision": 46, "tag": 43, "namespace": 63}

#: The charts that an inventory pins; the gateway's is for the role gateways.
_CHARTS = (*RELEASE_NAMES, "gateway")
_DIGEST = re.compile("(sha256:)?[0-9a-f]{64}")
#: Gives the version of Istio that a release's chart installs.
AppVersion = t.Callable[[Release], str]


@dataclasses.dataclass
class ControlPlane:
    """A declared control plane, in full.

    :ivar releases: its releases, in their order
    :ivar namespace: where istiod runs
    :ivar revision: empty where it has none
    :ivar tags: revision tags that point to it
    :ivar warnings: options that have no effect
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
        """The platform in the charts' values; empty where there is none."""
        shared = [(release.values.get("global") or {}).get("platform") for release in self.releases]
        return next(filter(None, shared), "")


def declared_control_plane(params: t.Mapping[str, t.Any]) -> ControlPlane:
    """As C(desired_control_plane), without what it checks of the mesh configuration, of values and of digests.

    :raises MeshopsError: an option is unknown or contradicts another
    """
    return _declared(ControlPlaneOptions.of(params))


def _declared(options: ControlPlaneOptions, app_version: AppVersion | None = None) -> ControlPlane:
    wanted = _of_document(options, app_version) if options.istio_operator else _of_profile(options)
    _check_names(wanted)
    return wanted


def desired_control_plane(params: t.Mapping[str, t.Any], app_version: AppVersion | None = None) -> ControlPlane:
    """The control plane that the options of the role control_plane declare.

    :param params: a module's parameters, see C(ControlPlaneOptions)
    :param app_version: the version of Istio that a release's chart installs; asked where the options name no version
    :raises MeshopsError: an option is unknown or contradicts another
    """
    options = ControlPlaneOptions.of(params)
    wanted = _declared(options, app_version)
    if options.hold_tags:
        wanted.releases = [release for release in wanted.releases if not release.labels]
        wanted.tags, wanted.held_tags = [], wanted.tags
    for release in wanted.releases:
        if release.labels or release.state != "present":  # a tag's release has the values of its istiod
            continue
        version = options.version
        if release.values.get("meshConfig") is not None and not options.istio_operator:
            version = version or (app_version(release) if app_version else None)
            mesh_config.check(release.values["meshConfig"], version, "meshConfig")
        _check_values(options.values.get(release.chart) or {}, release.chart, version)
    digests = checked_digests(options.digests)
    for release in wanted.releases:
        release.digest = digests.get(release.chart)
    return wanted


def _check_values(values: t.Mapping[str, t.Any], chart: str, version: str | None) -> None:
    """Whether values are spelt as the chart knows them; of a newer Istio's charts nothing is known.

    :raises MeshopsError: a name is nearly one that the chart knows
    """
    problems = [] if is_newer(version) else value_typos(chart, values, f"values.{chart}", schema_for(version))
    if problems:
        raise MeshopsError("; ".join(map(str, problems)))


def _of_profile(options: ControlPlaneOptions) -> ControlPlane:
    if options.revision == "default":
        options = dataclasses.replace(options, revision="")
    return ControlPlane(desired_releases(options), options.home, options.revision, list(options.tags))


def _of_document(options: ControlPlaneOptions, app_version: AppVersion | None) -> ControlPlane:
    default = ControlPlaneOptions()
    names = ("profile", "values", "mesh_config", "cni")
    mixed = [name for name in names if getattr(options, name) not in (getattr(default, name), "")]
    if mixed:
        raise MeshopsError(
            f"{', '.join(mixed)} can't be given beside istio_operator: write them into the IstioOperator document"
        )
    istiod = Release(RELEASE_NAMES["istiod"], "istiod", options.home, charts=options.charts)
    given = translate(
        options.istio_operator,
        TranslateOptions(
            charts=options.charts,
            version=options.version,
            istio=options.version or (app_version(istiod) if app_version else None),
            hub=options.hub,
            tag=options.tag,
            namespace=options.namespace or None,
        ),
    )
    if given.revision == "default":
        raise MeshopsError(
            "the IstioOperator document has the revision default, which is what the control plane without a revision"
            " is called: leave spec.revision out"
        )
    wanted = ControlPlane(given.releases, given.namespace, given.revision, [], given.warnings)
    _add_tags(wanted, options.tags)
    _agree("namespace", options.namespace, given.namespace, "spec.values.global.istioNamespace")
    _agree("revision", options.revision, given.revision or "default", "spec.revision")
    _validate_by_default(wanted)
    return wanted


def _agree(name: str, value: t.Any, of_document: t.Any, path: str) -> None:
    """Checks that an option that is also in the document has the document's value.

    :raises MeshopsError: it has another one
    """
    if value and value != of_document:
        raise MeshopsError(
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
        raise MeshopsError("tags have no effect, because the IstioOperator document installs no istiod: leave them out")
    wanted.releases += [tag_release(tag, istiods[0]) for tag in wanted.tags]


def _check_names(wanted: ControlPlane) -> None:
    """Whether objects can be called after revision, tags and namespace.

    :raises MeshopsError: they can't; the text says what would do
    """
    revisions = [("revision", wanted.revision)] if wanted.revision else []
    for what, name in (*revisions, *(("tag", tag) for tag in wanted.tags), ("namespace", wanted.namespace)):
        if not (_NAME.fullmatch(name) and len(name) <= _ROOM[what]):
            better = re.sub("[^a-z0-9]+", "-", name.lower())[: _ROOM[what]].strip("-") or "1-31-0"
            raise MeshopsError(
                f"{what} {name!r} can't be part of the names of objects: write up to {_ROOM[what]} small letters,"
                f" digits and dashes between them, such as {better}"
            )
    if wanted.revision in wanted.tags:
        raise MeshopsError(
            f"the tag {wanted.revision} is called like the revision: pods would be injected twice. Give it another name"
        )


def checked_digests(digests: t.Mapping[str, t.Any] | None) -> dict[str, str]:
    """Digests by chart.

    :raises MeshopsError: a digest would pin nothing, because the chart is unknown or the digest invalid
    """
    for chart, digest in (digests or {}).items():
        if chart not in _CHARTS:
            hint = did_you_mean(str(chart), _CHARTS)
            raise MeshopsError(f"digests has no chart {chart!r}{hint}: it has {', '.join(_CHARTS)}")
        if not _DIGEST.fullmatch(str(digest)):
            raise MeshopsError(f"digests.{chart} is {digest!r}: write sha256: and 64 digits of 0-9a-f")
    return dict(digests or {})


def _validate_by_default(wanted: ControlPlane) -> None:
    """Validation of objects that name no revision: C(istioctl install) adds it to what a document renders to."""
    for release in wanted.releases:
        if release.chart == "base" and not wanted.revision and not release.values.get("defaultRevision"):
            release.values = {**release.values, "defaultRevision": "default"}
