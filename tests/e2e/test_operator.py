# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The operator's life: a mesh from an object, its drift, its upgrades under load, its end; and what it may not do.

The stories build on each other, in the order of this file. The operator runs with the rights of its own chart alone.
"""

from __future__ import annotations

import collections
import datetime
import json
import re
import time

import pytest
import yaml
from ansible_collections.meshops.istio.extensions.operator.pace import QUIET
from conftest import ROOT, Mesh
from purge_story import Story, difference
from traffic import without_failure

pytestmark = [pytest.mark.previous, pytest.mark.timeout(900)]

ACCOUNT = "system:serviceaccount:istio-operator:istio-operator"
#: The operator runs as OpenShift would run it: as a user that the image doesn't know, in the group root.
USER = {"runAsUser": 1000660000, "runAsGroup": 0, "fsGroup": 1000660000}
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
#: Served by a Service that is there already, so that istiod makes no pods for it.
GATEWAY_OF_GATEWAY_API = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: shop, namespace: shop}
spec:
  gatewayClassName: istio
  addresses: [{type: Hostname, value: istio-ingressgateway.istio-system.svc.cluster.local}]
  listeners: [{name: http, port: 80, protocol: HTTP}]
"""
#: What Istio's own operator of old has left: itself, the definition as an old chart base has it, an object that waits
#: for an operator to answer its finalizer, and a record of istioctl.
OPERATOR_OF_OLD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: istiooperators.install.istio.io
  labels: {release: istio, app.kubernetes.io/managed-by: Helm}
  annotations:
    helm.sh/resource-policy: keep
    meta.helm.sh/release-name: istio-base
    meta.helm.sh/release-namespace: istio-system
spec:
  group: install.istio.io
  scope: Namespaced
  names:
    {kind: IstioOperator, listKind: IstioOperatorList, plural: istiooperators, singular: istiooperator}
  versions:
    - name: v1alpha1
      served: true
      storage: true
      subresources: {status: {}}
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: istio-operator, namespace: istio-operator}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: istio-operator}
rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: istio-operator}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: istio-operator}
subjects: [{kind: ServiceAccount, name: istio-operator, namespace: istio-operator}]
---
apiVersion: v1
kind: Service
metadata: {name: istio-operator, namespace: istio-operator, labels: {name: istio-operator}}
spec:
  selector: {name: istio-operator}
  ports: [{name: http-metrics, port: 8383, targetPort: 8383}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: istio-operator, namespace: istio-operator}
