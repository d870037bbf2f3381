# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Purges on a real API server: webhooks without a backend, finalizers, killed runs, a server that is away."""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import threading
import time

import pytest
import yaml
from ansible_collections.meshops.istio.plugins.module_utils.cluster.client import Cluster
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError, ClusterError
from ansible_collections.meshops.istio.plugins.module_utils.istio.footprint_listing import list_istio, read_footprint
from ansible_collections.meshops.istio.plugins.module_utils.istio.purge import PurgeError, Wishes, purge

ADMISSION = "admissionregistration.k8s.io/v1"
COMPONENT = {"operator.istio.io/component": "Pilot"}
#: There is no controller here that would empty a namespace, hence they are kept.
ALL = Wishes(confirm=True, keep=("namespaces",), wait_timeout=20, finalizer_timeout=1)


@pytest.fixture(scope="module")
def server(lab):
    with lab.api_server("purge") as environment:
        yield environment


@pytest.fixture
def cluster(server):
    return Cluster({"kubeconfig": server["KUBECONFIG"]}, retry_time=1)


def make(cluster, kind, name, namespace=None, api="v1", **rest):
    meta = {"name": name, **rest.pop("meta", {}), **({"namespace": namespace} if namespace else {})}
    return cluster.apply({"apiVersion": api, "kind": kind, "metadata": meta, **rest}, force=True)


@pytest.fixture
def mesh(cluster, server):
    """What Istio leaves in a cluster, without workloads; its webhooks are served by nobody."""
    cluster.delete(cluster.kind(ADMISSION, "ValidatingWebhookConfiguration"), "istiod-default-validator")
    for path in server["LAB_CRDS"].split(":"):
        if "istio" in os.path.basename(path):
            for definition in yaml.safe_load_all(pathlib.Path(path).read_text()):
                cluster.apply(definition, force=True)
    for name in ("istio-system", "shop"):
        make(cluster, "Namespace", name)
    for number in range(10):
        make(
            cluster,
            "ClusterRole",
            f"istiod-{number}",
            api="rbac.authorization.k8s.io/v1",
            meta={"labels": COMPONENT},
            rules=[],
        )
        make(cluster, "ConfigMap", f"istiod-{number}", "istio-system", meta={"labels": COMPONENT})
    make(cluster, "ConfigMap", "istio-ca-root-cert", "shop", meta={"labels": {"istio.io/config": "true"}})
    make(cluster, "Secret", "cacerts", "istio-system", stringData={"ca-key.pem": "made for this test"})
    cluster.forget_kinds()
    deadline = time.monotonic() + 30
    while True:
        try:
            for number in range(5):
                make(cluster, "Sidecar", f"s{number}", "shop", "networking.istio.io/v1", spec={})
            held = {"finalizers": ["example.com/nobody-answers", "example.istio.io/nobody-answers"]}
            make(cluster, "Sidecar", "held", "shop", "networking.istio.io/v1", spec={}, meta=held)
            break
        except ClusterError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)
    hook = {
        "name": "validation.istio.io",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "clientConfig": {"service": {"name": "istiod", "namespace": "istio-system", "path": "/validate"}},
        "rules": [
            {"apiGroups": ["networking.istio.io"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}
        ],
    }
    make(cluster, "ValidatingWebhookConfiguration", "istiod-default-validator", api=ADMISSION, webhooks=[hook])
    while True:
        try:
            make(cluster, "Sidecar", "refused", "shop", "networking.istio.io/v1", spec={})
        except ApiError as error:
            if "validation.istio.io" in str(error):
                break
            raise
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return cluster


def left(cluster):
    return [item.where for item in read_footprint(cluster).items if item.part != "namespaces"]


def test_everything_goes_although_a_webhook_refuses_every_write(mesh):
    done = purge(mesh, ALL)
    assert done["changed"]
    assert done["finalizers"] == [
        "Sidecar shop/held: example.istio.io/nobody-answers",
        "Sidecar shop/held: example.com/nobody-answers",
    ]
    assert left(mesh) == []
    again = purge(mesh, ALL)
    assert again["changed"] is False
    assert again["purged"] == []


def test_check_mode_changes_nothing_and_tells_the_same(mesh):
    before = {obj["metadata"]["uid"]: obj["metadata"]["resourceVersion"] for obj in list_istio(mesh)[0]}
    plan = purge(mesh, ALL, check=True)
    assert {obj["metadata"]["uid"]: obj["metadata"]["resourceVersion"] for obj in list_istio(mesh)[0]} == before
    assert purge(mesh, ALL)["purged"] == plan["purged"]


def test_nothing_goes_without_a_confirmation(mesh, tmp_path):
    with pytest.raises(ClusterError, match="confirm must be true"):
        purge(mesh, Wishes(backup_dir=str(tmp_path / "b")))
    assert left(mesh)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        ("mesh_objects", {"Sidecar shop/s1", "CustomResourceDefinition sidecars.networking.istio.io"}),
        ("crds", {"CustomResourceDefinition sidecars.networking.istio.io"}),
        ("ca", {"Secret istio-system/cacerts"}),
    ],
)
def test_what_is_kept_works_on(mesh, keep, kept):
    wishes = Wishes(confirm=True, keep=(keep, "namespaces"), wait_timeout=20, finalizer_timeout=1)
    proof = purge(mesh, wishes)["proof"]
    assert kept <= set(left(mesh))
    assert not [where for where in left(mesh) if "Webhook" in where or "ClusterRole" in where]
    assert purge(mesh, wishes)["changed"] is False
    if keep == "mesh_objects":
        assert "a Sidecar can be created in namespace default" in proof
        make(mesh, "Sidecar", "new", "shop", "networking.istio.io/v1", spec={})


