# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""In which order objects are written, where the order matters.

What others need comes first: namespaces and CustomResourceDefinitions before what lives in them. A
DestinationRule is written before a VirtualService, so that the subsets that routes name exist when
the routes arrive; a subset that is removed, or a DestinationRule, is removed after the routes have changed. Between
the two proxies need a moment: they take clusters and routes from separate answers.
A NetworkPolicy is written after the routes, and deleted before them: it may forbid the traffic that the routes
redirect.
"""

from __future__ import annotations

import copy
import dataclasses
import typing as t

from .identity import Key
from .plan import Change

_STAGES: tuple[set[str], ...] = (
    {"Namespace", "CustomResourceDefinition"},
    {"ServiceAccount", "ClusterRole", "Role", "ConfigMap", "Secret", "GatewayClass"},
    {"ClusterRoleBinding", "RoleBinding", "Service", "ServiceEntry", "WorkloadEntry", "WorkloadGroup"},
    {"DestinationRule", "EnvoyFilter", "Sidecar", "ProxyConfig", "ReferenceGrant", "BackendTLSPolicy"},
    set(),  # every other kind
    {"VirtualService", "HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute", "UDPRoute"},
    {"NetworkPolicy"},
    {"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"},
)
_STAGE = {kind: number for number, kinds in enumerate(_STAGES) for kind in kinds}
_OTHERS = 4


@dataclasses.dataclass
class Stage:
    """Changes that don't wait for each other.

    :ivar changes: creations and updates, or deletions
    :ivar settle: proxies need a moment to take the earlier stages before this one is begun
    :ivar waits_for: change -> changes of earlier stages between which and it proxies need a moment; where one of them
        has failed it must not be made
    :ivar needed_by: change -> changes of earlier stages; where one of them has failed, what is there still needs what
        the change takes away
    """

    changes: list[Change]
    settle: bool = False
    waits_for: dict[Key, list[Key]] = dataclasses.field(default_factory=dict)
    needed_by: dict[Key, list[Key]] = dataclasses.field(default_factory=dict)


def stage(kind: str) -> int:
    """The number of the stage in which a kind is written."""
    return _STAGE.get(kind, _OTHERS)


def stages(changes: t.Iterable[Change]) -> list[Stage]:
    """Changes in the order of execution: first what is written, in stage order, then deletions in reverse order.

    An update that takes subsets from a DestinationRule comes in two steps where routes change too: the new
    subsets beside the old ones first, the old ones gone last. Both steps have the same C(key).
    """
    todo = [change for change in changes if change.action != "unchanged"]
    todo.sort(key=lambda change: (change.namespace or "", change.name))  # rules and routes of one service at like times
    routes = [change for change in todo if stage(change.kind) == stage("VirtualService")]
    writes: dict[int, list[Change]] = {}
    deletions: dict[int, list[Change]] = {}
    last: list[Change] = []
    for change in todo:
        if change.action == "delete":
            deletions.setdefault(-stage(change.kind), []).append(change)
            continue
        going = _going_subsets(change) if routes else []
        if going:
            writes.setdefault(stage(change.kind), []).append(_with_subsets(change, going))
            last.append(change)
        else:
            writes.setdefault(stage(change.kind), []).append(change)
    ordered = [Stage(writes[number]) for number in sorted(writes)]
    for written in ordered:
        if stage(written.changes[0].kind) == stage("VirtualService"):
            arriving = [change for change in todo if _arriving_subsets(change)]
            written.waits_for = _led_to(written.changes, arriving, ("after",))
        elif stage(written.changes[0].kind) == stage("NetworkPolicy"):
            rerouted = [change.key for change in routes if change.action != "delete"]
            restricting = [change for change in written.changes if rerouted and _restricts_egress(change)]
            written.waits_for = {change.key: rerouted for change in restricting}
    if last:
        ordered.append(Stage(last, settle=True, needed_by=_needed_by(routes, last)))
    for number in sorted(deletions):
        settle = bool(routes) and number == -stage("DestinationRule")
        needed_by = _needed_by(routes, deletions[number]) if settle else {}
        ordered.append(Stage(deletions[number], settle=settle, needed_by=needed_by))
    return ordered


def _restricts_egress(change: Change) -> bool:
    """Whether a NetworkPolicy may forbid outbound traffic that the routes of the same set take elsewhere."""
    types = _spec(change.after).get("policyTypes") if _spec(change.after) else None
    return isinstance(types, list) and "Egress" in types


def _going_subsets(change: Change) -> list[dict[str, t.Any]]:
    if change.kind != "DestinationRule" or change.action != "update":
        return []
    spec = (change.after or {}).get("spec") or {}
    wanted = (spec.get("subsets") or []) if isinstance(spec, dict) else None
    if not isinstance(wanted, list) or not all(isinstance(subset, dict) for subset in wanted):
        return []  # the API server will refuse it
    staying = [subset.get("name") for subset in wanted]
    return [subset for subset in _subsets(change.before) if subset.get("name") not in staying]


def _arriving_subsets(change: Change) -> bool:
    if change.kind != "DestinationRule" or change.action == "delete":
        return False
    there = [subset.get("name") for subset in _subsets(change.before)]
    return any(subset.get("name") not in there for subset in _subsets(change.after))


def _led_to(routes: list[Change], rules: list[Change], when: t.Sequence[str]) -> dict[Key, list[Key]]:
    """The rules of the hosts to which a route leads by subset, for each route that has some.

    :param when: C(before) the changes, C(after) them, or both
    """
    by_host: dict[str, set[Key]] = {}
    for rule in rules:
        for spec in (_spec(getattr(rule, state)) for state in when):
            if spec:
                by_host.setdefault(_service(spec.get("host"), rule.namespace), set()).add(rule.key)
    wildcards = [(host, keys) for host, keys in by_host.items() if host.startswith("*")]
    found = {}
    for route in routes if rules else ():
        hosts = {
            _service(host, route.namespace) for state in when for host in _destinations(_spec(getattr(route, state)))
        }
        keys = [by_host.get(host, set()) for host in hosts]
        keys += [keys for pattern, keys in wildcards if any(_covers(pattern, host) for host in hosts)]
        found[route.key] = sorted(set().union(*keys))
    return {route: keys for route, keys in found.items() if keys}


def _needed_by(routes: list[Change], rules: list[Change]) -> dict[Key, list[Key]]:
    """The routes that lead, now or then, by subset to the hosts of rules."""
    needed: dict[Key, list[Key]] = {}
    for route, keys in _led_to(routes, rules, ("before", "after")).items():
        for key in keys:
            needed.setdefault(key, []).append(route)
    return needed


def _spec(obj: dict[str, t.Any] | None) -> dict[str, t.Any]:
    found = (obj or {}).get("spec")
    return found if isinstance(found, dict) else {}


def _destinations(value: t.Any) -> t.Iterator[str]:
    """The hosts of a route's destinations that name a subset."""
    if isinstance(value, dict):
        if "subset" in value and "host" in value:
            yield value["host"]
        for inner in value.values():
            yield from _destinations(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _destinations(inner)


def _service(host: t.Any, namespace: str | None) -> str:
    """One name for the ways to write a service's host: C(reviews), C(reviews.shop.svc.cluster.local)."""
    name, _dot, rest = str(host).partition(".")
    home, _dot, domain = rest.partition(".")
    if not rest:
        return f"{name}.{namespace}"
    return f"{name}.{home}" if domain.startswith("svc") and name != "*" else str(host)


def _covers(pattern: str, host: str) -> bool:
    """Whether a wildcard such as C(*.shop.svc.cluster.local) matches a host as C(_service) writes it."""
    ending = pattern[1:].partition(".svc")[0]
    return host.endswith(ending) or f"{host}.svc.cluster.local".endswith(ending)


def _subsets(obj: dict[str, t.Any] | None) -> list[dict[str, t.Any]]:
    found = _spec(obj).get("subsets")
    return [subset for subset in found if isinstance(subset, dict)] if isinstance(found, list) else []


def _with_subsets(change: Change, subsets: list[dict[str, t.Any]]) -> Change:
    after = copy.deepcopy(change.after or {})
    after["spec"] = {**_spec(after), "subsets": [*_subsets(after), *subsets]}
    return dataclasses.replace(change, after=after)