spec:
  selector: {matchLabels: {name: istio-operator}}
  template:
    metadata: {labels: {name: istio-operator}}
    spec:
      serviceAccountName: istio-operator
      securityContext: {runAsNonRoot: true, runAsUser: 1337, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: istio-operator
          image: IMAGE
          args: [wait]
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
"""
OBJECTS_OF_OLD = """
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {name: former, namespace: istio-system, finalizers: [istio-finalizer.install.istio.io]}
spec: {profile: default}
---
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata:
  name: installed-state
  namespace: istio-system
  annotations: {install.istio.io/ignoreReconcile: "true"}
spec: {profile: default}
"""
#: Seconds after which what is missing is not waited for any longer.
PATIENCE = 300
GATEWAY = {"imagePullPolicy": "IfNotPresent"}
#: Who asks whom while the mesh is upgraded.
WAYS = {
    "gateway": ("outside", "http://istio-ingressgateway.istio-system/"),
    "sidecar": ("shop", "http://echo.shop/"),
}


def document(tag: str, **spec: object) -> dict:
    """The demo profile with what it takes to lose no request (two pods of a gateway, and time to say goodbye), and what
    the lab needs: see playbooks/inventory/demo/group_vars/all/lab.yml.
    """
    ports = [
        {"name": "status-port", "port": 15021, "targetPort": 15021},
        {"name": "http2", "port": 80, "targetPort": 8080, "nodePort": 30080},
    ]
    variables = [{"name": f"PILOT_ENABLE_{name}", "value": "false"} for name in ("ALPN_FILTER", "METADATA_EXCHANGE")]
    ingress = {**GATEWAY, "replicaCount": 2, "service": {"type": "NodePort", "ports": ports}}
    return {
        "apiVersion": "install.istio.io/v1alpha1",
        "kind": "IstioOperator",
        "metadata": {"name": "mesh", "namespace": "istio-system"},
        "spec": {
            "profile": "demo",
            "tag": tag,
            "meshConfig": {
                "accessLogFile": "/dev/stdout",
                "defaultConfig": {"terminationDrainDuration": "10s"},
            },
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

    def role(self, *options: str, **variables: object) -> str:
        """Runs the role as a user's playbook does; gives what it prints."""
        istio = {"charts": "/charts", "version": self.env["LAB_TAG"], "hub": self.env["LAB_HUB"]}
        given = {
            "operator_image": self.image,
            "operator_watch_namespaces": ["istio-system", "istio-other"],
            "operator_values": {
                "replicas": 2,
                "istio": {**istio, "tag": self.env["LAB_TAG"]},
                "podSecurityContext": USER,
            },
            **variables,
        }
        told, play = self.folder / "vars.json", self.folder / "play.yml"
        told.write_text(json.dumps(given))
        play.write_text("- hosts: all\n  gather_facts: false\n  roles: [meshops.istio.operator]\n")
        return self.playbook(play, "-e", f"@{told}", *options)

    def mesh(self) -> dict:
        return self.get("istiooperator", "mesh", "-n", "istio-system")

    def object(self, name: str, namespace: str = "istio-system") -> dict:
        return self.get("istiooperator", name, "-n", namespace)

    def write(self, obj: dict) -> None:
        self.apply(yaml.safe_dump(obj))

    def status_code(self) -> str:
        """What the ingress gateway answers from outside of the cluster."""
        address = f"http://{self.env['LAB_INGRESS_HTTP']}/"
        return self.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", address, check=False)

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

    def count(self, metric: str, **labels: str) -> float:
        """The sum of a metric over all that have these labels."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(v for k, v in self.metrics().items() if k.split("{")[0] == metric and all(w in k for w in wanted))

    def usage(self) -> dict[str, float]:
        """CPU seconds until now, and MiB, of the leader's container with all that runs in it."""
        script = (
            "cd /sys/fs/cgroup; cat cpu.stat memory.stat 2> /dev/null"
            " || { echo usage_nsec $(cat cpuacct/cpuacct.usage); cat memory/memory.stat; }"
        )
        lines = self.kubectl("exec", "-n", "istio-operator", self.leader(), "--", "sh", "-c", script).splitlines()
        told = {key: float(value) for key, value in (line.split() for line in lines)}
        cpu = told["usage_usec"] / 1e6 if "usage_usec" in told else told["usage_nsec"] / 1e9
        return {"cpu": cpu, "memory": told.get("total_rss", told.get("anon")) / 2**20}

    def images(self, selector: str) -> set[str]:
        pods = self.get("pods", "-n", "istio-system", "-l", selector)["items"]
        alive = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        return {container["image"] for pod in alive for container in pod["spec"]["containers"]}

    def events(self) -> collections.Counter[str]:
        found = self.get("events", "-n", "istio-system")["items"]
        return collections.Counter(e["reason"] for e in found if e["involvedObject"]["kind"] == "IstioOperator")


def until(true, what, seconds: float = 300) -> None:
    """Waits until something is true; a machine that is busy is no failure."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what() if callable(what) else what
        time.sleep(0.5)


@pytest.fixture(scope="module")
def story(own_cluster, lab, tmp_path_factory):
    image = lab("operator", "--name", own_cluster["LAB_NAME"]).split()[-1]
    story = Operator(own_cluster, image, tmp_path_factory.mktemp("operator"))
    story.apply("""
        apiVersion: v1
        kind: Namespace
        metadata: {name: istio-operator, labels: {pod-security.kubernetes.io/enforce: restricted}}
    """)
    story.kubectl("apply", "--server-side", "-f", own_cluster["LAB_CRDS"].split(":")[1])
    story.users_own()
    echo = {"replicas": 2, "drain": "15s"}
    story.helm("probe", ROOT / "charts/probe", "shop", {"image": story.env["LAB_PROBE_IMAGE"], "echo": echo})
    return story


@pytest.fixture(scope="module")
def operator(story):
    """The operator, in a cluster in which Istio's own operator of old was."""
    if not story.kubectl("get", "deployments", "-n", "istio-operator", "-o", "name"):  # else a cluster that was kept
        story.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: istio-system}")
        story.apply(OPERATOR_OF_OLD.replace("IMAGE", story.env["LAB_PROBE_IMAGE"]))
        story.kubectl("wait", "--for=condition=Established", "crd/istiooperators.install.istio.io", "--timeout=60s")
        story.apply(OBJECTS_OF_OLD)
        story.kubectl("delete", "istiooperator", "former", "-n", "istio-system", "--wait=false")
    story.role()
    return story


