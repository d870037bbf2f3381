# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What belongs to one revision, and what still uses it."""

from __future__ import annotations

from ..mesh.pods import injected, revision_of
from .item import Footprint

# -- one revision -------------------------------------------------------------


def tags_of(listed: list[dict], revision: str) -> list[str]:
    """The revision tags that point at a revision."""
    return sorted(
        {
            labels["istio.io/tag"]
            for obj in listed
            if obj["kind"] == "MutatingWebhookConfiguration"
            for labels in [obj["metadata"].get("labels") or {}]
            if labels.get("istio.io/tag") and labels.get("istio.io/rev") == revision
        }
    )


def uses_of_revision(listed: list[dict], revision: str) -> list[str]:
    """Who still uses a revision: tags, namespaces that inject with it, proxies that it made."""
    uses = [f"tag {tag}" for tag in tags_of(listed, revision)]
    for obj in listed:
        meta = obj["metadata"]
        labels = meta.get("labels") or {}
        if obj["kind"] == "Namespace":
            wanted = labels.get("istio.io/rev") or ("default" if labels.get("istio-injection") == "enabled" else "")
            if wanted == revision:
                uses.append(f"namespace {meta['name']}")
        elif obj["kind"] == "Pod" and injected(obj) and revision_of(obj) == revision:
            uses.append(f"proxy {meta['namespace']}/{meta['name']}")
    return sorted(uses)


def of_revision(whole: Footprint, revision: str) -> Footprint:
    """The part of a footprint that belongs to one revision only."""
    releases = tuple(r for r in whole.releases if r.revision == revision and r.part == "control_plane")
    names = {f"Helm release {r.name} (chart {r.chart} {r.version})" for r in releases}
    items = tuple(
        item
        for item in whole.items
        if item.part in ("webhooks", "control_plane", "releases")
        and item.revision == revision
        and (item.part != "releases" or item.why[0] in names)
    )
    return Footprint(items, (), releases)
