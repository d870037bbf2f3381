# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What mesh_info says of a running mesh, and what a user is told when istiod's own validation refuses an object."""

from __future__ import annotations

import types

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.mesh.certificates import certificates
from ansible_collections.meshops.istio.plugins.module_utils.mesh_info.read import SECTIONS, read_mesh
from ansible_collections.meshops.istio.plugins.module_utils.objects.reconcile import reconcile_objects
from following import eventually


@pytest.fixture
def info(mesh):
    def going():
        objects = mesh.cluster.list(KNOWN["", "Namespace"]) + mesh.cluster.list(KNOWN["", "Pod"])
        return [one["metadata"]["name"] for one in objects if "deletionTimestamp" in one["metadata"]]

    eventually(going, [], 300)  # what the stories before have left behind
    return read_mesh(mesh.cluster, SECTIONS)


def test_the_control_plane_has_the_version_that_was_installed(mesh, info):
    assert [(c["namespace"], c["version"], c["ready"]) for c in info["control_planes"]] == [
        ("istio-system", mesh.env["LAB_TAG"], info["control_planes"][0]["replicas"])
    ]


def test_every_proxy_is_found(mesh, info):
    pods = [
        (pod["metadata"]["namespace"], pod["metadata"]["name"])
        for pod in mesh.cluster.list(KNOWN["", "Pod"])
        if any(
            container["name"] == "istio-proxy"
            for container in pod["spec"]["containers"] + pod["spec"].get("initContainers", [])
        )
    ]
    assert {(proxy["namespace"], proxy["pod"]) for proxy in info["proxies"]} == set(pods)
    assert len(pods) > 1
    assert info["proxy_versions"] == {mesh.env["LAB_TAG"]: len(pods)}
    assert not any(proxy["outdated"] for proxy in info["proxies"])


def test_the_ingress_gateway_has_a_service(info):
    ingress = [gateway for gateway in info["gateways"] if "ingress" in gateway["name"]]
    assert [gateway["ready"] for gateway in ingress] == [gateway["pods"] for gateway in ingress]
    assert any(port["port"] == 80 for gateway in ingress for s in gateway["services"] for port in s["ports"])


def test_the_trusted_roots_are_those_that_istiod_gives_out(mesh, info):
    given = mesh.cluster.get(KNOWN["", "ConfigMap"], "istio-ca-root-cert", "default")["data"]["root-cert.pem"]
    assert {root["fingerprint"] for root in info["ca"]["roots"]} == {c.fingerprint for c in certificates(given)}
    assert info["ca"]["complete"]
    assert all(root["days_left"] > 0 for root in info["ca"]["roots"])


def test_injected_namespaces_are_found(mesh, info):
    labelled = {
        namespace["metadata"]["name"]
        for namespace in mesh.cluster.list(KNOWN["", "Namespace"], labels="istio-injection=enabled")
    } | {
        namespace["metadata"]["name"] for namespace in mesh.cluster.list(KNOWN["", "Namespace"], labels="istio.io/rev")
    }
    assert labelled
    assert {n["name"] for n in info["namespaces"] if n["mode"] == "sidecar"} == labelled


NETWORKING = "networking.istio.io/v1"
SECURITY = "security.istio.io/v1"


@pytest.mark.parametrize(
    ("api_version", "kind", "spec", "message"),
    [
        (
            NETWORKING,
            "VirtualService",
            {"hosts": ["a"], "http": [{"route": [{"destination": {"host": "b"}, "weight": -1}]}]},
            "istiod refuses it: weight -1 < 0 (see spec.http[0].route[0].weight)",
        ),
        (
            NETWORKING,
            "Gateway",
            {"servers": [{"port": {"number": 80, "name": "x", "protocol": "FOO"}, "hosts": ["*"]}]},
            "(see spec.servers[0].port.protocol)",
        ),
        (
            SECURITY,
            "RequestAuthentication",
            {"jwtRules": [{"issuer": "a", "jwks": "nonsense"}]},
            "(see spec.jwtRules[0].jwks)",
        ),
        (
            SECURITY,
            "AuthorizationPolicy",
            {"rules": [{"when": [{"key": "nonsense", "values": ["a"]}]}]},
            "(see spec.rules[0].when[0].key)",
        ),
        (NETWORKING, "DestinationRule", {"host": "a", "subsets": [{"name": ""}]}, "(see spec.subsets[0].name)"),
    ],
)
@pytest.mark.parametrize("check_mode", [True, False])
def test_what_only_istiod_can_tell_is_told_in_check_mode_too(mesh, api_version, kind, spec, message, check_mode):
    declared = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "wrong", "namespace": "default"}}
    module = types.SimpleNamespace(check_mode=check_mode, _diff=False)
    with pytest.raises(MeshopsError) as refusal:
        reconcile_objects(module, mesh.cluster, [{**declared, "spec": spec}])
    assert str(refusal.value).startswith(f"{kind} default/wrong: istiod refuses it: ")
    assert message in str(refusal.value)
    assert mesh.cluster.get(mesh.cluster.kind(api_version, kind), "wrong", "default") is None
