# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the stories about purging share: meshes from different installers, user objects, and an independent audit."""

from __future__ import annotations

import concurrent.futures
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
ISTIOD = {
    "telemetry": {"enabled": False},
    "autoscaleEnabled": False,
    "env": {"PILOT_ENABLE_METADATA_EXCHANGE": "false", "PILOT_ENABLE_ALPN_FILTER": "false"},
    "resources": {"requests": {"cpu": "10m", "memory": "100Mi"}},
}
#: Written by a user, or by another product, and none of Istio's business.
USERS_OWN = """
apiVersion: v1
kind: Namespace
metadata: {name: istio-demo}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: outside}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio-leader, namespace: istio-demo}
data: {ours: "true"}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: istiod, namespace: istio-demo}
---
apiVersion: v1
kind: Secret
metadata: {name: cacerts, namespace: istio-demo}
stringData: {ours: "true"}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gateways.istio.example.com}
spec:
  group: istio.example.com
  scope: Namespaced
  names: {kind: Gateway, plural: gateways, singular: gateway}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: istio-validator-of-another}
webhooks:
  - name: istio.example.com
    admissionReviewVersions: [v1]
    sideEffects: None
    failurePolicy: Ignore
    objectSelector: {matchLabels: {never: matched}}
    clientConfig: {service: {name: istiod, namespace: istio-demo}}
    rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]
"""
ANOTHERS = """
apiVersion: istio.example.com/v1
kind: Gateway
metadata: {name: istio-gateway, namespace: istio-demo}
spec: {ours: true}
"""
MESH_OBJECTS = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: echo
  namespace: shop
  labels: {example.com/team: shop}
  annotations: {example.com/why: "both, in turn"}
spec:
  hosts: [echo]
  http: [{route: [{destination: {host: echo, subset: v1}}]}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: echo, namespace: shop, finalizers: [example.istio.io/nobody-answers]}
