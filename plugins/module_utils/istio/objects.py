# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Brings declared objects about: what mesh_objects and the typed modules share.

A typed module builds its one object and calls C(reconcile_objects); that is all it does.
Most runs change nothing: what it takes to write, wait and explain is imported where it is needed.
"""

from __future__ import annotations

import collections
import dataclasses
import re
import time
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError, ClusterError, Unreachable
from ..cluster.kinds import KNOWN, Kind, split_api_version
from ..cluster.live import Live
from ..reconcile.compare import SchemaSource, is_built_in
from ..reconcile.identity import OWNER_LABEL, title
from ..reconcile.plan import Change, PlanError, plan
from ..reconcile.schema import Schema

if t.TYPE_CHECKING:
    from ..cluster.apply import Outcome
    from ..reconcile.order import Stage

#: The groups whose objects are the mesh's own; what is pruned is looked for in all of their kinds.
MESH_GROUPS = (
    "networking.istio.io",
    "security.istio.io",
    "telemetry.istio.io",
    "extensions.istio.io",
    "gateway.networking.k8s.io",
)
#: What else is looked for to be pruned: what is declared beside the mesh's objects; not what holds data or runs once.
_BESIDE = tuple(
    kind
    for kind in KNOWN.values()
    if kind.group in ("apps", "autoscaling", "networking.k8s.io", "policy", "rbac.authorization.k8s.io")
    or kind.kind in ("ConfigMap", "CronJob", "Secret", "Service", "ServiceAccount")
    if kind.kind != "ReplicaSet"
)
#: The kinds of Istio that have lists with keys; of these the server's schema is read where it matters.
_KEYED = ("ServiceEntry", "WasmPlugin", "TrafficExtension")
#: All other CustomResourceDefinitions of Istio have no defaults and no lists with keys: this schema says so of a field.
_NO_DEFAULTS = Schema(
    {"$ref": "any"},
    {"any": {"additionalProperties": {"$ref": "any"}, "items": {"$ref": "any"}}},
)
#: How long proxies are given to take subsets before routes name them, and routes before subsets go, in seconds: ten
#: times istiod's moment of quiet before a push. tests/bench/order measures what is too short.
SETTLE = 1.0
#: A name that leads to one object in a URL, and to nothing else.
_IN_A_PATH = re.compile(r"(?!\.\.?\Z)[^/%?#\s]+\Z")
#: How the API server says that a user lacks a right; other refusals with status 403 are those of policies and quotas.
_NO_RIGHT = re.compile(r'forbidden: User ".*?" cannot ')
_DONE = {"create": "created", "update": "updated", "delete": "deleted", "unchanged": "unchanged"}
_ACTIONS = ("created", "updated", "deleted", "unchanged", "failed")


class ObjectsFailed(ClusterError):
    """Some objects could not be brought about; C(result) tells of every object, also of those that could."""

    def __init__(self, message: str, result: dict) -> None:
        super().__init__(message)
        self.result = result


class Module(t.Protocol):
    """What is needed of an AnsibleModule."""

    check_mode: bool
    _diff: bool


def reconcile_objects(
    module: Module,
    cluster: Cluster,
    objects: t.Iterable[dict],
    state: str = "present",
    owner: str | None = None,
    prune: bool = False,
    prune_all: bool = False,
    wait: bool = False,
    wait_timeout: float = 120,
    force_conflicts: bool = False,
    namespace: str = "default",
    return_objects: bool = False,
    adopt: bool = True,
    settle: float = SETTLE,
) -> dict:
    """Makes the cluster hold what is declared, and says what was done; in check mode what would be done.

    :param module: tells check mode, and whether a diff is wanted
    :param objects: objects with apiVersion, kind and metadata.name (see C(reconcile.documents.objects))
    :param state: C(present), or C(absent): delete them; only apiVersion, kind, name and namespace count then
    :param owner: the set that they belong to: their label C(meshops.istio/owner)
    :param prune: delete objects of this owner that are not declared any more, if all that is declared could be
        written; they are looked for in the kinds of the mesh, in C(_BESIDE), and in the kinds that are declared
    :param prune_all: allow this even where nothing is declared, so that everything of the owner goes
    :param wait: wait until all are ready, or gone
    :param wait_timeout: seconds that the whole may take; also how long refused requests are repeated
    :param force_conflicts: take fields over from other field managers
    :param namespace: where objects live that name no namespace
    :param adopt: whether objects that are there and belong to no owner become this one's
    :param return_objects: put the live object into its entry, as C(object)
    :param settle: seconds that proxies are given to take new subsets before routes name them, and routes before
        subsets go
    :returns: C(changed), C(objects): an entry each with C(kind), C(namespace), C(name), C(action) (created, updated,
        deleted, unchanged, failed), C(error) where it failed and C(note) where check mode could not tell all;
        C(summary): how many of which action; C(diff) where the module wants one
    :raises ClusterError: what is declared can't be right; nothing has been changed
    :raises ObjectsFailed: some objects failed; all others are done
    """
    cluster.retry_until = time.monotonic() + wait_timeout
    try:
        return _reconcile(
            module, cluster, list(objects), state, owner, prune, prune_all, wait, wait_timeout, force_conflicts,
            namespace, return_objects, adopt, settle,
        )  # fmt: skip
    finally:
        cluster.retry_until = None


def _reconcile(
    module: Module,
    cluster: Cluster,
    declared: list[dict],
    state: str,
    owner: str | None,
    prune: bool,
    prune_all: bool,
    wait: bool,
    wait_timeout: float,
    force_conflicts: bool,
    namespace: str,
    return_objects: bool,
    adopt: bool,
    settle: float,
) -> dict:
    begin = time.monotonic()
    if not namespace:
        raise ClusterError("namespace is empty: name the namespace of objects that name none, or leave the option out")
    if not 0 <= settle < float("inf"):
        raise ClusterError(f"settle is {settle}: give the seconds that proxies need to take a change, 0 or more")
    if prune:
        _check_prune(declared, owner, prune_all, state)
    kinds = _Kinds(cluster, declared)
    declared = [kinds.place(obj, namespace) for obj in declared]
    kinds.raise_unknown(may_come=module.check_mode and state == "present")
    options: dict[str, t.Any] = {
        "state": state,
        "owner_name": owner,
        "prune": prune,
        "schemas": server_schemas(cluster),
        "keep_unchanged": wait or return_objects,
        "adopt": adopt,
    }
    labels = f"{OWNER_LABEL}={owner}" if prune else None
    try:
        live = Live(cluster, kinds.wanted(declared), labels, kinds.pruned(), _BESIDE)
        changes = plan(declared, live, **options)
        elsewhere = kinds.elsewhere(live.unserved)
        if elsewhere:
            declared = [{**obj, "apiVersion": elsewhere.get(kinds.of(obj), obj["apiVersion"])} for obj in declared]
            live = Live(cluster, kinds.wanted(declared), labels, kinds.pruned(), _BESIDE)
            changes = plan(declared, live, **options)
    except PlanError as error:
        raise ClusterError(str(error)) from error
    todo = [change for change in changes if change.action != "unchanged"]
    unserved = kinds.unserved(live.unserved, todo)
    kinds.require(unserved, todo, wait_timeout, may_come=module.check_mode)
    missing = {(kind.api_version, kind.kind) for kind in unserved} | kinds.unknown
    outcomes = _carry_out(
        module, cluster, todo, settle, force_conflicts, missing, begin + wait_timeout, keep=wait or return_objects
    )
    result = _result(module, changes, outcomes, return_objects)
    failures = [outcome for outcome in outcomes.values() if outcome.error]
    if failures:
        raise ObjectsFailed(_failure_text(failures, len(changes)), result)
    if wait and not module.check_mode:
        _wait(cluster, changes, outcomes, result, begin + wait_timeout - time.monotonic())
    return result


def _check_prune(declared: list[dict], owner: str | None, prune_all: bool, state: str) -> None:
    if not owner:
        raise ClusterError("prune deletes what an owner no longer declares: set the option owner too")
    if state == "absent":
        raise ClusterError(
            "prune and state absent contradict each other: to delete all of an owner, give no objects,"
            " state present and prune_all: true"
        )
    if not declared and not prune_all:
        raise ClusterError(
            f"nothing is declared, so prune would delete everything of owner {owner!r}:"
            " if that is meant, set prune_all: true; else check that objects or src lead to the objects"
        )


# -- kinds ----------------------------------------------------------------


class _Kinds:
    """The kinds of declared objects: from the known table, from declared CustomResourceDefinitions, by discovery."""

    def __init__(self, cluster: Cluster, declared: list[dict]) -> None:
        self._cluster = cluster
        self._declared = {kind.api_version + kind.kind: kind for obj in declared for kind in _defined(obj)}
        self._existing: list[dict] | None = None
        self._found: dict[tuple[str, str], Kind | None] = {}
        self._unknown: dict[tuple[str, str], list[dict]] = collections.defaultdict(list)

    def of(self, obj: dict) -> Kind | None:
        api_version, kind = obj["apiVersion"], obj["kind"]
        if (api_version, kind) not in self._found:
            found = self._declared.get(api_version + kind)
            try:
                found = found or self._cluster.kind(api_version, kind)
            except (ApiError, Unreachable):
                raise
            except ClusterError:
                found = None if is_built_in(api_version) else self._coming(api_version, kind)
            self._found[api_version, kind] = found
        return self._found[api_version, kind]

    def place(self, obj: dict, namespace: str) -> dict:
        """The object with the namespace that it lives in, or with none where its kind has none."""
        kind = self.of(obj)
        meta = obj["metadata"]
        if kind is None:
            self._unknown[obj["apiVersion"], obj["kind"]].append(obj)
        elif kind.namespaced and not meta.get("namespace"):
            meta = {**meta, "namespace": namespace}
        elif not kind.namespaced and "namespace" in meta:
            meta = {k: v for k, v in meta.items() if k != "namespace"}
        if not isinstance(meta["name"], str):
            meta = {**meta, "name": str(meta["name"])}
        for field in ("name", "namespace"):
            if not _IN_A_PATH.match(meta.get(field) or field):
                raise ClusterError(f"{title(obj)}: metadata.{field} {meta[field]!r} can't be one in Kubernetes")
        return obj if meta is obj["metadata"] else {**obj, "metadata": meta}

    def raise_unknown(self, may_come: bool) -> None:
        """Complains of kinds that the server doesn't know.

        :param may_come: not of those whose CustomResourceDefinition may be still to come
        """
        hopeless = {which: objs for which, objs in self._unknown.items() if not (may_come and self._may_come(*which))}
        if hopeless:
            raise ClusterError("\n".join(self._unserved_text(*which, objs) for which, objs in hopeless.items()))

    def _may_come(self, api_version: str, kind: str) -> bool:
        group, version = split_api_version(api_version)
        known = is_built_in(api_version) or group in MESH_GROUPS
        return not known and self._serving(Kind(group, version, kind, "", True)) is None

    def _coming(self, api_version: str, kind: str) -> Kind | None:
        """The kind of a CustomResourceDefinition that exists, though the server doesn't serve it yet."""
        if self._existing is None:
            try:
                self._existing = self._cluster.list(KNOWN["apiextensions.k8s.io", "CustomResourceDefinition"])
            except ApiError as error:
                if error.status != 403:
                    raise
                self._existing = []
            self._cluster.forget_kinds()  # by now it may serve what it didn't
        defined = [one for definition in self._existing for one in _defined(definition) if _serves(definition, one)]
        return next((one for one in defined if (one.api_version, one.kind) == (api_version, kind)), None)

    @property
    def unknown(self) -> set[tuple[str, str]]:
        """apiVersion and kind of what the server doesn't know."""
        return set(self._unknown)

    def wanted(self, declared: list[dict]) -> dict[Kind, dict[str, set[str]]]:
        wanted: dict[Kind, dict[str, set[str]]] = {}
        for obj in declared:
            kind, meta = self.of(obj), obj["metadata"]
            if kind is not None:
                wanted.setdefault(kind, {}).setdefault(meta.get("namespace", ""), set()).add(meta["name"])
        return wanted

    def pruned(self) -> list[Kind]:
        """The kinds in which objects of an owner are looked for."""
        mesh = [kind for (group, _kind), kind in KNOWN.items() if group in MESH_GROUPS]
        mesh += _BESIDE
        given = [kind for kind in self._found.values() if kind]
        known = {(kind.group, kind.kind) for kind in given}
        return given + [kind for kind in mesh if (kind.group, kind.kind) not in known]

    def elsewhere(self, unserved: t.Iterable[Kind]) -> dict[Kind | None, str]:
        """The declared kinds of the mesh that the server doesn't serve as declared, with the apiVersion that it serves.

        The versions of such a kind have the same fields, and Istio's documentation shows now one and now another.
        """
        found = {kind: self._serving(kind) for kind in unserved if kind.group in MESH_GROUPS}
        return {kind: version for kind, version in found.items() if version and kind in self._found.values()}

    def unserved(self, kinds: t.Iterable[Kind], todo: list[Change]) -> set[Kind]:
        """The unserved kinds of which objects are to be written."""
        used = {self.of(change.after) for change in todo if change.after}
        return {kind for kind in kinds if kind in used}

    def require(self, unserved: set[Kind], todo: list[Change], timeout: float, may_come: bool) -> None:
        """Waits for CustomResourceDefinitions that exist, and complains of those that don't and aren't declared.

        :param may_come: complain only of kinds that the server serves in another version
        """
        given = [kind for kind in unserved if kind.api_version + kind.kind not in self._declared]
        if not given:
            return
        from ..cluster.wait import wait_established

        missing = wait_established(self._cluster, given, timeout)
        if may_come:
            missing = [kind for kind in missing if self._serving(kind)]
        if missing:
            texts = [
                self._unserved_text(
                    kind.api_version, kind.kind, [c.after for c in todo if c.after and self.of(c.after) == kind]
                )
                for kind in missing
            ]
            raise ClusterError("\n".join(texts))

    def _serving(self, kind: Kind) -> str | None:
        found = self._cluster.served(kind)
        return found.api_version if found else None

    def _unserved_text(self, api_version: str, kind: str, objs: list[dict]) -> str:
        from ..reconcile.refusal import unserved

        more = f" and {len(objs) - 1} more" if len(objs) > 1 else ""
        group, version = split_api_version(api_version)
        serving = self._serving(Kind(group, version, kind, "", True))
        return unserved(f"{title(objs[0])}{more}", api_version, kind, serving)


