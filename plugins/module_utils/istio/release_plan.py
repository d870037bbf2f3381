# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Helm releases planned together; reads only.

The plan compares what a chart renders to what Helm has stored, and to the live objects. Helm runs only for
releases whose manifest, values or chart differ. Where only live objects have drifted, they are repaired by
server-side apply in Helm's name, and the release stays at its revision.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import time
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError, ClusterError
from ..cluster.kinds import KNOWN, Kind
from ..helm.helm import RELEASE_LABEL, Helm
from ..helm.releases import Release
from ..helm.stored import PENDING, Stored, stored_releases
from ..reconcile import diff as object_diff
from ..reconcile.compare import value_differences
from ..reconcile.identity import Key, declared, defined_kinds, key, title
from ..reconcile.plan import Change, PlanError, plan
from ..reconcile.refusal import unserved
from .added_fields import additions, with_additions_as_helms
from .foreign_fields import HELM_MANAGER, autoscaled, without_foreign
from .release_render import ReleaseError, chosen_objects, manifest, parse_manifest
from .release_takeover import Takeover, foresee, in_release, is_due, release_of, with_fields_handed_over

#: Seconds that a pending operation of another helm process is given to end by itself.
_PENDING_GRACE = 10
#: Seconds after which a pending operation that this collection didn't begin counts as cut off.
_FOREIGN_PENDING = 600

_KEEP = ("helm.sh/resource-policy", "keep")
_NAMESPACE = KNOWN["", "Namespace"]


@dataclasses.dataclass
class ReleasePlan:
    """What is to be done for one release.

    :ivar action: what helm does: C(install), C(upgrade), C(uninstall) or C(none)
    :ivar reasons: why, in words
    :ivar stored: the newest record, or None
    :ivar base: the record that helm upgrades from, or None
    :ivar good: the newest record of a release that came up, or None
    :ivar objects: the wanted objects, patched
    :ivar live: those of them that exist, as they are
    :ivar rendered: what the chart renders to
    :ivar manifest: what helm shall install in place of what the chart renders, or None
    :ivar changes: one an object; those of C(repairs) are among them
    :ivar repairs: live objects that have drifted and that helm itself would leave so
    :ivar takeovers: objects that exist already and become the release's before helm runs
    :ivar kept: fields that differ but that others own, in words
    """

    release: Release
    action: str = "none"
    reasons: list[str] = dataclasses.field(default_factory=list)
    stored: Stored | None = None
    base: Stored | None = None
    good: Stored | None = None
    objects: list[dict] = dataclasses.field(default_factory=list)
    live: dict[Key, dict] = dataclasses.field(default_factory=dict)
    rendered: str = ""
    manifest: str | None = None
    changes: list[Change] = dataclasses.field(default_factory=list)
    repairs: list[Change] = dataclasses.field(default_factory=list)
    takeovers: list[Takeover] = dataclasses.field(default_factory=list)
    kept: list[str] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether applying the plan changes anything."""
        return self.action != "none" or bool(self.repairs) or bool(self.takeovers)

    def report(self) -> dict[str, t.Any]:
        """What a module returns about the release."""
        release = self.release
        action = "repair" if self.action == "none" and self.repairs else self.action
        return {
            "name": release.name,
            "namespace": release.namespace,
            "chart": release.chart,
            "action": action,
            "reasons": self.reasons + [f"{c.title}: {', '.join(c.reasons) or c.action}" for c in self.repairs],
            "kept": self.kept,
            "taken_over": [title(one.live) for one in self.takeovers],
            "restarted": [title(one.live) for one in self.takeovers if one.restarts],
        }


def plan_releases(
    cluster: Cluster, helm: Helm, releases: t.Sequence[Release], take_ownership: bool = False
) -> list[ReleasePlan]:
    """Plans all releases together; reads only.

    :param take_ownership: objects that exist and that no release has are taken over rather than an error
    :raises ClusterError: something can't be done as it is asked for; nothing has been changed
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


def _api_versions(cluster: Cluster) -> list[str]:
    groups = cluster.request("GET", "/apis")["groups"]
    return ["v1", *sorted(v["groupVersion"] for g in groups for v in g["versions"])]


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


