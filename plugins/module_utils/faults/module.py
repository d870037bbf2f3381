# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The work of the module fault_injection."""

from __future__ import annotations

import typing as t

from ..errors import MeshopsError
from ..reconcile.types import K8sObject
from .inject import InjectOptions, Outcome, inject_faults, remove_all_faults
from .measure import ExpectedRoutes, Request, client_pod, measure, mode_of, wait_for_routes
from .options import Fault, read_fault, seconds
from .routes import location, mark_of, marked_routes, marks, reaches
from .target import Host, with_faults, with_faults_for

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

    from ..cluster.client import Cluster

#: The module's options.
Params = t.Mapping[str, t.Any]
#: What the module returns, or a part of it.
Result = dict[str, t.Any]

#: Seconds that a request may take in addition to the longest delay.
_SLACK = 10.0


def run(module: AnsibleModule, cluster: Cluster) -> Result:
    """Injects or removes faults, waits for the proxies that measure, and measures."""
    params, check_mode = module.params, module.check_mode
    state = params["state"]
    faults = declared_faults(params) if state == "present" else []
    requests = [{**r, "namespace": r["namespace"] or params["namespace"]} for r in params["measure"] or []]
    check_requests(requests, len(faults) if state == "present" else None)
    if state == "present":
        for request in requests:
            client_pod(cluster, request["namespace"], request["selector"])  # fails before anything is changed
        outcomes = [inject_faults(cluster, _inject_options(params, faults), check_mode=check_mode)]
    elif state == "measured":
        refuse_faults(_affected(cluster, params))
        outcomes = []
    else:
        outcomes = remove_all_faults(cluster, _affected(cluster, params), check_mode=check_mode)
    result: Result = {
        "changed": any(outcome.changed for outcome in outcomes),
        "diff": [outcome.diff for outcome in outcomes if outcome.changed],
        "virtual_services": [_reported(outcome) for outcome in outcomes],
        "warnings": [warning for outcome in outcomes for warning in outcome.warnings],
    }
    if state == "present":
        result["faults"] = faults
    if requests and not check_mode:
        longest = _SLACK + max([_delay_seconds(fault) for fault in faults] or [0.0])
        result["measured"] = [
            _measured(cluster, request, outcomes, longest, params["wait_timeout"]) for request in requests
        ]
    return result


def declared_faults(params: Params) -> list[Fault]:
    """The faults that the options declare."""
    if params["faults"]:
        entries = [{k: v for k, v in fault.items() if v is not None} for fault in params["faults"]]
        return [read_fault(entry, f"faults[{index}]") for index, entry in enumerate(entries)]
    return [read_fault({name: params[name] for name in ("delay", "abort", "match")})]


def check_requests(requests: t.Iterable[Request], faults: int | None) -> None:
    """Checks what the argument spec cannot.

    :param faults: how many faults are declared, None where none are injected
    :raises MeshopsError: an entry of C(measure) is wrong
    """
    for request in requests:
        mode_of(request["url"])
        if faults is not None and not 0 <= request["fault"] <= faults:
            raise MeshopsError(f"measure: fault must be between 0 (none) and {faults}, got {request['fault']}")
        if request["requests"] < 1 or request["parallel"] < 1:
            raise MeshopsError(f"measure: {request['url']}: requests and parallel must be at least 1")


def refuse_faults(virtual_services: t.Iterable[K8sObject]) -> None:
    """Fails where a host has faults already, which would be measured as its normal behaviour.

    :raises MeshopsError: with the names of the VirtualServices
    """
    names = sorted(location(service) for service in virtual_services)
    if names:
        raise MeshopsError(
            f"VirtualService {', '.join(names)}: faults of another run are injected (Conflict). Wait until they expire,"
            " or remove them with state: absent (`fault_injection_replace: true` in the role)."
        )


def _inject_options(params: Params, faults: list[Fault]) -> InjectOptions:
    return InjectOptions(
        host=_host(params),
        faults=faults,
        duration=seconds(params["duration"], "duration") if params["duration"] else None,
        image=params["image"],
    )


def _host(params: Params) -> Host:
    return Host(params["hostname"], params["namespace"], params["virtual_service"], params["domain"])


def _affected(cluster: Cluster, params: Params) -> list[K8sObject]:
    """The VirtualServices with faults that the options mean."""
    if params["hostname"]:
        return with_faults_for(cluster, _host(params))
    return with_faults(cluster, params["namespace"])


def _reported(outcome: Outcome) -> Result:
    routes = marks(outcome.after) if outcome.after else []
    return {"namespace": outcome.namespace, "name": outcome.name, "changed": outcome.changed, "routes": routes}


def _delay_seconds(fault: Fault) -> float:
    delay = fault["fault"].get("delay")
    return seconds(delay["fixedDelay"], "delay") if delay else 0.0


def _measured(
    cluster: Cluster, request: Request, outcomes: t.Sequence[Outcome], longest: float, timeout: float
) -> Result:
    pod = client_pod(cluster, request["namespace"], request["selector"])
    wait_for_routes(cluster, pod, expected_routes(outcomes, pod), timeout)
    return {"url": request["url"], "fault": request["fault"], **measure(cluster, pod, request, longest)}


def expected_routes(outcomes: t.Sequence[Outcome], pod: K8sObject) -> ExpectedRoutes:
    """The routes with faults that a pod's proxy must have, and those that it must not have any more."""
    labels, namespace = pod["metadata"].get("labels") or {}, pod["metadata"]["namespace"]
    before = [pair for outcome in outcomes for pair in marked_routes(outcome.spec_before or {})]
    after = [pair for outcome in outcomes for pair in marked_routes(outcome.after or {})]
    names_after = {mark_of(route) or "" for _section, route in after}
    return ExpectedRoutes(
        present=frozenset(mark_of(route) or "" for _section, route in after if reaches(route, labels, namespace)),
        absent=frozenset(mark_of(route) or "" for _section, route in before) - names_after,
        connections=any(section != "http" for section, _route in [*before, *after]),
    )
