# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The collection as a user gets it: built, and installed into an empty environment with what it declares alone."""

from __future__ import annotations

import copy
import json
import os
import pathlib
import shutil
import subprocess
import venv

import ansible_collections.kubernetes.core
import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> pathlib.Path:
    """A virtual environment with ansible-core, requirements.txt, and the collections of galaxy.yml's dependencies."""
    place = tmp_path_factory.mktemp("installed")
    venv.create(place / "venv", with_pip=True)
    python = place / "venv/bin/python"
    runtime = ROOT / "requirements.txt"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "ansible-core==2.19.14", "-r", runtime, "-c", pins(place)],
        check=True,
    )
    collections = place / "collections"
    declared = yaml.safe_load((ROOT / "galaxy.yml").read_text())["dependencies"]
    assert list(declared) == ["kubernetes.core"]
    source = pathlib.Path(next(iter(ansible_collections.kubernetes.core.__path__)))
    shutil.copytree(source, collections / "ansible_collections/kubernetes/core")
    galaxy = place / "venv/bin/ansible-galaxy"  # this environment's own would find the collection installed already
    subprocess.run([galaxy, "collection", "build", "--output-path", place, ROOT], check=True, capture_output=True)
    (package,) = place.glob("meshops-istio-*.tar.gz")
    subprocess.run(
        [galaxy, "collection", "install", "--offline", "-p", collections, package],
        check=True, capture_output=True, env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections)},
    )  # fmt: skip
    return place


def pins(place: pathlib.Path) -> pathlib.Path:
    """The versions that the rest of the tests run with, so that a new release elsewhere breaks no test here."""
    lines = (ROOT / "requirements-dev.txt").read_text().splitlines()
    path = place / "pins.txt"
    path.write_text("\n".join(line for line in lines if "==" in line))
    return path


@pytest.fixture
def user(mesh, installed):
    """The demo's mesh, as somebody sees it who has nothing but the installed collection."""
    user = copy.copy(mesh)
    tools = mesh.env["PATH"].split(os.pathsep)[1]  # the lab's
    user.env = {
        **mesh.env,
        "PATH": f"{installed}/venv/bin:{tools}:/usr/bin:/bin",
        "ANSIBLE_COLLECTIONS_PATH": str(installed / "collections"),
    }
    return user


def play(user, installed, playbook: str, *options: str) -> subprocess.CompletedProcess:
    shutil.copytree(ROOT / "playbooks/inventory/demo", installed / "inventory", dirs_exist_ok=True)
    return subprocess.run(
        [installed / "venv/bin/ansible-playbook", playbook, "-i", installed / "inventory", *options],
        env=user.env, cwd=installed, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_site_by_its_full_name_finds_the_mesh_as_it_should_be(user, installed):
    done = play(user, installed, "meshops.istio.site")
    assert done.returncode == 0, done.stdout + done.stderr
    recap = done.stdout.partition("PLAY RECAP")[2]
    assert "changed=0" in recap
    assert "failed=0" in recap


def test_the_first_playbook_of_the_readme(user, installed):
    """As it stands there, but for the lab's charts and images; the demo's mesh is another one, so it's only planned."""
    text = (
        (ROOT / "README.md").read_text().partition("A first playbook, `mesh.yml`:\n\n```yaml\n")[2].partition("```")[0]
    )
    (installed / "mesh.yml").write_text(text)
    lab = yaml.safe_load((ROOT / "playbooks/inventory/demo/group_vars/all/lab.yml").read_text())
    (installed / "lab.json").write_text(json.dumps(lab))
    done = subprocess.run(
        [installed / "venv/bin/ansible-playbook", "mesh.yml", "--check", "--diff", "-e", "@lab.json"],
        env=user.env, cwd=installed, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed=0" in done.stdout
    assert "changed=0" not in done.stdout


def test_what_runs_is_the_installed_collection(user, installed):
    listed = subprocess.check_output(
        [installed / "venv/bin/ansible-galaxy", "collection", "list", "--format", "json"], env=user.env, text=True
    )
    assert "meshops.istio" in json.loads(listed)[str(installed / "collections/ansible_collections")]
    done = play(user, installed, "meshops.istio.site", "--list-tasks")
    assert "meshops.istio.control_plane" in done.stdout
