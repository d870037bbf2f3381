# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The folder of a backup: modes, interrupted purges, other clusters, places that are refused."""

from __future__ import annotations

import os
import stat

import pytest
import yaml
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.footprint.item import Item
from ansible_collections.meshops.istio.plugins.module_utils.purge import backup_folder
from ansible_collections.meshops.istio.plugins.module_utils.purge.backup_folder import BackupFolder, dump, unsafe


def item(uid, kind="Deployment"):
    return Item("control_plane", "delete", "apps/v1", kind, "istio-system", "istiod", (), uid=uid)


def opened(path, cluster="a", uids=("1", "2"), started="2026-01-02T03:04:05Z"):
    folder = BackupFolder(str(path))
    return folder, folder.open(cluster, started, [item(uid) for uid in uids])


def test_files_and_folders_are_for_the_user_alone(tmp_path):
    old_umask = os.umask(0)
    try:
        folder, _moved = opened(tmp_path / "home/istio-backup/lab")
        paths = folder.write({"ca/a.yml": {"b": 1}})
    finally:
        os.umask(old_umask)
    assert [stat.S_IMODE(os.stat(path).st_mode) for path in paths] == [0o600]
    for name in ("home/istio-backup", "home/istio-backup/lab", "home/istio-backup/lab/ca"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o700


def test_an_existing_folder_becomes_private(tmp_path):
    (tmp_path / "b").mkdir(mode=0o755)
    opened(tmp_path / "b")
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o700


def test_symbolic_links_are_not_followed(tmp_path):
    (tmp_path / "victim").mkdir()
    (tmp_path / "b").symlink_to(tmp_path / "victim")
    with pytest.raises(MeshopsError, match="symbolic link"):
        opened(tmp_path / "b")
    folder, _moved = opened(tmp_path / "c")
    (tmp_path / "c/ca").symlink_to(tmp_path / "victim")
    with pytest.raises(MeshopsError, match="symbolic link"):
        folder.write({"ca/a.yml": {}})
    (tmp_path / "file").write_text("mine")
    (tmp_path / "c/site.yml.new").symlink_to(tmp_path / "file")
    folder.write({"site.yml": {}})
    assert (tmp_path / "file").read_text() == "mine"
    assert os.listdir(tmp_path / "victim") == []


def test_an_interrupted_purge_is_continued(tmp_path):
    """Live objects are saved as they are now; what was removed, as the first run saw it; gone objects keep a file."""
    first = ["workloads/a.yml", "site.yml", "mesh_objects/a.yml", "mesh_objects/gone.yml", "ca/a.yml"]
    folder, _moved = opened(tmp_path / "b")
    folder.write({name: {"first": 1} for name in first})
    (tmp_path / "b/mesh_objects/a.yml").write_text("fir")
    folder, moved = opened(tmp_path / "b", uids=["2"])
    assert moved is None
    folder.write({name: {"second": 1} for name in [*first, "b.yml"] if "gone" not in name})
    seen = {name: [*yaml.safe_load((tmp_path / "b" / name).read_text())] for name in [*first, "b.yml"]}
    assert seen == {
        "workloads/a.yml": ["first"],
        "site.yml": ["first"],
        "mesh_objects/a.yml": ["second"],
        "mesh_objects/gone.yml": ["first"],
        "ca/a.yml": ["second"],
        "b.yml": ["second"],
    }


@pytest.mark.parametrize(
    ("cluster", "uids"), [("b", ["1"]), ("a", ["1", "3"]), ("", ["1"])], ids=["another", "reinstalled", "unknown"]
)
def test_the_backup_of_another_installation_is_set_aside(tmp_path, cluster, uids):
    folder, _moved = opened(tmp_path / "b")
    folder.write({"ca/a.yml": {"key": "first"}})
    folder, moved = opened(tmp_path / "b", cluster, uids, "2026-02-02T03:04:05Z")
    folder.write({"ca/a.yml": {"key": "second"}})
    assert moved == f"{tmp_path}/b.2026-01-02T030405Z"
    assert yaml.safe_load((tmp_path / "b.2026-01-02T030405Z/ca/a.yml").read_text()) == {"key": "first"}
    assert yaml.safe_load((tmp_path / "b/ca/a.yml").read_text()) == {"key": "second"}


def test_nothing_is_overwritten_when_an_older_backup_has_the_name(tmp_path):
    for number in range(3):
        folder, _moved = opened(tmp_path / "b", str(number))
        folder.write({"ca/a.yml": {"key": number}})
    names = ["b.2026-01-02T030405Z", "b.2026-01-02T030405Z.2", "b"]
    assert [yaml.safe_load((tmp_path / name / "ca/a.yml").read_text())["key"] for name in names] == [0, 1, 2]


def test_the_backup_of_a_purge_that_has_ended_is_set_aside(tmp_path):
    folder, _moved = opened(tmp_path / "b")
    folder.write({"a.yml": {"first": 1}})
    folder.close({"ended": "2026-01-03T03:04:05Z"})
    _folder, moved = opened(f"{tmp_path}/b/")
    assert moved == f"{tmp_path}/b.2026-01-03T030405Z"
    assert not (tmp_path / "b/a.yml").exists()


def test_a_folder_of_other_files_is_set_aside(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b/mine.txt").write_text("mine")
    _folder, moved = opened(tmp_path / "b")
    assert (tmp_path / "b.earlier/mine.txt").read_text() == "mine"
    assert moved == f"{tmp_path}/b.earlier"


class KilledError(BaseException):
    pass


def test_a_backup_that_is_killed_leaves_no_half_of_a_file(tmp_path, monkeypatch):
    folder, _moved = opened(tmp_path / "b")
    folder.write({"ca/a.yml": {"first": 1}})

    def killed(_document):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(backup_folder, "dump", killed)
        with pytest.raises(KilledError):
            folder.write({"ca/a.yml": {"second": 1}})
    assert yaml.safe_load((tmp_path / "b/ca/a.yml").read_text()) == {"first": 1}
    folder.write({"ca/a.yml": {"second": 1}})
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["a.yml", "backup.yml"]


def test_a_git_work_tree_is_refused(tmp_path):
    (tmp_path / "tree/.git").mkdir(parents=True)
    with pytest.raises(MeshopsError, match=r"git work tree .*backup_anywhere"):
        BackupFolder(str(tmp_path / "tree/a/b")).refuse_unsafe_place()
    BackupFolder(str(tmp_path / "outside")).refuse_unsafe_place()


def test_the_home_of_an_execution_environment_is_refused():
    with pytest.raises(MeshopsError, match="execution environment"):
        BackupFolder("/runner/istio-backup/lab").refuse_unsafe_place()


def test_texts_of_the_cluster_are_tagged_as_unsafe():
    assert dump(unsafe({"a": ["{{ 1/0 }}", 1, True, None]})) == 'a:\n- !unsafe "{{ 1/0 }}"\n- 1\n- true\n- null\n'
    assert dump({"a": "plain"}) == "a: plain\n"
