# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from ansible_collections.meshops.istio.plugins.module_utils.cluster.poll import until


class Clock:
    def __init__(self):
        self.now, self.pauses = 0.0, []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds


def test_until_returns_the_first_answer():
    clock, answers = Clock(), iter([None, [], "ready"])
    assert until(lambda: next(answers), 60, clock=clock, sleep=clock.sleep) == "ready"
    assert len(clock.pauses) == 2


def test_until_asks_once_more_when_the_time_is_over():
    clock, asked = Clock(), []
    assert until(lambda: asked.append(clock.now), 1, pause=0.4, clock=clock, sleep=clock.sleep) is None
    assert asked[-1] == 1
    assert max(clock.pauses) <= 0.5


def test_until_asks_once_without_time():
    clock = Clock()
    assert until(lambda: "ready", -5, clock=clock, sleep=clock.sleep) == "ready"
    assert until(lambda: None, 0, clock=clock, sleep=clock.sleep) is None
    assert not clock.pauses
