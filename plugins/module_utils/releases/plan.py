# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Helm releases planned together; reads only.

The plan compares what a chart renders to what Helm has stored, and to the live objects. Helm runs only for
releases whose manifest, values or chart differ. Where only live objects have drifted, they are repaired by
server-side apply in Helm's name, and the release stays at its revision.
"""

from __future__ import annotations

import concurrent.futures
import time
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError
from ..cluster.kinds import KNOWN
from ..helm.helm import RELEASE_LABEL, Helm
from ..helm.ownership import in_release
from ..helm.releases import Release
from ..helm.stored import PENDING, Stored, stored_releases
from ..reconcile import diff as object_diff
from ..reconcile.compare import value_differences
from ..reconcile.identity import Key, declared, defined_kinds, key, title
from ..reconcile.plan import Change, PlanError, plan
from ..reconcile.refusal import unserved
from .foreign_fields import HELM_MANAGER, autoscaled, without_foreign
from .manual_edits import additions, with_additions_as_helms
from .model import ReleasePlan
from .ownership import _check_ownership, _plan_takeovers
from .planning import _by_key, _Planning, _with_replicas
from .render import ReleaseError, manifest
from .takeover import foresee

#: Seconds that a pending operation of another helm process is given to end by itself.
_PENDING_GRACE = 10
#: Seconds after which a pending operation that this collection didn't begin counts as cut off.
_FOREIGN_PENDING = 600

_KEEP = ("helm.sh/resource-policy", "keep")
_NAMESPACE = KNOWN["", "Namespace"]


def plan_releases(
    cluster: Cluster, helm: Helm, releases: t.Sequence[Release], take_ownership: bool = False
) -> list[ReleasePlan]:
    """Plans all releases together; reads only.

    :param take_ownership: objects that exist and that no release has are taken over rather than an error
    :raises MeshopsError: something can't be done as it is asked for; nothing has been changed
    """
    _check_names(releases)
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(4, cluster.concurrency)) as pool:
        planning = _Planning(cluster, helm, pool, _settled(cluster, releases))
        plans = list(pool.map(planning.begin, releases))
        _check_served(plans, planning)
        live = planning.live(plans)
        for one in plans:
            if one.release.state == "absent":
                _plan_removal(one, live, planning)
                continue
            _plan_changes(one, live, cluster, planning)
            if take_ownership:
                _plan_takeovers(one, live, cluster)
            else:
                _check_ownership(one, live)
        _add_namespaces(cluster, plans)
        list(pool.map(lambda two: foresee(cluster, *two), [(t, one.release) for one in plans for t in one.takeovers]))
        list(pool.map(lambda one: _confirm(cluster, one), plans))
        list(pool.map(lambda one: _check_added(cluster, one), plans))
    return plans


def _check_names(releases: t.Sequence[Release]) -> None:
    seen = set()
    for release in releases:
        if (release.namespace, release.name) in seen:
            raise ReleaseError(f"release {release.namespace}/{release.name} is given twice: leave one of the two out")
        seen.add((release.namespace, release.name))


def _settled(cluster: Cluster, releases: t.Sequence[Release]) -> dict[tuple[str, str], list[Stored]]:
    """The stored records, once a helm that may still be at work has had the time to end.

    :raises ReleaseError: another helm is at work on one of the releases
    """
    wanted = [(r.namespace, r.name) for r in releases]
    found = stored_releases(cluster, wanted)
    deadline = time.monotonic() + _PENDING_GRACE
    while any(records[0].status in PENDING for records in found.values()) and time.monotonic() < deadline:
        time.sleep(0.5)
        found = stored_releases(cluster, wanted)
    for records in found.values():
        newest = records[0]
        ours = RELEASE_LABEL in newest.labels
        if newest.status in PENDING and not ours and time.time() - newest.modified < _FOREIGN_PENDING:
            raise ReleaseError(
                f"release {newest.namespace}/{newest.name} is {newest.status}: another helm is at work on it."
                f" Wait until it has ended; if it was killed, remove the Secret {newest.record}, or run this again"
                f" in {_FOREIGN_PENDING // 60} minutes, when it counts as dead"
            )
    return found


def _check_served(plans: t.Sequence[ReleasePlan], planning: _Planning) -> None:
    """Whether the server serves what releases have beside their charts: helm would tell it only when it installs.

    :raises ReleaseError: it does not, and no chart defines it
    """
    added = [obj for one in plans if one.release.state == "present" for obj in one.release.objects]
    brought = defined_kinds(obj for one in plans for obj in one.objects)
    missing = [obj for obj in added if planning.kind(obj) is None and key(obj)[:2] not in brought]
    if missing:
        raise ReleaseError("\n".join(unserved(title(obj), obj["apiVersion"], obj["kind"]) for obj in missing))


def _plan_removal(one: ReleasePlan, live: dict[Key, dict], planning: _Planning) -> None:
    if one.stored is None:
        return
    one.action = "uninstall"
    one.reasons.append("it is to be absent")
    one.changes = [
        Change.deletion(live[key(o)]) for o in planning.stored(one.stored) if key(o) in live and not _kept(o)
    ]


def _kept(obj: t.Mapping[str, t.Any]) -> bool:
    return (obj["metadata"].get("annotations") or {}).get(_KEEP[0]) == _KEEP[1]


def _plan_changes(one: ReleasePlan, live: dict[Key, dict], cluster: Cluster, planning: _Planning) -> None:
    """Adds what changes, object by object."""
    before, wanted = _by_key(planning.stored(one.base)), _by_key(one.objects)
    mine, installed = [], []
    for identity, obj in wanted.items():
        found = live.get(identity)
        kept: list[str] = []
        own = without_foreign(obj, found, kept, lambda o: autoscaled(cluster, o)) if found else obj
        mine.append(in_release(own, one.release))
        one.kept += kept
        scaled = found and "replicas" in (obj.get("spec") or {}) and "replicas" not in own["spec"]
        installed.append(_with_replicas(obj, found["spec"].get("replicas")) if scaled else obj)
    if one.action == "upgrade" and installed != one.objects:
        one.manifest = manifest(installed)  # what the autoscaler has set: without the field Helm 3 would set it to 1
    try:
        one.changes = plan(mine, [live[k] for k in wanted if k in live], manager=None)
    except PlanError as error:
        raise ReleaseError(f"release {one.release.name}: {error}") from error
    for change in one.changes:
        old = before.get(change.key)
        same = planning.same(old, wanted[change.key])
        if same and change.action in ("create", "update"):
            one.repairs.append(change)
        elif old is not None and not same and change.action == "unchanged":
            dropped = value_differences(declared(old), declared(wanted[change.key]))
            if dropped:
                change.action, change.before, change.reasons = "update", live[change.key], dropped
        added = additions(change.after, live[change.key]) if change.action in ("unchanged", "update") else []
        if added:
            change.action, change.before = "update", with_additions_as_helms(live[change.key], added)
            change.reasons = [*change.reasons, *(addition.text for addition in added)]
            if not any(change is repair for repair in one.repairs):
                one.repairs.append(change)
    gone = [k for k, o in before.items() if k not in wanted and k in live and not _kept(o)]
    one.changes += [Change.deletion(live[k]) for k in gone]


def _add_namespaces(cluster: Cluster, plans: t.Sequence[ReleasePlan]) -> None:
    """Adds the namespaces that helm will make to the plan of the first release in each."""
    declared_ones = {c.name for one in plans for c in one.changes if c.kind == "Namespace"}
    for one in plans:
        name = one.release.namespace
        if one.release.state == "present" and name not in declared_ones:
            declared_ones.add(name)
            if cluster.get(_NAMESPACE, name) is None:
                after = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
                one.changes.insert(0, Change("create", "v1", "Namespace", None, name, after=after))


def _confirm(cluster: Cluster, one: ReleasePlan) -> None:
    """Drops repairs that would change nothing: the server fills in and rewrites more than a comparison can know."""
    for change in [c for c in one.repairs if c.action == "update"]:
        try:
            dry = cluster.apply(change.after, force=True, dry_run=True, manager=HELM_MANAGER)
        except ApiError:
            continue
        if _content(dry) == _content(change.before) and not additions(change.after, dry):
            one.repairs.remove(change)
            change.action = "unchanged"


def _check_added(cluster: Cluster, one: ReleasePlan) -> None:
    """Whether the server takes what a release has beside its chart. What is in no namespace yet can't be asked.

    :raises ReleaseError: it refuses an object
    """
    added = {(obj["kind"], obj["metadata"]["name"]) for obj in one.release.objects}
    for change in one.changes:
        if change.action not in ("create", "update") or (change.kind, change.name) not in added:
            continue
        try:
            cluster.apply(change.after, force=True, dry_run=True, manager=HELM_MANAGER)
        except ApiError as error:
            if error.status != 404:
                raise ReleaseError(f"release {one.release.name}: {change.title} is refused: {error}") from error


def _content(obj: dict) -> dict:
    meta = {k: v for k, v in obj["metadata"].items() if k not in ("managedFields", "resourceVersion", "generation")}
    return {**{k: v for k, v in obj.items() if k not in ("status", "apiVersion", "kind")}, "metadata": meta}


def diff(plans: t.Iterable[ReleasePlan]) -> list[dict[str, str]]:
    """The diff of all plans, one entry an object."""
    return [entry for one in plans for entry in object_diff.diff(one.changes, HELM_MANAGER)]
