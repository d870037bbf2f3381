# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The stories of playbooks/examples, each lived with real traffic and undone again."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time

import pytest
import yaml
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.cluster.workloads import wait_ready
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.traffic import access_log
from following import eventually
from openshift_api import CRD, ROUTE, definition
from outside import certificate

AUTHORIZATION = KNOWN["security.istio.io", "AuthorizationPolicy"]
NOTHING = ("-e", "state=absent")


def example(name):
    return f"playbooks/examples/{name}.yml"


def probe(mesh, *words):
    """A client in the mesh."""
    return json.loads(mesh.execute("demo", "app=client", "probe", *words, container="client"))


@contextlib.contextmanager
def applied(mesh, text):
    """Objects that the story finds there."""
    words = ["kubectl", "apply", "-f", "-"]
    subprocess.run(words, input=text, text=True, env=mesh.env, check=True, capture_output=True)
    try:
        yield
    finally:
        words = ["kubectl", "delete", "--ignore-not-found", "--wait=false", "-f", "-"]
        subprocess.run(words, input=text, text=True, env=mesh.env, check=True, capture_output=True)


def workload(mesh, name, namespace, args, port, port_name, sidecar=True, secret=None, annotations=None):
    """A Deployment of the probe and its Service; with a secret, that is mounted at /certs."""
    labels = {"app": name} if sidecar else {"app": name, "sidecar.istio.io/inject": "false"}
    image = mesh.env["LAB_PROBE_IMAGE"]
    volumes = [{"name": "certs", "secret": {"secretName": secret}}] if secret else []
    mounts = [{"name": "certs", "mountPath": "/certs"}] if secret else []
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {json.dumps(labels)}, annotations: {json.dumps(annotations or {})}}}
    spec:
      containers:
        - name: {name}
          image: {image}
          imagePullPolicy: IfNotPresent
          args: {json.dumps(args)}
          volumeMounts: {json.dumps(mounts)}
      volumes: {json.dumps(volumes)}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  selector: {{app: {name}}}
  ports: [{{name: {port_name}, port: {port}}}]
---
"""


def rolled_out(mesh, namespace, *names):
    for name in names:
        words = ["kubectl", "-n", namespace, "rollout", "status", f"deployment/{name}", "--timeout=180s"]
        subprocess.run(words, env=mesh.env, check=True, capture_output=True)


# -- ingress --------------------------------------------------------------


class Door:
    """An ingress gateway as clients outside the cluster see it."""

    network, pods = "host", ("istio-system", "istio=ingressgateway")

    def __init__(self, mesh, folder):
        self.mesh, self.folder = mesh, folder
        self.http, self.https = mesh.env["LAB_INGRESS_HTTP"], mesh.env["LAB_INGRESS_HTTPS"]

    def command(self, *words):
        return [
            "docker", "run", "--rm", "--network", self.network, "--user", f"{os.getuid()}:{os.getgid()}",
            "-v", f"{self.folder}:/certs:ro", self.mesh.env["LAB_PROBE_IMAGE"], *words,
        ]  # fmt: skip

    def probe(self, mode, *words, address=None):
        command = self.command(mode, "-connect-to", address or self.https, "-timeout", "10s", *words)
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def trusts(self, ca, name="shop.example.com"):
        """Whether a name's certificate is one of this CA's."""
        return (
            self.probe("get", "-cacert", f"/certs/{ca}.pem", "-new-connections", f"https://{name}/")["statuses"] != {}
        )

    def more_requests(self, count):
        """Waits until the gateway has logged so many requests more."""
        namespace, labels = self.pods
        pod = self.mesh.pods(namespace, labels)[0]["metadata"]["name"]

        def logged():
            lines = self.mesh.cluster.logs(namespace, pod, "istio-proxy", lines=None).splitlines()
            return sum("shop.example.com" in line for line in lines)

        before = logged()
        eventually(lambda: logged() >= before + count, True)


class GatewayApiDoor(Door):
    """The gateway that Istio runs for the Gateway API, from the node: its Service is the cluster's own."""

    pods = ("demo", "gateway.networking.k8s.io/gateway-name=public")

    def __init__(self, mesh, folder):
        super().__init__(mesh, folder)
        self.network = f"container:meshops-lab-{mesh.env['LAB_NAME']}-control-plane"

    def find(self):
        address = self.mesh.cluster.get(KNOWN["", "Service"], "public-istio", "demo")["spec"]["clusterIP"]
        self.http, self.https = f"{address}:80", f"{address}:443"


