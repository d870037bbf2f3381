# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the operator reconciles several objects beside each other; without a cluster."""

from __future__ import annotations

import queue
import time

import pytest
from ansible_collections.meshops.istio.extensions.operator import pace
from ansible_collections.meshops.istio.extensions.operator.documents import IGNORE
from ansible_collections.meshops.istio.extensions.operator.keeper import Keeper
from ansible_collections.meshops.istio.extensions.operator.metrics import Metrics
from ansible_collections.meshops.istio.extensions.operator.publication import Ended

SOON = 10
#: Lets a run beat.
BEAT = object()


def obj(name: str, generation: int = 1, **annotations: str) -> dict:
    meta = {"namespace": "istio-system", "name": name, "uid": name, "generation": generation}
    return {"metadata": {**meta, "annotations": annotations}}


class Reconciler:
    """Records which object is reconciled; a run ends when the test says so."""

    def __init__(self) -> None:
        self.looks: queue.Queue = queue.Queue()

    def look(self, ref, run, watch, heartbeat, cancel) -> Ended:
        watch({("istio-system", f"istiod-{ref[1]}")})
        ended: queue.Queue = queue.Queue()
        self.looks.put((ref[1], run.reason, cancel, ended))
        while (answer := ended.get()) == BEAT:
            heartbeat.beat()
        return answer

    def next(self, name: str):
        found = self.looks.get(timeout=SOON)
        assert found[0] == name
        return found[1:]


@pytest.fixture
def reconciler():
    return Reconciler()


@pytest.fixture
def keeper(reconciler, monkeypatch):
    monkeypatch.setattr(pace, "QUIET", 0)
    return Keeper(reconciler, Metrics(), resync=600)


def test_an_object_whose_run_takes_long_holds_up_no_other(keeper, reconciler):
    keeper.noticed(obj("stuck"))
    _reason, _cancel, stuck = reconciler.next("stuck")
    keeper.noticed(obj("good"))
    reason, _cancel, ended = reconciler.next("good")
    assert reason == "Changed"
    ended.put(Ended())
    keeper.drifted(("istio-system", "istiod-good"), "Deployment istiod-good")
    assert reconciler.next("good")[0] == "Drift"
    stuck.put(Ended(failed=True))


def test_an_object_that_changes_while_it_is_looked_at_is_looked_at_again(keeper, reconciler):
    keeper.noticed(obj("mesh"))
    ended = reconciler.next("mesh")[-1]
    keeper.noticed(obj("mesh", generation=2))
    ended.put(Ended())
    assert reconciler.next("mesh")[0] == "Changed"


def test_a_run_is_stopped_when_its_object_is_deleted(keeper, reconciler):
    keeper.noticed(obj("mesh"))
    _reason, cancel, ended = reconciler.next("mesh")
    assert not cancel.cancelled
    deleted = obj("mesh")
    deleted["metadata"]["deletionTimestamp"] = "2026-03-01T00:00:00Z"
    keeper.noticed(deleted)
    assert cancel.cancelled
    ended.put(Ended(cancelled=True))


def test_with_an_object_that_comes_or_goes_the_others_are_looked_at(keeper, reconciler):
    keeper.noticed(obj("one"))
    reconciler.next("one")[-1].put(Ended())
    keeper.noticed(obj("two"))
    looks = {look[0]: look for look in (reconciler.looks.get(timeout=SOON) for _look in range(2))}
    assert looks["one"][1] == "Drift"
    for look in looks.values():
        look[-1].put(Ended())
    keeper.gone("istio-system", "two")
    assert reconciler.next("one")[0] == "Drift"


def test_an_object_that_is_to_be_left_alone_is(keeper, reconciler):
    keeper.noticed(obj("installed-state", **{IGNORE: "true"}))
    keeper.noticed(obj("mesh"))
    reconciler.next("mesh")
    assert reconciler.looks.empty()


def test_a_thread_that_is_silent_is_known(keeper, reconciler):
    keeper.noticed(obj("mesh"))
    ended = reconciler.next("mesh")[-1]
    begun = time.monotonic()
    assert keeper.alive <= begun
    ended.put(BEAT)
    deadline = begun + SOON
    while keeper.alive <= begun:
        assert time.monotonic() < deadline
        time.sleep(0.01)
