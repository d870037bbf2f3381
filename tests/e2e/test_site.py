# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What site.yml leaves behind: a mesh that serves, and that a second run finds as it should be."""

from __future__ import annotations

import collections
import copy
import json
import math
import re
import time

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.mesh.schema import schema_for

REQUESTS = 500
#: How far a share may be off: five standard deviations, which chance exceeds once in a million runs.
SIGMAS = 5


def share_is(count: int, share: float, requests: int) -> bool:
    return abs(count - share * requests) <= SIGMAS * math.sqrt(requests * share * (1 - share))


def ask(mesh, url: str, requests: int) -> dict:
    """What the probe's client saw."""
    command = ["probe", "get", "-n", str(requests), "-c", "4", url]
    return json.loads(mesh.execute("demo", "app=client", *command, container="client"))


def with_helm(mesh, tmp_path, binary: str):
    """The same mesh, worked on with another helm."""
    (tmp_path / "helm").symlink_to(mesh.env[binary])
    other = copy.copy(mesh)
    other.env = {**mesh.env, "PATH": f"{tmp_path}:{mesh.env['PATH']}"}
    return other


def test_the_ingress_gateway_answers_from_outside_of_the_cluster(mesh):
    status, body = mesh.ingress("/")
    assert status == 200
    answer = json.loads(body)
    assert "URI=spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway" in answer["client_certificate"]


def test_client_and_server_know_each_other_by_mutual_tls(mesh):
    answer = ask(mesh, "http://echo/", 1)["first"]["body"]
    assert "By=spiffe://cluster.local/ns/demo/sa/echo;" in answer["client_certificate"]
    assert "URI=spiffe://cluster.local/ns/demo/sa/client" in answer["client_certificate"]


def test_plain_text_is_refused(mesh):
    """The same request from a pod without a sidecar: PeerAuthentication STRICT."""
    address = mesh.pods("demo", "app=echo,version=v1")[0]["status"]["podIP"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "plain-", "namespace": "default"},
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "client",
                    "image": mesh.env["LAB_PROBE_IMAGE"],
                    "args": ["get", "-n", "1", f"http://{address}:8080/"],
                }
            ],
        },
    }
    name = mesh.cluster.create(pod)["metadata"]["name"]
    try:
        seen = finished(mesh, name)
    finally:
        mesh.cluster.delete(KNOWN["", "Pod"], name, "default")
    assert seen["statuses"] == {}
    assert seen["errors"]


def finished(mesh, name: str) -> dict:
    """What a probe in a pod of its own has printed, once it has ended."""
    end = time.monotonic() + 120
    while mesh.cluster.get(KNOWN["", "Pod"], name, "default")["status"]["phase"] not in ("Succeeded", "Failed"):
        assert time.monotonic() < end
        time.sleep(0.5)
    return json.loads(mesh.cluster.logs("default", name))


def test_weights_hold_inside_of_the_mesh(mesh):
    seen = ask(mesh, "http://echo/", REQUESTS)
    assert seen["statuses"] == {"200": REQUESTS}
    assert share_is(seen["versions"]["v2"], 0.1, REQUESTS)


def test_weights_hold_through_the_ingress_gateway(mesh):
    versions = collections.Counter()
    for _number in range(REQUESTS):
        status, body = mesh.ingress("/")
        assert status == 200
        versions[json.loads(body)["version"]] += 1
    assert share_is(versions["v2"], 0.1, REQUESTS)


@pytest.mark.parametrize("binary", ["LAB_HELM4", "LAB_HELM3"])
def test_another_run_changes_nothing(mesh, tmp_path, binary):
    run = with_helm(mesh, tmp_path, binary).play("site")
    assert run.count("changed") == 0
    assert len(re.findall(r"^TASK \[", run.text, re.MULTILINE)) <= 12


def test_check_mode_after_it_says_the_same(mesh):
    assert mesh.play("site", "--check", "--diff").count("changed") == 0


def test_the_collection_s_own_name_of_the_playbook_does_the_same(mesh):
    assert mesh.play("meshops.istio.site").count("changed") == 0


def zero_enums(kind: str = "MeshConfig", seen: tuple[str, ...] = ()) -> dict:
    """A mesh configuration in which every enum that needs no other field has its zero, which istiod does not print."""
    schema, found = schema_for("1.31.0"), {}
    for field, below in schema.types[kind].items():
        if below in schema.enums:
            found[field] = schema.enums[below][0]
        elif below in schema.types and below not in seen and field not in ("ca", "tls", "tlsSettings"):
            inner = zero_enums(below, (*seen, below))
            found |= {field: inner} if inner else {}
    return found


def test_a_second_run_changes_nothing_where_enums_are_zero(mesh):
    zeros = zero_enums()
    assert zeros["outboundTrafficPolicy"] == {"mode": "REGISTRY_ONLY"}
    assert zeros["accessLogEncoding"] == "TEXT"
    variables = json.dumps({"control_plane_mesh_config": {"accessLogFile": "/dev/stdout", **zeros}})
    try:
        assert mesh.play("site", "-e", variables).count("changed") > 0
        again = mesh.play("site", "-e", variables)
        assert again.count("changed") == 0
        assert "not proven" not in again.text
    finally:
        mesh.play("site")
