# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Purges on a real API server: webhooks without a backend, finalizers, killed runs, a server that is away."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import sysconfig
import tempfile
import termios
import threading
import time

import pytest
import yaml
from ansible_collections.meshops.istio.plugins.module_utils.cluster.client import Cluster, PatchOptions
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.footprint.listing import list_istio, read_footprint
from ansible_collections.meshops.istio.plugins.module_utils.purge.run import PurgeOptions, purge

ADMISSION = "admissionregistration.k8s.io/v1"
BIN = pathlib.Path(sys.executable).parent
COMPONENT = {"operator.istio.io/component": "Pilot"}
#: There is no controller here that would empty a namespace, hence they are kept.
ALL = PurgeOptions(confirm=True, keep=("namespaces",), wait_timeout=120, finalizer_timeout=1)


@pytest.fixture(scope="module")
def server(lab):
    # one of its own, since a purge takes what others need
    with lab.api_server(os.environ.get("MESHOPS_APISERVER", "engine") + "-purge") as environment:
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
    make(cluster, "EndpointSlice", "istiod", "istio-system", "discovery.k8s.io/v1", meta={"labels": COMPONENT},
         addressType="IPv4", endpoints=[{"addresses": ["192.0.2.1"]}], ports=[])  # fmt: skip
    make(cluster, "ConfigMap", "istio-ca-root-cert", "shop", meta={"labels": {"istio.io/config": "true"}})
    make(cluster, "Secret", "cacerts", "istio-system", stringData={"ca-key.pem": "made for this test"})
    cluster.forget_kinds()
    deadline = time.monotonic() + 120
    while True:
        try:
            for number in range(5):
                make(cluster, "Sidecar", f"s{number}", "shop", "networking.istio.io/v1", spec={})
            held = {"finalizers": ["example.com/nobody-answers", "example.istio.io/nobody-answers"]}
            make(cluster, "Sidecar", "held", "shop", "networking.istio.io/v1", spec={}, meta=held)
            break
        except MeshopsError:
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
    before = {obj["metadata"]["uid"]: obj["metadata"]["resourceVersion"] for obj in list_istio(mesh).objects}
    plan = purge(mesh, ALL, check_mode=True)
    assert {obj["metadata"]["uid"]: obj["metadata"]["resourceVersion"] for obj in list_istio(mesh).objects} == before
    assert purge(mesh, ALL)["purged"] == plan["purged"]


def test_nothing_goes_without_a_confirmation(mesh, tmp_path):
    with pytest.raises(MeshopsError, match="set `confirm: true`"):
        purge(mesh, PurgeOptions(backup_dir=str(tmp_path / "b")))
    assert left(mesh)
    assert not (tmp_path / "b").exists()


