# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a workload's pods are as the injector would make them today.

The injector itself is asked: it gets a pod from the workload's template in a dry run, and its answer is compared to the
pods that run. Compared are the proxy's image, its revision, and which init containers redirect the traffic
(C(istio-init), or C(istio-validation) with the CNI plugin).
"""

from __future__ import annotations

import dataclasses
import enum
import typing as t

from ..cluster.client import Cluster
from ..cluster.kinds import KNOWN
from ..cluster.workloads import WORKLOADS, new_pods, selector
from ..errors import MeshopsError
from ..mesh.pods import is_live, owner_of
from ..reconcile.identity import title
from ..reconcile.plan import Change
from ..reconcile.types import K8sObject
from .injector import INJECT, Answer, CannotAsk, Sidecar, answer, answer_elsewhere, sidecar
from .namespaces import WEBHOOKS, wanted_labels

_POD = KNOWN["", "Pod"]


class Reason(enum.Enum):
    """Why a workload has to be restarted."""

    NO_SIDECAR = "no_sidecar"
    UNWANTED_SIDECAR = "unwanted_sidecar"
    OTHER_REVISION = "other_revision"
    OTHER_VERSION = "other_version"
    OTHER_IMAGE = "other_image"
    OTHER_INIT_CONTAINERS = "other_init_containers"
    REQUESTED = "requested"


@dataclasses.dataclass(frozen=True)
class Stale:
    """Why a pod isn't as the injector would make it today.

    :ivar text: the sentence that is shown
    """

    reason: Reason
    text: str

    def __str__(self) -> str:
        return self.text


REQUESTED = Stale(Reason.REQUESTED, "all were to be restarted")


@dataclasses.dataclass(frozen=True)
class Question:
    """How the injector is asked about the workloads of a namespace.

    :ivar change: the change of the namespace's labels; in check mode it isn't written
    :ivar revision: the declared revision or tag
    :ivar served: whether an injector serves it; in check mode the same run may install one
    """

    change: Change
    revision: str
    check_mode: bool = False
    served: bool = True


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What the pods of a workload lack.

    :ivar stale: why the workload has to be restarted
    :ivar unfinished: why a roll-out has not reached all pods: an older pod keeps serving that isn't as it should be
    """

    stale: Stale | None = None
    unfinished: Stale | None = None


def workloads(cluster: Cluster, namespace: str) -> list[K8sObject]:
    """The workloads of a namespace that have pods."""
    every = [obj for kind in WORKLOADS for obj in cluster.list(KNOWN["apps", kind], namespace)]
    return [obj for obj in every if obj["kind"] == "DaemonSet" or obj["spec"].get("replicas", 1) > 0]


def judge(cluster: Cluster, workload: K8sObject, question: Question) -> Judgement:
    """Compares a workload's pods with the injector's answer.

    :raises MeshopsError: the injector can't be asked, or a restart is due and the new pods would be refused
    """
    template = workload["spec"]["template"]
    asked = _asked(cluster, workload["metadata"]["namespace"], template, question)
    wanted = asked.sidecar if asked else None
    of_workload = cluster.list(_POD, workload["metadata"]["namespace"], labels=selector(workload))
    every = [pod for pod in of_workload if is_live(pod)]
    judged = every if keeps_pods(workload) else new_pods(cluster, workload, workload["kind"])
    stale = _difference(judged, wanted, template, question)
    if stale and asked and asked.refusal:
        raise MeshopsError(
            f"{title(workload)} must be restarted, because {stale}, and its new pods would be refused:"
            f" {asked.refusal}. Nothing was restarted"
        )
    unfinished = None if stale else _difference(every, wanted, template, question)
    return Judgement(stale, unfinished)


def stale_reason(cluster: Cluster, workload: K8sObject, question: Question) -> Stale | None:
    """Why a workload's pods aren't as the injector would make them; None where they are.

    :raises MeshopsError: the injector can't be asked, or a restart is due and the new pods would be refused
    """
    return judge(cluster, workload, question).stale


def _asked(cluster: Cluster, namespace: str, template: K8sObject, question: Question) -> Answer | None:
    """What the injector makes of a workload's pods; None where there is none to ask yet, in check mode.

    :raises MeshopsError: it can't be asked
    """
    try:
        if not question.check_mode:
            return answer(cluster, namespace, template)
        if not question.served or not cluster.list(WEBHOOKS, labels="app=sidecar-injector"):
            return None
        if question.change.action == "unchanged":
            return answer(cluster, namespace, template)
        labels = {key: value for key, value in wanted_labels(question.revision).items() if value is not None}
        return Answer(answer_elsewhere(cluster, namespace, template, labels))
    except CannotAsk as error:
        if not question.check_mode:
            raise MeshopsError(f"{error}. Nothing was restarted") from None
        return None  # a control plane that the run will repair


def keeps_pods(workload: t.Mapping[str, t.Any]) -> str:
    """Why a restart replaces none of a workload's pods, and what does; empty where it replaces them."""
    if workload["spec"].get("paused"):
        return "its rollout is paused: resume it, and run this again"
    if (workload["spec"].get("updateStrategy") or {}).get("type") == "OnDelete":
        return "its update strategy is OnDelete: delete its pods"
    return ""


