# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The profile openshift on kind, with definitions of our own for OpenShift's API: its pods run, and pods are injected.

No Multus runs here, so that no pod is let start in that mesh: what istiod would make of one is asked in a dry run.
"""

from __future__ import annotations

import json

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.cluster.wait import wait_established
from openshift_api import CONSTRAINTS, DEFINITIONS, NETWORK, OBJECTS, ROUTE

SERVICE = KNOWN["", "Service"]
PROJECT = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {
        "name": "project",
        "labels": {"istio-injection": "enabled"},
        # As OpenShift writes them into every project.
        "annotations": {
            "openshift.io/sa.scc.uid-range": "1000620000/10000",
            "openshift.io/sa.scc.supplemental-groups": "1000620000/10000",
        },
    },
}
OF_THE_PROJECT = range(1000620000, 1000630000)
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "shop", "namespace": "project"},
    "spec": {"containers": [{"name": "shop", "image": "localhost/shop:1"}]},
}


@pytest.fixture
def openshift(own_mesh):
    for one in DEFINITIONS:
        own_mesh.cluster.apply(one)
    assert wait_established(own_mesh.cluster, [ROUTE, CONSTRAINTS, NETWORK], 60) == []
    for one in (*OBJECTS, PROJECT):
        own_mesh.cluster.apply(one)
    return own_mesh


def test_the_profile_runs_and_injects(openshift, tmp_path):
    path = tmp_path / "play.yml"
    roles = ["meshops.istio.control_plane", "meshops.istio.gateways"]
    path.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "roles": roles}]))
    values = {"imagePullPolicy": "IfNotPresent", "autoscaling": {"enabled": False}}
    route = {"host": "shop.apps.example.com", "port": "https", "tls": {"termination": "passthrough"}}
    gateway = {"name": "edge", "namespace": "project", "openshift_route": route, "values": values}
    given = ["-e", json.dumps({"control_plane_profile": "openshift", "gateways_list": [gateway]})]
    assert openshift.play(str(path), *given).count("changed") == 2

    assert len(openshift.pods("kube-system", "k8s-app=istio-cni-node")) == 1
    assert openshift.cluster.get(NETWORK, "istio-cni", "default")
    assert openshift.cluster.get(ROUTE, "edge", "project")["spec"] == {
        "host": "shop.apps.example.com",
        "port": {"targetPort": "https"},
        "tls": {"termination": "passthrough"},
        "to": {"kind": "Service", "name": "edge", "weight": 100},
    }
    assert openshift.cluster.get(SERVICE, "edge", "project")["spec"]["type"] == "ClusterIP"
    (edge,) = openshift.pods("project", "istio=edge")
    (container,) = edge["spec"]["containers"]
    assert container["securityContext"]["runAsUser"] in OF_THE_PROJECT

    pod = openshift.cluster.create(POD, dry_run=True)
    assert pod["metadata"]["annotations"]["k8s.v1.cni.cncf.io/networks"] == "default/istio-cni"
    containers = {one["name"]: one for one in (*pod["spec"]["initContainers"], *pod["spec"]["containers"])}
    assert containers["istio-proxy"]["securityContext"]["runAsUser"] in OF_THE_PROJECT
    assert not [
        c for one in containers.values() for c in one.get("securityContext", {}).get("capabilities", {}).get("add", ())
    ]
    assert openshift.play(str(path), *given).count("changed") == 0
