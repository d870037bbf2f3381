# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A mesh that istioctl has installed becomes Helm releases under load, and Helm works on it as if it had made it.

Once with Helm 4 and the document in the inventory, once with Helm 3 and what the operator of old leaves in a cluster.
"""

from __future__ import annotations

import copy
import json
import pathlib
import subprocess

import pytest
import yaml
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN, Kind
from ansible_collections.meshops.istio.plugins.module_utils.cluster.wait import wait_established
from ansible_collections.meshops.istio.plugins.module_utils.cluster.workloads import wait_ready
from ansible_collections.meshops.istio.plugins.module_utils.helm.stored import decode
from conftest import ROOT
from traffic import without_failure

pytestmark = pytest.mark.timeout(1800)

DEPLOYMENT, SECRET = KNOWN["apps", "Deployment"], KNOWN["", "Secret"]
WAYS = {
    "sidecar": ("demo", "http://echo.demo/"),
    "gateway": ("outside", "http://istio-ingressgateway.istio-system/"),
}
DRAIN = {"defaultConfig": {"terminationDrainDuration": "15s"}}
OBJECTS = [
    {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "ingress", "namespace": "demo"},
        "spec": {
            "selector": {"istio": "ingressgateway"},
            "servers": [{"port": {"number": 8080, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}],
        },
    },
    {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "ingress", "namespace": "demo"},
        "spec": {
            "hosts": ["*"],
            "gateways": ["ingress"],
            "http": [{"route": [{"destination": {"host": "echo", "port": {"number": 80}}}]}],
        },
    },
]
IOP = "install.istio.io"
ISTIO_OPERATOR = Kind(IOP, "v1alpha1", "IstioOperator", "istiooperators", True)
IOP_DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"istiooperators.{IOP}"},
    "spec": {
        "group": IOP,
        "names": {"kind": "IstioOperator", "listKind": "IstioOperatorList", "plural": "istiooperators"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


class Story:
    """A mesh by istioctl, with an app in it."""

    def __init__(self, mesh, folder: pathlib.Path) -> None:
        self.mesh, self.folder = mesh, folder
        gateway = {"k8s": {"replicaCount": 2, "resources": {"requests": {"cpu": "10m", "memory": "40Mi"}}}}
        spec = {
            "profile": "demo",
            "hub": mesh.env["LAB_HUB"],
            "tag": mesh.env["LAB_TAG"],
            "meshConfig": DRAIN,
            "components": {
                "ingressGateways": [{"name": "istio-ingressgateway", "enabled": True, **gateway}],
                "egressGateways": [{"name": "istio-egressgateway", "enabled": False}],
            },
            "values": {
                "telemetry": {"enabled": False},
                "pilot": {"env": {"PILOT_ENABLE_ALPN_FILTER": "false", "PILOT_ENABLE_METADATA_EXCHANGE": "false"}},
                "global": {"imagePullPolicy": "IfNotPresent"},
                "gateways": {"istio-ingressgateway": {"type": "ClusterIP"}},
            },
        }
        meta = {"name": "mesh", "namespace": "istio-system"}
        self.document = {"apiVersion": f"{IOP}/v1alpha1", "kind": "IstioOperator", "metadata": meta, "spec": spec}
        self.file = folder / "mesh.yaml"
        self.file.write_text(yaml.safe_dump(self.document))

    def call(self, *command: object) -> str:
        words = [str(word) for word in command]
        done = subprocess.run(words, env=self.mesh.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def install(self) -> None:
        cluster = self.mesh.cluster
        self.call("istioctl", "install", "-y", "-f", self.file)
        for name, labels in (("demo", {"istio-injection": "enabled"}), ("outside", {})):
            cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        values = self.folder / "probe.json"
        image = self.mesh.env["LAB_PROBE_IMAGE"]
        values.write_text(json.dumps({"image": image, "echo": {"replicas": 2, "drain": "15s"}}))
        self.call("helm", "upgrade", "--install", "probe", ROOT / "charts/probe", "-n", "demo", "--wait", "-f", values)
        for obj in OBJECTS:
            cluster.apply(obj)

    def remove(self) -> None:
        """Takes away what the story has made, but for namespaces that the next one has, too."""
        for name in ("istio-ingressgateway", "istiod", "istio-base"):
            self.call("helm", "uninstall", name, "-n", "istio-system", "--wait", "--ignore-not-found")

    def adopt(self, *options: str, **variables):
        variables.setdefault("gateways_list", [])  # they are part of the document
        # The rest of the demo's inventory is about a mesh that a document doesn't make.
        for name in ("profile", "values", "mesh_config"):
            variables.setdefault(f"control_plane_{name}", None)
        return self.mesh.play("adopt", "-e", json.dumps(variables), *options)

    def uids(self, namespace: str, selector: str) -> set[str]:
        return {pod["metadata"]["uid"] for pod in self.mesh.pods(namespace, selector)}

    def pods_by_workload(self) -> dict[str, set[str]]:
        """The pods of istiod and of the gateway."""
        return {name: self.uids("istio-system", f"app={name}") for name in ("istiod", "istio-ingressgateway")}

    def releases(self) -> dict[str, str]:
        found = [decode(s) for s in self.mesh.cluster.list(SECRET, "istio-system", labels="owner=helm")]
        return {one.name: one.status for one in found if one.status != "superseded"}

    def left(self) -> list[str]:
        """What still is istioctl's."""
        kinds = "deploy,svc,sa,cm,role,rolebinding,hpa,pdb,clusterrole,clusterrolebinding,crd"
        kinds += ",mutatingwebhookconfiguration,validatingwebhookconfiguration"
        words = ["kubectl", "get", kinds, "-A", "-l", "operator.istio.io/managed=Reconcile", "-o", "name"]
        return self.call(*words).split()


