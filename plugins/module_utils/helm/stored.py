# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Helm has stored about its releases, read straight from the Secrets it keeps them in: no helm process needed.

A record is a Secret sh.helm.release.v1.NAME.vREVISION whose C(release) is base64 of gzip of JSON
(pkg/storage/driver in helm/helm), the same in Helm 3 and Helm 4. A record proves nothing about the objects it names:
whoever may write Secrets in one namespace can write any record there.
"""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
import typing as t

from ..cluster.errors import ApiError
from ..cluster.kinds import KNOWN
from ..errors import MeshopsError
from ..reconcile.types import K8sObject
from .releases import Values

if t.TYPE_CHECKING:
    from ..cluster.client import Cluster

SECRET = KNOWN["", "Secret"]
_CONFIG_MAP = KNOWN["", "ConfigMap"]
PENDING = ("pending-install", "pending-upgrade", "pending-rollback")
#: The label on the record of a revision that was seen ready; its value is the revision.
READY_LABEL = "meshops.istio/ready"
#: The Secret type of a record.
RECORD_TYPE = "helm.sh/release.v1"


class RecordError(MeshopsError):
    """A Secret that claims to be a record of Helm and cannot be read as one."""


@dataclasses.dataclass
class Stored:
    """One revision of a release, as Helm has stored it.

    :ivar namespace: of the Secret
    :ivar status: Helm's own word: C(deployed), C(failed), C(pending-install), C(uninstalling), ...
    :ivar package: the chart, as Helm has stored it
    :ivar apply_method: C(ssa) for server-side apply (Helm 4), else C(csa)
    :ivar modified: when the record was last written, in seconds since 1970
    :ivar labels: of the record
    :ivar annotations: of the record
    :ivar hooks: the chart's hooks, each with C(manifest), C(kind), C(name) and C(events)
    :ivar resource_version: of the Secret; empty where it is not known
    """

    name: str
    namespace: str
    revision: int
    status: str
    manifest: str
    values: Values
    chart: str
    version: str
    description: str
    package: dict[str, t.Any]
    apply_method: str
    modified: int
    labels: dict[str, str]
    annotations: dict[str, str] = dataclasses.field(default_factory=dict)
    hooks: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)
    resource_version: str = ""

    @property
    def record(self) -> str:
        """The name of the Secret."""
        return record_name(self.name, self.revision)

    @property
    def id(self) -> tuple[str, str]:
        """Namespace and name of the release."""
        return self.namespace, self.name

    @property
    def is_pending(self) -> bool:
        """Whether a helm works on this revision, or was killed while it did."""
        return self.status in PENDING

    @property
    def was_ready(self) -> bool:
        """Whether this collection has seen this revision ready. Helm copies labels, so the mark holds the revision."""
        return self.labels.get(READY_LABEL) == str(self.revision)

    @property
    def metadata(self) -> dict[str, t.Any]:
        """The Chart.yaml of the chart: C(sources), C(keywords), C(home), C(appVersion), ..."""
        return self.package.get("metadata") or {}


def record_name(name: str, revision: int) -> str:
    """The name of the Secret that holds a revision of a release."""
    return f"sh.helm.release.v1.{name}.v{revision}"


def decode(secret: t.Mapping[str, t.Any]) -> Stored:
    """A record's Secret as a Stored.

    :raises RecordError: it cannot be read
    """
    meta = secret["metadata"]
    release = _content(secret)
    labels = meta.get("labels") or {}
    info, package = _dict(release.get("info")), _dict(release.get("chart"))
    chart = _dict(package.get("metadata"))
    try:
        return Stored(
            name=str(release["name"]),
            namespace=meta["namespace"],
            revision=int(release.get("version") or 0),
            status=str(info.get("status") or ""),
            manifest=str(release.get("manifest") or ""),
            values=_dict(release.get("config")),
            chart=str(chart.get("name") or ""),
            version=str(chart.get("version") or ""),
            description=str(info.get("description") or ""),
            package=package,
            apply_method=str(release.get("apply_method") or "csa"),
            modified=int(labels.get("modifiedAt") or labels.get("createdAt") or 0),
            labels=labels,
            annotations=meta.get("annotations") or {},
            hooks=[hook for hook in release.get("hooks") or () if isinstance(hook, dict)],
            resource_version=meta.get("resourceVersion") or "",
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(_unreadable(meta)) from error


def encoded(secret: t.Mapping[str, t.Any], manifest: str) -> str:
    """The C(data.release) of a record's Secret with another manifest.

    :raises RecordError: the record cannot be read
    """
    content = json.dumps({**_content(secret), "manifest": manifest}).encode()
    return base64.b64encode(base64.b64encode(gzip.compress(content))).decode()


def _content(secret: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    try:
        blob = base64.b64decode(base64.b64decode(secret["data"]["release"]))
        content = json.loads(gzip.decompress(blob) if blob[:2] == b"\x1f\x8b" else blob)
    except (KeyError, TypeError, ValueError, OSError, EOFError) as error:
        raise RecordError(_unreadable(secret["metadata"])) from error
    if not isinstance(content, dict):
        raise RecordError(_unreadable(secret["metadata"]))
    return content


def _unreadable(meta: t.Mapping[str, t.Any]) -> str:
    return (
        f"Secret {meta.get('namespace')}/{meta['name']} cannot be read as a Helm release. If it is not one, remove its"
        " label owner=helm; if it is, remove the Secret"
    )


def _dict(value: t.Any) -> dict[str, t.Any]:
    return value if isinstance(value, dict) else {}


def stored_releases(cluster: Cluster, releases: t.Iterable[tuple[str, str]]) -> dict[tuple[str, str], list[Stored]]:
    """The records of releases that aren't superseded, newest first; a release that does not exist has no entry.

    :param releases: pairs of namespace and name
    """
    names: dict[str, list[str]] = {}
    for namespace, name in releases:
        names.setdefault(namespace, []).append(name)
    found: dict[tuple[str, str], list[Stored]] = {}
    for namespace, wanted in names.items():
        labels = f"owner=helm,status!=superseded,name in ({','.join(sorted(set(wanted)))})"
        for secret in cluster.list(SECRET, namespace, labels=labels):
            record = decode(secret)
            found.setdefault(record.id, []).append(record)
    for records in found.values():
        records.sort(key=lambda record: -record.revision)
    return found


def labelled_releases(cluster: Cluster, label: str, value: str, namespace: str | None = None) -> list[K8sObject]:
    """The records' Secrets that carry a label and aren't superseded."""
    return cluster.list(SECRET, namespace, labels=f"owner=helm,status!=superseded,{label}={value}")


def history(cluster: Cluster, namespace: str, name: str) -> list[Stored]:
    """Every record of a release, newest first."""
    records = [decode(secret) for secret in cluster.list(SECRET, namespace, labels=f"owner=helm,name={name}")]
    return sorted(records, key=lambda record: -record.revision)


def kept_in_config_maps(cluster: Cluster, releases: t.Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Which of some releases Helm keeps in ConfigMaps (C(HELM_DRIVER=configmap)), by namespace and name."""
    found = set()
    for namespace, name in releases:
        labels = f"owner=helm,name={name},status!=superseded"
        if cluster.list(_CONFIG_MAP, namespace, labels=labels):
            found.add((namespace, name))
    return sorted(found)


