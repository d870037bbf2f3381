# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the injector makes of a pod, asked of itself: it is given the pod in a dry run.

Where the pod's namespace would refuse it, because its quota is used up or a policy forbids it, it is asked in
another namespace, with the namespace's choice as the pod's own.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError
from ..cluster.kinds import KNOWN
from ..errors import MeshopsError
from ..mesh.pods import REVISION, proxy_container, revision_of
from ..reconcile.types import K8sObject

_NAMESPACE = KNOWN["", "Namespace"]

#: The labels of namespaces and pods that choose injection.
ENABLED = "istio-injection"
INJECT = "sidecar.istio.io/inject"
#: Where an injector never injects (the chart excludes them, and so do clouds).
_NEVER_INJECTED = ("kube-system", "kube-public", "kube-node-lease", "local-path-storage")
#: Namespaces in which a pod is tried at most.
_TRIES = 5
#: The init containers of the injection template, without and with the CNI plugin.
_INIT_CONTAINERS = {"istio-init", "istio-validation"}


class CannotAsk(MeshopsError):
    """The injector can't be asked about a pod; the text says why."""


@dataclasses.dataclass(frozen=True)
class Sidecar:
    """What injection has made of a pod.

    :ivar image: the proxy's image; empty without a proxy
    :ivar revision: the revision that has injected it
    :ivar init_containers: those of Istio's that redirect the traffic, or check that the CNI plugin does
    """

    image: str = ""
    revision: str = ""
    init_containers: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the injector makes of a pod.

    :ivar sidecar: what it adds
    :ivar refusal: why the namespace would refuse the pod all the same; empty where it wouldn't
    """

    sidecar: Sidecar
    refusal: str = ""


def sidecar(pod: t.Mapping[str, t.Any]) -> Sidecar:
    """The sidecar of a pod, which may be a native sidecar, an init container that keeps running."""
    proxy = proxy_container(pod)
    if proxy is None:
        return Sidecar()
    init = {container["name"] for container in pod["spec"].get("initContainers") or ()}
    return Sidecar(proxy["image"], revision_of(pod), frozenset(init & _INIT_CONTAINERS))


def asking_label(revision: str) -> dict[str, str]:
    """The label by which a pod selects a sidecar of a revision."""
    return {REVISION: revision} if revision else {INJECT: "true"}


def asking_namespaces(cluster: Cluster, name: str | None, preferred: t.Sequence[str]) -> list[str]:
    """The namespaces in which a pod can ask for a sidecar: those that leave the choice to the pod, then those that make
    the same choice.

    :param name: the revision or tag that the pod chooses; empty for the default, None for no sidecar
    :param preferred: these come first
    """
    neutral, choosing = [], []
    for namespace in _namespaces(cluster, preferred):
        meta, labels = namespace["metadata"], _labels(namespace)
        if meta["name"] in _NEVER_INJECTED or (namespace.get("status") or {}).get("phase") == "Terminating":
            continue
        if not {REVISION, ENABLED} & set(labels):
            neutral.append(meta["name"])
        elif (name and labels.get(REVISION) == name and ENABLED not in labels) or (
            name in ("", "default") and labels.get(ENABLED) == "enabled"
        ):
            choosing.append(meta["name"])
    return [n for n in preferred if n in neutral] + [n for n in neutral if n not in preferred] + choosing


def _namespaces(cluster: Cluster, known: t.Sequence[str]) -> list[K8sObject]:
    """All namespaces; who may not list them gets those that are known."""
    try:
        return cluster.list(_NAMESPACE)
    except ApiError as error:
        if error.status != 403:
            raise
        return [found for found in (cluster.get(_NAMESPACE, name) for name in known) if found is not None]


def answer(cluster: Cluster, namespace: str, template: t.Mapping[str, t.Any]) -> Answer:
    """What the injector makes of a pod from a template in a namespace.

    :raises CannotAsk: it doesn't answer, or no namespace lets it be asked
    """
    try:
        return Answer(sidecar(_dry_run(cluster, namespace, template)))
    except ApiError as error:
        if not is_refusal(error):
            raise _cannot_ask(namespace, error) from error
        labels = _labels(cluster.get(_NAMESPACE, namespace) or {"metadata": {}})
        try:
            elsewhere = answer_elsewhere(cluster, namespace, template, labels)
        except CannotAsk:
            raise _cannot_ask(namespace, error) from error
        # pods that go make room in the quota for those that come
        return Answer(elsewhere, "" if "exceeded quota" in str(error) else str(error))


def answer_elsewhere(
    cluster: Cluster, namespace: str, template: t.Mapping[str, t.Any], labels: t.Mapping[str, t.Any]
) -> Sidecar:
    """What the injector would make of a pod if its namespace had these labels.

    :raises CannotAsk: it doesn't answer, or no namespace lets it be asked
    """
    meta = template.get("metadata") or {}
    spec = {k: v for k, v in template["spec"].items() if k not in ("serviceAccountName", "serviceAccount")}
    own = _own_choice(meta.get("labels") or {}, labels)
    pod = {"metadata": {**meta, "labels": own}, "spec": spec}
    chosen = own.get(REVISION) or ("" if own.get(INJECT) == "true" else None)
    reason = "all namespaces that could be asked in decide about injection themselves"
    for where in asking_namespaces(cluster, chosen, ("default", "istio-system"))[:_TRIES]:
        try:
            return sidecar(_dry_run(cluster, where, pod))
        except ApiError as error:
            reason = str(error)
    raise _cannot_ask(namespace, reason)


def _own_choice(own: t.Mapping[str, str], namespace: t.Mapping[str, t.Any]) -> dict[str, str]:
    """A pod's labels that choose in a neutral namespace what its own labels and its namespace's choose together."""
    rest = {name: value for name, value in own.items() if name != REVISION}
    if namespace.get(ENABLED):  # goes before a revision
        return {INJECT: "true", **rest} if namespace[ENABLED] == "enabled" else {**rest, INJECT: "false"}
    return {**rest, REVISION: namespace[REVISION]} if namespace.get(REVISION) else dict(own)


def is_refusal(error: ApiError) -> bool:
    """Whether a policy or a quota has refused a pod, and not a webhook that doesn't answer."""
    return 400 <= error.status < 500 and "failed calling webhook" not in str(error)


def _cannot_ask(namespace: str, reason: object) -> CannotAsk:
    return CannotAsk(f"the injector can't be asked about pods in namespace {namespace}: {reason}")


def _labels(obj: t.Mapping[str, t.Any]) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def _dry_run(cluster: Cluster, namespace: str, template: t.Mapping[str, t.Any]) -> K8sObject:
    """What comes of a pod from a template; it is never kept."""
    meta = {k: v for k, v in (template.get("metadata") or {}).items() if k in ("labels", "annotations")}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**meta, "generateName": "injection-", "namespace": namespace},
        "spec": template["spec"],
    }
    return cluster.create(pod, dry_run=True)
