# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where declared objects come from: a playbook's dicts, and files."""

from __future__ import annotations

import glob
import os
import typing as t

from ..errors import MeshopsError
from ..reconcile.documents import Document, DocumentError, objects, parse
from ..reconcile.identity import Key, key, title

_ENDINGS = (".yml", ".yaml", ".json")


def declared_objects(given: t.Sequence[dict[str, t.Any]], src: t.Sequence[str]) -> list[dict[str, t.Any]]:
    """The objects that a task declares, by value and by file.

    :param given: dicts, each an object or a List
    :param src: files, directories (all their YAML and JSON files), globs
    :raises MeshopsError: something is not a Kubernetes object, or is declared twice, or a source leads to nothing; the
            text says where
    """
    try:
        found = [
            (f"objects[{number}]", obj)
            for number, value in enumerate(given)
            for obj in objects(value, f"objects[{number}]")
        ]
        for path in files(src):
            found += [(document.place, document.obj) for document in read(path)]
    except DocumentError as error:
        raise MeshopsError(str(error)) from error
    places: dict[Key, str] = {}
    twice = []
    for place, obj in found:
        if key(obj) in places:
            twice.append(f"{title(obj)} is declared twice: leave one of the two out ({places[key(obj)]}; {place})")
        places[key(obj)] = place
    if twice:
        raise MeshopsError("\n".join(twice))
    return [obj for _place, obj in found]


def files(src: t.Iterable[str]) -> list[str]:
    """The files that sources stand for, each once, in the order of their names within a source.

    :raises MeshopsError: a source leads to no file
    """
    found: dict[str, None] = {}
    for source in src:
        if os.path.isdir(source):
            paths = list(_below(source))
        elif os.path.exists(source):
            paths = [source]
        else:
            paths = [path for path in glob.glob(source, recursive=True) if os.path.isfile(path)]
        if not paths:
            raise MeshopsError(
                f"src: {source} leads to no file: it must be a file, a directory with YAML files, or a glob"
            )
        found.update(dict.fromkeys(sorted(paths)))
    return list(found)


def _below(source: str) -> t.Iterator[str]:
    """The YAML and JSON files of a directory. A mounted ConfigMap has each a second time in C(..data)'s directory."""
    for directory, directories, names in os.walk(source):
        directories[:] = [name for name in directories if not name.startswith("..")]
        yield from (os.path.join(directory, n) for n in names if n.endswith(_ENDINGS) and not n.startswith(".."))


def read(path: str) -> list[Document]:
    """The objects in a file.

    :raises MeshopsError: it can't be read
    :raises DocumentError: it holds something else than objects
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise MeshopsError(f"src: can't read {path}: {error}") from error
    return parse(text, path)
