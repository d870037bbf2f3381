# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Upgrades that are killed at random moments, in place and by a revision, there and back: a second run ends each.

MESHOPS_KILLS says how many times, MESHOPS_SEED repeats the moments.
"""

from __future__ import annotations

import os
import random
import time

import pytest
from upgrade_story import Story

SEED = int(os.environ.get("MESHOPS_SEED", time.time()))
WAYS = (
    {},
    {"control_plane_revision": "next", "control_plane_tags": ["prod"], "injection_revision": "prod"},
)


@pytest.mark.previous
@pytest.mark.timeout(7200)
def test_an_upgrade_that_was_killed_is_ended_by_the_next_run(own_mesh, tmp_path):
    chance = random.Random(SEED)
    print(f"\nseed {SEED}")
    story = Story(own_mesh, tmp_path)
    versions = [own_mesh.env["LAB_PREVIOUS_TAG"], own_mesh.env["LAB_TAG"]]
    story.play("site", versions[0])
    begun = time.monotonic()
    story.play("upgrade", versions[1])
    duration = time.monotonic() - begun
    for number in range(int(os.environ.get("MESHOPS_KILLS", "10"))):
        version, way = versions[number % 2], WAYS[number // 2 % 2]
        more = {**way, "upgrade_rollback": number % 2 == 0}
        moment = time.monotonic() + chance.uniform(0.05, 0.95) * duration
        story.play_and_kill("upgrade", version, lambda end=moment: time.monotonic() > end, may_end=True, **more)
        story.play("upgrade", version, **more)
        assert story.unhealthy() == []
        assert story.proxies() == {(way.get("control_plane_revision", "default"), version)}
        assert story.play("upgrade", version, **more).count("changed") == 0
