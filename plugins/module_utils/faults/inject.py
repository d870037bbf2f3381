# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Puts faults into a live mesh and takes them out again."""

from __future__ import annotations

import calendar
import dataclasses
import difflib
import json
import math
import time
import typing as t

from ..cluster.errors import ApiError
from ..cluster.kinds import KNOWN
from ..cluster.workloads import wait_ready
from ..errors import MeshopsError
from ..reconcile.types import K8sObject
from ..reconcile.yaml_text import to_yaml
from .bookkeeping import ANNOTATION, annotate_patch, leave_patch, owners_to_leave, saved, stays_patch, to_save
from .expiry_job import LABEL, guard_image, guard_job, guard_key, guard_rights
from .routes import (
    all_marked,
    changed_sections,
    full_host,
    inject,
    mark_of,
    marked,
    plain_routes,
    routes_of,
    take_out,
    title,
)

if t.TYPE_CHECKING:
    from ..cluster.client import Cluster

#: The field manager of what is written here; it is gone again when the faults are.
MANAGER = "meshops.istio.fault-injection"
#: How the API server calls the guard's requests.
_GUARD_MANAGER = "curl"
_VIRTUAL_SERVICE = KNOWN["networking.istio.io", "VirtualService"]
_SERVICE_ENTRY = KNOWN["networking.istio.io", "ServiceEntry"]
_SERVICE, _POD, _JOB = KNOWN["", "Service"], KNOWN["", "Pod"], KNOWN["batch", "Job"]
_TRIES = 5
_GUARD_START = 90
#: Seconds before its time by which the guard has to stand.
_MARGIN = 5


@dataclasses.dataclass
class Outcome:
    """What was done to one VirtualService.

    :ivar before: as it was, None where there was none
    :ivar after: as it is now, None where it is gone
    """

    namespace: str
    name: str
    changed: bool
    before: K8sObject | None
    after: K8sObject | None
    warnings: list[str] = dataclasses.field(default_factory=list)

    @property
    def diff(self) -> dict[str, str]:
        header = f"VirtualService {self.namespace}/{self.name}"
        before, after = (to_yaml({"spec": one["spec"]}) if one else "" for one in (self.before, self.after))
        return {"before_header": header, "after_header": header, "before": before, "after": after}


# -- where ----------------------------------------------------------------


def find_host(cluster: Cluster, hostname: str, namespace: str, domain: str) -> tuple[str, str]:
    """The fully qualified host, and the namespace of the Service or ServiceEntry that defines it.

    :param hostname: C(echo), C(echo.demo), C(echo.demo.svc.cluster.local), or a ServiceEntry's host
    :param namespace: of a name without dots
    :raises MeshopsError: nothing defines it; the text names hosts that are alike
    """
    parts = hostname.split(".")
    if len(parts) == 1:
        parts.append(namespace)
    if ".".join(parts[2:]) in ("", "svc", f"svc.{domain}") and cluster.get(_SERVICE, parts[0], parts[1]):
        return full_host(parts[0], parts[1], domain), parts[1]
    entries = cluster.list(_SERVICE_ENTRY)
    for entry in entries:
        for host in entry["spec"].get("hosts") or []:
            if host == hostname or (host.startswith("*") and hostname.endswith(host[1:])):
                return hostname, entry["metadata"]["namespace"]
    known = [f"{s['metadata']['name']}.{s['metadata']['namespace']}" for s in cluster.list(_SERVICE)]
    known += [host for entry in entries for host in entry["spec"].get("hosts") or []]
    alike = difflib.get_close_matches(".".join(parts[:2]), known, n=3, cutoff=0.5)
    raise MeshopsError(
        f"no Service and no ServiceEntry defines the host {hostname} (a name without dots is looked for in namespace"
        f" {namespace})" + (f"; there is {', '.join(alike)}" if alike else "")
    )


def choose(
    cluster: Cluster, hostname: str, namespace: str, named: str | None, domain: str
) -> tuple[str, str, dict[str, t.Any] | None]:
    """The VirtualService to put faults into: its namespace and name, and the object where there is one.

    :param named: C(name) or C(namespace/name) of the VirtualService, where the user says which
    :raises MeshopsError: the host isn't there, or it can't be told which VirtualService is meant
    """
    host, where = find_host(cluster, hostname, namespace, domain)
    if named:
        of, _slash, name = named.rpartition("/")
        found = cluster.get(_VIRTUAL_SERVICE, name, of or namespace)
        if found is None:
            raise MeshopsError(
                f"there is no VirtualService {name} in namespace {of or namespace}: check virtual_service"
            )
        return of or namespace, name, found
    services = routes_of(host, cluster.list(_VIRTUAL_SERVICE), domain)
    if len(services) > 1:
        names = ", ".join(sorted(map(title, services)))
        raise MeshopsError(f"several VirtualServices route {host}: say with virtual_service which is meant: {names}")
    if services:
        meta = services[0]["metadata"]
        return meta["namespace"], meta["name"], services[0]
    return where, "fault-injection-" + host.removesuffix(f".{where}.svc.{domain}").replace("*", "any"), None


