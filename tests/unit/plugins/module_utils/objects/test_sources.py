# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which files a source stands for, and what is said of one that stands for none."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.objects.sources import declared_objects, files

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


def test_a_mounted_config_map_has_each_file_once(tmp_path):
    real = tmp_path / "..2024_1"
    real.mkdir()
    (real / "a.yml").write_text(ONE % "a")
    (tmp_path / "..data").symlink_to(real.name)
    (tmp_path / "a.yml").symlink_to("..data/a.yml")
    (tmp_path / "..b.yml").write_text(ONE % "b")
    (tmp_path / ".deep").mkdir()
    (tmp_path / ".deep" / "c.yml").write_text(ONE % "c")
    assert found(tmp_path, "") == [".deep/c.yml", "a.yml"], "kubectl reads .deep, too"
    assert found(tmp_path, "..data") == ["..data/a.yml"], "what is asked for by name is read"


def test_what_is_declared_twice_is_told_with_both_places(folder):
    (folder / "b.yml").write_text(f"{ONE % 'x'}---\n{ONE % 'a-yaml'}---\n{ONE % 'value'}")
    value = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "value"}}
    elsewhere = {**value, "metadata": {"name": "value", "namespace": "elsewhere"}}
    with pytest.raises(MeshopsError) as told:
        declared_objects([value, elsewhere], [str(folder)])
    assert str(told.value).splitlines() == [
        "ConfigMap a-yaml is declared twice: leave one of the two out"
        f" ({folder}/a.yaml, document 1, line 1; {folder}/b.yml, document 2, line 5)",
        f"ConfigMap value is declared twice: leave one of the two out (objects[0]; {folder}/b.yml, document 3, line 9)",
    ]


@pytest.mark.parametrize("source", ["missing.yml", "*.toml", "empty"])
def test_a_source_that_leads_to_nothing(folder, source):
    (folder / "empty").mkdir()
    with pytest.raises(MeshopsError, match="leads to no file"):
        files([str(folder / source)])


def test_what_is_no_object(folder):
    (folder / "b.yml").write_text("a: b\n")
    with pytest.raises(MeshopsError, match=r"b.yml, document 1, line 1: apiVersion is missing"):
        declared_objects([], [str(folder / "b.yml")])
    with pytest.raises(MeshopsError, match=r"objects\[0\]: ConfigMap without metadata.name"):
        declared_objects([{"apiVersion": "v1", "kind": "ConfigMap"}], [])
