# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Brings declared objects about: what mesh_objects and the typed modules share.

A typed module builds its one object and calls C(reconcile_objects); that is all it does.
Most runs change nothing: what it takes to write, wait and explain is imported where it is needed.
"""

from __future__ import annotations

import time
import typing as t

from ..cluster.client import Cluster
from ..cluster.live import Live
from ..errors import MeshopsError
from ..reconcile.identity import OWNER_LABEL
from ..reconcile.plan import Change, PlanError, plan
from .check_mode import _untriable, _untried
from .explain import _Explainer
from .kinds import _BESIDE, _defined, _Kinds, _serves
from .result import Module, ObjectsFailed, _failure_text, _result
from .schemas import server_schemas

if t.TYPE_CHECKING:
    from ..cluster.apply import Outcome
    from ..reconcile.order import Stage

#: How long proxies are given to take subsets before routes name them, and routes before subsets go, in seconds: ten
#: times istiod's moment of quiet before a push. tests/bench/order measures what is too short.
SETTLE = 1.0


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
    :raises MeshopsError: what is declared can't be right; nothing has been changed
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
        raise MeshopsError("namespace is empty: name the namespace of objects that name none, or leave the option out")
    if not 0 <= settle < float("inf"):
        raise MeshopsError(f"settle is {settle}: give the seconds that proxies need to take a change, 0 or more")
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
        raise MeshopsError(str(error)) from error
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
        raise MeshopsError("prune deletes what an owner no longer declares: set the option owner too")
    if state == "absent":
        raise MeshopsError(
            "prune and state absent contradict each other: to delete all of an owner, give no objects,"
            " state present and prune_all: true"
        )
    if not declared and not prune_all:
        raise MeshopsError(
            f"nothing is declared, so prune would delete everything of owner {owner!r}:"
            " if that is meant, set prune_all: true; else check that objects or src lead to the objects"
        )


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
        wait_ready(cluster, late, timeout)
    except MeshopsError as error:  # what was done is told all the same
        raise ObjectsFailed(str(error), result) from error
