# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The operator's life: a mesh from an object, its drift, its upgrades under load, its end; and what it may not do.

The stories build on each other, in the order of this file. The operator runs with the rights of its own chart alone.
"""

from __future__ import annotations

import datetime
import json
import re
import subprocess
import time

import pytest
import yaml
from purge_story import Story, Traffic, difference

pytestmark = [pytest.mark.previous, pytest.mark.timeout(900)]

ACCOUNT = "system:serviceaccount:istio-operator:istio-operator"
#: What leads a request from the gateway to the workload in namespace shop.
ROUTE = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: shop, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers: [{hosts: ["*"], port: {name: http, number: 80, protocol: HTTP}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: shop}
spec:
  hosts: ["*"]
  gateways: [shop]
  http: [{route: [{destination: {host: echo, port: {number: 80}}}]}]
"""
GATEWAY = {"imagePullPolicy": "IfNotPresent"}


def document(tag: str, **spec: object) -> dict:
    """The demo profile, with what the lab needs: see playbooks/inventory/demo/group_vars/all/lab.yml."""
    ports = [
        {"name": "status-port", "port": 15021, "targetPort": 15021},
        {"name": "http2", "port": 80, "targetPort": 8080, "nodePort": 30080},
    ]
    variables = [{"name": f"PILOT_ENABLE_{name}", "value": "false"} for name in ("ALPN_FILTER", "METADATA_EXCHANGE")]
    ingress = {**GATEWAY, "service": {"type": "NodePort", "ports": ports}}
    return {
        "apiVersion": "install.istio.io/v1alpha1",
        "kind": "IstioOperator",
        "metadata": {"name": "mesh", "namespace": "istio-system"},
        "spec": {
            "profile": "demo",
            "tag": tag,
            "meshConfig": {"accessLogFile": "/dev/stdout"},
            "components": {
                "pilot": {"k8s": {"env": variables}},
                "ingressGateways": [{"name": "istio-ingressgateway", "enabled": True, "k8s": ingress}],
                "egressGateways": [{"name": "istio-egressgateway", "enabled": True, "k8s": GATEWAY}],
            },
            "values": {"global": {"imagePullPolicy": "IfNotPresent"}, "telemetry": {"enabled": False}},
            **spec,
        },
    }


class Operator(Story):
    """A cluster with the operator."""

    def __init__(self, env: dict[str, str], image: str, folder) -> None:
        super().__init__(env)
        self.image, self.folder = image, folder

    def role(self, **variables: object) -> str:
        """Runs the role as a user's playbook does; gives what it prints."""
        istio = {"charts": "/charts", "version": self.env["LAB_TAG"], "hub": self.env["LAB_HUB"]}
        given = {
            "operator_image": self.image,
            "operator_values": {"replicas": 2, "istio": {**istio, "tag": self.env["LAB_TAG"]}},
            **variables,
        }
        told, play = self.folder / "vars.json", self.folder / "play.yml"
        told.write_text(json.dumps(given))
        play.write_text("- hosts: all\n  gather_facts: false\n  roles: [meshops.istio.operator]\n")
        return self.playbook(play, "-e", f"@{told}")

    def mesh(self) -> dict:
        return self.get("istiooperator", "mesh", "-n", "istio-system")

    def write(self, obj: dict) -> None:
        self.apply(yaml.safe_dump(obj))

    def ready(self, generation: int | None = None) -> dict:
        """The object once it is as asked for, in its present generation."""
        wanted = generation or self.mesh()["metadata"]["generation"]
        until(lambda: self.mesh().get("status", {}).get("observedGeneration") == wanted, "it is looked at")
        until(lambda: self.condition()["status"] == "True", lambda: self.condition()["message"])
        return self.mesh()

    def condition(self, kind: str = "Ready") -> dict:
        return next(c for c in self.mesh()["status"]["conditions"] if c["type"] == kind)

    def leader(self) -> str:
        return self.get("lease", "istio-operator", "-n", "istio-operator")["spec"]["holderIdentity"]

    def metrics(self) -> dict[str, float]:
        """The leader's numbers."""
        path = f"/api/v1/namespaces/istio-operator/pods/{self.leader()}:8080/proxy/metrics"
        lines = self.kubectl("get", "--raw", path).splitlines()
        return {key: float(value) for key, value in (li.rsplit(" ", 1) for li in lines if not li.startswith("#"))}

    def count(self, name: str, **labels: str) -> float:
        """The sum of a metric over all that have these labels."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(v for k, v in self.metrics().items() if k.split("{")[0] == name and all(w in k for w in wanted))

    def images(self, selector: str) -> set[str]:
        pods = self.get("pods", "-n", "istio-system", "-l", selector)["items"]
        alive = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        return {container["image"] for pod in alive for container in pod["spec"]["containers"]}

    def events(self) -> set[str]:
        found = self.get("events", "-n", "istio-system")["items"]
        return {event["reason"] for event in found if event["involvedObject"]["kind"] == "IstioOperator"}


def until(true, what, seconds: float = 300) -> None:
    """Waits until something is true; a machine that is busy is no failure."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what() if callable(what) else what
        time.sleep(0.5)


