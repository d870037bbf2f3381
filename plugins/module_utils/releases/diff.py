# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The diff of releases, object by object, as short as it can be read."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError
from ..reconcile import diff as object_diff
from ..reconcile.identity import Key, key
from ..reconcile.plan import Change
from ..reconcile.types import K8sObject
from .foreign_fields import HELM_MANAGER
from .model import ReleasePlan

_DEFINITION = "CustomResourceDefinition"


def diff(cluster: Cluster, plans: t.Iterable[ReleasePlan]) -> list[dict[str, str]]:
    """The diff of all plans, one entry an object."""
    entries = []
    for planned in plans:
        changes = [_short(change) if change.kind == _DEFINITION else change for change in planned.changes]
        entries += object_diff.diff(changes, HELM_MANAGER, _answers(cluster, planned))
    return entries


def _answers(cluster: Cluster, planned: ReleasePlan) -> dict[Key, K8sObject]:
    """What the server makes of the updates: without it all that others have in a list would be shown as removed.

    Helm 3 removes also what the server's answer keeps: there it counts only where the chart drops nothing.
    """
    taken = {key(takeover.wanted) for takeover in planned.takeovers}
    found = {}
    for change in planned.changes:
        is_plain = change.before is not None and change.before is planned.live.get(change.key)
        if change.action != "update" or change.after is None or not is_plain or change.key in taken:
            continue
        if change.kind in ("Secret", _DEFINITION):
            continue  # not shown
        old = planned.before.get(change.key)
        if planned.base is not None and planned.base.apply_method == "csa" and old and _drops(old, change.after):
            continue
        try:
            found[change.key] = cluster.apply(change.after, force=True, dry_run=True, manager=HELM_MANAGER)
        except ApiError:
            continue
    return found


def _drops(old: t.Any, new: t.Any) -> bool:
    """Whether a value has a key or an item that another one lacks."""
    if isinstance(old, dict) and isinstance(new, dict):
        return any(name not in new or _drops(value, new[name]) for name, value in old.items())
    if isinstance(old, list) and isinstance(new, list):
        return len(old) > len(new) or any(_drops(*pair) for pair in zip(old, new, strict=False))
    return isinstance(old, (dict, list))


def _short(change: Change) -> Change:
    """A change of a definition with fingerprints of its schemas, of which Istio's have 19,000 lines."""
    before, after = _summary(change.before), _summary(change.after)
    return dataclasses.replace(change, before=before, after=after)


def _summary(definition: K8sObject | None) -> K8sObject | None:
    if definition is None:
        return None
    versions = (definition.get("spec") or {}).get("versions") or []
    lines = []
    for version in versions:
        schema = json.dumps(version.get("schema") or {}, sort_keys=True).encode()
        lines.append(f"{version.get('name')} (schema {hashlib.sha256(schema).hexdigest()[:12]}, not shown)")
    meta = {"name": definition["metadata"]["name"]}
    return {"apiVersion": definition["apiVersion"], "kind": _DEFINITION, "metadata": meta, "spec": {"versions": lines}}
