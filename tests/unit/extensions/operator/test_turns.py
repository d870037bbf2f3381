# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs that work on the same releases take turns."""

from __future__ import annotations

import contextlib
import threading

from ansible_collections.meshops.istio.extensions.operator.supervision import Heartbeat
from ansible_collections.meshops.istio.extensions.operator.turns import Turns

SOON = 10


A, B = ("istio-system", "a"), ("istio-system", "b")


class Turn(threading.Thread):
    """Takes a turn, and gives it back when it is told to."""

    def __init__(self, turns: Turns, releases) -> None:
        super().__init__(daemon=True)
        self.turns, self.releases = turns, releases
        self.has_it, self.over = threading.Event(), threading.Event()
        self.start()

    def run(self) -> None:
        with self.turns.of(self.releases, Heartbeat()):
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
