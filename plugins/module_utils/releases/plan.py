# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Helm releases planned together; reads only.

The plan compares what a chart renders to what Helm has stored, and to the live objects. Helm runs only for
releases whose manifest, values or chart differ. Where only live objects have drifted, they are repaired by
server-side apply in Helm's name, and the release keeps its revision.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError
from ..cluster.kinds import KNOWN
from ..cluster.refusal import unserved
from ..errors import MeshopsError
from ..helm.helm import Helm
from ..helm.ownership import in_release, is_kept, release_of
from ..helm.releases import Release
from ..helm.settled import settled
from ..helm.stored import kept_in_config_maps
from ..reconcile.compare import value_differences
from ..reconcile.identity import OWNER_LABEL, declared, defined_kinds, key, title
from ..reconcile.plan import BY_VALUE, Change, PlanError, plan
from ..reconcile.readiness import unready
from ..reconcile.types import K8sObject
from ..reconcile.wording import listed
from .foreign_fields import HELM_MANAGER, foreign_fields, is_installer, with_live_values, without
from .leftovers import leftovers, repaired_manifest
from .lookups import Lookups
from .manual_edits import additions, with_additions_as_helms
from .model import Action, Cause, Compared, Reason, ReleasePlan
from .ownership import check_ownership, check_removal, with_takeovers
from .planning import Planner, by_key
from .render import manifest
from .takeover import foreseen
from .undeclared import Owner, Users, check_unused, undeclared, users_of

_NAMESPACE = KNOWN["", "Namespace"]
#: The kinds of a release that are waited for. Not Services: without a load balancer that never ends.
AWAITED = ("CustomResourceDefinition", "DaemonSet", "Deployment", "Job", "StatefulSet")


@dataclasses.dataclass(frozen=True)
class PlanOptions:
    """How releases are planned.

    :ivar take_ownership: take over objects that exist and that no release has, instead of failing
    :ivar owner: the inventory that declares the releases; what it no longer declares is uninstalled
    :ivar timeout: seconds that a helm is given to do its work
    :ivar remedy: what else helps where objects of others exist
    :ivar users: finds what uses a release that will be uninstalled, beside what every cluster has
    """

    take_ownership: bool = False
    owner: Owner | None = None
    timeout: float = 0
    users: Users | None = None
    remedy: str = ""


class ReleasePlans(list[ReleasePlan]):
    """The plans of a run.

    :ivar notes: what is retained or could not be seen; also without any plan
    """

    def __init__(self, plans: t.Iterable[ReleasePlan] = (), notes: t.Sequence[str] = ()) -> None:
        super().__init__(plans)
        self.notes = tuple(notes)


def plan_releases(
    cluster: Cluster, helm: Helm, releases: t.Sequence[Release], options: PlanOptions | None = None
) -> ReleasePlans:
    """Plans all releases together; reads only.

    :raises MeshopsError: something can't be done as declared; nothing has been changed
    """
    options = options or PlanOptions()
    _check_names(releases)
    removed = undeclared(cluster, releases, options.owner)
    with (
        Lookups(cluster) as lookups,
        concurrent.futures.ThreadPoolExecutor(max_workers=max(4, cluster.concurrency)) as pool,
    ):
        releases = [*releases, *removed.releases]
        planner = Planner(helm, lookups, settled(cluster, releases, options.timeout))
        stages = list(pool.map(planner.compared, releases))
        _check_served(stages, lookups)
        _check_driver(cluster, stages)
        for stage in stages:
            lookups.begin([*stage.rendered.objects, *stage.rendered.before, *stage.rendered.definitions])
        plans = [_planned(stage, planner, lookups, options, removed.releases) for stage in stages]
        plans = _with_namespaces(cluster, plans)
        plans = list(pool.map(functools.partial(_foreseen, cluster), plans))
        plans = list(pool.map(functools.partial(_confirmed, cluster), plans))
        list(pool.map(functools.partial(_check_added, cluster), plans))
    return ReleasePlans(plans, removed.notes)


def _check_names(releases: t.Sequence[Release]) -> None:
    seen = set()
    for release in releases:
        if release.id in seen:
            raise MeshopsError(f"release {release.namespace}/{release.name} is declared twice: remove one of the two")
        seen.add(release.id)


