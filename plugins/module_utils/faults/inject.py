# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Injects faults into the VirtualServices of a live mesh, and removes them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import typing as t

from ..cluster.client import PatchOptions
from ..cluster.edit import ATTEMPTS, ObjectRef, Operation, edit
from ..cluster.errors import ApiError
from ..errors import MeshopsError
from ..mesh.untrusted import printable
from ..reconcile.types import K8sObject
from ..reconcile.yaml_text import to_yaml
from .bookkeeping import (
    ANNOTATION,
    State,
    annotate_patch,
    annotation_test_patch,
    original_owners,
    restore_patch,
    saved_state,
    state_of,
)
from .expiry import Expiry, delete_jobs, expiry_jobs, job_image, job_user, running_job, too_short
from .expiry_job import ExpiryJobOptions, is_expiry_job
from .options import Fault
from .routes import (
    Spec,
    add_faults,
    is_plain_spec,
    location,
    mark_of,
    marked_routes,
    plain_spec,
    sections_patch,
    without_faults,
)
from .target import VIRTUAL_SERVICE, Host, Target, locate

if t.TYPE_CHECKING:
    from ..cluster.client import Cluster

#: The field manager of what is written here; its entry is removed together with the faults.
MANAGER = "meshops.istio.fault-injection"
#: The field manager that the API server notes for the expiry Job's requests.
_EXPIRY_MANAGER = "curl"
_LONGEST_ANNOTATION = 200_000


@dataclasses.dataclass
class Outcome:
    """What was done to one VirtualService.

    :ivar before: as it was, None where it did not exist
    :ivar after: its spec now, None where it does not exist any more
    :ivar warnings: sentences for the user
    """

    namespace: str
    name: str
    changed: bool
    before: K8sObject | None
    after: Spec | None
    warnings: list[str] = dataclasses.field(default_factory=list)

    @property
    def spec_before(self) -> Spec | None:
        return self.before["spec"] if self.before else None

    @property
    def diff(self) -> dict[str, str]:
        header = f"VirtualService {self.namespace}/{self.name}"
        before, after = (to_yaml({"spec": spec}) if spec else "" for spec in (self.spec_before, self.after))
        return {"before_header": header, "after_header": header, "before": before, "after": after}


@dataclasses.dataclass(frozen=True)
class InjectOptions:
    """What to inject, and where; see the options of the module.

    :ivar duration: seconds until the expiry Job removes the faults, None for no limit
    :ivar image: of the expiry Job, None for the proxy image of the mesh
    """

    host: Host
    faults: t.Sequence[Fault]
    duration: float | None = None
    image: str | None = None


@dataclasses.dataclass(frozen=True)
class Injection:
    """A planned change of one VirtualService.

    :ivar before: the spec as it is, or as traffic flows without a VirtualService
    :ivar after: the spec with the faults
    :ivar state: the content of the annotation
    """

    target: Target
    before: Spec
    after: Spec
    state: State

    @property
    def annotation(self) -> str:
        return json.dumps(self.state, separators=(",", ":"), sort_keys=True)

    @property
    def changes_routes(self) -> bool:
        return self.target.live is None or self.after != self.before

    @property
    def warnings(self) -> list[str]:
        live = self.target.live
        hosts = live["spec"].get("hosts") or [] if live else []
        if live is None or len(hosts) < 2:
            return []
        names = printable(", ".join(map(str, hosts)))
        return [f"VirtualService {location(live)} routes {names}: the fault affects all of these hosts"]


# -- inject -----------------------------------------------------------------


def inject_faults(cluster: Cluster, options: InjectOptions, *, check_mode: bool) -> Outcome:
    """Injects the faults; with a duration, after their expiry Job is running.

    It starts again, up to C(ATTEMPTS) times, where others write to the VirtualService in between.

    :param check_mode: let the API server check the change, and write nothing
    :raises MeshopsError: as locate() and add_faults(), or the expiry Job does not run
    """
    attempt = 0
    while True:
        attempt += 1
        injection = plan_injection(locate(cluster, options.host), options)
        try:
            return _inject(cluster, injection, options, check_mode=check_mode)
        except ApiError as error:
            overtaken = injection.target.live is not None and error.status in (404, 409)
            if not overtaken or attempt == ATTEMPTS:
                raise


