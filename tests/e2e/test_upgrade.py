# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A mesh goes from one version to the next and back, in place and by a revision, and no request fails.

The stories build on each other, in the order of this file.
"""

from __future__ import annotations

import pytest
from traffic import without_failure
from upgrade_story import Story

pytestmark = [pytest.mark.previous, pytest.mark.timeout(1800)]

WAYS = {
    "sidecar": ("demo", "http://echo.demo/"),
    "gateway": ("outside", "http://istio-ingressgateway.istio-system/"),
}


@pytest.fixture(scope="module")
def story(own_mesh, tmp_path_factory):
    story = Story(own_mesh, tmp_path_factory.mktemp("upgrade"))
    own_mesh.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "outside"}})
    story.play("site", story.mesh.env["LAB_PREVIOUS_TAG"])
    return story


@pytest.fixture
def traffic(story, tmp_path):
    """Requests through the gateway and between sidecars."""
    with without_failure(story.mesh, tmp_path, WAYS, at_least=500) as traffic:
        yield traffic


def test_in_place_killed_in_the_middle_and_gone_on_with(story, traffic):
    older, newer = story.mesh.env["LAB_PREVIOUS_TAG"], story.mesh.env["LAB_TAG"]
    assert story.proxies() == {("default", older)}

    def gateway_is_rolled() -> bool:
        pods = story.mesh.pods("istio-system", "istio=ingressgateway")
        return any(f":{newer}" in c["image"] for pod in pods for c in pod["spec"]["containers"])

    story.play_and_kill("upgrade", newer, gateway_is_rolled)
    assert ("default", older) in story.proxies(), "it was over before it could be killed"
    story.play("upgrade", newer)
    assert story.proxies() == {("default", newer)}
    assert story.play("upgrade", newer).count("changed") == 0


def test_back_in_place(story, traffic):
    older = story.mesh.env["LAB_PREVIOUS_TAG"]
    story.play("upgrade", older, upgrade_rollback=True)
    assert story.proxies() == {("default", older)}


REVISION = {"control_plane_revision": "next", "control_plane_tags": ["prod"], "injection_revision": "prod"}


def test_by_a_revision_beside_the_old_one(story, traffic):
    newer, revision = story.mesh.env["LAB_TAG"], REVISION
    story.play("upgrade", newer, **revision)
    assert story.proxies() == {("next", newer)}
    assert story.istiods() == {"istiod-next"}
    assert story.play("upgrade", newer, **revision).count("changed") == 0
