# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The summary in words at the end of a playbook: what changed, what runs, where gateways listen, what to do next."""

from __future__ import annotations

import typing as t

#: Lines of one kind that are shown; the others are only counted.
MAX_LINES = 20

#: What is written of an action, in a run and in check mode.
_RELEASE_WORDS = {
    "install": ("Installed", "Will install"),
    "upgrade": ("Upgraded", "Will upgrade"),
    "uninstall": ("Uninstalled", "Will uninstall"),
    "repair": ("Repaired", "Will repair"),
}
_OBJECT_WORDS = {
    "created": ("Created", "Will create"),
    "updated": ("Updated", "Will update"),
    "deleted": ("Deleted", "Will delete"),
}
_NAMESPACE_WORDS = {
    "create": ("Created", "Will create"),
    "update": ("Updated the labels of", "Will update the labels of"),
    "remove_label": ("Removed the injection label of", "Will remove the injection label of"),
}

Entry = t.Mapping[str, t.Any]


class Results(t.TypedDict, total=False):
    """What the modules of a playbook returned; what is missing is not in the summary.

    :ivar releases: results with C(releases) of control_plane, releases and adoption
    :ivar injection: results of injection and data_plane
    :ivar objects: results of mesh_objects
    :ivar mesh: the result of mesh_info, read at the end
    """

    releases: list[Entry]
    injection: list[Entry]
    objects: list[Entry]
    mesh: Entry


def summary(results: Results, *, check_mode: bool = False) -> list[str]:
    """The lines of the summary."""
    changes = [
        *_releases(results.get("releases", []), check_mode=check_mode),
        *_injection(results.get("injection", []), check_mode=check_mode),
        *_objects(results.get("objects", []), check_mode=check_mode),
    ]
    mesh = results.get("mesh", {})
    return [
        *(changes or ["No changes: the cluster is as declared."]),
        *_control_planes(mesh.get("control_planes", [])),
        *_gateways(mesh.get("gateways", [])),
        *_next(mesh, changed=bool(changes), check_mode=check_mode),
    ]


def _shortened(lines: list[str]) -> list[str]:
    more = len(lines) - MAX_LINES
    return lines if more <= 0 else [*lines[:MAX_LINES], f"... and {more} more"]


def _releases(results: t.Sequence[Entry], *, check_mode: bool) -> list[str]:
    lines = []
    for result in results:
        for release in result.get("releases") or ():
            words = _RELEASE_WORDS.get(release["action"])
            if words:
                reasons = "; ".join(release.get("reasons") or ()) if release["action"] != "install" else ""
                name = f"{words[check_mode]} release {release['namespace']}/{release['name']}"
                lines.append(f"{name}: {reasons}" if reasons else name)
    return _shortened(lines)


def _injection(results: t.Sequence[Entry], *, check_mode: bool) -> list[str]:
    lines = []
    restarted = "Will restart" if check_mode else "Restarted"
    for result in results:
        for namespace in result.get("namespaces") or ():
            words = _NAMESPACE_WORDS.get(namespace["action"])
            if words:
                lines.append(f"{words[check_mode]} namespace {namespace['name']}")
        for workload in result.get("restarted") or ():
            name = f"{workload['kind']} {workload['namespace']}/{workload['name']}"
            lines.append(f"{restarted} {name}: {workload['reason']}")
    return _shortened(lines)


def _objects(results: t.Sequence[Entry], *, check_mode: bool) -> list[str]:
    lines = []
    for result in results:
        for obj in result.get("objects") or ():
            words = _OBJECT_WORDS.get(obj["action"])
            if words:
                place = f"{obj['namespace']}/{obj['name']}" if obj.get("namespace") else obj["name"]
                lines.append(f"{words[check_mode]} {obj['kind']} {place}")
    return _shortened(lines)


def _control_planes(control_planes: t.Sequence[Entry]) -> list[str]:
    return [
        f"Istio {istiod['version'] or 'of an unknown version'} runs as revision {istiod['revision']} in"
        f" {istiod['namespace']}: {istiod['ready']} of {istiod['replicas']} pods ready, {istiod['proxies']} proxies"
        + (f", tags {', '.join(istiod['tags'])}" if istiod["tags"] else "")
        for istiod in control_planes
    ]


def _gateways(gateways: t.Sequence[Entry]) -> list[str]:
    lines = []
    for gateway in gateways:
        if gateway["type"] == "gateway":
            name = f"Gateway {gateway['namespace']}/{gateway['name']}"
            services = gateway["services"]
            lines += [f"{name} {_listens(service)}" for service in services] or [f"{name} has no Service"]
    return _shortened(lines)


def _listens(service: Entry) -> str:
    """Where a Service accepts connections: its addresses, else its node ports, else its name in the cluster."""
    ports = service["ports"]
    numbers = ", ".join(str(port["port"]) for port in ports)
    if service["addresses"]:
        return f"listens on {', '.join(service['addresses'])}, ports {numbers}"
    if service["type"] == "LoadBalancer":
        return f"waits for the address of its load balancer (Service {service['name']}, ports {numbers})"
    nodes = ", ".join(f"{port['node_port']} (for {port['port']})" for port in ports if port.get("node_port"))
    if nodes:
        return f"listens on every node, ports {nodes}"
    return f"listens inside the cluster, Service {service['name']}, ports {numbers}"


def _next(mesh: Entry, *, changed: bool, check_mode: bool) -> list[str]:
    findings = [f"Attention: {finding['about']}: {finding['text']}" for finding in mesh.get("findings") or ()]
    if check_mode and changed:
        return [*_shortened(findings), "Next: run without --check to apply this; --diff shows every object."]
    return _shortened(findings)
