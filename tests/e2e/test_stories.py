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
import socket
import ssl
import subprocess
import threading
import time

import pytest
import yaml
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.cluster.workloads import wait_ready
from ansible_collections.meshops.istio.plugins.module_utils.istio import observed_traffic
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.readiness import unready
from openshift_api import CRD, ROUTE, definition
from outside import certificate

AUTHORIZATION = KNOWN["security.istio.io", "AuthorizationPolicy"]
NOTHING = ("-e", "state=absent")


def example(name):
    return f"playbooks/examples/{name}.yml"


def probe(mesh, *words):
    """A client in the mesh."""
    return json.loads(mesh.execute("demo", "app=client", "probe", *words, container="client"))


def eventually(look, wanted, timeout=90):
    """Proxies follow a change soon, but not at once."""
    end = time.monotonic() + timeout
    while (seen := look()) != wanted and time.monotonic() < end:
        time.sleep(0.5)
    assert seen == wanted


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


def workload(mesh, name, namespace, args, port, port_name, sidecar=True, secret=None):
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
    metadata: {{labels: {json.dumps(labels)}}}
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
    """The ingress gateway as clients outside the cluster see it."""

    def __init__(self, mesh, folder):
        self.mesh, self.folder = mesh, folder

    def command(self, *words):
        return [
            "docker", "run", "--rm", "--network", "host", "--user", f"{os.getuid()}:{os.getgid()}",
            "-v", f"{self.folder}:/certs:ro", self.mesh.env["LAB_PROBE_IMAGE"], *words,
        ]  # fmt: skip

    def probe(self, mode, *words, port="LAB_INGRESS_HTTPS"):
        command = self.command(mode, "-connect-to", self.mesh.env[port], "-timeout", "10s", *words)
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def serial(self, name):
        """The serial number of the certificate that is shown for a name, None where no connection comes about."""
        host, port = self.mesh.env["LAB_INGRESS_HTTPS"].split(":")
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with (
                socket.create_connection((host, int(port)), 10) as plain,
                context.wrap_socket(plain, server_hostname=name) as tls,
            ):
                return ssl.DER_cert_to_PEM_cert(tls.getpeercert(True)).strip()
        except OSError:
            return None

    def more_requests(self, count):
        """Waits until the gateway has logged so many requests more."""
        pod = self.mesh.pods("istio-system", "istio=ingressgateway")[0]["metadata"]["name"]

        def logged():
            lines = self.mesh.cluster.logs("istio-system", pod, "istio-proxy", lines=None).splitlines()
            return sum("shop.example.com" in line for line in lines)

        before = logged()
        eventually(lambda: logged() >= before + count, True)


@pytest.fixture
def door(mesh, tmp_path):
    """The story of ingress.yml, told with a first certificate."""
    names = ["shop.example.com", "partner.example.com"]
    first = certificate(tmp_path, names, prefix="first-")
    second = certificate(tmp_path, names, prefix="second-")
    clients = certificate(tmp_path, ["a client"], issuer="clients CA", prefix="client-")

    def play(files, *words):
        options = {"certificate_file": files["cert"], "key_file": files["key"], "client_ca_file": clients["ca"]}
        options = {name: str(path) for name, path in options.items()}
        return mesh.play(example("ingress"), "-e", json.dumps(options), *words)

    door = Door(mesh, tmp_path)
    door.play, door.first, door.second = play, first, second
    play(first)
    eventually(lambda: door.serial("shop.example.com"), first["cert"].read_text().strip())
    yield door
    play(first, *NOTHING)