spec: {host: echo, subsets: [{name: v1, labels: {version: v1}}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: PERMISSIVE}}
"""


class Story:
    """A cluster of the lab, and what is done in it."""

    def __init__(self, env: dict[str, str]) -> None:
        # This checkout's collection, whatever else is installed on the machine.
        self.env = {**os.environ, **env, "ANSIBLE_COLLECTIONS_PATH": sysconfig.get_path("purelib")}
        self.charts = Path(env["LAB_CHARTS"])

    def run(self, *command: object, stdin: str | None = None, check: bool = True) -> str:
        """Runs a command with the cluster's environment and gives its output; a failure shows all of it."""
        words = [str(word) for word in command]
        done = subprocess.run(words, env=self.env, input=stdin, text=True, capture_output=True, check=False)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout + ("" if check else done.stderr)

    def kubectl(self, *words: object, stdin: str | None = None, check: bool = True) -> str:
        return self.run("kubectl", *words, stdin=stdin, check=check)

    def apply(self, text: str) -> None:
        """Applies objects; a kind may be served a moment after its definition is established."""
        deadline = time.monotonic() + 60
        while True:
            try:
                self.kubectl("apply", "-f", "-", stdin=text)
                return
            except AssertionError as failure:
                if "ensure CRDs are installed first" not in str(failure) or time.monotonic() > deadline:
                    raise
            time.sleep(0.5)

    def get(self, *words: str) -> dict:
        return json.loads(self.kubectl("get", *words, "-o", "json"))

    def helm(self, name: str, chart: object, namespace: str, values: dict | None = None) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            yaml.safe_dump(values or {}, file)
            file.flush()
            self.run("helm", "upgrade", "--install", name, chart, "-n", namespace, "--create-namespace",
                     "-f", file.name, "--wait", "--timeout", "400s")  # fmt: skip

    def chart(self, name: str) -> Path:
        return next(self.charts.glob(f"{name}-[0-9]*.tgz"))

    @property
    def images(self) -> dict:
        return {"global": {"hub": self.env["LAB_HUB"], "tag": self.env["LAB_TAG"], "imagePullPolicy": "IfNotPresent"}}

    # -- before Istio -----------------------------------------------------

    def users_own(self) -> None:
        """Everything that is there before Istio comes, and must be there when it has gone."""
        self.apply(USERS_OWN)
        self.kubectl("wait", "--for=condition=Established", "crd/gateways.istio.example.com", "--timeout=60s")
        self.apply(ANOTHERS)
        image = {"image": self.env["LAB_PROBE_IMAGE"]}
        # Its pods serve until everybody knows that they are going, on an overloaded machine too.
        self.helm("probe", ROOT / "charts/probe", "shop", {**image, "echo": {"drain": "15s"}})
        self.helm("outside", ROOT / "charts/probe", "outside", image)

    # -- installers -------------------------------------------------------

    def install_helm(self, cni: bool = False) -> str:
        """base, istiod and an ingress gateway as Istio's documentation installs them; gives the injection label."""
        self.helm("istio-base", self.chart("base"), "istio-system")
        if cni:
            self.helm("istio-cni", self.chart("cni"), "istio-system", self.images)
        values = {**self.images, **ISTIOD, **({"pilot": {"cni": {"enabled": True}}} if cni else {})}
        self.helm("istiod", self.chart("istiod"), "istio-system", values)
        self.gateway()
        return "istio-injection=enabled"

    def install_site(self) -> str:
        """A small mesh as site.yml installs it."""
        gateway = {
            "name": "istio-ingress",
            "namespace": "istio-ingress",
            "direction": "ingress",
            "service": {"type": "NodePort"},
            "values": {"imagePullPolicy": "IfNotPresent", "autoscaling": {"enabled": False}},
        }
        variables = {
            "control_plane_charts": str(self.charts),
            "control_plane_version": self.env["LAB_TAG"],
            "control_plane_values": {"istiod": {**self.images, **ISTIOD}},
            "gateways_list": [gateway],
        }
        self.playbook("meshops.istio.site", "-e", json.dumps(variables))
        return "istio-injection=enabled"

    def install_cni(self) -> str:
        return self.install_helm(cni=True)

    def gateway(self, **values: object) -> None:
        self.helm(
            "istio-ingress",
            self.chart("gateway"),
            "istio-ingress",
            {"service": {"type": "NodePort"}, "imagePullPolicy": "IfNotPresent", "autoscaling": {"enabled": False},
             "resources": {"requests": {"cpu": "10m", "memory": "40Mi"}}, **values},
        )  # fmt: skip

    def install_revisions(self) -> str:
        """Two revisions and two tags; workloads use a tag."""
        self.helm("istio-base", self.chart("base"), "istio-system", {"defaultRevision": "stable"})
        for revision, tags in (("stable", ["prod"]), ("canary", ["next"])):
            values = {**self.images, **ISTIOD, "revision": revision, "revisionTags": tags}
            self.helm(f"istiod-{revision}", self.chart("istiod"), "istio-system", values)
        return "istio.io/rev=prod"

    def install_istioctl(self) -> str:
        """The profile demo as istioctl installs it."""
        small = {"k8s": {"resources": {"requests": {"cpu": "10m", "memory": "40Mi"}}}}
        operator = {
            "apiVersion": "install.istio.io/v1alpha1",
            "kind": "IstioOperator",
            "spec": {
                "profile": "demo",
                "hub": self.env["LAB_HUB"],
                "tag": self.env["LAB_TAG"],
                "components": {
                    "ingressGateways": [{"name": "istio-ingressgateway", "enabled": True, **small}],
                    "egressGateways": [{"name": "istio-egressgateway", "enabled": True, **small}],
                },
                "values": {
                    "global": {"imagePullPolicy": "IfNotPresent"},
                    "telemetry": ISTIOD["telemetry"],
                    "pilot": {"env": ISTIOD["env"]},
                    "gateways": {"istio-ingressgateway": {"type": "NodePort"}},
                },
            },
        }
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            yaml.safe_dump(operator, file)
            file.flush()
            self.run("istioctl", "install", "-y", "-f", file.name)
        return "istio-injection=enabled"

    def use_mesh(self, label: str) -> None:
        """User objects of Istio's, and workloads with sidecars."""
        self.kubectl("label", "namespace", "shop", label)
        self.apply(MESH_OBJECTS)
        self.kubectl("-n", "shop", "rollout", "restart", "deployment")
        for name in ("echo-v1", "echo-v2", "client"):
            self.kubectl("-n", "shop", "rollout", "status", f"deployment/{name}", "--timeout=300s")
        assert "istio-proxy" in self.kubectl("-n", "shop", "get", "pods", "-l", "app=echo", "-o", "yaml")

    def wait_for_answers(self, statuses: dict[str, int], versions: set[str]) -> None:
        """Waits until 20 new connections from outside the mesh to workloads in it are answered like this."""
        ask = ("probe", "get", "-n", "20", "-new-connections", "http://echo.shop/")
        deadline = time.monotonic() + 120
        while True:
            told = json.loads(self.kubectl("-n", "outside", "exec", "deploy/client", "--", *ask))
            if told["statuses"] == statuses and set(told["versions"]) == versions:
                return
            assert time.monotonic() < deadline, told
            time.sleep(0.5)

    # -- purging ----------------------------------------------------------

    def purge(self, *words: str, **variables: object) -> dict:
        """Runs playbooks/purge.yml; gives the module's result. A variable that is None is left to the role."""
        with tempfile.TemporaryDirectory() as folder:
            told = Path(folder) / "vars.json"
            out = Path(folder) / "result.json"
            given = {"purge_confirm": True, "purge_backup_dir": "", **variables}
            told.write_text(json.dumps({name: value for name, value in given.items() if value is not None}))
            play = Path(folder) / "play.yml"
            play.write_text(
                "- import_playbook: meshops.istio.purge\n"
                "- hosts: all\n"
                "  gather_facts: false\n"
                "  tasks:\n"
                f"    - copy: {{dest: {out}, content: '{{{{ purge_result | to_json }}}}'}}\n"
                "      check_mode: false\n"
            )
            self.playbook(play, "-e", f"@{told}", *words)
            return json.loads(out.read_text())

    def playbook(self, play: object, *words: object, check: bool = True) -> str:
        ansible = Path(sys.executable).parent / "ansible-playbook"
        python = f"ansible_python_interpreter={sys.executable}"
        return self.run(ansible, play, "-i", "lab,", "-c", "local", "-e", python, *words, check=check)

    # -- looking ----------------------------------------------------------

    def everything(self) -> dict[str, dict]:
        """Every object of every kind that the server can list, without what changes by itself.

        Of Leases only the names are looked at, and not those by which nodes show that they live. Of endpoints only
        those that belong to nothing.
        """
        while True:
            kinds = self.kubectl("api-resources", "--verbs=list", "-o", "name").split()
            kinds = [k for k in kinds if k not in _MOVING and not k.endswith(".metrics.k8s.io")]
            told = self.kubectl("get", ",".join(kinds), "-A", "-o", "json", check=False)
            if "doesn't have a resource type" not in told:
                break  # else a definition has gone in between
        found = json.JSONDecoder().raw_decode(told)[0]["items"]  # warnings may follow
        return {
            "/".join((o["apiVersion"].rpartition("/")[0], o["kind"], o["metadata"].get("namespace", ""),
                      o["metadata"]["name"])): still(o)
            for o in found
            if o["metadata"].get("namespace") != "kube-node-lease" and not _of_controllers(o)
        }  # fmt: skip

    def node_files(self) -> dict[str, object]:
        """The CNI's configuration on the node by file name, read, and the names of its programs."""
        node = self.get("nodes")["items"][0]["metadata"]["name"]

        def on_node(*words: str) -> str:
            return self.run("docker", "exec", node, *words)

        names = on_node("ls", "/etc/cni/net.d").split()
        texts = {name: on_node("cat", f"/etc/cni/net.d/{name}") for name in names}
        files = {name: json.loads(text) if text.startswith("{") else text for name, text in texts.items()}
        return {**files, "/opt/cni/bin": on_node("ls", "/opt/cni/bin").split()}

    def traces(self) -> list[str]:
        """Istio's mark anywhere: in pods, and in the text of objects that are not the user's own."""
        pods = self.get("pods", "-A")["items"]
        traces = [
            f"sidecar in {p['metadata']['namespace']}/{p['metadata']['name']}"
            for p in pods
            if not p["metadata"].get("deletionTimestamp")
            and (
                "istio-proxy" in json.dumps(p["spec"])
                or "istio.io/" in json.dumps(p["metadata"].get("annotations", {}))
            )
        ]
        return traces + [name for name, o in self.everything().items() if "istio.io" in json.dumps(o)]