def by_hand(server, *options, answer=None):
    """Runs playbooks/purge.yml for two hosts that are the same cluster; gives its return code and what it said.

    :param answer: what is typed at a terminal; None where there is none
    """
    command = [BIN / "ansible-playbook", "meshops.istio.purge", "-i", "a,b,", "-c", "local", "--forks", "1"]
    given = {
        "ansible_python_interpreter": sys.executable,
        "purge_keep": ["namespaces"],
        "purge_restart_workloads": False,
        "purge_finalizer_timeout": 1,
        "purge_backup_dir": "",
        "mesh_allow_same_cluster": True,
    }
    command += ["-e", json.dumps(given), *options]
    env = {**os.environ, **server, "ANSIBLE_COLLECTIONS_PATH": sysconfig.get_path("purelib"), "ANSIBLE_NOCOLOR": "1"}
    if answer is None:
        done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr
    ours, its = os.openpty()
    run = subprocess.Popen(
        command, env=env, stdin=its, stdout=its, stderr=its, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(its)
    said = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while part := os.read(ours, 65536):
            said += part
            if answer and b"Type yes" in said:
                while termios.tcgetattr(ours)[3] & termios.ICANON:  # it throws away what was typed before
                    time.sleep(0.1)
                time.sleep(0.5)
                os.write(ours, f"{answer}\r".encode())
                answer = ""
    os.close(ours)
    return run.wait(), " ".join(said.decode().split())


@pytest.fixture
def sidecar(mesh):
    """A workload with a sidecar, which nobody runs."""
    made = workload(mesh, "Deployment", "web", "shop")
    meta = {
        "annotations": {"sidecar.istio.io/status": "{}"},
        "ownerReferences": [{**owner(made), "controller": True}],
    }
    make(mesh, "Pod", "web", "shop", meta=meta, spec={"containers": [{"name": "c", "image": "none"}]})
    yield
    mesh.delete(mesh.kind("v1", "Pod"), "web", "shop")
    mesh.delete(mesh.kind("apps/v1", "Deployment"), "web", "shop")


def test_the_playbook_asks_when_it_is_run_by_hand(mesh, sidecar, server):
    before = left(mesh)
    assert "Deployment shop/web" in before
    for answer in (None, "no"):  # None: nobody can answer
        code, said = by_hand(server, answer=answer)
        assert code
        assert "set `confirm: true` (`purge_confirm` in the role)" in said
        assert re.findall(r"failed=(\d)", said) == ["1", "1", "0"]  # the last is the look for hosts
        assert "undefined" not in said
    assert left(mesh) == before

    code, said = by_hand(server, answer="yes")
    assert code == 0, said
    plan = said.partition("Type yes")[0]
    assert "delete Secret istio-system/cacerts: " in plan
    assert "delete Namespace" not in plan
    assert "restart Deployment" not in plan
    assert "from the clusters a, b?" in said
    assert left(mesh) == ["Deployment shop/web"], "its pod keeps its sidecar"


def test_mesh_info_gives_the_footprint(mesh, server):
    make(mesh, "ServiceAccount", "istio-of-mine", "shop")
    env = {**os.environ, **server, "ANSIBLE_COLLECTIONS_PATH": sysconfig.get_path("purelib")}
    command = ["localhost", "-m", "meshops.istio.mesh_info", "-a", json.dumps({"sections": ["footprint"]})]
    command += ["-e", f"ansible_python_interpreter={sys.executable}"]
    said = subprocess.run([BIN / "ansible", *command], env=env, capture_output=True, text=True, check=True).stdout
    mesh.delete(mesh.kind("v1", "ServiceAccount"), "istio-of-mine", "shop")
    told = json.loads(said.partition("=>")[2])
    assert set(told) == {"changed", "footprint", "retained", "findings"}
    assert not told["changed"]
    parts = {(item["part"], item["kind"], item["name"]): item["why"] for item in told["footprint"]}
    assert parts["ca", "Secret", "cacerts"] == ["name of a Secret of istiod's CA, in the namespace of a control plane"]
    assert ("control_plane", "EndpointSlice", "istiod") in parts
    assert ("leave", "istio-of-mine") in [(item["action"], item["name"]) for item in told["retained"]]
    assert "made for this test" not in said


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        ("mesh_objects", {"Sidecar shop/s1", "CustomResourceDefinition sidecars.networking.istio.io"}),
        ("crds", {"CustomResourceDefinition sidecars.networking.istio.io"}),
        ("ca", {"Secret istio-system/cacerts"}),
    ],
)
def test_what_is_kept_works_on(mesh, keep, kept):
    options = PurgeOptions(confirm=True, keep=(keep, "namespaces"), wait_timeout=120, finalizer_timeout=1)
    proof = purge(mesh, options)["proof"]
    assert kept <= set(left(mesh))
    assert not [where for where in left(mesh) if "Webhook" in where or "ClusterRole" in where]
    assert purge(mesh, options)["changed"] is False
    if keep == "mesh_objects":
        assert "a Sidecar can be created in namespace default" in proof
        make(mesh, "Sidecar", "new", "shop", "networking.istio.io/v1", spec={})