@pytest.fixture
def load(operator, tmp_path):
    """Requests through the gateway and between sidecars, of which none may fail."""
    with without_failure(Mesh(operator.env), tmp_path, WAYS, at_least=500):
        yield


@pytest.fixture(scope="module")
def before(operator):
    # helm marks the namespaces that it installs into, also those that were there.
    operator.kubectl("label", "namespace", "istio-system", "name=istio-system")
    return operator.everything()


def test_check_mode_says_what_would_be_done_where_nothing_is_known_yet(story):
    shown = story.role("--check", "--diff", operator_resource=document(story.env["LAB_TAG"]))
    assert re.search(r"changed=[1-9].* failed=0", shown)
    assert "IstioOperator istio-system/mesh" in shown


def test_an_operator_of_old_is_taken_over_with_its_objects(operator):
    operator.kubectl("wait", "--for=delete", "istiooperator/former", "-n", "istio-system", "--timeout=300s")
    annotations = operator.get("crd", "istiooperators.install.istio.io")["metadata"]["annotations"]
    assert annotations["meta.helm.sh/release-name"] == "istio-operator"
    assert operator.kubectl("get", "clusterrole,clusterrolebinding", "istio-operator", "--ignore-not-found") == ""
    selector = operator.get("service", "istio-operator", "-n", "istio-operator")["spec"]["selector"]
    assert selector["app.kubernetes.io/name"] == "istio-operator"


def test_a_second_run_of_the_role_changes_nothing(operator):
    assert re.search(r"changed=0 .*failed=0", operator.role())


def test_it_runs_as_a_user_that_the_image_does_not_know(operator):
    shown = operator.kubectl("exec", "-n", "istio-operator", operator.leader(), "--", "id")
    assert shown.startswith(f"uid={USER['runAsUser']} gid=0(root)")


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
    def told(obj: dict) -> str:
        return operator.kubectl(
            "apply", "--as", ACCOUNT, "--dry-run=server", "--server-side", "--force-conflicts", "-f", "-",
            stdin=json.dumps(obj), check=False,
        )  # fmt: skip

    def binding(**subject: str) -> dict:
        name = "istiod-clusterrole-istio-system"
        role_ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
        head = {**role, "kind": "ClusterRoleBinding", "metadata": {"name": name}}
        return {**head, "roleRef": role_ref, "subjects": [subject]}

    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}
    group = {"apiGroup": "rbac.authorization.k8s.io"}
    for obj in (
        {**role, "metadata": {"name": "mine"}, "rules": []},
        {**role, "metadata": {"name": "istio-operator-istio-operator"}, "rules": []},
        binding(kind="ServiceAccount", name="istio-operator", namespace="istio-operator"),
        binding(kind="ServiceAccount", name="default", namespace="shop"),
        binding(kind="Group", name="system:serviceaccounts:istio-operator", **group),
        binding(kind="User", name=ACCOUNT, **group),
    ):
        assert "the operator may" in told(obj), obj
    assert "serverside-applied" in told(binding(kind="ServiceAccount", name="istiod", namespace="istio-system"))


