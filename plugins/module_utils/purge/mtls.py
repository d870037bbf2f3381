# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which requests a purge would break on its way: those that mutual TLS is demanded of, while sidecars go one by one.

A workload whose sidecar is gone speaks plain text. One that still has its sidecar refuses that where a
PeerAuthentication says STRICT, and can't reach it where a DestinationRule demands TLS of the sidecar's own kind.
"""

from __future__ import annotations

import typing as t

from ..footprint.charts import group_of, id_of
from ..footprint.item import Item


def mtls_warnings(listed: t.Iterable[dict], restarts: t.Sequence[Item], roots: t.Collection[str]) -> list[str]:
    """What to put right before sidecars are taken out one workload at a time; nothing where no workload is restarted.

    :param listed: the cluster's objects
    :param restarts: the workloads that will be restarted
    :param roots: the namespaces of control planes, whose PeerAuthentications count for the whole mesh
    """
    listed = list(listed)
    found = []
    if restarts:
        strict = _strict(listed, restarts, roots)
        for name, workloads in strict.items():
            found.append(
                f"{name} demands mutual TLS (STRICT) of {_several(workloads)}, restarted one at a time: until the"
                " last of them has lost its sidecar, those without can't reach those with. Set mtls.mode to"
                " PERMISSIVE first"
            )
        namespaces = {item.namespace for item in restarts}
        for rule in listed:
            if _kind(rule) == ("networking.istio.io", "DestinationRule") and _demands_tls(rule, namespaces):
                meta = rule["metadata"]
                found.append(
                    f"DestinationRule {meta['namespace']}/{meta['name']} makes clients speak mutual TLS (ISTIO_MUTUAL),"
                    " which a workload can't answer without its sidecar. Take trafficPolicy.tls out of it first:"
                    " sidecars then find out by themselves who speaks it"
                )
    return found


def _kind(obj: dict) -> tuple[str, str]:
    return group_of(obj), obj["kind"]


def _several(names: t.Sequence[str]) -> str:
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"{len(names)} workload{'s' if len(names) > 1 else ''} ({shown})"


def _strict(listed: list[dict], restarts: t.Sequence[Item], roots: t.Collection[str]) -> dict[str, list[str]]:
    """PeerAuthentications that are in force with STRICT -> the restarted workloads that they are in force for."""
    rules = [obj for obj in listed if _kind(obj) == ("security.istio.io", "PeerAuthentication")]
    workloads = {id_of(obj): obj for obj in listed if obj["kind"] in {item.kind for item in restarts}}
    found: dict[str, list[str]] = {}
    for item in restarts:
        rule = _in_force(rules, item, workloads.get(item.id, {}), roots)
        if rule is not None and _is_strict(rule):
            name = f"PeerAuthentication {rule['metadata']['namespace']}/{rule['metadata']['name']}"
            found.setdefault(name, []).append(item.where)
    return found


def _in_force(rules: list[dict], item: Item, workload: dict, roots: t.Collection[str]) -> dict | None:
    """The PeerAuthentication that decides for a workload: its own, else its namespace's, else the mesh's."""
    labels = ((workload.get("spec") or {}).get("template") or {}).get("metadata", {}).get("labels") or {}
    here = [rule for rule in rules if rule["metadata"]["namespace"] == item.namespace]
    own = [rule for rule in here if _selector(rule) and _selector(rule).items() <= labels.items()]
    shared = [rule for rule in here if not _selector(rule)]
    mesh = [rule for rule in rules if rule["metadata"]["namespace"] in roots and not _selector(rule)]
    for level in (own, shared, mesh):
        for rule in sorted(level, key=lambda r: r["metadata"].get("creationTimestamp") or ""):
            if _modes(rule):
                return rule
    return None


def _selector(rule: dict) -> dict[str, str]:
    return ((rule.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}


def _modes(rule: dict) -> list[str]:
    spec = rule.get("spec") or {}
    modes = [spec.get("mtls") or {}, *(spec.get("portLevelMtls") or {}).values()]
    return [mode["mode"] for mode in modes if mode.get("mode", "UNSET") != "UNSET"]


def _is_strict(rule: dict) -> bool:
    return "STRICT" in _modes(rule)


def _demands_tls(rule: dict, namespaces: t.Collection[str]) -> bool:
    """Whether a DestinationRule makes clients speak the sidecars' TLS to a service in one of these namespaces."""
    spec = rule.get("spec") or {}
    host = spec.get("host", "").split(".")
    namespace = host[1] if len(host) > 1 else rule["metadata"]["namespace"]
    if "*" not in host and namespace not in namespaces:
        return False
    policies = [holder.get("trafficPolicy") or {} for holder in (spec, *(spec.get("subsets") or []))]
    policies += [port for policy in policies for port in policy.get("portLevelSettings") or []]
    return any((policy.get("tls") or {}).get("mode") == "ISTIO_MUTUAL" for policy in policies)