@contextlib.contextmanager
def opened(mesh, door, story):
    """The story of an ingress, told with a first certificate."""
    names = ["shop.example.com", "partner.example.com", "grpc.example.com"]
    first = certificate(door.folder, names, prefix="first-")
    second = certificate(door.folder, names, prefix="second-")
    clients = certificate(door.folder, ["a client"], issuer="clients CA", prefix="client-")

    def play(files, *words):
        options = {"certificate_file": files["cert"], "key_file": files["key"], "client_ca_file": clients["ca"]}
        options = {name: str(path) for name, path in options.items()}
        return mesh.play(example(story), "-e", json.dumps(options), *words)

    door.play, door.first, door.second = play, first, second
    try:
        play(first)
        yield door
    finally:
        mesh.play(example(story), *NOTHING)


@pytest.fixture
def door(mesh, tmp_path):
    """The story of ingress.yml."""
    with opened(mesh, Door(mesh, tmp_path), "ingress") as door:
        eventually(lambda: door.trusts("first-ca"), True)
        yield door


def test_https_takes_anybody_or_only_clients_with_a_certificate_and_http_is_redirected(door):
    only_clients_with_a_certificate(door)
    trust = ("-cacert", "/certs/first-ca.pem")
    assert door.probe("grpc", *trust, "-n", "5", "https://shop.example.com")["statuses"] == {"200": 5}


def only_clients_with_a_certificate(door):
    shop, partner = "https://shop.example.com/x", "https://partner.example.com/x"
    trust = ("-cacert", "/certs/first-ca.pem")

    def redirect():
        return door.probe("get", "http://shop.example.com/x", address=door.http)["first"]

    eventually(lambda: redirect()["status"], 301)
    assert redirect()["headers"]["location"] == shop
    eventually(lambda: door.probe("get", *trust, shop)["statuses"], {"200": 1})
    client = ("-cert", "/certs/client-cert.pem", "-key", "/certs/client-key.pem")
    eventually(lambda: door.probe("get", *trust, *client, partner)["statuses"], {"200": 1})
    # The host is served, and asks for a certificate that the clients' CA has signed.
    other = ("-cert", "/certs/second-cert.pem", "-key", "/certs/second-key.pem")
    for words in ((), other):
        eventually(lambda words=words: why_refused(door, *trust, *words, partner), "certificate")
    assert door.probe("websocket", *trust, "-n", "5", "wss://shop.example.com/websocket")["statuses"] == {"101": 5}


def why_refused(door, *words):
    """A connection that ends before the client has read the alert says only that it has ended."""
    refused = door.probe("get", *words)
    assert refused["statuses"] == {} and refused["errors"], refused
    return "certificate" if all("certificate" in said for said in refused["errors"]) else refused


def test_a_certificate_is_changed_under_load_without_a_failed_request(door):
    another_certificate_under_load(door)


def another_certificate_under_load(door):
    url = "https://shop.example.com/"
    command = door.command("load", "-connect-to", door.https, "-insecure", "-rate", "20", "-timeout", "30s", url)
    load = subprocess.Popen(["docker", "run", "-i", *command[2:]], stdout=subprocess.PIPE, text=True)
    try:
        door.more_requests(40)
        door.play(door.second)
        eventually(lambda: door.trusts("second-ca"), True)
        door.more_requests(40)
    finally:
        load.send_signal(signal.SIGTERM)
        said = load.communicate(timeout=60)[0].splitlines()
    summary = json.loads(said[-1])
    assert summary["requests"] > 80 and summary["failed"] == 0, said[-10:]