# -- in -------------------------------------------------------------------


@dataclasses.dataclass
class Wish:
    """What to put in, and where; see the options of the module."""

    hostname: str
    namespace: str
    faults: list[K8sObject]
    virtual_service: str | None = None
    domain: str = "cluster.local"
    duration: float | None = None
    image: str | None = None


def put_in(cluster: Cluster, wish: Wish, check: bool) -> Outcome:
    """Puts the faults in; with a duration, after their guard runs.

    :param check: only say what would be done (the API server checks the change)
    :raises MeshopsError: as choose() and inject(), or the guard can't run
    """
    for attempt in range(_TRIES):
        namespace, name, live = choose(cluster, wish.hostname, wish.namespace, wish.virtual_service, wish.domain)
        path = _VIRTUAL_SERVICE.path(namespace, name)
        host, _where = find_host(cluster, wish.hostname, wish.namespace, wish.domain)
        before_spec = plain_routes(host, wish.faults) if live is None else live["spec"]
        after_spec = inject(before_spec, wish.faults, f"{namespace}/{name}")
        changed = live is None or after_spec != before_spec
        state = {"created": True} if live is None else saved(live) or to_save(live)
        state = {**state, "host": host}
        annotation = json.dumps(state, separators=(",", ":"), sort_keys=True)
        if len(annotation) > 200_000:
            raise MeshopsError(
                f"VirtualService {namespace}/{name} has too many field owners to be kept in an annotation"
            )
        # A guard of before would take the faults out at a time that nobody means any more.
        guarded = live is not None and bool(_guards(cluster, namespace, name))
        outcome = Outcome(namespace, name, changed or guarded or wish.duration is not None, live, {"spec": after_spec})
        outcome.warnings = _warnings(live, wish)
        job, until = None, math.inf
        if wish.duration is not None and not check:
            job, until = _start_guard(cluster, wish, outcome, state, annotation, 1 if changed else 0)
        try:
            if live is None:
                _create(cluster, namespace, name, after_spec, annotation, job, check)
            else:
                patch = (
                    [*changed_sections(before_spec, after_spec), *annotate_patch(live, annotation)] if changed else []
                )
                if state.get("created") and outcome.changed:
                    patch.append({"op": "add", "path": "/metadata/ownerReferences", "value": _owned_by(job)})
                if patch:
                    _patch(cluster, path, live, patch, check)
        except ApiError as error:
            _drop(cluster, job)
            if attempt + 1 < _TRIES and _overtaken(cluster, error, live):
                continue
            raise
        except BaseException:
            _drop(cluster, job)
            raise
        if time.monotonic() > until:
            _take_out(cluster, {"metadata": {"namespace": namespace, "name": name}}, False)
            raise _too_short(wish, "the faults were put in so late that they are out again")
        if outcome.changed and not check:
            _drop_guards(cluster, namespace, name, but=job)
        return outcome
    raise AssertionError("unreachable")


def _warnings(live: K8sObject | None, wish: Wish) -> list[str]:
    hosts = (live or {}).get("spec", {}).get("hosts") or []
    if len(hosts) > 1:
        return [f"{title(live or {})} routes {', '.join(hosts)}: the fault meets all of them"]
    return []


def _create(
    cluster: Cluster, namespace: str, name: str, spec: K8sObject, annotation: str, job: K8sObject | None, check: bool
) -> None:
    meta: dict[str, t.Any] = {
        "name": name,
        "namespace": namespace,
        "labels": {"app.kubernetes.io/managed-by": "meshops.istio"},
        "annotations": {ANNOTATION: annotation},
    }
    if job:
        meta["ownerReferences"] = _owned_by(job)
    cluster.create(
        {"apiVersion": _VIRTUAL_SERVICE.api_version, "kind": "VirtualService", "metadata": meta, "spec": spec},
        dry_run=check,
    )


