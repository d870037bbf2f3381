# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Helm releases planned together, applied in order and side by side, and waited for.

The plan compares what a chart renders to what Helm has stored, and to the live objects. Helm runs only for
releases whose manifest, values or chart differ. Where only live objects have drifted, they are repaired by
server-side apply in Helm's name, and the release stays at its revision.
"""

from __future__ import annotations

import concurrent.futures
import copy
import dataclasses
import json
import time
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError, ClusterError
from ..cluster.kinds import KNOWN, Kind
from ..cluster.workloads import wait_ready
from ..helm.helm import RELEASE_LABEL, Helm
from ..helm.patches import apply_patches
from ..helm.releases import Release
from ..helm.stored import PENDING, Stored, forget, stored_releases
from ..reconcile import diff as object_diff
from ..reconcile.compare import value_differences
from ..reconcile.documents import DocumentError, parse
from ..reconcile.identity import Key, declared, key, title
from ..reconcile.managed_fields import owners
from ..reconcile.plan import Change, PlanError, plan
from ..reconcile.readiness import unready

#: The field manager of Helm 4, and of Helm 3's requests.
HELM_MANAGER = "helm"

#: The kinds of a release that are waited for. Not Services: where no load balancer exists one waits for ever.
_AWAITED = ("CustomResourceDefinition", "DaemonSet", "Deployment", "Job", "StatefulSet")

#: Seconds that a pending operation of another helm process is given to end by itself.
_PENDING_GRACE = 10
#: Seconds after which a pending operation that this collection didn't begin counts as cut off.
_FOREIGN_PENDING = 600

#: What helm says where another helm is at work on the same release.
_BUSY = ("is in progress", "release: already exists", "cannot re-use a name", "cannot reuse a name")
_ATTEMPTS = 4

#: The options that modules which install releases share.
HELM_OPTIONS = {
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 300},
    "atomic": {"type": "bool", "default": False},
    "take_ownership": {"type": "bool", "default": False},
    "binary_path": {"type": "path"},
}

_KEEP = ("helm.sh/resource-policy", "keep")
_NAMESPACE = KNOWN["", "Namespace"]


class ReleaseError(ClusterError):
    """Releases that can't be planned or don't come up.

    :ivar result: what the module returns beside the message
    """

    def __init__(self, message: str, result: dict | None = None) -> None:
        super().__init__(message)
        self.result = result or {}


@dataclasses.dataclass
class ReleasePlan:
    """What is to be done for one release.

    :ivar action: what helm does: C(install), C(upgrade), C(uninstall) or C(none)
    :ivar reasons: why, in words
    :ivar stored: the newest record, or None
    :ivar base: the record that helm upgrades from, or None
    :ivar good: the newest record of a release that came up, or None
    :ivar objects: the wanted objects, patched
    :ivar manifest: what helm shall install in place of what the chart renders, or None
    :ivar changes: one an object; those of C(repairs) are among them
    :ivar repairs: live objects that have drifted and that helm itself would leave so
    :ivar kept: fields that differ but that others own, in words
    """

    release: Release
    action: str = "none"
    reasons: list[str] = dataclasses.field(default_factory=list)
    stored: Stored | None = None
    base: Stored | None = None
    good: Stored | None = None
    objects: list[dict] = dataclasses.field(default_factory=list)
    manifest: str | None = None
    changes: list[Change] = dataclasses.field(default_factory=list)
    repairs: list[Change] = dataclasses.field(default_factory=list)
    kept: list[str] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether applying the plan changes anything."""
        return self.action != "none" or bool(self.repairs)

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
        }


# -- rendering ----------------------------------------------------------------


def render(helm: Helm, release: Release, warnings: list[str] | None = None, **options: t.Any) -> list[dict]:
    """The objects of a release, as its chart renders them with its patches, in Helm's order.

    :param options: see C(Helm.template)
    :raises ClusterError: the chart can't be found or rendered
    """
    return _objects(release, helm.template(release, **options), warnings)