def _defined(obj: dict) -> list[Kind]:
    """The kinds that a declared CustomResourceDefinition brings."""
    if obj.get("kind") != "CustomResourceDefinition":
        return []
    spec = obj.get("spec") or {}
    try:
        names = spec["names"]
        kinds = [
            Kind(spec["group"], v["name"], names["kind"], names["plural"], spec["scope"] == "Namespaced")
            for v in spec["versions"]
        ]
    except (KeyError, TypeError):
        return []  # the API server will say what is missing
    return [one for one in kinds if all(isinstance(text, (str, bool)) for text in dataclasses.astuple(one))]


class _Schemas:
    """Gives the schema of an object's kind, from the server's OpenAPI document, read when first needed."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._documents: dict[str, dict] = {}
        self._schemas: dict[tuple[str, str], Schema | None] = {}

    def __call__(self, obj: t.Mapping[str, t.Any]) -> Schema | None:
        group, _version = split_api_version(obj["apiVersion"])
        plain = group.endswith(".istio.io") and obj["kind"] not in _KEYED
        return _NO_DEFAULTS if plain else self.published(obj["apiVersion"], obj["kind"])

    def published(self, api_version: str, kind: str) -> Schema | None:
        if (api_version, kind) not in self._schemas:
            if api_version not in self._documents:
                self._documents[api_version] = self._cluster.openapi(api_version)
            group, version = split_api_version(api_version)
            self._schemas[api_version, kind] = Schema.of_kind(self._documents[api_version], group, version, kind)
        return self._schemas[api_version, kind]


def server_schemas(cluster: Cluster) -> SchemaSource:
    """The schemas that a cluster publishes, for C(plan)."""
    return _Schemas(cluster)


# -- execution ------------------------------------------------------------


def _carry_out(
    module: Module,
    cluster: Cluster,
    todo: list[Change],
    settle: float,
    force: bool,
    missing: set[tuple[str, str]],
    deadline: float,
    keep: bool,
) -> dict[tuple, Outcome]:
    """Executes, or tries where check mode lets it; an outcome for every change, by key."""
    if not todo:
        return {}
    from ..cluster.apply import execute
    from ..cluster.wait import wait_established
    from ..reconcile.order import stages

    outcomes: dict[tuple, Outcome] = {}
    if module.check_mode:
        todo, outcomes = _untried(todo, missing)
    explainer = _Explainer(cluster)
    redefined = {
        (kind.api_version, kind.kind): change.title
        for change in todo
        if module.check_mode and change.after
        for kind in _defined(change.after)
    }

    def after_stage(stage: Stage, done: list[Outcome]) -> None:
        defined = [kind for outcome in done if outcome.obj for kind in _defined(outcome.obj)]
        if defined:
            served = [kind for kind in defined if any(_serves(o.obj, kind) for o in done if o.obj)]
            wait_established(cluster, served, deadline - time.monotonic())

    done = execute(
        cluster,
        stages(todo),
        settle,
        force=force,
        dry_run=module.check_mode,
        explain=explainer,
        after_stage=after_stage,
        keep=lambda change: (
            keep or change.kind == "CustomResourceDefinition" or (module._diff and change.action == "update")
        ),
    )
    for outcome in done:
        former = outcomes.get(outcome.change.key)
        if module.check_mode and outcome.error and explainer.missing_namespace.get(outcome.change.key):
            text = f"namespace {outcome.change.namespace} does not exist yet, so the API server could not check this"
            outcome = _untriable(outcome.change, text)
        definition = redefined.get((outcome.change.api_version, outcome.change.kind))
        if definition and outcome.error:
            text = f"{definition} is changed in the same run, so the API server could not check this"
            outcome = _untriable(outcome.change, text)
        if former is None or not former.error:
            outcomes[outcome.change.key] = outcome
    return outcomes


def _serves(obj: dict, kind: Kind) -> bool:
    return any(v["name"] == kind.version and v.get("served") for v in (obj.get("spec") or {}).get("versions", ()))


def _untriable(change: Change, note: str) -> Outcome:
    """The outcome of a change that check mode can't try."""
    from ..cluster.apply import Outcome

    return Outcome(change, _DONE[change.action], note=note)