def _owned_by(job: K8sObject | None) -> list[K8sObject]:
    """What makes a VirtualService go with its guard, even where the guard itself fails."""
    if job is None:
        return []
    return [{"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}]


def _patch(cluster: Cluster, path: str, live: K8sObject, patch: list[K8sObject], check: bool = False) -> K8sObject:
    """Patches the very version of an object that was looked at."""
    version = {"op": "test", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]}
    query = {"fieldManager": MANAGER, "dryRun": "All" if check else None}
    return cluster.request("PATCH", path, query, [version, *patch], "application/json-patch+json")


def _overtaken(cluster: Cluster, error: ApiError, live: K8sObject | None) -> bool:
    """Whether a write was refused because somebody else has written in between; the server doesn't say."""
    if live is None or error.status not in (404, 409, 422):
        return False
    meta = live["metadata"]
    now = cluster.get(_VIRTUAL_SERVICE, meta["name"], meta["namespace"])
    return now is None or now["metadata"]["resourceVersion"] != meta["resourceVersion"]


# -- out ------------------------------------------------------------------


def faulted(cluster: Cluster, namespace: str | None) -> list[K8sObject]:
    """Every VirtualService that has faults, or traces of faults, of ours."""
    services = cluster.list(_VIRTUAL_SERVICE, namespace)
    return [s for s in services if marked(s["spec"]) or ANNOTATION in (s["metadata"].get("annotations") or {})]


def faulted_for(cluster: Cluster, hostname: str, namespace: str, named: str | None, domain: str) -> list[K8sObject]:
    """Those of faulted() that are meant by a host, which need not exist any more, or by the VirtualService's name.

    A host's faults may be in a VirtualService for other hosts, such as the one of a gateway.
    """
    services = faulted(cluster, None)
    if named:
        wanted = named if "/" in named else f"{namespace}/{named}"
        return [s for s in services if title(s) == wanted]
    parts = hostname.split(".")
    names = {hostname, full_host(parts[0], parts[1] if len(parts) > 1 else namespace, domain)}
    return [
        s
        for s in services
        if names
        & {
            (saved(s) or {}).get("host"),
            *(full_host(h, s["metadata"]["namespace"], domain) for h in s["spec"].get("hosts") or []),
        }
    ]


def take_all_out(cluster: Cluster, services: t.Iterable[K8sObject], check: bool) -> list[Outcome]:
    """Takes the faults out of each VirtualService, one after the other."""
    return [_take_out(cluster, service, check) for service in services]


def _take_out(cluster: Cluster, virtual_service: K8sObject, check: bool) -> Outcome:
    namespace, name = virtual_service["metadata"]["namespace"], virtual_service["metadata"]["name"]
    path = _VIRTUAL_SERVICE.path(namespace, name)
    for attempt in range(_TRIES):
        live = cluster.get(_VIRTUAL_SERVICE, name, namespace)
        if live is None:
            return Outcome(namespace, name, False, None, None)
        outcome = Outcome(namespace, name, True, live, {"spec": take_out(live["spec"])})
        try:
            if (saved(live) or {}).get("created") and _untouched((outcome.after or {})["spec"]):
                outcome.after = None
                cluster.delete(_VIRTUAL_SERVICE, name, namespace, uid=live["metadata"]["uid"], dry_run=check)
            else:
                _restore(cluster, path, live, check)
        except ApiError as error:
            if attempt + 1 < _TRIES and _overtaken(cluster, error, live):
                continue
            raise
        break
    if not check:
        _drop_guards(cluster, namespace, name)
    return outcome


def _untouched(spec: K8sObject) -> bool:
    """Whether a VirtualService that we have made holds nothing but what we made."""
    host = (spec.get("hosts") or [""])[0]
    return spec in ({"hosts": [host]}, plain_routes(host, [{"fault": {}}]))


def _restore(cluster: Cluster, path: str, live: K8sObject, check: bool) -> None:
    """First the routes, then the metadata: a change of routes makes its writer their owner."""
    if marked(live["spec"]):
        live = _patch(cluster, path, live, changed_sections(live["spec"], take_out(live["spec"])), check)
    if check:
        return
    meta = live["metadata"]
    state = saved(live) or {}
    managed = owners_to_leave(meta.get("managedFields") or [], state, (MANAGER, _GUARD_MANAGER))
    if ANNOTATION in (meta.get("annotations") or {}):
        _patch(cluster, path, live, leave_patch(meta["annotations"], state, managed))
    else:
        _patch(cluster, path, live, [{"op": "replace", "path": "/metadata/managedFields", "value": managed}])


# -- the guard ------------------------------------------------------------


def _start_guard(
    cluster: Cluster, wish: Wish, outcome: Outcome, state: K8sObject, annotation: str, writes: int
) -> tuple[K8sObject, float]:
    """Makes the guard and waits until it runs; gives its Job, and when its turn is, on the clock C(time.monotonic).

    :param writes: how often the VirtualService's spec will be written before the guard's turn
    :raises MeshopsError: no image is known, or its turn would be before the faults are in
    """
    seconds_left = int(t.cast(float, wish.duration))
    live = outcome.before
    image = wish.image or guard_image(cluster.list(_POD, outcome.namespace) or ()) or guard_image(cluster.list(_POD))
    if image is None:
        raise MeshopsError(
            "no pod of the mesh runs a proxy image with a shell, which the limit in time needs:"
            " give an image that has sh and curl, or no duration"
        )
    about = {"name": outcome.name, "namespace": outcome.namespace}
    before, after = (live or {}).get("spec") or {}, (outcome.after or {})["spec"]
    routes = [f"{section}/{mark_of(route)}" for section, route in all_marked(after)]
    made_sections = sorted({section for section, _route in all_marked(after)} - set(take_out(before)))
    leave: list[K8sObject] = []
    if live is not None:
        annotations = {**(live["metadata"].get("annotations") or {}), ANNOTATION: annotation}
        generation = live["metadata"]["generation"] + writes + len(routes) + len(made_sections)
        leave = [
            {"op": "test", "path": "/metadata/generation", "value": generation},
            *leave_patch(annotations, state, state.get("managedFields") or live["metadata"].get("managedFields") or []),
        ]
    user = None if cluster.versions("security.openshift.io") else 65532
    limit = max(len(after.get(section) or []) for section, _route in all_marked(after))

    def job_for(deadline: int) -> K8sObject:
        return guard_job(
            about, deadline, image, routes, made_sections, limit, leave, stays_patch(annotation),
            _VIRTUAL_SERVICE.path(outcome.namespace, outcome.name), delete=bool(state.get("created")), user=user,
        )  # fmt: skip

    begun = time.monotonic()
    job = job_for(_server_time(cluster, job_for(0)) + seconds_left)
    made = cluster.create(job)
    made["apiVersion"], made["kind"] = job["apiVersion"], job["kind"]
    try:
        for obj in guard_rights(job, outcome.name, made["metadata"]["uid"]):
            cluster.create(obj)
        cluster.patch(_JOB, job["metadata"]["name"], {"spec": {"suspend": False}}, outcome.namespace)
        (pod,) = wait_ready(cluster, [_guard_pod(cluster, made)], _GUARD_START)
        took = time.monotonic() - begun
        if pod["status"]["phase"] != "Running" or seconds_left - took < _MARGIN:
            raise _too_short(
                wish, f"what is to take the faults out took {took:.0f} s to start, and no fault was put in"
            )
    except BaseException:
        _drop(cluster, made)
        raise
    return made, begun + seconds_left


def _too_short(wish: Wish, why: str) -> MeshopsError:
    return MeshopsError(f"duration: {wish.duration:g} s is too short: {why}; give more")


def _server_time(cluster: Cluster, job: K8sObject) -> int:
    """The cluster's clock, in seconds since 1970; this machine's may be another."""
    made = cluster.create(job, dry_run=True)
    return calendar.timegm(time.strptime(made["metadata"]["creationTimestamp"], "%Y-%m-%dT%H:%M:%SZ"))


def _guard_pod(cluster: Cluster, job: K8sObject) -> K8sObject:
    """The Job's pod, as soon as there is one."""
    namespace, name = job["metadata"]["namespace"], job["metadata"]["name"]
    end = time.monotonic() + _GUARD_START
    while time.monotonic() < end:
        pods = cluster.list(_POD, namespace, labels=f"batch.kubernetes.io/job-name={name}")
        if pods:
            return pods[0]
        time.sleep(0.25)
    events = cluster.list(KNOWN["", "Event"], namespace, fields=f"involvedObject.uid={job['metadata']['uid']}")
    said = "; ".join(e["message"] for e in events if e.get("type") == "Warning")
    raise MeshopsError(f"the guard's Job {namespace}/{name} makes no pod{': ' + said if said else ''}")


def _drop(cluster: Cluster, job: K8sObject | None) -> None:
    if job:
        cluster.delete(_JOB, job["metadata"]["name"], job["metadata"]["namespace"])


def _guards(cluster: Cluster, namespace: str, name: str) -> list[K8sObject]:
    return cluster.list(_JOB, namespace, labels=f"{LABEL}={guard_key(namespace, name)}")


def _drop_guards(cluster: Cluster, namespace: str, name: str, but: K8sObject | None = None) -> None:
    """Deletes the guards of a VirtualService, and with each what belongs to it."""
    for job in _guards(cluster, namespace, name):
        if but is None or job["metadata"]["uid"] != but["metadata"]["uid"]:
            _drop(cluster, job)
