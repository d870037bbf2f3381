# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""X.509 certificates as a mesh needs them: read, compare, and make roots and intermediates. No I/O."""

from __future__ import annotations

import datetime
import functools
import hashlib
import re
import typing as t

from ..errors import MeshopsError

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    HAS_CRYPTOGRAPHY = True
except ImportError:
    HAS_CRYPTOGRAPHY = False

#: What ca_key_type may be.
KEY_TYPES = ("RSA-4096", "EC-P256", "EC-P384")

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
#: Certificates are valid from a little earlier, so that clocks that are late accept them.
_CLOCK_SKEW = datetime.timedelta(minutes=5)


class CertificateError(MeshopsError):
    """A certificate or key that can't be read or made; the text never holds key material."""


def require_cryptography() -> None:
    """Fails with the remedy where the Python package cryptography is missing."""
    if not HAS_CRYPTOGRAPHY:
        raise CertificateError(
            "the Python package cryptography is missing from this interpreter: pip install 'cryptography>=42'"
        )


class Certificate:
    """One certificate, by its PEM text.

    :raises CertificateError: the text isn't a certificate
    """

    def __init__(self, pem: str) -> None:
        require_cryptography()
        self.pem = pem.strip() + "\n"
        try:
            self.x509 = x509.load_pem_x509_certificate(self.pem.encode())
        except ValueError as error:
            raise CertificateError(f"not a PEM certificate: {error}") from None
        #: SHA-256 over the DER bytes, 64 hexadecimal digits.
        self.fingerprint = self.x509.fingerprint(hashes.SHA256()).hex()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Certificate) and other.fingerprint == self.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return f"<Certificate {self.subject} {short(self.fingerprint)}>"

    @property
    def subject(self) -> str:
        """Distinguished name as RFC 4514 writes it; empty for workloads."""
        return self.x509.subject.rfc4514_string()

    @property
    def issuer(self) -> str:
        return self.x509.issuer.rfc4514_string()

    @property
    def serial(self) -> str:
        """Hexadecimal, as openssl prints it."""
        return f"{self.x509.serial_number:x}"

    @property
    def not_before(self) -> datetime.datetime:
        """Start of validity, in UTC."""
        return self.x509.not_valid_before_utc

    @property
    def not_after(self) -> datetime.datetime:
        """End of validity, in UTC."""
        return self.x509.not_valid_after_utc

    @property
    def is_ca(self) -> bool:
        """Whether it may sign certificates: basicConstraints and, where present, keyUsage say so."""
        extensions = self.x509.extensions
        try:
            if not extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
                return False
        except x509.ExtensionNotFound:
            return False
        try:
            return extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
        except x509.ExtensionNotFound:
            return True

    @property
    def path_length(self) -> int | None:
        """How many further CAs may stand between it and a leaf; None where it doesn't say."""
        try:
            return self.x509.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length
        except x509.ExtensionNotFound:
            return None

    def may_sign_for(self, trust_domain: str) -> bool:
        """Whether its name constraints let it sign for the SPIFFE identities of a trust domain."""
        try:
            constraints = self.x509.extensions.get_extension_for_class(x509.NameConstraints).value
        except x509.ExtensionNotFound:
            return True
        permitted, excluded = _uris(constraints.permitted_subtrees), _uris(constraints.excluded_subtrees)
        if any(_covers(domain, trust_domain) for domain in excluded):
            return False
        return not permitted or any(_covers(domain, trust_domain) for domain in permitted)

    @property
    def self_signed(self) -> bool:
        return self.issued_by(self)

    @property
    def identity(self) -> str:
        """The SPIFFE identity of a workload, or the subject."""
        try:
            names = self.x509.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return self.subject
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        return uris[0] if uris else self.subject

    @property
    def key_type(self) -> str:
        """Such as C(RSA-2048) or C(EC-P256)."""
        return key_type(self.x509.public_key())

    @property
    def weakness(self) -> str:
        """Why nobody should trust its key or signature any more; empty without a reason."""
        key = self.x509.public_key()
        if isinstance(key, rsa.RSAPublicKey) and key.key_size < 2048:
            return f"its RSA key has {key.key_size} bits, fewer than 2048"
        if not isinstance(key, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey)):
            return f"its key is of type {self.key_type}, and istiod's and Envoy's certificates are RSA or EC"
        if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size < 256:
            return f"its key is on the curve {key.curve.name}, of fewer than 256 bits"
        hashed = self.x509.signature_hash_algorithm
        if hashed is not None and hashed.name in ("md5", "sha1"):
            return f"it is signed with {hashed.name.upper()}"
        return ""

    @property
    def lacks_usage(self) -> tuple[str, ...]:
        """What its extendedKeyUsage keeps those below it from, of C(serverAuth) and C(clientAuth); mTLS takes both."""
        try:
            usage = list(self.x509.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        except x509.ExtensionNotFound:
            return ()
        if ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usage:
            return ()
        needed = {"serverAuth": ExtendedKeyUsageOID.SERVER_AUTH, "clientAuth": ExtendedKeyUsageOID.CLIENT_AUTH}
        return tuple(what for what, oid in needed.items() if oid not in usage)

    def issued_by(self, issuer: Certificate) -> bool:
        """Whether the issuer's name and key made this certificate (signature checked)."""
        try:
            self.x509.verify_directly_issued_by(issuer.x509)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def days_left(self, now: datetime.datetime) -> float:
        """Days until it expires, negative afterwards."""
        return (self.not_after - now).total_seconds() / 86400

    def facts(self, now: datetime.datetime) -> dict[str, t.Any]:
        """What a user is shown."""
        return {
            "subject": self.subject,
            "issuer": self.issuer,
            "serial": self.serial,
            "fingerprint": self.fingerprint,
            "not_before": self.not_before.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "not_after": self.not_after.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "days_left": round(self.days_left(now), 2),
            "key_type": self.key_type,
        }


def _uris(subtrees: t.Iterable[t.Any] | None) -> list[str]:
    return [name.value for name in subtrees or () if isinstance(name, x509.UniformResourceIdentifier)]


def _covers(constraint: str, host: str) -> bool:
    """RFC 5280, 4.2.1.10: a leading dot means every host below, else exactly this host."""
    constraint, host = constraint.lower(), host.lower()
    return host.endswith(constraint) if constraint.startswith(".") else host == constraint


def key_type(public_key: t.Any) -> str:
    """A public key's type in the words of KEY_TYPES."""
    if isinstance(public_key, rsa.RSAPublicKey):
        return f"RSA-{public_key.key_size}"
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        return f"EC-P{public_key.curve.key_size}"
    return type(public_key).__name__


def short(fingerprint: str) -> str:
    """The first 12 digits: enough for a person to tell certificates apart."""
    return fingerprint[:12]


@functools.lru_cache(maxsize=4096)
def _certificate(pem: str) -> Certificate:
    return Certificate(pem)


def certificates(text: str) -> tuple[Certificate, ...]:
    """Every certificate in a PEM text, in its order; whatever lies between them (comments) is passed over.

    :raises CertificateError: a block isn't a certificate
    """
    return tuple(_certificate(block) for block in _PEM.findall(text or ""))


def fingerprints(text: str) -> frozenset[str]:
    """The fingerprints of every certificate in a PEM text."""
    return frozenset(certificate.fingerprint for certificate in certificates(text))


# -- keys -----------------------------------------------------------------


def load_key(pem: str) -> t.Any:
    """A private key by its PEM text.

    :raises CertificateError: not a key, or one behind a password; says nothing of the text
    """
    require_cryptography()
    try:
        return serialization.load_pem_private_key(pem.encode(), password=None)
    except TypeError:
        raise CertificateError(
            "the key is behind a password: istiod can't read it; take the password off"
            " (openssl pkey -in KEY -out NEW) and keep the file's mode 0600"
        ) from None
    except ValueError:
        raise CertificateError("the key isn't a PEM private key") from None


_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----", re.DOTALL)


def _istiod_reads(label: str) -> bool:
    """Whether istiod takes a PEM block for a key (ParsePemEncodedKey in security/pkg/pki/util/crypto.go)."""
    words = label.split()
    return words[-2:] == ["PRIVATE", "KEY"] and words[:-2] in ([], ["EC"], ["RSA"])


def key_alone(pem: str) -> str:
    """A key's PEM text in the first block, which is the only one that istiod reads.

    C(openssl ecparam -genkey) writes a block EC PARAMETERS before it.
    """
    readable = next((block for block in _BLOCK.finditer(pem) if _istiod_reads(block.group(1))), None)
    return f"{readable.group(0)}\n" if readable else pem


def unusable_key(pem: str) -> str:
    """Why istiod or Envoy can't use a private key that is well-formed; empty where they can.

    :raises CertificateError: not a key
    """
    key = load_key(pem)
    if not isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)):
        kind = type(key).__name__.lstrip("_").removesuffix("PrivateKey")
        return f"it is a key of type {kind}, and istiod's and Envoy's certificates are RSA or EC"
    first = _BLOCK.search(pem)
    if first is not None and not _istiod_reads(first.group(1)):
        return f"it begins with a block {first.group(1)}, and istiod reads the first block only: remove that block"
    return ""


