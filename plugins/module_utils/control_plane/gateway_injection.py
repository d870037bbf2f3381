# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether an injector will complete the pods of gateways, whose image is C(auto) until it has."""

from __future__ import annotations

import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError
from ..cluster.kinds import KNOWN
from ..mesh.pods import REVISION, gateway_template, labels_of
from ..reconcile.identity import title
from ..reconcile.types import K8sObject
from ..reconcile.wording import did_you_mean

_INJECTORS = KNOWN["admissionregistration.k8s.io", "MutatingWebhookConfiguration"]
_NAMESPACE = KNOWN["", "Namespace"]
_TAG = "istio.io/tag"
_DEFAULT = "default"


def injection_problems(cluster: Cluster, planned: t.Sequence[K8sObject]) -> list[str]:
    """Why gateways among objects that will be installed would not start: no injector would complete their pods.

    :param planned: all objects of a plan; an injector may be among them
    """
    gateways = [obj for obj in planned if gateway_template(obj)]
    if not gateways:
        return []
    try:
        injectors = [*cluster.list(_INJECTORS, labels=REVISION), *(o for o in planned if o["kind"] == _INJECTORS.kind)]
    except ApiError as error:
        if error.status != 403:
            raise
        return []
    served = {labels_of(injector).get(_TAG) or labels_of(injector).get(REVISION, "") for injector in injectors}
    return [problem for gateway in gateways if (problem := _problem(cluster, gateway, served - {""}))]


def _problem(cluster: Cluster, gateway: K8sObject, served: set[str]) -> str:
    namespace = gateway["metadata"]["namespace"]
    labels = labels_of(_namespace(cluster, namespace))
    injection, auto = labels.get("istio-injection"), f"{title(gateway)}: its image auto is replaced by an injector"
    if injection == "disabled":
        return (
            f"{auto}, and namespace {namespace} forbids injection (label istio-injection=disabled). Remove the label,"
            " or choose another namespace"
        )
    own = labels_of(gateway["spec"]["template"]).get(REVISION)
    chosen = _DEFAULT if injection else labels.get(REVISION) or own or _DEFAULT
    if chosen in served:
        return ""
    by = f"label {REVISION}={chosen} of namespace {namespace}" if chosen != own and chosen != _DEFAULT else "revision"
    known = f"there are {', '.join(sorted(served))}" if served else "no injector exists"
    return (
        f"{auto}, and none serves revision or tag {chosen} (NotFound){did_you_mean(chosen, served)}: {known}. Correct"
        f" the {by}{' (gateways_revision)' if by == 'revision' else ''}, or install that control plane first"
    )


def _namespace(cluster: Cluster, name: str) -> K8sObject:
    try:
        return cluster.get(_NAMESPACE, name) or {"metadata": {}}
    except ApiError as error:
        if error.status != 403:
            raise
        return {"metadata": {}}