@pytest.fixture
def routes_of_openshift(mesh):
    """A definition that stands in for OpenShift's API."""
    routes = definition(ROUTE)
    mesh.cluster.create(routes)
    wait_ready(mesh.cluster, [routes], 60)
    yield
    mesh.cluster.delete(CRD, routes["metadata"]["name"])


def test_on_openshift_routes_show_the_hosts(routes_of_openshift, door):
    shown = ("-e", "openshift=true")
    assert door.play(door.first, *shown).count("changed") == 1
    assert door.play(door.first, *shown).count("changed") == 0
    routes = door.mesh.cluster.list(ROUTE, "istio-system")
    assert sorted(route["spec"]["host"] for route in routes) == ["partner.example.com", "shop.example.com"]
    for route in routes:
        assert route["spec"]["tls"]["termination"] == "passthrough"
        service = door.mesh.cluster.get(KNOWN["", "Service"], route["spec"]["to"]["name"], "istio-system")
        assert route["spec"]["port"]["targetPort"] in [port["name"] for port in service["spec"]["ports"]]
    door.play(door.first, *shown, *NOTHING)
    assert door.mesh.cluster.list(ROUTE, "istio-system") == []


@contextlib.contextmanager
def vault(mesh, folder):
    """A workload that ends TLS itself; gives the files of its certificate."""
    own = certificate(folder, ["vault.example.com"], issuer="vault CA", prefix="vault-")
    server = ["echo", "-version", "vault", "-https", ":8443", "-cert", "/certs/tls.crt", "-key", "/certs/tls.key"]
    data = {
        name: base64.b64encode(own[of].read_bytes()).decode() for name, of in (("tls.crt", "cert"), ("tls.key", "key"))
    }
    meta = {"name": "vault", "namespace": "demo"}
    mesh.cluster.apply(
        {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": meta, "data": data}
    )
    try:
        with applied(mesh, workload(mesh, "vault", "demo", server, 8443, "tls", secret="vault")):
            rolled_out(mesh, "demo", "vault")
            yield own
    finally:
        mesh.cluster.delete(KNOWN["", "Secret"], "vault", "demo")


SEALED = ("get", "-cacert", "/certs/vault-ca.pem", "-new-connections", "https://vault.example.com/sealed")


def reaches_the_vault(door):
    """The certificate is the workload's own, and nobody has read what is in the connection."""
    eventually(lambda: door.probe(*SEALED)["statuses"], {"200": 1})
    said = door.probe(*SEALED)["first"]["body"]
    assert said["version"] == "vault" and said["tls"] is True
    assert "x-forwarded-for" not in said["headers"]


def test_tls_goes_through_to_the_workload_that_ends_it(mesh, tmp_path):
    door = Door(mesh, tmp_path)
    with vault(mesh, tmp_path):
        assert door.probe(*SEALED)["statuses"] == {}
        mesh.play(example("ingress_passthrough"))
        try:
            assert mesh.play(example("ingress_passthrough")).count("changed") == 0
            reaches_the_vault(door)
            assert door.probe("get", "-insecure", "https://other.example.com/")["statuses"] == {}
        finally:
            mesh.play(example("ingress_passthrough"), *NOTHING)
        eventually(lambda: door.probe(*SEALED)["statuses"], {})


@pytest.mark.timeout(600)
def test_the_gateway_api_does_the_same(mesh, tmp_path):
    gateway_api = mesh.env["LAB_CRDS"].split(":")[1]
    words = ["kubectl", "apply", "--server-side", "-f", gateway_api]
    subprocess.run(words, env=mesh.env, check=True, capture_output=True)
    with vault(mesh, tmp_path), opened(mesh, GatewayApiDoor(mesh, tmp_path), "gateway_api") as door:
        assert door.play(door.first).count("changed") == 0
        door.find()
        eventually(lambda: door.trusts("first-ca"), True)
        only_clients_with_a_certificate(door)
        trust = ("-cacert", "/certs/first-ca.pem")

        def way(*words):
            answer = door.probe("get", *trust, *words, "https://shop.example.com/")["first"]
            return answer["status"], answer["body"]["headers"].get("x-way")

        assert way() == (200, None) and way("-header", "x-user: tester") == (200, "test")
        assert door.probe("get", "http://other.example.com/", address=door.http)["statuses"] == {"404": 1}
        eventually(lambda: door.probe("grpc", *trust, "-n", "5", "https://grpc.example.com")["statuses"], {"200": 5})
        reaches_the_vault(door)
        another_certificate_under_load(door)


# -- security -------------------------------------------------------------


def test_who_may_ask_for_what(mesh):
    issuer = ["jwks", "-listen", ":8080", "-issuer", "https://issuer.example.com"]
    with applied(mesh, workload(mesh, "issuer", "demo", issuer, 8080, "http", sidecar=False)):
        rolled_out(mesh, "demo", "issuer")
        # istiod keeps the keys of an address for twenty minutes, and this issuer has new ones.
        keys = ("-e", f"keys=http://issuer.demo.svc.cluster.local:8080/jwks?now={time.time():.0f}")
        mesh.play(example("security"), *keys)
        try:
            assert mesh.play(example("security"), *keys).count("changed") == 0

            def token(query):
                return probe(mesh, "get", f"http://issuer:8080/token?{query}")["first"]["body"]

            def ask(path, token=None, *words):
                bearer = ("-header", f"authorization: Bearer {token}") if token else ()
                return next(iter(probe(mesh, "get", *bearer, *words, f"http://echo{path}")["statuses"]))

            def many(path, *words):
                return probe(mesh, "get", "-n", "60", "-c", "10", *words, f"http://echo{path}")["statuses"]

            # Both versions follow the policies, though only one of ten requests gets to the second.
            eventually(lambda: many("/elsewhere"), {"403": 60})
            staff, guest = token("group=staff"), token("group=guests")
            eventually(lambda: many("/public"), {"200": 60})
            eventually(lambda: many("/private", "-header", f"authorization: Bearer {staff}"), {"200": 60})
            assert ask("/private") == "403"
            assert ask("/private", guest) == "403"
            assert ask("/private", staff[:-6] + "AAAAAA") == "401", "a token with a wrong signature"
            assert ask("/private", token("group=staff&ttl=-10m")) == "401", "a token that is out of date"
            assert ask("/public", None, "-method", "POST") == "403"
            assert ask("/admin") == "403" and ask("/admin", staff) == "403"
            assert ask("/elsewhere") == "403"
        finally:
            mesh.play(example("security"), *NOTHING)
    eventually(lambda: probe(mesh, "get", "-n", "60", "-c", "10", "http://echo/admin")["statuses"], {"200": 60})


def test_a_service_of_ones_own_decides(mesh):
    with applied(mesh, workload(mesh, "authz", "demo", ["authz"], 8080, "http")):
        rolled_out(mesh, "demo", "authz")
        mesh.play(example("security_custom"))
        try:
            assert mesh.play(example("security_custom")).count("changed") == 0

            def ask(path, *words):
                return probe(mesh, "get", "-n", "20", *words, f"http://echo{path}")["statuses"]

            # A connection that was open before keeps to the old rules until Envoy has drained it.
            eventually(lambda: ask("/checked", "-header", "x-probe-allow: no"), {"403": 20})
            eventually(lambda: ask("/checked", "-header", "x-probe-allow: yes"), {"200": 20})
            eventually(lambda: ask("/checked"), {"403": 20})
            assert ask("/elsewhere") == {"200": 20}
            pod = mesh.pods("demo", "app=authz")[0]["metadata"]["name"]
            asked = [json.loads(line) for line in mesh.cluster.logs("demo", pod, "authz", lines=2000).splitlines()]
            assert {one["path"] for one in asked if one["path"] != "/health"} == {"/checked"}
        finally:
            mesh.play(example("security_custom"), *NOTHING)
        eventually(lambda: probe(mesh, "get", "-n", "20", "http://echo/checked")["statuses"], {"200": 20})


@pytest.mark.timeout(600)
def test_policies_are_proposed_from_what_is_seen_and_let_nothing_else_pass(mesh, tmp_path):
    """Traffic, a proposal, a review, deny-all: what was seen passes, and nothing else."""
    url = "http://echo"
    asks = [
        ("load", "-rate", "4", f"{url}/public?who=me"),
        ("load", "-rate", "4", f"{url}/orders/1"),
        ("load", "-rate", "4", f"{url}/orders/2"),
    ]
    talkers = "".join(
        workload(mesh, f"talker-{number}", "demo", list(ask), 8080, "http") for number, ask in enumerate(asks)
    )
    file = tmp_path / "proposal.yml"
    told = {"security_seconds": 12, "security_proposal": str(file)}

    def propose(**more):
        return mesh.play(example("propose_policies"), "-e", json.dumps({**told, **more}))

    def passes(*words):
        return probe(mesh, *words)["statuses"]

    with applied(mesh, talkers):
        rolled_out(mesh, "demo", "talker-0", "talker-1", "talker-2")
        run = propose()
    assert run.count("changed") == 1 and "Nothing is applied" in run.text
    policies = [o["metadata"]["name"] for o in mesh.cluster.list(AUTHORIZATION, "demo")]
    assert policies == [], "nothing was applied"
    assert mesh.cluster.list(KNOWN["networking.istio.io", "EnvoyFilter"], "demo") == [], "they log as before"
    proposed = {policy["metadata"]["name"]: policy["spec"] for policy in yaml.safe_load_all(file.read_text())}
    (rule,) = proposed["echo-proposed"]["rules"]
    assert rule["from"] == [{"source": {"principals": ["cluster.local/ns/demo/sa/default"]}}]
    operation = {"ports": ["8080"], "methods": ["GET"], "paths": ["/orders/{*}", "/public"]}
    assert rule["to"] == [{"operation": operation}]

    # The review: the client has the same needs as those who were seen, and its line is added.
    callers = rule["from"][0]["source"]["principals"]
    text = file.read_text().replace(f"- {callers[0]}\n", f"- {callers[0]}\n        - cluster.local/ns/demo/sa/client\n")
    file.write_text(text)
    assert text.count("sa/client") == 1
    applying = ("-e", f"reviewed={file}")
    mesh.play(example("apply_policies"), *applying)
    try:
        assert mesh.play(example("apply_policies"), *applying).count("changed") == 0
        # Both versions follow, though only one of ten requests gets to the second.
        eventually(lambda: passes("get", "-n", "60", "-c", "10", f"{url}/elsewhere"), {"403": 60})
        eventually(lambda: passes("get", "-n", "60", "-c", "10", f"{url}/public"), {"200": 60})
        assert passes("get", f"{url}/orders/77") == {"200": 1}
        assert passes("get", f"{url}/orders/77/items") == {"403": 1}
        assert passes("get", "-method", "POST", f"{url}/public") == {"403": 1}
        assert passes("tcp", "-timeout", "5s", "echo:9000") == {}

        # What is refused and ought to pass is proposed when it is asked for; what there was stays.
        with applied(mesh, workload(mesh, "talker-0", "demo", ["load", "-rate", "4", f"{url}/new"], 8080, "http")):
            rolled_out(mesh, "demo", "talker-0")
            assert "was refused, and remains so" in propose().text
            propose(security_include_refused=True)
        again = {policy["metadata"]["name"]: policy["spec"] for policy in yaml.safe_load_all(file.read_text())}
        kept, added = again["echo-proposed"]["rules"]
        assert kept["to"] == rule["to"] and added["to"][0]["operation"]["paths"] == ["/new"]
    finally:
        mesh.play(example("apply_policies"), *applying, *NOTHING)
    eventually(lambda: passes("get", "-n", "60", "-c", "10", f"{url}/elsewhere"), {"200": 60})


def test_mtls_becomes_a_must_when_nobody_would_break(mesh):
    spaces = """
apiVersion: v1
kind: Namespace
metadata: {name: legacy, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: unmeshed}
---
"""
    older = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: older, namespace: legacy}
