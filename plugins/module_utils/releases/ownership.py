# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which release an object belongs to, and what a release may write, take over or delete."""

from __future__ import annotations

import dataclasses
import typing as t

from ..cluster.client import Cluster
from ..errors import MeshopsError
from ..helm.ownership import is_proven, release_of
from ..helm.stored import Stored, stored_releases
from ..reconcile.identity import Key, key, title
from ..reconcile.types import K8sObject
from .model import Action, ReleasePlan
from .takeover import Takeover, is_due, with_fields_handed_over

_SHOWN = 3


def check_ownership(plan: ReleasePlan, before: t.Collection[Key], remedy: str = "") -> None:
    """Checks that a release may write the objects that exist already, as helm does, before anything is done.

    Also what is repaired: another release may have taken an object over since.

    :param before: what the release has by its last record; that may have lost its marks
    :param remedy: what else helps
    :raises MeshopsError: some belong to another release, or to none
    """
    if plan.action is Action.UNINSTALL:
        return
    foreign = []
    for obj in plan.objects:
        live = plan.live.get(key(obj))
        owner = release_of(live) if live is not None else plan.release.id
        if owner != plan.release.id and (owner is not None or key(obj) not in before):
            foreign.append(f"{title(obj)} ({'release ' + '/'.join(owner) if owner else 'no release'})")
    if foreign:
        more = f" and {len(foreign) - _SHOWN} more" if len(foreign) > _SHOWN else ""
        raise MeshopsError(
            f"release {'/'.join(plan.release.id)}: existing objects belong to another owner (Conflict):"
            f" {', '.join(foreign[:_SHOWN])}{more}. Set take_ownership to take over those of no release, or remove"
            f" them from one of the two{remedy}"
        )


def with_takeovers(plan: ReleasePlan, cluster: Cluster) -> ReleasePlan:
    """A plan with the objects that exist already and aren't the release's.

    :raises MeshopsError: some belong to another release, which would fight for them
    """
    takeovers, changes = [], []
    for change in plan.changes:
        live = plan.live.get(change.key)
        if (
            change.action == "delete"
            or change.after is None
            or live is None
            or not is_due(live, plan.release, installed=plan.base is not None)
        ):
            changes.append(change)
            continue
        owner = release_of(live)
        if owner not in (None, plan.release.id) and stored_releases(cluster, [owner]):
            raise MeshopsError(
                f"release {'/'.join(plan.release.id)}: {change.title} belongs to release {'/'.join(owner)} (Conflict),"
                " which would go on writing it. Uninstall that one (state absent), or give this one its name and"
                " namespace"
            )
        takeovers.append(Takeover(live, change.after))
        changes.append(dataclasses.replace(change, action="update", before=with_fields_handed_over(live)))
    taken = {key(takeover.wanted) for takeover in takeovers}
    return dataclasses.replace(
        plan,
        takeovers=tuple(takeovers),
        changes=tuple(changes),
        repairs=tuple(change for change in plan.repairs if change.key not in taken),
    )


def check_removal(record: Stored, live: t.Iterable[K8sObject]) -> None:
    """Checks that what an undeclared release's record names is the release's own.

    Whoever may write Secrets in a namespace can write a record that names any object of the cluster, and Helm would
    delete it, or run a hook, with this run's permissions.

    :param live: the live objects that the record names
    :raises MeshopsError: an object does not carry the release's marks, or a hook is outside of its namespace
    """
    head = f"Refusing to uninstall release {record.namespace}/{record.name}, which is no longer declared"
    remedy = "Review it, and remove it with `helm uninstall` or the Secret of its record"
    foreign = [title(obj) for obj in live if not is_proven(obj, *record.id)]
    if foreign:
        raise MeshopsError(
            f"{head}: its record names objects of another owner ({', '.join(foreign[:_SHOWN])}). {remedy}"
        )
    if record.hooks:
        names = ", ".join(str(hook.get("name")) for hook in record.hooks[:_SHOWN])
        deleting = [hook for hook in record.hooks if {"pre-delete", "post-delete"} & set(hook.get("events") or ())]
        if deleting:
            raise MeshopsError(f"{head}: it would run hooks ({names}). {remedy}, or declare it with state absent")
