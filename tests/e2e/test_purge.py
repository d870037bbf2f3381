# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""After a purge an independent audit finds nothing of Istio, and nothing else missing.

The audit lists every object of every kind before Istio comes and after it has gone, and the node's CNI files. The
rest of the matrix is in tests/soak/test_purge_matrix.py.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from purge_story import MESH_OBJECTS, Story, Traffic, difference

STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
"""
#: The Gateway API with another controller that serves it.
ANOTHER_CONTROLLERS = """
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: another}
spec: {controllerName: example.com/another}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: another, namespace: outside}
spec: {gatewayClassName: another, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: another, namespace: outside}
spec: {parentRefs: [{name: another}], rules: [{backendRefs: [{name: echo, port: 80}]}]}
"""
#: A gateway of the Gateway API, and one of a user's own manifest, as Istio's documentation shows both.
GATEWAYS = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: front, namespace: shop, annotations: {networking.istio.io/service-type: ClusterIP}}
spec: {gatewayClassName: istio, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: front, namespace: shop}
spec: {parentRefs: [{name: front}], rules: [{backendRefs: [{name: echo, port: 80}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: edge, namespace: outside}
spec:
  selector: {matchLabels: {istio: edge}}
  template:
    metadata:
      annotations: {inject.istio.io/templates: gateway}
      labels: {istio: edge, sidecar.istio.io/inject: "true"}
    spec: {containers: [{name: istio-proxy, image: auto, imagePullPolicy: IfNotPresent}]}
"""


@pytest.fixture(scope="module")
def story(own_cluster):
    story = Story(own_cluster)
    story.users_own()
    definitions = next(path for path in own_cluster["LAB_CRDS"].split(":") if "gateway-api" in path)
    story.kubectl("apply", "--server-side", "-f", definitions)
    story.kubectl("wait", "--for=condition=Established", "-f", definitions, "--timeout=60s")
    story.apply(ANOTHER_CONTROLLERS)
    return story


@pytest.fixture(scope="module")
def before(story):
    return story.everything()


@pytest.fixture(scope="module")
def backup(story, tmp_path_factory):
    """The folder that the role writes its backups to by itself."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(story.env, "HOME", str(home))
        yield home / "istio-backup/lab"


def test_a_mesh_that_helm_installed_with_cni(story, before, backup):
    """Workloads keep answering; what users have written is saved; a second purge changes nothing."""
    files = story.node_files()
    story.use_mesh(story.install_cni())
    assert story.node_files() != files
    story.apply(GATEWAYS)
    story.kubectl("-n", "shop", "wait", "gateway/front", "--for=condition=Programmed", "--timeout=300s")
    story.kubectl("-n", "outside", "rollout", "status", "deployment/edge", "--timeout=300s")

    story.apply(STRICT)
    story.wait_for_answers({}, set())
    plan = story.purge("--check")
    story.apply(MESH_OBJECTS)
    story.wait_for_answers({"200": 20}, {"v1", "v2"})
    assert plan["changed"]
    assert any("PeerAuthentication shop/default" in text and "PERMISSIVE" in text for text in plan["warnings"])
    assert story.kubectl("get", "deployment", "-n", "istio-system", "istiod")

    with Traffic(story) as traffic:
        done = story.purge(purge_backup_dir=None)
    assert difference(before, story.everything()) == []
    assert story.traces() == []
    assert story.node_files() == files
    assert "warnings" not in done
    assert done["notes"] == [], "the node was looked at, and nothing had to be put right"
    assert traffic.requests > 100
    assert traffic.failed == []
    assert "the footprint is empty" in done["proof"]
    assert any("a new pod started in namespace shop" in line for line in done["proof"])
    assert done["finalizers"] == ["DestinationRule shop/echo: example.istio.io/nobody-answers"]
    retained = {(item["kind"], item["name"]) for item in done["retained"]}
    assert retained >= {("Namespace", "istio-demo"), ("ServiceAccount", "istiod")}

    assert {name.rpartition(".")[0] for name in os.listdir(backup / "mesh_objects")} == {
        "virtualservice.shop.echo",
        "destinationrule.shop.echo",
        "peerauthentication.shop.default",
        "gateway.gateway.networking.k8s.io.shop.front",
        "httproute.gateway.networking.k8s.io.shop.front",
        "deployment.outside.edge",
    }
    assert story.purge(purge_backup_dir=None)["changed"] is False


def test_a_mesh_that_istioctl_installed_and_istiod_is_down(story, before, backup):
    story.use_mesh(story.install_istioctl())
    story.kubectl("-n", "istio-system", "scale", "deployment/istiod", "--replicas=0")
    story.kubectl("-n", "istio-system", "wait", "--for=delete", "pod", "-l", "app=istiod", "--timeout=120s")
    done = story.purge(purge_backup_dir=None)
    assert difference(before, story.everything()) == []
    assert story.traces() == []
    earlier = Path(done["notes"][0].rpartition(" ")[2])
    assert earlier.name.startswith("lab.20")
    profiles = ["control_plane_cni: true" in (folder / "site.yml").read_text() for folder in (earlier, backup)]
    assert profiles == [True, False]
