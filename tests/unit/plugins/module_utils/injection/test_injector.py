# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.injection.injector import (
    Answer,
    CannotAsk,
    Sidecar,
    answer,
    answer_elsewhere,
    sidecar,
)

REFUSED = ApiError('pods "injection-" is forbidden: exceeded quota: q', status=403)
UNREACHABLE = ApiError(
    'Internal error occurred: failed calling webhook "namespace.sidecar-injector.istio.io": no endpoints', status=500
)


def pod(image=None, revision="default", init=False):
    proxy = [{"name": "istio-proxy", "image": image}] if image else []
    return {
        "metadata": {"annotations": {"istio.io/rev": revision} if image else {}},
        "spec": {"initContainers": proxy if init else [], "containers": [{"name": "a"}, *([] if init else proxy)]},
    }


class Cluster:
    """Namespaces with their labels, and what comes of a pod in each."""

    def __init__(self, labels, answers, unlisted=False):
        self.labels, self.answers, self.unlisted = labels, answers, unlisted
        self.asked = {}

    def get(self, _kind, name):
        return {"metadata": {"name": name, "labels": self.labels[name]}} if name in self.labels else None

    def list(self, _kind):
        if self.unlisted:
            raise ApiError("no", 403)
        return [self.get(None, name) for name in self.labels]

    def create(self, obj, dry_run):
        assert dry_run
        namespace = obj["metadata"]["namespace"]
        self.asked[namespace] = obj
        if isinstance(self.answers[namespace], Exception):
            raise self.answers[namespace]
        return self.answers[namespace]


def template(**labels):
    return {"metadata": {"labels": labels, "name": "x"}, "spec": {"serviceAccountName": "shop", "containers": []}}


def test_a_sidecar_may_be_an_init_container_that_goes_on_running():
    assert sidecar(pod("x:1", "canary")) == sidecar(pod("x:1", "canary", init=True)) == Sidecar("x:1", "canary")
    assert sidecar(pod()) == Sidecar()


def test_the_pod_is_asked_about_where_it_is_to_run():
    cluster = Cluster({}, {"shop": pod("x:1")})
    assert answer(cluster, "shop", template(app="a")) == Answer(Sidecar("x:1", "default"))
    asked = cluster.asked["shop"]
    assert asked["metadata"] == {"labels": {"app": "a"}, "generateName": "injection-", "namespace": "shop"}
    assert asked["spec"]["serviceAccountName"] == "shop"


@pytest.mark.parametrize(
    ("namespace", "own", "asking"),
    [
        ({"istio-injection": "enabled"}, {"app": "a"}, {"app": "a", "sidecar.istio.io/inject": "true"}),
        ({"istio-injection": "enabled"}, {"istio.io/rev": "own"}, {"sidecar.istio.io/inject": "true"}),
        ({"istio-injection": "enabled"}, {"sidecar.istio.io/inject": "false"}, {"sidecar.istio.io/inject": "false"}),
        ({"istio-injection": "enabled", "istio.io/rev": "prod"}, {}, {"sidecar.istio.io/inject": "true"}),
        ({"istio-injection": "disabled"}, {"sidecar.istio.io/inject": "true"}, {"sidecar.istio.io/inject": "false"}),
        ({"istio.io/rev": "prod"}, {"istio.io/rev": "own"}, {"istio.io/rev": "prod"}),
        ({}, {"istio.io/rev": "own"}, {"istio.io/rev": "own"}),
    ],
)
def test_elsewhere_the_pod_chooses_what_its_namespace_would(namespace, own, asking):
    cluster = Cluster({"shop": namespace, "default": {}}, {"shop": REFUSED, "default": pod("x:1")})
    assert answer(cluster, "shop", template(**own)) == Answer(Sidecar("x:1", "default"))
    assert cluster.asked["default"]["metadata"]["labels"] == asking
    assert "serviceAccountName" not in cluster.asked["default"]["spec"]


def test_a_refusal_that_is_no_quota_is_told():
    policy = ApiError('violates PodSecurity "restricted:latest"', status=403)
    cluster = Cluster({"default": {}}, {"shop": policy, "default": pod("x:1")})
    assert answer(cluster, "shop", template()).refusal == 'violates PodSecurity "restricted:latest"'


def test_a_namespace_that_decides_itself_is_not_asked_instead():
    cluster = Cluster({"default": {"istio-injection": "enabled"}, "istio-system": {}}, {"istio-system": pod()})
    assert answer_elsewhere(cluster, "shop", template(), {"istio.io/rev": "none"}) == Sidecar()


def test_any_namespace_that_leaves_the_choice_to_the_pod_is_asked():
    chooses = {"istio-injection": "enabled"}
    labels = {"default": chooses, "istio-system": chooses, "kube-system": {}, "other": {}}
    assert answer_elsewhere(Cluster(labels, {"other": pod("x:1")}), "shop", template(), {"istio.io/rev": "r"}).image
    with pytest.raises(CannotAsk):
        answer_elsewhere(
            Cluster(labels, {"other": pod("x:1")}, unlisted=True), "shop", template(), {"istio.io/rev": "r"}
        )


def test_a_namespace_that_makes_the_same_choice_is_asked_where_none_is_neutral():
    labels = {"default": {"istio-injection": "enabled"}, "prod": {"istio.io/rev": "r"}}
    cluster = Cluster(labels, {"default": pod("x:1"), "prod": pod("x:2", "r")})
    assert answer_elsewhere(cluster, "shop", template(), {"istio.io/rev": "r"}) == Sidecar("x:2", "r")
    assert answer_elsewhere(cluster, "shop", template(), {"istio-injection": "enabled"}).image == "x:1"
    with pytest.raises(CannotAsk):  # in each of them it would get a sidecar
        answer_elsewhere(cluster, "shop", template(), {"istio-injection": "disabled"})


@pytest.mark.parametrize(
    ("labels", "answers", "said"),
    [
        ({"default": {}}, {"shop": UNREACHABLE}, "failed calling webhook"),
        ({"default": {}}, {"shop": REFUSED, "default": UNREACHABLE}, "exceeded quota: q"),
        ({"default": {"istio.io/rev": "x"}}, {"shop": REFUSED}, "exceeded quota: q"),
    ],
)
def test_an_injector_that_cannot_be_asked(labels, answers, said):
    cluster = Cluster(labels, answers)
    with pytest.raises(CannotAsk, match=f"the injector can't be asked about pods in namespace shop: .*{said}"):
        answer(cluster, "shop", template())
