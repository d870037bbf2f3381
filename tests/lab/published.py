# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What others have published: kind's node, Istio's images and its charts, fetched instead of built."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import build
import dockerd
import versions
from home import LabError, folder, run
from progress import Step
from source import Source, local

import charts

NODE = f"kindest/node:v{versions.KIND_NODE}"
ISTIO_IMAGES = ("pilot", "proxyv2", "install-cni")


@dataclass(frozen=True)
class Pulled:
    """An image in Docker under the name by which it is published; a release's tag is never given to another image."""

    name: str

    @property
    def recipe(self) -> str:
        return self.name

    def exists(self) -> bool:
        if not dockerd.answers():
            return False
        return not subprocess.run(
            ["docker", "image", "inspect", self.name], capture_output=True, check=False
        ).returncode


def node(source: Source) -> Step:
    return pull(f"{source.registry}/{NODE}")


def istio(version: str, source: Source) -> list[Step]:
    return [pull(f"{hub(source)}/{name}:{version}") for name in ISTIO_IMAGES]


def hub(source: Source) -> str:
    """Where Istio's images are."""
    return f"{source.registry}/istio" if source.registry else build.HUB


def pull(name: str) -> Step:
    def make(log: Path) -> None:
        try:
            run("docker", "pull", name, log=log)
        except LabError as error:
            raise LabError(f"{error}\nMESHOPS_LAB_SOURCE=packages builds everything here instead.") from error

    return Step(f"pull {name}", Pulled(name), make)


def packaged(version: str, source: Source) -> Step:
    """All charts of a version, as they are published."""
    place = charts.place(version, source)

    def make(log: Path) -> None:
        helm = build.program("helm", versions.HELM4)
        with tempfile.TemporaryDirectory(dir=folder("charts")) as scratch:
            packages = Path(scratch, "packages")
            packages.mkdir()
            for name in charts.FOLDERS:
                words = [*chart(name, source.charts), "--version", version, "--destination", packages]
                run(helm, "pull", *words, log=log)
            run(helm, "repo", "index", packages, log=log)
            packages.rename(place)

    return Step(f"pull charts of Istio {version}", place, make)


def chart(name: str, where: str) -> list[str]:
    """How helm is told which chart it is."""
    if not where.startswith("oci://"):
        return [name, "--repo", where]
    plain = ["--plain-http"] if local(where.removeprefix("oci://").partition("/")[0]) else []
    return [f"{where}/{name}", *plain]