def _objects(release: Release, text: str, warnings: list[str] | None = None) -> list[dict]:
    """The objects of what a release's chart has rendered, chosen and patched."""
    objects = parse_manifest(text, f"chart {release.chart} of release {release.name}")
    if release.labels:
        chosen = release.labels.items()
        objects = [o for o in objects if chosen <= (o["metadata"].get("labels") or {}).items()]
        if not objects:
            wanted = ", ".join(f"{k}={v}" for k, v in chosen)
            raise ReleaseError(f"chart {release.chart} of release {release.name} renders nothing labelled {wanted}")
    return apply_patches(objects, release.patches, warnings) if release.patches else objects


def parse_manifest(text: str, source: str) -> list[dict]:
    """The objects of a manifest.

    :raises ReleaseError: it isn't YAML of Kubernetes objects
    """
    try:
        return [document.obj for document in parse(text, source, twice=True)]
    except DocumentError as error:
        raise ReleaseError(f"{error}. The chart, or the values given to it, must be mended") from error


def _manifest(objects: t.Iterable[dict]) -> str:
    """Objects as a manifest; JSON is YAML, and nothing in it can be misread."""
    return "".join(f"---\n{json.dumps(obj)}\n" for obj in objects)


# -- planning -----------------------------------------------------------------


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
        live = planning.live(plans)
        for one in plans:
            if one.release.state == "absent":
                _plan_removal(one, live, planning)
                continue
            _plan_changes(one, live, cluster, planning)
            if not take_ownership:
                _check_ownership(one, live)
        _add_namespaces(cluster, plans)
        list(pool.map(lambda one: _confirm(cluster, one), plans))
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
        self._versions = {"kube_version": cluster.server_version(), "api_versions": _api_versions(cluster)}

    def begin(self, release: Release) -> ReleasePlan:
        """A plan with what is stored, what is wanted, and what helm has to do; without the live objects."""
        records = self._records.get((release.namespace, release.name)) or []
        one = ReleasePlan(release, stored=records[0] if records else None)
        one.good = next((r for r in records if r.status == "deployed"), None)
        one.base = next((r for r in records if r.status not in PENDING), None)
        if release.state == "absent":
            return one
        # Charts may render otherwise on a first installation: compare to the stored manifest like with like.
        first = one.base is None or one.base.revision == 1
        self._render(one, is_upgrade=not first)
        one.reasons = _helm_reasons(one, _by_key(self.stored(one.base)), _by_key(one.objects))
        if one.reasons:
            one.action = "install" if one.base is None else "upgrade"
        if one.action == "upgrade" and first:
            self._render(one, is_upgrade=True)
        if release.patches or release.labels:
            one.manifest = _manifest(one.objects)
        return one

    def _render(self, one: ReleasePlan, is_upgrade: bool) -> None:
        one.warnings.clear()
        release = one.release
        text = self._helm.template(release, is_upgrade=is_upgrade, **self._versions)
        plain = not release.patches and not release.labels
        if plain and one.base is not None and text.strip() == one.base.manifest.strip():
            one.objects = self.stored(one.base)  # no need to read a megabyte of YAML twice
            return
        one.objects = _objects(release, text, one.warnings)
        for obj in one.objects:
            self._default_namespace(obj, release.namespace)

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

    def live(self, plans: t.Sequence[ReleasePlan]) -> dict[Key, dict]:
        """The live objects of all plans, wanted and stored."""
        needed = {
            key(obj): obj for one in plans for obj in self.stored(one.stored) + self.stored(one.base) + one.objects
        }

        def one_live(obj: dict) -> dict | None:
            kind = self.kind(obj)
            if kind is None:
                return None
            found = self._cluster.get(kind, obj["metadata"]["name"], obj["metadata"].get("namespace"))
            return {**found, "apiVersion": obj["apiVersion"], "kind": obj["kind"]} if found else None

        return {k: found for k, found in zip(needed, self._pool.map(one_live, needed.values()), strict=True) if found}


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


def _same(stored: dict | None, wanted: dict) -> bool:
    """Whether a stored object is the wanted one."""
    return stored is wanted or (stored is not None and declared(stored) == declared(wanted))


def _by_key(objects: t.Iterable[dict]) -> dict[Key, dict]:
    return {key(o): o for o in objects}


