# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a gate looks at a mesh: whom it asks, whom it hurries, and whom it names in the end."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.ca import observe, proof
from ansible_collections.meshops.istio.plugins.module_utils.ca.rotation import Expectation
from ansible_collections.meshops.istio.plugins.module_utils.proxies.proxy import Proxy

OLD, BOTH = frozenset({"a" * 64}), frozenset({"a" * 64, "b" * 64})
TRUST = Expectation(roots=BOTH, gone=frozenset(), signer=None, root_expiry=None, chain_expiry=None)


class Mesh:
    """A mesh whose pods mount what kubelet has brought them, which it does when they are annotated.

    :ivar published: what istiod has written into the namespace's ConfigMap
    :ivar reads: the pods that were asked, look by look
    """

    def __init__(self, monkeypatch, pods):
        self.pods = [{"metadata": {"uid": str(n), "name": f"web-{n}", "namespace": "app"}} for n in range(pods)]
        self.mounted = {pod["metadata"]["uid"]: OLD for pod in self.pods}
        self.published, self.concurrency = OLD, 4
        self.reads: list[list[str]] = []
        self.nudged: list[str] = []
        self.deaf: set[str] = set()
        for name, value in {
            "istiod_pods": [],
            "istiods": [],
            "mesh_configs": {"default": {}},
            "served_namespaces": ["app"],
            "bundle_config_map_name": "istio-ca-root-cert",
            "webhook_bundles": {},
        }.items():
            monkeypatch.setattr(observe, name, lambda *_a, _value=value, **_k: _value)
        monkeypatch.setattr(observe, "root_config_maps", lambda *_a: {"app": self.published})
        monkeypatch.setattr(proof, "proxy_pods_of", lambda *_a: self.pods)
        monkeypatch.setattr(proof, "describe_proxy", lambda pod: {"generation": "1", "running": True})
        monkeypatch.setattr(proof, "read_proxies", self.read)
        monkeypatch.setattr(proof, "_POLL", 0)

    def get(self, *_words):
        return None

    def patch(self, _kind, name, _patch, _namespace):
        uid = name.removeprefix("web-")
        self.nudged.append(uid)
        if uid not in self.deaf:
            self.mounted[uid] = self.published

    def read(self, _cluster, pods):
        uids = [pod["metadata"]["uid"] for pod in pods]
        self.reads.append(uids)
        held = [self.mounted[uid] for uid in uids]
        return [
            Proxy("app", f"web-{uid}", generation="1", roots=roots, chain=(object(),), mounted=roots)
            for uid, roots in zip(uids, held, strict=True)
        ]


@pytest.fixture
def phases():
    return [{"phase": "trust"}]


def prove(mesh, phases, expected=TRUST, timeout=60.0, before=True):
    gates = proof.Proof(mesh, "istio-system", timeout, phases)
    if before:
        gates.prove(dataclasses.replace(TRUST, roots=OLD), "")
        mesh.reads.clear()
        gates.begin()
        mesh.published = BOTH
    gates.prove(expected, "trust")


def test_proxies_known_to_be_behind_are_hurried_before_they_are_asked_and_asked_once(monkeypatch, phases):
    mesh = Mesh(monkeypatch, 20)
    prove(mesh, phases)
    assert sorted(mesh.nudged, key=int) == [str(n) for n in range(20)]
    assert [len(asked) for asked in mesh.reads if asked] == [1, 19]
    assert phases[0]["proxies"] == 20


def test_proxies_are_not_hurried_again_once_the_first_is_there(monkeypatch, phases):
    monkeypatch.setattr(proof, "_NUDGE_AGAIN", 0)  # as where many take longer than the pause
    mesh = Mesh(monkeypatch, 20)
    prove(mesh, phases)
    assert len(mesh.nudged) == 20


def test_no_proxy_is_asked_before_istiod_has_published_the_roots(monkeypatch, phases):
    mesh = Mesh(monkeypatch, 20)
    looks = []

    def maps(*_arguments):
        looks.append(len(mesh.reads))
        mesh.published = BOTH if len(looks) > 3 else OLD
        return {"app": mesh.published}

    monkeypatch.setattr(observe, "root_config_maps", maps)
    prove(mesh, phases, before=False)
    assert looks[:4] == [0, 0, 0, 0]
    assert len(set().union(*mesh.reads)) == 20


def test_an_istiod_that_has_not_published_the_roots_is_hurried_though_its_metrics_are_right(monkeypatch, phases):
    """As where somebody else has put another root behind the first one."""
    mesh = Mesh(monkeypatch, 1)
    istiod = {"metadata": {"uid": "i", "name": "istiod", "namespace": "istio-system"}}
    monkeypatch.setattr(observe, "istiod_pods", lambda *_a: [istiod])
    bring = mesh.patch

    def patch(kind, name, *rest):
        if name == "istiod":
            mesh.nudged.append(name)
            mesh.published = BOTH
        else:
            bring(kind, name, *rest)

    monkeypatch.setattr(mesh, "patch", patch)
    prove(mesh, phases, before=False)
    assert mesh.nudged.count("istiod") == 1


def test_a_run_that_goes_on_from_another_hurries_all_once_one_is_seen_behind(monkeypatch, phases):
    mesh = Mesh(monkeypatch, 20)
    mesh.published = BOTH
    prove(mesh, phases, before=False)
    assert len(set(mesh.nudged)) == 20
    assert [len(asked) for asked in mesh.reads if asked] == [1, 1, 19]


def test_few_proxies_are_all_asked_at_once(monkeypatch, phases):
    mesh = Mesh(monkeypatch, 3)
    prove(mesh, phases)
    assert [len(asked) for asked in mesh.reads if asked] == [3]


def test_in_the_end_all_that_hold_it_up_are_named(monkeypatch, phases):
    mesh = Mesh(monkeypatch, 20)
    mesh.deaf = {"3", "7"}
    with pytest.raises(proof.GateNotMet) as caught:
        prove(mesh, phases, timeout=0.2)
    assert [each["what"] for each in caught.value.result["held_up_by"]] == ["sidecar app/web-3", "sidecar app/web-7"]
