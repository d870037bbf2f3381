# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the operator keeps several objects beside each other, and what goes with the last of them; without a cluster."""

from __future__ import annotations

import contextlib
import queue
import threading
import time

import pytest
from ansible_collections.meshops.istio.extensions.operator import pace, removal
from ansible_collections.meshops.istio.extensions.operator.documents import IGNORE
from ansible_collections.meshops.istio.extensions.operator.keeper import Keeper
from ansible_collections.meshops.istio.extensions.operator.metrics import Metrics
from ansible_collections.meshops.istio.extensions.operator.reconcile import Ended
from ansible_collections.meshops.istio.extensions.operator.turns import Turns

SOON = 10
#: Lets a look ask whether to stop.
BEAT = object()


def obj(name: str, generation: int = 1, **annotations: str) -> dict:
    meta = {"namespace": "istio-system", "name": name, "uid": name, "generation": generation}
    return {"metadata": {**meta, "annotations": annotations}}


class Reconciler:
    """Tells who is looked at; a look ends when the test says so."""

    def __init__(self) -> None:
        self.looks: queue.Queue = queue.Queue()

    def look(self, place, run, watch, cancelled) -> Ended:
        watch({("istio-system", f"istiod-{place[1]}")})
        ended: queue.Queue = queue.Queue()
        self.looks.put((place[1], run.reason, cancelled, ended))
        while (told := ended.get()) == BEAT:
            cancelled()
        return told

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
    _reason, _cancelled, stuck = reconciler.next("stuck")
    keeper.noticed(obj("good"))
    reason, _cancelled, ended = reconciler.next("good")
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
    _reason, cancelled, ended = reconciler.next("mesh")
    assert not cancelled()
    deleted = obj("mesh")
    deleted["metadata"]["deletionTimestamp"] = "2026-03-01T00:00:00Z"
    keeper.noticed(deleted)
    assert cancelled()
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


# -- turns --------------------------------------------------------------------

A, B = ("istio-system", "a"), ("istio-system", "b")


class Turn(threading.Thread):
    """Takes a turn, and gives it back when it is told to."""

    def __init__(self, turns: Turns, releases) -> None:
        super().__init__(daemon=True)
        self.turns, self.releases = turns, releases
        self.has_it, self.over = threading.Event(), threading.Event()
        self.start()

    def run(self) -> None:
        with self.turns.of(self.releases, lambda: None):
            self.has_it.set()
            self.over.wait(SOON)


@contextlib.contextmanager
def turn(turns, releases):
    one = Turn(turns, releases)
    yield one
    one.over.set()
    one.join(SOON)


def test_nobody_works_on_a_release_that_another_works_on():
    turns = Turns()
    with turn(turns, {A}) as first, turn(turns, {B}) as other:
        assert first.has_it.wait(SOON)
        assert other.has_it.wait(SOON)
        with turn(turns, {A, B}) as both:
            assert not both.has_it.wait(0.1)
            first.over.set()
            assert not both.has_it.wait(0.1)
            other.over.set()
            assert both.has_it.wait(SOON)


def test_who_takes_everything_works_alone():
    turns = Turns()
    with turn(turns, {A}) as first:
        assert first.has_it.wait(SOON)
        with turn(turns, None) as alone:
            assert not alone.has_it.wait(0.1)
            first.over.set()
            assert alone.has_it.wait(SOON)
            with turn(turns, {B}) as later:
                assert not later.has_it.wait(0.1)
                alone.over.set()
                assert later.has_it.wait(SOON)


def test_only_so_many_work_at_once():
    turns = Turns(at_once=1)
    with turn(turns, {A}) as first:
        assert first.has_it.wait(SOON)
        with turn(turns, {B}) as second:
            assert not second.has_it.wait(0.1)
            first.over.set()
            assert second.has_it.wait(SOON)


# -- removal ------------------------------------------------------------------


def item(part, kind, name, namespace=None, api_version="v1", action="delete"):
    found = {"part": part, "action": action, "api_version": api_version, "kind": kind, "name": name}
    return {**found, "namespace": namespace} if namespace else found


def test_what_users_have_written_stays():
    route = item("mesh_objects", "VirtualService", "shop", "shop")
    crd = item("crds", "CustomResourceDefinition", "virtualservices.networking.istio.io")
    istiod = item("control_plane", "Deployment", "istiod", "istio-system")
    key = item("ca", "Secret", "cacerts", "istio-system")
    assert removal.kept([istiod, crd]) == ["operators", "namespaces"]
    keep = removal.kept([route, crd, istiod, key])
    assert keep == ["operators", "namespaces", "mesh_objects", "ca"]
    assert removal.going([route, crd, istiod, key], keep) == [istiod]