def _plan_changes(one: ReleasePlan, live: dict[Key, dict], cluster: Cluster, planning: _Planning) -> None:
    """Adds what changes, object by object."""
    before, wanted = _by_key(planning.stored(one.base)), _by_key(one.objects)
    mine = []
    for identity, obj in wanted.items():
        found = live.get(identity)
        kept: list[str] = []
        own = without_foreign(obj, found, kept, lambda o: _autoscaled(cluster, o)) if found else obj
        mine.append(_in_release(own, one.release))
        one.kept += kept
    try:
        one.changes = plan(mine, [live[k] for k in wanted if k in live], manager=None)
    except PlanError as error:
        raise ReleaseError(f"release {one.release.name}: {error}") from error
    for change in one.changes:
        old = before.get(change.key)
        same = _same(old, wanted[change.key])
        if same and change.action in ("create", "update"):
            one.repairs.append(change)
        elif old is not None and not same and change.action == "unchanged":
            dropped = value_differences(declared(old), declared(wanted[change.key]))
            if dropped:
                change.action, change.before, change.reasons = "update", live[change.key], dropped
    gone = [k for k, o in before.items() if k not in wanted and k in live and not _kept(o)]
    one.changes += [_deletion(live[k]) for k in gone]


def _helm_reasons(one: ReleasePlan, before: dict[Key, dict], wanted: dict[Key, dict]) -> list[str]:
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
    different = [title(o) for k, o in wanted.items() if not _same(before.get(k), o)]
    different += [title(o) for k, o in before.items() if k not in wanted]
    if different:
        more = f" and {len(different) - 3} more" if len(different) > 3 else ""
        reasons.append(f"its manifest differs ({', '.join(different[:3])}{more})")
    if base.values != json.loads(json.dumps(one.release.values)):
        reasons.append("its values differ")
    if one.release.version and base.version and base.version.lstrip("v") != one.release.version.lstrip("v"):
        reasons.append(f"its chart is {base.chart} {base.version}, not {one.release.version}")
    return reasons


def without_foreign(
    wanted: dict, live: dict, kept: list[str], autoscaled: t.Callable[[dict], bool] = lambda obj: False
) -> dict:
    """A wanted object without the fields that others rightly own, where those have another value by now.

    That are: a webhook's caBundle, and its failurePolicy once istiod has switched it; replicas under a
    HorizontalPodAutoscaler.

    :param kept: gets a line for each such field, with the manager that owns it
    :param autoscaled: whether a HorizontalPodAutoscaler has a workload in hand
    """
    result = wanted
    if wanted["kind"] in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        result = copy.deepcopy(wanted)
        there = {w["name"]: w for w in live.get("webhooks") or ()}
        for webhook in result.get("webhooks") or ():
            other = there.get(webhook["name"], {})
            client, other_client = webhook.get("clientConfig") or {}, other.get("clientConfig") or {}
            if other_client.get("caBundle") and client.get("caBundle", "") != other_client["caBundle"]:
                client.pop("caBundle", None)
            policy = webhook.get("failurePolicy")
            by = [m for m in owners(live, ("webhooks", {"name": webhook["name"]}, "failurePolicy")) if _is_program(m)]
            if policy and by and other.get("failurePolicy", policy) != policy:
                del webhook["failurePolicy"]
                kept.append(f"{title(wanted)}: failurePolicy of {webhook['name']} belongs to {by[0]}")
    replicas = (wanted.get("spec") or {}).get("replicas")
    if replicas is not None and replicas != (live.get("spec") or {}).get("replicas") and autoscaled(wanted):
        result = copy.deepcopy(wanted)
        del result["spec"]["replicas"]
        kept.append(f"{title(wanted)}: replicas belong to its HorizontalPodAutoscaler")
    return result


def _is_program(manager: str) -> bool:
    """Whether a field manager is a controller of its own, rather than Helm, this collection, or someone's kubectl."""
    return manager not in (HELM_MANAGER, "meshops.istio") and not manager.startswith("kubectl")


