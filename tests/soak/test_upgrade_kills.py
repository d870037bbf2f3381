# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Upgrades that are killed at random moments, in place and by a revision, there and back: a second run ends each."""

from __future__ import annotations

import time

import pytest
from kills import Kills, helm_ls
from upgrade_story import Story

WAYS = (
    {},
    {"control_plane_revision": "next", "control_plane_tags": ["prod"], "injection_revision": "prod"},
)


@pytest.mark.previous
@pytest.mark.timeout(7200)
def test_an_upgrade_that_was_killed_is_ended_by_the_next_run(own_mesh, tmp_path, note):
    story = Story(own_mesh, tmp_path)
    versions = [own_mesh.env["LAB_PREVIOUS_TAG"], own_mesh.env["LAB_TAG"]]
    story.play("site", versions[0])
    begun = time.monotonic()
    story.play("upgrade", versions[1])
    whole = time.monotonic() - begun
    kills, number = Kills(tmp_path, whole), 0
    while kills.left:
        version, way = versions[number % 2], WAYS[number // 2 % 2]
        number += 1
        more = {**way, "upgrade_rollback": version == versions[0]}
        killed = kills.begin_and_kill("upgrade", *story.options(version, **more))
        begun = time.monotonic()
        story.play("upgrade", version, **more)
        took = time.monotonic() - begun
        assert helm_ls(own_mesh.env) == []
        assert story.proxies() == {(way.get("control_plane_revision", "default"), version)}
        assert story.play("upgrade", version, **more).count("changed") == 0
        if killed:
            revision = f"to revision {way['control_plane_revision']}" if way else "of revision default"
            kills.converged(f"{revision}, {'back' if more['upgrade_rollback'] else 'forward'}", took)
    note(
        "An upgrade that is killed",
        "After each kill -9 a plain second run ended the upgrade: every proxy of the new version, every release shown "
        f"as deployed by `helm ls`, and nothing changed by a third run. An undisturbed upgrade took {whole:.0f} s; "
        f"seed {kills.seed}.\n\n{kills.table()}",
    )