def test_a_namespace_that_is_going_holds_nothing_up(mesh):
    make(mesh, "Namespace", "going", meta={"labels": {"istio-injection": "enabled"}})
    make(mesh, "ConfigMap", "held", "going", meta={"finalizers": ["example.com/held"]})
    mesh.delete(mesh.kind("v1", "Namespace"), "going")
    try:
        assert not [line for line in purge(mesh, ALL)["proof"] if "going" in line]
    finally:
        mesh.patch(mesh.kind("v1", "ConfigMap"), "held", {"metadata": {"finalizers": None}}, "going")


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
    objects = {obj["metadata"]["name"] for obj in list_istio(mesh).objects if obj["kind"] == "Sidecar"}
    options = PurgeOptions(
        confirm=True, keep=("namespaces",), wait_timeout=120, finalizer_timeout=1, backup_dir=str(tmp_path)
    )
    with pytest.raises(KilledError):
        purge(Mortal({"kubeconfig": server["KUBECONFIG"]}, lives), options)
    purge(mesh, options)
    assert left(mesh) == []
    saved = {yaml.safe_load(path.read_text())["metadata"]["name"] for path in (tmp_path / "mesh_objects").iterdir()}
    assert saved == objects


class DiesAfter(Cluster):
    """Dies once a certain object is to be deleted, and has been."""

    def __init__(self, params, last):
        super().__init__(params, concurrency=4)
        self.last = last

    def request(self, method, path, *args, **kwargs):
        answer = super().request(method, path, *args, **kwargs)
        if method == "DELETE" and path.endswith(self.last):
            raise KilledError
        return answer


