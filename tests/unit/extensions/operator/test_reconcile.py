# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A look at an object and its removal, with playbooks that are played by the test; without a cluster."""

from __future__ import annotations

import json

import pytest
from ansible_collections.meshops.istio.extensions.operator import reconcile, settings, status
from ansible_collections.meshops.istio.extensions.operator.documents import LAST_GOOD
from ansible_collections.meshops.istio.extensions.operator.metrics import Metrics
from ansible_collections.meshops.istio.extensions.operator.playbook import Done
from ansible_collections.meshops.istio.extensions.operator.reconcile import Reconciler, Run, StillUsed
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError

SETTINGS = settings.read(
    {"POD_NAMESPACE": "istio-operator", "POD_NAME": "one", "WATCH_NAMESPACES": "istio-system", "CHARTS": "/charts"}
)
PLACE = ("istio-system", "mesh")
NOTHING_DONE = {"changed": False, "releases": [{"name": "istiod", "namespace": "istio-system", "action": "none"}]}


class Objects:
    """One object, what is said of it, and what the API server would refuse."""

    def __init__(self) -> None:
        meta = {"namespace": "istio-system", "name": "mesh", "uid": "1", "generation": 1, "annotations": {}}
        self.obj = {"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator", "metadata": meta, "spec": {}}
        self.events: list[str] = []
        self.used: dict[str, list[str]] = {}
        self.refused = ""

    def get(self, *_place):
        return self.obj

    def all(self):
        return [self.obj]

    def tell(self, obj, outcome):
        obj["status"] = status.status(obj, outcome, "now")

    def event(self, _obj, reason, message, warning=False):
        self.events.append(reason)

    def remember(self, obj):
        obj["metadata"]["annotations"][LAST_GOOD] = json.dumps(obj["spec"])

    def unready(self, _releases):
        return {}

    def has_legacy(self, _namespaces):
        return False

    def uses(self, revision, _gateways):
        return self.used.get(revision, [])

    def control_planes(self):
        return {"default"}

    def refusal(self, item):
        return "forbidden" if item["name"] == self.refused else ""


class Playbooks:
    """What was played, and how it ends."""

    def __init__(self) -> None:
        self.played: list[tuple[str, dict]] = []
        self.ends: list[Done] = []

    def __call__(self, name, variables, files, _kubeconfig, _cancelled):
        self.played.append((name, {**variables, **files}))
        return self.ends.pop(0) if self.ends else done(NOTHING_DONE)

    def specs(self):
        return [given["control_plane_istio_operator"]["spec"] for name, given in self.played if name == "apply"]


def done(result, failure=""):
    return Done(failure, results={reconcile._APPLY: result, reconcile._FOOTPRINT: result})


@pytest.fixture
def objects():
    return Objects()


@pytest.fixture
def playbooks(monkeypatch):
    found = Playbooks()
    monkeypatch.setattr(reconcile.playbook, "run", found)
    return found


@pytest.fixture
def look(objects, playbooks):
    reconciler = Reconciler(SETTINGS, objects, Metrics(), "kubeconfig")
    return lambda reason="Changed", drifted="": reconciler.look(
        PLACE, Run(reason, drifted), lambda _releases: None, lambda: False
    )


@pytest.fixture
def remove(objects, playbooks):
    reconciler = Reconciler(SETTINGS, objects, Metrics(), "kubeconfig")
    return lambda: reconciler.remove(PLACE, lambda: False)


def test_a_good_spec_is_told_and_kept(objects, look):
    look()
    assert objects.events == ["Reconciling", "Ready"]
    assert objects.obj["status"]["state"] == "Ready"
    assert objects.obj["metadata"]["annotations"][LAST_GOOD] == "{}"
    look("Resync")
    assert objects.events == ["Reconciling", "Ready"]


def test_the_next_leader_tells_that_it_is_ready_where_the_one_before_died_over_it(objects, look):
    objects.tell(objects.obj, status.Outcome("Reconciling", "Reconciling", "the object is new or has changed"))
    look()
    assert objects.events == ["Ready"]


