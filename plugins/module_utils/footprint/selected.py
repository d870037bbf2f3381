# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which labels of Istio's other objects select by: removing one of these would change what they match."""

from __future__ import annotations

import typing as t

from ..mesh.names import istio_key
from ..reconcile.identity import title
from ..reconcile.types import K8sObject

Selector = t.Mapping[str, t.Any]


def selector_keys(selector: Selector | None) -> set[str]:
    """The label keys that a label selector names."""
    selector = selector or {}
    expressions = selector.get("matchExpressions") or []
    return {*(selector.get("matchLabels") or {}), *(expression["key"] for expression in expressions)}


class SelectedKeys:
    """The keys of Istio's by which Services, PodDisruptionBudgets, NetworkPolicies and webhooks select.

    :ivar of_namespaces: label key of Namespaces -> an object that selects by it
    """

    def __init__(self, listed: t.Iterable[K8sObject], proven: t.Container[K8sObject]) -> None:
        self._of_pods: dict[str, dict[str, str]] = {}
        self.of_namespaces: dict[str, str] = {}
        for obj in listed:
            if obj not in proven:
                self._read(obj)

    def of_pods(self, namespace: str) -> dict[str, str]:
        """Label key of the pods in a namespace -> an object that selects by it."""
        return {**self._of_pods.get("", {}), **self._of_pods.get(namespace, {})}

    def _read(self, obj: K8sObject) -> None:
        spec, namespace = obj.get("spec") or {}, obj["metadata"].get("namespace") or ""
        if obj["kind"] == "Service":
            self._pods(obj, namespace, {"matchLabels": spec.get("selector") or {}})
        elif obj["kind"] == "PodDisruptionBudget":
            self._pods(obj, namespace, spec.get("selector"))
        elif obj["kind"] == "NetworkPolicy":
            self._pods(obj, namespace, spec.get("podSelector"))
            for peer in _peers(spec):
                self._pods(obj, "", peer.get("podSelector"))
                self._namespaces(obj, peer.get("namespaceSelector"))
        for hook in obj.get("webhooks") or []:
            self._namespaces(obj, hook.get("namespaceSelector"))

    def _pods(self, obj: K8sObject, namespace: str, selector: Selector | None) -> None:
        for name in filter(istio_key, selector_keys(selector)):
            self._of_pods.setdefault(namespace, {}).setdefault(name, title(obj))

    def _namespaces(self, obj: K8sObject, selector: Selector | None) -> None:
        for name in filter(istio_key, selector_keys(selector)):
            self.of_namespaces.setdefault(name, title(obj))


def _peers(spec: Selector) -> t.Iterator[Selector]:
    for rule in spec.get("ingress") or []:
        yield from rule.get("from") or []
    for rule in spec.get("egress") or []:
        yield from rule.get("to") or []
