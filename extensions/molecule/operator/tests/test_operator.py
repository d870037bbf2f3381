# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the cluster says of the operator and of what it has installed."""

from __future__ import annotations

import json
import os
import pathlib
import time

import pytest
import testinfra


@pytest.fixture(scope="module")
def lab() -> dict:
    home = pathlib.Path(os.environ.get("MESHOPS_LAB_HOME") or "~/.cache/meshops-lab").expanduser()
    return json.loads((home / "clusters/molecule/env.json").read_text())


@pytest.fixture(scope="module")
def kubectl(lab):
    """kubectl's output, asked from this machine."""
    local = testinfra.get_host("local://")
    program = f"env KUBECONFIG={lab['KUBECONFIG']} {lab['PATH'].split(':')[0]}/kubectl"
    return lambda words: local.check_output(f"{program} {words}")


def test_the_object_is_as_asked_for(kubectl):
    obj = json.loads(kubectl("-n istio-system get istiooperator mesh -o json"))
    ready = next(c for c in obj["status"]["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["observedGeneration"]) == ("True", obj["metadata"]["generation"])
    names = ("istio-base", "istiod", "istio-ingressgateway", "istio-egressgateway")
    assert {c["name"]: c["state"] for c in obj["status"]["components"]} == dict.fromkeys(names, "Ready")


def test_istiod_serves(kubectl):
    assert kubectl("get --raw /api/v1/namespaces/istio-system/services/http:istiod:15014/proxy/version")


def test_a_request_through_the_gateway_is_answered(lab):
    out = testinfra.get_host("local://").check_output(
        "curl --silent --retry 20 --retry-all-errors --retry-delay 1 -o /dev/null -w '%{http_code}'"
        f" http://{lab['LAB_INGRESS_HTTP']}/"
    )
    assert out == "200"


def test_drift_is_repaired_within_a_minute(kubectl):
    kubectl("-n istio-system delete service istiod")
    deadline = time.monotonic() + 60
    while "service/istiod" not in kubectl("-n istio-system get services -o name"):
        assert time.monotonic() < deadline, kubectl("-n istio-operator logs deployment/istio-operator --tail=50")
        time.sleep(1)


def test_the_operator_may_not_read_secrets_elsewhere(kubectl):
    account = "system:serviceaccount:istio-operator:istio-operator"
    rules = kubectl(f"auth can-i --list --as {account} -n default")
    assert not [line for line in rules.splitlines() if line.split()[0] in ("secrets", "*.*")], rules
