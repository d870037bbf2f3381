# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""After a purge an independent audit finds nothing of Istio, and nothing else missing.

The audit lists every object of every kind before Istio comes and after it has gone, and the node's CNI files. The
rest of the matrix is in tests/soak/test_purge_matrix.py.
"""

from __future__ import annotations

import pytest
from purge_story import MESH_OBJECTS, Story, Traffic, difference

STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
"""


@pytest.fixture(scope="module")
def story(own_cluster):
    story = Story(own_cluster)
    story.users_own()
    return story


@pytest.fixture(scope="module")
def before(story):
    return story.everything()


def test_a_mesh_that_helm_installed_with_cni(story, before, tmp_path):
    """Workloads keep answering; the backup brings the same mesh back; killed and repeated purges are no harm."""
    files = story.node_files()
    story.use_mesh(story.install_cni())
    assert story.node_files() != files

    story.apply(STRICT)
    story.wait_for_answers({}, set())
    plan = story.purge("--check")
    story.apply(MESH_OBJECTS)
    story.wait_for_answers({"200": 20}, {"v1", "v2"})
    assert plan["changed"]
    assert any("PeerAuthentication shop/default" in text and "PERMISSIVE" in text for text in plan["warnings"])
    assert story.kubectl("get", "deployment", "-n", "istio-system", "istiod")

    with Traffic(story) as traffic:
        done = story.purge(purge_backup_dir=str(tmp_path))
    assert difference(before, story.everything()) == []
    assert story.traces() == []
    assert story.node_files() == files
    assert "warnings" not in done
    assert done["remarks"] == [], "the node was looked at, and nothing had to be put right"
    assert traffic.requests > 100
    assert traffic.failed == []
    assert "the footprint is empty" in done["proof"]
    assert any("a new pod started in namespace shop" in line for line in done["proof"])
    assert done["finalizers"] == ["DestinationRule shop/echo: example.istio.io/nobody-answers"]
    stays = {(item["kind"], item["name"]) for item in done["stays"]}
    assert stays >= {("Namespace", "istio-demo"), ("ServiceAccount", "istiod")}

    assert story.purge()["changed"] is False


def test_a_mesh_that_istioctl_installed_and_istiod_is_down(story, before):
    story.use_mesh(story.install_istioctl())
    story.kubectl("-n", "istio-system", "scale", "deployment/istiod", "--replicas=0")
    story.kubectl("-n", "istio-system", "wait", "--for=delete", "pod", "-l", "app=istiod", "--timeout=120s")
    story.purge()
    assert difference(before, story.everything()) == []
    assert story.traces() == []
