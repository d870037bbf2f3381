# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which files a source stands for, and what is said of one that stands for none."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ClusterError
from ansible_collections.meshops.istio.plugins.module_utils.istio.sources import declared_objects, files

ONE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("b.yml", "a.yaml", "c.json", "notes.txt", "deep/d.yml"):
        (tmp_path / name).write_text(ONE % name.replace("/", "-").replace(".", "-"))
    (tmp_path / "c.json").write_text('{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c-json"}}')
    return tmp_path


def found(folder, *sources):
    return [path.removeprefix(f"{folder}/") for path in files([str(folder / source) for source in sources])]


def test_files(folder):
    assert found(folder, "") == ["a.yaml", "b.yml", "c.json", "deep/d.yml"]
    assert found(folder, "*.yml") == ["b.yml"]
    assert found(folder, "**/*.yml") == ["b.yml", "deep/d.yml"]
    assert found(folder, "notes.txt", "b.yml") == ["notes.txt", "b.yml"]
    assert found(folder, "b.yml", "") == ["b.yml", "a.yaml", "c.json", "deep/d.yml"], "each file once"


def test_objects_of_values_and_files(folder):
    value = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "value"}}
    names = [o["metadata"]["name"] for o in declared_objects([value], [str(folder)])]
    assert names == ["value", "a-yaml", "b-yml", "c-json", "deep-d-yml"]


@pytest.mark.parametrize("source", ["missing.yml", "*.toml", "empty"])
def test_a_source_that_leads_to_nothing(folder, source):
    (folder / "empty").mkdir()
    with pytest.raises(ClusterError, match="leads to no file"):
        files([str(folder / source)])


def test_what_is_no_object(folder):
    (folder / "b.yml").write_text("a: b\n")
    with pytest.raises(ClusterError, match=r"b.yml, document 1, line 1: apiVersion is missing"):
        declared_objects([], [str(folder / "b.yml")])
    with pytest.raises(ClusterError, match=r"objects\[0\]: ConfigMap without metadata.name"):
        declared_objects([{"apiVersion": "v1", "kind": "ConfigMap"}], [])