def key_matches(key_pem: str, certificate: Certificate) -> bool:
    """Whether a private key belongs to a certificate."""
    return _public_bytes(load_key(key_pem).public_key()) == _public_bytes(certificate.x509.public_key())


def _public_bytes(key: t.Any) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _new_key(kind: str) -> t.Any:
    if kind == "RSA-4096":
        return rsa.generate_private_key(public_exponent=65537, key_size=4096)
    if kind == "EC-P256":
        return ec.generate_private_key(ec.SECP256R1())
    if kind == "EC-P384":
        return ec.generate_private_key(ec.SECP384R1())
    raise CertificateError(f"unknown key type {kind!r}: choose one of {', '.join(KEY_TYPES)}")


def _key_pem(key: t.Any) -> str:
    """In the traditional form (PKCS 1, SEC 1), which every release of istiod reads."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()


# -- making ---------------------------------------------------------------


def make_root(
    organization: str, days: int, kind: str, now: datetime.datetime, common_name: str = "Root CA"
) -> tuple[Certificate, str]:
    """A new self-signed root and its key in PEM.

    :param organization: the O of its name, such as the trust domain
    :param days: how long it is valid
    :param kind: one of KEY_TYPES
    """
    require_cryptography()
    key = _new_key(kind)
    name = _name(organization, common_name, key)
    builder = _builder(name, name, key.public_key(), now, now + datetime.timedelta(days=days))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
    )
    return _signed(builder, key), _key_pem(key)


def make_intermediate(
    root: Certificate,
    root_key: str,
    trust_domains: t.Sequence[str],
    days: int,
    kind: str,
    now: datetime.datetime,
) -> tuple[Certificate, str]:
    """A new intermediate under a root, and its key in PEM. It can sign for the given trust domains only.

    :param root_key: the root's private key in PEM
    :param trust_domains: the mesh's trust domain and its aliases; the host part of every SPIFFE identity
    :param days: how long it is valid; never longer than the root
    :raises CertificateError: the root's key isn't the root's
    """
    require_cryptography()
    if not key_matches(root_key, root):
        raise CertificateError(f"the root's key doesn't belong to the root {root.subject}")
    key = _new_key(kind)
    end = min(now + datetime.timedelta(days=days), root.not_after)
    name = _name(trust_domains[0], "Intermediate CA", key)
    builder = _builder(name, root.x509.subject, key.public_key(), now, end)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_issuer_identifier(root), critical=False)
    builder = builder.add_extension(
        x509.NameConstraints(
            permitted_subtrees=[x509.UniformResourceIdentifier(domain) for domain in trust_domains],
            excluded_subtrees=None,
        ),
        critical=True,
    )
    return _signed(builder, load_key(root_key)), _key_pem(key)


def _issuer_identifier(root: Certificate) -> t.Any:
    try:
        identifier = root.x509.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        key: t.Any = root.x509.public_key()
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _name(organization: str, common_name: str, key: t.Any) -> t.Any:
    """A name with a part of the key's hash: two CAs of one mesh never share a name."""
    own = hashlib.sha256(_public_bytes(key.public_key())).hexdigest()[:8]
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization[:64]),  # X.520 allows no more
            x509.NameAttribute(NameOID.COMMON_NAME, f"{common_name} {own}"),
        ]
    )


def _builder(subject: t.Any, issuer: t.Any, public_key: t.Any, now: datetime.datetime, end: datetime.datetime) -> t.Any:
    usage = {
        name: name in ("key_cert_sign", "crl_sign")
        for name in (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        )
    }
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(end)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _signed(builder: t.Any, key: t.Any) -> Certificate:
    digest = hashes.SHA384() if key_type(key.public_key()) == "EC-P384" else hashes.SHA256()
    certificate = builder.sign(key, digest)
    return Certificate(certificate.public_bytes(serialization.Encoding.PEM).decode())
