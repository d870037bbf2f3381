# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What kubectl and others have written before is removed and renamed as declared, on a real API server."""

from __future__ import annotations

import copy
import json
import random

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError

KUBECTL = "kubectl-client-side-apply"
PARTNER = {"hosts": ["p.example.com"], "resolution": "DNS"}


def obj(kind, spec, namespace):
    groups = {"DestinationRule": "networking.istio.io/v1", "ServiceEntry": "networking.istio.io/v1"}
    meta = {"name": f"x-{kind.lower()}", "namespace": namespace}
    return {"apiVersion": groups.get(kind, "v1"), "kind": kind, "metadata": meta, "spec": spec}


def live_spec(cluster, wanted):
    meta = wanted["metadata"]
    return cluster.get(cluster.kind(wanted["apiVersion"], wanted["kind"]), meta["name"], meta["namespace"])["spec"]


def test_a_field_that_kubectl_applied_too_is_removed(cluster, reconcile, kubectl, namespace):
    policy = {"outlierDetection": {"consecutive5xxErrors": 5}}
    before = obj("DestinationRule", {"host": "reviews", "trafficPolicy": policy, "exportTo": ["."]}, namespace)
    after = obj("DestinationRule", {"host": "reviews"}, namespace)
    kubectl("apply", "-f", "-", text=json.dumps(before))
    reconcile([before])
    foreseen = reconcile([after], check_mode=True)
    result = reconcile([after])
    assert foreseen["diff"] == result["diff"]
    assert KUBECTL in result["objects"][0]["note"]
    assert live_spec(cluster, after) == after["spec"]
    assert not reconcile([after])["changed"]


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        (
            "ServiceEntry",
            {**PARTNER, "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}]},
            {**PARTNER, "ports": [{"number": 80, "name": "web", "protocol": "HTTP"}]},
        ),
        ("Service", {"ports": [{"port": 80, "name": "http"}]}, {"ports": [{"port": 8080, "name": "http"}]}),
    ],
)
def test_a_key_that_kubectl_keeps_is_renamed(cluster, reconcile, kubectl, namespace, kind, before, after):
    kubectl("apply", "-f", "-", text=json.dumps(obj(kind, before, namespace)))
    with pytest.raises(MeshopsError, match=f"Not declared, but kept: .*{KUBECTL}.*force_conflicts: true"):
        reconcile([obj(kind, after, namespace)])
    reconcile([obj(kind, after, namespace)], force_conflicts_from=[KUBECTL])
    ports = live_spec(cluster, obj(kind, after, namespace))["ports"]
    assert [(port.get("port") or port.get("number"), port["name"]) for port in ports] == [
        (port.get("port") or port.get("number"), port["name"]) for port in after["ports"]
    ]
    assert not reconcile([obj(kind, after, namespace)])["changed"]


@pytest.mark.parametrize("seed", range(12))
def test_random_histories_end_as_declared(cluster, reconcile, kubectl, namespace, seed):
    chance = random.Random(seed)

    def some():
        names = chance.sample("abc", chance.randint(1, 3))
        spec = {
            "hosts": ["x.example.com"],
            "resolution": "DNS",
            "ports": [{"name": name, "number": ord(name), "protocol": "HTTP"} for name in names],
            **({"exportTo": ["."]} if chance.random() < 0.5 else {}),
        }
        made = obj("ServiceEntry", spec, namespace)
        if chance.random() < 0.5:
            made["metadata"]["labels"] = {chance.choice("abc"): "v"}
        return made

    for step in range(5):
        wanted = some()
        if step % 2 == 0:
            kubectl("apply", "-f", "-", "--force-conflicts", "--server-side", text=json.dumps(wanted))
            continue
        reconcile([copy.deepcopy(wanted)], force_conflicts=True)
        spec = live_spec(cluster, wanted)
        assert spec["ports"] == wanted["spec"]["ports"]
        assert not reconcile([copy.deepcopy(wanted)], force_conflicts=True)["changed"]
