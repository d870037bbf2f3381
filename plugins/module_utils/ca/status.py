# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every root, intermediate and leaf of a mesh: whose it is, how long it is valid, and who holds it."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from ..errors import MeshopsError
from ..mesh.certificates import Certificate, certificates, short
from ..proxies.proxy import Proxy
from ..proxies.read import proxy_pods_of, read_proxies
from . import observe
from .gate import CannotRotate, Istiod
from .present import CACERTS, SELF_SIGNED, Present, annotations_of, record_of
from .trust_bundle import path_to_root

if t.TYPE_CHECKING:
    from .procedure import Mesh

#: One certificate, or one proxy, as the module returns it.
Row = dict[str, t.Any]


def status(mesh: Mesh, now: datetime.datetime, warn_days: float) -> dict[str, t.Any]:
    """Reads the mesh, and gives what C(summary) makes of it."""
    trouble: list[str] = []
    trust_domains: list[str] = []
    present = Present(None)
    try:
        present = mesh.present()
    except CannotRotate as error:
        trouble.append(str(error))
    try:
        trust_domains, _aliases = mesh.trust_domains()
    except MeshopsError as error:
        trouble.append(str(error))
    istiods = observe.istiods(mesh.cluster, mesh.namespace, expiries=False)
    proxies = read_proxies(mesh.cluster, proxy_pods_of(mesh.cluster, mesh.namespace))
    secrets = mesh.secrets()
    record = record_of(annotations_of(secrets, CACERTS))
    observed = Observed(istiods, proxies, record, trust_domains, mesh.unseen_proxies(patience=0))
    found = summary(present, observed, now, warn_days)
    found["warnings"][:0] = trouble
    found["warnings"] += _left_key(present, there=SELF_SIGNED in secrets)
    return found


@dataclasses.dataclass(frozen=True)
class Observed:
    """What was read of a mesh, beside its CA.

    :ivar record: what the secret's annotation says of a rotation
    :ivar trust_domains: those for which istiod signs
    :ivar unseen: proxies that istiod serves and that are no pods of this cluster
    """

    istiods: t.Sequence[Istiod]
    proxies: t.Sequence[Proxy]
    record: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    trust_domains: t.Sequence[str] = ()
    unseen: t.Sequence[str] = ()


def summary(present: Present, observed: Observed, now: datetime.datetime, warn_days: float) -> dict[str, t.Any]:
    """The picture of a mesh's certificates. Pure.

    :param warn_days: a root or intermediate that expires within so many days is warned of
    """
    proxies = observed.proxies
    holders: dict[Certificate, set[str]] = {}
    kinds: dict[Certificate, str] = {}
    signer = present.bundle.signer if present.bundle else None
    for bundle in (present.bundle, present.following, present.previous, present.pending):
        for root in bundle.trusted if bundle else ():
            kinds[root] = "root"
        for link in (bundle.signer, *certificates(bundle.chain)) if bundle else ():
            kinds.setdefault(link, "intermediate")
    leaves = []
    for proxy in proxies:
        for root in proxy.root_certificates:
            kinds[root] = "root"
            holders.setdefault(root, set()).add(proxy.name)
        for link in proxy.chain[1:]:
            kinds.setdefault(link, "root" if link.self_signed else "intermediate")
            if kinds[link] == "intermediate":
                holders.setdefault(link, set()).add(proxy.name)
        if proxy.chain:
            leaf = proxy.chain[0]
            leaves.append({"proxy": proxy.name, "kind": proxy.kind, "identity": leaf.identity, **leaf.facts(now)})

    def rows(kind: str) -> list[dict[str, t.Any]]:
        chosen = sorted((c for c, its in kinds.items() if its == kind), key=lambda c: c.not_before)
        return [
            {
                **c.facts(now),
                "signs": c == signer,
                "proxies": sorted(holders.get(c, ())),
                "held_by": len(holders.get(c, ())),
            }
            for c in chosen
        ]

    roots, intermediates = rows("root"), rows("intermediate")
    unread = [{"proxy": proxy.name, "error": proxy.error} for proxy in proxies if proxy.error]
    idle = [proxy.name for proxy in proxies if not proxy.running]
    return {
        "control_planes": [{"pod": i.name, "revision": i.revision, "ready": i.ready} for i in observed.istiods],
        "source": _source(present),
        "rotation": {key: observed.record[key] for key in ("phase", "direction", "history") if key in observed.record},
        "under_way": present.following is not None,
        "roots": roots,
        "intermediates": intermediates,
        "leaves": sorted(leaves, key=lambda leaf: leaf["proxy"]),
        "unread_proxies": unread,
        "unseen_proxies": list(observed.unseen),
        "proxies_not_running": idle,
        "warnings": [
            *_warnings(present, roots, intermediates, unread, warn_days),
            *_leaf_warnings(proxies, now),
            *_trust_domain_warnings(present, observed.trust_domains),
            *(f"proxy {each} is not a pod of this cluster, so what it holds can't be read" for each in observed.unseen),
        ],
    }


