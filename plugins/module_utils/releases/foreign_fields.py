# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fields of releases' objects that others rightly own, and that are left to them."""

from __future__ import annotations

import copy
import typing as t

from ..cluster.client import FIELD_MANAGER, Cluster
from ..cluster.kinds import KNOWN
from ..reconcile.identity import title
from ..reconcile.managed_fields import owners

#: The field manager of Helm 4, and of Helm 3's requests.
HELM_MANAGER = "helm"

#: Field managers of programs that install at somebody's command, and that may leave what they own to Helm.
_INSTALLERS = ("istio-operator", "istioctl", HELM_MANAGER)


def without_foreign(
    wanted: dict, live: dict, kept: list[str], is_autoscaled: t.Callable[[dict], bool] = lambda obj: False
) -> dict:
    """A wanted object without the fields that others rightly own, where those have another value by now.

    That are: a webhook's caBundle, and its failurePolicy once istiod has switched it; replicas under a
    HorizontalPodAutoscaler; selectors that a controller has written, as some clouds' and rollouts' do.

    :param kept: gets a line for each such field, with the manager that owns it
    :param is_autoscaled: whether a HorizontalPodAutoscaler has a workload in hand
    """
    result = wanted
    if wanted["kind"] in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        result = copy.deepcopy(wanted)
        there = {w["name"]: w for w in live.get("webhooks") or ()}
        for webhook in result.get("webhooks") or ():
            other = there.get(webhook["name"], {})
            client, other_client = webhook.get("clientConfig") or {}, other.get("clientConfig") or {}
            if other_client.get("caBundle") and client.get("caBundle", "") != other_client["caBundle"]:
                client.pop("caBundle", None)
            for field in ("failurePolicy", "namespaceSelector", "objectSelector"):
                value = webhook.get(field)
                by = [m for m in owners(live, ("webhooks", {"name": webhook["name"]}, field)) if _is_program(m)]
                if value and by and other.get(field, value) != value:
                    del webhook[field]
                    kept.append(f"{title(wanted)}: {field} of {webhook['name']} belongs to {by[0]}")
    if wanted["kind"] == "Service":
        selector, by = wanted["spec"].get("selector"), [m for m in owners(live, ("spec", "selector")) if _is_program(m)]
        if selector and by and live["spec"].get("selector") != selector:
            result = {**wanted, "spec": {k: v for k, v in wanted["spec"].items() if k != "selector"}}
            kept.append(f"{title(wanted)}: selector belongs to {by[0]}")
    replicas = (wanted.get("spec") or {}).get("replicas")
    if replicas is not None and replicas != (live.get("spec") or {}).get("replicas") and is_autoscaled(wanted):
        result = copy.deepcopy(wanted)
        del result["spec"]["replicas"]
        kept.append(f"{title(wanted)}: replicas belong to its HorizontalPodAutoscaler")
    return result


def _is_program(manager: str) -> bool:
    """Whether a field manager is a controller of its own, rather than Helm, this collection, or someone's kubectl."""
    return not is_installer(manager)


def is_installer(manager: str) -> bool:
    """Whether a field manager has written at somebody's command: Helm, istioctl, this collection, or a kubectl."""
    return manager in (*_INSTALLERS, FIELD_MANAGER) or manager.startswith("kubectl")


def autoscaled(cluster: Cluster, obj: dict) -> bool:
    """Whether a HorizontalPodAutoscaler has a workload in hand."""
    scalers = cluster.list(KNOWN["autoscaling", "HorizontalPodAutoscaler"], obj["metadata"]["namespace"])
    targets = [s["spec"]["scaleTargetRef"] for s in scalers]
    return any(ref["kind"] == obj["kind"] and ref["name"] == obj["metadata"]["name"] for ref in targets)