def forget(cluster: Cluster, record: Stored) -> None:
    """Removes the record of an interrupted operation, so that Helm continues from the revision before it.

    :raises ApiError: 409, where somebody has written the record since it was read
    """
    body: dict[str, t.Any] = {"propagationPolicy": "Background"}
    if record.resource_version:
        body["preconditions"] = {"resourceVersion": record.resource_version}
    try:
        cluster.request("DELETE", SECRET.path(record.namespace, record.record), body=body)
    except ApiError as error:
        if error.status != 404:
            raise


def label(cluster: Cluster, namespace: str, record: str, labels: t.Mapping[str, str]) -> None:
    """Writes labels on a record."""
    cluster.patch(SECRET, record, {"metadata": {"labels": dict(labels)}}, namespace)


def replace_manifest(cluster: Cluster, record: Stored, manifest: str) -> None:
    """Replaces the manifest in a record.

    :raises ApiError: 409, where somebody has written the record since it was read
    """
    secret = cluster.get(SECRET, record.record, record.namespace)
    if secret is None:
        return
    version = record.resource_version or secret["metadata"]["resourceVersion"]
    patch = {"metadata": {"resourceVersion": version}, "data": {"release": encoded(secret, manifest)}}
    cluster.patch(SECRET, record.record, patch, record.namespace)