def test_kubectl_apply_leads_to_a_mesh_that_serves(operator, before):
    operator.write(document(operator.env["LAB_PREVIOUS_TAG"]))
    operator.kubectl("wait", "--for=condition=Ready", "istiooperator/mesh", "-n", "istio-system", "--timeout=600s")
    columns = operator.kubectl("get", "istiooperators", "mesh", "-n", "istio-system").splitlines()
    assert columns[0].split() == ["NAME", "PROFILE", "VERSION", "REVISION", "STATE", "AGE", "MESSAGE"]
    assert columns[1].split()[:5] == ["mesh", "demo", operator.env["LAB_PREVIOUS_TAG"], "default", "Ready"]
    states = {c["name"]: c["state"] for c in operator.mesh()["status"]["components"]}
    names = ("istio-base", "istiod", "istio-ingressgateway", "istio-egressgateway")
    assert states == dict.fromkeys(names, "Ready")
    assert set(operator.events()) >= {"Reconciling", "Installed", "Ready"}

    operator.use_mesh("istio-injection=enabled")
    operator.apply(ROUTE)
    until(lambda: operator.status_code() == "200", "200")


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
    assert "spec.revision: 'Not_A_Name' is not a valid DNS label" in operator.condition()["message"]
    assert operator.condition("Valid")["status"] == "False"
    repaired(operator, "service/istio-egressgateway")
    assert operator.mesh()["status"]["state"] == "Invalid"
    failures, success = operator.count("istio_operator_failures_total", name="mesh"), last_success(operator)
    assert 0 < success < time.time()
    operator.write(document("9.9.9"))
    until(lambda: operator.mesh()["status"]["state"] == "Failed", "there is no such chart")
    assert "chart base 9.9.9 not found" in operator.condition()["message"]
    repaired(operator, "service/istio-egressgateway")
    assert operator.mesh()["status"]["state"] == "Failed"
    assert operator.get("deployment", "istiod", "-n", "istio-system")["metadata"]["generation"] == before
    until(lambda: operator.count("istio_operator_failures_total", name="mesh") > failures, "the failure is counted")
    assert last_success(operator) == success
    assert operator.count("istio_operator_ready", name="mesh") == 0
    operator.write(good)
    operator.ready()
    until(lambda: last_success(operator) > success, "the success is known")
    assert operator.count("istio_operator_ready", name="mesh") == 1


def last_success(operator) -> float:
    return operator.count("istio_operator_last_success_timestamp_seconds", name="mesh")


def repaired(operator, *names: str) -> None:
    """Deletes objects in istio-system; they must come back."""
    operator.kubectl("delete", "-n", "istio-system", *names)
    back_in_time(operator, {name: lambda name=name: bool(found(operator, name)) for name in names})


def found(operator, name: str) -> str:
    return operator.kubectl("get", name, "-n", "istio-system", "-o", "name", "--ignore-not-found")


def back_in_time(operator, is_back: dict) -> None:
    """Waits until everything is as it was, and measures how long each takes from now."""
    begun, took = time.monotonic(), {}
    while len(took) < len(is_back) and time.monotonic() - begun < PATIENCE:
        took |= {name: time.monotonic() - begun for name, true in is_back.items() if name not in took and true()}
        time.sleep(0.2)
    print("\nrepaired: " + ", ".join(f"{name} in {seconds:.0f} s" for name, seconds in took.items()))
    assert set(took) == set(is_back), operator.mesh()["status"]


