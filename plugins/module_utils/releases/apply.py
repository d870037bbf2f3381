# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Planned releases applied: in their order, independent ones side by side, each waited for."""

from __future__ import annotations

import concurrent.futures
import typing as t

from ..cluster.client import Cluster
from ..cluster.workloads import NotReady, wait_ready
from ..errors import MeshopsError
from ..helm.helm import Helm
from ..helm.stored import PENDING, forget
from ..reconcile.identity import defined_kinds, key
from ..reconcile.readiness import unready
from .foreign_fields import HELM_MANAGER
from .manual_edits import take_away
from .model import ReleasePlan
from .render import ReleaseError
from .takeover import take_over

#: The kinds of a release that are waited for. Not Services: where no load balancer exists one waits for ever.
_DEFINITION = "CustomResourceDefinition"
_AWAITED = (_DEFINITION, "DaemonSet", "Deployment", "Job", "StatefulSet")

#: What helm says where another helm is at work on the same release.
_BUSY = ("is in progress", "release: already exists", "cannot re-use a name", "cannot reuse a name")


def apply_releases(
    cluster: Cluster,
    helm: Helm,
    plans: t.Sequence[ReleasePlan],
    timeout: float = 300,
    atomic: bool = False,
    wait: bool = True,
) -> None:
    """Applies plans: each release once those before it are ready, independent ones side by side; removals last.

    On a first installation a release needn't wait for one that runs nothing and brings no kind that it uses: istiod's
    objects are made beside Istio's CustomResourceDefinitions, for which istiod itself waits (pkg/kube/crdwatcher).

    An image that can't be pulled takes back all that was done until then, with or without C(atomic): what needs it has
    never run, another run wouldn't mend it, and istiod would inject a proxy that nobody can pull.

    :param timeout: seconds that a release may take to become ready
    :param atomic: take a release that doesn't come up back to its last good revision, or out; it is waited for, then
    :raises ReleaseError: one failed; those that depend on it were not begun
    """
    done: dict[tuple[str, str], concurrent.futures.Future] = {}
    by_name: dict[str, list[ReleasePlan]] = {}
    written: list[ReleasePlan] = []

    def run(one: ReleasePlan, before: list[concurrent.futures.Future]) -> None:
        concurrent.futures.wait(before)
        if any(f.exception() for f in before):
            raise _Skipped
        _apply(cluster, helm, one, timeout, atomic, wait or atomic, written)

    ordered = _in_order([one for one in plans if one.release.state == "present"])
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, len(ordered))) as pool:
        for one in ordered:
            earlier = [other for name in one.release.after for other in by_name.get(name, ())]
            before = [done[_place(other)] for other in earlier if atomic or _must_wait(one, other)]
            done[_place(one)] = pool.submit(run, one, before)
            by_name.setdefault(one.release.name, []).append(one)
    errors = {place: f.exception() for place, f in done.items() if f.exception() is not None}
    reasons = [_sentence(e) for e in errors.values() if not isinstance(e, _Skipped)]
    result = _failures(errors)
    skipped = [name for (_namespace, name), e in errors.items() if isinstance(e, _Skipped)]
    unexpected = [e for e in errors.values() if not isinstance(e, (MeshopsError, _Skipped))]
    if unexpected:
        raise unexpected[0]
    if any(map(_is_busy, reasons)):
        raise Busy(" ".join(reasons), result)
    if reasons:
        waits = f" Not begun, because they come after: {', '.join(skipped)}." if skipped else ""
        unpullable = any(isinstance(e, _Unpullable) for e in errors.values())
        back = _take_all_back(helm, [one for one in ordered if one in written]) if unpullable else ""
        raise ReleaseError(" ".join(reasons) + waits + back, result)
    for one in reversed(plans):  # what goes, goes last: the others may have used it until now
        if one.action == "uninstall":
            helm.uninstall(one.release.name, one.release.namespace, timeout)


def _failures(errors: t.Mapping[tuple[str, str], BaseException | None]) -> dict[str, t.Any]:
    """The failed releases, and those that were not begun because of them, for the module's result."""
    failures, not_begun = [], []
    for (namespace, name), error in errors.items():
        entry = {"namespace": namespace, "name": name}
        if isinstance(error, _Skipped):
            not_begun.append(entry)
        else:
            failures.append({**entry, "message": str(error)})
    return {"failures": failures, "not_begun": not_begun}


def _place(one: ReleasePlan) -> tuple[str, str]:
    return one.release.namespace, one.release.name


class Busy(ReleaseError):
    """Another helm has got hold of a release in the meantime."""


