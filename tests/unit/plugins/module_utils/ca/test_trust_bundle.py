# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What istiod or Envoy can't use is a named problem."""

from __future__ import annotations

import datetime

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.ca import authority
from ansible_collections.meshops.istio.plugins.module_utils.ca.trust_bundle import plugged
from ansible_collections.meshops.istio.plugins.module_utils.mesh import certificates as c
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage

NOW = datetime.datetime(2026, 11, 1, tzinfo=datetime.timezone.utc)
#: What C(openssl ecparam -name prime256v1 -genkey) writes in front of the key.
PARAMETERS = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"


def ca(usage=None, issuer=None, key=None):
    """A CA with an extendedKeyUsage, self-signed or under another one; and its key."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"CA {id(key)}")])
    issuer_name, issuer_key = issuer or (name, key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(NOW + datetime.timedelta(days=400))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
    digest = None if isinstance(issuer_key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    made = builder.sign(issuer_key, digest)
    return c.Certificate(made.public_bytes(Encoding.PEM).decode()), key, name


def pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def bundle(usage_of_root=None, usage_of_signer=None, key=None):
    root, root_key, name = ca(usage_of_root)
    signer, signer_key, _name = ca(usage_of_signer, (name, root_key), key)
    return plugged(signer, pem(signer_key), [root])


def problems(held):
    return {problem.name: problem.message for problem in held.problems(NOW)}


BOTH = [Usage.SERVER_AUTH, Usage.CLIENT_AUTH]


@pytest.mark.parametrize("usage", [None, BOTH, [Usage.ANY_EXTENDED_KEY_USAGE], [*BOTH, Usage.OCSP_SIGNING]])
def test_extended_key_usage_that_mutual_tls_can_use(usage):
    assert problems(bundle(usage, usage)) == {}


@pytest.mark.parametrize(
    ("usage", "lacks"),
    [
        ([Usage.SERVER_AUTH], "clientAuth"),
        ([Usage.CLIENT_AUTH], "serverAuth"),
        ([Usage.CODE_SIGNING], "serverAuth and"),
    ],
)
def test_extended_key_usage_that_cuts_the_mesh_off(usage, lacks):
    for held, what in ((bundle(usage_of_signer=usage), "the signer"), (bundle(usage_of_root=usage), "the root")):
        (message,) = [text for name, text in problems(held).items() if name == "wrong_usage"]
        assert lacks in message and message.startswith(what)


def test_ed25519_key():
    found = problems(bundle(key=ed25519.Ed25519PrivateKey.generate()))
    assert "Ed25519" in found["unsupported_key"] and "Ed25519" in found["weak_key"]


def test_ec_parameters_block_is_refused_in_a_secret_and_removed_from_files():
    held = bundle()
    key = PARAMETERS + held.key
    assert "EC PARAMETERS" in problems(plugged(held.signer, key, [held.root]))["unsupported_key"]
    brought = authority.from_files({"ca_cert": held.certificate, "ca_key": key, "root_cert": held.roots})
    assert brought.key == held.key and brought.problems(NOW) == []


def test_key_without_further_blocks_stays_as_it_is():
    held = bundle()
    assert c.key_alone(held.key) == held.key
    assert c.key_alone("no key") == "no key"
