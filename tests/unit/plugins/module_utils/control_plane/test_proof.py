# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import time

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.proof import NotProven, prove

# -- the injector injects -----------------------------------------------------


def injected(revision: str = "default", image: str = "proxyv2:1") -> dict:
    """A pod as the injector of a revision returns it."""
    containers = [{"name": "istio-proxy", "image": image}]
    return {
        "metadata": {"annotations": {"istio.io/rev": revision}},
        "spec": {"initContainers": containers, "containers": [{"name": "proof"}]},
    }


INJECTED = injected()
PLAIN = {"metadata": {}, "spec": {"containers": [{"name": "proof"}]}}
RESTRICTED = ApiError('pods "injection-proof-" is forbidden: violates PodSecurity "restricted:latest"', status=403)
UNREACHABLE = ApiError('failed calling webhook "object.sidecar-injector.istio.io": no endpoints', status=500)
POD = {
    "metadata": {"name": "istiod-1"},
    "spec": {"containers": [{"name": "discovery", "image": "pilot:1.31.0"}]},
    "status": {"conditions": [{"type": "Ready", "status": "True"}]},
}


class Cluster:
    """Namespaces with their labels, what becomes of a pod in each, and an istiod.

    :param answers: namespace -> the pod that a dry run returns, or an error
    :param labels: namespace -> its labels
    :param mesh: the mesh config in istiod's ConfigMap
    :param running: what pilot-discovery prints, or an error
    """

    def __init__(self, answers, labels=(), mesh="", running="{}"):
        self.answers, self.labels, self.mesh, self.running = answers, dict(labels), mesh, running
        self.asked = []

    def list(self, kind, _namespace=None, labels=""):
        if kind.kind == "Pod":
            return [POD]
        return [{"metadata": {"name": n, "labels": self.labels.get(n, {})}} for n in ("kube-system", *self.answers)]

    def get(self, kind, name, namespace):
        assert kind.kind == "ConfigMap"
        return {"metadata": {"name": name, "namespace": namespace}, "data": {"mesh": self.mesh}}

    def create(self, obj, dry_run):
        assert dry_run
        self.asked.append(obj["metadata"]["namespace"])
        return self._answer(self.answers[obj["metadata"]["namespace"]])

    def request(self, _method, _path, raw):
        assert raw
        return "1.31.0"

    def execute(self, *_args):
        return self._answer(self.running)

    @staticmethod
    def _answer(answer):
        if isinstance(answer, Exception):
            raise answer
        return answer


def reasons(found) -> list[str]:
    return [gap.gap.name for gap in found.gaps]


def test_proof_of_a_mesh_that_works():
    found = prove(Cluster({"istio-system": INJECTED}), "istio-system", tags=["prod"])
    assert (found.version, found.proxy_image, found.gaps) == ("1.31.0", "proxyv2:1", ())


def test_proof_asks_in_another_namespace_where_one_refuses_the_pod():
    found = prove(Cluster({"istio-system": RESTRICTED, "default": INJECTED}), "istio-system")
    assert (found.proxy_image, found.gaps) == ("proxyv2:1", ())


def test_proof_warns_at_once_where_every_namespace_refuses_the_pod():
    begun = time.monotonic()
    found = prove(Cluster({"istio-system": RESTRICTED, "default": RESTRICTED}), "istio-system", tags=["prod"])
    assert time.monotonic() - begun < 30
    assert (found.version, found.proxy_image) == ("1.31.0", "")
    (gap,) = found.gaps
    assert str(gap).startswith("it is not proven that the injector injects: namespace istio-system refuses a pod: ")
    assert 'violates PodSecurity "restricted:latest"' in str(gap)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (UNREACHABLE, "the injector can't be reached: failed calling webhook"),
        (PLAIN, "no injector adds a sidecar to a pod with the"),
    ],
)
def test_proof_fails_where_the_injector_does_not_inject(answer, said):
    with pytest.raises(NotProven, match=said):
        prove(Cluster({"istio-system": answer}), "istio-system", timeout=0)


TUTORIAL = {"istio-system": {"istio-injection": "disabled"}, "default": {"istio-injection": "enabled"}}


def test_proof_asks_in_a_namespace_that_chooses_the_revision_where_none_is_neutral():
    cluster = Cluster({"istio-system": PLAIN, "default": INJECTED}, TUTORIAL)
    assert prove(cluster, "istio-system").proxy_image == "proxyv2:1"
    assert cluster.asked == ["default"]


def test_proof_asks_in_any_neutral_namespace():
    cluster = Cluster(
        {"mesh": PLAIN, "default": PLAIN, "shop": injected("canary")}, TUTORIAL | {"mesh": {"istio.io/rev": "x"}}
    )
    assert prove(cluster, "mesh", "canary").gaps == ()
    assert cluster.asked == ["shop"]


def test_proof_of_a_revision_is_not_answered_by_another_injector():
    """Where each namespace decides itself, the other revision would answer: that would prove nothing."""
    cluster = Cluster(
        {"istio-system": INJECTED, "default": INJECTED},
        dict.fromkeys(("istio-system", "default"), {"istio-injection": "enabled"}),
    )
    found = prove(cluster, "istio-system", "canary")
    assert (found.proxy_image, cluster.asked, reasons(found)) == ("", [], ["NO_NAMESPACE"])
    assert "Label a namespace with istio.io/rev=canary" in str(found.gaps[0])


def test_proof_fails_where_a_tag_still_points_to_another_revision():
    class Tagged(Cluster):
        def create(self, obj, dry_run):
            return injected("old" if obj["metadata"]["labels"]["istio.io/rev"] == "prod" else "new")

    with pytest.raises(
        NotProven, match=r"revision old answers for a pod with the label istio.io/rev=prod .* expected revision new"
    ):
        prove(Tagged({"default": None}), "istio-system", "new", ["prod"], timeout=0)


# -- the running mesh config --------------------------------------------------


def test_proof_takes_zero_enums_that_istiod_leaves_out():
    mesh = "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\naccessLogEncoding: TEXT\ndefaultConfig: {statusPort: '0'}"
    running = '{"outboundTrafficPolicy": {}, "defaultConfig": {}}'
    assert prove(Cluster({"default": INJECTED}, mesh=mesh, running=running), "istio-system").gaps == ()


def test_proof_fails_where_istiod_runs_another_mesh_config():
    running = '{"outboundTrafficPolicy": {"mode": "ALLOW_ANY"}}'
    cluster = Cluster({"default": INJECTED}, mesh="outboundTrafficPolicy: {mode: REGISTRY_ONLY}", running=running)
    with pytest.raises(NotProven, match=r"outboundTrafficPolicy.mode is 'ALLOW_ANY', not 'REGISTRY_ONLY'"):
        prove(cluster, "istio-system", timeout=0)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("404 page not found\n", "DEBUG_OFF"),
        ("", "DEBUG_OFF"),
        (ApiError('pods "istiod-1" is forbidden: cannot create resource "pods/exec"', status=403), "EXEC_FORBIDDEN"),
    ],
)
def test_proof_warns_where_istiod_cannot_be_asked(answer, reason):
    found = prove(Cluster({"default": INJECTED}, mesh="enableTracing: true", running=answer), "istio-system")
    assert (found.version, found.proxy_image, reasons(found)) == ("1.31.0", "proxyv2:1", [reason])
