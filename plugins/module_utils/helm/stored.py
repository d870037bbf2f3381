# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Helm has stored about its releases, read straight from the Secrets it keeps them in: no helm process needed.

A record is a Secret sh.helm.release.v1.NAME.vREVISION whose C(release) is base64 of gzip of JSON
(pkg/storage/driver in helm/helm), the same in Helm 3 and Helm 4.
"""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
import typing as t

from ..cluster.kinds import KNOWN

if t.TYPE_CHECKING:
    from ..cluster.client import Cluster

_SECRET = KNOWN["", "Secret"]
PENDING = ("pending-install", "pending-upgrade", "pending-rollback")


@dataclasses.dataclass
class Stored:
    """One revision of a release, as Helm has stored it.

    :ivar status: Helm's own word: C(deployed), C(failed), C(pending-install), C(uninstalling), ...
    :ivar package: the chart, as Helm has stored it
    :ivar apply_method: C(ssa) for server-side apply (Helm 4), else C(csa)
    :ivar modified: when the record was last written, in seconds since 1970
    :ivar labels: of the record
    """

    name: str
    namespace: str
    revision: int
    status: str
    manifest: str
    values: dict
    chart: str
    version: str
    description: str
    package: dict
    apply_method: str
    modified: int
    labels: dict[str, str]

    @property
    def record(self) -> str:
        """The name of the Secret."""
        return f"sh.helm.release.v1.{self.name}.v{self.revision}"


def decode(secret: t.Mapping[str, t.Any]) -> Stored:
    """A record's Secret as a Stored."""
    blob = base64.b64decode(base64.b64decode(secret["data"]["release"]))
    release = json.loads(gzip.decompress(blob) if blob[:2] == b"\x1f\x8b" else blob)
    labels = secret["metadata"].get("labels") or {}
    info, package = release.get("info") or {}, release.get("chart") or {}
    chart = package.get("metadata") or {}
    return Stored(
        name=release["name"],
        namespace=secret["metadata"]["namespace"],
        revision=release.get("version", 0),
        status=info.get("status", ""),
        manifest=release.get("manifest") or "",
        values=release.get("config") or {},
        chart=chart.get("name", ""),
        version=chart.get("version", ""),
        description=info.get("description", ""),
        package=package,
        apply_method=release.get("apply_method") or "csa",
        modified=int(labels.get("modifiedAt") or labels.get("createdAt") or 0),
        labels=labels,
    )


def stored_releases(cluster: Cluster, releases: t.Iterable[tuple[str, str]]) -> dict[tuple[str, str], list[Stored]]:
    """The records of releases that aren't superseded, newest first; a release that isn't there has no entry.

    :param releases: pairs of namespace and name
    """
    names: dict[str, list[str]] = {}
    for namespace, name in releases:
        names.setdefault(namespace, []).append(name)
    found: dict[tuple[str, str], list[Stored]] = {}
    for namespace, wanted in names.items():
        labels = f"owner=helm,status!=superseded,name in ({','.join(sorted(set(wanted)))})"
        for secret in cluster.list(_SECRET, namespace, labels=labels):
            record = decode(secret)
            found.setdefault((namespace, record.name), []).append(record)
    for records in found.values():
        records.sort(key=lambda record: -record.revision)
    return found


def forget(cluster: Cluster, record: Stored) -> None:
    """Removes the record of an operation that was cut off, so that Helm begins anew from the revision before."""
    cluster.delete(_SECRET, record.record, record.namespace)
