# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A mesh's CA is installed, renewed, rotated and taken back under load, and no request fails.

The stories build on each other, in the order of this file.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess

import ca_mesh
import pytest
from ansible_collections.meshops.istio.plugins.module_utils.ca.authority import CaSpec, generated
from ansible_collections.meshops.istio.plugins.module_utils.ca.observe import now


@pytest.fixture(scope="module")
def story(own_cluster, tmp_path_factory):
    story = ca_mesh.Mesh(tmp_path_factory.mktemp("ca"))
    story.install()
    yield story
    if "MESHOPS_CLUSTER" in os.environ:  # else the cluster goes with all that is in it
        story.remove()


@pytest.fixture(scope="module")
def load(story):
    with ca_mesh.Load(story) as load:
        yield load
    print(f"\n{load.report()}")
    load.assert_nothing_failed()
    load.assert_enough()


def signers(found: dict) -> set[str]:
    return {leaf["issuer"] for leaf in found["leaves"]}


def test_check_mode_tells_everything_and_changes_nothing(story, load, tmp_path):
    before = ca_mesh.get("secrets", "-n", "istio-system")["items"]
    told = story.role("rotate", "--check", "--diff", ca_root_dir=str(tmp_path / "root"))
    for phase in ("adopt", "trust", "sign", "drop"):
        assert f"+phase {phase}: " in told
    assert "-signer: O=cluster.local" in told
    old = story.status()["roots"][0]["fingerprint"][:12]
    assert re.search(rf"\+phase drop: trust a new root .* alone; .*\({old}\) is gone", told)
    assert ca_mesh.get("secrets", "-n", "istio-system")["items"] == before
    assert not (tmp_path / "root").exists()


def test_from_self_signed_to_plugged_in_with_a_kill_and_a_new_namespace(story, load, tmp_path):
    root = tmp_path / "root"
    story.run_until("trust", "install", ca_root_dir=str(root))
    story.namespace("late", "istio-injection=enabled")
    ca_mesh.kubectl("run", "late", "-n", "late", f"--image={os.environ['LAB_PROBE_IMAGE']}", "--", "echo")
    story.role("install")  # from another machine: the directory of the root isn't there
    ca_mesh.kubectl("wait", "--for=condition=Ready", "pod/late", "-n", "late", "--timeout=180s")
    found = story.status()
    assert found["source"] == "plugged-in"
    assert [r["held_by"] for r in found["roots"]] == [len(found["leaves"])]
    assert signers(found) == {found["intermediates"][0]["subject"]}
    assert "late/late" in found["roots"][0]["proxies"]
    assert {file.name: file.stat().st_mode & 0o777 for file in root.iterdir()} == {
        "root-cert.pem": 0o600,
        "root-key.pem": 0o600,
    }
    assert root.stat().st_mode & 0o777 == 0o700
    left = {secret["metadata"]["name"] for secret in ca_mesh.get("secrets", "-n", "istio-system")["items"]}
    assert not left & {"cacerts-next", "cacerts-previous"}
    in_cluster = json.dumps(ca_mesh.get("secrets", "-A"))
    key = (root / "root-key.pem").read_text()
    assert base64.b64encode(key.encode()).decode() not in in_cluster
    assert "changed=0" in story.role("install")
    load.assert_nothing_failed()


def watched(story, entry, *keys, **variables):
    """Runs an entry point at -vvvv: no key in what it prints, in process list, logs, facts and temporary files."""
    lines, seen = ca_mesh.private_keys(), []
    process = story.start(entry, "-vvvv", "--diff", **variables)
    while process.poll() is None:
        seen.append(subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout)
        seen.append(story.open_to_others())
        lines += ca_mesh.private_keys()
    said = (story.folder / "run.log").read_text()
    assert process.returncode == 0, said
    lines += [line for key in keys for line in key.splitlines() if len(line) > 40]
    assert len(set(lines)) > 10
    seen = said + "".join(seen) + story.open_to_others()
    assert "PLAY RECAP" in story.open_to_others(), "the log"
    assert [line for line in set(lines) if line in seen] == []
    return said


def test_rotation_to_a_ca_that_is_brought_shows_no_key_at_vvvv(story, load, tmp_path):
    root = story.folder / "root"  # the renewal signs with its key
    own = generated(CaSpec(key_type="RSA-4096", root_dir=str(root)), now())
    files = {"ca_cert": own.certificate, "ca_key": own.key, "root_cert": own.roots}
    report = tmp_path / "ca.html"
    said = watched(story, "rotate", own.key, ca_source="files", ca_files=files, ca_report=str(report))
    for phase in ("trust", "sign", "drop"):
        assert f'"phase": "{phase}"' in said
    assert "<svg" in report.read_text()
    assert [line for line in own.key.splitlines() if len(line) > 40 and line in report.read_text()] == []
    held = {(each["namespace"], root["fingerprint"]) for each in story.proxies("app") for root in each["roots"]}
    assert held == {("app", own.root.fingerprint)}
    load.assert_nothing_failed()


