# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The hosts that workloads reach outside the mesh, and how: playbooks/examples/egress.yml against external hosts."""

from __future__ import annotations

import base64
import json

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.cluster.workloads import wait_ready
from following import eventually
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


@pytest.fixture(scope="module")
def elsewhere(mesh):
    """A client in a namespace that the policy does not apply to."""
    labels = {"istio-injection": "enabled"}
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "elsewhere", "labels": labels}}
    container = {"name": "client", "image": mesh.env["LAB_PROBE_IMAGE"], "imagePullPolicy": "IfNotPresent"}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "client", "namespace": "elsewhere", "labels": {"app": "client"}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [{**container, "args": ["wait"]}]},
    }
    mesh.cluster.apply(space)
    try:
        mesh.cluster.create(pod)
        wait_ready(mesh.cluster, [pod], 180)
        yield "elsewhere"
    finally:
        mesh.cluster.delete(KNOWN["", "Namespace"], "elsewhere")


def nothing_listed(mesh):
    """Deletes what the role has written."""
    return mesh.play(EXAMPLE, "-e", "state=absent")


def probe(mesh, *words, namespace="demo"):
    return json.loads(mesh.execute(namespace, "app=client", "probe", *words, container="client"))


def get(mesh, url, *words, namespace="demo"):
    return probe(mesh, "get", "-insecure", "-new-connections", "-timeout", "20s", *words, url, namespace=namespace)


def statuses(mesh, url, namespace="demo"):
    return get(mesh, url, namespace=namespace)["statuses"]


def proxy_log(mesh, namespace, labels):
    pod = mesh.pods(namespace, labels)[0]["metadata"]["name"]
    return mesh.cluster.logs(namespace, pod, "istio-proxy", lines=400).splitlines()


def gateway_log(mesh):
    return proxy_log(mesh, "istio-system", "istio=egressgateway")


def owned(mesh):
    kinds = [k for k in KNOWN.values() if k.group == "networking.istio.io"]
    return sorted(f"{k.kind} {o['metadata']['name']}" for k in kinds for o in mesh.cluster.list(k, None, OWNER))


def network_policies(mesh):
    return [o["metadata"]["name"] for o in mesh.cluster.list(KNOWN["networking.k8s.io", "NetworkPolicy"], "demo")]


def test_listed_hosts_are_reached_through_the_gateway_and_others_are_refused(mesh, outside, elsewhere):
    # Before, any host is reached, once no node sends its questions to the CoreDNS of before.
    eventually(lambda: statuses(mesh, "http://unlisted.example.com/"), {"200": 1})

    first = mesh.play(EXAMPLE)
    assert first.count("changed") == 1
    assert mesh.play(EXAMPLE).count("changed") == 0

    # Refused, and by the proxy: the answer is Envoy's, TLS doesn't get that far, and its log has both.
    eventually(lambda: statuses(mesh, "http://unlisted.example.com/refused"), {"502": 1})

    def errors():
        refused = get(mesh, "https://unlisted.example.com/")
        return refused["statuses"], sum(refused["errors"].values())

    eventually(errors, ({}, 1))

    def logged(*words):
        return any(all(word in line for word in words) for line in proxy_log(mesh, "demo", "app=client"))

    eventually(lambda: logged("GET /refused", " 502 ", "unlisted.example.com", "block_all"), True)
    eventually(lambda: logged("BlackHoleCluster"), True)
    # Namespaces that aren't named do as before.
    eventually(lambda: statuses(mesh, "http://unlisted.example.com/", namespace=elsewhere), {"200": 1})

    def leaves(url, cluster, path=None):
        """A host answers, and the gateway's access log says by which way it was reached."""
        eventually(lambda: statuses(mesh, url), {"200": 1})
        eventually(lambda: any(cluster in line and (path or "") in line for line in gateway_log(mesh)), True)

    # HTTP and TLS through the gateway; two ports of one host, of which the header that tells them apart stays inside.
    leaves("http://shop.example.com/plain", "outbound|80||shop.example.com", "/plain")
    leaves("http://shop.example.com:8081/other", "outbound|8081||shop.example.com", "/other")
    leaves("https://shop.example.com/secret", "outbound|443||shop.example.com")
    assert get(mesh, "https://shop.example.com/")["first"]["body"]["tls"] is True
    assert get(mesh, "http://shop.example.com:8081/")["first"]["headers"]["content-type"] == "application/grpc"
    asked = get(mesh, "http://shop.example.com/")["first"]["body"]
    assert asked["host"] == "shop.example.com" and "x-egress-port" not in asked["headers"]

    # The workload speaks HTTP, the gateway makes it TLS and checks the host's certificate.
    leaves("http://api.example.com/originated", "outbound|80||api.example.com", "/originated")
    assert get(mesh, "http://api.example.com/originated")["first"]["body"]["tls"] is True

    # A wildcard's hosts, which the gateway looks up, and plain TCP.
    leaves("https://one.partner.example.com/", "outbound|443||partner-example-com-below.egress.internal")
    leaves("http://two.partner.example.com/wild", "outbound|80||partner-example-com-below.egress.internal", "/wild")
    # A Host header cannot make the gateway connect to another port, at which the wildcard's hosts answer, too.
    for host in ("two.partner.example.com:8081", "two.partner.example.com:443"):
        assert get(mesh, "http://two.partner.example.com/", "-host", host)["statuses"] == {"404": 1}
    named = get(mesh, "http://two.partner.example.com/", "-host", "two.partner.example.com:80")
    assert named["statuses"] == {"200": 1}
    eventually(lambda: probe(mesh, "tcp", "db.example.com:9000")["versions"], {"outside": 1})
    eventually(lambda: any("outbound|9000||db.example.com" in line for line in gateway_log(mesh)), True)

    # The gateway knows who asks: a policy on it refuses one workload one host.
    deny = {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": "no-db-for-clients", "namespace": "istio-system"},
        "spec": {
            "selector": {"matchLabels": {"istio": "egressgateway"}},
            "action": "DENY",
            "rules": [
                {
                    "from": [{"source": {"principals": ["cluster.local/ns/demo/sa/client"]}}],
                    "when": [{"key": "connection.sni", "values": ["port-9000.db.example.com"]}],
                }
            ],
        },
    }
    mesh.cluster.apply(deny)
    try:
        eventually(lambda: probe(mesh, "tcp", "db.example.com:9000")["versions"], {})
        assert statuses(mesh, "http://shop.example.com/") == {"200": 1}
    finally:
        mesh.cluster.delete(KNOWN["security.istio.io", "AuthorizationPolicy"], "no-db-for-clients", "istio-system")


