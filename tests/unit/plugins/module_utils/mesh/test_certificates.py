# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Certificates that are made, and bundles that are refused."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import subprocess

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.ca.trust_bundle import (
    BrokenBundle,
    bundle_of,
    join,
    plugged,
    secret_data,
)
from ansible_collections.meshops.istio.plugins.module_utils.mesh import certificates as c
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

NO_KEY = "-----BEGIN RSA PRIVATE KEY-----\nc2VjcmV0\n-----END RSA PRIVATE KEY-----\n"
NOW = datetime.datetime(2026, 11, 1, tzinfo=datetime.timezone.utc)


@functools.cache
def root(kind="EC-P256"):
    return c.make_root("cluster.local", 3650, kind, NOW)


@functools.cache
def good(days=365):
    certificate, key = root()
    return plugged(*c.make_intermediate(certificate, key, ["cluster.local"], days, "EC-P256", NOW), [certificate])


def authority(name, issuer=None, issuer_key=None, ca=True, begins=0, days=900, key=None, path_length=None, uris=None):
    """A CA as others make them, and its key: with less care."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    if isinstance(name, str):
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.x509.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + datetime.timedelta(days=begins))
        .not_valid_after(NOW + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca, path_length if ca else None), critical=True)
    )
    if uris:
        subtrees = [[x509.UniformResourceIdentifier(uri) for uri in each] or None for each in uris]
        builder = builder.add_extension(x509.NameConstraints(*subtrees), critical=True)
    signed = builder.sign(c.load_key(issuer_key) if issuer_key else key, hashes.SHA256())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return c.Certificate(signed.public_bytes(serialization.Encoding.PEM).decode()), pem


def three(root=None, middle=None, signer=None):
    """The bundle of a signer below two others, each with what is special about it."""
    top, top_key = authority("Root", **(root or {}))
    between, between_key = authority("Middle", top, top_key, **(middle or {}))
    return plugged(*authority("Signer", between, between_key, **(signer or {})), [between, top])


def names(bundle, **how):
    return [problem.name for problem in bundle.problems(NOW, **how)]


@pytest.mark.parametrize("kind", c.KEY_TYPES)
def test_a_root_of_each_key_type(kind):
    certificate, key = root(kind)
    assert certificate.key_type == kind
    assert certificate.self_signed
    assert certificate.is_ca
    assert c.key_matches(key, certificate)
    assert round(certificate.days_left(NOW)) == 3650


def test_intermediate_signs_for_the_trust_domain_alone():
    certificate, key = root()
    signer, _key = c.make_intermediate(certificate, key, ["cluster.local", "old.example"], 30, "EC-P384", NOW)
    extensions = signer.x509.extensions
    constraints = extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert [u.value for u in constraints.value.permitted_subtrees] == ["cluster.local", "old.example"]
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.key_cert_sign
    assert usage.crl_sign
    assert not usage.digital_signature
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    subject = extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert subject == x509.SubjectKeyIdentifier.from_public_key(signer.x509.public_key()).digest
    authority = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    assert authority == certificate.x509.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


def test_intermediate_never_outlives_its_root():
    certificate, key = root()
    signer, _key = c.make_intermediate(certificate, key, ["cluster.local"], 99999, "EC-P256", NOW)
    assert signer.not_after == certificate.not_after


def test_serials_and_names_differ_from_one_to_the_next():
    made = [c.make_root("cluster.local", 1, "EC-P256", NOW)[0] for _each in range(3)]
    assert len({x.serial for x in made}) == len({x.subject for x in made}) == 3


def test_openssl_verifies_the_chain(tmp_path):
    for file, text in (("root.pem", good().roots), ("chain.pem", good().chain), ("ca.pem", good().certificate)):
        (tmp_path / file).write_text(text)
    verified = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-attime", str(int(NOW.timestamp())), "-CAfile", "root.pem",
         "-untrusted", "chain.pem", "ca.pem"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_another_roots_key_makes_no_intermediate():
    with pytest.raises(c.CertificateError, match="doesn't belong to the root"):
        c.make_intermediate(root()[0], root("EC-P384")[1], ["cluster.local"], 1, "EC-P256", NOW)


def test_a_good_bundle():
    assert names(good(), min_days=30) == []
    assert good().root == root()[0]
    assert plugged(*root(), []).problems(NOW) == []


def test_key_of_another_certificate():
    assert names(dataclasses.replace(good(), key=root("EC-P384")[1])) == ["key_mismatch"]


def test_key_that_is_no_key():
    broken = dataclasses.replace(good(), key=NO_KEY)
    (problem,) = broken.problems(NOW)
    assert problem.name == "unreadable"
    assert "c2VjcmV0" not in problem.message


def test_chain_that_does_not_verify():
    other = c.make_root("cluster.local", 3650, "EC-P256", NOW)[0]
    assert names(dataclasses.replace(good(), roots=other.pem, chain=good().signer.pem)) == ["chain_broken"]
    assert names(dataclasses.replace(good(), chain="")) == ["chain_broken"]


def test_not_a_ca():
    certificate, key = root()
    leaf_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    leaf = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "leaf")]))
        .issuer_name(certificate.x509.subject)
        .public_key(leaf_key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + datetime.timedelta(days=90))
        .sign(c.load_key(key), hashes.SHA256())
    )
    pem = leaf_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    signer = c.Certificate(leaf.public_bytes(serialization.Encoding.PEM).decode())
    assert names(plugged(signer, pem, [certificate])) == ["not_a_ca"]


def test_expires_within_the_days_given():
    assert names(good(20), min_days=30) == ["expires_soon"]
    assert names(good(20), min_days=10) == []
    assert "expired on" in good(20).problems(NOW + datetime.timedelta(days=21))[0].message


def test_wrong_order():
    certificate, key = root()
    top, top_key = authority("Top")
    middle, _key = authority(certificate.x509.subject, top, top_key, key=c.load_key(root()[1]))
    right = plugged(good().signer, good().key, [middle, top])
    assert names(right) == []
    assert names(dataclasses.replace(right, chain=middle.pem + good().signer.pem + top.pem)) == ["wrong_order"]


@pytest.mark.parametrize(
    ("special", "problem", "who"),
    [
        ({}, None, ""),
        ({"middle": {"begins": -100, "days": -2}}, "expires_soon", "the intermediate CN=Middle expired on"),
        ({"middle": {"days": 20}}, "expires_soon", "the intermediate CN=Middle expires on"),
        ({"middle": {"ca": False}}, "not_a_ca", "the intermediate CN=Middle"),
        ({"middle": {"key": rsa.generate_private_key(65537, 1024)}}, "weak_key", "the intermediate CN=Middle"),
        ({"signer": {"begins": 20}}, "not_yet_valid", "the signer CN=Signer is valid from 2026-11-21 00:00 UTC on"),
        (
            {"root": {"path_length": 0}},
            "path_too_long",
            "the root CN=Root allows 0 CAs below it (pathlen), and there are 2",
        ),
        ({"middle": {"path_length": 0}}, "path_too_long", "the intermediate CN=Middle allows 0"),
        ({"root": {"path_length": 2}, "middle": {"path_length": 1}}, None, ""),
        (
            {"signer": {"uris": (["other.example"], [])}},
            "wrong_trust_domain",
            "the signer CN=Signer may not sign for mesh.ex",
        ),
        ({"root": {"uris": ([], ["mesh.example"])}}, "wrong_trust_domain", "the root CN=Root"),
        ({"root": {"uris": ([".example"], [])}, "signer": {"uris": (["mesh.example", "b"], [])}}, None, ""),
    ],
)
def test_every_link_between_signer_and_root_is_looked_at(special, problem, who):
    found = three(**special).problems(NOW, 30, ["mesh.example"])
    assert [each.name for each in found] == ([problem] if problem else [])
    assert all(who in each.message for each in found)


def test_what_can_not_be_read_is_named_by_its_key():
    broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    for field, key in (("certificate", "ca-cert.pem"), ("chain", "cert-chain.pem"), ("roots", "root-cert.pem")):
        (problem,) = dataclasses.replace(good(), **{field: broken}).problems(NOW)
        assert (problem.name, problem.message.partition(":")[0]) == ("unreadable", key)
    (problem,) = dataclasses.replace(good(), certificate="nothing").problems(NOW)
    assert problem.message.startswith("ca-cert.pem holds no certificate")


def test_a_name_of_any_length_makes_a_ca():
    assert c.make_root("a" * 60 + ".example.test", 90, "EC-P256", NOW)[0].is_ca


def test_root_missing():
    assert "root_missing" in names(dataclasses.replace(good(), roots=""))


def test_weak_key():
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "weak")])
    weak = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(3)
        .not_valid_before(NOW)
        .not_valid_after(NOW + datetime.timedelta(days=900))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    weak = c.Certificate(weak.public_bytes(serialization.Encoding.PEM).decode())
    assert set(names(plugged(weak, pem, []))) == {"weak_key"}


def test_a_refusal_names_the_problem_and_never_the_key():
    broken = dataclasses.replace(good(), key=root("EC-P384")[1])
    with pytest.raises(BrokenBundle, match="key_mismatch") as refusal:
        broken.refuse_if_broken("ca_files", NOW)
    assert "PRIVATE" not in str(refusal.value) + repr(broken) + str(refusal.value.result)


def test_the_three_forms_of_a_secret():
    bundle = good()
    assert bundle_of(secret_data(bundle)) == bundle
    tls = secret_data(bundle, {"tls.crt": "x"})
    assert set(tls) == {"tls.crt", "tls.key", "ca.crt"}
    read = bundle_of(tls)
    assert (read.signer, read.trusted, read.problems(NOW)) == (bundle.signer, bundle.trusted, [])
    own = bundle_of({"ca-cert.pem": root()[0].pem, "ca-key.pem": root()[1], "root-cert.pem": "", "cert-chain.pem": ""})
    assert own == plugged(*root(), [])
    assert bundle_of({"ca-cert.pem": "x", "ca-key.pem": "y", "cert-chain.pem": "z"}) is None


def test_comments_between_certificates_are_passed_over():
    both = join([root()[0], root("EC-P384")[0], root()[0]], "trust")
    assert both.startswith("# trust\n")
    assert [x.key_type for x in c.certificates(both)] == ["EC-P256", "EC-P384"]