spec: {mtls: {mode: PERMISSIVE}}
---
"""
    of_a_port = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: one-port, namespace: legacy}
spec:
  selector: {matchLabels: {app: elsewhere}}
  portLevelMtls: {"7000": {mode: PERMISSIVE}}
---
"""
    servers = workload(mesh, "server", "legacy", ["echo", "-version", "server"], 8080, "http")
    clients = workload(mesh, "plain", "unmeshed", ["wait"], 8080, "http")
    with applied(mesh, spaces), applied(mesh, servers + clients + of_a_port):
        rolled_out(mesh, "legacy", "server")
        rolled_out(mesh, "unmeshed", "plain")
        url = "http://server.legacy:8080/"

        def plain():
            said = mesh.execute(
                "unmeshed", "app=plain", "probe", "get", "-n", "3", "-timeout", "5s", url, container="plain"
            )
            return json.loads(said)["statuses"]

        eventually(plain, {"200": 3})
        options = ("-e", '{"security_namespaces": ["legacy"], "security_seconds": 15}')

        # Beside an older PeerAuthentication of the namespace, default would count for nothing.
        with applied(mesh, older):
            void = mesh.play(example("strict_mtls"), *options, fails=True)
        assert (
            "PeerAuthentication legacy/older counts for all of the namespace: set its mtls mode to STRICT" in void.text
        )

        # A client without a sidecar keeps asking while the playbook watches, and one has a connection open.
        with (
            applied(mesh, workload(mesh, "asker", "unmeshed", ["load", "-rate", "2", url], 8080, "http")),
            open_connection_while_watched(mesh),
        ):
            rolled_out(mesh, "unmeshed", "asker")
            refused = mesh.play(example("strict_mtls"), *options, fails=True)
        assert "bring their clients into the mesh first" in refused.text
        assert "unmeshed/asker-" in refused.text and "to legacy/server" in refused.text
        assert re.search(r"unmeshed/plain-\S+ \(\S+\) to legacy/server: 1 × a connection on port 9000", refused.text)
        assert plain() == {"200": 3}, "nothing was changed"

        # Only the mesh asks now: what comes by mTLS is not counted.
        eventually(lambda: mesh.cluster.list(KNOWN["", "Pod"], "unmeshed", labels="app=asker"), [])
        eventually(lambda: probe(mesh, "get", "-n", "3", url)["statuses"], {"200": 3})
        checked = mesh.play(example("strict_mtls"), *options, "--check")
        assert "nothing was observed" in checked.text and "Nothing came in plain text" not in checked.text
        assert plain() == {"200": 3}
        strict = mesh.play(example("strict_mtls"), *options)
        assert "PeerAuthentication legacy/one-port accepts plain text: PERMISSIVE on port 7000" in strict.text
        eventually(plain, {})
        assert probe(mesh, "get", "-n", "3", url)["statuses"] == {"200": 3}


