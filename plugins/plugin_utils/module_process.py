# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs one module of the collection in a process of its own. The action plugin starts it.

Usage: module_process.py MODULE FOLDER..., with the module's arguments on the standard input, as Ansible encodes them.
Folders are Ansible's collection paths.
"""

from __future__ import annotations

import importlib
import os
import sys
import types


def _packages(folder: str) -> str:
    """The folder of namespaces in a collection path, which may be that folder itself, as Ansible takes it."""
    folder = os.path.abspath(folder)
    return folder if os.path.basename(folder) == "ansible_collections" else os.path.join(folder, "ansible_collections")


def run(module: str, folders: list[str]) -> None:
    """Runs a module of collections in folders.

    :param module: the module's full name, such as meshops.istio.mesh_objects
    """
    # One package over all folders, as Ansible has it; only the first that Python finds would count.
    collections = types.ModuleType("ansible_collections")
    collections.__path__ = [_packages(folder) for folder in folders]
    sys.modules["ansible_collections"] = collections
    namespace, collection, name = module.split(".")
    importlib.import_module(f"ansible_collections.{namespace}.{collection}.plugins.modules.{name}").main()


if __name__ == "__main__":
    sys.path[:] = [entry for entry in sys.path if entry != os.path.dirname(os.path.abspath(__file__))]
    arguments = sys.argv[1:]
    del sys.argv[1:]  # so that Ansible reads the module's arguments from the standard input
    run(arguments[0], arguments[1:])
