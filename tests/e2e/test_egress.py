# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What workloads reach outside the mesh, and by which way: playbooks/examples/egress.yml against a world outside."""

from __future__ import annotations

import base64
import json
import time

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from outside import outside_world

EXAMPLE = "playbooks/examples/egress.yml"
NAMES = ["shop.example.com", "api.example.com", "db.example.com", "unlisted.example.com"]
OWNER = "meshops.istio/owner=egress"


@pytest.fixture(scope="module")
def outside(mesh, tmp_path_factory):
    """The world outside, with the demo's namespace as it was before and after."""
    with outside_world(mesh, NAMES, "partner.example.com", tmp_path_factory.mktemp("outside")) as files:
        roots = base64.b64encode(files["ca"].read_bytes()).decode()
        meta = {"name": "api-example-com", "namespace": "istio-system"}
        mesh.cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": {"ca.crt": roots}})
        try:
            yield files
        finally:
            mesh.cluster.delete(KNOWN["", "Secret"], meta["name"], meta["namespace"])
            nothing_listed(mesh)


def nothing_listed(mesh):
    """What the role wrote goes."""
    return mesh.play(EXAMPLE, "-e", "egress_state=absent")


def probe(mesh, *words):
    return json.loads(mesh.execute("demo", "app=client", "probe", *words, container="client"))


def get(mesh, url, *words):
    return probe(mesh, "get", "-insecure", "-new-connections", "-timeout", "5s", *words, url)


def eventually(look, wanted, timeout=60):
    """Proxies follow a change soon, but not at once."""
    end = time.monotonic() + timeout
    while (seen := look()) != wanted and time.monotonic() < end:
        time.sleep(0.5)
    assert seen == wanted


def statuses(mesh, url):
    return get(mesh, url)["statuses"]


def gateway_log(mesh):
    pod = mesh.pods("istio-system", "istio=egressgateway")[0]["metadata"]["name"]
    return mesh.cluster.logs("istio-system", pod, "istio-proxy", lines=400).splitlines()


def owned(mesh):
    kinds = [k for k in KNOWN.values() if k.group == "networking.istio.io"]
    return sorted(f"{k.kind} {o['metadata']['name']}" for k in kinds for o in mesh.cluster.list(k, None, OWNER))


def test_listed_hosts_are_reached_by_their_way_and_others_are_not(mesh, outside):
    assert statuses(mesh, "http://unlisted.example.com/") == {"200": 1}, "before, any host is reached"

    first = mesh.play(EXAMPLE)
    assert first.count("changed") == 1
    assert mesh.play(EXAMPLE).count("changed") == 0

    # Refused, and by the proxy: the answer is Envoy's, and TLS doesn't get that far.
    eventually(lambda: statuses(mesh, "http://unlisted.example.com/"), {"502": 1})
    refused = get(mesh, "https://unlisted.example.com/")
    assert refused["statuses"] == {} and sum(refused["errors"].values()) == 1, refused

    # HTTP and TLS through the gateway, which says so in its access log.
    eventually(lambda: statuses(mesh, "http://shop.example.com/plain"), {"200": 1})
    eventually(lambda: statuses(mesh, "https://shop.example.com/secret"), {"200": 1})
    assert get(mesh, "https://shop.example.com/")["first"]["body"]["tls"] is True
    eventually(
        lambda: any("/plain" in line and "outbound|80||shop.example.com" in line for line in gateway_log(mesh)), True
    )
    eventually(lambda: any("outbound|443||shop.example.com" in line for line in gateway_log(mesh)), True)

    # The workload speaks HTTP, the gateway makes it TLS and checks the host's certificate.
    eventually(lambda: statuses(mesh, "http://api.example.com/"), {"200": 1})
    assert get(mesh, "http://api.example.com/originated")["first"]["body"]["tls"] is True
    eventually(lambda: any("/originated" in line for line in gateway_log(mesh)), True)

    # Past the gateway: a wildcard by its server name, and plain TCP.
    eventually(lambda: statuses(mesh, "https://one.partner.example.com/"), {"200": 1})
    eventually(lambda: probe(mesh, "tcp", "db.example.com:9000")["versions"], {"outside": 1})
    assert not any("partner.example.com" in line for line in gateway_log(mesh))


def test_a_host_that_is_taken_off_the_list_is_refused_and_its_objects_go(mesh, outside):
    mesh.play(EXAMPLE)
    eventually(lambda: statuses(mesh, "http://shop.example.com/"), {"200": 1})
    mesh.play(EXAMPLE, "-e", '{"egress_hosts": [{"host": "db.example.com", "through_gateway": false}]}')
    assert owned(mesh) == ["ServiceEntry egress-db-example-com", "Sidecar default"]
    eventually(lambda: statuses(mesh, "http://shop.example.com/"), {"502": 1})
    nothing_listed(mesh)
    assert owned(mesh) == []
    eventually(lambda: statuses(mesh, "http://unlisted.example.com/"), {"200": 1})


def test_a_list_that_istio_cannot_follow_changes_nothing(mesh, outside):
    run = mesh.play(EXAMPLE, "-e", '{"egress_hosts": [{"host": "*.example.com"}]}', fails=True)
    assert "a wildcard doesn't say it" in run.text
    assert owned(mesh) == []
