# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where nodes, Istio's images and its charts come from: what is published, or what is built here from packages."""

from __future__ import annotations

import json
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import dockerd
import versions
from home import LabError, folder
from progress import say

WAYS = ("auto", "registry", "packages")
PATIENCE = 3  # seconds that a registry has to answer


@dataclass(frozen=True)
class Source:
    """A registry and a place with charts; both empty where all is built from packages.

    :ivar registry: what stands before kindest/node and istio/pilot in the images' names
    :ivar charts: URL of a Helm repository, or C(oci://...)
    """

    registry: str = ""
    charts: str = ""

    def __str__(self) -> str:
        return f"registry {self.registry}, charts of {self.charts}" if self.registry else "packages"


PACKAGES = Source()


def chosen(environment: Mapping[str, str] = os.environ) -> Source:
    """What MESHOPS_LAB_SOURCE says; without it what is published, if it can be reached. The answer is kept."""
    way = environment.get("MESHOPS_LAB_SOURCE") or "auto"
    if way not in WAYS:
        raise LabError(f"MESHOPS_LAB_SOURCE is {way!r}; it may be {', '.join(WAYS[:-1])} or {WAYS[-1]}")
    published = Source(
        (environment.get("MESHOPS_LAB_REGISTRY") or versions.REGISTRY).rstrip("/"),
        (environment.get("MESHOPS_LAB_CHARTS") or versions.CHARTS).rstrip("/"),
    )
    if "://" in published.registry:
        raise LabError(
            f"MESHOPS_LAB_REGISTRY is {published.registry}; write it without a scheme, as in an image's name"
        )
    if not published.charts.startswith(("https://", "http://", "oci://")):
        raise LabError(f"MESHOPS_LAB_CHARTS is {published.charts}; it has to begin with https://, http:// or oci://")
    if way == "packages":
        return PACKAGES
    return published if way == "registry" or reachable(published) else PACKAGES


def reachable(published: Source) -> bool:
    """Whether registry and charts answer, and this kernel runs the published node. Looks once, and keeps the answer:
    a lab that was built here isn't built anew because the network was there for a moment."""
    kept = folder() / "source.json"
    found = json.loads(kept.read_text()) if kept.exists() else {}
    if found.get("asked") == asdict(published):
        return found["reachable"]
    silent = [url for url, answer in ask(addresses(published)).items() if not answer]
    if silent:
        missing = f"{' and '.join(silent)} can't be reached"
    elif not dockerd.grantable(dockerd.SYS_RESOURCE):
        missing = "this kernel doesn't grant CAP_SYS_RESOURCE, which the published node needs"
    else:
        missing = ""
    fresh = kept.with_name(f".{kept.name}.{os.getpid()}")
    fresh.write_text(json.dumps({"asked": asdict(published), "reachable": not missing}))
    fresh.replace(kept)
    if missing:
        say(f"lab: takes packages: {missing} (MESHOPS_LAB_SOURCE decides otherwise)")
    else:
        say(f"lab: takes {published}")
    return not missing


def addresses(published: Source) -> list[str]:
    """What is asked to know whether images and charts can be had."""
    charts = published.charts
    return [
        registry_address(published.registry),
        registry_address(charts.removeprefix("oci://")) if charts.startswith("oci://") else f"{charts}/index.yaml",
    ]


def registry_address(name: str) -> str:
    """The address at which a registry answers, by the name that images have."""
    host = name.partition("/")[0]
    if host == "docker.io":
        host = "registry-1.docker.io"  # the one registry whose name isn't its host's
    return f"{'http' if local(host) else 'https'}://{host}/v2/"


def local(host: str) -> bool:
    """Whether a registry is on this machine, where Docker takes it without TLS."""
    return host.partition(":")[0] == "localhost" or host.startswith("127.")


def ask(urls: list[str]) -> dict[str, bool]:
    """Which of the addresses answer within a few seconds, all asked at the same time."""
    answers = dict.fromkeys(urls, False)

    def look(url: str) -> None:
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE):
                answers[url] = True
        except urllib.error.HTTPError as error:
            answers[url] = error.code == 401  # a registry that wants a token
        except (OSError, ValueError):
            pass

    threads = [threading.Thread(target=look, args=(url,), daemon=True) for url in answers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * PATIENCE)  # a name server may keep silent longer than a registry
    return dict(answers)


def keep(source: Source, place: Path) -> None:
    """Note in a cluster's folder what it was made of."""
    (place / "source.json").write_text(json.dumps(asdict(source)))


def kept(place: Path) -> Source:
    """What the cluster of that folder was made of."""
    path = place / "source.json"
    return Source(**json.loads(path.read_text())) if path.exists() else PACKAGES
