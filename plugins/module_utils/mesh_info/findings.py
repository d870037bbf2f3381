# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong, or soon will be, in what C(mesh_info) has read: a pure reading of its report."""

from __future__ import annotations

import collections
import enum
import typing as t

from .read import ControlPlane, Gateway, Mesh, Proxy, Trust

#: Days before a root expires from which on it is a warning, and an error.
ROOT_WARNING_DAYS = 90
ROOT_ERROR_DAYS = 30

Severity = t.Literal["error", "warning"]


class Code(enum.Enum):
    """What is wrong."""

    CONTROL_PLANE_DOWN = "control_plane_down"
    CONTROL_PLANE_DEGRADED = "control_plane_degraded"
    TAG_WITHOUT_CONTROL_PLANE = "tag_without_control_plane"
    NAMESPACE_WITHOUT_CONTROL_PLANE = "namespace_without_control_plane"
    PROXY_NOT_READY = "proxy_not_ready"
    PROXIES_OUTDATED = "proxies_outdated"
    GATEWAY_DOWN = "gateway_down"
    GATEWAY_WITHOUT_SERVICE = "gateway_without_service"
    ROOT_UNREADABLE = "root_unreadable"
    ROOTS_DIFFER = "roots_differ"
    ROOT_EXPIRED = "root_expired"
    ROOT_EXPIRES = "root_expires"


class Finding(t.TypedDict):
    """A finding, as C(mesh_info) returns it: C(about) names the object, C(text) what is wrong and what to do."""

    severity: Severity
    code: str
    about: str
    text: str


def findings(report: Mesh) -> list[Finding]:
    """What needs somebody's attention, errors first.

    :param report: what C(read.read_mesh) gave; a section that is left out has no findings
    """
    every = [
        *_control_planes(report.get("control_planes", [])),
        *_revisions(report),
        *_proxies(report.get("proxies", [])),
        *_gateways(report.get("gateways", [])),
        *(_roots(report["ca"]) if "ca" in report else ()),
    ]
    return sorted(every, key=lambda finding: finding["severity"] != "error")


def _error(code: Code, about: str, text: str) -> Finding:
    return {"severity": "error", "code": code.value, "about": about, "text": text}


def _warning(code: Code, about: str, text: str) -> Finding:
    return {"severity": "warning", "code": code.value, "about": about, "text": text}


def _control_planes(control_planes: t.Iterable[ControlPlane]) -> t.Iterator[Finding]:
    for istiod in control_planes:
        about = f"control plane {istiod['namespace']}/{istiod['name']}"
        if istiod["replicas"] and not istiod["ready"]:
            text = "no ready pods: new pods get no sidecar, and proxies get no new configuration"
            yield _error(Code.CONTROL_PLANE_DOWN, about, text)
        elif istiod["ready"] < istiod["replicas"]:
            text = f"only {istiod['ready']} of {istiod['replicas']} pods are ready"
            yield _warning(Code.CONTROL_PLANE_DEGRADED, about, text)


def _revisions(report: Mesh) -> t.Iterator[Finding]:
    """Who chooses a revision that has no control plane. Where none runs here at all it is in another cluster."""
    there = {istiod["revision"] for istiod in report.get("control_planes", ())}
    if not there:
        return
    for tag in report["tags"]:
        if tag["revision"] not in there:
            text = f"points at revision {tag['revision']}, which has no control plane"
            yield _error(Code.TAG_WITHOUT_CONTROL_PLANE, f"tag {tag['name']}", text)
    for namespace in report.get("namespaces", ()):
        if namespace["mode"] == "sidecar" and namespace["revision"] not in there:
            yield _error(
                Code.NAMESPACE_WITHOUT_CONTROL_PLANE,
                f"namespace {namespace['name']}",
                f"chooses revision {namespace['revision']}, which has no control plane: new pods get no sidecar",
            )


def _proxies(proxies: t.Iterable[Proxy]) -> t.Iterator[Finding]:
    outdated: dict[str, list[Proxy]] = collections.defaultdict(list)
    for proxy in proxies:
        if not proxy["ready"]:
            about = f"proxy {proxy['namespace']}/{proxy['pod']}"
            yield _warning(Code.PROXY_NOT_READY, about, "is not ready: see its log")
        if proxy["outdated"]:
            outdated[proxy["namespace"]].append(proxy)
    for namespace, late in sorted(outdated.items()):
        versions = ", ".join(sorted({proxy["version"] or "unknown" for proxy in late}))
        text = f"{len(late)} proxies of version {versions} differ from their control plane: restart their workloads"
        yield _warning(Code.PROXIES_OUTDATED, f"namespace {namespace}", text)


def _gateways(gateways: t.Iterable[Gateway]) -> t.Iterator[Finding]:
    for gateway in gateways:
        about = f"{gateway['type']} {gateway['namespace']}/{gateway['name']}"
        if not gateway["ready"]:
            yield _error(Code.GATEWAY_DOWN, about, "no ready pods: traffic through this gateway fails")
        elif not gateway["services"]:
            yield _warning(Code.GATEWAY_WITHOUT_SERVICE, about, "no Service selects its pods")


def _roots(ca: Trust) -> t.Iterator[Finding]:
    for broken in ca.get("unreadable", []):
        about = f"ConfigMap {broken['namespace']}/istio-ca-root-cert"
        remedy = (
            "new proxies there trust nobody. Delete it; istiod writes it again if it runs and serves this namespace"
        )
        yield _error(Code.ROOT_UNREADABLE, about, f"{broken['reason']}: {remedy}")
    if not ca["complete"] and not ca.get("unreadable"):
        text = (
            "not every namespace trusts the same roots: mutual TLS between them may fail, unless a rotation is going on"
        )
        yield _error(Code.ROOTS_DIFFER, "trusted roots", text)
    for root in ca.get("roots", []):
        about = f"root {root['subject']} ({root['fingerprint'][:12]})"
        days = root["days_left"]
        if days <= 0:
            yield _error(Code.ROOT_EXPIRED, about, f"has expired on {root['not_after']}")
        elif days < ROOT_WARNING_DAYS:
            text = f"expires on {root['not_after']}, in {days:.0f} days: rotate the CA (playbook rotate_ca)"
            yield (_error if days < ROOT_ERROR_DAYS else _warning)(Code.ROOT_EXPIRES, about, text)
