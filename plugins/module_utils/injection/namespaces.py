# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The labels by which namespaces choose injection: which to write, which to remove, and which injector answers."""

from __future__ import annotations

import re
import typing as t

from ..cluster.client import Cluster, PatchOptions
from ..cluster.errors import ApiError
from ..cluster.kinds import KNOWN
from ..errors import MeshopsError
from ..mesh.pods import REVISION, has_proxy, is_live
from ..reconcile.plan import Change
from ..reconcile.selectors import matches
from ..reconcile.types import K8sObject, Labels
from ..reconcile.wording import listed
from .injector import ENABLED

NAMESPACE = KNOWN["", "Namespace"]
WEBHOOKS = KNOWN["admissionregistration.k8s.io", "MutatingWebhookConfiguration"]
#: The field manager of the labels, by which a later run knows that this collection set them.
FIELD_MANAGER = "meshops.istio.injection"
#: Namespaces that Istio's injector never injects into.
_NEVER = ("kube-system", "kube-public", "kube-node-lease", "local-path-storage")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def wanted_labels(revision: str) -> dict[str, str | None]:
    """The labels by which a namespace chooses a revision; None for one that it must not have."""
    return {REVISION: revision, ENABLED: None} if revision else {ENABLED: "enabled", REVISION: None}


def plan_namespaces(cluster: Cluster, names: t.Sequence[str], revision: str) -> list[Change]:
    """The changes of the declared namespaces' labels.

    :raises MeshopsError: a namespace can't have injection
    """
    changes = []
    for name in dict.fromkeys(names):
        if not _NAME.fullmatch(name):
            raise MeshopsError(
                f"{name!r} is not a valid namespace name: use at most 63 lower-case letters, digits and '-', beginning"
                " and ending with a letter or digit"
            )
        if name in _NEVER:
            raise MeshopsError(f"Istio never injects into namespace {name}. Remove it from the list of namespaces")
        live = cluster.get(NAMESPACE, name)
        labels = {} if live is None else live["metadata"].get("labels") or {}
        after = _labelled(name, {**labels, **wanted_labels(revision)})
        if live is None:
            changes.append(Change("create", "v1", "Namespace", None, name, after=after))
        elif after["metadata"]["labels"] != labels:
            changes.append(Change("update", "v1", "Namespace", None, name, before=live, after=after))
        else:
            changes.append(Change("unchanged", "v1", "Namespace", None, name, after=after))
    return changes


def _labelled(name: str, labels: t.Mapping[str, str | None]) -> K8sObject:
    kept = {key: value for key, value in labels.items() if value is not None}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": kept}}


def plan_removals(cluster: Cluster, names: t.Collection[str], revision: str) -> tuple[list[Change], list[str]]:
    """The namespaces that are declared no longer, without their label, and warnings about those that keep it.

    Only a label that this collection set, and that chooses the declared revision, is removed: another inventory may
    declare the namespaces of another revision. A namespace with injected pods keeps its label, because their next
    restart would remove their sidecar.
    """
    chosen = {key: value for key, value in wanted_labels(revision).items() if value is not None}
    ((key, _value),) = chosen.items()
    changes: list[Change] = []
    warnings: list[str] = []
    try:
        namespaces = cluster.list(NAMESPACE)
    except ApiError as error:
        if error.status != 403:
            raise
        return [], [f"Labels of namespaces that are declared no longer were not searched for: {error}"]
    for live in namespaces:
        name, labels = live["metadata"]["name"], live["metadata"].get("labels") or {}
        if name in names or {key: labels.get(key)} != chosen or not _is_ours(live, key):
            continue
        pods = cluster.list(KNOWN["", "Pod"], name)
        injected = [pod["metadata"]["name"] for pod in pods if is_live(pod) and has_proxy(pod)]
        if injected:
            warnings.append(
                f"Namespace {name} is declared no longer, and keeps its label {key}: its pods"
                f" {listed(injected, most=3)} have a sidecar. Delete them, or remove the label yourself and"
                " restart their workloads"
            )
            continue
        after = _labelled(name, {**labels, key: None})
        changes.append(
            Change("update", "v1", "Namespace", None, name, before={**live, "kind": "Namespace"}, after=after)
        )
    return changes, warnings


def _is_ours(namespace: K8sObject, key: str) -> bool:
    """Whether this collection's injection set a label, by the API server's own record of it."""
    return any(
        entry.get("manager") == FIELD_MANAGER
        and f"f:{key}" in (entry.get("fieldsV1") or {}).get("f:metadata", {}).get("f:labels", {})
        for entry in namespace["metadata"].get("managedFields") or ()
    )


def write_labels(cluster: Cluster, change: Change) -> None:
    """Makes a namespace where it is missing, and gives it its labels or removes those that it has too many."""
    after = change.after or {}
    if change.action == "create":
        cluster.create({**after, "metadata": {"name": change.name}})
    if change.action != "unchanged":
        labels = after["metadata"]["labels"]
        patch = {key: labels.get(key) for key in (REVISION, ENABLED)}
        cluster.patch(
            NAMESPACE, change.name, {"metadata": {"labels": patch}}, options=PatchOptions(manager=FIELD_MANAGER)
        )


# -- injectors ----------------------------------------------------------------


def is_served(webhooks: t.Iterable[K8sObject], namespace: str, labels: Labels) -> bool:
    """Whether an injector answers for new pods of a namespace that has these labels."""
    every = {"kubernetes.io/metadata.name": namespace, **labels}
    return any(
        matches(webhook.get("namespaceSelector"), every) and matches(webhook.get("objectSelector"), {})
        for config in webhooks
        for webhook in config.get("webhooks") or ()
    )


def check_served(
    cluster: Cluster, changes: t.Sequence[Change], revision: str, *, check_mode: bool
) -> tuple[bool, list[str]]:
    """Whether an injector serves the declared revision, and warnings; in check mode the same run may install it.

    :raises MeshopsError: none does, so that no pod would get a sidecar
    """
    webhooks = cluster.list(WEBHOOKS, labels="app=sidecar-injector")
    labels = {key: value for key, value in wanted_labels(revision).items() if value is not None}
    if all(is_served(webhooks, change.name, labels) for change in changes):
        return True, []
    known = sorted(
        {
            config["metadata"]["labels"][label]
            for config in webhooks
            for label in (REVISION, "istio.io/tag")
            if label in (config["metadata"].get("labels") or {})
        }
    )
    named = f"revision or tag {revision!r}" if revision else "the default revision"
    text = f"no sidecar injector serves {named}: new pods would get no sidecar"
    if known:
        text += f". This cluster has {listed(known)}: correct the revision, or install it first"
    else:
        text += ". Install a control plane first"
    if not check_mode:
        raise MeshopsError(f"{text}. Nothing was changed")
    return False, [text] if known else []
