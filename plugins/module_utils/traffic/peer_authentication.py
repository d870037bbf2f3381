# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What stands against a PeerAuthentication C(default) that makes mTLS a must in a namespace. Pure."""

from __future__ import annotations

import json
import typing as t

_Policy = t.Mapping[str, t.Any]


def in_the_way(namespace: str, policies: t.Iterable[_Policy]) -> list[str]:
    """Why C(default) would not count in a namespace, and what to do; empty where it would.

    Of several PeerAuthentications for a whole namespace, Istio takes the oldest.

    :param policies: every PeerAuthentication of the namespace
    """
    found = []
    whole = [one for one in policies if not _labels(one)]
    own = [one for one in whole if one["metadata"]["name"] == "default"]
    oldest = min(whole, key=_age, default=None)
    if oldest and oldest["metadata"]["name"] != "default" and _mode(oldest["spec"].get("mtls")) != "STRICT":
        stands = "is older than default, so that default is void" if own else "counts for all of the namespace"
        found.append(f"PeerAuthentication {_title(oldest)} {stands}: set its mtls mode to STRICT, or delete it")
    found += [
        f"PeerAuthentication {_title(one)} has a selector, so that it counts for the pods {_words(one)} alone:"
        " give it another name"
        for one in policies
        if one["metadata"]["name"] == "default" and _labels(one)
    ]
    return [f"namespace {namespace}: {text}" for text in found]


def exceptions(policies: t.Iterable[_Policy]) -> list[str]:
    """What takes plain text still, beside a C(default) that says STRICT: PeerAuthentications of workloads and ports."""
    found = []
    for one in policies:
        if not _labels(one):
            continue
        spec = one["spec"]
        ports = {port: _mode(mtls) for port, mtls in (spec.get("portLevelMtls") or {}).items()}
        said = [mode for mode in [_mode(spec.get("mtls"))] if mode not in ("UNSET", "STRICT")]
        said += [f"{mode} on port {port}" for port, mode in ports.items() if mode not in ("UNSET", "STRICT")]
        if said:
            found.append(f"PeerAuthentication {_title(one)}: {', '.join(said)} for the pods {_words(one)}")
    return found


def _age(policy: _Policy) -> tuple[str, str]:
    return policy["metadata"].get("creationTimestamp") or "", policy["metadata"]["name"]


def _labels(policy: _Policy) -> dict[str, str]:
    return ((policy.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}


def _mode(mtls: t.Mapping[str, t.Any] | None) -> str:
    return (mtls or {}).get("mode") or "UNSET"


def _title(policy: _Policy) -> str:
    return f"{policy['metadata']['namespace']}/{policy['metadata']['name']}"


def _words(policy: _Policy) -> str:
    return json.dumps(_labels(policy))
