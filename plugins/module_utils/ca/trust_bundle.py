# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What istiod signs with and what the mesh trusts: the contents of a cacerts secret. No I/O, no clock."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import typing as t

from ..errors import MeshopsError
from ..mesh.certificates import Certificate, CertificateError, certificates, key_matches, short, unusable_key


@dataclasses.dataclass(frozen=True)
class Problem:
    """Something wrong with a bundle.

    :ivar name: unreadable, key_mismatch, chain_broken, not_a_ca, expires_soon, not_yet_valid, wrong_order,
        root_missing, weak_key, path_too_long, wrong_trust_domain, wrong_usage, unsupported_key
    :ivar message: which certificate, why, and what to do
    """

    name: str
    message: str


class BrokenBundle(MeshopsError):
    """A bundle that istiod would refuse, or that would break the mesh."""

    def __init__(self, where: str, problems: t.Sequence[Problem]) -> None:
        super().__init__(f"{where} can't be used: " + "; ".join(f"{p.name}: {p.message}" for p in problems))
        self.result = {"problems": [{**dataclasses.asdict(p), "reason": p.name} for p in problems]}


@dataclasses.dataclass(frozen=True, repr=False)
class Bundle:
    """A signer with its key, its chain, and the roots that the mesh trusts.

    :ivar certificate: PEM of the certificate that signs workloads (ca-cert.pem)
    :ivar key: PEM of its private key (ca-key.pem)
    :ivar chain: PEM of the signer and what leads to its root (cert-chain.pem)
    :ivar roots: PEM of every trusted root (root-cert.pem); its bytes matter: a change makes proxies fetch new leaves
    """

    certificate: str
    key: str
    chain: str
    roots: str

    def __repr__(self) -> str:  # never the key
        return f"<Bundle signer={short(self.signer.fingerprint)} roots={[short(r.fingerprint) for r in self.trusted]}>"

    @property
    def signer(self) -> Certificate:
        """The certificate that signs workloads."""
        found = certificates(self.certificate)
        if not found:
            raise CertificateError("ca-cert.pem holds no certificate: put the signing certificate there")
        return found[0]

    @property
    def trusted(self) -> tuple[Certificate, ...]:
        """The trusted roots in their order."""
        return certificates(self.roots)

    @property
    def root(self) -> Certificate:
        """The root that the signer leads to.

        :raises CertificateError: none of the trusted roots issued the top of the chain
        """
        chain = certificates(self.chain)
        for issuer in self.trusted:
            if any(link == issuer or link.issued_by(issuer) for link in (self.signer, *chain)):
                return issuer
        raise CertificateError(f"none of the trusted roots leads to the signer {self.signer.subject}")

    def read(self) -> tuple[Certificate, tuple[Certificate, ...], tuple[Certificate, ...]]:
        """The signer, the chain and the roots.

        :raises CertificateError: one can't be read, or the signer is missing; names the key of the secret
        """
        found = []
        texts = {"ca-cert.pem": self.certificate, "cert-chain.pem": self.chain, "root-cert.pem": self.roots}
        for key, text in texts.items():
            try:
                found.append(certificates(text))
            except CertificateError as error:
                raise CertificateError(f"{key}: {error}") from None
        return self.signer, found[1], found[2]

    def problems(
        self, now: datetime.datetime, min_days: float = 0, trust_domains: t.Sequence[str] = ()
    ) -> list[Problem]:
        """What is wrong with the bundle; empty where istiod and the mesh can live with it.

        :param min_days: all that leads from the signer to its root must be valid for at least so long
        :param trust_domains: those for which istiod signs, where they are known
        """
        try:
            signer, chain, roots = self.read()
        except CertificateError as error:
            return [Problem("unreadable", str(error))]
        found = [] if roots else [Problem("root_missing", "root-cert.pem holds no certificate: put the root there")]
        found += _key_problems(self.key, signer)
        found += _chain_problems(signer, chain, roots)
        path = path_to_root(signer, chain, roots)
        for certificate in dict.fromkeys([*path, *roots]):
            what = "signer" if certificate == signer else "root" if certificate in roots else "intermediate"
            name = f"the {what} {certificate.subject or short(certificate.fingerprint)}"
            found += _problems_of(certificate, name, now, min_days)
            if certificate in path:
                found += _constraint_problems(certificate, name, path[: path.index(certificate)], trust_domains)
        return found

    def refuse_if_broken(
        self, where: str, now: datetime.datetime, min_days: float = 0, trust_domains: t.Sequence[str] = ()
    ) -> None:
        """Fails where there is a problem.

        :raises BrokenBundle: names every problem
        """
        problems = self.problems(now, min_days, trust_domains)
        if problems:
            raise BrokenBundle(where, problems)