def test_the_cas_secrets_of_a_control_plane_that_has_gone_already_are_found(mesh, server):
    """In a namespace of any name, that stays: a killed purge has marked it, and the mark is taken off at the end."""
    make(mesh, "Namespace", "mesh-a", meta={"labels": {"team": "a"}})
    workload(mesh, "Deployment", "istiod-mesh-a", "mesh-a", COMPONENT)
    for name in ("cacerts", "cacerts-next"):
        make(mesh, "Secret", name, "mesh-a", stringData={"ca-key.pem": "made for this test"})
    make(mesh, "Secret", "cacerts", "shop", stringData={"mine": "x"})
    with pytest.raises(KilledError):
        purge(DiesAfter({"kubeconfig": server["KUBECONFIG"]}, "/istiod-mesh-a"), ALL)
    deadline = time.monotonic() + 120
    while mesh.get(mesh.kind("apps/v1", "Deployment"), "istiod-mesh-a", "mesh-a"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    purge(mesh, ALL)
    secret = mesh.kind("v1", "Secret")
    assert [o["metadata"]["name"] for o in mesh.list(secret, "mesh-a")] == []
    assert mesh.get(secret, "cacerts", "shop")
    assert mesh.get(mesh.kind("v1", "Namespace"), "mesh-a")["metadata"].get("annotations", {}) == {}
    mesh.delete(secret, "cacerts", "shop")
    assert purge(mesh, ALL)["changed"] is False


def test_a_second_backup_leaves_the_first_alone(mesh, tmp_path):
    folder = tmp_path / "backup"
    options = PurgeOptions(
        confirm=True, keep=("namespaces",), wait_timeout=120, finalizer_timeout=1, backup_dir=str(folder)
    )
    assert purge(mesh, options)["notes"] == []
    assert purge(mesh, options)["changed"] is False
    make(mesh, "ConfigMap", "istiod-late", "istio-system", meta={"labels": COMPONENT})
    make(mesh, "Secret", "cacerts", "istio-system", stringData={"ca-key.pem": "another"})
    (note,) = purge(mesh, options)["notes"]
    earlier = pathlib.Path(note.rpartition(" ")[2])
    assert earlier.name.startswith("backup.20")
    secrets = [
        yaml.safe_load((f / "ca/secret.istio-system.cacerts.yml").read_text())["data"] for f in (earlier, folder)
    ]
    assert secrets[0] != secrets[1]
    assert (earlier / "mesh_objects/sidecar.shop.held.yml").exists()


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
    with pytest.raises(MeshopsError, match=r"ClusterRole istiod-held: deletion failed.*example.com/somebody-answers"):
        purge(mesh, PurgeOptions(confirm=True, keep=("namespaces",), wait_timeout=3, finalizer_timeout=1))
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
    options = PurgeOptions(confirm=True, revision="canary", wait_timeout=120)
    with pytest.raises(MeshopsError, match="Refusing to remove revision canary: it is still used by tag next"):
        purge(mesh, options)
    mesh.delete(mesh.kind(ADMISSION, "MutatingWebhookConfiguration"), "istio-revision-tag-next")
    make(mesh, "Namespace", "shop", meta={"labels": {"istio.io/rev": "canary"}})
    with pytest.raises(MeshopsError, match="namespace shop"):
        purge(mesh, options)
    mesh.patch(mesh.kind("v1", "Namespace"), "shop", {"metadata": {"labels": {"istio.io/rev": None}}})
    rest = set(left(mesh)) - {"ConfigMap istio-system/istio-canary"}
    done = purge(mesh, options)
    assert [item["name"] for item in done["purged"]] == ["istio-canary"]
    assert set(left(mesh)) == rest
    again = purge(mesh, options)
    assert again["changed"] is False
    assert ["Revision canary not found" in text for text in again["warnings"]] == [True], "it may be mistyped"


GATEWAY_API = "gateway.networking.k8s.io/v1"
ROOT = pathlib.Path(__file__).parents[2]


def define(cluster, group, kind, plural, scope="Cluster"):
    """A definition of a kind, as another product's installer brings it."""
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    names = {"kind": kind, "plural": plural, "singular": kind.lower()}
    spec = {"group": group, "scope": scope, "names": names, "versions": [version]}
    make(cluster, "CustomResourceDefinition", f"{plural}.{group}", api="apiextensions.k8s.io/v1", spec=spec)


def until(what):
    """Waits until a definition is served."""
    deadline = time.monotonic() + 120
    while True:
        try:
            return what()
        except MeshopsError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def workload(cluster, kind, name, namespace, labels=None, owners=()):
    pods = {"app": name}
    spec = {
        "selector": {"matchLabels": pods},
        "template": {"metadata": {"labels": pods}, "spec": {"containers": [{"name": "c", "image": "none"}]}},
    }
    meta = {"labels": labels or {}, "ownerReferences": list(owners)}
    return make(cluster, kind, name, namespace, "apps/v1", meta=meta, spec=spec)


def owner(obj):
    """The owner reference to an object."""
    meta = obj["metadata"]
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "name": meta["name"], "uid": meta["uid"]}


@pytest.fixture
def kubelet(cluster):
    """Says of every pod that it runs, as there is no node."""
    pod, end = cluster.kind("v1", "Pod"), threading.Event()

    def work():
        while not end.wait(0.2):
            with contextlib.suppress(MeshopsError):  # it looks again
                for found in cluster.list(pod, fields="status.phase=Pending"):
                    meta = found["metadata"]
                    running = {"status": {"phase": "Running"}}
                    cluster.patch(pod, meta["name"], running, meta["namespace"], PatchOptions(subresource="status"))

    thread = threading.Thread(target=work)
    thread.start()
    yield
    end.set()
    thread.join()