class _Planning:
    """What all plans of one run share: the cluster's versions, Helm's records, and the objects in them."""

    def __init__(
        self,
        cluster: Cluster,
        helm: Helm,
        pool: concurrent.futures.Executor,
        records: dict[tuple[str, str], list[Stored]],
    ) -> None:
        self._cluster = cluster
        self._helm = helm
        self._pool = pool
        self._records = records
        self._stored: dict[tuple[str, str], list[dict]] = {}
        self._looks: dict[Key, concurrent.futures.Future[dict | None]] = {}
        self._versions = {"kube_version": cluster.server_version(), "api_versions": _api_versions(cluster)}

    def begin(self, release: Release) -> ReleasePlan:
        """A plan with what is stored, what is wanted, and what helm has to do; without the live objects."""
        records = self._records.get((release.namespace, release.name)) or []
        one = ReleasePlan(release, stored=records[0] if records else None)
        one.good = next((r for r in records if r.status == "deployed"), None)
        one.base = next((r for r in records if r.status not in PENDING), None)
        if release.state == "absent":
            return one
        self._look_for(self.stored(one.base))  # while the chart is rendered
        # Charts may render otherwise on a first installation: compare to the stored manifest like with like.
        first = one.base is None or one.base.revision == 1
        if self._is_plain(one) and self._helm.is_stored(release, one.base):
            one.rendered, one.objects = one.base.manifest, self.stored(one.base)
        else:
            self._render(one, is_upgrade=not first)
        one.reasons = _helm_reasons(one, _by_key(self.stored(one.base)), _by_key(one.objects), self.same)
        if one.reasons:
            one.action = "install" if one.base is None else "upgrade"
        if one.action == "upgrade" and first:
            self._render(one, is_upgrade=True)
        if not release.is_plain:
            one.manifest = manifest(one.objects)
        return one

    def _render(self, one: ReleasePlan, is_upgrade: bool) -> None:
        one.warnings.clear()
        release = one.release
        text = self._helm.template(release, is_upgrade=is_upgrade, **self._versions)
        one.rendered = text
        if self._is_plain(one) and text.strip() == one.base.manifest.strip():
            one.objects = self.stored(one.base)  # no need to read a megabyte of YAML twice
            return
        one.objects = chosen_objects(release, text, one.warnings)
        for obj in one.objects:
            self._default_namespace(obj, release.namespace)

    @staticmethod
    def _is_plain(one: ReleasePlan) -> bool:
        """Whether helm has a record, and what the chart renders to is installed as it is."""
        return one.base is not None and one.release.is_plain

    def kind(self, obj: t.Mapping[str, t.Any]) -> Kind | None:
        """The object's kind, or None where the server doesn't serve it (yet)."""
        try:
            return self._cluster.kind(obj["apiVersion"], obj["kind"])
        except ApiError:
            raise
        except ClusterError:
            return None

    def _default_namespace(self, obj: dict, namespace: str) -> None:
        kind = self.kind(obj)
        if kind is not None and kind.namespaced:
            obj["metadata"].setdefault("namespace", namespace)
        elif kind is not None:
            obj["metadata"].pop("namespace", None)

    def stored(self, record: Stored | None) -> list[dict]:
        """The objects of a stored manifest."""
        if record is None:
            return []
        place = (record.namespace, record.record)
        if place not in self._stored:
            self._stored[place] = parse_manifest(record.manifest, f"the stored manifest of release {record.name}")
            for obj in self._stored[place]:
                self._default_namespace(obj, record.namespace)
        return self._stored[place]

    def same(self, stored: dict | None, wanted: dict) -> bool:
        """Whether a stored object is the wanted one; its number of replicas doesn't count where it is autoscaled."""
        if stored is wanted or stored is None:
            return stored is wanted
        old, new = declared(stored), declared(wanted)
        if old == new:
            return True
        return "replicas" in (new.get("spec") or {}) and (
            _with_replicas(old, None) == _with_replicas(new, None) and autoscaled(self._cluster, wanted)
        )

    def live(self, plans: t.Sequence[ReleasePlan]) -> dict[Key, dict]:
        """The live objects of all plans, wanted and stored."""
        for one in plans:
            self._look_for(self.stored(one.stored) + self.stored(one.base) + one.objects)
        found = {k: look.result() for k, look in self._looks.items()}
        for one in plans:
            one.live = {key(obj): found[key(obj)] for obj in one.objects if found[key(obj)]}
        return {k: obj for k, obj in found.items() if obj}

    def _look_for(self, objects: t.Iterable[dict]) -> None:
        """Begins to read live objects, each once."""
        for obj in objects:
            if key(obj) not in self._looks:
                self._looks[key(obj)] = self._pool.submit(self._look, obj)

    def _look(self, obj: dict) -> dict | None:
        kind = self.kind(obj)
        if kind is None:
            return None
        found = self._cluster.get(kind, obj["metadata"]["name"], obj["metadata"].get("namespace"))
        return {**found, "apiVersion": obj["apiVersion"], "kind": obj["kind"]} if found else None


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
    one.changes = [_deletion(live[key(o)]) for o in planning.stored(one.stored) if key(o) in live and not _kept(o)]