@contextlib.contextmanager
def open_connection_while_watched(mesh):
    """A connection in plain text that begins after the proxy of legacy/server logs what comes in, and doesn't end."""
    server = mesh.pods("legacy", "app=server")[0]
    address = f"{server['status']['podIP']}:9000"
    ask = ["kubectl", "-n", "unmeshed", "exec", "deploy/plain", "--", "probe", "tcp", "-hold", "10m", address]
    listeners = ["pilot-agent", "request", "GET", "config_dump?resource=dynamic_listeners"]
    stopped, opened = threading.Event(), []

    def look():
        while not stopped.wait(0.5):
            with contextlib.suppress(MeshopsError):  # it is asked again
                if access_log.NAME in mesh.execute("legacy", "app=server", *listeners, container="istio-proxy"):
                    opened.append(subprocess.Popen(ask, env=mesh.env, stdout=subprocess.DEVNULL))
                    return

    looker = threading.Thread(target=look)
    looker.start()
    try:
        yield
        assert opened and opened[0].poll() is None, "it is open still"
    finally:
        stopped.set()
        looker.join()
        for process in opened:
            process.kill()
            process.wait()


# -- telemetry ------------------------------------------------------------


def test_failures_are_logged_and_requests_traced(mesh):
    space = "apiVersion: v1\nkind: Namespace\nmetadata: {name: observability}\n---\n"
    collector = workload(mesh, "opentelemetry-collector", "observability", ["otlp"], 4317, "grpc-otlp")

    def log(namespace, selector, container):
        pod = mesh.pods(namespace, selector)[0]["metadata"]["name"]
        return mesh.cluster.logs(namespace, pod, container, lines=2000).splitlines()

    with applied(mesh, space), applied(mesh, collector):
        rolled_out(mesh, "observability", "opentelemetry-collector")
        mesh.play(example("telemetry"))
        try:

            def traced():
                probe(mesh, "get", "-header", "x-user: tester", "http://echo/status/503?traced")
                probe(mesh, "get", "http://echo/status/201?quiet")
                spans = map(json.loads, log("observability", "app=opentelemetry-collector", "opentelemetry-collector"))
                found = [s for s in spans if s["attributes"].get("tester") == "tester"]
                traces = {s["trace_id"] for s in found if len([o for o in found if o["trace_id"] == s["trace_id"]]) > 1}
                return bool(traces)

            def logged(word):
                return len([line for line in log("demo", "app=client", "istio-proxy") if word in line])

            eventually(traced, True)
            # What is logged comes in order, and a moment later.
            probe(mesh, "get", "http://echo/status/503?first")
            eventually(lambda: logged("?first") > 0, True)
            before = logged("?quiet")
            assert probe(mesh, "get", "-n", "5", "http://echo/status/201?quiet")["statuses"] == {"201": 5}
            probe(mesh, "get", "http://echo/status/503?last")
            eventually(lambda: logged("?last") > 0, True)
            assert logged("?quiet") == before
        finally:
            mesh.play(example("telemetry"), *NOTHING)


