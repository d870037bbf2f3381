# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The collection as a user gets it, on an empty cluster: what site.yml says, does, and leaves behind.

It is built, and installed into an empty environment with what it declares alone; it works with Helm 3 there.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import venv

import ansible_collections.kubernetes.core
import pytest
import yaml
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from conftest import ROOT, Run
from following import eventually


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> pathlib.Path:
    """A virtual environment with ansible-core, requirements.txt, and the collections of galaxy.yml's dependencies."""
    place = tmp_path_factory.mktemp("installed")
    venv.create(place / "venv", with_pip=True)
    python = place / "venv/bin/python"
    runtime = ROOT / "requirements.txt"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "ansible-core==2.19.14", "-r", runtime, "-c", pins(place)],
        check=True,
    )
    collections = place / "collections"
    declared = yaml.safe_load((ROOT / "galaxy.yml").read_text())["dependencies"]
    assert list(declared) == ["kubernetes.core"]
    source = pathlib.Path(next(iter(ansible_collections.kubernetes.core.__path__)))
    shutil.copytree(source, collections / "ansible_collections/kubernetes/core")
    galaxy = place / "venv/bin/ansible-galaxy"  # this environment's own would find the collection installed already
    subprocess.run([galaxy, "collection", "build", "--output-path", place, ROOT], check=True, capture_output=True)
    (package,) = place.glob("meshops-istio-*.tar.gz")
    subprocess.run(
        [galaxy, "collection", "install", "--offline", "-p", collections, package],
        check=True, capture_output=True, env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections)},
    )  # fmt: skip
    return place


def pins(place: pathlib.Path) -> pathlib.Path:
    """The versions that the rest of the tests run with, so that a new release elsewhere breaks no test here."""
    lines = (ROOT / "requirements-dev.txt").read_text().splitlines()
    path = place / "pins.txt"
    path.write_text("\n".join(line for line in lines if "==" in line))
    return path


class User:
    """Somebody who has nothing but the installed collection, the lab's tools, and a Helm.

    :ivar env: the environment
    """

    def __init__(self, env: dict[str, str], installed: pathlib.Path) -> None:
        self.installed = installed
        (installed / "helm").mkdir()
        (installed / "helm/helm").symlink_to(env["LAB_HELM3"])
        tools = env["PATH"].split(os.pathsep)[1]  # the lab's
        self.env = {
            **env,
            "PATH": f"{installed}/venv/bin:{installed}/helm:{tools}:/usr/bin:/bin",
            "ANSIBLE_COLLECTIONS_PATH": str(installed / "collections"),
        }
        shutil.copytree(ROOT / "playbooks/inventory/demo", installed / "inventory")

    def play(self, playbook: str, *options: str) -> Run:
        run = Run(
            subprocess.run(
                [self.installed / "venv/bin/ansible-playbook", playbook, *options],
                env=self.env, cwd=self.installed, capture_output=True, text=True, check=False,
            )
        )  # fmt: skip
        assert run.code == 0, run.text
        return run


@pytest.fixture(scope="module")
def user(own_mesh, installed) -> User:
    return User(own_mesh.env, installed)


def objects(run: Run) -> set[str]:
    """The objects that a run with --diff has shown as new."""
    shown = re.findall(r"^--- before: (.+)\n\+\+\+ after: (.+)\n@@ -0,0", run.text, re.MULTILINE)
    assert all(before == after for before, after in shown)
    return {after for _before, after in shown}


def names(cluster) -> dict[str, set[str]]:
    """What there is of the kinds that a mesh consists of."""
    found = {}
    for group, kind in (
        ("", "Namespace"),
        ("apps", "Deployment"),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ("rbac.authorization.k8s.io", "ClusterRole"),
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ):
        listed = [o["metadata"] for o in cluster.list(KNOWN[group, kind])]
        found[kind] = {
            f"{kind} {m['namespace']}/{m['name']}" if "namespace" in m else f"{kind} {m['name']}" for m in listed
        }
    return found


def test_a_first_run_whose_image_can_not_be_pulled_is_taken_out_again(own_mesh):
    cluster = own_mesh.cluster
    before = names(cluster)
    failed = own_mesh.play("site", "-e", "control_plane_tag=nosuch", fails=True)
    assert "pilot:nosuch: ImagePullBackOff" in failed.text
    for release in ("istiod", "istio-base"):
        assert f"Release {release} has been uninstalled again." in failed.text
    assert "Namespaces, and the CustomResourceDefinitions that Helm keeps, are retained." in failed.text
    left = {kind: now - before[kind] for kind, now in names(cluster).items()}
    definitions = left.pop("CustomResourceDefinition")
    assert definitions
    assert left.pop("Namespace") == {"Namespace istio-system"}
    assert not any(left.values()), left
    assert cluster.list(KNOWN["", "Secret"], labels="owner=helm") == []
    assert own_mesh.play("site", "--check").count("failed") == 0  # what is left is in nobody's way

    for definition in definitions:
        cluster.delete(KNOWN["apiextensions.k8s.io", "CustomResourceDefinition"], definition.split()[1])
    cluster.delete(KNOWN["", "Namespace"], "istio-system")
    eventually(lambda: names(cluster), before, 240)


