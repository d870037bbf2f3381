# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The walk from one CA to another: never a step that istiod refuses or that cuts a proxy off."""

from __future__ import annotations

import datetime
import doctest
import functools
import itertools

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.ca import rotation, trust_bundle
from ansible_collections.meshops.istio.plugins.module_utils.mesh import certificates as c
from hypothesis import given, settings
from hypothesis import strategies as st

NOW = datetime.datetime(2026, 11, 1, tzinfo=datetime.timezone.utc)


@functools.cache
def root(letter):
    return c.make_root("cluster.local", 3650, "EC-P256", NOW, f"Root {letter}")


@functools.cache
def bundle(letter, number=1):
    certificate, key = root(letter)
    signer, signer_key = c.make_intermediate(certificate, key, ["cluster.local"], 365, "EC-P256", NOW)
    return trust_bundle.plugged(signer, signer_key, [certificate])


@functools.cache
def self_signed(letter):
    certificate, key = root(letter)
    return trust_bundle.plugged(certificate, key, [])


def phases(steps):
    return [step.phase for step in steps]


def test_from_self_signed_to_plugged_in():
    steps = rotation.all_steps(self_signed("A"), bundle("B"), watched=False)
    assert phases(steps) == ["adopt", "trust", "sign", "drop"]
    assert steps[0].bundle == self_signed("A")
    assert [step.restart_istiod for step in steps] == [True, False, False, False]


def test_examples_in_the_documentation():
    done = doctest.testmod(rotation, extraglobs={"old": bundle("A"), "new": bundle("B")})
    assert (done.failed, done.attempted) == (0, 3)


def test_root_rotation():
    steps = rotation.all_steps(bundle("A"), bundle("B"))
    assert phases(steps) == ["trust", "sign", "drop"]
    assert [step.bundle.signer for step in steps] == [bundle("A").signer, bundle("B").signer, bundle("B").signer]
    assert steps[-1].bundle == bundle("B")


def test_renewal_of_the_intermediate_is_one_write_with_changed_bytes():
    (step,) = rotation.all_steps(bundle("A", 1), bundle("A", 2))
    assert step.phase == "sign"
    assert step.bundle.trusted == bundle("A").trusted
    assert step.bundle.roots != bundle("A").roots


def test_nothing_to_do():
    assert rotation.next_step(bundle("A"), bundle("A")) is None


def test_half_done_rotation_of_someone_else_is_taken_on():
    both = trust_bundle.join([*bundle("A").trusted, *bundle("B").trusted])
    halfway = rotation.dataclasses.replace(bundle("A"), roots=both)
    assert phases(rotation.all_steps(halfway, bundle("B"))) == ["sign", "drop"]
    assert phases(rotation.all_steps(halfway, bundle("C"))) == ["trust", "sign", "drop"]


@pytest.mark.parametrize("done", [0, 1, 2, 3])
def test_a_way_back_from_every_phase(done):
    there = rotation.all_steps(bundle("A"), bundle("B"))
    held = ([bundle("A")] + [step.bundle for step in there])[done]
    back = rotation.all_steps(held, bundle("A"))
    assert phases(back) == [[], ["drop"], ["sign", "drop"], ["trust", "sign", "drop"]][done]
    if back:
        assert back[-1].bundle == bundle("A")


STATES = st.sampled_from([(letter, number) for letter in "ABC" for number in (1, 2)])


@settings(deadline=None)
@given(st.lists(STATES, min_size=2, max_size=4), st.data())
def test_every_step_is_one_that_istiod_takes_and_no_proxy_is_cut_off(stops, data):
    held = bundle(*stops[0])
    for stop in stops[1:]:
        steps = rotation.all_steps(held, bundle(*stop))
        # a user may turn round anywhere
        for step in itertools.islice(steps, data.draw(st.integers(0, len(steps)))):
            before, after = set(held.trusted), set(step.bundle.trusted)
            assert before <= after or after <= before
            assert held.roots != step.bundle.roots, "unchanged bytes: no proxy would fetch a new leaf"
            assert held.root in after, "leaves of the signer so far are no longer trusted"
            assert step.bundle.root in before, "a signer whose root isn't trusted everywhere"
            assert step.bundle.problems(NOW, 30) == []
            held = step.bundle
    final = rotation.all_steps(held, bundle(*stops[-1]))
    assert len(final) <= 3


def test_expectations_of_each_phase():
    target, origin = bundle("B"), bundle("A")
    trust, sign, drop = (step.bundle for step in rotation.all_steps(origin, target))
    a, b = (c.fingerprints(x.roots) for x in (origin, target))
    expected = [rotation.expectation(x, target, origin) for x in (origin, trust, sign, drop)]
    assert [e.roots for e in expected] == [a, a | b, a | b, b]
    assert [e.gone for e in expected] == [b, frozenset(), frozenset(), a]
    assert [e.signer for e in expected] == [None, None, target.signer, target.signer]
    assert expected[1].chain_expiry == int(origin.signer.not_after.timestamp())
    assert expected[2].chain_expiry == int(target.signer.not_after.timestamp())


def test_words_name_fingerprints_and_no_keys():
    steps = rotation.all_steps(self_signed("A"), bundle("B"), watched=False)
    adopt, trust, sign, drop = (step.words for step in steps)
    old, new, signer = (c.short(x.fingerprint) for x in (root("A")[0], root("B")[0], bundle("B").signer))
    assert old in adopt
    assert old in trust and new in trust  # noqa: PT018
    assert signer in sign
    assert f"{old}) is gone" in drop
    assert "PRIVATE" not in "".join(step.words + repr(step.bundle) for step in steps)
