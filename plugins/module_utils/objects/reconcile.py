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
from ..reconcile.identity import OWNER_LABEL, Key
from ..reconcile.plan import Change, PlanError, PlanOptions, RetainedReason, plan
from ..reconcile.types import K8sObject
from ..reconcile.wording import listed
from .check_mode import Untried, _untriable, _untried
from .explain import _Explainer
from .kinds import BESIDE, Kinds, _defined, _serves
from .options import ApplyOptions
from .result import Module, ObjectsFailed, _failed_first, _failure_text, _result
from .schemas import server_schemas
from .weights import with_live_weights

if t.TYPE_CHECKING:
    from .executor import Outcome

DEFAULTS = ApplyOptions()


def reconcile_objects(
    module: Module, cluster: Cluster, objects: t.Iterable[K8sObject], options: ApplyOptions = DEFAULTS
) -> dict[str, t.Any]:
    """Makes the cluster hold what is declared, and reports what was done; in check mode what would be done.

    :param module: tells check mode, and whether a diff is wanted
    :param objects: objects with apiVersion, kind and metadata.name (see C(reconcile.documents.objects))
    :returns: C(changed), C(objects): an entry each with C(kind), C(namespace), C(name), C(action) (created, updated,
        deleted, unchanged, failed), C(error) where it failed and C(note) where check mode could not tell all;
        C(summary): how many of which action; C(diff) where the module shows one; C(warnings)
    :raises MeshopsError: what is declared can't be right; nothing has been changed
    :raises ObjectsFailed: some objects failed; all others are done
    """
    cluster.retry_until = time.monotonic() + options.wait_timeout
    try:
        return _reconcile(module, cluster, list(objects), options, cluster.retry_until)
    finally:
        cluster.retry_until = None


def _reconcile(
    module: Module, cluster: Cluster, objects: list[K8sObject], options: ApplyOptions, deadline: float
) -> dict[str, t.Any]:
    options.check(len(objects))
    kinds = Kinds(cluster, objects)
    declared = kinds.placed(objects, options.namespace)
    kinds.raise_unknown(may_come=module.check_mode and options.state == "present")
    labels = f"{OWNER_LABEL}={options.owner}" if options.prune else None
    live = Live(cluster, kinds.wanted(declared), labels, kinds.pruned(), BESIDE)
    declared = kinds.served(declared, live)
    changes = _plan(declared, live, cluster, options)
    todo = [change for change in changes if change.action != "unchanged"]
    unserved = kinds.unserved(live.unserved, todo)
    kinds.require(unserved, todo, options.wait_timeout, may_come=module.check_mode)
    missing = {(kind.api_version, kind.kind) for kind in unserved} | kinds.unknown
    outcomes = _carry_out(module, cluster, todo, options, missing, deadline)
    result = _result(module, changes, outcomes, full=options.return_objects)
    result["warnings"] = _warnings(changes, live, options)
    failures = [outcome for outcome in outcomes.values() if outcome.error]
    if failures:
        raise ObjectsFailed(_failure_text(failures, len(changes)), _failed_first(result))
    if options.wait and not module.check_mode:
        _wait(cluster, changes, outcomes, result, deadline - time.monotonic())
    return result


def _plan(declared: list[K8sObject], live: Live, cluster: Cluster, options: ApplyOptions) -> list[Change]:
    try:
        return plan(
            declared,
            live,
            PlanOptions(
                state=options.state,
                owner=options.owner,
                prune=options.prune,
                schemas=server_schemas(cluster),
                keep_unchanged=options.keep_objects,
                adopt=options.adopt,
                forced=options.takes_items,
                adjust=with_live_weights if options.keep_weights else None,
            ),
        )
    except PlanError as error:
        raise MeshopsError(str(error)) from error


def _warnings(changes: list[Change], live: Live, options: ApplyOptions) -> list[str]:
    """What pruning could not see, or does not own."""
    warnings = []
    foreign = [change.title for change in changes if change.note_reason == RetainedReason.NOT_APPLIED_BY_US.value]
    if foreign:
        warnings.append(
            f"Not pruned, although labelled as owner {options.owner!r}'s: {listed(foreign)}. This collection has not"
            " applied them, or their managedFields are lost, as after a restore. Declare them once, or delete them."
        )
    if live.unseen:
        kinds = sorted({kind.kind for kind in live.unseen})
        warnings.append(
            f"This user may not list {listed(kinds)} in all namespaces: objects of owner {options.owner!r} are pruned"
            f" only in {listed(live.seen_namespaces) or 'no namespace'}, and retained elsewhere."
        )
    return warnings


# -- execution ------------------------------------------------------------


def _carry_out(
    module: Module,
    cluster: Cluster,
    todo: list[Change],
    options: ApplyOptions,
    missing: set[tuple[str, str]],
    deadline: float,
) -> dict[Key, Outcome]:
    """Executes, or tries where check mode lets it; an outcome for every change, by key."""
    if not todo:
        return {}
    from ..cluster.wait import wait_established
    from ..reconcile.order import stages
    from .executor import Execution, Executor

    outcomes: dict[Key, Outcome] = {}
    if module.check_mode:
        todo, outcomes = _untried(todo, missing)
    explainer = _Explainer(cluster)
    redefined = {
        (kind.api_version, kind.kind): change.title
        for change in todo
        if module.check_mode and change.after
        for kind in _defined(change.after)
    }

    def after_stage(done: list[Outcome]) -> None:
        defined = [kind for outcome in done if outcome.obj for kind in _defined(outcome.obj)]
        if defined:
            served = [kind for kind in defined if any(_serves(o.obj, kind) for o in done if o.obj)]
            wait_established(cluster, served, deadline - time.monotonic())

    execution = Execution(
        options.settle,
        force=options.takes_over,
        check_mode=module.check_mode,
        explain=explainer,
        after_stage=after_stage,
        keep=lambda change: (
            options.keep_objects
            or change.kind == "CustomResourceDefinition"
            or (module._diff and change.action == "update")
        ),
    )
    for outcome in Executor(cluster, execution).run(stages(todo)):
        earlier = outcomes.get(outcome.change.key)
        if module.check_mode and outcome.error and explainer.missing_namespace.get(outcome.change.key):
            text = f"namespace {outcome.change.namespace} does not exist yet, so the API server could not check this"
            outcome = _untriable(outcome.change, Untried.NAMESPACE_MISSING, text)
        definition = redefined.get((outcome.change.api_version, outcome.change.kind))
        if definition and outcome.error:
            text = f"{definition} is changed in the same run, so the API server could not check this"
            outcome = _untriable(outcome.change, Untried.DEFINITION_CHANGED, text)
        if earlier is None or not earlier.error:
            outcomes[outcome.change.key] = outcome
    return outcomes


def _wait(
    cluster: Cluster, changes: list[Change], outcomes: dict[Key, Outcome], result: dict[str, t.Any], timeout: float
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
