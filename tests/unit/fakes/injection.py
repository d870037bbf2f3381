# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A cluster as the tests of injection need it."""

from __future__ import annotations

SELECTORS = (
    {"matchExpressions": [{"key": "istio-injection", "operator": "In", "values": ["enabled"]}]},
    {"matchExpressions": [{"key": "istio.io/rev", "operator": "In", "values": ["prod", "canary"]}]},
)
WEBHOOK = {
    "kind": "MutatingWebhookConfiguration",
    "metadata": {"labels": {"istio.io/rev": "canary", "istio.io/tag": "prod"}},
    "webhooks": [{"namespaceSelector": selector} for selector in SELECTORS],
}


def pod(image=None, revision="default", init=False, redirect=None):
    proxy = [{"name": "istio-proxy", "image": image}] if image else []
    containers = [{"name": "app", "image": "a"}]
    inits = [{"name": redirect, "image": "i"}] if redirect else []
    return {
        "metadata": {
            "name": "p",
            "namespace": "n",
            "ownerReferences": [{"controller": True, "kind": "Deployment", "name": "w"}],
            "labels": {"pod-template-hash": "h"},
            "annotations": {"istio.io/rev": revision} if image else {},
        },
        "spec": {"initContainers": inits + (proxy if init else []), "containers": containers + ([] if init else proxy)},
    }


class Cluster:
    """What injection reads: the injector's answer (by namespace, or for all), and the pods that run."""

    def __init__(self, answer, pods=(), webhooks=(WEBHOOK,), namespaces=None, workloads=()):
        self.answer, self.pods, self.webhooks, self.workloads = answer, pods, webhooks, workloads
        self.namespaces = {"default": {"metadata": {}}} if namespaces is None else namespaces
        self.asked, self.patched = [], []

    def create(self, obj, dry_run=False):
        assert dry_run or obj["kind"] == "Namespace"
        self.asked.append(obj)
        by_namespace = isinstance(self.answer, dict) and "n" in self.answer
        answer = self.answer[obj["metadata"]["namespace"]] if by_namespace else self.answer
        if isinstance(answer, Exception):
            raise answer
        return answer

    def get(self, kind, name):
        return self.namespaces.get(name)

    def list(self, kind, namespace=None, labels=None):
        if kind.kind == "ReplicaSet":
            meta = {"labels": {"pod-template-hash": "h"}, "ownerReferences": [{"uid": "u"}]}
            return [{"metadata": meta}]
        if kind.kind == "Namespace":
            return [{**o, "metadata": {"name": name, **o["metadata"]}} for name, o in self.namespaces.items()]
        if kind.kind == "MutatingWebhookConfiguration":
            return list(self.webhooks)
        return list(self.pods) if kind.kind == "Pod" else [w for w in self.workloads if w["kind"] == kind.kind]

    def patch(self, kind, name, patch, options):
        self.patched.append((name, patch["metadata"]["labels"], options.manager))


def workload(name="w", kind="Deployment", **labels):
    template = {"metadata": {"labels": labels}, "spec": {"containers": []}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "n", "uid": "u"},
        "spec": {"selector": {"matchLabels": {"app": "w"}}, "template": template},
    }
