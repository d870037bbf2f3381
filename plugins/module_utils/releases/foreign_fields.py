# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fields of releases' objects that others rightly own, and that are left to them."""

from __future__ import annotations

import copy
import dataclasses
import typing as t

from ..cluster.client import FIELD_MANAGER
from ..reconcile.identity import title
from ..reconcile.managed_fields import owners
from ..reconcile.types import K8sObject

#: The field manager of Helm 4, and of Helm 3's requests.
HELM_MANAGER = "helm"

#: Field managers of programs that install at somebody's command, and that may leave what they own to Helm.
_INSTALLERS = ("istio-operator", "istioctl", HELM_MANAGER)

_WEBHOOK_CONFIGURATIONS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
_OF_WEBHOOKS = ("failurePolicy", "namespaceSelector", "objectSelector")
_AUTOSCALER = "HorizontalPodAutoscaler"


@dataclasses.dataclass(frozen=True)
class ForeignField:
    """A field that differs from what is declared, because another program owns it.

    :ivar title: of the object
    :ivar path: keys; the name of a webhook is the key of its item in the list C(webhooks)
    :ivar owner: the field manager; empty where that is evident
    """

    title: str
    path: tuple[str, ...]
    owner: str

    @property
    def text(self) -> str:
        """For a result."""
        if self.owner == _AUTOSCALER:
            return f"{self.title}: replicas belong to its HorizontalPodAutoscaler"
        of = f" of {self.path[1]}" if self.path[0] == "webhooks" else ""
        return f"{self.title}: {self.path[-1]}{of} belongs to {self.owner}"


def foreign_fields(
    wanted: K8sObject, live: K8sObject, is_autoscaled: t.Callable[[K8sObject], bool] = lambda obj: False
) -> list[ForeignField]:
    """The fields of a declared object that others rightly own, where those have another value by now.

    That are: a webhook's caBundle, and its failurePolicy once istiod has switched it; replicas under a
    HorizontalPodAutoscaler; selectors that a controller has written, as some clouds' and rollouts' do.

    :param is_autoscaled: whether a HorizontalPodAutoscaler scales a workload
    """
    name = title(wanted)
    if wanted["kind"] in _WEBHOOK_CONFIGURATIONS:
        return list(_of_webhooks(wanted, live, name))
    spec, live_spec = wanted.get("spec") or {}, live.get("spec") or {}
    if wanted["kind"] == "Service":
        managers = [m for m in owners(live, ("spec", "selector")) if not is_installer(m)]
        if spec.get("selector") and managers and live_spec.get("selector") != spec["selector"]:
            return [ForeignField(name, ("spec", "selector"), managers[0])]
    replicas = spec.get("replicas") if isinstance(spec, dict) else None
    if replicas is not None and replicas != live_spec.get("replicas") and is_autoscaled(wanted):
        return [ForeignField(name, ("spec", "replicas"), _AUTOSCALER)]
    return []


def _of_webhooks(wanted: K8sObject, live: K8sObject, name: str) -> t.Iterator[ForeignField]:
    live_webhooks = {webhook["name"]: webhook for webhook in live.get("webhooks") or ()}
    for webhook in wanted.get("webhooks") or ():
        other = live_webhooks.get(webhook["name"], {})
        bundle = (other.get("clientConfig") or {}).get("caBundle")
        if bundle and (webhook.get("clientConfig") or {}).get("caBundle", "") != bundle:
            yield ForeignField(name, ("webhooks", webhook["name"], "clientConfig", "caBundle"), "")
        for field in _OF_WEBHOOKS:
            value, path = webhook.get(field), ("webhooks", {"name": webhook["name"]}, field)
            managers = [m for m in owners(live, path) if not is_installer(m)]
            if value and managers and other.get(field, value) != value:
                yield ForeignField(name, ("webhooks", webhook["name"], field), managers[0])


def without(obj: K8sObject, fields: t.Sequence[ForeignField]) -> K8sObject:
    """An object without fields; the argument is left as it is."""
    if not fields:
        return obj
    result = copy.deepcopy(obj)
    for field in fields:
        parent = _parent(result, field.path)
        if parent is not None:
            parent.pop(field.path[-1], None)
    return result


def with_live_values(obj: K8sObject, live: K8sObject, fields: t.Sequence[ForeignField]) -> K8sObject:
    """An object with the values that fields have in the live object; the argument is left as it is."""
    if not fields:
        return obj
    result = copy.deepcopy(obj)
    for field in fields:
        parent, source = _parent(result, field.path), _parent(live, field.path)
        if parent is not None and source is not None and field.path[-1] in source:
            parent[field.path[-1]] = copy.deepcopy(source[field.path[-1]])
    return result


def _parent(obj: K8sObject, path: t.Sequence[str]) -> dict[str, t.Any] | None:
    node: t.Any = obj
    for step in path[:-1]:
        if isinstance(node, list):
            node = next((item for item in node if item.get("name") == step), None)
        else:
            node = (node or {}).get(step)
    return node if isinstance(node, dict) else None


def is_installer(manager: str) -> bool:
    """Whether a field manager has written at somebody's command: Helm, istioctl, this collection, or a kubectl.

    Any other is a controller of its own.
    """
    return manager in (*_INSTALLERS, FIELD_MANAGER) or manager.startswith("kubectl")
