# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A run for an object, with playbooks that the test stands in for; without a cluster."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.extensions.operator import reconcile, status
from ansible_collections.meshops.istio.extensions.operator.documents import LAST_GOOD
from ansible_collections.meshops.istio.extensions.operator.metrics import Metrics
from ansible_collections.meshops.istio.extensions.operator.objects import Uses
from ansible_collections.meshops.istio.extensions.operator.publication import Run
from ansible_collections.meshops.istio.extensions.operator.reconcile import Reconciler
from ansible_collections.meshops.istio.extensions.operator.supervision import CancelToken, Heartbeat
from fakes.istio_operators import SETTINGS
from fakes.operator_runs import NOTHING_DONE, REF, Objects, Playbooks, played


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
        REF, Run(reason, drifted), lambda _releases: None, Heartbeat(), CancelToken()
    )


def test_a_good_spec_is_published_and_remembered(objects, look):
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
    playbooks.ends = [played(repaired)]
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
    playbooks.ends = [played({}, "chart base 9.9.9 not found")]
    assert look().failed
    assert playbooks.specs()[1:] == [{"tag": "9.9.9"}, {}]
    assert objects.obj["status"]["message"] == "chart base 9.9.9 not found"
    playbooks.ends = [played(NOTHING_DONE, "istiod is not ready")]
    assert look("Retry").failed
    assert playbooks.specs()[3:] == [{"tag": "9.9.9"}], "what was begun is not taken back"


def test_what_an_object_does_not_declare_may_be_another_objects(playbooks, look):
    look()
    ((_name, variables),) = playbooks.played
    assert variables["control_plane_remove_undeclared"] is False


def test_the_default_validator_leaves_a_revision_that_nobody_uses_any_more(objects, playbooks, look):
    look()
    objects.obj["spec"] = {"revision": "canary"}
    objects.used = {"default": Uses(users=("namespace shop",))}
    look()
    _name, variables = playbooks.played[-1]
    assert variables["control_plane_retiring"] == []
    objects.used = {}
    look("Resync")
    (_first, (applied, variables), (removed, rest)) = playbooks.played[1:]
    assert (applied, variables["control_plane_retiring"]) == ("apply", ["default"])
    assert (removed, rest["operator_revision"]) == ("remove", "default")
