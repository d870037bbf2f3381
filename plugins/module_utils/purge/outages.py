# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which requests a purge would break: those that need the identity of a sidecar, while sidecars are removed in turn.

A workload without a sidecar sends plain text and has no principal. One that still has its sidecar refuses plain text
where a PeerAuthentication says STRICT, and refuses a client without a principal where an AuthorizationPolicy demands
one; and it can't reach a workload without a sidecar where a DestinationRule demands the sidecars' TLS.
"""

from __future__ import annotations

import dataclasses
import enum
import typing as t

from ..footprint.item import Item
from ..reconcile.identity import api_group, key, title
from ..reconcile.types import K8sObject, Labels
from ..reconcile.wording import listed as some


class OutageKind(enum.Enum):
    """What breaks requests. The value is the reason code of results."""

    STRICT = "StrictMutualTls"
    CLIENT_TLS = "ClientTls"
    IDENTITY = "IdentityPolicy"


@dataclasses.dataclass(frozen=True)
class Outage:
    """An object that breaks requests while workloads are restarted.

    :ivar where: the object
    :ivar workloads: whose requests it breaks; none where that is not known
    """

    kind: OutageKind
    where: str
    workloads: tuple[str, ...] = ()

    def __str__(self) -> str:
        workloads = f"{len(self.workloads)} workload{'s' if len(self.workloads) > 1 else ''}"
        return _SENTENCES[self.kind].format(self.where, f"{workloads} ({some(self.workloads, 5)})")

    def report(self) -> dict[str, t.Any]:
        """The outage as a module returns it."""
        return {
            "reason": self.kind.value,
            "object": self.where,
            "workloads": list(self.workloads),
            "message": str(self),
        }


_SENTENCES = {
    OutageKind.STRICT: (
        "{0} demands mutual TLS (STRICT) of {1}, which lose their sidecars one at a time: until the last of them has"
        " lost its sidecar, workloads without a sidecar can't reach those with one. Set mtls.mode to PERMISSIVE first"
    ),
    OutageKind.CLIENT_TLS: (
        "{0} makes clients use mutual TLS (ISTIO_MUTUAL), which a workload without a sidecar can't answer. Remove"
        " trafficPolicy.tls from it first: sidecars then detect by themselves which workloads use mutual TLS"
    ),
    OutageKind.IDENTITY: (
        "{0} decides by the identity of the client (principal, namespace or service account) at {1}: a client that has"
        " lost its sidecar has no identity and is refused (403) until the server has lost its sidecar, too. Delete the"
        " policy first, or allow by other criteria"
    ),
}
_IDENTITIES = ("principals", "namespaces", "serviceAccounts")
_IDENTITY_CONDITIONS = ("source.principal", "source.namespace", "source.serviceAccount")


def outages(
    listed: t.Iterable[K8sObject], restarts: t.Sequence[Item], stuck: t.Sequence[Item], roots: t.Collection[str]
) -> list[Outage]:
    """What breaks requests while workloads are restarted; nothing where none is.

    :param listed: the cluster's objects
    :param restarts: the workloads that are restarted
    :param stuck: workloads and pods that keep their sidecar
    :param roots: the namespaces of control planes, whose policies count for the whole mesh
    """
    listed = list(listed)
    if not restarts:
        return []
    servers = _labels(listed, [*restarts, *stuck])
    namespaces = {item.namespace for item in restarts}
    return [*_strict(listed, servers, roots), *_client_tls(listed, namespaces), *_identity(listed, servers, roots)]


def _is(obj: K8sObject, group: str, kind: str) -> bool:
    return api_group(obj) == group and obj["kind"] == kind


def _labels(listed: t.Iterable[K8sObject], items: t.Sequence[Item]) -> dict[Item, Labels]:
    """The labels of the pods of workloads."""
    wanted = {item.id: item for item in items}
    found: dict[Item, Labels] = {item: {} for item in items}
    for obj in listed:
        item = wanted.get(key(obj))
        if item:
            meta = obj["metadata"]
            if obj["kind"] != "Pod":
                meta = ((obj.get("spec") or {}).get("template") or {}).get("metadata") or {}
            found[item] = meta.get("labels") or {}
    return found


def _strict(
    listed: t.Iterable[K8sObject], servers: t.Mapping[Item, Labels], roots: t.Collection[str]
) -> t.Iterator[Outage]:
    """PeerAuthentications that are in force with STRICT."""
    rules = [obj for obj in listed if _is(obj, "security.istio.io", "PeerAuthentication")]
    found: dict[str, list[str]] = {}
    for item, labels in servers.items():
        rule = _in_force(rules, item, labels, roots)
        if rule is not None and "STRICT" in _modes(rule):
            found.setdefault(title(rule), []).append(item.where)
    for name, workloads in found.items():
        yield Outage(OutageKind.STRICT, name, tuple(workloads))


def _in_force(rules: t.Sequence[K8sObject], item: Item, labels: Labels, roots: t.Collection[str]) -> K8sObject | None:
    """The PeerAuthentication that decides for a workload: its own, else its namespace's, else the mesh's."""
    here = [rule for rule in rules if rule["metadata"]["namespace"] == item.namespace]
    own = [rule for rule in here if _selector(rule) and _selector(rule).items() <= labels.items()]
    shared = [rule for rule in here if not _selector(rule)]
    mesh = [rule for rule in rules if rule["metadata"]["namespace"] in roots and not _selector(rule)]
    for level in (own, shared, mesh):
        for rule in sorted(level, key=lambda r: r["metadata"].get("creationTimestamp") or ""):
            if _modes(rule):
                return rule
    return None


def _selector(rule: K8sObject) -> dict[str, str]:
    return ((rule.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}


def _modes(rule: K8sObject) -> list[str]:
    spec = rule.get("spec") or {}
    modes = [spec.get("mtls") or {}, *(spec.get("portLevelMtls") or {}).values()]
    return [mode["mode"] for mode in modes if mode.get("mode", "UNSET") != "UNSET"]


def _client_tls(listed: t.Iterable[K8sObject], namespaces: t.Collection[str]) -> t.Iterator[Outage]:
    for rule in listed:
        if _is(rule, "networking.istio.io", "DestinationRule") and _demands_tls(rule, namespaces):
            yield Outage(OutageKind.CLIENT_TLS, title(rule))


def _demands_tls(rule: K8sObject, namespaces: t.Collection[str]) -> bool:
    """Whether a DestinationRule makes clients use the sidecars' TLS for a service in one of these namespaces."""
    spec = rule.get("spec") or {}
    host = spec.get("host", "").split(".")
    namespace = host[1] if len(host) > 1 else rule["metadata"]["namespace"]
    if "*" not in host and namespace not in namespaces:
        return False
    policies = [holder.get("trafficPolicy") or {} for holder in (spec, *(spec.get("subsets") or []))]
    policies += [port for policy in policies for port in policy.get("portLevelSettings") or []]
    return any((policy.get("tls") or {}).get("mode") == "ISTIO_MUTUAL" for policy in policies)


