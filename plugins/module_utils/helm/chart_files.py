# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is in a chart, and whether Helm has stored exactly that."""

from __future__ import annotations

import base64
import json
import pathlib
import tarfile
import typing as t

from ..errors import MeshopsError

try:
    import yaml
except ImportError:
    pass  # the connection tells the user

#: What Helm stores otherwise than as a file.
_READ = ("Chart.yaml", "Chart.lock", "values.yaml", "values.schema.json")
#: How a template asks for the versions of the cluster, which may have changed.
ASKS_CLUSTER = b"Capabilities"
#: How a template asks which APIs the cluster serves, and for the version of Kubernetes.
ASKS_APIS, ASKS_VERSION = b"APIVersions", b"KubeVersion"

Files = t.Mapping[str, bytes]


def chart_files(path: str) -> dict[str, bytes]:
    """The files of a chart, a folder or a package (.tgz), by their path within it.

    :raises MeshopsError: it cannot be read
    """
    folder = pathlib.Path(path)
    try:
        if folder.is_dir():
            files = (file for file in folder.rglob("*") if file.is_file())
            return {str(file.relative_to(folder)): file.read_bytes() for file in files}
        contents = {}
        with tarfile.open(path) as package:
            for member in package.getmembers():
                file = package.extractfile(member) if member.isfile() else None
                if file is not None:
                    contents[member.name.partition("/")[2]] = file.read()
        return contents
    except (OSError, tarfile.TarError) as error:
        raise MeshopsError(f"chart {path} cannot be read: {error}") from error


def metadata(files: Files) -> dict[str, t.Any]:
    """A chart's Chart.yaml.

    :raises MeshopsError: it has none
    """
    if "Chart.yaml" not in files:
        raise MeshopsError("the chart has no Chart.yaml: it is not a chart, or not a complete one")
    return yaml.safe_load(files["Chart.yaml"]) or {}


def may_contain(files: Files, text: bytes) -> bool:
    """Whether a text is in a chart. A packaged dependency counts as having it."""
    return any(_is_packaged(name) or text in content for name, content in files.items())


def may_have_crds(files: Files) -> bool:
    """Whether a chart, or a dependency of it, has a folder C(crds). A packaged dependency counts as having one."""
    return any(name.startswith("crds/") or "/crds/" in name or _is_packaged(name) for name in files)


def _is_packaged(name: str) -> bool:
    return name.startswith("charts/") and name.endswith(".tgz")


def is_stored(files: Files, package: t.Mapping[str, t.Any]) -> bool:
    """Whether a chart is the one in a release's record, and renders the same whatever the cluster.

    Rendering it again with the values in the record then gives the manifest in the record. A chart with dependencies
    never is: Helm does not store them.

    :param package: C(chart) of the record, see pkg/chart of Helm
    """
    if any(name.startswith("charts/") or name == ".helmignore" for name in files):
        return False
    stored = [*(package.get("templates") or ()), *(package.get("files") or ())]
    contents = {file["name"]: base64.b64decode(file["data"] or "") for file in stored}
    if contents != {name: content for name, content in files.items() if name not in _READ}:
        return False
    if any(ASKS_CLUSTER in content for content in contents.values()):
        return False
    own, other = metadata(files), package.get("metadata") or {}
    values = yaml.safe_load(files.get("values.yaml") or b"{}")
    same = all(own.get(name) == other.get(name) for name in ("name", "version", "appVersion"))
    return bool(same and json.loads(json.dumps(values)) == (package.get("values") or {}))