def _left_key(present: Present, *, there: bool) -> list[str]:
    """A warning where the key of a CA that istiod made for itself is left over."""
    if not there or not present.plugged or present.following or present.pending:
        return []
    return [
        f"the secret {SELF_SIGNED} still holds the key of a CA that istiod made for itself and no longer uses; istiod"
        f" would sign with it again if {CACERTS} were deleted, and cut the mesh in two: delete {SELF_SIGNED}"
    ]


def _source(present: Present) -> str:
    if present.bundle is None:
        return "none"
    return "plugged-in" if present.plugged else "self-signed"


def _leaf_warnings(proxies: t.Sequence[Proxy], now: datetime.datetime) -> list[str]:
    """Agents renew a leaf at half of its life: one that is left with less than a quarter isn't renewed any more."""
    found = []
    for proxy in proxies:
        if not proxy.chain:
            continue
        leaf = proxy.chain[0]
        end = f"{leaf.not_after:%Y-%m-%d %H:%M} UTC"
        if leaf.not_after <= now:
            found.append(f"the leaf of {proxy.name} has expired on {end}: see the log of its istio-proxy")
        elif leaf.not_after - now < (leaf.not_after - leaf.not_before) / 4:
            found.append(
                f"the leaf of {proxy.name} expires on {end} and should have been renewed at half of its life:"
                " see the log of its istio-proxy"
            )
    return found


def _trust_domain_warnings(present: Present, trust_domains: t.Sequence[str]) -> list[str]:
    if present.bundle is None:
        return []
    signer, chain, roots = present.bundle.read()
    return [
        f"the CA that istiod signs with may not sign for the mesh's trust domain {domain}: {link.subject}"
        f" ({short(link.fingerprint)}) forbids it by name constraints, so proxies refuse each other's certificates;"
        f" renew with ca_trust_domains: [{domain}]"
        for domain in trust_domains
        for link in path_to_root(signer, chain, roots)
        if not link.may_sign_for(domain)
    ]


def _warnings(
    present: Present, roots: list[Row], intermediates: list[Row], unread: list[Row], days: float
) -> list[str]:
    found = []
    for what, rows in (("root", roots), ("intermediate", intermediates)):
        for row in rows:
            if row["days_left"] < days:
                how = "has expired on" if row["days_left"] < 0 else "expires on"
                remedy = "rotate the root" if what == "root" else "renew the intermediate"
                found.append(
                    f"{what} {row['subject']} ({short(row['fingerprint'])}) {how} {row['not_after']}"
                    f" ({row['days_left']:.0f} days left): {remedy}"
                )
    if present.lost:
        found.append(
            "the secret cacerts was deleted in the middle of a rotation; the next restart of istiod would cut the mesh"
            " in two: run rotate again, or take it back with ca_rotation_abort: true, which both put it back first"
        )
    if present.following is not None:
        found.append("a rotation is under way: run rotate again to go on, or take it back with ca_rotation_abort: true")
    if present.pending is not None:
        found.append(
            "the secret cacerts holds a CA that istiod doesn't use, since it was started without it; its next restart"
            " would cut the mesh in two: run rotate, which brings it in without a failed request"
        )
    found += [f"proxy {each['proxy']} can't be read: {each['error']}" for each in unread]
    return found
