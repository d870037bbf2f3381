# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A container registry on 127.0.0.1 that holds what the lab has built, under the names by which it is published."""

from __future__ import annotations

import json
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path

import build
import cluster
import dockerd
import images
import node_image
import published
import versions
from home import HOME, LabError, folder, free_ports, lock, run, tail
from processes import alive, launch, stop
from progress import Step, carry_out, say

import charts

CHARTS = "charts"  # the path in the registry below which they lie


def up(name: str, with_images: bool) -> None:
    """Start it if it doesn't run, with Istio's charts in it; with images, also the node and Istio's images."""
    carry_out([program(), *build.helm(), charts.packaged(versions.ISTIO)])
    if with_images:
        dockerd.ensure()
        carry_out(cluster.from_packages(versions.ISTIO))
    with lock(f"registry-{name}"):
        if not running(name):
            start(name)
        push_charts(name)
        if with_images:
            push_images(name)


def down(name: str) -> None:
    """Stop it and forget its contents."""
    stop(at(name) / "registry.pid")
    shutil.rmtree(at(name), ignore_errors=True)


def names() -> list[str]:
    return sorted(path.name for path in HOME.glob("registry/*"))


def env(name: str) -> dict[str, str]:
    """What a test needs to know of it."""
    if not running(name):
        raise LabError(f"no registry {name} runs. Start it: tests/lab/lab registry up --name {name}")
    return {
        "LAB_REGISTRY": address(name),
        "LAB_REGISTRY_CHARTS": f"oci://{address(name)}/{CHARTS}",
        "LAB_REGISTRY_LOG": str(at(name) / "registry.log"),
    }


def program() -> Step:
    return build.from_package(
        "registry", versions.REGISTRY_SERVER, "github.com/distribution/distribution/v3/cmd/registry"
    )


def at(name: str) -> Path:
    return HOME / "registry" / name


def address(name: str) -> str:
    return json.loads((at(name) / "config.yml").read_text())["http"]["addr"]


def running(name: str) -> bool:
    return alive(at(name) / "registry.pid")


def start(name: str) -> None:
    down(name)
    place = folder("registry", name)
    settings = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": False}},
        "storage": {"filesystem": {"rootdirectory": str(place / "data")}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{free_ports(1)[0]}"},
    }
    (place / "config.yml").write_text(json.dumps(settings, indent=2))  # every JSON document is YAML
    quiet = {"OTEL_TRACES_EXPORTER": "none"}
    server = launch(place, "registry", versions.REGISTRY_SERVER, "serve", str(place / "config.yml"), environment=quiet)
    until = time.monotonic() + 30
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(f"http://{address(name)}/v2/", timeout=2):
                break
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    else:
        raise LabError(f"the registry did not start:\n{tail(place / 'registry.log')}")
    say(f"lab: registry {name} runs at {address(name)}")


def push_charts(name: str) -> None:
    log = at(name) / "push.log"
    for package in sorted(charts.place(versions.ISTIO).glob("*.tgz")):
        where = f"oci://{address(name)}/{CHARTS}"
        run(build.program("helm", versions.HELM4), "push", package, where, "--plain-http", log=log)


def push_images(name: str) -> None:
    """The node and Istio's images that were built here, by the names that kind and Istio publish theirs under."""
    built = {node_image.built().result.name: published.NODE}
    for step in images.istio(versions.ISTIO):
        built[step.result.name] = f"istio/{step.result.name.rpartition('/')[2]}"
    log = at(name) / "push.log"
    for here, there in built.items():
        target = f"{address(name)}/{there}"
        run("docker", "tag", here, target)
        run("docker", "push", "--quiet", target, log=log)
        run("docker", "image", "rm", target)
        say(f"lab: pushed {target}")
