# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads and writes IstioOperator objects, their status and their events."""

from __future__ import annotations

import dataclasses
import datetime
import json
import logging
import typing as t

from ansible_collections.meshops.istio.plugins.module_utils.cluster.client import Cluster, PatchOptions
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN, Kind
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.footprint.revision import tags_of, uses_of_revision
from ansible_collections.meshops.istio.plugins.module_utils.mesh.pods import owner_of
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.readiness import unready
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.types import K8sObject

from . import crd
from .documents import LAST_GOOD, LEGACY_LABEL, is_ignored
from .drift import Release, release_of
from .publication import Event
from .status import Outcome, plain, status

ISTIO_OPERATOR = Kind(crd.GROUP, crd.VERSION, crd.KIND, crd.PLURAL, namespaced=True)
_WORKLOADS = (KNOWN["apps", "Deployment"], KNOWN["apps", "DaemonSet"])
#: What can use a revision: by a label, by a sidecar, as a tag, by the label of a pod template.
_USERS = (
    KNOWN["", "Namespace"],
    KNOWN["", "Pod"],
    KNOWN["admissionregistration.k8s.io", "MutatingWebhookConfiguration"],
    KNOWN["apps", "Deployment"],
    KNOWN["apps", "StatefulSet"],
    KNOWN["batch", "CronJob"],
)
_LONGEST_EVENT = 1000

log = logging.getLogger("operator")