def _check_served(stages: t.Sequence[Compared], lookups: Lookups) -> None:
    """Checks that the server serves what releases have: helm would fail only when it installs.

    Of what a chart renders only Kubernetes' own APIs are checked: others may be defined by what another chart runs.

    :raises MeshopsError: it does not, and no chart defines it
    """
    brought = defined_kinds(o for stage in stages for o in (*stage.rendered.objects, *stage.rendered.definitions))
    missing: list[str] = []
    for stage in stages:
        release = stage.rendered.release
        added = {(obj["kind"], obj["metadata"]["name"]) for obj in release.objects}
        for obj in stage.rendered.objects:
            if lookups.kind(obj) is not None or key(obj)[:2] in brought:
                continue
            group = obj["apiVersion"].rpartition("/")[0]
            if (obj["kind"], obj["metadata"]["name"]) in added:
                missing.append(unserved(title(obj), obj["apiVersion"], obj["kind"]))
            elif not group.partition(".")[2] or group.endswith(".k8s.io"):
                missing.append(
                    f"release {release.name}: the cluster does not serve {obj['apiVersion']} {obj['kind']}, which chart"
                    f" {release.chart} renders ({title(obj)}). Use a version of the chart for this Kubernetes"
                )
    if missing:
        raise MeshopsError("\n".join(dict.fromkeys(missing)))


def _check_driver(cluster: Cluster, stages: t.Sequence[Compared]) -> None:
    """Checks that Helm doesn't keep a release in a ConfigMap that is to be installed.

    :raises MeshopsError: it does
    """
    missing = [stage.rendered.release.id for stage in stages if stage.rendered.stored is None]
    try:
        kept = kept_in_config_maps(cluster, missing)
    except ApiError:
        return  # may not be listed: helm's own driver is Secrets
    if kept:
        raise MeshopsError(
            f"release {'/'.join(kept[0])}: Helm keeps it in a ConfigMap (HELM_DRIVER=configmap), and this collection"
            " reads Secrets: it would be installed a second time. Move its records to Secrets, or uninstall it"
        )


def _planned(
    stage: Compared, planner: Planner, lookups: Lookups, options: PlanOptions, removed: t.Collection[Release]
) -> ReleasePlan:
    """A compared release with what changes, object by object."""
    if stage.rendered.release.state == "absent":
        return _removal(stage, planner, lookups, options.users, undeclared=stage.rendered.release in removed)
    planned = _changes(stage, planner, lookups)
    owner = planned.release.owner
    if options.take_ownership:
        planned = with_takeovers(planned, lookups.cluster)
    else:
        check_ownership(planned, {key(obj) for obj in stage.rendered.before}, options.remedy)
    labelled = planned.stored.labels.get(OWNER_LABEL) if planned.stored else None
    if owner and labelled and labelled != owner and planned.stored:
        raise MeshopsError(
            f"release {'/'.join(planned.release.id)}: belongs to inventory {labelled!r}, not to {owner!r} (Conflict):"
            f" declare it in one of them, or remove the label {OWNER_LABEL} from the Secret {planned.stored.record}"
        )
    relabel = bool(owner) and planned.action is Action.NONE and not labelled
    causes = (Cause(Reason.OWNER, f"its record is labelled as inventory {owner!r}'s"),) if relabel else ()
    return dataclasses.replace(planned, owner=owner, relabel=relabel, causes=(*planned.causes, *causes))


def _removal(
    stage: Compared, planner: Planner, lookups: Lookups, users: Users | None, *, undeclared: bool
) -> ReleasePlan:
    rendered = stage.rendered
    record = rendered.stored
    if record is None:
        return ReleasePlan(rendered.release)
    live = list(lookups.live_of(planner.stored(record)).values())
    deleted = [obj for obj in live if not is_kept(obj)]
    changes = tuple(Change.deletion(obj) for obj in deleted)
    if undeclared:
        check_removal(record, live)
        check_unused(record, users_of(lookups.cluster, deleted, users))
        causes = (Cause(Reason.UNDECLARED, "it is no longer declared"),)
        return ReleasePlan(rendered.release, stage.action, causes, record, rendered.base, changes=changes)
    used = users(lookups.cluster, deleted) if users else []
    warnings = [f"Release {'/'.join(record.id)} is uninstalled while it is in use by {listed(used, 3)}"] if used else []
    return ReleasePlan(
        rendered.release, stage.action, stage.causes, record, rendered.base, changes=changes, warnings=tuple(warnings)
    )