@pytest.fixture(scope="module")
def operator(own_cluster, lab, tmp_path_factory):
    image = lab("operator", "--name", own_cluster["LAB_NAME"]).split()[-1]
    story = Operator(own_cluster, image, tmp_path_factory.mktemp("operator"))
    story.apply("""
        apiVersion: v1
        kind: Namespace
        metadata: {name: istio-operator, labels: {pod-security.kubernetes.io/enforce: restricted}}
    """)
    story.users_own()
    story.role()
    return story


@pytest.fixture(scope="module")
def before(operator):
    # helm marks the namespaces that it installs into, also those that were there.
    operator.kubectl("label", "namespace", "istio-system", "name=istio-system")
    return operator.everything()


def test_a_second_run_of_the_role_changes_nothing(operator):
    assert re.search(r"changed=0 .*failed=0", operator.role())


def test_it_reads_secrets_only_where_it_is_told_to_work(operator):
    def may(verb: str, what: str, *where: str) -> bool:
        return operator.kubectl("auth", "can-i", verb, what, "--as", ACCOUNT, *where, check=False).startswith("yes")

    assert may("get", "secrets", "-n", "istio-system")
    for verb in ("get", "list", "watch", "create", "delete"):
        for namespace in ("shop", "default", "kube-system", "istio-operator"):
            assert not may(verb, "secrets", "-n", namespace), f"{verb} in {namespace}"
        assert not may(verb, "secrets", "-A")
    for verb, what in (("create", "pods"), ("create", "deployments"), ("create", "pods/exec"), ("create", "roles")):
        assert not may(verb, what, "-n", "shop")


def test_its_wide_rights_end_at_names_that_are_not_istios(operator):
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "rules": []}
    binding = {
        **role, "kind": "ClusterRoleBinding",
        "metadata": {"name": "istiod-of-mine"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "istiod-of-mine"},
        "subjects": [{"kind": "ServiceAccount", "name": "istio-operator", "namespace": "istio-operator"}],
    }  # fmt: skip
    del binding["rules"]
    for obj in (
        {**role, "metadata": {"name": "mine"}},
        {**role, "metadata": {"name": "istio-operator-istio-operator"}},
        binding,
    ):
        told = operator.kubectl(
            "apply", "--as", ACCOUNT, "--dry-run=server", "--server-side", "--force-conflicts", "-f", "-",
            stdin=json.dumps(obj), check=False,
        )  # fmt: skip
        assert "the operator may" in told, told


def test_kubectl_apply_leads_to_a_mesh_that_serves(operator, before):
    operator.write(document(operator.env["LAB_PREVIOUS_TAG"]))
    operator.kubectl("wait", "--for=condition=Ready", "istiooperator/mesh", "-n", "istio-system", "--timeout=300s")
    columns = operator.kubectl("get", "istiooperators", "-n", "istio-system").splitlines()
    assert columns[0].split() == ["NAME", "PROFILE", "VERSION", "REVISION", "STATE", "AGE", "MESSAGE"]
    assert columns[1].split()[:5] == ["mesh", "demo", operator.env["LAB_PREVIOUS_TAG"], "default", "Ready"]
    states = {c["name"]: c["state"] for c in operator.mesh()["status"]["components"]}
    names = ("istio-base", "istiod", "istio-ingressgateway", "istio-egressgateway")
    assert states == dict.fromkeys(names, "Ready")
    assert operator.events() >= {"Reconciling", "Installed", "Ready"}

    operator.use_mesh("istio-injection=enabled")
    operator.apply(ROUTE)
    address = f"http://{operator.env['LAB_INGRESS_HTTP']}/"
    until(
        lambda: operator.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", address, check=False) == "200",
        "200",
    )


