# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What of Istio goes with the last object: read from what a purge would do, before anything is done."""

from __future__ import annotations

import typing as t

from ansible_collections.meshops.istio.plugins.module_utils.purge.plan import KEEPABLE

Item = t.Mapping[str, t.Any]


def kept(purged: t.Iterable[Item]) -> list[str]:
    """What the purge is to keep: the operator itself, namespaces, which were there before it, and what users wrote.

    :param purged: what a purge that keeps only operators would do
    """
    found = list(purged)
    words = ["operators", "namespaces"]
    if any(item["part"] == "mesh_objects" for item in found):
        words.append("mesh_objects")
    if any(item["part"] == "ca" and item["name"] == "cacerts" for item in found):
        words.append("ca")
    return words


def going(purged: t.Iterable[Item], keep: t.Iterable[str]) -> list[Item]:
    """What is left of it to do, with what is kept."""
    spared = {part for word in keep for part in KEEPABLE[word]}
    return [item for item in purged if item["part"] not in spared]


def where(item: Item) -> str:
    """How a user finds an object."""
    namespace = item.get("namespace")
    return f"{item['kind']} {namespace + '/' if namespace else ''}{item['name']}"
