# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rotations that are killed, taken back and disturbed, under load, with two revisions of istiod: no request fails.

The stories build on each other, in the order of this file. MESHOPS_SEED repeats the moments of the kills. Once all have
passed, what was seen is written to docs/benchmarks/ca-soak.md.
"""

from __future__ import annotations

import copy
import json
import os
import random
import re
import subprocess
import time

import ca_mesh
import pytest
from ansible_collections.meshops.istio.plugins.module_utils.ca.rotation import PHASES
from killing import kill

SEED = int(os.environ.get("MESHOPS_SEED", time.time()))
PAGE = ca_mesh.ROOT / "docs/benchmarks/ca-soak.md"
#: Each story that has passed, in words, with its seconds.
SEEN: dict[str, float] = {}
#: Each kill: after how many seconds of a run, and which phase the secret was in.
KILLS: list[tuple[float, str]] = []


@pytest.fixture(scope="module")
def story(own_cluster, tmp_path_factory):
    story = ca_mesh.Mesh(tmp_path_factory.mktemp("ca"))
    story.install()
    story.install_revision("canary", "canary")
    yield story
    if "MESHOPS_CLUSTER" in os.environ:  # else the cluster goes with all that is in it
        story.remove()


@pytest.fixture(scope="module")
def load(story):
    with ca_mesh.Load(story) as load:
        yield load
    print(f"\nseed {SEED}: {load.report()}")
    load.assert_nothing_failed()
    load.assert_enough()
    if {name.partition("[")[0] for name in SEEN} == {name for name in globals() if name.startswith("test_")}:
        PAGE.write_text(page(load.report()))


@pytest.fixture(autouse=True)
def timed(request, load):
    failed = request.session.testsfailed
    begun = time.monotonic()
    yield
    if request.session.testsfailed == failed:
        SEEN[request.node.name] = time.monotonic() - begun


def page(report: str) -> str:
    """docs/benchmarks/ca-soak.md."""
    rows = [
        (re.sub(r"\bca\b", "CA", name.removeprefix("test_").replace("_", " ")).replace("[", ": ").rstrip("]"), seconds)
        for name, seconds in SEEN.items()
    ]
    lines = [
        "# Soak: a CA that is rotated, killed and disturbed",
        "",
        "Written by `tests/soak/test_ca_soak.py` (`make soak`) once all of its tests have passed. Istio 1.31, one",
        "kind node, two revisions of istiod, sidecars and an ingress gateway. One load ran through it all, sidecar to",
        "sidecar and through the gateway, over kept-alive and new connections, while a Deployment went up and down.",
        "",
        f"Seen on {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores that node, load and playbooks share (load average"
        f" {os.getloadavg()[2]:.0f}), seed {SEED}:",
        f"{report}.",
        "",
        "| test | seconds |",
        "|---|--:|",
        *(f"| {words} | {seconds:.0f} |" for words, seconds in rows),
        "",
        "The kills (`kill -9` for ansible-playbook and all that it has begun), each followed by a run from the start:",
        "",
        "| killed after | phase that the secret was in by then |",
        "|--:|---|",
        *(f"| {seconds:.0f} s | {phase} |" for seconds, phase in KILLS),
    ]
    return "\n".join(lines) + "\n"


def fingerprints(found: dict) -> list[str]:
    return [root["fingerprint"] for root in found["roots"]]


@pytest.mark.parametrize("phase", ["adopt", "trust", "sign", "drop"])
def test_back_to_the_ca_that_istiod_made_from_each_phase(story, load, phase):
    old = story.status()
    story.run_until(phase, "rotate")
    story.role("rotate", ca_rotation_abort=True)
    new = story.status()
    assert (new["source"], new["under_way"]) == ("self-signed", False)
    assert fingerprints(new) == fingerprints(old)
    assert {leaf["issuer"] for leaf in new["leaves"]} == {leaf["issuer"] for leaf in old["leaves"]}
    left = {secret["metadata"]["name"] for secret in ca_mesh.get("secrets", "-n", "istio-system")["items"]}
    assert not {name for name in left if name.startswith("cacerts")}
    load.assert_nothing_failed()


def test_both_revisions_are_brought_to_a_plugged_in_ca(story, load):
    story.role("install")
    found = story.status()
    assert {istiod["revision"] for istiod in found["control_planes"]} == {"default", "canary"}
    assert found["source"] == "plugged-in"
    assert [root["held_by"] for root in found["roots"]] == [len(found["leaves"])]
    assert any(leaf["proxy"].startswith("canary/") for leaf in found["leaves"])
    load.assert_nothing_failed()


def test_ten_kills_at_random_moments(story, load):
    begun = time.monotonic()
    story.role("rotate")
    whole = time.monotonic() - begun
    old = story.status()
    moments = random.Random(SEED)
    while len(KILLS) < 10:
        seconds = moments.uniform(0, whole)
        process = story.start("rotate")
        try:
            assert process.wait(seconds) == 0, (story.folder / "run.log").read_text()
        except subprocess.TimeoutExpired:
            kill(process)
            phase = ca_mesh.record()["phase"]
            KILLS.append((seconds, phase if phase in PHASES else "nothing yet"))
            print(f"killed after {seconds:.1f} s in {KILLS[-1][1]}")
    assert {phase for _seconds, phase in KILLS} & set(PHASES), "none was under way"
    story.role("rotate")
    new = story.status()
    assert not new["under_way"]
    assert not set(fingerprints(new)) & set(fingerprints(old))
    assert [root["held_by"] for root in new["roots"]] == [len(new["leaves"])]
    load.assert_nothing_failed()


def test_istiod_restarted_in_mid_rotation(story, load):
    process = story.start("rotate")
    story.wait_for_phase("trust", process)
    ca_mesh.kubectl("rollout", "restart", "deployment/istiod", "-n", "istio-system")
    assert process.wait(600) == 0, (story.folder / "run.log").read_text()
    found = story.status()
    assert [root["held_by"] for root in found["roots"]] == [len(found["leaves"])]


def test_a_workload_that_can_not_become_ready_does_not_stop_it(story, load):
    broken = copy.deepcopy(ca_mesh.get("deployment", "echo-v1", "-n", "app"))
    for key in ("uid", "resourceVersion", "creationTimestamp", "annotations", "managedFields"):
        broken["metadata"].pop(key, None)
    broken["metadata"]["name"] = "broken"
    labels = {"app": "broken"}
    broken["spec"]["selector"], broken["spec"]["template"]["metadata"]["labels"] = {"matchLabels": labels}, labels
    broken["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = {"httpGet": {"path": "/", "port": 1}}
    ca_mesh.kubectl("apply", "-f", "-", stdin=json.dumps(broken))
    ca_mesh.wait_for(lambda: any(leaf["proxy"].startswith("app/broken") for leaf in story.status()["leaves"]))
    old = story.status()
    told = story.role("rotate", "-v")
    new = story.status()
    ca_mesh.kubectl("delete", "deployment", "broken", "-n", "app")
    assert "(Deployment/broken)" in told.partition('"not_ready": ')[2].partition("]")[0]
    assert not set(fingerprints(new)) & set(fingerprints(old))
    assert any(leaf["proxy"].startswith("app/broken") for leaf in new["leaves"])
    load.assert_nothing_failed()


def test_workloads_that_take_no_roots_are_restarted_where_that_is_allowed(story, load):
    """A Deployment that was started before the mesh was prepared; all others stay as they are."""
    story.push(False)
    image = os.environ["LAB_PROBE_IMAGE"]
    ca_mesh.kubectl("create", "deployment", "deaf", "-n", "app", f"--image={image}", "--", "probe", "echo")
    ca_mesh.kubectl("rollout", "status", "deployment/deaf", "-n", "app", "--timeout=120s")
    story.push(True)

    def pods(*names):
        found = ca_mesh.get("pods", "-n", "app")["items"]
        return {pod["metadata"]["uid"] for pod in found if pod["metadata"]["name"].startswith(names)}

    deaf, others = pods("deaf"), pods("client", "echo-v1")
    refused = story.role("rotate", fails=True)
    assert "app/deaf" in refused
    assert "ca_restart_proxies: true" in refused
    old = story.status()
    assert "Deployment app/deaf" in story.role("rotate", "-v", ca_restart_proxies=True)
    new = story.status()
    assert not pods("deaf") & deaf
    assert pods("client", "echo-v1") == others
    ca_mesh.kubectl("delete", "deployment", "deaf", "-n", "app")
    assert not set(fingerprints(new)) & set(fingerprints(old))
    assert any(leaf["proxy"].startswith("app/deaf") for leaf in new["leaves"])
    load.assert_nothing_failed()