def test_prometheus_finds_what_the_proxies_count(mesh):
    """By the annotations that injection writes; a workload says for itself which of Envoy's counters it wants, too."""
    counted = {"sidecar.istio.io/statsInclusionRegexps": "cluster\\.outbound.*upstream_rq_total"}
    node = f"meshops-lab-{mesh.env['LAB_NAME']}-control-plane"

    def requests_to_echo():
        total = 0
        for pod in mesh.pods("demo", "app"):
            told = {k: v for k, v in (pod["metadata"].get("annotations") or {}).items() if "prometheus.io/" in k}
            assert told["prometheus.io/scrape"] == "true"
            url = f"http://{pod['status']['podIP']}:{told['prometheus.io/port']}{told['prometheus.io/path']}"
            words = ["docker", "exec", node, "curl", "-sf", "-m", "20", url]
            scraped = subprocess.run(words, capture_output=True, text=True, check=True).stdout
            found = re.findall(r"^envoy_cluster_upstream_rq_total\{.*echo\.demo.*\} (\d+)$", scraped, re.MULTILINE)
            total += sum(map(int, found))
        return total

    with applied(mesh, workload(mesh, "counted", "demo", ["wait"], 8080, "http", annotations=counted)):
        rolled_out(mesh, "demo", "counted")
        ask = ("probe", "get", "-n", "7", "http://echo/counted")

        def counted_of_seven():
            before = requests_to_echo()
            assert json.loads(mesh.execute("demo", "app=counted", *ask, container="counted"))["statuses"] == {"200": 7}
            return requests_to_echo() - before

        eventually(counted_of_seven, 7)  # a proxy that asks once more by itself counts that, too