def plan_injection(target: Target, options: InjectOptions) -> Injection:
    """The change that injects the faults.

    :raises MeshopsError: as add_faults(), or the VirtualService's field owners do not fit into an annotation
    """
    live = target.live
    before = plain_spec(target.host, options.faults) if live is None else live["spec"]
    after = add_faults(before, options.faults, f"{target.namespace}/{target.name}")
    state = {"created": True} if live is None else saved_state(live) or state_of(live)
    injection = Injection(target, before, after, {**state, "host": target.host})
    if len(injection.annotation) > _LONGEST_ANNOTATION:
        raise MeshopsError(
            f"VirtualService {target.namespace}/{target.name}: its field owners are too long for an annotation"
        )
    return injection


def _inject(cluster: Cluster, injection: Injection, options: InjectOptions, *, check_mode: bool) -> Outcome:
    target = injection.target
    # The expiry Job of an earlier run would remove the faults too early.
    has_expiry = target.live is not None and bool(expiry_jobs(cluster, target.namespace, target.name))
    outcome = Outcome(
        namespace=target.namespace,
        name=target.name,
        changed=injection.changes_routes or has_expiry or options.duration is not None,
        before=target.live,
        after=injection.after,
        warnings=injection.warnings,
    )
    with contextlib.ExitStack() as stack:
        expiry = None
        if options.duration is not None and not check_mode:
            job = _expiry_options(cluster, injection, options)
            expiry = stack.enter_context(running_job(cluster, job, options.duration))
        if outcome.changed:
            _write(cluster, injection, expiry, check_mode=check_mode)
    if expiry and options.duration is not None and expiry.is_over:
        remove_faults(cluster, target.namespace, target.name, check_mode=False)
        raise too_short(options.duration, "injecting the faults took longer; they have been removed")
    if outcome.changed and not check_mode:
        delete_jobs(cluster, target.namespace, target.name, retained=expiry)
    return outcome


def _write(cluster: Cluster, injection: Injection, expiry: Expiry | None, *, check_mode: bool) -> None:
    live = injection.target.live
    owners = [expiry.owner_reference] if expiry else []
    if live is None:
        cluster.create(_new_virtual_service(injection, owners), dry_run=check_mode)
        return
    operations: list[Operation] = []
    if injection.changes_routes:
        operations += sections_patch(injection.before, injection.after)
        operations += annotate_patch(live, injection.annotation)
    if injection.state.get("created"):
        operations.append({"op": "add", "path": "/metadata/ownerReferences", "value": owners})
    if operations:
        _patch(cluster, live, operations, check_mode=check_mode)


def _new_virtual_service(injection: Injection, owners: list[dict[str, t.Any]]) -> K8sObject:
    meta: dict[str, t.Any] = {
        "name": injection.target.name,
        "namespace": injection.target.namespace,
        "labels": {"app.kubernetes.io/managed-by": "meshops.istio"},
        "annotations": {ANNOTATION: injection.annotation},
    }
    if owners:
        meta["ownerReferences"] = owners
    return {
        "apiVersion": VIRTUAL_SERVICE.api_version,
        "kind": VIRTUAL_SERVICE.kind,
        "metadata": meta,
        "spec": injection.after,
    }


def _patch(cluster: Cluster, live: K8sObject, operations: list[Operation], *, check_mode: bool) -> None:
    """Patches exactly the version that was read; the server refuses (409) where others have written since."""
    meta = live["metadata"]
    version: Operation = {"op": "replace", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]}
    cluster.patch(
        VIRTUAL_SERVICE,
        meta["name"],
        [version, *operations],
        meta["namespace"],
        PatchOptions(how="json", manager=MANAGER),
        dry_run=check_mode,
    )


