# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The platform OpenShift, against definitions of our own that stand in for its API."""

from __future__ import annotations

import json

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.cluster.workloads import wait_ready
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.readiness import unready
from openshift_api import CRD, DEFINITIONS, ROUTE


@pytest.fixture(scope="module")
def openshift(mesh):
    for one in DEFINITIONS:
        mesh.cluster.apply(one)
    wait_ready(mesh.cluster, DEFINITIONS, unready, 60)
    yield mesh
    mesh.cluster.delete(KNOWN["", "Namespace"], "edge")
    for one in DEFINITIONS:
        mesh.cluster.delete(CRD, one["metadata"]["name"])


def test_a_gateway_gets_its_route(openshift, tmp_path):
    route = {"host": "shop.apps.example.com", "port": "https", "tls": {"termination": "passthrough"}}
    values = {"imagePullPolicy": "IfNotPresent", "autoscaling": {"enabled": False}}
    gateway = {"name": "edge", "namespace": "edge", "openshift_route": route, "values": values}
    path = tmp_path / "play.yml"
    path.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "roles": ["meshops.istio.gateways"]}]))
    options = ["-e", json.dumps({"gateways_list": [gateway], "gateways_platform": "openshift"})]

    assert openshift.play(str(path), *options).count("changed") == 2
    assert openshift.cluster.get(ROUTE, "edge", "edge")["spec"] == {
        "host": "shop.apps.example.com",
        "port": {"targetPort": "https"},
        "tls": {"termination": "passthrough"},
        "to": {"kind": "Service", "name": "edge", "weight": 100},
    }
    assert openshift.cluster.get(KNOWN["", "Service"], "edge", "edge")["spec"]["type"] == "ClusterIP"
    assert openshift.play(str(path), *options).count("changed") == 0
