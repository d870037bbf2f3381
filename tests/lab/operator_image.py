# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The operator's image: this collection with Ansible, kopf and Helm, as an execution environment has them.

Two images: one with all that comes from elsewhere, which is made once, and one over it with the collection and
Istio's charts, which a change of the collection makes anew in seconds.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

import build
import cluster
import dockerd
import images
import versions
from home import folder, run
from progress import Step, carry_out

import charts

ROOT = images.HERE.parents[1]
SHIPPED = ("plugins", "roles", "extensions/operator", "playbooks", "meta", "galaxy.yml", "LICENSE", "README.md")
DEBIAN_PACKAGES = ["ca-certificates", "python3"]
PYTHON = "3.11"  # Debian bookworm's
PACKAGES = ("ansible-core", "ansible-runner", "cryptography", "Jinja2", "kopf", "kubernetes", "PyYAML")
SITE = "usr/local/lib/python3.11/dist-packages"
COLLECTIONS = "usr/share/ansible/collections/ansible_collections"
#: Scripts that pip would write name the interpreter of the machine that the image is made on.
SCRIPT = """#!/usr/bin/python3
import sys

from ansible.cli.{module} import main

sys.exit(main())
"""
LINES = [
    "COPY . /",
    "ENV LC_ALL=C.UTF-8 PYTHONUNBUFFERED=1 ANSIBLE_COLLECTIONS_PATH=/usr/share/ansible/collections",
    "ENV PYTHONPATH=/usr/share/ansible/collections HOME=/tmp USER=operator PYTHONDONTWRITEBYTECODE=1",
    "USER 65532:65532",
    'ENTRYPOINT ["/usr/bin/python3", "-m", "ansible_collections.meshops.istio.extensions.operator"]',
]


def up(name: str) -> str:
    """The image is made and in the cluster of that name; gives the image's name."""
    cluster.prepare(versions.ISTIO)
    found = steps()
    carry_out(found)
    image = found[-1].result.name
    cluster.load(name, [image])
    return image


def steps() -> list[Step]:
    return [foundation(), image()]


def pinned() -> list[str]:
    """The Python packages, in the versions that the collection is tested with."""
    lines = (ROOT / "requirements-dev.txt").read_text().splitlines()
    return [line for line in lines if line.partition("==")[0] in (*PACKAGES, "ansible")]


def foundation() -> Step:
    """Debian with Python, Ansible, kopf, Helm and the collection kubernetes.core."""
    wanted = images.Image(f"{build.HUB}/operator-base:lab", images.digest(pinned(), DEBIAN_PACKAGES, versions.HELM4))

    def make(log: Path) -> None:
        dockerd.install_missing({"pip3": "python3-pip"})
        with images.debian(DEBIAN_PACKAGES, log) as root:
            install(root, log)
            shutil.copyfile(build.program("helm", versions.HELM4), root / "usr/local/bin/helm")
            for module, name in {"playbook": "ansible-playbook", "adhoc": "ansible"}.items():
                (root / "usr/local/bin" / name).write_text(SCRIPT.format(module=module))
            for path in (root / "usr/local/bin").iterdir():
                path.chmod(0o755)
            run("chroot", root, "python3", "-m", "compileall", "-q", f"/{SITE}", log=log)
            images.import_folder(root, wanted, [], log)

    return Step("image operator-base", wanted, make)


def install(root: Path, log: Path) -> None:
    """Python packages and kubernetes.core from PyPI, for the Python in the image and not the one that runs this."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    platforms = ["manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_28_x86_64", "manylinux_2_34_x86_64"]
    machine = run("uname", "-m").strip()
    chosen = [word for name in platforms for word in ("--platform", name.replace("x86_64", machine))]
    own = [line for line in pinned() if not line.startswith("ansible==")]
    run(*pip, "install", "--target", root / SITE, "--python-version", PYTHON, "--only-binary=:all:", *chosen, *own,
        log=log)  # fmt: skip
    shutil.rmtree(root / SITE / "bin", ignore_errors=True)
    ansible = next(line for line in pinned() if line.startswith("ansible=="))
    with tempfile.TemporaryDirectory(dir=folder("src")) as place:
        run(*pip, "download", ansible, "--no-deps", "--dest", place, log=log)
        with zipfile.ZipFile(next(Path(place).glob("*.whl"))) as archive:
            inside = "ansible_collections/kubernetes/core/"
            archive.extractall(place, [name for name in archive.namelist() if name.startswith(inside)])
        shutil.copytree(Path(place, inside), root / COLLECTIONS / "kubernetes/core")


def collection() -> dict[str, Path]:
    """What the collection ships, by its path in the image."""
    found: dict[str, Path] = {}
    for name in SHIPPED:
        top = ROOT / name
        paths = [top] if top.is_file() else sorted(top.rglob("*"))
        for path in paths:
            if path.is_file() and "__pycache__" not in path.parts:
                found[f"/{COLLECTIONS}/meshops/istio/{path.relative_to(ROOT)}"] = path
    return found


def chart_packages() -> dict[str, Path]:
    """Istio's charts, those of the older Istio too where the lab has made them."""
    places = [charts.place(version) for version in (versions.ISTIO, versions.ISTIO_PREVIOUS)]
    return {f"/charts/{path.name}": path for place in places for path in sorted(place.glob("*.tgz"))}


def image() -> Step:
    """The operator's image, tagged by what is in it."""
    files = {**collection(), **chart_packages()}
    parts = [(path, file.read_bytes().hex() if not path.endswith(".tgz") else "") for path, file in files.items()]
    base = foundation().result
    tag = images.digest(base.recipe, *LINES, *(re.sub(r"\s", "", f"{path}:{text}") for path, text in parts))
    return images.from_files(f"{build.HUB}/operator:{tag}", files, [f"FROM {base.name}", *LINES])