def _key_problems(key: str, signer: Certificate) -> list[Problem]:
    try:
        unusable = unusable_key(key)
        if unusable:
            return [Problem("unsupported_key", f"ca-key.pem: {unusable}")]
        if key_matches(key, signer):
            return []
    except CertificateError as error:
        return [Problem("unreadable", f"ca-key.pem: {error}")]
    return [Problem("key_mismatch", f"ca-key.pem isn't the key of the signer {signer.subject}")]


def _problems_of(certificate: Certificate, name: str, now: datetime.datetime, min_days: float) -> list[Problem]:
    """What is wrong with one CA by itself."""
    found = []
    if not certificate.is_ca:
        found.append(Problem("not_a_ca", f"{name} may not sign certificates (basicConstraints CA:TRUE, keyCertSign)"))
    if certificate.lacks_usage:
        lacks = " and ".join(certificate.lacks_usage)
        found.append(
            Problem(
                "wrong_usage",
                f"{name} is limited by extendedKeyUsage, which lacks {lacks}: proxies refuse what is under it; issue it"
                " with both serverAuth and clientAuth, or without extendedKeyUsage",
            )
        )
    if certificate.weakness:
        found.append(Problem("weak_key", f"{name}: {certificate.weakness}"))
    if certificate.not_before > now:
        found.append(Problem("not_yet_valid", f"{name} is valid from {_time(certificate.not_before)} on only"))
    left, end = certificate.days_left(now), _time(certificate.not_after)
    if left <= 0:
        found.append(Problem("expires_soon", f"{name} expired on {end}"))
    elif left <= min_days:
        found.append(Problem("expires_soon", f"{name} expires on {end}, within {min_days:g} days"))
    return found


def _constraint_problems(
    certificate: Certificate, name: str, below: t.Sequence[Certificate], trust_domains: t.Sequence[str]
) -> list[Problem]:
    """What a CA forbids those below it, from the signer on."""
    found = []
    counted = sum(link.subject != link.issuer for link in below)
    if certificate.path_length is not None and counted > certificate.path_length:
        found.append(
            Problem(
                "path_too_long",
                f"{name} allows {certificate.path_length} CAs below it (pathlen), and there are {counted}",
            )
        )
    refused = [domain for domain in trust_domains if not certificate.may_sign_for(domain)]
    if refused:
        found.append(
            Problem(
                "wrong_trust_domain",
                f"{name} may not sign for {', '.join(refused)} (name constraints), as the mesh's proxies are called",
            )
        )
    return found