def _autoscaled(cluster: Cluster, obj: dict) -> bool:
    scalers = cluster.list(KNOWN["autoscaling", "HorizontalPodAutoscaler"], obj["metadata"]["namespace"])
    targets = [s["spec"]["scaleTargetRef"] for s in scalers]
    return any(ref["kind"] == obj["kind"] and ref["name"] == obj["metadata"]["name"] for ref in targets)


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
        annotations = found["metadata"].get("annotations") or {}
        owner = (annotations.get("meta.helm.sh/release-namespace"), annotations.get("meta.helm.sh/release-name"))
        if owner != (release.namespace, release.name):
            foreign.append(f"{title(obj)} ({'release ' + '/'.join(owner) if all(owner) else 'no release'})")
    if foreign:
        more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        raise ReleaseError(
            f"release {release.namespace}/{release.name} can't have objects that exist already and belong to"
            f" someone else: {', '.join(foreign[:3])}{more}. Set take_ownership to take them over, or remove them"
        )


def _confirm(cluster: Cluster, one: ReleasePlan) -> None:
    """Drops repairs that would change nothing: the server fills in and rewrites more than a comparison can know."""
    for change in [c for c in one.repairs if c.action == "update"]:
        try:
            dry = cluster.apply(change.after, force=True, dry_run=True, manager=HELM_MANAGER)
        except ApiError:
            continue
        if _content(dry) == _content(change.before):
            one.repairs.remove(change)
            change.action = "unchanged"


def _content(obj: dict) -> dict:
    meta = {k: v for k, v in obj["metadata"].items() if k not in ("managedFields", "resourceVersion", "generation")}
    return {**{k: v for k, v in obj.items() if k not in ("status", "apiVersion", "kind")}, "metadata": meta}


def diff(plans: t.Iterable[ReleasePlan]) -> list[dict[str, str]]:
    """The diff of all plans, one entry an object."""
    return [entry for one in plans for entry in object_diff.diff(one.changes, HELM_MANAGER)]


# -- applying -----------------------------------------------------------------


def apply_releases(
    cluster: Cluster,
    helm: Helm,
    plans: t.Sequence[ReleasePlan],
    timeout: float = 300,
    atomic: bool = False,
    wait: bool = True,
    take_ownership: bool = False,
) -> None:
    """Applies plans: each release once those before it are ready, independent ones side by side; removals last.

    :param timeout: seconds that a release may take to become ready
    :param atomic: take a release that doesn't come up back to its last good revision, or out
    :raises ReleaseError: one failed; those that depend on it were not begun
    """
    by_name = {one.release.name: one for one in plans}
    done: dict[str, concurrent.futures.Future] = {}

    def run(one: ReleasePlan, before: list[concurrent.futures.Future]) -> None:
        concurrent.futures.wait(before)
        if any(f.exception() for f in before):
            raise _Skipped
        _apply(cluster, helm, one, timeout, atomic, wait, take_ownership)

    ordered = _in_order([one for one in plans if one.release.state == "present"])
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, len(ordered))) as pool:
        for one in ordered:
            before = [done[name] for name in one.release.after if name in done and name in by_name]
            done[one.release.name] = pool.submit(run, one, before)
    errors = {name: f.exception() for name, f in done.items() if f.exception() is not None}
    reasons = [str(e) for e in errors.values() if not isinstance(e, _Skipped)]
    skipped = [name for name, e in errors.items() if isinstance(e, _Skipped)]
    unexpected = [e for e in errors.values() if not isinstance(e, (ClusterError, _Skipped))]
    if unexpected:
        raise unexpected[0]
    if any(word in reason for reason in reasons for word in _BUSY):
        raise Busy(". ".join(reasons))
    if reasons:
        waits = f". Not begun, because they come after: {', '.join(skipped)}" if skipped else ""
        raise ReleaseError(". ".join(reasons) + waits)
    for one in reversed(plans):  # what goes, goes last: the others may have used it until now
        if one.action == "uninstall":
            helm.uninstall(one.release.name, one.release.namespace, timeout)


class Busy(ReleaseError):
    """Another helm has got hold of a release in the meantime."""


class _Skipped(Exception):
    """A release wasn't begun, because one that it comes after failed."""