def _deletion(live: dict) -> Change:
    meta = live["metadata"]
    return Change("delete", live["apiVersion"], live["kind"], meta.get("namespace"), meta["name"], before=live)


def _kept(obj: t.Mapping[str, t.Any]) -> bool:
    return (obj["metadata"].get("annotations") or {}).get(_KEEP[0]) == _KEEP[1]


def _with_replicas(obj: dict, number: int | None) -> dict:
    spec = {name: value for name, value in (obj.get("spec") or {}).items() if name != "replicas"}
    return {**obj, "spec": spec if number is None else {**spec, "replicas": number}}


def _by_key(objects: t.Iterable[dict]) -> dict[Key, dict]:
    return {key(o): o for o in objects}


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
    one.changes += [_deletion(live[k]) for k in gone]


def _helm_reasons(
    one: ReleasePlan,
    before: dict[Key, dict],
    wanted: dict[Key, dict],
    same: t.Callable[[dict | None, dict], bool],
) -> list[str]:
    """Why helm has to run for a release; empty: it hasn't."""
    newest, base = one.stored, one.base
    if newest is None:
        return ["it is not installed"]
    reasons = []
    if newest.status in PENDING:
        reasons.append(f"an operation was cut off ({newest.status}, revision {newest.revision})")
    elif newest.status != "deployed":
        reasons.append(f"its last revision is {newest.status}: {newest.description}")
    if base is None:
        return reasons
    different = [title(o) for k, o in wanted.items() if not same(before.get(k), o)]
    different += [title(o) for k, o in before.items() if k not in wanted]
    if different:
        more = f" and {len(different) - 3} more" if len(different) > 3 else ""
        reasons.append(f"its manifest differs ({', '.join(different[:3])}{more})")
    if base.values != json.loads(json.dumps(one.release.values)):
        reasons.append("its values differ")
    if one.release.version and base.version and base.version.lstrip("v") != one.release.version.lstrip("v"):
        reasons.append(f"its chart is {base.chart} {base.version}, not {one.release.version}")
    return reasons


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


def _check_ownership(one: ReleasePlan, live: dict[Key, dict]) -> None:
    """Whether helm may write the objects that exist already: as helm itself checks it, but before anything is done.

    :raises ReleaseError: some belong to someone else
    """
    release = one.release
    foreign = []
    for obj in one.objects:
        found = live.get(key(obj))
        if found is None or one.action == "none":
            continue
        owner = release_of(found)
        if owner != (release.namespace, release.name):
            foreign.append(f"{title(obj)} ({'release ' + '/'.join(owner) if owner else 'no release'})")
    if foreign:
        more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        raise ReleaseError(
            f"release {release.namespace}/{release.name} can't have objects that exist already and belong to"
            f" someone else: {', '.join(foreign[:3])}{more}. Set take_ownership to take them over, or remove them"
        )


def _plan_takeovers(one: ReleasePlan, live: dict[Key, dict], cluster: Cluster) -> None:
    """Adds the objects that exist already and aren't the release's.

    :raises ReleaseError: some belong to another release, which would fight for them
    """
    mine = (one.release.namespace, one.release.name)
    for change in one.changes:
        found = live.get(change.key)
        if change.action == "delete" or found is None or not is_due(found, one.release, one.base is not None):
            continue
        owner = release_of(found)
        if owner not in (None, mine) and stored_releases(cluster, [owner]):
            raise ReleaseError(
                f"release {'/'.join(mine)} can't have {change.title}: it belongs to release {'/'.join(owner)}, which"
                " would go on writing it. Uninstall that one (state absent), or give this one its name and namespace"
            )
        one.takeovers.append(Takeover(found, change.after))
        change.action, change.before = "update", with_fields_handed_over(found)
    taken = {id(t.wanted) for t in one.takeovers}
    one.repairs = [change for change in one.repairs if id(change.after) not in taken]


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