def test_policy_for_the_whole_mesh_without_the_gateway(mesh, outside):
    hosts = ["*.partner.example.com", "db.example.com", "api.example.com"]
    # A sidecar doesn't have the roots of the outside world's CA: here it trusts anybody.
    originated = {"number": 80, "tls": "originate", "tls_settings": {"insecureSkipVerify": True}}
    ports = [[80, 443], [{"number": 9000, "protocol": "TCP"}], [originated]]
    options = {"egress_hosts": [{"host": host, "ports": of} for host, of in zip(hosts, ports, strict=True)]}
    text = ("egress_namespaces=", "egress_network_policy=false", "egress_through_gateway=no")
    mesh.play(EXAMPLE, "-e", json.dumps(options), *(word for one in text for word in ("-e", one)))
    assert "Sidecar default" in owned(mesh) and network_policies(mesh) == []
    # The list of before had this one: from now on the client's proxy goes by the new list.
    eventually(lambda: statuses(mesh, "http://shop.example.com/"), {"502": 1})
    lines = gateway_log(mesh)
    eventually(lambda: statuses(mesh, "https://one.partner.example.com/"), {"200": 1})
    eventually(lambda: probe(mesh, "tcp", "db.example.com:9000")["versions"], {"outside": 1})
    eventually(lambda: statuses(mesh, "http://two.partner.example.com/past"), {"200": 1})
    eventually(lambda: get(mesh, "http://api.example.com/")["first"]["body"]["tls"], True)
    eventually(lambda: any("GET /past" in line for line in proxy_log(mesh, "demo", "app=client")), True)
    assert gateway_log(mesh) == lines


def test_host_removed_from_the_list_is_refused_and_its_objects_are_deleted(mesh, outside):
    mesh.play(EXAMPLE)
    eventually(lambda: statuses(mesh, "http://shop.example.com/"), {"200": 1})
    assert network_policies(mesh) == ["egress-inside-only"]
    mesh.play(EXAMPLE, "-e", '{"egress_hosts": [{"host": "db.example.com", "through_gateway": false}]}')
    assert owned(mesh) == ["ServiceEntry egress-db-example-com", "Sidecar default"]
    eventually(lambda: statuses(mesh, "http://shop.example.com/"), {"502": 1})
    nothing_listed(mesh)
    assert owned(mesh) == [] and network_policies(mesh) == []
    eventually(lambda: statuses(mesh, "http://unlisted.example.com/"), {"200": 1})


def test_sidecar_of_another_owner_does_not_change(mesh, outside):
    spec = {"egress": [{"hosts": ["./*", "istio-system/*"]}]}
    meta = {"name": "default", "namespace": "demo"}
    kind = KNOWN["networking.istio.io", "Sidecar"]
    mesh.cluster.create({"apiVersion": "networking.istio.io/v1", "kind": "Sidecar", "metadata": meta, "spec": spec})
    try:
        run = mesh.play(EXAMPLE, fails=True)
        assert "demo/default exists already and is unmanaged" in run.text
        assert owned(mesh) == [] and mesh.cluster.get(kind, "default", "demo")["spec"] == spec
    finally:
        mesh.cluster.delete(kind, "default", "demo")


def test_unsupported_list_changes_nothing(mesh, outside):
    hosts = [{"host": "*.example.com", "ports": [{"number": 9000, "protocol": "TCP"}]}]
    run = mesh.play(EXAMPLE, "-e", json.dumps({"egress_hosts": hosts}), fails=True)
    assert "plain TCP contains no host name" in run.text
    assert owned(mesh) == []