def _in_order(plans: t.Sequence[ReleasePlan]) -> list[ReleasePlan]:
    """Plans so that each follows those it comes after.

    :raises ReleaseError: they wait for each other
    """
    names = {one.release.name for one in plans}
    ordered: list[ReleasePlan] = []
    left = list(plans)
    while left:
        placed = {one.release.name for one in ordered}
        free = [one for one in left if all(n in placed for n in one.release.after if n in names)]
        if not free:
            raise ReleaseError(f"releases wait for each other: {', '.join(o.release.name for o in left)}")
        ordered += free
        left = [one for one in left if one not in free]
    return ordered


def _apply(
    cluster: Cluster, helm: Helm, one: ReleasePlan, timeout: float, atomic: bool, wait: bool, take_ownership: bool
) -> None:
    release, newest = one.release, one.stored
    if one.action != "none":
        if newest is not None and newest.status in PENDING:
            forget(cluster, newest)
        if newest is not None and newest.status == "uninstalling":
            helm.uninstall(release.name, release.namespace, timeout)
        method = newest.apply_method if newest is not None and one.action == "upgrade" else None
        helm.upgrade(release, one.manifest, method, take_ownership, timeout)
    for change in one.repairs:
        cluster.apply(change.after, force=True, manager=HELM_MANAGER)
    if not wait:
        return
    try:
        wait_ready(cluster, [o for o in one.objects if o["kind"] in _AWAITED], unready, timeout)
    except ClusterError as error:
        if not atomic or one.action == "none":
            raise
        raise ReleaseError(f"{error} {_take_back(cluster, helm, one)}") from error


def _in_release(obj: dict, release: Release) -> dict:
    """An object with the marks that helm gives what it installs."""
    meta = dict(obj["metadata"])
    meta["labels"] = {**(meta.get("labels") or {}), "app.kubernetes.io/managed-by": "Helm"}
    meta["annotations"] = {
        **(meta.get("annotations") or {}),
        "meta.helm.sh/release-name": release.name,
        "meta.helm.sh/release-namespace": release.namespace,
    }
    return {**obj, "metadata": meta}


def _take_back(cluster: Cluster, helm: Helm, one: ReleasePlan) -> str:
    """Takes a release back to where it was, and says so."""
    release = one.release
    if one.good is None:
        helm.uninstall(release.name, release.namespace)
        return f"Release {release.name} has been taken out again."
    helm.rollback(release.name, release.namespace, one.good.revision, one.good.apply_method)
    return f"Release {release.name} has been taken back to revision {one.good.revision}."


# -- a module's run -----------------------------------------------------------


def declared_releases(params: t.Mapping[str, t.Any]) -> list[Release]:
    """The releases that a module's parameters declare.

    :raises ReleaseError: a release that is to be there has no chart
    """
    releases = []
    for given in params["releases"]:
        if given["state"] == "present" and not given["chart"]:
            raise ReleaseError(f"release {given['name']} has no chart: say which with the option chart")
        chosen = {name: value for name, value in given.items() if value is not None}
        chosen.setdefault("charts", params.get("charts"))
        chosen.setdefault("version", params.get("version"))
        releases.append(Release(**{"chart": "", **chosen}))
    return releases


def reconcile_releases(module: t.Any, cluster: Cluster, helm: Helm, releases: t.Sequence[Release]) -> dict[str, t.Any]:
    """Plans releases, and outside of check mode applies them; gives the module's result.

    :param module: an AnsibleModule with C(HELM_OPTIONS)
    :raises ReleaseError: its C(result) says what was planned
    """
    params = module.params
    attempt = 1
    plans = plan_releases(cluster, helm, releases, params["take_ownership"])
    result = {"changed": any(one.changed for one in plans), "releases": [one.report() for one in plans]}
    if result["changed"]:
        result["diff"] = diff(plans)
    for line in [line for one in plans for line in one.warnings]:
        module.warn(line)
    while not module.check_mode:
        try:
            apply_releases(
                cluster,
                helm,
                plans,
                params["wait_timeout"],
                params["atomic"],
                params["wait"],
                params["take_ownership"],
            )
            break
        except Busy as error:  # what a run that was killed has left behind is still at work
            attempt += 1
            if attempt > _ATTEMPTS:
                error.result = result
                raise
            plans = plan_releases(cluster, helm, releases, params["take_ownership"])
        except ReleaseError as error:
            error.result = result
            raise
    return result