def test_https_takes_anybody_or_only_clients_with_a_certificate_and_http_is_redirected(door):
    shop, partner = "https://shop.example.com/x", "https://partner.example.com/x"
    trust = ("-cacert", "/certs/first-ca.pem")
    redirect = door.probe("get", "http://shop.example.com/x", port="LAB_INGRESS_HTTP")
    assert redirect["statuses"] == {"301": 1} and redirect["first"]["headers"]["location"] == shop
    assert door.probe("get", *trust, shop)["statuses"] == {"200": 1}
    assert door.probe("get", *trust, partner)["statuses"] == {}
    client = ("-cert", "/certs/client-cert.pem", "-key", "/certs/client-key.pem")
    eventually(lambda: door.probe("get", *trust, *client, partner)["statuses"], {"200": 1})
    assert door.probe("websocket", *trust, "-n", "5", "wss://shop.example.com/websocket")["statuses"] == {"101": 5}
    assert door.probe("grpc", *trust, "-n", "5", "https://shop.example.com")["statuses"] == {"200": 5}


def test_a_certificate_is_changed_under_load_without_a_failed_request(door):
    command = door.command(
        "load",
        "-connect-to",
        door.mesh.env["LAB_INGRESS_HTTPS"],
        "-insecure",
        "-rate",
        "20",
        "https://shop.example.com/",
    )
    load = subprocess.Popen(["docker", "run", "-i", *command[2:]], stdout=subprocess.PIPE, text=True)
    try:
        door.more_requests(40)
        door.play(door.second)
        eventually(lambda: door.serial("shop.example.com"), door.second["cert"].read_text().strip())
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
    wait_ready(mesh.cluster, [routes], unready, 60)
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


