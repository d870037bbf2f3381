# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is in a chart, and whether Helm has stored just that."""

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

#: What Helm stores as something else than a file.
_READ = ("Chart.yaml", "Chart.lock", "values.yaml", "values.schema.json")
#: How a template asks for the versions of the cluster, which may have changed.
ASKS_CLUSTER = b"Capabilities"


def chart_files(path: str) -> dict[str, bytes]:
    """The files of a chart, a folder or a package (.tgz), by their path within it.

    :raises MeshopsError: it can't be read
    """
    place = pathlib.Path(path)
    try:
        if place.is_dir():
            found = (file for file in place.rglob("*") if file.is_file())
            return {str(file.relative_to(place)): file.read_bytes() for file in found}
        with tarfile.open(path) as package:
            members = [member for member in package.getmembers() if member.isfile()]
            return {m.name.partition("/")[2]: package.extractfile(m).read() for m in members}
    except (OSError, tarfile.TarError) as error:
        raise MeshopsError(f"chart {path} can't be read: {error}") from error


def metadata(files: t.Mapping[str, bytes]) -> dict[str, t.Any]:
    """What a chart's Chart.yaml says.

    :raises MeshopsError: it has none
    """
    if "Chart.yaml" not in files:
        raise MeshopsError("the chart has no Chart.yaml: it isn't a chart, or not a whole one")
    return yaml.safe_load(files["Chart.yaml"])


def is_stored(files: t.Mapping[str, bytes], record: t.Mapping[str, t.Any]) -> bool:
    """Whether a chart is the one in a release's record, and renders the same whatever cluster it meets.

    Rendering it again with the values in the record then gives the manifest in the record. A chart with dependencies
    is never found to be so: Helm doesn't store them.

    :param record: C(chart) of the record, see pkg/chart of Helm
    """
    if any(name.startswith("charts/") or name == ".helmignore" for name in files):
        return False
    stored = [*(record.get("templates") or ()), *(record.get("files") or ())]
    contents = {one["name"]: base64.b64decode(one["data"] or "") for one in stored}
    if contents != {name: content for name, content in files.items() if name not in _READ}:
        return False
    if any(ASKS_CLUSTER in content for content in contents.values()):
        return False
    said, values = metadata(files), yaml.safe_load(files.get("values.yaml") or "{}")
    same = all(said.get(name) == (record.get("metadata") or {}).get(name) for name in ("name", "version", "appVersion"))
    return same and json.loads(json.dumps(values)) == (record.get("values") or {})