@pytest.fixture
def users_own(cluster, server, kubelet):
    """What is nobody's but the user's, though it looks much like Istio's, and what may only lose a label."""
    purge(cluster, PurgeOptions(confirm=True, wait_timeout=180, finalizer_timeout=1))
    for path in server["LAB_CRDS"].split(":"):
        if "gateway" in os.path.basename(path):
            for definition in yaml.safe_load_all(pathlib.Path(path).read_text()):
                cluster.apply(definition, force=True)
    ambient = {"istio.io/dataplane-mode": "ambient", "istio.io/use-waypoint": "waypoint", "team": "a"}
    make(cluster, "Namespace", "mine", meta={"labels": ambient})
    make(cluster, "Secret", "cluster-b", "mine", meta={"labels": {"multiCluster": "true"}}, stringData={"b": "x"})
    make(cluster, "Lease", "istio-operator", "mine", "coordination.k8s.io/v1", spec={})
    workload(cluster, "Deployment", "istio-operator", "mine")
    workload(cluster, "Deployment", "gateway", "mine", {"gateway.networking.k8s.io/gateway-name": "gateway"})
    until(lambda: make(cluster, "GatewayClass", "another", api=GATEWAY_API, spec={"controllerName": "another.com/c"}))
    gateway = {"gatewayClassName": "another", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]}
    until(lambda: make(cluster, "Gateway", "gateway", "mine", GATEWAY_API, spec=gateway))
    until(lambda: make(cluster, "HTTPRoute", "both", "mine", GATEWAY_API,
                       spec={"parentRefs": [{"name": "gateway"}, {"name": "istios"}]}))  # fmt: skip
    return {item.where for item in read_footprint(cluster).items}


def everything(cluster, namespace):
    kinds = [
        ("v1", "Secret"),
        ("apps/v1", "Deployment"),
        ("coordination.k8s.io/v1", "Lease"),
        (GATEWAY_API, "Gateway"),
        (GATEWAY_API, "HTTPRoute"),
    ]
    return {
        (obj["kind"], obj["metadata"]["name"]): obj.get("spec")
        for kind in kinds
        for obj in cluster.list(cluster.kind(*kind), namespace)
    }


def this_collections_operator(cluster, server):
    """The chart of charts/operator, installed by Helm, with an object that it has taken into its care."""
    make(cluster, "Namespace", "istio-system")
    subprocess.run(
        [server["LAB_HELM4"], "install", "istio-operator", ROOT / "charts/operator", "-n", "istio-operator",
         "--create-namespace", "--set", "image=none:1"],
        env=server, check=True, capture_output=True,
    )  # fmt: skip
    make(cluster, "Lease", "istio-operator", "istio-operator", "coordination.k8s.io/v1", spec={"holderIdentity": ""})
    meta = {"finalizers": ["istio-finalizer.install.istio.io"]}
    until(lambda: make(cluster, "IstioOperator", "mesh", "istio-system", "install.istio.io/v1alpha1",
                       meta=meta, spec={"profile": "minimal"}))  # fmt: skip
    return {
        "Deployment istio-operator/istio-operator",
        "Lease istio-operator/istio-operator",
        "ClusterRole istio-operator-istio-operator",
        "ValidatingAdmissionPolicy istio-operator-istio-operator.meshops.istio",
        "Role istio-system/istio-operator",
        "IstioOperator istio-system/mesh",
        "CustomResourceDefinition istiooperators.install.istio.io",
        "Namespace istio-operator",
    }


def istios_operator_of_old(cluster, server):
    """What `istioctl operator init` made until 1.23."""
    component = {"operator.istio.io/component": "IstioOperator", "operator.istio.io/managed": "Reconcile"}
    define(cluster, "install.istio.io", "IstioOperator", "istiooperators", "Namespaced")
    make(cluster, "Namespace", "istio-operator")
    make(cluster, "Namespace", "istio-system")
    workload(cluster, "Deployment", "istio-operator", "istio-operator", component)
    make(cluster, "ServiceAccount", "istio-operator", "istio-operator", meta={"labels": component})
    rbac = "rbac.authorization.k8s.io/v1"
    make(cluster, "ClusterRole", "istio-operator", api=rbac, meta={"labels": component}, rules=[])
    make(cluster, "ConfigMap", "istio-operator-lock", "istio-operator")
    meta = {"finalizers": ["istio-finalizer.install.istio.io"]}
    cluster.forget_kinds()
    until(lambda: make(cluster, "IstioOperator", "installed-state", "istio-system", "install.istio.io/v1", meta=meta))
    return {
        "Deployment istio-operator/istio-operator",
        "ConfigMap istio-operator/istio-operator-lock",
        "ClusterRole istio-operator",
        "IstioOperator istio-system/installed-state",
        "Namespace istio-operator",
    }


