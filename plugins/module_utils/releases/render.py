# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the charts of releases render to, chosen and patched."""

from __future__ import annotations

import json
import typing as t

from ..errors import MeshopsError
from ..helm.helm import Helm, RenderOptions
from ..helm.patches import apply_patches
from ..helm.releases import Release
from ..reconcile.documents import DocumentError, parse
from ..reconcile.identity import declared, title
from ..reconcile.types import K8sObject

_POD_SPECS = {
    "Deployment": ("spec", "template", "spec"),
    "DaemonSet": ("spec", "template", "spec"),
    "StatefulSet": ("spec", "template", "spec"),
    "ReplicaSet": ("spec", "template", "spec"),
    "Job": ("spec", "template", "spec"),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
    "Pod": ("spec",),
}


def render(
    helm: Helm, release: Release, warnings: list[str] | None = None, options: RenderOptions | None = None
) -> list[K8sObject]:
    """The objects of a release, as its chart renders them with its patches, in Helm's order.

    :raises MeshopsError: the chart cannot be found or rendered
    """
    return chosen_objects(release, helm.template(release, options), warnings)


def chosen_objects(release: Release, text: str, warnings: list[str] | None = None) -> list[K8sObject]:
    """The objects of what a release's chart has rendered, chosen, patched and added to."""
    objects = parse_manifest(text, f"chart {release.chart} of release {release.name}")
    if release.labels:
        chosen = release.labels.items()
        objects = [o for o in objects if chosen <= (o["metadata"].get("labels") or {}).items()]
        if not objects:
            wanted = ", ".join(f"{k}={v}" for k, v in chosen)
            raise MeshopsError(f"chart {release.chart} of release {release.name} renders nothing labelled {wanted}")
    if release.patches:
        objects = apply_patches(objects, release.patches, warnings)
    return objects + [declared(obj) for obj in release.objects]


def without_repeated_variables(release: Release, objects: t.Sequence[K8sObject]) -> t.Sequence[K8sObject]:
    """Objects whose containers have each environment variable once.

    Server-side apply refuses a list with the same name twice, and elsewhere the last one silently takes effect.

    :raises MeshopsError: a variable is set to two values
    """
    result = [_without_repeated_variables(release, obj) for obj in objects]
    return objects if all(one is other for one, other in zip(result, objects, strict=True)) else result


def _without_repeated_variables(release: Release, obj: K8sObject) -> K8sObject:
    spec: t.Any = obj
    for step in _POD_SPECS.get(obj["kind"], ("",)):
        spec = (spec or {}).get(step) if isinstance(spec, dict) else None
    if not isinstance(spec, dict):
        return obj
    repeated = False
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        names: dict[str, t.Any] = {}
        for variable in container.get("env") or ():
            name = variable.get("name")
            if name in names and names[name] != variable:
                raise MeshopsError(
                    f"{title(obj)}: environment variable {name} of container {container.get('name')} is set twice"
                    f" (Invalid): chart {release.chart} sets it itself. Remove it from the values of release"
                    f" {release.name}, and use the chart's own value for it"
                )
            repeated = repeated or name in names
            names[name] = variable
    if not repeated:
        return obj
    copy: K8sObject = json.loads(json.dumps(obj))
    spec = copy
    for step in _POD_SPECS[obj["kind"]]:
        spec = spec[step]
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        if container.get("env"):
            container["env"] = list({variable.get("name"): variable for variable in container["env"]}.values())
    return copy


def parse_manifest(text: str, source: str) -> list[K8sObject]:
    """The objects of a manifest.

    :raises MeshopsError: it isn't YAML of Kubernetes objects
    """
    try:
        return [document.obj for document in parse(text, source, twice=True)]
    except DocumentError as error:
        raise MeshopsError(f"{error}. Fix the chart, or the values that it is rendered with") from error


def manifest(objects: t.Iterable[K8sObject]) -> str:
    """Objects as a manifest; JSON is YAML, and nothing in it can be misread."""
    return "".join(f"---\n{json.dumps(obj)}\n" for obj in objects)


def stored_values(values: t.Any) -> t.Any:
    """Values as Helm stores them: it keeps numbers as 64-bit floats.

    :raises MeshopsError: a number has no word in JSON
    """
    try:
        return _floats(json.loads(json.dumps(values, allow_nan=False)))
    except ValueError as error:
        raise MeshopsError("the values have a number that JSON has no word for (.inf or .nan): quote it") from error


def _floats(value: t.Any) -> t.Any:
    if isinstance(value, dict):
        return {name: _floats(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_floats(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
