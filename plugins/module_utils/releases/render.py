# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the charts of releases render to, chosen and patched."""

from __future__ import annotations

import json
import typing as t

from ..errors import MeshopsError
from ..helm.helm import Helm
from ..helm.patches import apply_patches
from ..helm.releases import Release
from ..reconcile.documents import DocumentError, parse
from ..reconcile.identity import declared


class ReleaseError(MeshopsError):
    """Releases that can't be planned or don't come up.

    :ivar result: what the module returns beside the message
    """

    def __init__(self, message: str, result: dict | None = None) -> None:
        super().__init__(message)
        self.result = result or {}


def render(helm: Helm, release: Release, warnings: list[str] | None = None, **options: t.Any) -> list[dict]:
    """The objects of a release, as its chart renders them with its patches, in Helm's order.

    :param options: see C(Helm.template)
    :raises MeshopsError: the chart can't be found or rendered
    """
    return chosen_objects(release, helm.template(release, **options), warnings)


def chosen_objects(release: Release, text: str, warnings: list[str] | None = None) -> list[dict]:
    """The objects of what a release's chart has rendered, chosen, patched and added to."""
    objects = parse_manifest(text, f"chart {release.chart} of release {release.name}")
    if release.labels:
        chosen = release.labels.items()
        objects = [o for o in objects if chosen <= (o["metadata"].get("labels") or {}).items()]
        if not objects:
            wanted = ", ".join(f"{k}={v}" for k, v in chosen)
            raise ReleaseError(f"chart {release.chart} of release {release.name} renders nothing labelled {wanted}")
    if release.patches:
        objects = apply_patches(objects, release.patches, warnings)
    return objects + [declared(obj) for obj in release.objects]


def parse_manifest(text: str, source: str) -> list[dict]:
    """The objects of a manifest.

    :raises ReleaseError: it isn't YAML of Kubernetes objects
    """
    try:
        return [document.obj for document in parse(text, source, twice=True)]
    except DocumentError as error:
        raise ReleaseError(f"{error}. The chart, or the values given to it, must be mended") from error


def manifest(objects: t.Iterable[dict]) -> str:
    """Objects as a manifest; JSON is YAML, and nothing in it can be misread."""
    return "".join(f"---\n{json.dumps(obj)}\n" for obj in objects)