def test_renewal_of_the_intermediate_restarts_nothing(story, load):
    before = {pod["metadata"]["uid"] for pod in ca_mesh.get("pods", "-n", "istio-system")["items"]}
    old = story.status()
    key = (story.folder / "root" / "root-key.pem").read_text()
    watched(story, "renew", key, ca_root_key=key)
    new = story.status()
    assert [r["fingerprint"] for r in new["roots"]] == [r["fingerprint"] for r in old["roots"]]
    assert not signers(new) & signers(old)
    assert {pod["metadata"]["uid"] for pod in ca_mesh.get("pods", "-n", "istio-system")["items"]} == before
    load.assert_nothing_failed()


def test_a_rotation_that_somebody_else_left_half_done_ends_in_the_new_root(story, load):
    """Both roots are trusted, the old CA signs, and nothing in the secret is from this collection."""
    theirs = generated(CaSpec(), now())
    old = story.status()
    held = ca_mesh.get("secret", "cacerts", "-n", "istio-system")["data"]["root-cert.pem"]
    both = base64.b64encode(base64.b64decode(held) + theirs.roots.encode()).decode()
    patch = {"metadata": {"annotations": None}, "data": {"root-cert.pem": both}}
    ca_mesh.kubectl("patch", "secret", "cacerts", "-n", "istio-system", "--type=merge", "-p", json.dumps(patch))
    assert ca_mesh.record() == {}
    said = story.role("rotate", "-v")
    assert re.findall(r'"phase": "(\w+)"', said) == ["trust", "sign", "drop"]
    new = story.status()
    (root,) = new["roots"]
    assert root["fingerprint"] not in {theirs.root.fingerprint, *(each["fingerprint"] for each in old["roots"])}
    assert root["held_by"] == len(new["leaves"])
    assert not signers(new) & signers(old)
    load.assert_nothing_failed()


def test_a_killed_rotation_is_taken_back_though_somebody_deleted_its_secret(story, load):
    old = story.status()
    story.run_until("sign", "rotate")
    assert story.status()["under_way"]
    ca_mesh.kubectl("delete", "secret", "cacerts", "-n", "istio-system")
    assert '"phase": "adopt"' in story.role("rotate", "-v", ca_rotation_abort=True)
    new = story.status()
    assert not new["under_way"]
    assert [r["fingerprint"] for r in new["roots"]] == [r["fingerprint"] for r in old["roots"]]
    assert signers(new) == signers(old)
    assert ca_mesh.record()["phase"] == "aborted"
    load.assert_nothing_failed()


def test_a_proxy_that_takes_no_roots_is_found_before_anything_is_changed(story, load):
    deaf = {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "deaf", "namespace": "app",
            "annotations": {"proxy.istio.io/config": '{"proxyMetadata": {"PROXY_CONFIG_XDS_AGENT": "false"}}'},
        },
        "spec": {"containers": [{
            "name": "echo", "image": os.environ["LAB_PROBE_IMAGE"], "imagePullPolicy": "IfNotPresent", "args": ["echo"],
        }]},
    }  # fmt: skip
    ca_mesh.kubectl("apply", "-f", "-", stdin=json.dumps(deaf))
    ca_mesh.kubectl("wait", "--for=condition=Ready", "pod/deaf", "-n", "app", "--timeout=180s")
    before = ca_mesh.get("secret", "cacerts", "-n", "istio-system")
    said = story.role("rotate", fails=True)
    ca_mesh.kubectl("delete", "pod", "deaf", "-n", "app")
    assert "app/deaf" in said
    assert ca_mesh.get("secret", "cacerts", "-n", "istio-system") == before


def test_a_proxy_that_can_not_be_read_holds_the_rotation_up_and_is_named(story, load, tmp_path):
    """A pod whose mounted roots are another's: the gate names it, and the run goes on once it is gone."""
    stuck = {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "stuck", "namespace": "late", "labels": {"sidecar.istio.io/inject": "false"}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [{
            "name": "istio-proxy", "image": os.environ["LAB_PROBE_IMAGE"], "imagePullPolicy": "IfNotPresent",
            "args": ["echo"], "env": [{"name": "PROXY_CONFIG_XDS_AGENT", "value": "true"}],
        }]},
    }  # fmt: skip
    ca_mesh.kubectl("apply", "-f", "-", stdin=json.dumps(stuck))
    ca_mesh.kubectl("wait", "--for=condition=Ready", "pod/stuck", "-n", "late", "--timeout=180s")
    before = ca_mesh.get("secret", "cacerts", "-n", "istio-system")
    said = story.role("rotate", fails=True, ca_timeout=3, ca_root_dir=str(tmp_path / "root"))
    assert "late/stuck" in said
    assert "nothing was changed" in said
    assert ca_mesh.get("secret", "cacerts", "-n", "istio-system")["data"] == before["data"]
    ca_mesh.kubectl("delete", "pod", "stuck", "-n", "late")
    load.assert_nothing_failed()