def _time(moment: datetime.datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def path_to_root(
    signer: Certificate, chain: t.Sequence[Certificate], roots: t.Sequence[Certificate]
) -> list[Certificate]:
    """The signer, its issuer and so on, up to a trusted root; it ends where no issuer is found."""
    path = [signer]
    while path[-1] not in roots:
        issuers = (c for c in (*roots, *chain) if c not in path and path[-1].issued_by(c))
        issuer = next(issuers, None)
        if issuer is None:
            break
        path.append(issuer)
    return path


def _chain_problems(
    signer: Certificate, chain: tuple[Certificate, ...], roots: tuple[Certificate, ...]
) -> list[Problem]:
    """cert-chain.pem must begin with the signer, and each certificate be followed by its issuer, up to a root."""
    if not roots:
        return []
    if not chain:
        return [Problem("chain_broken", "cert-chain.pem holds no certificate: put the signer and its issuers there")]
    top = path_to_root(signer, chain, roots)[-1]
    if top not in roots:
        return [
            Problem(
                "chain_broken",
                f"the chain doesn't verify: nothing in cert-chain.pem and root-cert.pem issued {top.subject}"
                f" (it names {top.issuer} as its issuer)",
            )
        ]
    in_order = chain[0] == signer and all(a.issued_by(b) for a, b in itertools.pairwise(chain) if b not in roots)
    if not in_order:
        return [
            Problem("wrong_order", "cert-chain.pem must begin with the signer, each certificate followed by its issuer")
        ]
    return []


# -- secrets --------------------------------------------------------------

_PEM_KEYS = ("ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem")
_TLS_KEYS = ("tls.crt", "tls.key", "ca.crt")
#: Every key of cacerts that istiod reads or writes; further ones belong to others.
ISTIOD_KEYS = frozenset((*_PEM_KEYS, *_TLS_KEYS, "ca-crl.pem", "istio-generated"))


def bundle_of(data: t.Mapping[str, str]) -> Bundle | None:
    """The bundle in a secret's (decoded) data, in any of the three forms that istiod reads; None where incomplete.

    The forms: the four PEM keys; tls.crt, tls.key and ca.crt; istiod's own ca-cert.pem and ca-key.pem,
    where the certificate is its own root.
    """
    if data.get("tls.crt"):  # istiod, too, looks for this form first
        if not all(data.get(key) for key in _TLS_KEYS):
            return None
        first = certificates(data["tls.crt"])
        if not first:
            return None
        return Bundle(first[0].pem, data["tls.key"], data["tls.crt"] + data["ca.crt"], data["ca.crt"])
    if all(data.get(key) for key in _PEM_KEYS):
        return Bundle(*(data[key] for key in _PEM_KEYS))
    certificate, key = data.get("ca-cert.pem"), data.get("ca-key.pem")
    if certificate and key and not data.get("cert-chain.pem"):
        return Bundle(certificate, key, certificate, data.get("root-cert.pem") or certificate)
    return None


def missing_keys(data: t.Mapping[str, str]) -> list[str]:
    """What cacerts lacks for istiod to sign with it, in the form that it has begun; none where it is empty."""
    wanted = _TLS_KEYS if data.get("tls.crt") or data.get("tls.key") else _PEM_KEYS
    return [key for key in wanted if not data.get(key)] if any(data.values()) else []


def secret_data(bundle: Bundle, like: t.Mapping[str, str] | None = None) -> dict[str, str]:
    """The four PEM keys of a bundle, or the tls form where the present secret has that form.

    :param like: the present secret's data
    """
    if like and like.get("tls.crt"):
        links = [c for c in certificates(bundle.chain) if not c.self_signed] or [bundle.signer]
        return {"tls.crt": "".join(c.pem for c in links), "tls.key": bundle.key, "ca.crt": bundle.roots}
    return dict(zip(_PEM_KEYS, (bundle.certificate, bundle.key, bundle.chain, bundle.roots), strict=True))


def join(roots: t.Iterable[Certificate], comment: str = "") -> str:
    """A root-cert.pem of some roots in the given order, each once, under an optional comment line."""
    unique = dict.fromkeys(roots)
    return (f"# {comment}\n" if comment else "") + "".join(root.pem for root in unique)


def plugged(signer: Certificate, key: str, issuers: t.Sequence[Certificate]) -> Bundle:
    """The bundle of a signer whose issuers end in its root."""
    chain = "".join(c.pem for c in (signer, *issuers))
    return Bundle(signer.pem, key, chain, issuers[-1].pem if issuers else signer.pem)