def the_sail_operator(cluster, server):
    """Sail, with a mesh that it has made."""
    for kind, plural in (("Istio", "istios"), ("IstioRevision", "istiorevisions")):
        define(cluster, "sailoperator.io", kind, plural)
    for name in ("sail-operator", "istio-system"):
        make(cluster, "Namespace", name)
    workload(cluster, "Deployment", "sail-operator", "sail-operator", {"app.kubernetes.io/name": "sailoperator"})
    make(cluster, "Lease", "sail-operator-lock", "sail-operator", "coordination.k8s.io/v1", spec={})
    api, held = "sailoperator.io/v1", {"finalizers": ["sailoperator.io/sail-operator"]}
    cluster.forget_kinds()
    istio = until(lambda: make(cluster, "Istio", "default", api=api, meta=held, spec={"version": "v1.31.0"}))
    owned = {**held, "ownerReferences": [owner(istio)]}
    revision = until(lambda: make(cluster, "IstioRevision", "default", api=api, meta=owned, spec={}))
    workload(cluster, "Deployment", "istiod", "istio-system", owners=[owner(revision)])
    make(cluster, "ConfigMap", "istio", "istio-system", meta={"ownerReferences": [owner(revision)]})
    return {
        "Deployment sail-operator/sail-operator",
        "Lease sail-operator/sail-operator-lock",
        "Istio default",
        "IstioRevision default",
        "Deployment istio-system/istiod",
        "ConfigMap istio-system/istio",
        "CustomResourceDefinition istios.sailoperator.io",
        "Namespace sail-operator",
        "Namespace istio-system",
    }


def gateways_that_istiod_made(cluster, server):
    """A gateway and a waypoint of the Gateway API, with what istiod makes for each, among the user's own."""
    make(cluster, "GatewayClass", "istio", api=GATEWAY_API, spec={"controllerName": "istio.io/gateway-controller"})
    spec = {"gatewayClassName": "istio", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]}
    gateway = make(cluster, "Gateway", "istios", "mine", GATEWAY_API, spec=spec)
    made = {"gateway.istio.io/managed": "istio.io-gateway-controller"}
    workload(cluster, "Deployment", "istios-istio", "mine", made, [owner(gateway)])
    meta = {"labels": made, "ownerReferences": [owner(gateway)]}
    make(cluster, "ServiceAccount", "istios-istio", "mine", meta=meta)
    make(cluster, "HTTPRoute", "one", "mine", GATEWAY_API, spec={"parentRefs": [{"name": "istios"}]})
    return {
        "GatewayClass istio",
        "Gateway mine/istios",
        "Deployment mine/istios-istio",
        "ServiceAccount mine/istios-istio",
        "HTTPRoute mine/one",
    }


