# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rest of the matrix of tests/e2e/test_purge.py: other installers, revisions, killed purges, and the way back."""

from __future__ import annotations

import concurrent.futures
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from killing import kill
from purge_story import ROOT, Story, difference, still

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def story(own_cluster):
    story = Story(own_cluster)
    story.users_own()
    return story


@pytest.fixture(scope="module")
def before(story):
    return story.everything()


@pytest.fixture
def audited(story, before):
    """What every purge must leave: the cluster as it was."""
    files = story.node_files()
    yield
    assert difference(before, story.everything()) == []
    assert story.traces() == []
    assert story.node_files() == files


def mesh_objects(story):
    kinds = "virtualservices,destinationrules,peerauthentications"
    return [still(obj) for obj in story.get(kinds, "-A")["items"]]


def as_written(objects):
    """Without finalizers, which a purge takes off, and of labels and annotations only the user's own."""
    for obj in objects:
        meta = obj["metadata"]
        meta.pop("finalizers", None)
        for field in ("labels", "annotations"):
            meta[field] = {key: value for key, value in (meta.get(field) or {}).items() if "example.com/" in key}
    return objects


def test_site_and_back_again(story, audited, tmp_path):
    """What a purge has saved makes the same mesh again, with the same root, and a second run changes nothing."""
    story.use_mesh(story.install_site())
    objects = as_written(mesh_objects(story))
    (virtual_service,) = (obj["metadata"] for obj in objects if obj["kind"] == "VirtualService")
    assert virtual_service["labels"] == {"example.com/team": "shop"}
    assert virtual_service["annotations"] == {"example.com/why": "both, in turn"}
    root = story.get("secret", "istio-ca-secret", "-n", "istio-system")["data"]["ca-cert.pem"]

    backup = tmp_path / "backup"
    story.purge(purge_backup_dir=str(backup))
    assert not [name for name in story.everything() if "istio.io" in name]

    play = tmp_path / "restore.yml"
    play.write_text(RESTORE)
    words = ("-e", f"backup={backup}", "-e", f"@{backup}/site.yml", "-e", f"control_plane_charts={story.charts}")
    story.playbook(play, *words)
    assert as_written(mesh_objects(story)) == objects
    assert story.get("secret", "istio-ca-secret", "-n", "istio-system")["data"]["ca-cert.pem"] == root
    assert "istio-proxy" in json.dumps(story.get("pods", "-n", "shop", "-l", "app=echo"))
    again = story.playbook(play, *words)
    assert " changed=0 " in again.partition("PLAY RECAP")[2]
    story.purge()


RESTORE = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Namespaces, and the CA first, so that the root stays the same
      meshops.istio.mesh_objects:
        src: ["{{ backup }}/namespaces", "{{ backup }}/ca"]

- import_playbook: meshops.istio.site

- hosts: all
  gather_facts: false
  tasks:
    - name: The mesh objects
      meshops.istio.mesh_objects:
        src: ["{{ backup }}/mesh_objects"]