class KilledError(BaseException):
    pass


class Mortal(Cluster):
    """Dies at its nth write."""

    def __init__(self, params, lives):
        super().__init__(params, concurrency=4)
        self.lives = lives

    def request(self, method, *args, **kwargs):
        if method in ("DELETE", "PATCH", "POST") and "finalizers" not in str(args):
            self.lives -= 1
            if self.lives < 0:
                raise KilledError
        return super().request(method, *args, **kwargs)


@pytest.mark.parametrize("lives", [0, 1, 8, 20, 40])
def test_a_purge_that_was_killed_goes_on(mesh, server, tmp_path, lives):
    objects = {obj["metadata"]["name"] for obj in list_istio(mesh)[0] if obj["kind"] == "Sidecar"}
    wishes = Wishes(confirm=True, keep=("namespaces",), wait_timeout=20, finalizer_timeout=1, backup_dir=str(tmp_path))
    with pytest.raises(KilledError):
        purge(Mortal({"kubeconfig": server["KUBECONFIG"]}, lives), wishes)
    purge(mesh, wishes)
    assert left(mesh) == []
    saved = {yaml.safe_load(path.read_text())["metadata"]["name"] for path in (tmp_path / "mesh_objects").iterdir()}
    assert saved == objects


class Road:
    """A TCP road to the API server that can be closed."""

    def __init__(self, target):
        self.target = target
        self.closed = False
        self.open_road()

    def open_road(self, port=0):
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        self.pairs = []
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def _accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                here, _address = listener.accept()
                there = socket.create_connection(self.target)
                self.pairs += [here, there]
                for one, other in ((here, there), (there, here)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    @staticmethod
    def _carry(one, other):
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close_for(self, seconds):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for end in list(self.pairs):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        time.sleep(seconds)
        self.open_road(self.port)


def test_an_api_server_that_is_away_for_a_while(mesh, server, tmp_path):
    config = yaml.safe_load(pathlib.Path(server["KUBECONFIG"]).read_text())
    host, port = config["clusters"][0]["cluster"]["server"].removeprefix("https://").split(":")
    road = Road((host, int(port)))
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{road.port}"
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    far = Cluster({"kubeconfig": str(tmp_path / "kubeconfig")})
    request, writes = far.request, []

    def seen(method, *args, **kwargs):
        if method == "DELETE":
            writes.append(args[0])
            if len(writes) == 5:
                road.close_for(3)
        return request(method, *args, **kwargs)

    far.request = seen
    purge(far, ALL)
    assert len(writes) > 5
    assert left(mesh) == []


def test_an_object_that_does_not_go_is_named(mesh):
    api = "rbac.authorization.k8s.io/v1"
    meta = {"labels": COMPONENT, "finalizers": ["example.com/somebody-answers"]}
    make(mesh, "ClusterRole", "istiod-held", api=api, meta=meta, rules=[])
    with pytest.raises(PurgeError, match=r"ClusterRole istiod-held isn't gone.*example.com/somebody-answers"):
        purge(mesh, Wishes(confirm=True, keep=("namespaces",), wait_timeout=3, finalizer_timeout=1))
    role = mesh.kind(api, "ClusterRole")
    assert mesh.get(role, "istiod-held"), "a finalizer of somebody else's on an ordinary object stays"
    mesh.patch(role, "istiod-held", {"metadata": {"finalizers": None}})
    purge(mesh, ALL)
    assert left(mesh) == []


def test_a_revision_alone(mesh):
    canary = {**COMPONENT, "istio.io/rev": "canary"}
    make(mesh, "ConfigMap", "istio-canary", "istio-system", meta={"labels": canary})
    make(mesh, "MutatingWebhookConfiguration", "istio-revision-tag-next", api=ADMISSION,
         meta={"labels": {**canary, "istio.io/tag": "next"}}, webhooks=[])  # fmt: skip
    wishes = Wishes(confirm=True, revision="canary", wait_timeout=20)
    with pytest.raises(ClusterError, match="revision canary is still used by tag next"):
        purge(mesh, wishes)
    mesh.delete(mesh.kind(ADMISSION, "MutatingWebhookConfiguration"), "istio-revision-tag-next")
    make(mesh, "Namespace", "shop", meta={"labels": {"istio.io/rev": "canary"}})
    with pytest.raises(ClusterError, match="namespace shop"):
        purge(mesh, wishes)
    mesh.patch(mesh.kind("v1", "Namespace"), "shop", {"metadata": {"labels": {"istio.io/rev": None}}})
    rest = set(left(mesh)) - {"ConfigMap istio-system/istio-canary"}
    done = purge(mesh, wishes)
    assert [item["name"] for item in done["purged"]] == ["istio-canary"]
    assert set(left(mesh)) == rest
    assert purge(mesh, wishes)["changed"] is False