@pytest.fixture(scope="module")
def story(own_mesh, tmp_path_factory):
    story = Story(own_mesh, tmp_path_factory.mktemp("adopt"))
    story.install()
    return story


@pytest.fixture
def traffic(story, tmp_path):
    """Requests through the gateway and between sidecars."""
    with without_failure(story.mesh, tmp_path, WAYS, at_least=100) as traffic:
        yield traffic


def upgraded_by_helm(story, helm: str) -> None:
    """Helm by itself upgrades each release, with another value, and stumbles over nothing."""
    charts, tag = story.mesh.env["LAB_CHARTS"], story.mesh.env["LAB_TAG"]
    for name, chart, value in (
        ("istio-base", "base", "base.note=1"),
        ("istiod", "istiod", "pilot.podAnnotations.round=two"),
        ("istio-ingressgateway", "gateway", "annotations.round=two"),
    ):
        options = ["-n", "istio-system", "--reuse-values", "--set-string", value, "--wait"]
        story.call(story.mesh.env[helm], "upgrade", name, f"{charts}/{chart}-{tag}.tgz", *options)


def restarted_of(text: str) -> list[str]:
    """The workloads that a module's result names in restarted."""
    start = text.rindex('"restarted": [') + len('"restarted": ')
    return json.JSONDecoder().raw_decode(text[start:])[0]


def test_what_istioctl_installed_becomes_releases(story, traffic):
    sidecars, before = story.uids("demo", "app=echo"), story.pods_by_workload()
    address = story.mesh.cluster.get(KNOWN["", "Service"], "istio-ingressgateway", "istio-system")["spec"]["clusterIP"]
    variables = {"control_plane_istio_operator": str(story.file)}
    told = story.adopt("--check", "--diff", **variables)
    assert told.count("changed") == 1
    assert "Deployment istio-system/istio-ingressgateway" in told.text
    assert story.releases() == {}
    assert story.pods_by_workload() == before

    done = story.adopt("-v", **variables)
    assert story.releases() == dict.fromkeys(("istio-base", "istiod", "istio-ingressgateway"), "deployed")
    assert story.left() == []
    assert story.uids("demo", "app=echo") == sidecars
    renewed = [name for name, pods in story.pods_by_workload().items() if pods - before[name]]
    assert {f"Deployment istio-system/{name}" for name in renewed} == set(restarted_of(done.text))
    service = story.mesh.cluster.get(KNOWN["", "Service"], "istio-ingressgateway", "istio-system")
    assert service["spec"]["clusterIP"] == address
    (proxy,) = story.mesh.cluster.get(DEPLOYMENT, "istio-ingressgateway", "istio-system")["spec"]["template"]["spec"][
        "containers"
    ]
    assert proxy["image"] == "auto"
    assert "args" not in proxy
    assert story.adopt(**variables).count("changed") == 0


def test_helm_4_upgrades_it_without_a_conflict(story, traffic):
    upgraded_by_helm(story, "LAB_HELM4")


@pytest.fixture
def legacy(story):
    """The same mesh as the operator of old leaves it: its document with a finalizer, and the operator at work."""
    mesh = story.mesh
    story.remove()
    story.install()
    mesh.cluster.create(IOP_DEFINITION)
    assert wait_established(mesh.cluster, [ISTIO_OPERATOR], 60) == []
    document = copy.deepcopy(story.document)
    document["metadata"]["finalizers"] = [f"istio-finalizer.{IOP}"]
    mesh.cluster.create(document)
    mesh.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-operator"}})
    labels = {"name": "istio-operator"}
    container = {"name": "operator", "image": mesh.env["LAB_PROBE_IMAGE"], "args": ["wait"]}
    container["imagePullPolicy"] = "IfNotPresent"
    operator = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "istio-operator", "namespace": "istio-operator"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": operator["metadata"]}
    mesh.cluster.create(account)
    mesh.cluster.create(operator)
    wait_ready(mesh.cluster, [operator], 180)
    helm3 = copy.copy(mesh)
    path = story.folder / "helm"
    path.symlink_to(mesh.env["LAB_HELM3"])
    helm3.env = {**mesh.env, "PATH": f"{story.folder}:{mesh.env['PATH']}"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(story, "mesh", helm3)
        yield story


def test_the_operator_of_old_hands_over_its_mesh_and_goes(legacy, traffic):
    dest = legacy.folder / "from-the-cluster.yaml"
    run = legacy.mesh.play("adopt", "-e", json.dumps(plain()), fails=True)
    assert "which the adoption removes. Set document_dest" in run.text
    assert legacy.releases() == {}

    legacy.adopt(adopt_document=str(dest))
    assert legacy.releases() == dict.fromkeys(("istio-base", "istiod", "istio-ingressgateway"), "deployed")
    assert yaml.safe_load(dest.read_text())["spec"] == legacy.document["spec"]
    gone = "istiooperators.install.istio.io,deployments,serviceaccounts"
    left = legacy.call("kubectl", "get", gone, "-A", "-o", "name").split()
    assert not [name for name in left if "istio-operator" in name or "istiooperator" in name]
    assert legacy.left() == []
    assert legacy.adopt(adopt_document=str(dest)).count("changed") == 0
    upgraded_by_helm(legacy, "LAB_HELM3")


def plain() -> dict:
    return {"gateways_list": [], **{f"control_plane_{n}": None for n in ("profile", "values", "mesh_config")}}