def _changes(stage: Compared, planner: Planner, lookups: Lookups) -> ReleasePlan:
    """A plan with what changes, object by object."""
    rendered, release = stage.rendered, stage.rendered.release
    live = lookups.live_of(rendered.objects)
    before, wanted = by_key(rendered.before), by_key(rendered.objects)
    dropped = before.keys() - wanted.keys()
    is_autoscaled = functools.partial(lookups.is_autoscaled, dropped=dropped)
    kept = {k: foreign_fields(o, live[k], is_autoscaled) if k in live else [] for k, o in wanted.items()}
    mine = [in_release(without(obj, kept[k]), release) for k, obj in wanted.items()]
    # what others own keeps its value: without the field Helm 3 would reset it, and Helm 4 force the chart's
    installed = [with_live_values(obj, live[k], kept[k]) if kept[k] else obj for k, obj in wanted.items()]
    differs = not release.is_plain or installed != list(rendered.objects)
    differs = differs or rendered.deduplicated
    try:
        changes = plan(mine, [live[k] for k in wanted if k in live], BY_VALUE)
    except PlanError as error:
        raise MeshopsError(f"release {release.name}: {error}") from error
    repairs: list[Change] = []
    for change in changes:
        same = planner.same(dropped, before.get(change.key), wanted[change.key])
        if _compare_live(change, live.get(change.key), before.get(change.key), wanted[change.key], same=same):
            repairs.append(change)
    gone_live = lookups.live_of(before[k] for k in before if k in dropped)
    removed = [Change.deletion(obj) for k, obj in gone_live.items() if not is_kept(before[k])]
    extra = leftovers(stage, planner, lookups)
    definitions, warnings = _definitions(stage, lookups)
    repaired = repaired_manifest(stage, lookups) if stage.action is Action.UPGRADE else None
    good = next((r for r in (rendered.base,) if r is not None and r.status == "deployed"), None)
    return ReleasePlan(
        release,
        stage.action,
        (*stage.causes, *_further_causes(extra, definitions, repaired[1] if repaired else [])),
        rendered.stored,
        rendered.base,
        good=good,
        good_was_ready=good is None or good.was_ready or _is_ready(rendered.before, lookups),
        objects=rendered.objects,
        live=live,
        before=before,
        rendered=rendered.text,
        manifest=manifest(installed) if differs else None,
        changes=(*definitions, *changes, *removed, *extra),
        repairs=tuple(repairs),
        definitions=tuple(c for c in definitions if c.action != "unchanged"),
        leftovers=tuple(extra),
        repaired_manifest=repaired[0] if repaired else None,
        kept=tuple(field for fields in kept.values() for field in fields),
        warnings=(*rendered.warnings, *warnings),
    )


def _compare_live(
    change: Change, live: K8sObject | None, old: K8sObject | None, wanted: K8sObject, *, same: bool
) -> bool:
    """Completes a change by what helm itself wouldn't see; gives whether it is a repair."""
    if change.after is None:
        return False
    repair = same and change.action in ("create", "update")
    if old is not None and not same and change.action == "unchanged":
        dropped = value_differences(declared(old), declared(wanted))
        if dropped:
            change.action, change.before, change.reasons = "update", live, dropped
    added = additions(change.after, live) if live is not None and change.action in ("unchanged", "update") else []
    if added and live is not None:
        change.action, change.before = "update", with_additions_as_helms(live, added)
        change.reasons = [*change.reasons, *(addition.text for addition in added)]
        repair = True
    return repair


def _definitions(stage: Compared, lookups: Lookups) -> tuple[list[Change], list[str]]:
    """Changes of the CustomResourceDefinitions in the chart's folder C(crds), which helm only ever creates."""
    wanted = by_key(stage.rendered.definitions)
    live = lookups.live_of(wanted.values())
    warnings = []
    for identity, obj in live.items():
        entries = [e for e in obj["metadata"].get("managedFields") or () if not e.get("subresource")]
        others = sorted({e["manager"] for e in entries if not is_installer(e["manager"])})
        owner = release_of(obj)
        if owner not in (None, stage.rendered.release.id) or others:
            by = f"release {'/'.join(owner)}" if owner else others[0]
            warnings.append(f"{title(obj)} of chart {stage.rendered.release.chart} is left to {by}, which owns it")
            del wanted[identity]
    changes = plan(wanted.values(), [live[k] for k in wanted if k in live], BY_VALUE)
    return [change for change in changes if change.action != "unchanged"], warnings


