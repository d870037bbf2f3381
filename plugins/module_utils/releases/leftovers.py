# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an interrupted or outdated revision has left: objects nobody has any more, and APIs nobody serves."""

from __future__ import annotations

import json
import re
import typing as t

from ..helm.ownership import is_kept, is_proven
from ..reconcile.identity import key, title
from ..reconcile.plan import Change
from ..reconcile.types import K8sObject
from .lookups import Lookups
from .model import Compared
from .planning import Planner
from .render import parse_manifest


def leftovers(compared: Compared, planner: Planner, lookups: Lookups) -> list[Change]:
    """Deletions of what revisions have created that failed or were interrupted, and that no other has.

    Helm compares to the last deployed revision, and never reads these again.
    """
    rendered = compared.rendered
    known = {key(obj) for obj in (*rendered.before, *rendered.objects)}
    found: dict[t.Any, Change] = {}
    for record in rendered.failed:
        for obj in planner.stored(record):
            live = lookups.live(obj) if key(obj) not in known else None
            if live is not None and not is_kept(live) and is_proven(live, *rendered.release.id):
                found[key(obj)] = Change.deletion(live)
    return list(found.values())


def repaired_manifest(compared: Compared, lookups: Lookups) -> tuple[str, list[str]] | None:
    """The base's manifest without objects of APIs that the cluster no longer serves, and the names of those objects.

    Helm fails where its own record names such an API. An object whose kind is served in another version gets that.

    :returns: None where there is none
    """
    rendered = compared.rendered
    base = rendered.base
    if base is None:
        return None
    unserved = [obj for obj in rendered.before if not lookups.is_served(obj)]
    if not unserved:
        return None
    names = {(obj["apiVersion"], obj["kind"], obj["metadata"]["name"]) for obj in unserved}
    parts = []
    for text in re.split(r"(?m)^---[ \t]*$", base.manifest):
        objects = parse_manifest(text, "the stored manifest")
        if not any((o["apiVersion"], o["kind"], o["metadata"]["name"]) in names for o in objects):
            parts.append(text)
            continue
        parts += [f"\n{json.dumps(served)}\n" for obj in objects if (served := _served(obj, lookups)) is not None]
    return "---".join(parts), [f"{obj['apiVersion']} {title(obj)}" for obj in unserved]


def _served(obj: K8sObject, lookups: Lookups) -> K8sObject | None:
    """An object in a version that the cluster serves, or None."""
    if lookups.is_served(obj):
        return obj
    group = obj["apiVersion"].rpartition("/")[0]
    for version in lookups.cluster.versions(group) if group else []:
        candidate = {**obj, "apiVersion": f"{group}/{version}"}
        if lookups.is_served(candidate):
            return candidate
    return None
