# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The work of the module fault_injection."""

from __future__ import annotations

import typing as t

from ..errors import MeshopsError
from ..reconcile.types import K8sObject
from .inject import Outcome, Wish, faulted, faulted_for, put_in, take_all_out
from .measure import client_pod, measure, mode_of, wait_for_routes
from .options import read_fault, seconds
from .routes import all_marked, mark_of, marked, reaches

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

    from ..cluster.client import Cluster

_FAULT: dict[str, K8sObject] = {
    "delay": {"type": "raw"},
    "abort": {"type": "raw"},
    "match": {"type": "list", "elements": "dict"},
}
_MEASURE: dict[str, K8sObject] = {
    "url": {"type": "str", "required": True},
    "namespace": {"type": "str"},
    "selector": {"type": "str", "default": "app=client"},
    "container": {"type": "str"},
    "tool": {"type": "str", "choices": ["auto", "probe", "curl"], "default": "auto"},
    "requests": {"type": "int", "default": 20},
    "parallel": {"type": "int", "default": 5},
    "headers": {"type": "dict"},
    "fault": {"type": "int", "default": 1},
}
ARGUMENT_SPEC: dict[str, K8sObject] = {
    **_FAULT,
    "hostname": {"type": "str"},
    "namespace": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "faults": {"type": "list", "elements": "dict", "options": _FAULT},
    "virtual_service": {"type": "str"},
    "duration": {"type": "str"},
    "image": {"type": "str"},
    "domain": {"type": "str", "default": "cluster.local"},
    "measure": {"type": "list", "elements": "dict", "options": _MEASURE},
    "wait_timeout": {"type": "int", "default": 60},
}
OPTIONS: dict[str, t.Any] = {
    "required_if": [
        ("state", "present", ("hostname", "namespace")),
        ("state", "present", ("delay", "abort", "faults"), True),
    ],
    "required_by": {"hostname": ("namespace",), "virtual_service": ("hostname",)},
    "mutually_exclusive": [("faults", "delay"), ("faults", "abort"), ("faults", "match")],
}
#: Seconds that a request may take beside the longest delay.
_SLACK = 10.0


def run(module: AnsibleModule, cluster: Cluster) -> K8sObject:
    """Puts in or takes out, waits for the proxies that measure, and measures."""
    params = module.params
    faults = wanted_faults(params) if params["state"] == "present" else []
    asks = [{**ask, "namespace": ask["namespace"] or params["namespace"]} for ask in params["measure"] or []]
    if params["state"] == "present":
        for ask in asks:
            if not 0 <= ask["fault"] <= len(faults):
                raise MeshopsError(f"measure: fault {ask['fault']} is none of the {len(faults)} faults; 0 means none")
            if ask["requests"] < 1 or ask["parallel"] < 1:
                raise MeshopsError(f"measure: {ask['url']}: requests and parallel are 1 at least")
            mode_of(ask["url"])
            client_pod(cluster, ask["namespace"], ask["selector"])  # fails before anything is changed
        duration = seconds(params["duration"], "duration") if params["duration"] else None
        wish = Wish(
            hostname=params["hostname"],
            namespace=params["namespace"],
            faults=faults,
            virtual_service=params["virtual_service"],
            domain=params["domain"],
            duration=duration,
            image=params["image"],
        )
        outcomes = [put_in(cluster, wish, module.check_mode)]
    else:
        outcomes = take_all_out(cluster, _targets(cluster, params), module.check_mode)
    result: dict[str, t.Any] = {
        "changed": any(outcome.changed for outcome in outcomes),
        "diff": [outcome.diff for outcome in outcomes if outcome.changed],
        "virtual_services": [_told(outcome) for outcome in outcomes],
    }
    for outcome in outcomes:
        for warning in outcome.warnings:
            module.warn(warning)
    if params["state"] == "present":
        result["faults"] = faults
    if asks and not module.check_mode:
        longest = _SLACK + max(
            [seconds(f["fault"]["delay"]["fixedDelay"], "delay") for f in faults if "delay" in f["fault"]] or [0]
        )
        result["measured"] = []
        for ask in asks:
            pod = client_pod(cluster, ask["namespace"], ask["selector"])
            wait_for_routes(
                cluster, pod, *_routes_to_see(outcomes, pod), params["wait_timeout"], _connections(outcomes)
            )
            result["measured"].append({"url": ask["url"], "fault": ask["fault"], **measure(cluster, pod, ask, longest)})
    return result


def wanted_faults(params: t.Mapping[str, t.Any]) -> list[K8sObject]:
    """The faults that the options ask for, as C(faults.read_fault) gives them."""
    if params["faults"]:
        given = [{k: v for k, v in fault.items() if v is not None} for fault in params["faults"]]
        return [read_fault(fault, f"faults[{i}]") for i, fault in enumerate(given)]
    return [read_fault({name: params[name] for name in _FAULT})]


def _targets(cluster: Cluster, params: t.Mapping[str, t.Any]) -> list[K8sObject]:
    if params["hostname"]:
        return faulted_for(
            cluster, params["hostname"], params["namespace"], params["virtual_service"], params["domain"]
        )
    return faulted(cluster, params["namespace"])


def _told(outcome: Outcome) -> K8sObject:
    routes = marked(outcome.after["spec"]) if outcome.after else []
    return {"namespace": outcome.namespace, "name": outcome.name, "changed": outcome.changed, "routes": routes}


def _connections(outcomes: t.Iterable[Outcome]) -> bool:
    """Whether faults of connections are, or were, among them."""
    specs = [(one or {}).get("spec") or {} for outcome in outcomes for one in (outcome.before, outcome.after)]
    return any(section != "http" for spec in specs for section, _route in all_marked(spec))


def _routes_to_see(outcomes: t.Iterable[Outcome], pod: K8sObject) -> tuple[set[str], set[str]]:
    """The names of the routes that a pod's proxy is to have, and of those that it is to have no more."""
    there, all_there, gone = set(), set(), set()
    labels, namespace = pod["metadata"].get("labels") or {}, pod["metadata"]["namespace"]
    for outcome in outcomes:
        for _section, route in all_marked((outcome.after or {}).get("spec", {})):
            name = mark_of(route) or ""
            all_there.add(name)
            if reaches(route, labels, namespace):
                there.add(name)
        gone |= set(marked((outcome.before or {}).get("spec") or {}))
    return there, gone - all_there
