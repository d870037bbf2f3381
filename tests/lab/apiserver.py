# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A plain kube-apiserver with etcd, on free ports of 127.0.0.1 and without nodes, for tests of modules.

The controllers for namespaces, garbage collection and service accounts run as well, so that deleting a namespace
ends. Istio's and the Gateway API's CRDs are in it.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import build
import cluster
import versions
from home import HOME, LabError, folder, free_ports, lock, run, tail
from processes import alive, launch, stop
from progress import carry_out, say

import charts

PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kubectl")


def up(name: str) -> None:
    """Start it if it doesn't run; a second call changes nothing."""
    wanted = [step for step in build.kubernetes() if step.name.split()[0] in PROGRAMS]
    carry_out([build.etcd(), *wanted, *charts.crds(versions.ISTIO)])
    with lock(f"apiserver-{name}"):
        if not running(name):
            start(name)


def down(name: str) -> None:
    """Stop its processes and forget its data."""
    place = at(name)
    for pid_file in place.glob("*.pid"):
        stop(pid_file)
    shutil.rmtree(place, ignore_errors=True)


def names() -> list[str]:
    return sorted(path.name for path in HOME.glob("apiserver/*"))


def env(name: str) -> dict[str, str]:
    """What a test needs to know of it."""
    kubeconfig = at(name) / "kubeconfig"
    if not running(name):
        raise LabError(f"no API server {name} runs. Start it: tests/lab/lab apiserver up --name {name}")
    return {
        "KUBECONFIG": str(kubeconfig),
        "LAB_ISTIO_SOURCE": str(build.istio_source(versions.ISTIO)),
        "LAB_CRDS": ":".join(str(step.result) for step in charts.crds(versions.ISTIO)),
        "LAB_CHARTS": str(charts.place(versions.ISTIO)),
        "LAB_HELM3": str(build.program("helm", versions.HELM3)),
        "LAB_HELM4": str(build.program("helm", versions.HELM4)),
        "PATH": f"{cluster.tools()}:{os.environ['PATH']}",
    }


def at(name: str) -> Path:
    return HOME / "apiserver" / name


def running(name: str) -> bool:
    pids = list(at(name).glob("*.pid"))
    return len(pids) == 3 and all(alive(pid) for pid in pids) and (at(name) / "kubeconfig").exists()


def start(name: str) -> None:
    began = time.monotonic()
    down(name)
    place = folder("apiserver", name)
    port, client_port, peer_port, controller_port = free_ports(4)
    token = secrets.token_urlsafe(24)
    write_secret(place / "tokens.csv", f"{token},admin,admin,system:masters\n")
    make_keys(place)
    write_secret(place / "kubeconfig", kubeconfig(name, port, token, (place / "tls.crt").read_text()))

    client, peer = f"http://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
    launch(
        place, "etcd", versions.ETCD, f"--data-dir={place}/etcd-data", "--unsafe-no-fsync", "--log-level=warn",
        f"--listen-client-urls={client}", f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}",
    )  # fmt: skip
    server = launch(
        place, "kube-apiserver", versions.KUBERNETES, f"--etcd-servers={client}", "--bind-address=127.0.0.1",
        f"--secure-port={port}", f"--tls-cert-file={place}/tls.crt", f"--tls-private-key-file={place}/tls.key",
        f"--token-auth-file={place}/tokens.csv", "--authorization-mode=RBAC", "--allow-privileged=true",
        f"--service-account-issuer=https://127.0.0.1:{port}", f"--service-account-key-file={place}/sa.key",
        f"--service-account-signing-key-file={place}/sa.key", "--service-cluster-ip-range=10.96.0.0/16",
        "--endpoint-reconciler-type=none", "--disable-admission-plugins=ServiceAccount",
    )  # fmt: skip
    wait_ready(server, place, port)
    launch(
        place, "kube-controller-manager", versions.KUBERNETES, f"--kubeconfig={place}/kubeconfig",
        "--controllers=namespace-controller,garbage-collector-controller,serviceaccount-controller",
        "--leader-elect=false", "--bind-address=127.0.0.1", f"--secure-port={controller_port}",
        f"--cert-dir={place}", "--use-service-account-credentials=false",
    )  # fmt: skip
    files = [word for step in charts.crds(versions.ISTIO) for word in ("-f", step.result)]
    kubectl = (build.program("kubectl", versions.KUBERNETES), f"--kubeconfig={place}/kubeconfig")
    run(*kubectl, "apply", "--server-side", *files)
    run(*kubectl, "wait", "--for=condition=Established", "--all", "crd", "--timeout=60s")
    say(f"lab: API server {name} runs at https://127.0.0.1:{port} ({time.monotonic() - began:.0f} s)")


def wait_ready(server: subprocess.Popen, place: Path, port: int, timeout: float = 120) -> None:
    trust = ssl.create_default_context(cafile=str(place / "tls.crt"))
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"https://127.0.0.1:{port}/readyz", context=trust, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            if server.poll() is not None:
                break
            time.sleep(0.2)
    raise LabError(f"the API server did not become ready:\n{tail(place / 'kube-apiserver.log')}")


def make_keys(place: Path) -> None:
    """A certificate for 127.0.0.1 that vouches for itself, and the key that signs service account tokens."""
    run(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "365",
        "-subj", "/CN=meshops-lab", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
        "-addext", "keyUsage=critical,digitalSignature,keyCertSign",
        "-keyout", place / "tls.key", "-out", place / "tls.crt",
    )  # fmt: skip
    run("openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", place / "sa.key")


def write_secret(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        stream.write(text)


def kubeconfig(name: str, port: int, token: str, certificate: str) -> str:
    trust = base64.b64encode(certificate.encode()).decode()
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": name,
                    "cluster": {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": trust},
                }
            ],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": "admin"}}],
            "current-context": name,
        },
        indent=2,
    )