def test_a_bad_object_is_refused_and_changes_nothing(operator):
    before = operator.get("deployment", "istiod", "-n", "istio-system")["metadata"]["generation"]
    good = document(operator.env["LAB_PREVIOUS_TAG"])
    unknown = document(operator.env["LAB_PREVIOUS_TAG"], profle="demo")
    unknown["spec"]["components"]["pilot"]["k8s"]["tolerations"] = [{"keys": "x"}]
    told = operator.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(unknown), check=False)
    assert 'unknown field "spec.components.pilot.k8s.tolerations[0].keys"' in told
    assert 'unknown field "spec.profle"' in told

    operator.write(
        document(operator.env["LAB_PREVIOUS_TAG"], meshConfig={"accessLogFile": "/x"}, revision="Not_A_Name")
    )
    until(lambda: operator.mesh()["status"]["state"] == "Invalid", "it is refused")
    assert "spec.revision: 'Not_A_Name' is no DNS label" in operator.condition()["message"]
    assert operator.condition("Valid")["status"] == "False"
    operator.write(document("9.9.9"))
    until(lambda: operator.mesh()["status"]["state"] == "Failed", "there is no such chart")
    assert "chart base 9.9.9 not found" in operator.condition()["message"]
    assert operator.get("deployment", "istiod", "-n", "istio-system")["metadata"]["generation"] == before
    operator.write(good)
    operator.ready()


def test_drift_is_repaired_once(operator):
    def webhook() -> dict:
        return operator.get("mutatingwebhookconfiguration", "istio-sidecar-injector")["webhooks"][0]

    rules = webhook()["rules"]
    changes, runs = operator.count("istio_operator_changes_total"), operator.count("istio_operator_reconciles_total")
    operator.kubectl("delete", "deployment", "istiod", "-n", "istio-system")
    patch = [{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["UPDATE"]}]
    operator.kubectl(
        "patch", "mutatingwebhookconfiguration", "istio-sidecar-injector", "--type=json", "-p", json.dumps(patch)
    )
    operator.kubectl("delete", "service", "istio-ingressgateway", "-n", "istio-system")
    until(lambda: webhook()["rules"] == rules, "the webhook is as it was")
    for kind, name in (("deployment", "istiod"), ("service", "istio-ingressgateway")):
        until(
            lambda kind=kind, name=name: name in operator.kubectl("get", kind, "-n", "istio-system"), f"{name} is back"
        )
    until(lambda: operator.count("istio_operator_changes_total") > changes, "it says so")
    assert "Repaired" in operator.events()

    # The operator has seen its own changes, looked once more, and found nothing to do.
    def quiet() -> bool:
        after = operator.metrics()
        last = sum(v for k, v in after.items() if k.startswith("istio_operator_reconciles_total"))
        done = sum(v for k, v in after.items() if k.startswith("istio_operator_changes_total"))
        quiet.seen.setdefault(done, last)
        return last > quiet.seen[done]

    quiet.seen = {}
    until(quiet, "a look that changes nothing")
    assert operator.count("istio_operator_reconciles_total") - runs <= 6
    operator.ready()


def test_an_idle_operator_costs_little(operator):
    """Over a time in which its lease is renewed several times and nothing else happens."""

    def renewed() -> datetime.datetime:
        lease = operator.get("lease", "istio-operator", "-n", "istio-operator")
        return datetime.datetime.fromisoformat(lease["spec"]["renewTime"])

    def runs(metrics: dict[str, float]) -> float:
        return sum(v for k, v in metrics.items() if k.startswith("istio_operator_reconcile_seconds_count"))

    def idle() -> bool:
        begun, before = renewed(), operator.metrics()
        until(lambda: (renewed() - begun).total_seconds() > 30, "the lease is renewed")
        after = operator.metrics()
        idle.seconds = (renewed() - begun).total_seconds()
        idle.cpu = after["process_cpu_seconds_total"] - before["process_cpu_seconds_total"]
        idle.memory = after["process_resident_memory_bytes"] / 2**20
        return runs(before) == runs(after)

    until(idle, "it comes to rest")
    print(f"\nidle: {idle.cpu / idle.seconds:.2%} of a core, {idle.memory:.0f} MiB")
    assert idle.cpu / idle.seconds < 0.01
    assert idle.memory < 150


def test_upgrade_by_the_tag_goes_on_when_its_leader_is_killed(operator):
    older, newer = operator.env["LAB_PREVIOUS_TAG"], operator.env["LAB_TAG"]
    with Traffic(operator, "http://istio-ingressgateway.istio-system/") as traffic:
        until(lambda: traffic.requests > 0, "the load has begun")
        operator.write(document(newer))
        leader = operator.leader()
        until(lambda: "Reconciling" in operator.mesh()["status"]["state"], "it has begun")
        operator.kubectl("delete", "pod", leader, "-n", "istio-operator", "--force", "--grace-period=0")
        status = operator.ready()["status"]
        assert operator.leader() != leader
    assert status["version"] == newer != older
    assert operator.images("istio=ingressgateway") == {f"{operator.env['LAB_HUB']}/proxyv2:{newer}"}
    assert operator.images("app=istiod") == {f"{operator.env['LAB_HUB']}/pilot:{newer}"}
    assert traffic.failed == []


