# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import base64
import io
import tarfile

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.helm.chart_files import chart_files, is_stored, metadata

FILES = {
    "Chart.yaml": b"apiVersion: v2\nname: mine\nversion: 1.2.3\n",
    "values.yaml": b"replicas: 2\nlevel: info\n",
    "templates/all.yaml": b"kind: {{ .Values.kind }}\n",
    "files/data.txt": b"text\n",
}


def record(**changed):
    def stored(folder):
        found = [(name, content) for name, content in FILES.items() if name.startswith(folder)]
        return [{"name": name, "data": base64.b64encode(content).decode()} for name, content in found]

    return {
        "metadata": {"name": "mine", "version": "1.2.3", "apiVersion": "v2"},
        "templates": stored("templates/"),
        "files": stored("files/"),
        "values": {"replicas": 2, "level": "info"},
        **changed,
    }


@pytest.mark.parametrize("packed", [True, False])
def test_the_files_of_a_chart(tmp_path, packed):
    for name, content in FILES.items():
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    place = tmp_path / "mine"
    if packed:
        place = tmp_path / "mine-1.2.3.tgz"
        with tarfile.open(place, "w:gz") as package:
            package.add(tmp_path / "mine", "mine")
    files = chart_files(str(place))
    assert files == FILES
    assert metadata(files)["version"] == "1.2.3"
    assert is_stored(files, record())


def test_what_is_no_chart(tmp_path):
    path = tmp_path / "x.tgz"
    path.write_bytes(b"not a package")
    with pytest.raises(MeshopsError, match=r"x\.tgz cannot be read"):
        chart_files(str(path))
    with tarfile.open(path, "w:gz") as package:
        package.addfile(tarfile.TarInfo("mine/README.md"), io.BytesIO())
    with pytest.raises(MeshopsError, match=r"has no Chart\.yaml"):
        metadata(chart_files(str(path)))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("templates/all.yaml", b"kind: Other\n"),
        ("templates/more.yaml", b""),
        ("values.yaml", b"replicas: 3\nlevel: info\n"),
        ("Chart.yaml", b"name: mine\nversion: 1.2.4\n"),
        ("Chart.yaml", b"name: mine\nversion: 1.2.3\nappVersion: '7'\n"),
        ("charts/other/Chart.yaml", b"name: other\n"),
        (".helmignore", b"files\n"),
    ],
)
def test_another_chart_is_not_the_stored_one(name, content):
    assert is_stored(FILES, record())
    assert not is_stored({**FILES, name: content}, record())


def test_a_chart_that_asks_for_the_cluster_s_versions_is_always_rendered():
    content = b"{{ .Capabilities.KubeVersion }}"
    stored = [{"name": "templates/all.yaml", "data": base64.b64encode(content).decode()}]
    assert not is_stored({**FILES, "templates/all.yaml": content}, record(templates=stored))
