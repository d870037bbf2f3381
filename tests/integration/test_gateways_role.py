# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role gateways on an API server without nodes: gateways come and go with the inventory."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN

BIN = pathlib.Path(sys.executable).parent
DEPLOYMENT, GATEWAY = KNOWN["apps", "Deployment"], KNOWN["networking.istio.io", "Gateway"]
SECRET = KNOWN["", "Secret"]
INJECTORS = KNOWN["admissionregistration.k8s.io", "MutatingWebhookConfiguration"]


@pytest.fixture
def injector(cluster, namespace):
    """The injector of a revision, which injects nowhere."""
    meta = {"name": f"injector-{namespace}", "labels": {"istio.io/rev": namespace}}
    cluster.create({"apiVersion": INJECTORS.api_version, "kind": INJECTORS.kind, "metadata": meta, "webhooks": []})
    yield namespace
    cluster.delete(INJECTORS, meta["name"])


@pytest.fixture
def play(api_server, namespace, injector, tmp_path):
    """Runs the role with variables, and gives what ansible-playbook printed."""
    path = tmp_path / "play.yml"

    def run(*words: str, fails: bool = False, changed: bool | None = None, **variables) -> str:
        fixed = {
            "ansible_python_interpreter": sys.executable,
            "gateways_charts": api_server["LAB_CHARTS"],
            "gateways_namespace": namespace,
            "gateways_revision": injector,
            "gateways_owner": f"{namespace}.gateways",
        }
        quick = {"meshops.istio.releases": {"wait": fails}}  # no node runs anything here
        given = {"hosts": "all", "gather_facts": False, "module_defaults": quick, "vars": {**fixed, **variables}}
        path.write_text(json.dumps([{**given, "roles": ["meshops.istio.gateways"]}]))
        env = {**os.environ, **api_server, "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"), "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run(
            [BIN / "ansible-playbook", "-i", "localhost,", "-c", "local", path, *words],
            capture_output=True, text=True, check=False, env=env, timeout=300,
        )  # fmt: skip
        text = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, text
        if changed is not None:
            assert (re.search(r"changed=(\d+)", text)[1] != "0") == changed, text
        return " ".join(text.split())

    return run


def installed(cluster, namespace: str) -> list[str]:
    return sorted(obj["metadata"]["name"] for obj in cluster.list(DEPLOYMENT, namespace))


def test_gateways_are_those_of_the_list(cluster, play, namespace):
    edge, inner = {"name": "edge"}, {"name": "inner", "direction": "egress"}
    play(gateways_list=[edge, inner], changed=True)
    assert installed(cluster, namespace) == ["edge", "inner"]
    play(gateways_list=[edge, inner], changed=False)

    cluster.apply(
        {
            "apiVersion": GATEWAY.api_version,
            "kind": GATEWAY.kind,
            "metadata": {"name": "public", "namespace": namespace},
            "spec": {
                "selector": {"istio": "edge"},
                "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}],
            },
        },
        manager="test",
    )
    for words in (["--check"], []):
        text = play(*words, gateways_list=[inner], fails=True)
        assert f"Refusing to uninstall release {namespace}/edge, which is no longer declared: it is in use by" in text
        assert f"Gateway {namespace}/public" in text
    text = play(gateways_list=[inner], gateways_prune=False, changed=False)
    assert f"Release {namespace}/edge is no longer declared, and is retained" in text

    cluster.delete(GATEWAY, "public", namespace)
    text = play("--check", "--diff", gateways_list=[inner], changed=True)
    assert "-kind: Deployment" in text
    assert installed(cluster, namespace) == ["edge", "inner"]
    play(gateways_list=[inner], changed=True)
    assert installed(cluster, namespace) == ["inner"]
    assert cluster.list(SECRET, namespace, labels="owner=helm,name=edge") == []
    play(gateways_list=[inner], changed=False)


def test_a_list_that_is_not_defined_uninstalls_nothing(cluster, play, namespace):
    play(gateways_list=[{"name": "edge"}])
    assert f"Release {namespace}/edge is no longer declared, and is retained" in play(changed=False)
    assert installed(cluster, namespace) == ["edge"]
    play(gateways_list=[], changed=True)
    assert installed(cluster, namespace) == []


def test_an_absent_gateway_is_uninstalled(cluster, play, namespace):
    play(gateways_list=[{"name": "edge"}], gateways_owner="another")
    play(gateways_list=[{"name": "edge", "state": "absent"}], changed=True)
    assert installed(cluster, namespace) == []
    play(gateways_list=[{"name": "edge", "state": "absent"}], changed=False)


def test_gateways_of_another_inventory_are_left_alone(cluster, play, namespace):
    play(gateways_list=[{"name": "edge"}], gateways_owner="another")
    play(gateways_list=[{"name": "inner"}])
    assert installed(cluster, namespace) == ["edge", "inner"]
    assert "belongs to inventory 'another', not to" in play(gateways_list=[{"name": "edge"}], fails=True)


def test_a_revision_that_does_not_exist_is_refused_before_anything_is_installed(cluster, play, namespace):
    given = {"gateways_list": [{"name": "edge"}], "gateways_revision": "nosuch"}
    assert "none serves revision or tag nosuch (NotFound)" in play("--check", changed=True, **given)
    assert "none serves revision or tag nosuch (NotFound)" in play(fails=True, **given)
    assert installed(cluster, namespace) == []
