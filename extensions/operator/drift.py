# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Watches the metadata of what the operator has installed for changes.

Helm labels all that it installs, so the server sends only these. A change of the status alone does not count: it
touches no field that a manager owns outside of the status.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
import typing as t

from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN, Kind
from ansible_collections.meshops.istio.plugins.module_utils.cluster.watch import Expired, MetadataWatch
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError

_WATCHED = (
    ("", "ConfigMap"),
    ("", "Service"),
    ("", "ServiceAccount"),
    ("apps", "DaemonSet"),
    ("apps", "Deployment"),
    ("autoscaling", "HorizontalPodAutoscaler"),
    ("networking.k8s.io", "NetworkPolicy"),
    ("policy", "PodDisruptionBudget"),
    ("rbac.authorization.k8s.io", "Role"),
    ("rbac.authorization.k8s.io", "RoleBinding"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
)
#: On OpenShift the chart cni puts one into this namespace; elsewhere there is no such kind.
_NETWORK = (
    Kind("k8s.cni.cncf.io", "v1", "NetworkAttachmentDefinition", "network-attachment-definitions", namespaced=True),
    "default",
)
_LABELS = "app.kubernetes.io/managed-by=Helm"
_PAUSE, _UNSERVED_PAUSE = 5.0, 60.0

log = logging.getLogger("operator.drift")

Release = tuple[str, str]
Changed = t.Callable[[Release, str], None]


def token(meta: t.Mapping[str, t.Any]) -> str:
    """A fingerprint of an object that changes with everything but its status.

    :param meta: its metadata
    """
    fields = [entry for entry in meta.get("managedFields") or () if entry.get("subresource") != "status"]
    parts = [meta.get("uid"), meta.get("generation"), meta.get("labels"), fields, bool(meta.get("deletionTimestamp"))]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def release_of(meta: t.Mapping[str, t.Any]) -> Release | None:
    """Namespace and name of the Helm release that an object belongs to."""
    annotations = meta.get("annotations") or {}
    namespace, name = annotations.get("meta.helm.sh/release-namespace"), annotations.get("meta.helm.sh/release-name")
    return (namespace, name) if namespace and name else None


class Table:
    """The last fingerprints of the objects of one kind in one place; reports what has changed."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[str, Release]] = {}
        self._filled = False

    def replace(self, metas: t.Iterable[t.Mapping[str, t.Any]]) -> list[tuple[Release, str]]:
        """Adds a whole list; returns the releases and names of what has changed since the one before."""
        fresh = {}
        for meta in metas:
            release = release_of(meta)
            if release:
                fresh[meta.get("namespace", ""), meta["name"]] = (token(meta), release)
        changed = []
        if self._filled:
            for place in {*fresh, *self._known}:
                if fresh.get(place) != self._known.get(place):
                    changed.append(((fresh.get(place) or self._known[place])[1], place[1]))
        self._known, self._filled = fresh, True
        return changed

    def event(self, what: str, meta: t.Mapping[str, t.Any]) -> list[tuple[Release, str]]:
        """Adds one event of a watch; returns what has changed, as C(replace) does."""
        place = (meta.get("namespace", ""), meta["name"])
        before = self._known.get(place)
        release = release_of(meta)
        after = (token(meta), release) if release and what != "DELETED" else None
        if after:
            self._known[place] = after
        else:
            self._known.pop(place, None)
        latest = after or before
        return [(latest[1], meta["name"])] if latest and before != after else []


def watch(params: t.Mapping[str, t.Any], namespaces: t.Sequence[str], changed: Changed) -> None:
    """Begins to watch; C(changed) gets the release and the object, from other threads."""
    kinds = [KNOWN[key] for key in _WATCHED]
    places = [(kind, namespace) for kind in kinds for namespace in (namespaces if kind.namespaced else [None])]
    for kind, namespace in [*places, _NETWORK]:
        name = f"watch-{kind.plural}-{namespace or ''}"
        threading.Thread(target=_keep, args=(params, kind, namespace, changed), name=name, daemon=True).start()


def _keep(params: t.Mapping[str, t.Any], kind: Kind, namespace: str | None, changed: Changed) -> None:
    table = Table()
    source = MetadataWatch(params, kind, namespace, _LABELS)
    while True:
        try:
            metas, version = source.list()
            _tell(kind, table.replace(metas), changed)
            for what, meta in source.follow(version):
                _tell(kind, table.event(what, meta), changed)
        except Expired:
            continue
        except (ApiError, MeshopsError) as error:
            if isinstance(error, ApiError) and error.status == 404:
                time.sleep(_UNSERVED_PAUSE)
                continue
            log.warning("watching %s in %s failed: %s", kind.plural, namespace or "the cluster", error)
            time.sleep(_PAUSE)


def _tell(kind: Kind, found: t.Iterable[tuple[Release, str]], changed: Changed) -> None:
    for release, name in found:
        changed(release, f"{kind.kind} {name}")
