# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prints how many files of the collection, and how many bytes, Ansible sends to a host for each module.

Usage: tools/shipped_files.py [COLLECTION_ROOT] [MODULE ...]

Ansible packs a module and everything that it imports into one archive. The archive is built here by Ansible itself
(ansible.executor.module_common.modify_module); counted are the files of module_utils, and the module's own file.
C(archive) is the size of the whole archive as it is sent: compressed, in base64, with Ansible's own files.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import pathlib
import re
import sys
import tempfile
import typing as t
import zipfile

if t.TYPE_CHECKING:
    from collections.abc import Iterable

_COLLECTION = "ansible_collections/meshops/istio/"
_ARCHIVE = re.compile(rb"['\"](UEsDB[A-Za-z0-9+/=]{100,})['\"]")


@dataclasses.dataclass(frozen=True)
class Shipped:
    """What is sent for one module.

    :ivar files: the collection's files in the archive that aren't empty, relative to its root
    :ivar size: their bytes, not compressed
    :ivar archive: the bytes that are sent
    """

    files: list[str]
    size: int
    archive: int


def _use_collection(root: pathlib.Path) -> pathlib.Path:
    """Makes Ansible find the collection at a root, wherever it is; gives the path at which Ansible sees it."""
    top = pathlib.Path(tempfile.mkdtemp(prefix="shipped-"))
    parent = top / "ansible_collections" / "meshops"
    parent.mkdir(parents=True)
    (parent / "istio").symlink_to(root.resolve())
    from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

    _AnsibleCollectionFinder(paths=[str(top)])._install()
    return parent / "istio"


def shipped(module: pathlib.Path) -> Shipped:
    """What Ansible sends for a module."""
    from ansible.executor import module_common
    from ansible.parsing.dataloader import DataLoader
    from ansible.template import Templar

    built = module_common.modify_module(
        module_name=f"meshops.istio.{module.stem}",
        module_path=str(module),
        module_args={},
        templar=Templar(loader=DataLoader()),
        task_vars={"ansible_python_interpreter": sys.executable},
        module_compression="ZIP_DEFLATED",
    )
    data = built.b_module_data
    found = max(_ARCHIVE.findall(data), key=len)
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(found))) as archive:
        ours = [entry for entry in archive.infolist() if entry.filename.startswith(_COLLECTION) and entry.file_size > 0]
    files = sorted(entry.filename.removeprefix(_COLLECTION) for entry in ours)
    return Shipped(files, sum(entry.file_size for entry in ours), len(data))


def main(arguments: list[str]) -> None:
    root = _use_collection(pathlib.Path(arguments[0] if arguments else "."))
    wanted: Iterable[str] = arguments[1:]
    modules = sorted((root / "plugins" / "modules").glob("*.py"))
    print(f"{'module':<24} {'files':>5} {'bytes':>8} {'archive':>8}")
    for module in modules:
        if wanted and module.stem not in wanted:
            continue
        result = shipped(module)
        print(f"{module.stem:<24} {len(result.files):>5} {result.size:>8} {result.archive:>8}")
        if wanted:
            print("\n".join(f"  {name}" for name in result.files))


if __name__ == "__main__":
    main(sys.argv[1:])
