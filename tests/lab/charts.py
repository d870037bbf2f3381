# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Istio's charts and CRDs, written out of Istio's source as its release does it."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

import build
import versions
from home import file_name, folder, run
from progress import Step
from source import PACKAGES, Source

# Where each chart lies in Istio's source, by the name it is published under.
FOLDERS = {
    "base": "base",
    "istiod": "istio-control/istio-discovery",
    "cni": "istio-cni",
    "ztunnel": "ztunnel",
    "gateway": "gateway",
}


def crds(version: str) -> list[Step]:
    """Two files: Istio's CRDs, and the Gateway API's."""

    def istio(log: Path) -> None:
        source = build.istio_source(version) / "manifests/charts/base/files/crd-all.gen.yaml"
        publish(crd_file(f"istio-{version}"), source.read_text())

    def gateway_api(log: Path) -> None:
        source = build.module_folder("sigs.k8s.io/gateway-api", f"v{versions.GATEWAY_API}") / "config/crd/standard"
        files = sorted(path for path in source.glob("*.yaml") if "kind: CustomResourceDefinition" in path.read_text())
        publish(gateway_api_file(), "\n---\n".join(path.read_text() for path in files))

    return [
        Step(f"CRDs of Istio {version}", crd_file(f"istio-{version}"), istio),
        Step(f"CRDs of the Gateway API {versions.GATEWAY_API}", gateway_api_file(), gateway_api),
    ]


def crd_file(name: str) -> Path:
    return folder("crds") / f"{name}.yaml"


def gateway_api_file() -> Path:
    return crd_file(f"gateway-api-{versions.GATEWAY_API}")


def place(version: str, source: Source = PACKAGES) -> Path:
    """The folder of a version's packaged charts: NAME-VERSION.tgz and an index.yaml, so it can be served too."""
    return folder("charts") / (f"{version}-of-{file_name(source.charts)}" if source.charts else version)


def packaged(version: str) -> Step:
    """All charts of a version, packaged."""

    def make(log: Path) -> None:
        helm = build.program("helm", versions.HELM4)
        source = build.istio_source(version) / "manifests/charts"
        with tempfile.TemporaryDirectory(dir=folder("charts")) as scratch:
            packages = Path(scratch, "packages")
            for name, path in FOLDERS.items():
                copy = Path(scratch, name)
                shutil.copytree(source / path, copy)
                run("chmod", "-R", "u+w", copy)
                chart = copy / "Chart.yaml"
                text = re.sub(r"(?m)^(version|appVersion):.*$", rf"\1: {version}", chart.read_text())
                chart.write_text(re.sub(r"(?m)^name:.*$", f"name: {name}", text))
                run(helm, "package", copy, "--destination", packages, log=log)
            run(helm, "repo", "index", packages, log=log)
            packages.rename(place(version))

    return Step(f"charts of Istio {version}", place(version), make)


def publish(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}")
    fresh.write_text(text)
    fresh.replace(path)