def _untried(todo: list[Change], missing: set[tuple[str, str]]) -> tuple[list[Change], dict[tuple, Outcome]]:
    """Check mode: what the server can check, and the outcome of what it can't, as namespace or CRD are to come."""
    namespaces = {change.name for change in todo if change.action == "create" and change.kind == "Namespace"}
    tried, outcomes = [], {}
    for change in todo:
        note = ""
        if change.action == "create" and change.namespace in namespaces:
            note = f"namespace {change.namespace} is created in the same run, so the API server could not check this"
        elif (change.api_version, change.kind) in missing:
            note = (
                f"the API server does not serve {change.kind} in {change.api_version} yet, so it could not check this"
            )
        if note:
            outcomes[change.key] = _untriable(change, note)
        else:
            tried.append(change)
    return tried, outcomes


class _Explainer:
    """Turns refusals into messages that say object, field and remedy."""

    def __init__(self, cluster: Cluster) -> None:
        self._schemas = _Schemas(cluster)
        self.missing_namespace: dict[tuple, bool] = {}

    def __call__(self, change: Change, error: ApiError) -> str:
        from ..reconcile.refusal import hushed, sentences

        text = str(error)
        said = sentences(text, error.causes, change.after or {}, lambda: self._schema(change))
        if said:
            return f"{change.title}: {'; '.join(said)}"
        if error.status == 404 and f'namespaces "{change.namespace}" not found' in text:
            self.missing_namespace[change.key] = True
            return (
                f"{change.title}: namespace {change.namespace} does not exist:"
                " create it first, or declare it among the objects"
            )
        remedy = ""
        if error.status == 403 and _NO_RIGHT.search(text):
            remedy = " (give the user of this kubeconfig the right to do so)"
        return f"{change.title}: {hushed(text, change.before, change.after)}{remedy}"

    def _schema(self, change: Change) -> Schema | None:
        try:
            return self._schemas.published(change.api_version, change.kind)
        except ClusterError:  # the message does without it
            return None