def _identity(
    listed: t.Iterable[K8sObject], servers: t.Mapping[Item, Labels], roots: t.Collection[str]
) -> t.Iterator[Outage]:
    """AuthorizationPolicies that decide by the identity of the client."""
    for policy in listed:
        if not _is(policy, "security.istio.io", "AuthorizationPolicy") or not _reads_identity(policy):
            continue
        namespace, selector = policy["metadata"]["namespace"], _selector(policy)
        held = [
            item.where
            for item, labels in servers.items()
            if (namespace in roots or namespace == item.namespace) and selector.items() <= labels.items()
        ]
        if held:
            yield Outage(OutageKind.IDENTITY, title(policy), tuple(held))


def _reads_identity(policy: K8sObject) -> bool:
    """Whether a client without an identity is refused: by ALLOW for some identities, or DENY for all but some."""
    spec = policy.get("spec") or {}
    action = spec.get("action", "ALLOW")
    if action not in ("ALLOW", "DENY"):
        return False
    fields = _IDENTITIES if action == "ALLOW" else tuple(f"not{name[0].upper()}{name[1:]}" for name in _IDENTITIES)
    values = "values" if action == "ALLOW" else "notValues"
    for rule in spec.get("rules") or []:
        sources = [each.get("source") or {} for each in rule.get("from") or []]
        conditions = [each for each in rule.get("when") or [] if each.get("key") in _IDENTITY_CONDITIONS]
        if any(source.get(name) for source in sources for name in fields) or any(c.get(values) for c in conditions):
            return True
    return False
