# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The roles with OpenShift's profiles, on an API server that has stand-ins for OpenShift's API."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN, Kind
from ansible_collections.meshops.istio.plugins.module_utils.cluster.wait import wait_established
from openshift_api import CONSTRAINTS, CRD, DEFINITIONS, NETWORK, OBJECTS, ROUTE

BIN = pathlib.Path(sys.executable).parent
DAEMON_SET = KNOWN["apps", "DaemonSet"]
DEPLOYMENT = KNOWN["apps", "Deployment"]
REVIEW = Kind("authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", False)


@pytest.fixture(scope="module")
def openshift(cluster):
    """The API server with OpenShift's kinds, and the constraints that every OpenShift has."""
    for one in DEFINITIONS:
        cluster.apply(one)
    assert wait_established(cluster, [ROUTE, CONSTRAINTS, NETWORK], 60) == []
    for one in OBJECTS:
        cluster.apply(one)
    yield cluster
    for one in DEFINITIONS:
        cluster.delete(CRD, one["metadata"]["name"])


@pytest.fixture
def play(cluster, api_server, namespace, tmp_path):
    """Runs tasks as a playbook of a mesh in the namespace, and gives what ansible-playbook printed."""
    path = tmp_path / "play.yml"
    definitions = [one["metadata"]["name"] for one in cluster.list(CRD)]

    def run(fails: bool = False, **play) -> str:
        # No node runs anything here, and the CustomResourceDefinitions are the lab's.
        quick = {
            "meshops.istio.control_plane": {"wait": False, "prove": False},
            "meshops.istio.releases": {"wait": False},
        }
        variables = {
            "ansible_python_interpreter": sys.executable,
            "control_plane_charts": api_server["LAB_CHARTS"],
            "control_plane_namespace": namespace,
            "control_plane_values": {"base": {"base": {"excludedCRDs": definitions}}},
        }
        given = {"hosts": "all", "gather_facts": False, "module_defaults": quick, "vars": variables, **play}
        given["vars"] = {**variables, **play.get("vars", {})}
        path.write_text(json.dumps([given]))
        env = {**os.environ, **api_server, "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"), "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run(
            [BIN / "ansible-playbook", "-i", "localhost,", "-c", "local", path],
            capture_output=True, text=True, check=False, env=env, timeout=300,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    yield run
    names = {"istio-base": namespace, "istio-cni": "kube-system", "istiod": namespace, "ztunnel": "kube-system"}
    absent = [{"name": name, "namespace": place, "state": "absent"} for name, place in names.items()]
    run(tasks=[{"meshops.istio.releases": {"releases": absent}}])


def may_use(cluster, workload: dict) -> set[str]:
    """The constraints that the API server lets a workload's service account use."""
    account = workload["spec"]["template"]["spec"]["serviceAccountName"]
    user = f"system:serviceaccount:{workload['metadata']['namespace']}:{account}"

    def allowed(name: str) -> bool:
        what = {"group": CONSTRAINTS.group, "resource": CONSTRAINTS.plural, "name": name, "verb": "use"}
        review = {
            "apiVersion": REVIEW.api_version,
            "kind": REVIEW.kind,
            "metadata": {},
            "spec": {"user": user, "resourceAttributes": what},
        }
        return cluster.create(review)["status"]["allowed"]

    return {one["metadata"]["name"] for one in cluster.list(CONSTRAINTS) if allowed(one["metadata"]["name"])}


def demands(workload: dict) -> set[str]:
    """What the constraints that every pod may use would not grant: a user of its own, capabilities, the host."""
    pod = workload["spec"]["template"]["spec"]
    contexts = [one.get("securityContext") or {} for one in (pod, *pod["containers"], *pod.get("initContainers", ()))]
    found = {field for context in contexts for field in ("runAsUser", "fsGroup", "privileged") if context.get(field)}
    found |= {f"capability {one}" for c in contexts for one in (c.get("capabilities") or {}).get("add") or ()}
    found |= {field for field in ("hostNetwork", "hostPID", "hostIPC") if pod.get(field)}
    return found | {"hostPath" for volume in pod.get("volumes", ()) if "hostPath" in volume}


def test_a_route_that_cannot_be_made_is_told_before_its_gateway_is_installed(cluster, play, namespace):
    """Comes before any story that has the stand-ins."""
    gateway = {"name": "edge", "openshift_route": True}
    text = play(fails=True, roles=["meshops.istio.gateways"], vars={"gateways_list": [gateway]})
    assert f"Route {namespace}/edge: the API server does not serve Route" in text
    assert "leave out openshift_route" in text
    assert cluster.list(DEPLOYMENT, namespace) == []


def test_the_roles_make_a_mesh_for_openshift(openshift, play, namespace):
    """Only what runs on the nodes may use privileged constraints; first without ambient mode, then with it."""
    gateway = {"name": "edge", "openshift_route": {"host": "shop.apps.example.com"}}
    roles = ["meshops.istio.control_plane", "meshops.istio.gateways"]

    def made(profile: str) -> int:
        text = play(roles=roles, vars={"control_plane_profile": profile, "gateways_list": [gateway]})
        return int(re.search(r" changed=(\d+) ", text)[1])

    for profile, on_nodes in (("openshift", {"istio-cni-node"}), ("openshift-ambient", {"istio-cni-node", "ztunnel"})):
        assert made(profile)
        sets = {one["metadata"]["name"]: one for one in openshift.list(DAEMON_SET, "kube-system")}
        assert set(sets) == on_nodes
        for one in sets.values():
            assert may_use(openshift, one) == {"privileged"}
        deployments = openshift.list(DEPLOYMENT, namespace)
        assert {one["metadata"]["name"] for one in deployments} == {"istiod", "edge"}
        for one in deployments:
            assert may_use(openshift, one) == set()
            assert demands(one) == set()
    assert openshift.get(NETWORK, "istio-cni", "default")
    assert openshift.get(ROUTE, "edge", namespace)["spec"]["to"]["name"] == "edge"
    assert made("openshift-ambient") == 0

    gateway["openshift_route"]["tls"] = {"termination": "none"}
    text = play(fails=True, roles=roles[1:], vars={"gateways_list": [gateway]})
    assert f"Route {namespace}/edge is refused" in text
    assert "spec.tls.termination" in text
    assert openshift.get(ROUTE, "edge", namespace)["spec"].get("tls") is None
    del gateway["openshift_route"]
    assert made("openshift-ambient")
    assert openshift.get(ROUTE, "edge", namespace) is None
