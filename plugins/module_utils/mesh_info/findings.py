# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong, or soon will be, in what C(mesh_info) has read: a pure reading of its report."""

from __future__ import annotations

import collections
import typing as t

#: Days before a root expires from which on it is a warning, and an error.
ROOT_WARNING_DAYS = 90
ROOT_ERROR_DAYS = 30

Finding = dict[str, str]


def findings(report: t.Mapping[str, t.Any]) -> list[Finding]:
    """What needs somebody's attention, errors first.

    :param report: what C(mesh_info.read_mesh) gave; of a section that is left out nothing is found
    :returns: dicts with C(severity) (error, warning), C(about) (which object), and C(text) (what is wrong, what to do)
    """
    found = [
        *_control_planes(report.get("control_planes", ())),
        *_revisions(report),
        *_proxies(report.get("proxies", ())),
        *_gateways(report.get("gateways", ())),
        *_roots(report.get("ca", {})),
    ]
    return sorted(found, key=lambda finding: finding["severity"] != "error")


def _error(about: str, text: str) -> Finding:
    return {"severity": "error", "about": about, "text": text}


def _warning(about: str, text: str) -> Finding:
    return {"severity": "warning", "about": about, "text": text}


def _control_planes(control_planes: t.Iterable[dict]) -> t.Iterator[Finding]:
    for istiod in control_planes:
        about = f"control plane {istiod['namespace']}/{istiod['name']}"
        if istiod["replicas"] and not istiod["ready"]:
            yield _error(about, "no pod is ready: new pods get no sidecar, and no configuration is passed on")
        elif istiod["ready"] < istiod["replicas"]:
            yield _warning(about, f"only {istiod['ready']} of {istiod['replicas']} pods are ready")


def _revisions(report: t.Mapping[str, t.Any]) -> t.Iterator[Finding]:
    """Who asks for a revision that has no control plane. Where none runs here at all it is in another cluster."""
    there = {istiod["revision"] for istiod in report.get("control_planes", ())}
    if not there:
        return
    for tag in report["tags"]:
        if tag["revision"] not in there:
            yield _error(f"tag {tag['name']}", f"points at revision {tag['revision']}, which has no control plane")
    for namespace in report.get("namespaces", ()):
        if namespace["mode"] == "sidecar" and namespace["revision"] not in there:
            yield _error(
                f"namespace {namespace['name']}",
                f"asks for revision {namespace['revision']}, which has no control plane: new pods get no sidecar",
            )


def _proxies(proxies: t.Iterable[dict]) -> t.Iterator[Finding]:
    outdated: dict[str, list[dict]] = collections.defaultdict(list)
    for proxy in proxies:
        if not proxy["ready"]:
            yield _warning(f"proxy {proxy['namespace']}/{proxy['pod']}", "is not ready: see its log")
        if proxy["outdated"]:
            outdated[proxy["namespace"]].append(proxy)
    for namespace, late in sorted(outdated.items()):
        versions = ", ".join(sorted({proxy["version"] for proxy in late}))
        text = f"{len(late)} proxies of version {versions} differ from their control plane: restart their workloads"
        yield _warning(f"namespace {namespace}", text)


def _gateways(gateways: t.Iterable[dict]) -> t.Iterator[Finding]:
    for gateway in gateways:
        about = f"{gateway['type']} {gateway['namespace']}/{gateway['name']}"
        if not gateway["ready"]:
            yield _error(about, "no pod is ready: nobody gets through")
        elif not gateway["services"]:
            yield _warning(about, "no service leads to it")


def _roots(ca: t.Mapping[str, t.Any]) -> t.Iterator[Finding]:
    for broken in ca.get("unreadable", ()):
        about = f"ConfigMap {broken['namespace']}/istio-ca-root-cert"
        text = (
            "new proxies there trust nobody: delete it, and istiod writes it anew, if it runs and serves this namespace"
        )
        yield _error(about, f"{broken['reason']}: {text}")
    if ca and not ca["complete"] and not ca.get("unreadable"):
        text = (
            "not every namespace trusts the same roots: mutual TLS between them may fail, unless a rotation is going on"
        )
        yield _error("trusted roots", text)
    for root in ca.get("roots", ()):
        about = f"root {root['subject']} ({root['fingerprint'][:12]})"
        days = root["days_left"]
        if days <= 0:
            yield _error(about, f"has expired on {root['not_after']}")
        elif days < ROOT_WARNING_DAYS:
            text = f"expires on {root['not_after']}, in {days:.0f} days: rotate the CA (playbook rotate_ca)"
            yield (_error if days < ROOT_ERROR_DAYS else _warning)(about, text)