def gateways_with_routes_of_openshift(cluster, server):
    """Two gateways with a Route in their release: one in a namespace that Helm has made, one among a user's own."""
    define(cluster, "route.openshift.io", "Route", "routes", "Namespaced")
    make(cluster, "Namespace", "istio-system")
    with tempfile.TemporaryDirectory() as folder:
        chart = pathlib.Path(folder) / "gateway"
        (chart / "templates").mkdir(parents=True)
        (chart / "Chart.yaml").write_text(
            "{apiVersion: v2, name: gateway, version: 1.31.0, sources: [https://github.com/istio/istio]}"
        )
        meta = "metadata: {name: edge}"
        (chart / "templates/edge.yaml").write_text(
            f"{{apiVersion: v1, kind: ServiceAccount, {meta}}}\n---\n"
            f"{{apiVersion: route.openshift.io/v1, kind: Route, {meta}, spec: {{to: {{name: edge}}}}}}\n"
        )
        cluster.forget_kinds()
        until(lambda: cluster.kind("route.openshift.io/v1", "Route"))
        for namespace in ("edge", "mine"):
            subprocess.run(
                [server["LAB_HELM4"], "install", "edge", chart, "-n", namespace, "--create-namespace"],
                env=server, check=True, capture_output=True,
            )  # fmt: skip
    return {
        "ServiceAccount edge/edge",
        "Route edge/edge",
        "Namespace edge",
        "ServiceAccount mine/edge",
        "Route mine/edge",
    }


def an_ambient_mesh_of_two_clusters(cluster, server):
    """ztunnel and a remote cluster's credentials, labelled by their chart and by `istioctl create-remote-secret`."""
    make(cluster, "Namespace", "istio-system", meta={"labels": {"topology.istio.io/network": "a"}})
    chart = {"app.kubernetes.io/part-of": "istio", "helm.sh/chart": "ztunnel-1.31.0"}
    workload(cluster, "DaemonSet", "ztunnel", "istio-system", chart)
    remote = {"istio/multiCluster": "true"}
    make(cluster, "Secret", "istio-remote-secret-b", "istio-system", meta={"labels": remote}, stringData={"b": "x"})
    return {"DaemonSet istio-system/ztunnel", "Secret istio-system/istio-remote-secret-b", "Namespace istio-system"}


def test_what_users_have_written_for_the_gateway_api_is_kept_with_the_mesh_objects(cluster, server, users_own):
    gateways_that_istiod_made(cluster, server)
    make(cluster, "Namespace", "istio-system")
    workload(cluster, "Deployment", "istiod", "istio-system", COMPONENT)
    before = everything(cluster, "mine")
    keep = ("mesh_objects",)
    done = purge(cluster, PurgeOptions(confirm=True, keep=keep, wait_timeout=180, finalizer_timeout=1))
    assert everything(cluster, "mine") == before
    assert cluster.get(cluster.kind(GATEWAY_API, "GatewayClass"), "istio")
    assert cluster.get(cluster.kind("v1", "Namespace"), "istio-system") is None
    assert {("mesh_objects", "HTTPRoute"), ("gateway_api", "Deployment")} <= {
        (i.get("part"), i["kind"]) for i in done["retained"]
    }
    assert purge(cluster, PurgeOptions(confirm=True, keep=keep))["changed"] is False


@pytest.mark.parametrize(
    "install",
    [
        this_collections_operator,
        istios_operator_of_old,
        the_sail_operator,
        gateways_that_istiod_made,
        gateways_with_routes_of_openshift,
        an_ambient_mesh_of_two_clusters,
    ],
)
def test_the_footprint_of(install, cluster, server, users_own):
    """Whatever installed Istio: all of it is found and goes, and nothing else does."""
    assert users_own == {"Namespace mine"}
    before = everything(cluster, "mine")
    expected = install(cluster, server)
    found = {item.where for item in read_footprint(cluster).items}
    assert expected <= found
    done = purge(cluster, PurgeOptions(confirm=True, wait_timeout=180, finalizer_timeout=1))
    assert any("a new pod started in namespace mine" in line for line in done["proof"])
    assert read_footprint(cluster).items == ()
    assert everything(cluster, "mine") == before
    labels = cluster.get(cluster.kind("v1", "Namespace"), "mine")["metadata"]["labels"]
    assert {"team": "a"}.items() <= labels.items()
    assert not [key for key in labels if "istio" in key]
