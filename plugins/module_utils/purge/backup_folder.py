# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The folder of a backup: it belongs to one purge of one cluster, and nothing in it is lost or shown to others."""

from __future__ import annotations

import os
import stat
import typing as t

from ..errors import MeshopsError
from ..footprint.item import Item
from ..mesh.names import RESTARTABLE

try:
    import yaml
except ImportError:
    pass  # the kubernetes package brings it; cluster.auth tells the user

#: Written when a purge has ended.
DONE = "purged.yml"
#: Written first: which cluster, since when, and of which installation.
IDENTITY = "backup.yml"
#: Folders of files that hold live objects, and not what is removed from them.
_LIVE = ("ca/", "mesh_objects/", "objects/", "operators/")
#: What of an installation keeps its uid while it is purged: nobody creates these again but an installer.
_INSTALLED = ("CustomResourceDefinition", "ClusterRole", *RESTARTABLE)
#: Where execution environments keep what they discard.
_EPHEMERAL = "/runner"


class Unsafe(str):
    """A text from the cluster: Ansible must not take it for a template."""

    __slots__ = ()


def unsafe(value: t.Any) -> t.Any:
    """A value with every text in it marked as unsafe.

    >>> unsafe({"a": ["{{ 1/0 }}"]})["a"][0].__class__.__name__
    'Unsafe'
    """
    if isinstance(value, str):
        return Unsafe(value)
    if isinstance(value, dict):
        return {name: unsafe(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [unsafe(each) for each in value]
    return value


def dump(document: t.Any) -> str:
    """A document as YAML; unsafe texts with the tag by which Ansible knows them."""

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: t.Any) -> bool:
            return True

    def represent(dumper: t.Any, text: Unsafe) -> t.Any:
        return dumper.represent_scalar("!unsafe", str(text), style='"')

    Dumper.add_representer(Unsafe, represent)
    return str(yaml.dump(document, Dumper=Dumper, sort_keys=False, default_flow_style=False, allow_unicode=False))


class BackupFolder:
    """A folder for the backup of one purge."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)

    def refuse_unsafe_place(self) -> None:
        """Refuses a folder whose contents would be published or lost.

        :raises MeshopsError: it is in a git work tree, or in a folder that an execution environment discards
        """
        folder = os.path.realpath(self.path)
        above = folder
        while above != os.path.dirname(above):
            if os.path.exists(os.path.join(above, ".git")):
                raise MeshopsError(
                    f"backup_dir {self.path}: refused, because it is in the git work tree {above} and a backup holds"
                    " private keys. Choose another folder, or set `backup_anywhere: true`"
                    " (`purge_backup_anywhere` in the role)."
                )
            above = os.path.dirname(above)
        if folder == _EPHEMERAL or folder.startswith(f"{_EPHEMERAL}/"):
            raise MeshopsError(
                f"backup_dir {self.path}: refused, because an execution environment discards {_EPHEMERAL} when it"
                " ends. Choose a mounted folder, or set `backup_anywhere: true` (`purge_backup_anywhere` in the role)."
            )

    def open(self, cluster_uid: str, started: str, items: t.Sequence[Item]) -> str | None:
        """Makes the folder that of this purge: an interrupted one is continued, any other backup is set aside.

        :param cluster_uid: identity of the cluster
        :param items: what this purge changes
        :returns: where an earlier backup is now
        :raises MeshopsError: the folder can't be written or renamed
        """
        installed = {item.uid for item in items if item.kind in _INSTALLED and item.action == "delete" and item.uid}
        moved = None
        try:
            if os.path.lexists(self.path) and (not os.path.isdir(self.path) or os.path.islink(self.path)):
                raise NotADirectoryError(20, "it is not a folder, or a symbolic link", self.path)
            if os.path.isdir(self.path) and os.listdir(self.path) and not self._continues(cluster_uid, installed):
                moved = self._set_aside()
            self._make_folder(self.path)
            if not os.path.exists(os.path.join(self.path, IDENTITY)):
                self._write(IDENTITY, {"cluster": cluster_uid, "started": started, "installed": sorted(installed)})
        except OSError as error:
            raise MeshopsError(
                f"backup_dir {self.path}: can't be used ({error.strerror}: {error.filename}). Move it away, or name"
                " another folder"
            ) from error
        return moved

    def _continues(self, cluster_uid: str, installed: t.Collection[str]) -> bool:
        """Whether the folder holds the backup of a purge of the same installation that has not ended."""
        identity = self._read(IDENTITY)
        known = identity.get("installed")
        return (
            not os.path.exists(os.path.join(self.path, DONE))
            and bool(cluster_uid)
            and identity.get("cluster") == cluster_uid
            and isinstance(known, list)
            and set(installed) <= set(known)
        )

    def _set_aside(self) -> str:
        """Renames the folder, with the time at which its purge ended or started."""
        when = self._read(DONE).get("ended") or self._read(IDENTITY).get("started") or "earlier"
        name = f"{self.path}.{str(when).replace(':', '').replace('/', '')}"
        moved, number = name, 1
        while os.path.lexists(moved):
            number += 1
            moved = f"{name}.{number}"
        os.rename(self.path, moved)
        return moved

    def _read(self, name: str) -> dict[str, t.Any]:
        try:
            with open(os.path.join(self.path, name), encoding="utf-8") as file:
                document = yaml.safe_load(file)
        except (OSError, yaml.YAMLError, UnicodeDecodeError):
            return {}
        return document if isinstance(document, dict) else {}

    def write(self, files: t.Mapping[str, t.Any]) -> list[str]:
        """Writes files with mode 0600 in folders of mode 0700.

        What an interrupted purge has written of labels and releases is retained, since that one saw more. Live objects
        are written again: what the cluster has counts, and what is gone keeps its file.

        :returns: their paths
        :raises MeshopsError: the folder can't be written
        """
        paths = []
        try:
            for name, document in sorted(files.items()):
                path = os.path.join(self.path, name)
                self._make_folder(os.path.dirname(path))
                if os.path.lexists(path) and not name.startswith(_LIVE):
                    continue
                self._write(name, document)
                paths.append(path)
        except OSError as error:
            raise MeshopsError(f"backup_dir {self.path}: backup failed ({error.strerror}: {error.filename})") from error
        return paths

    def close(self, summary: t.Mapping[str, t.Any]) -> None:
        """Marks the backup as that of a purge that has ended."""
        self._write(DONE, dict(summary))

    def _make_folder(self, path: str) -> None:
        """Creates a folder and those above it, each for the user alone; an existing folder of a backup becomes so."""
        if not os.path.isdir(path):
            above = os.path.dirname(path)
            if above != path and not os.path.isdir(above):
                self._make_folder(above)
            os.mkdir(path, mode=0o700)
        elif path == self.path or path.startswith(f"{self.path}/"):
            if os.path.islink(path):
                raise NotADirectoryError(20, "it is a symbolic link", path)
            if stat.S_IMODE(os.stat(path).st_mode) != 0o700:
                os.chmod(path, 0o700)

    def _write(self, name: str, document: t.Any) -> None:
        """Writes a file as a whole or not at all: a purge may be killed at any time."""
        path = os.path.join(self.path, name)
        new = f"{path}.new"
        if os.path.lexists(new):  # of a purge that was killed
            os.unlink(new)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with open(os.open(new, flags, 0o600), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(dump(document))
        os.replace(new, path)