# -- result ---------------------------------------------------------------


def _result(module: Module, changes: list[Change], outcomes: dict[tuple, Outcome], full: bool) -> dict:
    entries = []
    summary = dict.fromkeys(_ACTIONS, 0)
    really = []
    for change in changes:
        outcome = outcomes.get(change.key)
        action = outcome.action if outcome else "unchanged"
        summary[action] += 1
        entry: dict[str, t.Any] = {
            "kind": change.kind,
            "namespace": change.namespace,
            "name": change.name,
            "action": action,
            "error": str(outcome.error) if outcome and outcome.error else None,
        }
        note = outcome.note if outcome else change.note
        if note:
            entry["note"] = note
        if full:
            entry["object"] = _shown((outcome.obj if outcome else change.before) or {})
        entries.append(entry)
        if action not in ("unchanged", "failed"):
            really.append(change)
    begun = any(outcome.begun for outcome in outcomes.values())
    result: dict[str, t.Any] = {"changed": bool(really) or begun, "objects": entries, "summary": summary}
    if module._diff:
        from ..reconcile.diff import diff

        result["diff"] = diff(really, answers={k: outcome.obj for k, outcome in outcomes.items() if outcome.obj})
    return result


def _shown(obj: dict) -> dict:
    """An object as a module returns it: without managedFields, and without a Secret's values."""
    if not obj:
        return {}
    shown = {k: v for k, v in obj.items() if not (obj.get("kind") == "Secret" and k in ("data", "stringData"))}
    shown["metadata"] = {k: v for k, v in obj["metadata"].items() if k != "managedFields"}
    return shown


def _failure_text(failures: list[Outcome], total: int) -> str:
    lines = [str(outcome.error) for outcome in failures]
    if total == 1:
        return lines[0]
    more = f"\n... and {len(lines) - 20} more, see objects" if len(lines) > 20 else ""
    return f"{len(lines)} of {total} objects failed:\n" + "\n".join(lines[:20]) + more


def _wait(
    cluster: Cluster, changes: list[Change], outcomes: dict[tuple, Outcome], result: dict, timeout: float
) -> None:
    from ..cluster.wait import wait_gone
    from ..cluster.workloads import wait_ready
    from ..reconcile.readiness import unready

    gone, late = [], []
    for change in changes:
        outcome = outcomes.get(change.key)
        if change.after is None:
            if change.before and (change.action == "delete" or change.before["metadata"].get("deletionTimestamp")):
                gone.append(change.before)
            continue
        live = (outcome.obj if outcome else None) or change.before
        if live is None or unready(live):
            late.append(change.after)
    try:
        wait_gone(cluster, gone, timeout)
        wait_ready(cluster, late, unready, timeout)
    except ClusterError as error:  # what was done is told all the same
        raise ObjectsFailed(str(error), result) from error
