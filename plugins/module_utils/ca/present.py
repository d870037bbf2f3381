# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which CA the mesh works with now, told from its secrets, its roots in use and its istiod pods. Pure."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ..cluster.errors import ClusterError
from .certificates import fingerprints, short
from .gate import Istiod
from .rotation import names
from .trust_bundle import Bundle, bundle_of

#: istiod signs with this secret where it is there, complete, when istiod starts.
CACERTS = "cacerts"
#: Where istiod keeps the CA that it has made for itself.
SELF_SIGNED = "istio-ca-secret"
#: While a rotation is under way: where it goes, and where it came from. Both hold keys, as cacerts does.
NEXT = "cacerts-next"
PREVIOUS = "cacerts-previous"
#: Annotation on cacerts: the phase, with fingerprints, as JSON.
RECORD = "meshops.istio/ca-rotation"
#: Annotation on cacerts-previous: self-signed or plugged-in.
ORIGIN = "meshops.istio/ca-origin"
#: A key in cacerts by which istiod marks a CA that it has made for itself (USE_CACERTS_FOR_SELF_SIGNED_CA).
_GENERATED = "istio-generated"


class CannotRotate(ClusterError):
    """The state of the cluster that forbids a rotation, with the remedy."""


@dataclasses.dataclass(frozen=True, repr=False)
class Present:
    """The CA that the mesh works with.

    :ivar bundle: what istiod signs with, None where there is none yet
    :ivar plugged: it is in cacerts, put there by somebody other than istiod
    :ivar watched: every istiod (but those that are about to go) follows changes of cacerts
    :ivar pending: a CA in cacerts that istiod doesn't use yet, since it was started without it
    :ivar following: where a rotation that is under way goes
    :ivar previous: where it came from
    :ivar was_self_signed: it came from a CA that istiod had made for itself
    :ivar control_planes: how many istiod pods run
    """

    bundle: Bundle | None
    plugged: bool = False
    watched: bool = False
    pending: Bundle | None = None
    following: Bundle | None = None
    previous: Bundle | None = None
    was_self_signed: bool = False
    control_planes: int = 0

    def __repr__(self) -> str:
        return f"<Present {self.bundle!r} plugged={self.plugged} watched={self.watched}>"


def foreign_hands(cacerts: t.Mapping[str, t.Any] | None) -> list[str]:
    """Why this collection must leave the secret alone: others write it, or it holds what a rotation would break."""
    if not cacerts:
        return []
    found = []
    if any(key.startswith("cert-manager.io/") for key in cacerts.get("annotations") or {}):
        found.append(
            f"the secret {CACERTS} is written by cert-manager, which would put its own contents back:"
            " let it issue from the new root, or take the secret out of its hands first"
        )
    if cacerts["data"].get("ca-crl.pem"):
        found.append(
            f"the secret {CACERTS} holds a revocation list (ca-crl.pem), and Envoy refuses every certificate of a CA"
            " without one as soon as another has one: remove it before, and bring a new one after"
        )
    return found


def record_of(annotations: t.Mapping[str, str] | None) -> dict[str, t.Any]:
    """What the annotation says about the last or present rotation; empty where there is none."""
    try:
        return json.loads((annotations or {}).get(RECORD) or "{}")
    except ValueError:
        return {}


def present_ca(
    secrets: t.Mapping[str, t.Mapping[str, t.Any]],
    served: frozenset[str],
    istiods: t.Sequence[Istiod],
) -> Present:
    """The CA in use.

    :param secrets: name -> C(data) (decoded), C(created) (a time) and C(annotations) of those that exist
    :param served: fingerprints of the roots that istiod gives out now; empty where it has given none
    :param istiods: the running control planes
    :raises CannotRotate: nobody has the key of the CA that istiod serves
    """
    cacerts = secrets.get(CACERTS, {})
    generated = _GENERATED in cacerts.get("data", {})
    plugged = None if generated else bundle_of(cacerts.get("data", {}))
    own = bundle_of(cacerts["data"]) if generated else bundle_of(secrets.get(SELF_SIGNED, {}).get("data", {}))
    following = bundle_of(secrets.get(NEXT, {}).get("data", {}))
    previous = bundle_of(secrets.get(PREVIOUS, {}).get("data", {}))
    others = {
        "following": following,
        "previous": previous,
        "control_planes": len(istiods),
        "was_self_signed": (secrets.get(PREVIOUS, {}).get("annotations") or {}).get(ORIGIN) == "self-signed",
    }
    if plugged is None:
        return Present(own, **others)
    if not istiods:
        return Present(plugged, plugged=True, watched=True, **others)
    staying = [istiod for istiod in istiods if not istiod.terminating]
    watched = all(_watches(istiod, cacerts) for istiod in staying)
    trusted = fingerprints(plugged.roots)
    takes_it = not served or served <= trusted or trusted <= served  # istiod's own rule for a change of roots
    if watched and takes_it:
        return Present(plugged, plugged=True, watched=True, **others)
    if not watched and served == trusted:
        return Present(plugged, plugged=True, **others)
    for known in (own, previous, following):
        if known is not None and fingerprints(known.roots) == served:
            return Present(known, pending=plugged, **others)
    raise CannotRotate(
        f"the secret {CACERTS} holds {names(plugged.trusted)}, but istiod still serves"
        f" {', '.join(sorted(short(root) for root in served))} and does not take the change; at its next restart it"
        " would cut the mesh in two. No secret here holds the key of the CA that it serves: put the former"
        f" contents of {CACERTS} back, then start the rotation again"
    )


def _watches(istiod: Istiod, cacerts: t.Mapping[str, t.Any]) -> bool:
    """Whether an istiod has found the user's complete bundle when it started, and so follows its changes.

    An adoption names the pods that were there before it; otherwise the secret's age tells.
    """
    before = record_of(cacerts.get("annotations")).get("not_watching")
    if before is not None:
        return istiod.uid not in before
    return istiod.started is not None and istiod.started > cacerts["created"]
