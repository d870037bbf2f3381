# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lease of the leader."""

from __future__ import annotations

from ansible_collections.meshops.istio.extensions.operator.leader import DURATION, Sight, claim


def test_a_lease_is_free_when_its_holder_falls_silent_by_our_own_clock():
    sight = Sight()
    held = {"holderIdentity": "one", "renewTime": "t1", "leaseDurationSeconds": DURATION}
    assert not sight.free(held, "two", 100)
    assert not sight.free(held, "two", 100 + DURATION)
    assert sight.free(held, "two", 101 + DURATION)
    assert not sight.free({**held, "renewTime": "t2"}, "two", 102 + DURATION)
    assert sight.free({**held, "renewTime": "t3"}, "one", 103)
    assert sight.free({"holderIdentity": ""}, "two", 104)


def test_taking_over_counts_a_transition_and_renewing_does_not():
    taken = claim({"holderIdentity": "one", "leaseTransitions": 3, "acquireTime": "t0"}, "two", "t1")
    assert (taken["holderIdentity"], taken["leaseTransitions"], taken["acquireTime"]) == ("two", 4, "t1")
    renewed = claim(taken, "two", "t2")
    assert (renewed["leaseTransitions"], renewed["acquireTime"], renewed["renewTime"]) == (4, "t1", "t2")
