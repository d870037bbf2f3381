# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab where a registry can be reached: node, Istio's images and charts are pulled, and a mesh is made of them.

The registry is a real one on 127.0.0.1; it holds what this lab has built, under the names by which it is published.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).parents[2]
BIN = pathlib.Path(sys.executable).parent
NAME = "pulled"


@pytest.fixture(scope="module")
def pulled(lab):
    """A cluster of pulled parts, and what the registry was asked for meanwhile."""
    with lab.registry("published", "--images") as registry, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MESHOPS_LAB_SOURCE", "registry")
        patch.setenv("MESHOPS_LAB_REGISTRY", registry["LAB_REGISTRY"])
        patch.setenv("MESHOPS_LAB_CHARTS", registry["LAB_REGISTRY_CHARTS"])
        try:
            log = pathlib.Path(registry["LAB_REGISTRY_LOG"])
            pushed = len(log.read_text())
            with lab.cluster(NAME) as env:
                yield env, log.read_text()[pushed:]
                shutil.rmtree(env["LAB_CHARTS"])
        finally:
            images = subprocess.check_output(
                ["docker", "image", "list", "--format", "{{.Repository}}:{{.Tag}}"], text=True
            ).split()
            mine = [image for image in images if image.startswith(registry["LAB_REGISTRY"] + "/")]
            subprocess.run(["docker", "image", "rm", *mine], check=True, capture_output=True)


@pytest.mark.parametrize("image", ["kindest/node", "istio/pilot", "istio/proxyv2", "istio/install-cni"])
def test_the_images_were_pulled(pulled, image):
    """Docker asks for the manifest; layers that it has already it doesn't fetch again."""
    _env, log = pulled
    assert any(f" /v2/{image}/manifests/" in line and "docker/" in line for line in log.splitlines())


def test_the_charts_were_pulled(pulled):
    env, log = pulled
    assert "-of-oci-" in env["LAB_CHARTS"]
    for chart in ("base", "istiod", "cni", "ztunnel", "gateway"):
        assert (pathlib.Path(env["LAB_CHARTS"]) / f"{chart}-{env['LAB_TAG']}.tgz").exists()
        assert any(f'"GET /v2/charts/{chart}/blobs/' in line and "Helm/" in line for line in log.splitlines())


def test_the_mesh_runs_on_them(pulled):
    env, _log = pulled
    assert env["LAB_HUB"] == f"{os.environ['MESHOPS_LAB_REGISTRY']}/istio"
    subprocess.run(
        [BIN / "ansible-playbook", ROOT / "playbooks/site.yml", "-i", ROOT / "playbooks/inventory/demo"],
        check=True, cwd=ROOT, env={**env, "PATH": f"{BIN}:{env['PATH']}"},
    )  # fmt: skip
    pods = json.loads(subprocess.check_output(["kubectl", "get", "pods", "-A", "-o", "json"], env=env))["items"]
    used = {c["image"] for pod in pods for c in pod["spec"]["containers"] + pod["spec"].get("initContainers", [])}
    assert {f"{env['LAB_HUB']}/pilot:{env['LAB_TAG']}", f"{env['LAB_HUB']}/proxyv2:{env['LAB_TAG']}"} <= used
    with urllib.request.urlopen(f"http://{env['LAB_INGRESS_HTTP']}/", timeout=30) as answer:
        assert answer.status == 200
