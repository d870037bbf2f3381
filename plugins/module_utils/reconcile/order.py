# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""In which order objects are written, where the order matters.

What others need comes first: namespaces and CustomResourceDefinitions before what lives in them. A
DestinationRule is written before a VirtualService, so that the subsets that routes name exist when
the routes arrive; a subset that goes, or a DestinationRule, goes after the routes have changed. Between
the two proxies need a moment: they take clusters and routes from separate answers.
"""

from __future__ import annotations

import copy
import dataclasses
import typing as t

from .identity import Key
from .plan import Change

_STAGES = (
    {"Namespace", "CustomResourceDefinition"},
    {"ServiceAccount", "ClusterRole", "Role", "ConfigMap", "Secret", "GatewayClass"},
    {"ClusterRoleBinding", "RoleBinding", "Service", "ServiceEntry", "WorkloadEntry", "WorkloadGroup"},
    {"DestinationRule", "EnvoyFilter", "Sidecar", "ProxyConfig", "ReferenceGrant"},
    set(),  # every other kind
    {"VirtualService", "HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute"},
    {"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"},
)
_STAGE = {kind: number for number, kinds in enumerate(_STAGES) for kind in kinds}
_OTHERS = 4


@dataclasses.dataclass
class Stage:
    """Changes that don't wait for each other.

    :ivar changes: creations and updates, or deletions
    :ivar settle: proxies need a moment to take the former stages before this one is begun
    :ivar waits_for: proxies need a moment between the second changes, of former stages, and the first
    :ivar takes_away: what the former stages changed may still need it where a change has failed
    """

    changes: list[Change]
    settle: bool = False
    takes_away: bool = False
    waits_for: dict[Key, list[Key]] = dataclasses.field(default_factory=dict)


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
    routes_change = any(stage(change.kind) == stage("VirtualService") for change in todo)
    writes: dict[int, list[Change]] = {}
    deletions: dict[int, list[Change]] = {}
    last: list[Change] = []
    for change in todo:
        if change.action == "delete":
            deletions.setdefault(-stage(change.kind), []).append(change)
            continue
        going = _going_subsets(change) if routes_change else []
        if going:
            writes.setdefault(stage(change.kind), []).append(_with_subsets(change, going))
            last.append(change)
        else:
            writes.setdefault(stage(change.kind), []).append(change)
    ordered = [Stage(writes[number]) for number in sorted(writes)]
    for routes in ordered:
        if stage(routes.changes[0].kind) == stage("VirtualService"):
            routes.waits_for = _waits(routes.changes, [change for change in todo if _arriving_subsets(change)])
    if last:
        ordered.append(Stage(last, settle=True, takes_away=True))
    for number in sorted(deletions):
        settle = routes_change and number == -stage("DestinationRule")
        ordered.append(Stage(deletions[number], settle=settle, takes_away=settle))
    return ordered


def _going_subsets(change: Change) -> list[dict]:
    if change.kind != "DestinationRule" or change.action != "update":
        return []
    staying = {subset.get("name") for subset in _subsets(change.after)}
    return [subset for subset in _subsets(change.before) if subset.get("name") not in staying]


def _arriving_subsets(change: Change) -> bool:
    if change.kind != "DestinationRule" or change.action == "delete":
        return False
    there = {subset.get("name") for subset in _subsets(change.before)}
    return any(subset.get("name") not in there for subset in _subsets(change.after))


def _waits(routes: list[Change], rules: list[Change]) -> dict[Key, list[Key]]:
    """The rules, among those with new subsets, of the hosts that a route leads to."""
    by_host: dict[str, list[Key]] = {}
    for rule in rules:
        host = ((rule.after or {}).get("spec") or {}).get("host")
        by_host.setdefault(_service(host, rule.namespace), []).append(rule.key)
    wildcards = [key for host, keys in by_host.items() if host.startswith("*") for key in keys]
    waits = {}
    for route in routes if rules else ():
        hosts = {_service(host, route.namespace) for host in _destinations((route.after or {}).get("spec"))}
        waits[route.key] = wildcards + [key for host in hosts for key in by_host.get(host, ())]
    return {route: keys for route, keys in waits.items() if keys}


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


def _subsets(obj: dict | None) -> list[dict]:
    found = ((obj or {}).get("spec") or {}).get("subsets")
    return [subset for subset in found if isinstance(subset, dict)] if isinstance(found, list) else []


def _with_subsets(change: Change, subsets: list[dict]) -> Change:
    after = copy.deepcopy(change.after or {})
    after["spec"]["subsets"] = [*_subsets(after), *subsets]
    return dataclasses.replace(change, after=after)
