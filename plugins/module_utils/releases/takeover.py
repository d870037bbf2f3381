# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Objects that exist already and become a release's: installed by istioctl, a kubectl or another release.

Helm has an option for it (--take-ownership), which leaves two things behind: fields that only the old owner knows of,
and the old owner's claim on the others, over which a later server-side apply stumbles. So the fields are handed over to
Helm's own field manager first, and the object is applied under that name as the chart has it; what the chart doesn't
know is removed with that. Helm then finds everything as it should be.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ..cluster.client import Cluster, PatchOptions
from ..cluster.errors import ApiError
from ..errors import MeshopsError
from ..helm.ownership import release_of
from ..helm.releases import Release
from ..reconcile.identity import title
from ..reconcile.managed_fields import handed_over
from ..reconcile.types import K8sObject
from .foreign_fields import HELM_MANAGER, is_installer

_ATTEMPTS = 5
#: The field manager of istioctl and of the legacy operator: nobody else writes under it.
_ISTIOCTL = "istio-operator"


@dataclasses.dataclass(frozen=True)
class Takeover:
    """An object that becomes a release's.

    :ivar live: the object as it is
    :ivar wanted: as it is to be, with the release's marks
    :ivar restarts: whether its pods are recreated
    """

    live: K8sObject
    wanted: K8sObject
    restarts: bool = False


def is_due(live: t.Mapping[str, t.Any], release: Release, *, installed: bool) -> bool:
    """Whether an object has yet to be taken over.

    :param installed: whether Helm has a record of the release; without one nobody knows how far a run got that was cut
    """
    entries = live["metadata"].get("managedFields") or ()
    managers = {entry["manager"] for entry in entries if not entry.get("subresource")}
    return not installed or _ISTIOCTL in managers or release_of(live) != (release.namespace, release.name)


def with_fields_handed_over(live: K8sObject) -> K8sObject:
    """A live object as if Helm had applied what others have installed."""
    fields = handed_over(live, is_installer, HELM_MANAGER)
    return live if fields is None else {**live, "metadata": {**live["metadata"], "managedFields": fields}}


def foreseen(cluster: Cluster, takeover: Takeover, release: Release) -> Takeover:
    """A takeover with what the server says to it: whether the object's pods are recreated.

    :raises MeshopsError: the object cannot be taken over; the text says why
    """
    live, wanted = takeover.live, takeover.wanted
    has, wants = ((o.get("spec") or {}).get("selector") or {} for o in (live, wanted))
    if wanted["kind"] in ("DaemonSet", "Deployment", "StatefulSet") and has != wants:
        raise MeshopsError(
            f"{title(wanted)} selects its pods by {_labels(has)}, and the one of chart {release.chart} by"
            f" {_labels(wants)}; a selector is immutable. Give release {release.name} values by which they agree:"
            " for a gateway, labels with app and istio"
        )
    applied = {e["manager"] for e in live["metadata"].get("managedFields") or () if e.get("operation") == "Apply"}
    try:  # under the old owner's name, what only it knows of is removed here, too
        dry = cluster.apply(
            wanted, force=True, dry_run=True, manager=_ISTIOCTL if _ISTIOCTL in applied else HELM_MANAGER
        )
    except ApiError as error:
        raise MeshopsError(f"{title(wanted)} cannot become part of release {release.name}: {error}") from error
    return dataclasses.replace(takeover, restarts=_template(live) != _template(dry))


def _labels(selector: t.Mapping[str, t.Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in (selector.get("matchLabels") or {}).items())


def _template(obj: t.Mapping[str, t.Any]) -> t.Any:
    return (obj.get("spec") or {}).get("template")


def take_over(cluster: Cluster, takeover: Takeover) -> None:
    """Makes an object the release's.

    The second of two quick writes may begin from a copy in the server's watch cache that the first hasn't reached yet,
    and begin again then. A Service's new node port has been reserved by the first beginning already, and is refused to
    the second ("provided port is already allocated") and to everybody for the next minutes, until the server's repair
    finds that nobody has it (k8s.io/apiserver, registry/store.go: an update's node ports are committed before it is
    stored). So the second write waits for the cache.
    """
    wanted = takeover.wanted
    kind, meta = cluster.kind(wanted["apiVersion"], wanted["kind"]), wanted["metadata"]
    for attempt in range(1, _ATTEMPTS + 1):
        live = cluster.get(kind, meta["name"], meta.get("namespace"))
        fields = handed_over(live, is_installer, HELM_MANAGER) if live else None
        if live is None or fields is None:
            break
        version = live["metadata"]["resourceVersion"]
        patch = [
            {"op": "replace", "path": "/metadata/managedFields", "value": fields},
            {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
        ]
        try:
            patched = cluster.patch(
                kind, meta["name"], patch, meta.get("namespace"), PatchOptions(how="json", manager=HELM_MANAGER)
            )
            cluster.get(kind, meta["name"], meta.get("namespace"), not_before=patched["metadata"]["resourceVersion"])
            break
        except ApiError as error:
            if error.status != 409 or attempt == _ATTEMPTS:  # somebody else wrote in between
                raise
    cluster.apply(wanted, force=True, manager=HELM_MANAGER)