#: What tutorials put on a cluster before the mesh is installed: labels, quotas, limits and policies.
TUTORIAL = """
{apiVersion: v1, kind: Namespace, metadata: {name: default, labels: {istio-injection: enabled}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: istio-system, labels: {istio-injection: disabled}}}
---
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {istio-injection: enabled, pod-security.kubernetes.io/warn: restricted}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: team, namespace: shop}
spec: {hard: {pods: "10", requests.cpu: "2", requests.memory: 2Gi, limits.cpu: "16", limits.memory: 16Gi}}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: mesh, namespace: istio-system}
spec: {hard: {pods: "10", requests.cpu: "4", requests.memory: 8Gi}}
---
apiVersion: v1
kind: LimitRange
metadata: {name: team, namespace: shop}
spec:
  limits:
    - type: Container
      default: {cpu: 500m, memory: 256Mi}
      defaultRequest: {cpu: 10m, memory: 32Mi}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny-ingress, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: IMAGE, imagePullPolicy: IfNotPresent, args: [wait]}]
"""


class Reader:
    """Somebody who follows the quick start of the README on a cluster with what tutorials put there.

    :ivar commands: the commands of its console blocks, as they are written there
    """

    def __init__(self, user: User, place: pathlib.Path) -> None:
        section = (ROOT / "README.md").read_text().partition("## Quick start\n")[2].partition("\n## ")[0]
        (inventory,) = re.findall(r"^```yaml\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
        # No registry has the lab's images, so gateways must not pull them.
        entry = "        direction: ingress\n"
        assert entry in inventory
        local = inventory.replace(entry, entry + "        values: {imagePullPolicy: IfNotPresent}\n")
        (place / "mesh.yml").write_text(local)
        # The lab's charts and images, in a place that Ansible reads beside an inventory.
        lab = place / "group_vars/all"
        lab.mkdir(parents=True)
        shutil.copy(ROOT / "playbooks/inventory/demo/group_vars/all/lab.yml", lab)
        consoles = re.findall(r"^```console\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
        self.commands = [line for text in consoles for line in text.splitlines()]
        self.place = place
        self.env = {**user.env, "HOME": str(place)}

    def type(self, command: str) -> Run:
        run = Run(
            subprocess.run(
                ["bash", "-c", command], env=self.env, cwd=self.place, capture_output=True, text=True, check=False,
                timeout=800,
            )
        )  # fmt: skip
        assert run.code == 0, f"{command}\n{run.text}"
        return run


def test_the_quick_start_of_the_readme_works_where_tutorials_have_been(user, own_mesh, tmp_path):
    cluster = own_mesh.cluster
    before = names(cluster)
    documents = TUTORIAL.replace("IMAGE", own_mesh.env["LAB_PROBE_IMAGE"])
    kubectl = ["kubectl", "apply", "--server-side", "--force-conflicts", "-f", "-"]
    subprocess.run(kubectl, input=documents, env=own_mesh.env, text=True, check=True, timeout=120)
    prepared = names(cluster)
    reader = Reader(user, tmp_path)
    check, install, again, report, purge_check, purge = reader.commands

    planned = reader.type(check)
    assert "Will install release istio-system/istiod" in planned.text
    assert "Will restart Deployment shop/web" in planned.text
    assert names(cluster) == prepared

    installed = reader.type(install)
    assert "Installed release istio-system/istiod" in installed.text
    assert "Restarted Deployment shop/web" in installed.text
    assert re.search(r"Istio 1\.\d+\.\d+ runs as revision default in istio-system: [1-9]", installed.text)
    assert re.search(
        r"Gateway istio-ingress/istio-ingressgateway listens on every node, ports .*\(for 80\)", installed.text
    )
    sidecars = [
        pod for pod in own_mesh.pods("shop", "app=web") if "sidecar.istio.io/status" in pod["metadata"]["annotations"]
    ]
    assert sidecars

    second = reader.type(again)
    assert second.count("changed") == 0
    assert "No changes: the cluster is as declared." in second.text

    assert f"Report: {tmp_path}/mesh-report/demo.html" in reader.type(report).text
    assert 'data-label="ready">yes' in (tmp_path / "mesh-report/demo.html").read_text()

    assert "Will delete: " in reader.type(purge_check).text
    removed = reader.type(purge)
    assert "Deleted: " in removed.text
    assert "To restore the mesh: ansible-playbook /" in removed.text

    for namespace in ("shop", "istio-system", "istio-ingress"):
        subprocess.run(
            ["kubectl", "delete", "namespace", namespace, "--ignore-not-found", "--timeout=120s"],
            env=own_mesh.env, check=True, timeout=150,
        )  # fmt: skip
    subprocess.run(
        ["kubectl", "label", "namespace", "default", "istio-injection-"], env=own_mesh.env, check=True, timeout=60
    )
    eventually(lambda: names(cluster), before, 120)


def test_check_mode_tells_what_the_first_run_then_does(user, own_mesh):
    site = ("meshops.istio.site", "-i", "inventory")
    before = names(own_mesh.cluster)
    looked = user.play(*site, "--check", "--diff")
    assert names(own_mesh.cluster) == before

    done = user.play(*site, "--diff")
    assert objects(looked) == objects(done)
    made = {kind: now - before[kind] for kind, now in names(own_mesh.cluster).items()}
    for kind, created in made.items():
        assert created, kind
        assert created <= objects(looked), kind
    assert user.play(*site).count("changed") == 0


def test_it_is_the_installed_collection_that_ran(user):
    listed = subprocess.check_output(
        [user.installed / "venv/bin/ansible-galaxy", "collection", "list", "--format", "json"], env=user.env, text=True
    )
    assert "meshops.istio" in json.loads(listed)[str(user.installed / "collections/ansible_collections")]
    assert "meshops.istio.control_plane" in user.play("meshops.istio.site", "-i", "inventory", "--list-tasks").text


def test_the_mesh_serves_and_another_helm_finds_nothing_to_do(own_mesh):
    eventually(lambda: own_mesh.ingress("/")[0], 200)
    assert own_mesh.play("site").count("changed") == 0
