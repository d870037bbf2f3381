# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A rotation as a pure function: what the cluster holds and where it should go, hence what to write next.

istiod takes a new bundle without a restart only where the old and the new set of roots contain one another
(handleEvent in pilot/pkg/bootstrap/istio_ca.go), and agents reach istiod by the roots in their mounted file.
So a new root takes three writes, each proven in the whole mesh before the next:

trust: the present signer, both roots. sign: the new signer, both roots. drop: the new signer, its root alone.

The way back is the same walk with the previous bundle as its target, hence there is one from every phase.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ..mesh.certificates import Certificate, certificates, short
from .trust_bundle import Bundle, join

#: The phases in their order.
PHASES = ("adopt", "trust", "sign", "drop")


@dataclasses.dataclass(frozen=True)
class Step:
    """One write to the cacerts secret.

    :ivar phase: one of PHASES
    :ivar bundle: what to write
    :ivar words: what it does, with fingerprints, for check mode and the log
    :ivar restart_istiod: whether istiod reads it only when it starts
    """

    phase: str
    bundle: Bundle
    words: str
    restart_istiod: bool = False


def next_step(
    present: Bundle, target: Bundle, *, watched: bool = True, lost: bool = False, multi_root: bool = True
) -> Step | None:
    """The next write on the way to the target, or None where the secret is there.

    :param present: what istiod works with now
    :param target: what it shall work with in the end
    :param watched: whether every istiod reads the cacerts secret and follows its changes
    :param lost: the secret isn't there, though istiod works with what it held
    :param multi_root: istiod takes a change of the bytes of root-cert.pem (ISTIO_MULTIROOT_MESH)

    With C(old) and C(new), two CAs that share no root:

    >>> [step.phase for step in all_steps(old, new)]
    ['trust', 'sign', 'drop']
    >>> next_step(old, new).bundle.signer == old.signer
    True
    >>> next_step(new, new) is None
    True
    """
    if not watched and not lost and present.signer == target.signer and set(present.trusted) == set(target.trusted):
        return None
    if not watched:
        return Step(
            "adopt",
            present,
            f"plug the present CA {name(present.signer)} in as the secret cacerts, as it is; restart istiod,"
            " which follows changes of that secret only if it was there when it started",
            restart_istiod=True,
        )
    missing = [root for root in target.trusted if root not in present.trusted]
    if missing:
        return Step(
            "trust",
            dataclasses.replace(present, roots=_roots("trust", [*missing, *present.trusted], present.signer)),
            f"trust {names(missing)} beside {names(present.trusted)}; {name(present.signer)} keeps signing",
        )
    old = [root for root in present.trusted if root not in target.trusted]
    if present.signer != target.signer:
        roots = _roots("sign", [*old, *target.trusted], target.signer) if multi_root else present.roots
        later = "" if multi_root else "; leaves follow as each expires, since istiod runs without ISTIO_MULTIROOT_MESH"
        return Step(
            "sign",
            dataclasses.replace(target, roots=roots),
            f"sign with {name(target.signer)} instead of {name(present.signer)};"
            f" trust {names([*old, *target.trusted])}{later}",
        )
    if old:
        return Step("drop", target, f"trust {names(target.trusted)} alone; {names(old)} is gone")
    return None


def all_steps(
    present: Bundle, target: Bundle, *, watched: bool = True, lost: bool = False, multi_root: bool = True
) -> list[Step]:
    """Every write that is left, in order; its parameters are those of C(next_step)."""
    steps: list[Step] = []
    while (step := next_step(present, target, watched=watched, lost=lost, multi_root=multi_root)) is not None:
        steps.append(step)
        present, watched, lost = step.bundle, True, False
    return steps


def same_roots(one: Bundle | None, other: Bundle) -> bool:
    """Whether two bundles trust the same: then going from one to the other can cut nobody off."""
    return one is not None and set(one.trusted) == set(other.trusted)


def _roots(phase: str, roots: t.Sequence[Certificate], signer: Certificate) -> str:
    """Roots under a comment that names phase and signer: changed bytes are what makes every proxy fetch a new leaf."""
    return join(roots, f"{phase}: signed by {short(signer.fingerprint)}")


def name(certificate: Certificate) -> str:
    """A certificate in words."""
    return f"{certificate.subject} ({short(certificate.fingerprint)})"


def names(several: t.Iterable[Certificate]) -> str:
    return " and ".join(name(certificate) for certificate in several)


@dataclasses.dataclass(frozen=True)
class Expectation:
    """What a gate proves in the mesh once a bundle is written.

    :ivar roots: fingerprints that every ConfigMap and caBundle hold, no more and no fewer
    :ivar gone: fingerprints that no proxy may trust any longer
    :ivar signer: the issuer of every proxy's leaf, or None where any will do
    :ivar root_expiry: Unix time at which the first certificate of root-cert.pem expires: what istiod reports;
        None where istiod need not have loaded the secret
    :ivar chain_expiry: the same for cert-chain.pem
    :ivar same_root: no root changes: proxies that don't take the push are in no danger
    """

    roots: frozenset[str]
    gone: frozenset[str]
    signer: Certificate | None
    root_expiry: int | None
    chain_expiry: int | None
    same_root: bool = False


def expectation(bundle: Bundle, target: Bundle, other: Bundle | None = None) -> Expectation:
    """What must be seen in the mesh before the step after this bundle.

    :param bundle: what the secret holds
    :param target: the target of the rotation; leaves are looked at once its signer signs
    :param other: the bundle at the other end of the rotation
    """
    roots = frozenset(root.fingerprint for root in bundle.trusted)
    known = {root.fingerprint for each in (bundle, target, other) if each for root in each.trusted}
    first_link = (certificates(bundle.chain) or (bundle.signer,))[0]
    return Expectation(
        roots=roots,
        gone=frozenset(known - roots),
        signer=target.signer if bundle.signer == target.signer else None,
        root_expiry=int(bundle.trusted[0].not_after.timestamp()),
        chain_expiry=int(first_link.not_after.timestamp()),
        same_root=len(known) == len(roots),
    )