def test_upgrade_by_the_revision_and_the_old_one_goes_when_nobody_uses_it(operator):
    def states() -> dict[str, str]:
        return {c["name"]: c["state"] for c in operator.mesh()["status"]["components"]}

    with Traffic(operator, "http://istio-ingressgateway.istio-system/") as traffic:
        until(lambda: traffic.requests > 0, "the load has begun")
        operator.write(document(operator.env["LAB_TAG"], revision="canary"))
        operator.ready()
        assert states()["istiod-canary"] == "Ready"
        assert states()["istiod"] == "Superseded", "namespace shop still uses it"
        operator.kubectl("label", "namespace", "shop", "istio-injection-", "istio.io/rev=canary")
        operator.kubectl("-n", "shop", "rollout", "restart", "deployment")
        for name in ("echo-v1", "echo-v2", "client"):
            operator.kubectl("-n", "shop", "rollout", "status", f"deployment/{name}", "--timeout=300s")
        until(lambda: "istiod" not in states(), lambda: str(operator.mesh()["status"]))
    assert traffic.failed == []
    assert operator.kubectl("get", "deployment", "-n", "istio-system", "-l", "app=istiod", "-o", "name").split() == [
        "deployment.apps/istiod-canary"
    ]


def test_deleting_the_object_waits_for_its_users_and_leaves_nothing(operator, before):
    operator.kubectl("delete", "istiooperator", "mesh", "-n", "istio-system", "--wait=false")
    until(lambda: "still used by" in operator.mesh()["status"]["message"], "it says who uses it")
    assert operator.get("deployment", "istiod-canary", "-n", "istio-system")["status"]["readyReplicas"] == 1
    operator.kubectl("label", "namespace", "shop", "istio.io/rev-")
    for kind in ("gateway.networking.istio.io", "virtualservice", "peerauthentication"):
        operator.kubectl("delete", kind, "-n", "shop", "--all")
    operator.kubectl(
        "patch", "destinationrule", "echo", "-n", "shop", "--type=merge", "-p", '{"metadata":{"finalizers":null}}'
    )
    operator.kubectl("delete", "destinationrule", "-n", "shop", "--all")
    operator.kubectl("-n", "shop", "rollout", "restart", "deployment")
    operator.kubectl("wait", "--for=delete", "istiooperator/mesh", "-n", "istio-system", "--timeout=300s")
    assert difference(before, operator.everything()) == []


def test_what_istioctl_has_installed_is_taken_over(operator):
    operator.install_istioctl()
    legacy = document(operator.env["LAB_TAG"])
    legacy["metadata"]["finalizers"] = ["istio-finalizer.install.istio.io"]
    operator.write(legacy)
    until(lambda: "status" in operator.mesh(), "it is looked at")
    operator.ready()
    releases = json.loads(operator.run("helm", "list", "-n", "istio-system", "-o", "json"))
    assert {release["name"] for release in releases} == {
        "istio-base", "istiod", "istio-ingressgateway", "istio-egressgateway",
    }  # fmt: skip
    assert operator.mesh()["metadata"]["finalizers"] == ["istio-finalizer.install.istio.io"]


def test_the_role_applies_an_object_and_says_what_it_leads_to(operator):
    none = {
        "ingressGateways": [{"name": "istio-ingressgateway", "enabled": False}],
        "egressGateways": [{"name": "istio-egressgateway", "enabled": False}],
    }
    minimal = document(operator.env["LAB_TAG"], profile="minimal", components=none, deletionPolicy="Retain")
    shown = operator.role(operator_resource=minimal)
    assert f"istio-system/istiod {operator.env['LAB_TAG']} Ready" in shown
    assert f"istio-system/istio-base {operator.env['LAB_TAG']} Ready" in shown
    services = operator.kubectl("get", "services", "-n", "istio-system", "-o", "name")
    assert "gateway" not in services, "what the object asks for no more is gone"
    wrong = document(operator.env["LAB_TAG"], revision="Not_A_Name")
    with pytest.raises(AssertionError, match="is no DNS label"):
        operator.role(operator_resource=wrong)


def test_what_is_to_be_retained_stays(operator):
    operator.kubectl("delete", "istiooperator", "mesh", "-n", "istio-system", "--timeout=120s")
    assert operator.get("deployment", "istiod", "-n", "istio-system")["status"]["readyReplicas"] == 1
    operator.role(operator_state="absent")
    done = subprocess.run(
        ["kubectl", "get", "deployment", "-n", "istio-operator", "-o", "name"],
        env=operator.env,
        capture_output=True,
        text=True,
    )
    assert done.stdout == ""
    assert operator.get("deployment", "istiod", "-n", "istio-system")["status"]["readyReplicas"] == 1