def test_what_two_objects_ask_for_has_one_owner(operator):
    def second(**spec: object) -> dict:
        obj = document(operator.env["LAB_PREVIOUS_TAG"], **spec)
        return {**obj, "metadata": {**obj["metadata"], "name": "second"}}

    def gateway() -> int:
        return operator.get("deployment", "istio-ingressgateway", "-n", "istio-system")["metadata"]["generation"]

    before = gateway()
    operator.write(second())
    until(lambda: operator.object("second").get("status", {}).get("state") == "Invalid", "it is refused")
    message = operator.object("second")["status"]["message"]
    assert message.startswith("spec.revision: default already belongs to IstioOperator istio-system/mesh")
    mine = {"name": "istio-ingressgateway", "enabled": True, "k8s": {**GATEWAY, "replicaCount": 3}}
    operator.write(second(profile="empty", components={"ingressGateways": [mine]}))
    until(lambda: operator.object("second")["status"]["state"] == "Ready", "it has nothing to do")
    (component,) = operator.object("second")["status"]["components"]
    assert (component["state"], component["message"]) == ("NotOwned", "owned by IstioOperator istio-system/mesh")
    operator.kubectl("delete", "istiooperator", "second", "-n", "istio-system", "--timeout=300s")
    assert gateway() == before


def test_a_second_object_has_a_revision_of_its_own_and_takes_only_that_with_it(operator):
    """In another watched namespace, with the CNI; one more is where nobody watches."""

    def another(name: str, namespace: str) -> dict:
        obj = minimal(operator, revision="other")
        obj["spec"]["tag"] = operator.env["LAB_PREVIOUS_TAG"]
        obj["spec"]["components"] |= {
            "cni": {"enabled": True},
            "pilot": {"k8s": {"resources": {"requests": {"cpu": "10m", "memory": "100Mi"}}}},
        }
        return {**obj, "metadata": {"name": name, "namespace": namespace}}

    def mine() -> dict[str, tuple]:
        """What the first mesh consists of."""
        kinds = "deployments,services,serviceaccounts,daemonsets,roles,rolebindings"
        found = [*operator.get(kinds, "-n", "istio-system")["items"], *operator.get(
            "mutatingwebhookconfigurations,validatingwebhookconfigurations,clusterroles,clusterrolebindings"
        )["items"]]  # fmt: skip
        return {
            f"{o['kind']} {o['metadata']['name']}": (o["metadata"]["uid"], o["metadata"].get("generation"))
            for o in found
        }

    def releases() -> set[str]:
        return {one["name"] for one in json.loads(operator.run("helm", "list", "-n", "istio-system", "-o", "json"))}

    before, had = mine(), releases()
    changes = operator.count("istio_operator_changes_total")
    operator.write(another("other", "istio-other"))
    operator.write(another("unseen", "outside"))
    operator.kubectl("wait", "--for=condition=Ready", "istiooperator/other", "-n", "istio-other", "--timeout=300s")
    states = {c["name"]: c["state"] for c in operator.object("other", "istio-other")["status"]["components"]}
    assert states == {"istio-base": "NotOwned", "istio-cni": "Ready", "istiod-other": "Ready"}
    assert releases() == had | {"istio-cni", "istiod-other"}
    assert operator.count("istio_operator_changes_total") - changes == 2
    there = mine()
    assert {name: there[name] for name in before} == before
    assert "MutatingWebhookConfiguration istio-sidecar-injector-other" in there
    operator.ready()

    operator.kubectl("delete", "istiooperator", "other", "-n", "istio-other", "--timeout=300s")
    assert mine() == before
    assert releases() == had
    assert operator.ready()["status"]["state"] == "Ready"
    assert operator.status_code() == "200"
    assert operator.object("unseen", "outside").get("status") is None
    operator.kubectl("delete", "istiooperator", "unseen", "-n", "outside", "--timeout=60s")


