# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When a run is due."""

from __future__ import annotations

from ansible_collections.meshops.istio.extensions.operator.pace import QUIET, Pace, backoff


def test_pace_of_a_good_object():
    pace = Pace(resync=600)
    assert pace.due() == (0, "Changed")
    pace.begins()
    pace.ran(10, failed=False)
    assert pace.due() == (610, "Resync")
    pace.drift(20)
    assert pace.due() == (20 + QUIET, "Drift")
    pace.begins()
    pace.drift(25)  # while it runs
    pace.ran(30, failed=False, repaired=True)
    assert pace.due() == (30, "Drift"), "what has changed meanwhile is looked at once more"
    pace.begins()
    pace.ran(40, failed=False)
    assert pace.due() == (640, "Resync")


def test_failures_are_tried_again_ever_more_slowly_until_the_object_changes():
    assert [backoff(n) for n in (1, 2, 3, 20)] == [10, 20, 40, 300]
    pace = Pace(resync=600)
    pace.ran(0, failed=True)
    pace.ran(10, failed=True)
    assert pace.due() == (30, "Retry")
    pace.renew()
    assert pace.due() == (0, "Changed")


def test_drift_is_looked_at_soon_whatever_has_failed():
    pace = Pace(resync=600)
    for at in range(0, 600, 100):
        pace.ran(at, failed=True)
    pace.drift(501)
    assert pace.due() == (510, "Drift")
    pace.drift(520)
    assert pace.due() == (520 + QUIET, "Drift")
    for at in (530, 540, 550, 560):  # what the failing runs themselves change leads to ever fewer of them
        pace.begins()
        pace.drift(at - 1)
        pace.ran(at, failed=True, repaired=True)
    pace.begins()
    pace.drift(569)
    pace.ran(570, failed=True, repaired=True)
    assert pace.due() == (590, "Drift")


def test_a_fight_over_an_object_is_fought_ever_more_slowly():
    pace = Pace(resync=6000)
    delays = []
    now = 0.0
    for _round in range(8):
        pace.begins()
        pace.ran(now, failed=False, repaired=True)
        pace.drift(now + 1)
        delays.append(pace.due()[0] - now)
        now += 20
    assert delays[:3] == [1 + QUIET] * 3
    assert delays[3:] == [10, 20, 40, 80, 160]
