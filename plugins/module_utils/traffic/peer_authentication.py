# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Finds PeerAuthentications that a strict C(default) of a namespace would not override. Pure."""

from __future__ import annotations

import enum
import json
import typing as t

from ..mesh.untrusted import printable
from ..reconcile.types import K8sObject, Labels


class Reason(enum.Enum):
    """What a PeerAuthentication does beside a strict C(default)."""

    OLDER = "older"
    WITH_SELECTOR = "with_selector"
    ACCEPTS_PLAIN_TEXT = "accepts_plain_text"


class Finding(t.TypedDict):
    """A PeerAuthentication, and what it does."""

    reason: str
    namespace: str
    name: str
    message: str


def conflicts(namespace: str, policies: t.Iterable[K8sObject]) -> list[Finding]:
    """Why C(default) would have no effect in a namespace, and what to do; empty where it would have one.

    Of several PeerAuthentications for a whole namespace, Istio takes the oldest.

    :param policies: every PeerAuthentication of the namespace
    """
    found = []
    every = list(policies)
    whole = [policy for policy in every if not _selected(policy)]
    has_default = any(policy["metadata"]["name"] == "default" for policy in whole)
    oldest = min(whole, key=_age, default=None)
    if oldest and oldest["metadata"]["name"] != "default" and _mode(oldest["spec"].get("mtls")) != "STRICT":
        effect = (
            "is older than default, which has no effect beside it" if has_default else "counts for all of the namespace"
        )
        found.append(_finding(Reason.OLDER, oldest, f"{effect}: set its mtls mode to STRICT, or delete it"))
    for policy in every:
        if policy["metadata"]["name"] == "default" and _selected(policy):
            effect = f"has a selector, so that it counts for the pods {_words(policy)} alone: give it another name"
            found.append(_finding(Reason.WITH_SELECTOR, policy, effect))
    return found


def exceptions(policies: t.Iterable[K8sObject]) -> list[Finding]:
    """PeerAuthentications of workloads and ports that accept plain text beside a strict C(default)."""
    found = []
    for policy in policies:
        if not _selected(policy):
            continue
        spec = policy["spec"]
        ports = {port: _mode(mtls) for port, mtls in (spec.get("portLevelMtls") or {}).items()}
        modes = [mode for mode in [_mode(spec.get("mtls"))] if mode not in ("UNSET", "STRICT")]
        modes += [f"{mode} on port {port}" for port, mode in ports.items() if mode not in ("UNSET", "STRICT")]
        if modes:
            effect = f"accepts plain text: {', '.join(modes)} for the pods {_words(policy)}"
            found.append(_finding(Reason.ACCEPTS_PLAIN_TEXT, policy, effect))
    return found


def _finding(reason: Reason, policy: K8sObject, effect: str) -> Finding:
    namespace, name = policy["metadata"]["namespace"], policy["metadata"]["name"]
    message = printable(f"PeerAuthentication {namespace}/{name} {effect}")
    return {"reason": reason.value, "namespace": namespace, "name": name, "message": message}


def _age(policy: K8sObject) -> tuple[str, str]:
    return policy["metadata"].get("creationTimestamp") or "", policy["metadata"]["name"]


def _selected(policy: K8sObject) -> Labels:
    labels: Labels = ((policy.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    return labels


def _mode(mtls: t.Mapping[str, t.Any] | None) -> str:
    return (mtls or {}).get("mode") or "UNSET"


def _words(policy: K8sObject) -> str:
    return json.dumps(_selected(policy))
