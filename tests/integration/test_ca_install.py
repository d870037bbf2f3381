# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A CA before the control plane: put in, refused, left alone; and no key where it doesn't belong."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import stat
import subprocess
import sys

import pytest
import yaml
from ansible_collections.meshops.istio.plugins.module_utils.ca.authority import CaSpec, generated
from ansible_collections.meshops.istio.plugins.module_utils.ca.observe import now
from ansible_collections.meshops.istio.plugins.module_utils.ca.trust_bundle import bundle_of
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.mesh import certificates as c

BIN = pathlib.Path(sys.executable).parent


@pytest.fixture
def role(api_server, namespace, tmp_path):
    """Runs an entry point of the role at -vvvv, and gives the return code and all that was printed, or left in the log,
    the facts and the directories for temporary files.
    """

    def run(entry: str, *options: str, **variables: object) -> tuple[int, str]:
        task = {"ansible.builtin.include_role": {"name": "meshops.istio.ca", "tasks_from": f"{entry}.yml"}}
        (tmp_path / "play.yml").write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": [task]}]))
        (tmp_path / "vars.json").write_text(json.dumps({"ca_namespace": namespace, **variables}))
        command = [
            BIN / "ansible-playbook", "-i", "localhost,", "-c", "local", "-vvvv", "--diff", *options,
            "-e", f"ansible_python_interpreter={sys.executable}", "-e", f"@{tmp_path}/vars.json", tmp_path / "play.yml",
        ]  # fmt: skip
        kept = {
            "ANSIBLE_LOCAL_TEMP": "local",
            "ANSIBLE_REMOTE_TEMP": "remote",
            "ANSIBLE_LOG_PATH": "log",
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": "facts",
        }
        env = {**os.environ, **api_server, "ANSIBLE_CACHE_PLUGIN": "ansible.builtin.jsonfile"}
        env |= {name: str(tmp_path / place) for name, place in kept.items()}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=300)
        files = [file for place in kept.values() for file in (tmp_path / place, *(tmp_path / place).rglob("*"))]
        left = "".join(file.read_text(errors="replace") for file in files if file.is_file())
        assert "PLAY RECAP" in left, "the log"
        return done.returncode, done.stdout + done.stderr + left

    return run


def data(cluster, namespace):
    secret = cluster.get(KNOWN["", "Secret"], "cacerts", namespace)
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()} if secret else {}


def lines(key):
    return [line for line in key.splitlines() if "KEY" not in line and len(line) > 20]


def test_a_made_ca_goes_in_once_and_its_root_key_stays_out(role, cluster, namespace, tmp_path):
    code, told = role("install", "--check", ca_root_dir=str(tmp_path / "root"))
    assert (code, data(cluster, namespace)) == (0, {})
    assert not (tmp_path / "root").exists()
    assert "a new root (EC-P256, 3650 days)" in told
    code, told = role("install", ca_root_dir=str(tmp_path / "root"))
    assert code == 0, told
    held = data(cluster, namespace)
    assert set(held) == {"ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem"}
    assert bundle_of(held).problems(now(), 30) == []
    key = tmp_path / "root" / "root-key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    root_key = key.read_text()
    assert [line for line in lines(root_key) if line in json.dumps(held)] == []
    assert [line for line in lines(root_key) + lines(held["ca-key.pem"]) if line in told] == []
    code, told = role("install", ca_root_dir=str(tmp_path / "root"))
    assert code == 0, told
    assert "changed=0" in told
    assert data(cluster, namespace) == held


def test_your_own_ca_as_text_never_shows_its_key(role, cluster, namespace):
    own = generated(CaSpec(), now())
    files = {"ca_cert": own.certificate, "ca_key": own.key, "root_cert": own.roots}
    code, told = role("install", ca_source="files", ca_files=files)
    assert code == 0, told
    assert bundle_of(data(cluster, namespace)).signer == own.signer
    assert [line for line in lines(own.key) if line in told] == []
    code, told = role("install", ca_source="files", ca_files=files)
    assert "changed=0" in told


def test_a_broken_ca_is_refused_by_name_before_anything_is_written(role, cluster, namespace):
    own, other = generated(CaSpec(), now()), generated(CaSpec(intermediate_days=5), now())
    mixed = {"ca_cert": own.certificate, "ca_key": other.key, "root_cert": own.roots}
    foreign = {"ca_cert": other.certificate, "ca_key": other.key, "root_cert": own.roots}
    for files, names in ((mixed, ["key_mismatch"]), (foreign, ["chain_broken", "expires_soon"])):
        code, told = role("install", ca_source="files", ca_files=files)
        assert code != 0
        assert [name for name in names if f"{name}: " not in told] == []
        assert [line for line in lines(other.key) if line in told] == []
    assert data(cluster, namespace) == {}


def test_rotation_without_a_control_plane_names_the_remedy(role):
    code, told = role("rotate")
    assert code != 0
    assert "no istiod runs in the namespace" in told
    assert "use the entry point install" in told


def test_the_roots_key_as_text_is_shown_nowhere(role):
    key = generated(CaSpec(), now()).key
    code, told = role("renew", ca_root_key=key)
    assert code != 0
    assert "no istiod runs in the namespace" in told
    assert [line for line in lines(key) if line in told] == []


def test_an_abort_that_is_false_on_the_command_line_takes_nothing_back(role):
    for entry in ("rotate", "renew"):
        code, told = role(entry, "-e", "ca_rotation_abort=false")
        assert code != 0
        assert "no istiod runs in the namespace" in told
    assert "changed=0" in role("rotate", "-e", "ca_rotation_abort=true")[1]


def test_the_intermediate_is_for_the_trust_domain_that_the_mesh_will_have(role, cluster, namespace):
    code, told = role("install", control_plane_mesh_config={"trustDomain": "mesh.example"})
    assert code == 0, told
    signer = bundle_of(data(cluster, namespace)).signer
    assert (signer.may_sign_for("mesh.example"), signer.may_sign_for("cluster.local")) == (True, False)
    assert "cluster.local alone" not in told


def test_another_ca_than_the_one_in_place_is_for_rotate(role, cluster, namespace):
    first, second = (generated(CaSpec(), now()) for _each in range(2))
    for bundle, code in ((first, 0), (second, 2)):
        files = {"ca_cert": bundle.certificate, "ca_key": bundle.key, "root_cert": bundle.roots}
        got, told = role("install", ca_source="files", ca_files=files)
        assert got == code, told
    assert "use the entry point rotate" in told
    assert c.fingerprints(data(cluster, namespace)["root-cert.pem"]) == c.fingerprints(first.roots)