def _further_causes(
    extra: t.Sequence[Change], definitions: t.Sequence[Change], removed_apis: t.Sequence[str]
) -> t.Iterator[Cause]:
    for change in extra:
        yield Cause(Reason.LEFTOVER, f"{change.title} was left by a revision that failed")
    for change in definitions:
        yield Cause(Reason.DEFINITION, f"{change.title}: {', '.join(change.reasons[:3]) or change.action}")
    if removed_apis:
        names = ", ".join(removed_apis[:3])
        yield Cause(Reason.API_REMOVED, f"its stored manifest names APIs that the cluster no longer serves ({names})")


def _is_ready(objects: t.Sequence[K8sObject], lookups: Lookups) -> bool:
    """Whether what was installed runs: the revision came up."""
    awaited = [obj for obj in objects if obj["kind"] in AWAITED]
    live = lookups.live_of(awaited)
    return all(key(obj) in live and unready(live[key(obj)]) is None for obj in awaited)


def _with_namespaces(cluster: Cluster, plans: t.Sequence[ReleasePlan]) -> list[ReleasePlan]:
    """The plans with the namespaces that helm will create, in the plan of the first release in each."""
    declared_ones = {c.name for one in plans for c in one.changes if c.kind == "Namespace"}
    missing: dict[str, bool] = {}
    result = []
    for release_plan in plans:
        name = release_plan.release.namespace
        if release_plan.release.state == "present" and name not in missing:
            missing[name] = _is_missing(cluster, name)
            if missing[name] and name not in declared_ones:
                after = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
                change = Change("create", "v1", "Namespace", None, name, after=after)
                release_plan = dataclasses.replace(release_plan, changes=(change, *release_plan.changes))
        result.append(dataclasses.replace(release_plan, create_namespace=missing.get(name, True)))
    return result


def _is_missing(cluster: Cluster, namespace: str) -> bool:
    """Whether a namespace doesn't exist; who may not ask has rights in it, so it does."""
    try:
        return cluster.get(_NAMESPACE, namespace) is None
    except ApiError as error:
        if error.status != 403:
            raise
        return False


def _foreseen(cluster: Cluster, planned: ReleasePlan) -> ReleasePlan:
    """A plan with what the server says to its takeovers."""
    takeovers = tuple(foreseen(cluster, takeover, planned.release) for takeover in planned.takeovers)
    return dataclasses.replace(planned, takeovers=takeovers)


def _confirmed(cluster: Cluster, planned: ReleasePlan) -> ReleasePlan:
    """A plan without repairs that would change nothing: the server fills in more than a comparison can know."""
    kept = []
    for change in planned.repairs:
        if change.action == "update" and _changes_nothing(cluster, change):
            change.action = "unchanged"
        else:
            kept.append(change)
    return dataclasses.replace(planned, repairs=tuple(kept))


def _changes_nothing(cluster: Cluster, change: Change) -> bool:
    if change.after is None or change.before is None:
        return False
    try:
        dry = cluster.apply(change.after, force=True, dry_run=True, manager=HELM_MANAGER)
    except ApiError:
        return False
    return _content(dry) == _content(change.before) and not additions(change.after, dry)


def _check_added(cluster: Cluster, planned: ReleasePlan) -> None:
    """Checks that the server takes what a release has beside its chart. What is in no namespace yet can't be asked.

    :raises MeshopsError: it refuses an object
    """
    added = {(obj["kind"], obj["metadata"]["name"]) for obj in planned.release.objects}
    for change in planned.changes:
        if change.action not in ("create", "update") or (change.kind, change.name) not in added or not change.after:
            continue
        try:
            cluster.apply(change.after, force=True, dry_run=True, manager=HELM_MANAGER)
        except ApiError as error:
            if error.status != 404:
                raise MeshopsError(
                    f"release {planned.release.name}: {change.title} is refused ({error.reason}): {error}"
                ) from error


def _content(obj: K8sObject) -> K8sObject:
    meta = {k: v for k, v in obj["metadata"].items() if k not in ("managedFields", "resourceVersion", "generation")}
    return {**{k: v for k, v in obj.items() if k not in ("status", "apiVersion", "kind")}, "metadata": meta}
