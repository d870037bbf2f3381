# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which CA the mesh works with now, told from its secrets, its roots in use and its istiod pods. Pure."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ..errors import MeshopsError
from ..mesh.certificates import CertificateError, fingerprints, short
from .gate import Istiod
from .rotation import names
from .trust_bundle import Bundle, bundle_of, join, missing_keys

#: istiod signs with this secret where it is there, complete, when istiod starts.
CACERTS = "cacerts"
#: Where istiod keeps the CA that it has made for itself.
SELF_SIGNED = "istio-ca-secret"
#: While a rotation is under way: where it goes, and where it came from. Both hold keys, as cacerts does.
NEXT = "cacerts-next"
PREVIOUS = "cacerts-previous"
#: Annotation on cacerts: the phase, with fingerprints, as JSON.
RECORD = "meshops.istio/ca-rotation"
#: Annotation on cacerts-previous: self-signed (in istio-ca-secret), istio-generated (in cacerts) or plugged-in.
ORIGIN = "meshops.istio/ca-origin"
#: A key in cacerts by which istiod marks a CA that it has made for itself (USE_CACERTS_FOR_SELF_SIGNED_CA).
GENERATED = "istio-generated"


class CannotRotate(MeshopsError):
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
    :ivar origin: what it came from: self-signed, istio-generated or plugged-in; empty where no rotation is under way
    :ivar lost: cacerts was deleted in the middle of the rotation; bundle is what it must have held
    :ivar control_planes: how many istiod pods run
    :ivar multi_root: each of them takes a change of the roots while it runs (ISTIO_MULTIROOT_MESH)
    """

    bundle: Bundle | None
    plugged: bool = False
    watched: bool = False
    pending: Bundle | None = None
    following: Bundle | None = None
    previous: Bundle | None = None
    origin: str = ""
    lost: bool = False
    control_planes: int = 0
    multi_root: bool = True

    def __repr__(self) -> str:
        return f"<Present {self.bundle!r} plugged={self.plugged} watched={self.watched}>"


def foreign_hands(cacerts: t.Mapping[str, t.Any] | None) -> list[str]:
    """Why this collection must leave the secret alone: others write it, or it holds what a rotation would break."""
    if not cacerts:
        return []
    found = []
    missing = [] if GENERATED in cacerts["data"] else missing_keys(cacerts["data"])
    if missing:
        found.append(
            f"the secret {CACERTS} is there but lacks {', '.join(missing)}: complete it, or delete it if nobody needs"
            " what it holds"
        )
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
        found = json.loads((annotations or {}).get(RECORD) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


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
    generated = GENERATED in cacerts.get("data", {})
    plugged = None if generated else _bundle_in(secrets, CACERTS)
    own = _bundle_in(secrets, CACERTS if generated else SELF_SIGNED)
    following, previous = _bundle_in(secrets, NEXT), _bundle_in(secrets, PREVIOUS)
    others = {
        "following": following,
        "previous": previous,
        "control_planes": len(istiods),
        "multi_root": all(istiod.multi_root for istiod in istiods),
        "origin": (secrets.get(PREVIOUS, {}).get("annotations") or {}).get(ORIGIN, ""),
    }
    if plugged is None:
        in_use = own is not None and (not served or fingerprints(own.roots) == served)
        if following and previous and istiods and not in_use:
            return Present(_lost(previous, following, served), plugged=True, lost=True, **others)
        return Present(own, **others)
    if not istiods:
        return Present(plugged, plugged=True, watched=True, **others)
    # one that is about to go counts no more, one that is about to start reads what is there then
    staying = [istiod for istiod in istiods if not istiod.terminating and istiod.started is not None]
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


def _bundle_in(secrets: t.Mapping[str, t.Mapping[str, t.Any]], name: str) -> Bundle | None:
    """What one of the secrets holds; None where it isn't there, or is incomplete.

    :raises CannotRotate: it can't be read
    """
    try:
        bundle = bundle_of(secrets.get(name, {}).get("data", {}))
        if bundle is not None and not bundle.read()[2]:
            raise CertificateError("root-cert.pem holds no certificate")
    except CertificateError as error:
        raise CannotRotate(
            f"the secret {name} can't be used: {error}. Put its former contents back, or delete it if nobody needs it"
        ) from None
    return bundle


def _lost(previous: Bundle, following: Bundle, served: frozenset[str]) -> Bundle:
    """What cacerts held before it was deleted in the middle of a rotation, told by the roots that istiod serves.

    Where it serves both, either CA may have signed last; leaves of either are trusted then, so the former goes on.

    :raises CannotRotate: istiod serves neither
    """
    both = dataclasses.replace(previous, roots=join([*following.trusted, *previous.trusted], "trust, restored"))
    for bundle in (previous, both, following):
        if fingerprints(bundle.roots) == served:
            return bundle
    raise CannotRotate(
        f"the secret {CACERTS} was deleted in the middle of a rotation, and istiod serves"
        f" {', '.join(sorted(short(root) for root in served)) or 'no root'}, which is neither where the rotation came"
        f" from nor where it goes: put the former contents of {CACERTS} back, or to begin anew from what istiod serves"
        f" delete {NEXT} and {PREVIOUS}"
    )


def _watches(istiod: Istiod, cacerts: t.Mapping[str, t.Any]) -> bool:
    """Whether an istiod has found the user's complete bundle when it started, and so follows its changes.

    An adoption names the pods that were there before it; otherwise the secret's age tells.
    """
    before = record_of(cacerts.get("annotations")).get("not_watching")
    if before is not None:
        return istiod.uid not in before
    return istiod.started is not None and istiod.started > cacerts["created"]
