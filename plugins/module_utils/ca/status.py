# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every root, intermediate and leaf of a mesh: whose it is, how long it is valid, and who holds it."""

from __future__ import annotations

import datetime
import typing as t

from . import observe
from .certificates import Certificate, certificates, short
from .gate import Istiod, Proxy
from .present import CACERTS, CannotRotate, Present, record_of

if t.TYPE_CHECKING:
    from .procedure import Mesh


def status(mesh: Mesh, now: datetime.datetime, warn_days: float) -> dict[str, t.Any]:
    """Reads the mesh, and gives what C(summary) makes of it."""
    try:
        present, trouble = mesh.present(), ""
    except CannotRotate as error:
        present, trouble = Present(None), str(error)
    istiods = observe.istiods(mesh.cluster, mesh.namespace, expiries=False)
    proxies = observe.read_proxies(mesh.cluster, observe.proxy_pods(mesh.cluster))
    record = record_of(mesh.secrets().get(CACERTS, {}).get("annotations"))
    found = summary(present, istiods, proxies, record, now, warn_days)
    if trouble:
        found["warnings"].insert(0, trouble)
    return found


def summary(
    present: Present,
    istiods: t.Sequence[Istiod],
    proxies: t.Sequence[Proxy],
    record: t.Mapping[str, t.Any],
    now: datetime.datetime,
    warn_days: float,
) -> dict[str, t.Any]:
    """The picture of a mesh's certificates. Pure.

    :param record: what the secret's annotation says of a rotation
    :param warn_days: a root or intermediate that expires within so many days is warned of
    """
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
        "control_planes": [{"pod": i.name, "revision": i.revision, "ready": i.ready} for i in istiods],
        "source": _source(present),
        "rotation": {key: record[key] for key in ("phase", "direction", "history") if key in record},
        "under_way": present.following is not None,
        "roots": roots,
        "intermediates": intermediates,
        "leaves": sorted(leaves, key=lambda leaf: leaf["proxy"]),
        "unread_proxies": unread,
        "proxies_not_running": idle,
        "warnings": _warnings(present, roots, intermediates, leaves, unread, warn_days),
    }


def _source(present: Present) -> str:
    if present.bundle is None:
        return "none"
    return "plugged-in" if present.plugged else "self-signed"


def _warnings(
    present: Present, roots: list[dict], intermediates: list[dict], leaves: list[dict], unread: list[dict], days: float
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
    found += [
        f"the leaf of {leaf['proxy']} has expired on {leaf['not_after']}" for leaf in leaves if leaf["days_left"] < 0
    ]
    if present.following is not None:
        found.append("a rotation is under way: run rotate again to go on, or take it back with ca_rotation_abort: true")
    if present.pending is not None:
        found.append(
            "the secret cacerts holds a CA that istiod doesn't use, since it was started without it; its next restart"
            " would cut the mesh in two: run rotate, which brings it in without a failed request"
        )
    found += [f"proxy {each['proxy']} can't be read: {each['error']}" for each in unread]
    return found