"""


def test_two_revisions_with_tags(story, audited):
    label = story.install_revisions()
    story.use_mesh(label)
    refused = refusal(story, purge_revision="stable")
    assert "revision stable is still used by namespace shop" not in refused, "the namespace names the tag"
    assert "tag prod" in refused
    assert "proxy shop/" in refused
    assert "tag next" in refusal(story, purge_revision="canary")

    story.kubectl("delete", "mutatingwebhookconfiguration", "istio-revision-tag-next")
    done = story.purge(purge_revision="canary")
    assert {item["name"] for item in done["purged"]} >= {"istiod-canary", "istio-sidecar-injector-canary"}
    names = list(story.everything())
    assert not [name for name in names if "canary" in name]
    assert [name for name in names if "stable" in name]
    assert "istiod-canary" not in story.run("helm", "ls", "-A", "-q")
    story.kubectl("-n", "shop", "rollout", "restart", "deployment/echo-v1")
    story.kubectl("-n", "shop", "rollout", "status", "deployment/echo-v1", "--timeout=300s")
    assert story.purge(purge_revision="canary")["changed"] is False
    story.purge()


def refusal(story, **variables):
    with pytest.raises(AssertionError) as caught:
        story.purge(**variables)
    return str(caught.value)


def test_a_purge_that_was_killed_goes_on(story, audited, tmp_path):
    """Killed when istiod has gone, while mesh objects, definitions, the CNI and namespaces are still to go."""
    story.use_mesh(story.install_helm(cni=True))
    ansible = Path(sys.executable).parent / "ansible-playbook"
    told = {
        "purge_confirm": True,
        "purge_backup_dir": str(tmp_path / "b"),
        "ansible_python_interpreter": sys.executable,
    }
    command = [ansible, "meshops.istio.purge", "-i", "lab,", "-c", "local", "-e", json.dumps(told)]
    purge = subprocess.Popen(command, env=story.env, stdout=subprocess.DEVNULL)
    while story.kubectl("get", "deployment", "istiod", "-n", "istio-system", "--ignore-not-found"):
        assert purge.poll() is None
    assert purge.poll() is None
    kill(purge)
    done = story.purge(purge_backup_dir=str(tmp_path / "b"))
    assert {"namespaces", "cni"} <= {item["part"] for item in done["purged"]}
    assert "the footprint is empty" in done["proof"]
    saved = {yaml.safe_load(path.read_text())["kind"] for path in (tmp_path / "b/mesh_objects").iterdir()}
    assert saved == {"VirtualService", "DestinationRule", "PeerAuthentication"}


def test_keep_what_is_named(story, before, audited):
    story.use_mesh(story.install_helm())
    objects = mesh_objects(story)
    story.purge(purge_keep=["mesh_objects", "ca"])
    assert mesh_objects(story) == objects
    assert story.get("secret", "istio-ca-secret", "-n", "istio-system")
    assert story.purge(purge_keep=["mesh_objects", "ca"])["changed"] is False
    story.apply(yaml.safe_dump({"apiVersion": "networking.istio.io/v1", "kind": "Sidecar",
                                "metadata": {"name": "new", "namespace": "shop"}, "spec": {}}))  # fmt: skip
    story.purge()


def test_an_own_namespace_inside_istios(story, audited):
    """A workload of the user's in istio-system keeps its namespace, and is not restarted."""
    story.use_mesh(story.install_helm())
    chart = ROOT / "charts/probe"
    story.helm("mine", chart, "istio-system", {"image": story.env["LAB_PROBE_IMAGE"]})
    pods = {p["metadata"]["uid"] for p in story.get("pods", "-n", "istio-system", "-l", "app=echo")["items"]}
    done = story.purge()
    assert {p["metadata"]["uid"] for p in story.get("pods", "-n", "istio-system", "-l", "app=echo")["items"]} == pods
    assert any(i["name"] == "istio-system" and "Deployment" in i["why"][0] for i in done["retained"])
    story.run("helm", "uninstall", "mine", "-n", "istio-system", "--wait")
    story.purge()


FRONT = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front, namespace: istio-ingress}
spec:
  selector: {istio: ingress}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: front, namespace: istio-ingress}
spec:
  hosts: ["*"]
  gateways: [front]
  http: [{route: [{destination: {host: echo.shop.svc.cluster.local}}]}]
"""


def test_a_request_under_way_through_a_gateway_is_answered(story, audited):
    """A gateway ends when its last client has gone, though it would take a minute by itself."""
    label = story.install_helm()
    story.gateway(
        terminationGracePeriodSeconds=90,
        podAnnotations={"proxy.istio.io/config": "terminationDrainDuration: 60s"},
    )
    story.use_mesh(label)
    story.apply(FRONT)

    def ask(path):
        told = story.kubectl("-n", "outside", "exec", "deploy/client", "--", "probe", "get", "-timeout", "60s",
                             f"http://istio-ingress.istio-ingress{path}")  # fmt: skip
        return json.loads(told)["statuses"]

    deadline = time.monotonic() + 60
    while ask("/") != {"200": 1}:
        assert time.monotonic() < deadline
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        slow = pool.submit(ask, "/delay/25s")
        story.purge(purge_restart_workloads=False)
        assert slow.result() == {"200": 1}
    story.purge()