def _expiry_options(cluster: Cluster, injection: Injection, options: InjectOptions) -> ExpiryJobOptions:
    target, live, after = injection.target, injection.target.live, injection.after
    routes = marked_routes(after)
    own_sections = set(without_faults(live["spec"])) if live else set()
    added_sections = sorted({section for section, _route in routes} - own_sections)
    restore: list[Operation] = []
    if live is not None:
        annotations = {**(live["metadata"].get("annotations") or {}), ANNOTATION: injection.annotation}
        owners = injection.state.get("managedFields") or live["metadata"].get("managedFields") or []
        # The spec is written once to inject the faults, and once for each route and section that the Job removes.
        writes = (1 if injection.changes_routes else 0) + len(routes) + len(added_sections)
        restore = [
            {"op": "test", "path": "/metadata/generation", "value": live["metadata"]["generation"] + writes},
            *restore_patch(annotations, injection.state, owners),
        ]
    return ExpiryJobOptions(
        namespace=target.namespace,
        name=target.name,
        path=VIRTUAL_SERVICE.path(target.namespace, target.name),
        deadline=0,
        image=options.image or job_image(cluster, target.namespace),
        routes=[f"{section}/{mark_of(route)}" for section, route in routes],
        added_sections=added_sections,
        limit=max(len(after.get(section) or []) for section, _route in routes),
        restore_patch=restore,
        annotation_test=annotation_test_patch(injection.annotation),
        delete=bool(injection.state.get("created")),
        user=job_user(cluster),
    )


# -- remove -----------------------------------------------------------------


def remove_all_faults(cluster: Cluster, services: t.Iterable[K8sObject], *, check_mode: bool) -> list[Outcome]:
    """Removes the faults from each VirtualService, one after the other."""
    return [
        remove_faults(cluster, service["metadata"]["namespace"], service["metadata"]["name"], check_mode=check_mode)
        for service in services
    ]


def remove_faults(cluster: Cluster, namespace: str, name: str, *, check_mode: bool) -> Outcome:
    """Removes the faults from a VirtualService and restores its metadata, or deletes one that was created for them."""
    attempt = 0
    while True:
        attempt += 1
        live = cluster.get(VIRTUAL_SERVICE, name, namespace)
        if live is None:
            return Outcome(namespace, name, changed=False, before=None, after=None)
        outcome = Outcome(namespace, name, changed=True, before=live, after=without_faults(live["spec"]))
        created = bool((saved_state(live) or {}).get("created"))
        if created and is_plain_spec(outcome.after or {}):
            outcome.after = None
        try:
            if outcome.after is None:
                cluster.delete(VIRTUAL_SERVICE, name, namespace, uid=live["metadata"]["uid"], dry_run=check_mode)
            else:
                _restore(cluster, live, check_mode=check_mode)
        except ApiError as error:
            if error.status not in (404, 409) or attempt == ATTEMPTS:
                raise
            continue
        if not check_mode:
            delete_jobs(cluster, namespace, name)
        return outcome


def _restore(cluster: Cluster, live: K8sObject, *, check_mode: bool) -> None:
    """First the routes, then the metadata: a change of routes makes its writer their owner."""
    name, namespace = live["metadata"]["name"], live["metadata"]["namespace"]

    def routes(live: K8sObject) -> list[Operation]:
        return sections_patch(live["spec"], without_faults(live["spec"]))

    def metadata(live: K8sObject) -> list[Operation]:
        meta, state = live["metadata"], saved_state(live) or {}
        owners = original_owners(meta.get("managedFields") or [], state, (MANAGER, _EXPIRY_MANAGER))
        operations = _disown(live) if state.get("created") else []
        if ANNOTATION in (meta.get("annotations") or {}):
            return [*operations, *restore_patch(meta["annotations"], state, owners)]
        return [*operations, {"op": "replace", "path": "/metadata/managedFields", "value": owners}]

    after = edit(
        cluster, ObjectRef(VIRTUAL_SERVICE, name, namespace), routes, live=live, manager=MANAGER, check_mode=check_mode
    )
    if not check_mode and after is not None:
        edit(cluster, ObjectRef(VIRTUAL_SERVICE, name, namespace), metadata, live=after, manager=MANAGER)


def _disown(live: K8sObject) -> list[Operation]:
    """JSON patch that retains a VirtualService with routes of others when its expiry Job is deleted."""
    owners = live["metadata"].get("ownerReferences") or []
    retained = [owner for owner in owners if not is_expiry_job(owner)]
    return [{"op": "replace", "path": "/metadata/ownerReferences", "value": retained}] if retained != owners else []