def test_a_bad_spec_is_refused_and_the_last_good_one_kept(objects, playbooks, look):
    look()
    objects.obj["spec"] = {"revision": "Not_A_Name"}
    objects.obj["metadata"]["generation"] = 2
    repaired = {"changed": True, "releases": [{"name": "istiod", "namespace": "istio-system", "action": "repair"}]}
    playbooks.ends = [done(repaired)]
    ended = look("Drift", "Service istiod")
    assert (ended.failed, ended.repaired) == (False, True)
    assert objects.obj["status"]["state"] == "Invalid"
    assert "Not_A_Name" in objects.obj["status"]["message"]
    assert playbooks.specs() == [{}, {}]
    assert objects.events[-2:] == ["Invalid", "Repaired"]
    assert objects.obj["metadata"]["annotations"][LAST_GOOD] == "{}"


def test_a_bad_spec_without_a_good_one_before_plays_nothing(objects, playbooks, look):
    objects.obj["spec"] = {"revision": "Not_A_Name"}
    look()
    assert playbooks.played == []
    assert objects.obj["status"]["state"] == "Invalid"


def test_where_nothing_could_be_done_the_last_good_spec_stands_in(objects, playbooks, look):
    look()
    objects.obj["spec"] = {"tag": "9.9.9"}
    objects.obj["metadata"]["generation"] = 2
    playbooks.ends = [done({}, "chart base 9.9.9 not found")]
    assert look().failed
    assert playbooks.specs()[1:] == [{"tag": "9.9.9"}, {}]
    assert objects.obj["status"]["message"] == "chart base 9.9.9 not found"
    playbooks.ends = [done(NOTHING_DONE, "istiod is not ready")]
    assert look("Retry").failed
    assert playbooks.specs()[3:] == [{"tag": "9.9.9"}], "what was begun is not taken back"


def footprint(**more):
    return done({"purged": [{"part": "control_plane", "action": "delete", "api_version": "v1", **more}]})


def test_nothing_goes_while_something_may_not(objects, playbooks, remove):
    playbooks.ends = [footprint(kind="Service", namespace="shop", name="echo")]
    objects.refused = "echo"
    with pytest.raises(StillUsed, match=r"may not change Service shop/echo \(forbidden\)"):
        remove()
    assert [name for name, _given in playbooks.played] == ["footprint"]
    assert objects.obj["status"]["state"] == "Deleting"


def test_users_hold_the_removal(objects, playbooks, remove):
    objects.used = {"default": ["tag prod", "tag default"], "prod": ["namespace shop"]}
    with pytest.raises(StillUsed, match="still used by namespace shop"):
        remove()
    assert playbooks.played == []


def test_a_tag_that_nobody_uses_goes_with_the_last_object(objects, playbooks, remove):
    objects.used = {"default": ["tag prod", "tag default"]}
    playbooks.ends = [footprint(kind="Service", namespace="istio-system", name="istiod"), Done()]
    remove()
    assert [name for name, _given in playbooks.played] == ["footprint", "remove"]


def test_where_others_stay_a_tag_is_a_user(objects, playbooks, remove):
    objects.used = {"default": ["tag prod"]}
    objects.control_planes = lambda: {"default", "another"}
    with pytest.raises(StillUsed, match="still used by tag prod"):
        remove()
    assert playbooks.played == []


def test_with_the_last_object_all_goes_but_what_is_kept(playbooks, remove):
    playbooks.ends = [footprint(kind="Service", namespace="istio-system", name="istiod"), Done()]
    remove()
    _footprint, (name, given) = playbooks.played
    assert (name, given["operator_is_last"], given["operator_keep"]) == ("remove", True, ["operators", "namespaces"])


def test_a_removal_that_fails_says_why(objects, playbooks, remove):
    playbooks.ends = [footprint(kind="Service", name="istiod"), Done("the API server is away")]
    with pytest.raises(MeshopsError, match="the API server is away"):
        remove()
    assert objects.obj["status"]["message"] == "the API server is away"
