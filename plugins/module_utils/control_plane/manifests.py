# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The manifests of a mesh as files, one a release, for review and for GitOps. Needs no cluster."""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import typing as t

from ..errors import MeshopsError
from ..helm.helm import Helm, RenderOptions
from ..helm.releases import Release
from ..reconcile.yaml_text import to_yaml
from ..releases.reconcile import declared_releases
from ..releases.render import render
from .declared import desired_control_plane

#: First line of every file written here; other files in the directory are left alone.
MARK = "# Written by meshops.istio"
#: Namespaces that every cluster has.
_ALWAYS_THERE = ("default", "kube-system", "kube-public")


def manifests(
    helm: Helm,
    control_plane: t.Mapping[str, t.Any] | None,
    releases: t.Mapping[str, t.Any],
    kube_version: str | None,
    warnings: list[str],
) -> dict[str, str]:
    """File name -> text, in the order in which the releases would be applied.

    :param control_plane: the control plane as for M(meshops.istio.control_plane), or None for none
    :param releases: releases as for M(meshops.istio.releases)
    :param kube_version: the Kubernetes to render for; None takes Helm's own
    :raises MeshopsError: something in them is unknown, or a chart can't be rendered
    """
    wanted: list[Release] = []
    if control_plane is not None:
        desired = desired_control_plane(control_plane, helm.app_version)
        wanted += [release for release in desired.releases if release.state == "present"]
        warnings += desired.warnings
    wanted += [release for release in declared_releases(releases) if release.state == "present"]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        rendered = list(pool.map(lambda one: _rendered(helm, one, kube_version), wanted))
    files = {}
    made = {obj["metadata"]["name"] for found, _lines in rendered for obj in found if obj["kind"] == "Namespace"}
    for release, (found, lines) in zip(wanted, rendered, strict=True):
        name = f"{release.namespace}.{release.name}.yaml"
        if name in files:
            raise MeshopsError(
                f"release {release.namespace}/{release.name} is given twice, by the control plane and as a gateway:"
                " leave one of the two out"
            )
        warnings += lines
        found = _with_namespace(release.namespace, found, made)
        files[name] = _text(f"{MARK}: release {release.name} in namespace {release.namespace}", found)
    return files


def _rendered(helm: Helm, release: Release, kube_version: str | None) -> tuple[list[dict[str, t.Any]], list[str]]:
    warnings: list[str] = []
    options = RenderOptions(kube_version, include_crds=True, include_hooks=True)
    return render(helm, release, warnings, options), warnings


def _with_namespace(name: str, objects: list[dict[str, t.Any]], made: set[str]) -> list[dict[str, t.Any]]:
    """A release's objects with its namespace, which helm would make, in front of them; the first one has it.

    :param made: the namespaces that there are files for
    """
    if name in made or name in _ALWAYS_THERE:
        return objects
    made.add(name)
    return [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, *objects]


def _text(head: str, objects: t.Iterable[dict[str, t.Any]]) -> str:
    return "".join([head + "\n", *(f"---\n{to_yaml(obj)}" for obj in objects)])


def write_files(directory: str, files: t.Mapping[str, str], *, check_mode: bool) -> list[dict[str, str]]:
    """Makes a directory hold these files, and none of an earlier run; gives a diff, an entry a changed file.

    A file with a Secret in it is for its owner's eyes only.

    :raises MeshopsError: the directory can't be read or written
    """
    folder = pathlib.Path(directory)
    try:
        there = {path.name: path.read_text() for path in sorted(folder.glob("*.yaml"))} if folder.is_dir() else {}
        stale = {name: text for name, text in there.items() if text.startswith(MARK) and name not in files}
        changed = {name: text for name, text in files.items() if there.get(name) != text}
        if not check_mode:
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in changed.items():
                _write(folder / name, text)
            for name in stale:
                (folder / name).unlink()
    except OSError as error:
        raise MeshopsError(f"{error.filename or directory} can't be written: {error.strerror}") from error
    return [_entry(folder / name, there.get(name, ""), text) for name, text in changed.items()] + [
        _entry(folder / name, text, "") for name, text in stale.items()
    ]


def _write(path: pathlib.Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.new")
    mode = 0o600 if "\nkind: Secret\n" in text else 0o644
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(text)
    temporary.chmod(mode)
    temporary.replace(path)


def _entry(path: pathlib.Path, before: str, after: str) -> dict[str, str]:
    secret = "\nkind: Secret\n" in before + after
    hidden = "a file with a Secret, not shown\n"
    return {
        "before_header": str(path),
        "after_header": str(path),
        "before": hidden if secret and before else before,
        "after": f"{hidden}changed\n" if secret and after else after,
    }
