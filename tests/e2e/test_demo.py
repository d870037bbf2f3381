# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `make demo` brings up: it says what runs, a second one changes nothing, and it is of this machine alone."""

from __future__ import annotations

import contextlib
import json
import subprocess

import pytest
from conftest import ROOT
from following import eventually

#: A network that RFC 5737 keeps for documentation: nobody's own.
GATE, STRANGER = "198.51.100.1", "198.51.100.2"
SPACE = "meshops-stranger"


def run(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=300).stdout


def test_it_says_what_runs_and_how_to_reach_it(mesh):
    name = mesh.env["LAB_NAME"]
    text = subprocess.run(
        [ROOT / "tests/lab/demo", name], capture_output=True, text=True, check=True, env=mesh.env, timeout=600
    ).stdout
    assert " changed=0 " in text, "the mesh is there already"
    for pod in ("istiod-", "istio-ingressgateway-", "istio-egressgateway-", "echo-v1-", "echo-v2-", "client-"):
        assert pod in text
    assert f"The mesh serves at http://{mesh.env['LAB_INGRESS_HTTP']}/" in text
    answer = next(line for line in text.splitlines() if line.startswith("{"))
    assert "/sa/istio-ingressgateway" in json.loads(answer)["client_certificate"]
    assert f"lab env --name {name}" in text


def test_the_lab_says_what_is_there(mesh, lab):
    shown = lab("status")
    assert f"cluster   {mesh.env['LAB_NAME']}: running" in shown
    _prepared, built, _of, wanted, _steps = next(line for line in shown.splitlines() if "prepared" in line).split()
    assert built == wanted


@pytest.fixture
def stranger(tmp_path):
    """Another machine as far as the cluster can tell: a network namespace behind this one, with a server in it."""
    subprocess.run(["ip", "netns", "del", SPACE], capture_output=True, check=False)
    with contextlib.ExitStack() as stack:
        run("ip", "netns", "add", SPACE)
        stack.callback(run, "ip", "netns", "del", SPACE)
        run("ip", "link", "add", "stranger0", "type", "veth", "peer", "name", "stranger1", "netns", SPACE)
        run("ip", "address", "add", f"{GATE}/30", "dev", "stranger0")
        run("ip", "link", "set", "stranger0", "up")
        run("ip", "-n", SPACE, "address", "add", f"{STRANGER}/30", "dev", "stranger1")
        run("ip", "-n", SPACE, "link", "set", "stranger1", "up")
        run("ip", "-n", SPACE, "route", "add", "default", "via", GATE)
        words = ["ip", "netns", "exec", SPACE, "python3", "-m", "http.server", "--bind", STRANGER, "8000"]
        server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path)
        stack.callback(server.wait)
        stack.callback(server.terminate)
        yield


def test_the_cluster_is_of_this_machine_alone(mesh, stranger):
    node = f"meshops-lab-{mesh.env['LAB_NAME']}-control-plane"
    shown = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    address = run("docker", "inspect", "-f", shown, node).split()[0]
    server, api = f"http://{STRANGER}:8000/", f"https://{address}:6443/version"

    eventually(lambda: reaches(server), True)
    eventually(lambda: reaches(api), True)
    assert not reaches(server, "docker", "exec", node)
    assert not reaches(api, "ip", "netns", "exec", SPACE)


def reaches(url: str, *where: str) -> bool:
    words = [*where, "curl", "--silent", "--insecure", "--output", "/dev/null", "--max-time", "3", url]
    return not subprocess.run(words, capture_output=True, check=False, timeout=60).returncode
