# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the whole mesh is where a phase wants it, and who holds it up. Pure: it judges what others have read."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from ..mesh.certificates import short
from ..proxies.proxy import Proxy
from .rotation import Expectation


@dataclasses.dataclass(frozen=True)
class Istiod:
    """A pod of the control plane.

    :ivar multi_root: ISTIO_MULTIROOT_MESH is set on it
    :ivar root_expiry: citadel_server_root_cert_expiry_timestamp, None where unread
    :ivar chain_expiry: citadel_server_cert_chain_expiry_timestamp
    """

    namespace: str
    pod: str
    uid: str = ""
    revision: str = "default"
    owner: str = ""
    ready: bool = True
    terminating: bool = False
    multi_root: bool = True
    started: datetime.datetime | None = None
    root_expiry: int | None = None
    chain_expiry: int | None = None
    error: str = ""

    @property
    def name(self) -> str:
        return f"{self.namespace}/{self.pod}"

    @property
    def expiries(self) -> tuple[int | None, int | None]:
        return self.root_expiry, self.chain_expiry


@dataclasses.dataclass(frozen=True)
class Holdup:
    """Something that keeps a gate from being met.

    :ivar what: such as C(proxy app/web-1)
    :ivar why: what it lacks, in words
    """

    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


def config_map_holdups(
    expected: Expectation, namespaces: t.Iterable[str], config_maps: t.Mapping[str, frozenset[str]]
) -> list[Holdup]:
    """Who holds it up among the ConfigMaps from which pods mount the roots.

    :param namespaces: every namespace that istiod looks after
    :param config_maps: namespace -> fingerprints in its ConfigMap
    """
    found = []
    for namespace in sorted(namespaces):
        what = f"ConfigMap in namespace {namespace}"
        if namespace not in config_maps:
            found.append(Holdup(what, "istiod hasn't written it yet"))
        elif config_maps[namespace] != expected.roots:
            found.append(Holdup(what, _difference(config_maps[namespace], expected.roots)))
    return found


def webhook_holdups(expected: Expectation, ca_bundles: t.Mapping[str, frozenset[str]]) -> list[Holdup]:
    """Who holds it up among the webhooks by which the API server calls istiod.

    :param ca_bundles: name of a webhook -> fingerprints in its caBundle
    """
    return [
        Holdup(f"caBundle of {name}", _difference(held, expected.roots))
        for name, held in sorted(ca_bundles.items())
        if held != expected.roots
    ]


def istiod_holdups(expected: Expectation, istiods: t.Iterable[Istiod]) -> list[Holdup]:
    """Which istiod hasn't loaded the secret, or comes or goes just now (two generations overwrite each other)."""
    found = []
    for istiod in istiods:
        what = f"istiod {istiod.name}"
        if istiod.terminating:
            found.append(Holdup(what, "is shutting down; two generations of istiod at once overwrite each other"))
        elif not istiod.ready:
            found.append(Holdup(what, "isn't ready"))
        elif istiod.error:
            found.append(Holdup(what, istiod.error))
        elif expected.root_expiry is not None and istiod.expiries != (expected.root_expiry, expected.chain_expiry):
            found.append(
                Holdup(
                    what,
                    "hasn't loaded the secret cacerts: it reports other dates of expiry; its log tells why"
                    " ('Updating new ROOT-CA not supported' means it needs ISTIO_MULTIROOT_MESH or a restart)",
                )
            )
    return found


def proxy_holdup(expected: Expectation, proxy: Proxy) -> Holdup | None:
    """Why a proxy holds the gate up, or None."""
    if not proxy.running:
        return None
    why = _proxy_reason(expected, proxy)
    if not why:
        return None
    if not proxy.push:
        why += "; it does not take new roots while it runs (PROXY_CONFIG_XDS_AGENT isn't set): restart it"
    elif not proxy.ready:
        why += "; the pod isn't ready"
    return Holdup(f"{proxy.kind} {proxy.name}", why)


def _proxy_reason(expected: Expectation, proxy: Proxy) -> str:
    if proxy.kind == "ztunnel" and expected.same_root:
        return ""  # it isn't read, and nothing that it holds becomes wrong
    if proxy.error:
        return f"can't be read: {proxy.error}"
    if proxy.roots is None or not proxy.chain:
        return "holds no certificate yet"
    missing, left = expected.roots - proxy.roots, expected.gone & proxy.roots
    if missing:
        return f"does not trust {_several(missing)} yet"
    if left:
        return f"still trusts {_several(left)}"
    if proxy.mounted is None:
        return "its mounted root-cert.pem can't be read"
    if proxy.mounted != expected.roots:
        return f"its mounted root-cert.pem: {_difference(proxy.mounted, expected.roots)}"
    if expected.signer and not proxy.chain[0].issued_by(expected.signer):
        if expected.same_root and not proxy.push:
            return ""  # its old leaf stays good until it expires
        return f"its leaf is still issued by {proxy.chain[0].issuer}"
    return ""


def _difference(held: frozenset[str], wanted: frozenset[str]) -> str:
    parts = []
    if wanted - held:
        parts.append(f"lacks {_several(wanted - held)}")
    if held - wanted:
        parts.append(f"still holds {_several(held - wanted)}")
    return ", ".join(parts)


def _several(fingerprints: t.Iterable[str]) -> str:
    return ", ".join(sorted(short(fingerprint) for fingerprint in fingerprints))


# -- before anything is written --------------------------------------------


def unprepared(
    istiods: t.Sequence[Istiod], proxies: t.Sequence[Proxy], push: t.Mapping[str, bool]
) -> tuple[list[str], list[Proxy]]:
    """What stands against a rotation of the root, in advance.

    :param push: revision -> proxyMetadata.PROXY_CONFIG_XDS_AGENT is set in its mesh config
    :returns: reasons to refuse, each with its remedy; proxies to restart so that they take new roots
    """
    reasons = [
        f"istiod {istiod.name} runs without ISTIO_MULTIROOT_MESH=true, so it refuses a second root:"
        ' set control_plane_values.istiod.env.ISTIO_MULTIROOT_MESH to "true" and install the control plane again'
        for istiod in istiods
        if not istiod.multi_root
    ]
    deaf = [proxy for proxy in proxies if not proxy.push and proxy.running]
    for revision in sorted(push):
        # a pod that names a tag may be of any revision
        mine = [proxy for proxy in deaf if proxy.revision == revision or proxy.revision not in push]
        if mine and not push[revision]:
            reasons.append(
                f"{len(mine)} proxies do not take new roots while they run ({listed(mine)}), and new ones of the"
                f" revision {revision} would not either:"
                ' set control_plane_mesh_config.defaultConfig.proxyMetadata.PROXY_CONFIG_XDS_AGENT to "true",'
                " install the control plane again, then run this with ca_restart_proxies: true"
            )
    return reasons, deaf


def listed(proxies: t.Sequence[Proxy], most: int = 10) -> str:
    """Their names, the first few where there are many."""
    shown = ", ".join(proxy.name for proxy in proxies[:most])
    return shown + (f" and {len(proxies) - most} more" if len(proxies) > most else "")