_MOVING = (
    "events", "events.events.k8s.io", "pods", "replicasets.apps", "controllerrevisions.apps", "componentstatuses",
)  # fmt: skip


def _of_controllers(obj: dict) -> bool:
    """Whether these are endpoints that Kubernetes itself has made for a Service: they change with its pods."""
    meta = obj["metadata"]
    keys = [*meta.get("labels", {}), *meta.get("annotations", {})]
    return (obj["kind"] == "EndpointSlice" and "ownerReferences" in meta) or (
        obj["kind"] == "Endpoints" and any(key.startswith("endpoints.kubernetes.io/") for key in keys)
    )


def still(obj: dict) -> dict:
    """An object without what the server and controllers write."""
    obj = json.loads(json.dumps(obj))
    if obj["kind"] == "Lease":
        return {"metadata": {"name": obj["metadata"]["name"]}}
    if obj["kind"] == "Node":
        return {"metadata": {"labels": obj["metadata"].get("labels")}, "spec": {"taints": obj["spec"].get("taints")}}
    obj.pop("status", None)
    for field in ("uid", "resourceVersion", "generation", "managedFields", "creationTimestamp"):
        obj["metadata"].pop(field, None)
    annotations = obj["metadata"].get("annotations") or {}
    annotations.pop("deployment.kubernetes.io/revision", None)
    if not annotations:
        obj["metadata"].pop("annotations", None)
    template = (obj.get("spec") or {}).get("template") or {}
    if isinstance(template, dict):
        marks = (template.get("metadata") or {}).get("annotations") or {}
        marks.pop("kubectl.kubernetes.io/restartedAt", None)
        if "metadata" in template and not marks:
            template["metadata"].pop("annotations", None)
    return obj


