# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What ansible-builder makes of the collection, without a registry: the context of the operator's image."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import tarfile

import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[2]
BIN = ROOT / ".venv/bin"
HELM = "#!/bin/sh\n"


def run(*command: object, cwd: pathlib.Path = ROOT) -> str:
    env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "NO_COLOR": "1"}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("built")
    run("ansible-galaxy", "collection", "build", "--output-path", folder, ROOT)
    (found,) = folder.glob("meshops-istio-*.tar.gz")
    return found


def test_the_operators_image_has_a_context(package, tmp_path):
    """As docs/operator.md says: the collection and a helm beside the file, then ansible-builder."""
    file = shutil.copy(ROOT / "extensions/operator/execution-environment.yml", tmp_path)
    shutil.copy(package, tmp_path / "meshops-istio.tar.gz")
    (tmp_path / "helm").write_text(HELM)
    (tmp_path / "helm").chmod(0o755)
    run("ansible-builder", "create", "--file", file, "--output-filename", "Containerfile", cwd=tmp_path)
    context = tmp_path / "context"
    lines = (context / "Containerfile").read_text().splitlines()
    for line in lines:
        words = line.split()
        if words[:1] == ["COPY"] and words[1].startswith("_build"):
            assert (context / words[1]).exists(), line
    final = lines[lines.index("# Final build stage") :]
    assert "COPY _build/istio/helm /usr/local/bin/helm" in final
    assert os.access(context / "_build/istio/helm", os.X_OK)
    assert lines.index("COPY _build/istio/meshops-istio.tar.gz /build/meshops-istio.tar.gz") < lines.index(
        next(line for line in lines if "ansible-galaxy collection install" in line)
    )
    (entry,) = (line for line in final if line.startswith("ENTRYPOINT"))
    assert '"ansible_collections.meshops.istio.extensions.operator"' in entry
    assert "USER 65532" in final
    required = yaml.safe_load((context / "_build/requirements.yml").read_text())
    assert required["collections"] == [{"name": "/build/meshops-istio.tar.gz", "type": "file"}]
    with tarfile.open(context / "_build/istio/meshops-istio.tar.gz") as archive:
        names = archive.getnames()
    assert {"extensions/operator/__main__.py", "requirements.txt"} <= set(names)


def test_every_execution_environment_gets_what_the_collection_imports(package, tmp_path):
    """ansible-builder looks into each collection of an image for meta/execution-environment.yml."""
    place = tmp_path / "ansible_collections/meshops/istio"
    place.mkdir(parents=True)
    with tarfile.open(package) as archive:
        archive.extractall(place, filter="data")
    run("ansible-builder", "introspect", tmp_path, "--write-pip", tmp_path / "pip.txt", "--sanitize")
    told = {line.partition("#")[0].strip() for line in (tmp_path / "pip.txt").read_text().splitlines()}
    wanted = {line for line in (ROOT / "requirements.txt").read_text().splitlines() if not line.startswith("#")}
    assert told == {line for line in wanted if not line.startswith("PyYAML")}  # which ansible-core brings
