# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The platform OpenShift, against definitions of our own that stand in for its API."""

from __future__ import annotations

import json

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN, Kind
from ansible_collections.meshops.istio.plugins.module_utils.cluster.workloads import wait_ready
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.readiness import unready

ROUTE = Kind("route.openshift.io", "v1", "Route", "routes", True)
NETWORK = Kind("k8s.cni.cncf.io", "v1", "NetworkAttachmentDefinition", "network-attachment-definitions", True)
CRD = KNOWN["apiextensions.k8s.io", "CustomResourceDefinition"]


def definition(group: str, kind: str, plural: str, scope: str = "Namespaced") -> dict:
    """A definition that takes anything."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": scope,
            "names": {"kind": kind, "plural": plural},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


#: OpenShift's Routes and SecurityContextConstraints, and the networks of Multus.
DEFINITIONS = [
    definition("route.openshift.io", "Route", "routes"),
    definition("security.openshift.io", "SecurityContextConstraints", "securitycontextconstraints", "Cluster"),
    definition("k8s.cni.cncf.io", "NetworkAttachmentDefinition", "network-attachment-definitions"),
]


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
    options = ["-e", json.dumps({"gateways_list": [gateway]})]

    assert openshift.play(str(path), *options).count("changed") == 2
    assert openshift.cluster.get(ROUTE, "edge", "edge")["spec"] == {
        "host": "shop.apps.example.com",
        "port": {"targetPort": "https"},
        "tls": {"termination": "passthrough"},
        "to": {"kind": "Service", "name": "edge", "weight": 100},
    }
    assert openshift.cluster.get(KNOWN["", "Service"], "edge", "edge")["spec"]["type"] == "ClusterIP"
    assert openshift.play(str(path), *options).count("changed") == 0


def may(mesh, account: str, name: str) -> bool:
    """Whether a service account may use the SecurityContextConstraints of that name."""
    attributes = {"group": "security.openshift.io", "resource": "securitycontextconstraints"}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"system:serviceaccount:{account}",
            "resourceAttributes": {**attributes, "verb": "use", "name": name},
        },
    }
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    return mesh.cluster.request("POST", path, body=review)["status"]["allowed"]


def test_the_profile_runs_and_may_use_the_scc_that_it_needs(openshift, tmp_path):
    """Beside the mesh that is there, by a revision: pods ask Multus for Istio's network, and the CNI plugin runs."""
    constraints = {
        "apiVersion": "security.openshift.io/v1",
        "kind": "SecurityContextConstraints",
        "metadata": {"name": "privileged"},
        "allowPrivilegedContainer": True,
    }
    openshift.cluster.create(constraints)
    play, away = tmp_path / "play.yml", tmp_path / "away.yml"
    play.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "roles": ["meshops.istio.control_plane"]}]))
    gone = [{"name": "istiod-openshift", "namespace": "istio-system", "state": "absent"}]
    gone.append({"name": "istio-cni", "namespace": "kube-system", "state": "absent"})
    tasks = [{"meshops.istio.releases": {"releases": gone}}]
    away.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    options = ["-e", json.dumps({"control_plane_profile": "openshift", "control_plane_revision": "openshift"})]
    try:
        assert openshift.play(str(play), *options).count("changed") == 1
        assert may(openshift, "kube-system:istio-cni", "privileged")
        assert not may(openshift, "istio-system:istiod-openshift", "privileged")
        (network,) = openshift.cluster.list(NETWORK, "default")
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p", "namespace": "default", "labels": {"istio.io/rev": "openshift"}},
            "spec": {"containers": [{"name": "app", "image": "app"}]},
        }
        made = openshift.cluster.create(pod, dry_run=True)
        assert (
            made["metadata"]["annotations"]["k8s.v1.cni.cncf.io/networks"] == f"default/{network['metadata']['name']}"
        )
        capabilities = [c.get("securityContext", {}).get("capabilities", {}) for c in made["spec"]["initContainers"]]
        assert not [one for one in capabilities if one.get("add")]
        assert openshift.play(str(play), *options).count("changed") == 0
    finally:
        openshift.play(str(away))
        openshift.play("site")