def test_drift_is_repaired_once(operator):
    def webhook() -> dict:
        return operator.get("mutatingwebhookconfiguration", "istio-sidecar-injector")["webhooks"][0]

    rules = webhook()["rules"]
    changes, runs = operator.count("istio_operator_changes_total"), operator.count("istio_operator_reconciles_total")
    istiod = operator.count("istio_operator_changes_total", release="istiod")
    gateway = operator.count("istio_operator_changes_total", release="istio-ingressgateway")
    operator.kubectl("delete", "deployment", "istiod", "-n", "istio-system")
    patch = [{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["UPDATE"]}]
    operator.kubectl(
        "patch", "mutatingwebhookconfiguration", "istio-sidecar-injector", "--type=json", "-p", json.dumps(patch)
    )
    operator.kubectl("delete", "service", "istio-ingressgateway", "-n", "istio-system")
    back_in_time(
        operator,
        {
            "webhook": lambda: webhook()["rules"] == rules,
            "istiod": lambda: bool(found(operator, "deployment/istiod")),
            "gateway's Service": lambda: bool(found(operator, "service/istio-ingressgateway")),
        },
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
    time.sleep(3 * QUIET)  # what the repairs themselves had led to would have been looked at by now
    assert operator.count("istio_operator_reconciles_total") - runs <= 10
    # Two things of istiod have drifted, and one of the gateway: each is put right once.
    assert operator.count("istio_operator_changes_total", release="istiod") - istiod in (1, 2)
    assert operator.count("istio_operator_changes_total", release="istio-ingressgateway") - gateway == 1
    assert operator.count("istio_operator_changes_total") - changes <= 3
    operator.ready()


def test_an_idle_operator_costs_little(operator):
    """While its lease is renewed several times and nothing else happens; and with a look at the mesh each hour."""

    def renewed() -> datetime.datetime:
        lease = operator.get("lease", "istio-operator", "-n", "istio-operator")
        return datetime.datetime.fromisoformat(lease["spec"]["renewTime"])

    def runs() -> float:
        return operator.count("istio_operator_reconcile_seconds_count")

    def at_rest() -> bool:
        begun, looks, before = renewed(), runs(), operator.usage()
        until(lambda: (renewed() - begun).total_seconds() > 30, "the lease is renewed")
        after = operator.usage()
        at_rest.share = (after["cpu"] - before["cpu"]) / (renewed() - begun).total_seconds()
        at_rest.memory = after["memory"]
        return runs() == looks

    until(at_rest, "it comes to rest")
    looks, before = runs(), operator.usage()
    operator.kubectl("label", "configmap", "istio", "-n", "istio-system", "touched=yes", "--overwrite")
    until(lambda: runs() > looks, "it has looked, as at a resync")
    look = operator.usage()["cpu"] - before["cpu"]
    share = at_rest.share + look / 3600
    print(
        f"\nat rest: {at_rest.share:.2%} of a core, {at_rest.memory:.0f} MiB; a look: {look:.1f} s; hourly: {share:.2%}"
    )
    assert share < 0.01
    assert at_rest.memory < 150


def test_upgrade_by_the_tag_goes_on_when_its_leader_is_killed(operator, load):
    older, newer = operator.env["LAB_PREVIOUS_TAG"], operator.env["LAB_TAG"]
    operator.write(document(newer))
    leader, ready = operator.leader(), operator.events()["Ready"]
    until(lambda: "Reconciling" in operator.mesh()["status"]["state"], "it has begun")
    operator.kubectl("delete", "pod", leader, "-n", "istio-operator", "--force", "--grace-period=0")
    status = operator.ready()["status"]
    assert operator.leader() != leader
    assert operator.events()["Ready"] > ready
    assert status["version"] == newer != older
    assert operator.images("istio=ingressgateway") == {f"{operator.env['LAB_HUB']}/proxyv2:{newer}"}
    assert operator.images("app=istiod") == {f"{operator.env['LAB_HUB']}/pilot:{newer}"}


def test_upgrade_by_the_revision_and_the_old_one_goes_when_nobody_uses_it(operator, load):
    def states() -> dict[str, str]:
        return {c["name"]: c["state"] for c in operator.mesh()["status"]["components"]}

    operator.write(document(operator.env["LAB_TAG"], revision="canary"))
    operator.ready()
    assert states()["istiod-canary"] == "Ready"
    assert states()["istiod"] == "Superseded", "namespace shop still uses it"
    operator.kubectl("label", "namespace", "shop", "istio-injection-", "istio.io/rev=canary")
    operator.kubectl("-n", "shop", "rollout", "restart", "deployment")
    for name in ("echo-v1", "echo-v2", "client", "load-sidecar"):
        operator.kubectl("-n", "shop", "rollout", "status", f"deployment/{name}", "--timeout=300s")
    until(lambda: "istiod" not in states(), lambda: str(operator.mesh()["status"]))
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
    operator.kubectl("label", "service", "echo", "-n", "shop", "istio.io/use-waypoint=none")
    operator.kubectl("-n", "shop", "rollout", "restart", "deployment")

    def message() -> str:
        return operator.mesh()["status"]["message"]

    until(lambda: "may not change Service shop/echo" in message(), message)
    assert operator.kubectl("get", "mutatingwebhookconfigurations", "-l", "istio.io/rev=canary", "-o", "name")
    operator.kubectl("label", "service", "echo", "-n", "shop", "istio.io/use-waypoint-")
    operator.kubectl("wait", "--for=delete", "istiooperator/mesh", "-n", "istio-system", "--timeout=300s")
    assert operator.object("installed-state").get("status") is None
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
    operator.apply(ROUTE)
    shown = operator.role(operator_resource=document(operator.env["LAB_TAG"], meshConfig={}))
    for name in ("istio-base", "istiod", "istio-ingressgateway", "istio-egressgateway"):
        assert f"istio-system/{name} {operator.env['LAB_TAG']} Ready" in shown
    until(lambda: operator.status_code() == "200", "200")
    shown = operator.role(operator_resource=minimal(operator, deletionPolicy="Retain"))
    assert f"istio-system/istiod {operator.env['LAB_TAG']} Ready" in shown
    assert "gateway" not in operator.kubectl("get", "services", "-n", "istio-system", "-o", "name")
    wrong = document(operator.env["LAB_TAG"], revision="Not_A_Name")
    with pytest.raises(AssertionError, match="is not a valid DNS label"):
        operator.role(operator_resource=wrong)


def minimal(operator, **spec: object) -> dict:
    none = {
        "ingressGateways": [{"name": "istio-ingressgateway", "enabled": False}],
        "egressGateways": [{"name": "istio-egressgateway", "enabled": False}],
    }
    return document(operator.env["LAB_TAG"], profile="minimal", components=none, **spec)


def test_what_is_to_be_retained_stays(operator):
    operator.kubectl("delete", "istiooperator", "mesh", "-n", "istio-system", "--timeout=300s")
    assert operator.get("deployment", "istiod", "-n", "istio-system")["status"]["readyReplicas"] == 1
    operator.role(operator_state="absent")
    assert operator.kubectl("get", "deployments", "-n", "istio-operator", "-o", "name") == ""
    assert operator.get("deployment", "istiod", "-n", "istio-system")["status"]["readyReplicas"] == 1


def test_a_mesh_goes_with_its_namespace_but_for_what_users_have_written(operator):
    """The operator's own Role goes before the object does, whose finalizer it has to answer."""
    operator.role(operator_resource=minimal(operator))
    operator.apply(ROUTE)
    operator.apply(GATEWAY_OF_GATEWAY_API)
    operator.kubectl("delete", "namespace", "istio-system", "--timeout=240s")
    assert operator.kubectl("get", "mutatingwebhookconfigurations", "-o", "name") == ""
    kept = operator.kubectl("get", "virtualservices,gateways.gateway.networking.k8s.io", "-n", "shop", "-o", "name")
    assert kept.split() == ["virtualservice.networking.istio.io/shop", "gateway.gateway.networking.k8s.io/shop"]