def test_tls_goes_through_to_the_workload_that_ends_it(mesh, tmp_path):
    own = certificate(tmp_path, ["vault.example.com"])
    server = ["echo", "-version", "vault", "-https", ":8443", "-cert", "/certs/tls.crt", "-key", "/certs/tls.key"]
    data = {
        name: base64.b64encode(own[of].read_bytes()).decode() for name, of in (("tls.crt", "cert"), ("tls.key", "key"))
    }
    meta = {"name": "vault", "namespace": "demo"}
    mesh.cluster.apply(
        {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": meta, "data": data}
    )
    door = Door(mesh, tmp_path)
    url = "https://vault.example.com/sealed"
    ask = ("get", "-cacert", "/certs/ca.pem", "-new-connections", url)
    try:
        with applied(mesh, workload(mesh, "vault", "demo", server, 8443, "tls", secret="vault")):
            rolled_out(mesh, "demo", "vault")
            assert door.probe(*ask)["statuses"] == {}
            mesh.play(example("ingress_passthrough"))
            try:
                assert mesh.play(example("ingress_passthrough")).count("changed") == 0
                # The certificate is the workload's own, and nobody has read what is in the connection.
                eventually(lambda: door.probe(*ask)["statuses"], {"200": 1})
                assert door.serial("vault.example.com") == own["cert"].read_text().strip()
                said = door.probe(*ask)["first"]["body"]
                assert said["version"] == "vault" and said["tls"] is True
                assert "x-forwarded-for" not in said["headers"]
                assert door.probe("get", "-insecure", "https://other.example.com/")["statuses"] == {}
            finally:
                mesh.play(example("ingress_passthrough"), *NOTHING)
            eventually(lambda: door.probe(*ask)["statuses"], {})
    finally:
        mesh.cluster.delete(KNOWN["", "Secret"], "vault", "demo")


def test_the_gateway_api_does_the_same(mesh):
    gateway_api = mesh.env["LAB_CRDS"].split(":")[1]
    words = ["kubectl", "apply", "--server-side", "-f", gateway_api]
    subprocess.run(words, env=mesh.env, check=True, capture_output=True)
    try:
        mesh.play(example("gateway_api"))
        assert mesh.play(example("gateway_api")).count("changed") == 0
        way = ("-connect-to", "public-istio.demo.svc.cluster.local:80")

        def header(*words):
            answer = probe(mesh, "get", *way, *words, "http://shop.example.com/")["first"]
            return answer["status"], (answer["body"] or {}).get("headers", {}).get("x-way") if answer[
                "status"
            ] == 200 else None

        eventually(header, (200, None))
        assert header("-header", "x-user: tester") == (200, "test")
        assert probe(mesh, "get", *way, "http://other.example.com/")["statuses"] == {"404": 1}
        eventually(lambda: probe(mesh, "grpc", *way, "-n", "5", "http://grpc.example.com")["statuses"], {"200": 5})
    finally:
        mesh.play(example("gateway_api"), *NOTHING)


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

            # Both versions follow the policies, though only one of ten requests gets to the second.
            many = ("get", "-n", "60", "-c", "10", "http://echo/elsewhere")
            eventually(lambda: probe(mesh, *many)["statuses"], {"403": 60})
            staff, guest = token("group=staff"), token("group=guests")
            eventually(lambda: ask("/public"), "200")
            eventually(lambda: ask("/private", staff), "200")
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
            assert ask("/checked", "-header", "x-probe-allow: yes") == {"200": 20}
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
        assert passes("get", "-n", "60", "-c", "10", f"{url}/public") == {"200": 60}
        assert passes("get", f"{url}/orders/77") == {"200": 1}
        assert passes("get", f"{url}/orders/77/items") == {"403": 1}
        assert passes("get", "-method", "POST", f"{url}/public") == {"403": 1}
        assert passes("tcp", "-timeout", "5s", "echo:9000") == {}

        # What is refused and ought to pass is proposed when it is asked for; what there was stays.
        with applied(mesh, workload(mesh, "talker-0", "demo", ["load", "-rate", "4", f"{url}/new"], 8080, "http")):
            rolled_out(mesh, "demo", "talker-0")
            assert "was refused, and stays so" in propose().text
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

        assert plain() == {"200": 3}
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
        eventually(lambda: mesh.pods("unmeshed", "app=asker"), [])
        eventually(lambda: probe(mesh, "get", "-n", "3", url)["statuses"], {"200": 3})
        checked = mesh.play(example("strict_mtls"), *options, "--check")
        assert "nothing was watched" in checked.text and "Nothing came in plain text" not in checked.text
        assert plain() == {"200": 3}
        strict = mesh.play(example("strict_mtls"), *options)
        assert "PeerAuthentication legacy/one-port: PERMISSIVE on port 7000" in strict.text
        eventually(plain, {})
        assert probe(mesh, "get", "-n", "3", url)["statuses"] == {"200": 3}


@contextlib.contextmanager
def open_connection_while_watched(mesh):
    """A connection in plain text that begins after the proxy of legacy/server logs what comes in, and doesn't end."""
    server = mesh.pods("legacy", "app=server")[0]
    address = f"{server['status']['podIP']}:9000"
    ask = ["kubectl", "-n", "unmeshed", "exec", "deploy/plain", "--", "probe", "tcp", "-hold", "90s", address]
    listeners = ["pilot-agent", "request", "GET", "config_dump?resource=dynamic_listeners"]
    stopped, opened = threading.Event(), []

    def look():
        while not stopped.wait(0.5):
            if observed_traffic.NAME in mesh.execute("legacy", "app=server", *listeners, container="istio-proxy"):
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

            eventually(traced, True)
            lines = log("demo", "app=client", "istio-proxy")
            assert any("/status/503?traced" in line for line in lines)
            before = len([line for line in lines if "?quiet" in line])
            assert probe(mesh, "get", "-n", "5", "http://echo/status/201?quiet")["statuses"] == {"201": 5}
            probe(mesh, "get", "http://echo/status/503?last")
            eventually(lambda: any("?last" in line for line in log("demo", "app=client", "istio-proxy")), True)
            assert len([line for line in log("demo", "app=client", "istio-proxy") if "?quiet" in line]) == before

            # Envoy's statistics, as Prometheus scrapes them.
            pod = mesh.pods("demo", "app=client")[0]["status"]["podIP"]
            node = f"meshops-lab-{mesh.env['LAB_NAME']}-control-plane"
            words = ["docker", "exec", node, "curl", "-sf", f"http://{pod}:15090/stats/prometheus"]
            scraped = subprocess.run(words, capture_output=True, text=True, check=True).stdout
            assert "envoy_cluster_upstream_rq_total{" in scraped or "envoy_cluster_upstream_rq{" in scraped
        finally:
            mesh.play(example("telemetry"), *NOTHING)