class _Unpullable(ReleaseError):
    """What this run has made of a release needs an image that can't be pulled."""


class _Skipped(Exception):
    """A release wasn't begun, because one that it comes after failed."""


def _in_order(plans: t.Sequence[ReleasePlan]) -> list[ReleasePlan]:
    """Plans so that each follows those it comes after.

    :raises ReleaseError: they wait for each other
    """
    ordered: list[ReleasePlan] = []
    left = list(plans)
    while left:
        free = [one for one in left if not any(o.release.name in one.release.after for o in left if o is not one)]
        if not free:
            raise ReleaseError(f"releases wait for each other: {', '.join(o.release.name for o in left)}")
        ordered += free
        left = [one for one in left if one not in free]
    return ordered


def _must_wait(one: ReleasePlan, other: ReleasePlan) -> bool:
    """Whether a release can't be begun before one that it comes after is ready."""
    if (one.action, other.action) != ("install", "install"):
        return True
    runs = any(obj["kind"] in _AWAITED and obj["kind"] != _DEFINITION for obj in other.objects)
    return runs or not defined_kinds(other.objects).isdisjoint(key(obj)[:2] for obj in one.objects)


def _apply(
    cluster: Cluster,
    helm: Helm,
    one: ReleasePlan,
    timeout: float,
    atomic: bool,
    wait: bool,
    written: list[ReleasePlan],
) -> None:
    """Applies one plan.

    :param written: gets the plan once helm has done its part, unless that was taken back
    """
    for takeover in one.takeovers:
        take_over(cluster, takeover)
    try:
        _write(cluster, helm, one, timeout)
        if one.action != "none":
            written.append(one)
        if wait:
            wait_ready(cluster, _awaited(one), timeout)
    except MeshopsError as error:
        if one in written and isinstance(error, NotReady) and error.unpullable:
            raise _Unpullable(str(error)) from error
        if not atomic or one.action == "none" or _is_busy(str(error)) or _was_there(one):
            raise  # another helm has it in hand, or what was there before must not be taken out
        if one in written:
            written.remove(one)
        raise ReleaseError(f"{_sentence(error)} {_take_back(helm, one)}") from error


def _was_there(one: ReleasePlan) -> bool:
    """Whether a release's objects were there before it was one."""
    return bool(one.takeovers) and one.good is None


def _write(cluster: Cluster, helm: Helm, one: ReleasePlan, timeout: float) -> None:
    release, newest = one.release, one.stored
    if one.action != "none":
        if newest is not None and newest.status in PENDING:
            forget(cluster, newest)
        if newest is not None and newest.status == "uninstalling":
            helm.uninstall(release.name, release.namespace, timeout)
        method = newest.apply_method if newest is not None and one.action == "upgrade" else None
        helm.upgrade(release, one.manifest, method, timeout, one.rendered)
    for change in one.repairs:
        take_away(cluster, change.after, cluster.apply(change.after, force=True, manager=HELM_MANAGER))


def _sentence(error: object) -> str:
    text = str(error)
    return text if text.endswith(".") else f"{text}."


def _is_busy(reason: str) -> bool:
    return any(word in reason for word in _BUSY)


def _awaited(one: ReleasePlan) -> list[dict]:
    """The objects to wait for: where nothing is done to them, those that weren't ready when they were planned."""
    awaited = [obj for obj in one.objects if obj["kind"] in _AWAITED]
    if one.changed:
        return awaited
    return [obj for obj in awaited if key(obj) not in one.live or unready(one.live[key(obj)])]


def _take_all_back(helm: Helm, written: t.Sequence[ReleasePlan]) -> str:
    """Takes releases back to where they were, the last first, and says so."""
    said = [_take_back(helm, one) for one in reversed(written) if not _was_there(one)]
    said += [f"Release {one.release.name} stays: its objects were there before." for one in written if _was_there(one)]
    if any(one.good is None and not _was_there(one) for one in written):
        said.append("Namespaces stay, and the CustomResourceDefinitions that Helm keeps.")
    return "".join(f" {sentence}" for sentence in said)


def _take_back(helm: Helm, one: ReleasePlan) -> str:
    """Takes a release back to where it was, and says so."""
    release = one.release
    try:
        if one.good is None:
            helm.uninstall(release.name, release.namespace)
            return f"Release {release.name} has been taken out again."
        helm.rollback(release.name, release.namespace, one.good.revision, one.good.apply_method)
    except MeshopsError as error:
        return f"Release {release.name} could not be taken back, either: {error}"
    return f"Release {release.name} has been taken back to revision {one.good.revision}."
