# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A world outside the mesh: an echo server on a Docker network of its own, with names that the cluster's DNS knows."""

from __future__ import annotations

import contextlib
import datetime
import os
import pathlib
import subprocess
import time

from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def certificate(
    folder: pathlib.Path, names: list[str], issuer: str = "test CA", prefix: str = ""
) -> dict[str, pathlib.Path]:
    """A CA, and a certificate of it for these names, in files C(ca), C(cert), C(key)."""
    now = datetime.datetime.now(datetime.timezone.utc)

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def builder(subject: str, key: ec.EllipticCurvePrivateKey, is_ca: bool) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        )

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = builder(issuer, ca_key, True).sign(ca_key, hashes.SHA256())
    alternatives = x509.SubjectAlternativeName([x509.DNSName(one) for one in names])
    leaf = builder(names[0], key, False).add_extension(alternatives, critical=False).sign(ca_key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    texts = {
        "ca": ca.public_bytes(pem),
        "cert": leaf.public_bytes(pem),
        "key": key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    }
    files = {}
    for what, text in texts.items():
        files[what] = folder / f"{prefix}{what}.pem"
        files[what].touch(mode=0o600)
        files[what].write_bytes(text)
    return files


def docker(*words: object) -> str:
    done = subprocess.run(["docker", *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, f"docker {' '.join(map(str, words))}: {done.stderr}"
    return done.stdout.strip()


@contextlib.contextmanager
def outside_world(mesh, names: list[str], wildcard: str, folder: pathlib.Path):
    """Runs the outside world and makes its names known; gives the files of its certificate."""
    lab = mesh.env["LAB_NAME"]
    network = server = f"meshops-outside-{lab}"
    node = f"meshops-lab-{lab}-control-plane"
    files = certificate(folder, [*names, f"*.{wildcard}"])
    clean_up(network, server, node)
    docker("network", "create", "--internal", network)
    try:
        docker("network", "connect", network, node)
        docker(
            "run", "-d", "--name", server, "--network", network, "--user", f"{os.getuid()}:{os.getgid()}",
            "-v", f"{folder}:/certs:ro", mesh.env["LAB_PROBE_IMAGE"], "echo", "-version", "outside", "-http", ":80",
            "-https", ":443", "-cert", "/certs/cert.pem", "-key", "/certs/key.pem", "-drain", "0s",
        )  # fmt: skip
        address = docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", server)
        with names_known(mesh, address, names, wildcard):
            yield files
    finally:
        clean_up(network, server, node)


def clean_up(network: str, server: str, node: str) -> None:
    for words in (("rm", "-f", server), ("network", "disconnect", "-f", network, node), ("network", "rm", network)):
        subprocess.run(["docker", *words], capture_output=True)


@contextlib.contextmanager
def names_known(mesh, address: str, names: list[str], wildcard: str):
    """Adds the names to CoreDNS, and takes them out again."""
    kind = KNOWN["", "ConfigMap"]
    before = mesh.cluster.get(kind, "coredns", "kube-system")["data"]["Corefile"]
    known = f"hosts {{\n {address} {' '.join(names)}\n fallthrough\n }}\n template IN A {wildcard} {{\n"
    known += f' answer "{{{{ .Name }}}} 5 IN A {address}"\n }}\n'
    known += f" template IN AAAA {wildcard} {{\n rcode NOERROR\n }}\n forward "
    write_corefile(mesh, before.replace("forward ", known, 1))
    try:
        yield
    finally:
        write_corefile(mesh, before)


def write_corefile(mesh, text: str) -> None:
    """Changes CoreDNS's configuration, by new pods: a running one looks at the file too seldom."""
    mesh.cluster.patch(KNOWN["", "ConfigMap"], "coredns", {"data": {"Corefile": text}}, "kube-system")
    mesh.cluster.patch(
        KNOWN["apps", "Deployment"], "coredns",
        {"spec": {"template": {"metadata": {"annotations": {"changed": str(time.time())}}}}}, "kube-system",
    )  # fmt: skip
    words = ["kubectl", "-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=180s"]
    subprocess.run(words, env=mesh.env, check=True, capture_output=True)