def now() -> str:
    """The time, as Kubernetes writes it."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclasses.dataclass(frozen=True)
class Uses:
    """Who uses a revision.

    :ivar tags: names of the revision tags that point at it
    :ivar users: namespaces and proxies, as people call them
    """

    tags: tuple[str, ...] = ()
    users: tuple[str, ...] = ()

    @property
    def all(self) -> list[str]:
        """Tags and users, as people call them."""
        return [*(f"tag {tag}" for tag in self.tags), *self.users]


class Objects:
    """The IstioOperator objects of the watched namespaces.

    :param cluster: the API
    :param watched: namespaces
    :param reporter: the pod's name, for events
    """

    def __init__(self, cluster: Cluster, watched: t.Sequence[str], reporter: str) -> None:
        self.cluster, self._watched, self._reporter = cluster, watched, reporter

    def get(self, namespace: str, name: str) -> K8sObject | None:
        """One object as it is now."""
        found = self.cluster.get(ISTIO_OPERATOR, name, namespace)
        return {**found, "apiVersion": ISTIO_OPERATOR.api_version, "kind": crd.KIND} if found else None

    def all(self) -> list[K8sObject]:
        """All objects that the operator doesn't ignore."""
        found = [obj for name in self._watched for obj in self.cluster.list(ISTIO_OPERATOR, name)]
        return [obj for obj in found if not is_ignored(obj)]

    def remember(self, obj: t.Mapping[str, t.Any]) -> None:
        """Keeps an object's spec as the last good one."""
        meta, spec = obj["metadata"], json.dumps(obj.get("spec") or {}, sort_keys=True)
        if (meta.get("annotations") or {}).get(LAST_GOOD) == spec:
            return
        patch = {"metadata": {"annotations": {LAST_GOOD: spec}}}
        try:
            self.cluster.patch(ISTIO_OPERATOR, meta["name"], patch, meta["namespace"])
        except MeshopsError as error:
            log.warning("writing the last good spec of %s/%s failed: %s", meta["namespace"], meta["name"], error)

    def tell(self, obj: K8sObject, outcome: Outcome) -> K8sObject:
        """Writes the status, where it differs from the previous one; returns the object with the status it has now."""
        wanted = status(obj, outcome, now())
        before = obj.get("status") or {}
        if wanted == before:
            return obj
        cleared = {key: None for key in before if key not in wanted}
        meta, patch = obj["metadata"], {"status": {**cleared, **wanted}}
        try:
            written = self.cluster.patch(
                ISTIO_OPERATOR, meta["name"], patch, meta["namespace"], PatchOptions(subresource="status")
            )
        except MeshopsError as error:
            log.warning("writing the status of %s/%s failed: %s", meta["namespace"], meta["name"], error)
            return obj
        return {**obj, "status": written.get("status") or {}}

    def event(self, obj: t.Mapping[str, t.Any], event: Event) -> None:
        """Posts an Event about an object."""
        meta, at, message = obj["metadata"], now(), plain(event.message, _LONGEST_EVENT)
        posted = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{meta['name']}-", "namespace": meta["namespace"]},
            "involvedObject": {
                "apiVersion": ISTIO_OPERATOR.api_version,
                "kind": crd.KIND,
                "name": meta["name"],
                "namespace": meta["namespace"],
                "uid": meta["uid"],
            },
            "type": "Warning" if event.is_warning else "Normal",
            "reason": event.reason,
            "message": message,
            "source": {"component": "istio-operator", "host": self._reporter},
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
        }
        log.info("%s/%s: %s: %s", meta["namespace"], meta["name"], event.reason, message)
        try:
            self.cluster.create(posted)
        except MeshopsError as error:
            log.warning("posting an Event failed: %s", error)

    # -- what is installed ------------------------------------------------

    def unready(self, releases: t.Collection[Release]) -> dict[Release, str]:
        """Why workloads of releases aren't ready; releases whose workloads are all ready are left out."""
        found: dict[Release, str] = {}
        for kind in _WORKLOADS:
            for namespace in sorted({namespace for namespace, _name in releases}):
                for obj in self.cluster.list(kind, namespace, labels="app.kubernetes.io/managed-by=Helm"):
                    release, reason = release_of(obj["metadata"]), unready(obj)
                    if release and reason and release in releases:
                        found[release] = f"{kind.kind} {obj['metadata']['name']}: {reason}"
        return found

    def has_legacy(self, namespaces: t.Iterable[str]) -> bool:
        """Whether istioctl, or Istio's legacy operator, has installed something that still exists."""
        return any(
            "meta.helm.sh/release-name" not in (obj["metadata"].get("annotations") or {})
            for namespace in namespaces
            for obj in self.cluster.list(KNOWN["apps", "Deployment"], namespace, labels=LEGACY_LABEL)
        )

    def uses(self, revision: str, gateways: t.Collection[Release]) -> Uses:
        """Who still uses a revision, except these gateways."""
        listed: list[K8sObject] = []
        for kind in _USERS:
            for page in self.cluster.pages(kind, page=200):
                for obj in page:
                    owner = owner_of(obj) if kind.kind == "Pod" else None
                    if owner and (obj["metadata"]["namespace"], owner[1]) in gateways:
                        continue
                    if release_of(obj["metadata"]) not in gateways:
                        listed.append(_reduced(kind, obj))
        users = [entry for entry in listed if entry["kind"] != "MutatingWebhookConfiguration"]
        return Uses(tuple(tags_of(listed, revision)), tuple(str(use) for use in uses_of_revision(users, revision)))

    def refusal(self, item: t.Mapping[str, t.Any]) -> str:
        """Why the API server would refuse to let a purge change an object; empty where it would not."""
        try:
            kind = self.cluster.kind(item["api_version"], item["kind"])
            if item["action"] == "delete":
                self.cluster.delete(kind, item["name"], item.get("namespace"), dry_run=True)
            else:
                self.cluster.patch(kind, item["name"], {}, item.get("namespace"), dry_run=True)
        except ApiError as error:
            return "" if error.status in (404, 409) else str(error)
        except MeshopsError:
            return ""  # its kind is no longer served
        return ""

    def control_planes(self) -> set[str]:
        """The revisions of all istiods in the cluster."""
        found = self.cluster.list(KNOWN["apps", "Deployment"], labels="app=istiod")
        return {(obj["metadata"].get("labels") or {}).get("istio.io/rev", "default") for obj in found}


def _reduced(kind: Kind, obj: K8sObject) -> K8sObject:
    """What of an object tells which revision it uses, since a cluster may have many of them."""
    meta = {
        key: obj["metadata"].get(key) for key in ("name", "namespace", "labels", "annotations", "deletionTimestamp")
    }
    reduced: K8sObject = {"kind": kind.kind, "metadata": meta, "status": {}}
    spec = obj.get("spec") or {}
    if kind.kind == "Pod":
        reduced["status"] = {"phase": (obj.get("status") or {}).get("phase")}
    elif kind.kind == "CronJob":
        reduced["spec"] = {"jobTemplate": {"spec": _template_of((spec.get("jobTemplate") or {}).get("spec") or {})}}
    elif "template" in spec:
        reduced["spec"] = _template_of(spec)
    return reduced


def _template_of(spec: t.Mapping[str, t.Any]) -> K8sObject:
    return {"template": {"metadata": (spec.get("template") or {}).get("metadata") or {}}}