def difference(before: dict[str, dict], after: dict[str, dict]) -> list[str]:
    """What an audit reports: objects that came, went or changed."""
    return sorted(
        [f"came: {name}" for name in after if name not in before]
        + [f"went: {name}" for name in before if name not in after]
        + [
            f"changed: {name}: {before[name]} -> {after[name]}"
            for name in before
            if name in after and before[name] != after[name]
        ]
    )


class Traffic:
    """Requests from outside the mesh, one after another, until the block ends."""

    def __init__(self, story: Story, url: str = "http://echo.shop/") -> None:
        self.story, self.url = story, url
        self.answers: list[dict] = []
        self.failed: list[dict] = []

    def __enter__(self) -> Traffic:
        service, namespace = self.url.split("/")[2].split(".")
        address = self.story.get("service", service, "-n", namespace)["spec"]["clusterIP"]
        # Without DNS and with time to spare: an overloaded machine isn't a failure of the purge.
        self._options = ("-connect-to", f"{address}:80", "-timeout", "30s")
        self._stop = threading.Event()
        self._pool = concurrent.futures.ThreadPoolExecutor(1)
        self._asking = self._pool.submit(self._ask)
        return self

    def _ask(self) -> None:
        while not self._stop.is_set():
            probe = ("probe", "load", "-duration", "5s", "-rate", "20", *self._options, self.url)
            told = self.story.kubectl("-n", "outside", "exec", "deploy/client", "--", *probe)
            *failures, answer = [json.loads(line) for line in told.splitlines()]
            self.failed += failures
            self.answers.append(answer)

    @property
    def requests(self) -> int:
        return sum(answer["requests"] for answer in self.answers)

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._pool.shutdown()
        self._asking.result()