def not_restarted(workload: K8sObject, stale: Stale) -> str:
    """The warning about a workload that has to be restarted, and whose pods a restart doesn't replace."""
    return f"{title(workload)} was not restarted, though {stale}: {keeps_pods(workload)}"


def _difference(
    pods: t.Iterable[K8sObject], wanted: Sidecar | None, template: t.Mapping[str, t.Any], question: Question
) -> Stale | None:
    """In what the first pod that isn't as it should be differs.

    :param wanted: what the injector would add; None where it can't be asked yet
    """
    for pod in pods:
        stale = _unasked(pod, template, question) if wanted is None else compare(pod, wanted)
        if stale:
            return stale
    return None


def _unasked(pod: K8sObject, template: t.Mapping[str, t.Any], question: Question) -> Stale | None:
    """What is certain of a pod while no injector of the declared revision can be asked."""
    has, name = sidecar(pod), pod["metadata"]["name"]
    if not has.image:
        return None if _opted_out(template) else Stale(Reason.NO_SIDECAR, f"pod {name} has no sidecar")
    if not question.served and question.change.action == "update":
        other = f"the sidecar of pod {name} is of revision {has.revision or 'unknown'}, not {question.revision}"
        return Stale(Reason.OTHER_REVISION, other)
    return None


def compare(pod: K8sObject, wanted: Sidecar) -> Stale | None:
    """In what a pod differs from what the injector would make of it."""
    has, name = sidecar(pod), pod["metadata"]["name"]
    if has == wanted:
        return None
    if not has.image:
        return Stale(Reason.NO_SIDECAR, f"pod {name} has no sidecar")
    if not wanted.image:
        return Stale(Reason.UNWANTED_SIDECAR, f"pod {name} has a sidecar, and should have none")
    if has.revision != wanted.revision:
        other = f"the sidecar of pod {name} is of revision {has.revision or 'unknown'}, not {wanted.revision}"
        return Stale(Reason.OTHER_REVISION, other)
    if has.image != wanted.image:
        return Stale(Reason.OTHER_IMAGE, f"the sidecar of pod {name} is {has.image}, not {wanted.image}")
    return Stale(
        Reason.OTHER_INIT_CONTAINERS,
        f"pod {name} has the init container {_listed(has)} of Istio, and would have {_listed(wanted)}",
    )


def _listed(of: Sidecar) -> str:
    return ", ".join(sorted(of.init_containers)) or "none"


def _opted_out(template: t.Mapping[str, t.Any]) -> bool:
    """Whether no injector would give a template's pods a sidecar."""
    meta = template.get("metadata") or {}
    choice = {**(meta.get("annotations") or {}), **(meta.get("labels") or {})}.get(INJECT, "")
    return template["spec"].get("hostNetwork", False) or str(choice).lower() == "false"


# -- pods that no restart replaces --------------------------------------------


def unreachable_pods(cluster: Cluster, namespace: str, question: Question) -> list[str]:
    """Warnings about pods that aren't as they should be, and that no restart of a workload replaces.

    These are bare pods, and those of Jobs, plain ReplicaSets, Argo Rollouts and other controllers.
    """
    owners: dict[str, list[K8sObject]] = {}
    for pod in cluster.list(_POD, namespace):
        owner = owner_of(pod)
        if is_live(pod) and (owner is None or owner.kind not in WORKLOADS):
            owners.setdefault(f"{owner.kind} {namespace}/{owner.name}" if owner else "", []).append(pod)
    warnings = []
    for owner_title, pods in sorted(owners.items()):
        for group in [[pod] for pod in pods] if not owner_title else [pods]:
            asked = _asked(cluster, namespace, _template_of(group[0]), question)
            wanted = asked.sidecar if asked else None
            stale = [pod for pod in group if _difference([pod], wanted, _template_of(pod), question)]
            if stale:
                first = _difference(stale[:1], wanted, _template_of(stale[0]), question)
                warnings.append(_unreachable(owner_title, stale, str(first)))
    return warnings


def _unreachable(owner_title: str, pods: t.Sequence[K8sObject], stale: str) -> str:
    if not owner_title:
        name = f"Pod {pods[0]['metadata']['namespace']}/{pods[0]['metadata']['name']}"
        return f"{name} was not restarted, though {stale}: no workload owns it. Delete it and create it again"
    more = f" (and {len(pods) - 1} more of its pods)" if len(pods) > 1 else ""
    return (
        f"{owner_title} was not restarted, though {stale}{more}: only Deployments, StatefulSets and DaemonSets are"
        " restarted. Restart it by its own means, or delete its pods"
    )


def _template_of(pod: K8sObject) -> K8sObject:
    """A template from which the injector would make a pod's sidecar as it made the pod's own."""
    meta, spec = pod["metadata"], pod["spec"]
    annotations = {
        key: value
        for key, value in (meta.get("annotations") or {}).items()
        if key not in ("sidecar.istio.io/status", "istio.io/rev")
    }
    own = [
        {"name": container["name"], "image": container.get("image", "")}
        for container in spec.get("containers") or ()
        if not container["name"].startswith("istio-")
    ]
    return {
        "metadata": {"labels": dict(meta.get("labels") or {}), "annotations": annotations},
        "spec": {"hostNetwork": spec.get("hostNetwork", False), "containers": own},
    }
