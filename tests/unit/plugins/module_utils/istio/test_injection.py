# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.istio.injection import (
    InjectionError,
    Sidecar,
    plan_namespaces,
    sidecar,
    stale_reason,
    wanted_labels,
)
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.plan import Change

WEBHOOK = {"kind": "MutatingWebhookConfiguration"}


def pod(image=None, revision="default", init=False):
    proxy = [{"name": "istio-proxy", "image": image}] if image else []
    containers = [{"name": "app", "image": "a"}]
    return {
        "metadata": {
            "name": "p",
            "labels": {"pod-template-hash": "h"},
            "annotations": {"istio.io/rev": revision} if image else {},
        },
        "spec": {"initContainers": proxy if init else [], "containers": containers + ([] if init else proxy)},
    }


class Cluster:
    """What stale_reason looks at: the injector's answer, and the pods that run."""

    def __init__(self, answer, pods=(), webhooks=(WEBHOOK,), namespaces=None):
        self.answer, self.pods, self.webhooks, self.namespaces = answer, pods, webhooks, namespaces or {}
        self.asked = []

    def create(self, obj, dry_run):
        assert dry_run
        self.asked.append(obj)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def get(self, kind, name):
        return self.namespaces.get(name)

    def list(self, kind, namespace=None, labels=None):
        if kind.kind == "ReplicaSet":
            meta = {"labels": {"pod-template-hash": "h"}, "ownerReferences": [{"uid": "u"}]}
            return [{"metadata": meta}]
        return list(self.pods if kind.kind == "Pod" else self.webhooks)


def workload(**labels):
    template = {"metadata": {"labels": labels}, "spec": {"containers": []}}
    return {
        "kind": "Deployment",
        "metadata": {"name": "w", "namespace": "n", "uid": "u"},
        "spec": {"selector": {"matchLabels": {"app": "w"}}, "template": template},
    }


UNCHANGED = Change("unchanged", "v1", "Namespace", None, "n")
LABELLED = Change("update", "v1", "Namespace", None, "n", before={"metadata": {}})


def test_a_sidecar_may_be_an_init_container_that_goes_on_running():
    assert sidecar(pod("x:1", "canary")) == sidecar(pod("x:1", "canary", init=True)) == Sidecar("x:1", "canary")
    assert sidecar(pod()) == Sidecar()


@pytest.mark.parametrize(
    ("runs", "injector", "said"),
    [
        (pod("x:1"), pod("x:1"), None),
        (pod(), pod(), None),
        (pod(), pod("x:1"), "pod p has no sidecar"),
        (pod("x:1"), pod(), "pod p has a sidecar, and should have none"),
        (pod("x:1", "old"), pod("x:1", "new"), "the sidecar of pod p is of revision old, not new"),
        (pod("x:1"), pod("x:2"), "the sidecar of pod p is x:1, not x:2"),
    ],
)
def test_what_is_stale(runs, injector, said):
    assert stale_reason(Cluster(injector, [runs]), workload(), UNCHANGED, "") == said


def test_check_mode_asks_as_if_the_namespace_had_its_label():
    cluster = Cluster(pod("x:1"), [pod()])
    assert stale_reason(cluster, workload(app="w"), LABELLED, "canary", check_mode=True) == "pod p has no sidecar"
    assert cluster.asked[0]["metadata"]["labels"] == {"app": "w", "istio.io/rev": "canary"}
    stale_reason(cluster, workload(app="w"), LABELLED, "canary")
    assert cluster.asked[1]["metadata"]["labels"] == {"app": "w"}


@pytest.mark.parametrize("broken", [{"webhooks": ()}, {"answer": ApiError("no", status=500)}])
def test_check_mode_before_there_is_an_injector(broken):
    given = {"answer": pod(), "pods": [pod()], **broken}
    assert stale_reason(Cluster(**given), workload(), LABELLED, "", check_mode=True) == "pod p has no sidecar"
    opted_out = workload(**{"sidecar.istio.io/inject": "false"})
    assert stale_reason(Cluster(**given), opted_out, LABELLED, "", check_mode=True) is None


def test_an_injector_that_cannot_be_asked_is_an_error():
    with pytest.raises(InjectionError, match="the injector can't be asked about pods in namespace n: no"):
        stale_reason(Cluster(ApiError("no", status=500), [pod()]), workload(), UNCHANGED, "")


def test_labels():
    assert wanted_labels("") == {"istio-injection": "enabled", "istio.io/rev": None}
    assert wanted_labels("prod") == {"istio.io/rev": "prod", "istio-injection": None}


def test_namespaces():
    there = {"a": {"metadata": {"labels": {"istio-injection": "enabled", "x": "y"}}}, "b": {"metadata": {}}}
    cluster = Cluster(None, namespaces=there)
    changes = plan_namespaces(cluster, ["a", "b", "c", "a"], "")
    assert [(c.name, c.action) for c in changes] == [("a", "unchanged"), ("b", "update"), ("c", "create")]
    (moved,) = plan_namespaces(cluster, ["a"], "prod")
    assert moved.after["metadata"]["labels"] == {"x": "y", "istio.io/rev": "prod"}
    with pytest.raises(InjectionError, match="Istio never injects into namespace kube-system"):
        plan_namespaces(cluster, ["kube-system"], "")
