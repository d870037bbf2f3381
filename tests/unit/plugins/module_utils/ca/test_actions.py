# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whole runs of ca_rotation, in a cluster in memory whose istiod and proxies follow the secret as the real ones do."""

from __future__ import annotations

import base64
import copy
import dataclasses
import datetime
import functools
import json

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.ca import (
    actions,
    authority,
    lock,
    observe,
    procedure,
    proof,
    status,
    trust_bundle,
)
from ansible_collections.meshops.istio.plugins.module_utils.ca.gate import CannotRotate
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.mesh import certificates
from ansible_collections.meshops.istio.plugins.module_utils.mesh.pods import describe_proxy
from ansible_collections.meshops.istio.plugins.module_utils.proxies.proxy import Proxy

NOW = observe.now()
HOUR = datetime.timedelta(hours=1)
PUSH = "defaultConfig: {proxyMetadata: {PROXY_CONFIG_XDS_AGENT: 'true'}}"
PARAMS = {
    "namespace": "istio-system", "timeout": 60, "source": "generated", "files": None, "key_type": "EC-P256",
    "root_days": 3650, "intermediate_days": 730, "root_dir": None, "root_key": None, "trust_domains": None,
    "mesh_config": None, "min_days": 30, "warn_days": 60, "restart_proxies": False, "unproven_proxies": False,
    "report": None,
}  # fmt: skip


def made(**spec):
    return authority.generated(authority.CaSpec(**spec), NOW)


@functools.cache
def leaf(bundle):
    """Something that the signer has issued."""
    return certificates.make_intermediate(bundle.signer, bundle.key, ["cluster.local"], 1, "EC-P256", NOW)[0]


def self_signed():
    return trust_bundle.plugged(*certificates.make_root("cluster.local", 3650, "EC-P256", NOW), [])


def iso(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def encoded(data):
    return {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}


class Mesh:
    """The part of an API server that a rotation needs, an istiod that follows cacerts, and proxies that follow istiod.

    :ivar loaded: what istiod works with
    :ivar writes: what was written to the API server, in order
    :ivar served: what /debug/syncz tells beside the pods that are there
    """

    concurrency = 2

    def __init__(self, monkeypatch):
        self.objects: dict[tuple, dict] = {}
        self.writes: list[tuple[str, str, str]] = []
        self.loaded = self.own = None
        self.watches = False
        self.multi_root = True
        self.served: list[str] = []
        self.held_by: dict[str, trust_bundle.Bundle] = {}
        self.put("Namespace", "istio-system", None, status={})
        monkeypatch.setattr(proof, "read_proxies", self.read)
        monkeypatch.setattr(status, "read_proxies", self.read)
        monkeypatch.setattr(observe, "_reported_expiries", self.expiries)
        monkeypatch.setattr(procedure, "restart_istiods", self.restart)
        monkeypatch.setattr(proof, "_POLL", 0)

    # -- the API server ---------------------------------------------------------

    def put(self, kind, name, namespace="istio-system", **fields):
        meta = {"name": name, "namespace": namespace, "uid": name, "creationTimestamp": iso(NOW - 2 * HOUR)}
        meta |= {"resourceVersion": "1", **fields.pop("metadata", {})}
        self.objects[kind, namespace, name] = {"kind": kind, "metadata": meta, **fields}

    def get(self, kind, name, namespace=None):
        return copy.deepcopy(self.objects.get((kind.kind, namespace, name)))

    def list(self, kind, namespace=None, labels=None, fields=None):
        if kind.kind == "ConfigMap" and fields:
            if self.loaded is None:
                return []
            return [
                {"metadata": {"namespace": ns}, "data": {"root-cert.pem": self.loaded.roots}} for ns in self.homes()
            ]
        found = [o for (k, ns, _n), o in self.objects.items() if k == kind.kind and namespace in (None, ns)]
        if labels and "=" not in labels:
            return copy.deepcopy([o for o in found if labels in (o["metadata"].get("labels") or {})])
        wanted = dict([labels.split("=")]) if labels else {}
        return copy.deepcopy([o for o in found if wanted.items() <= (o["metadata"].get("labels") or {}).items()])

    def homes(self):
        return [name for kind, _ns, name in self.objects if kind == "Namespace"]

    def create(self, obj):
        meta = obj["metadata"]
        if obj["kind"] != "Lease":
            self.writes.append(("create", obj["kind"], meta["name"]))
        obj = copy.deepcopy(obj)
        obj["metadata"] |= {"creationTimestamp": iso(NOW), "resourceVersion": "1", "uid": meta["name"]}
        self.objects[obj["kind"], meta.get("namespace"), meta["name"]] = obj
        if obj["kind"] != "Lease":
            self.follow()

    def patch(self, kind, name, patch, namespace=None):
        if kind.kind == "Lease":
            lease = self.objects[kind.kind, namespace, name]
            assert patch["metadata"]["resourceVersion"] == lease["metadata"]["resourceVersion"]
            lease["metadata"]["resourceVersion"] += "1"
            lease["spec"].update(patch["spec"])
            return
        self.writes.append(("patch", kind.kind, name))
        found = self.objects[kind.kind, namespace, name]
        for part, into in (
            (patch.get("data") or {}, found.setdefault("data", {})),
            (patch["metadata"].get("annotations") or {}, found["metadata"].setdefault("annotations", {})),
        ):
            into.update(part)
            for key in [key for key, value in part.items() if value is None]:
                into.pop(key)
        self.follow()

    def delete(self, kind, name, namespace=None, uid=None):
        if kind.kind != "Lease":
            self.writes.append(("delete", kind.kind, name))
        self.objects.pop((kind.kind, namespace, name), None)

    def execute(self, *_words):
        return json.dumps([{"proxy": name} for name in self.served])

    def secret(self, name, data, **annotations):
        self.put("Secret", name, metadata={"annotations": annotations}, data=encoded(data))

    def held(self, name="cacerts"):
        return observe.secret_text(self.objects.get(("Secret", "istio-system", name)))

    def config(self, mesh, name="istio"):
        self.put("ConfigMap", name, data={"mesh": mesh})

    # -- istiod and proxies -----------------------------------------------------

    def istiod(self, name="istiod-1", namespace="istio-system", revision="", started=NOW - HOUR):
        env = [{"name": "ISTIO_MULTIROOT_MESH", "value": str(self.multi_root).lower()}]
        env += [{"name": "REVISION", "value": revision}] if revision else []
        state = {"running": {"startedAt": iso(started)}} if started else {"waiting": {}}
        self.put(
            "Pod", name, namespace,
            metadata={"labels": {"app": "istiod"}},
            spec={"containers": [{"name": "discovery", "env": env}]},
            status={"conditions": [{"type": "Ready", "status": str(bool(started))}],
                    "containerStatuses": [{"name": "discovery", "state": state}]},
        )  # fmt: skip

    def proxy(
        self,
        name,
        push=True,
        args=("proxy", "sidecar"),
        address="istiod.istio-system.svc:15012",
        ready=True,
        revision="default",
    ):
        env = [{"name": "CA_ADDR", "value": address}]
        env += [{"name": "PROXY_CONFIG_XDS_AGENT", "value": "true"}] if push else []
        owner = {"controller": True, "kind": "ReplicaSet", "name": f"{name}-h"}
        self.put(
            "Pod", name, "app",
            metadata={"labels": {"pod-template-hash": "h", "istio.io/rev": revision}, "ownerReferences": [owner]},
            spec={"containers": [{"name": "istio-proxy", "args": list(args), "env": env}]},
            status={"conditions": [{"type": "Ready", "status": str(ready)}],
                    "containerStatuses": [{"name": "istio-proxy", "state": {"running": {"startedAt": iso(NOW)}}}]},
        )  # fmt: skip

    def running(self, own=None, plugged=None):
        """An istiod with a CA of its own making, or with one that is plugged in; and a proxy."""
        self.own = own
        if own:
            self.secret("istio-ca-secret", {"ca-cert.pem": own.certificate, "ca-key.pem": own.key})
        if plugged:
            self.secret("cacerts", trust_bundle.secret_data(plugged))
        self.loaded, self.watches = plugged or own, plugged is not None
        self.config(PUSH)
        self.istiod()
        self.proxy("web")
        return self

    def follow(self):
        """What istiod does when its mounted secret changes (handleEvent in pilot/pkg/bootstrap/istio_ca.go)."""
        new = trust_bundle.bundle_of(self.held())
        if not self.watches or new is None or self.loaded is None:
            return
        old_roots, new_roots = (certificates.fingerprints(each.roots) for each in (self.loaded, new))
        if new.roots != self.loaded.roots and not self.multi_root:
            return
        if old_roots <= new_roots or new_roots <= old_roots:
            self.loaded = new

    def restart(self, *_words):
        plugged = None if "istio-generated" in self.held() else trust_bundle.bundle_of(self.held())
        if plugged is None and self.own is None:
            self.own = trust_bundle.bundle_of(self.held()) or self_signed()
        self.loaded, self.watches = plugged or self.own, plugged is not None
        for key in [key for key, each in self.objects.items() if (each["metadata"].get("labels") or {}).get("app")]:
            del self.objects[key]
        self.istiod("istiod-2", started=NOW + HOUR)

    def expiries(self, *_words):
        first = (certificates.certificates(self.loaded.chain) or (self.loaded.signer,))[0]
        return int(self.loaded.trusted[0].not_after.timestamp()), int(first.not_after.timestamp())

    def read(self, _cluster, pods):
        found = []
        for pod in pods:
            held = self.held_by.get(pod["metadata"]["name"], self.loaded)
            roots = certificates.fingerprints(held.roots)
            read = {"roots": roots, "root_certificates": held.trusted, "chain": (leaf(held),), "mounted": roots}
            described = describe_proxy(pod)
            found.append(Proxy(**described, **({} if described["kind"] == "ztunnel" else read)))
        return found


@pytest.fixture
def mesh(monkeypatch):
    return Mesh(monkeypatch)


def run(mesh, action, check=False, **params):
    mesh.writes.clear()
    return actions.run({**PARAMS, "action": action, **params}, mesh, check_mode=check)


def phases(result):
    return [phase["phase"] for phase in result["phases"]]


def secrets(mesh):
    return sorted(name for kind, _ns, name in mesh.objects if kind == "Secret")


def killed_after(mesh, monkeypatch, phase, action="rotate", **params):
    """A run that ends when it has written a phase."""
    real = proof.Proof.prove

    def prove(self, expected, reached):
        if reached == phase:
            raise KeyboardInterrupt
        real(self, expected, reached)

    with monkeypatch.context() as patched:
        patched.setattr(proof.Proof, "prove", prove)
        with pytest.raises(KeyboardInterrupt):
            run(mesh, action, **params)


# -- forward --------------------------------------------------------------


def test_from_nothing_to_a_rotation_and_a_renewal(mesh, tmp_path):
    first, second = str(tmp_path / "1"), str(tmp_path / "2")
    assert phases(run(mesh, "install", root_dir=first)) == ["install"]
    mesh.loaded, mesh.watches = trust_bundle.bundle_of(mesh.held()), True
    mesh.config(PUSH)
    mesh.istiod(started=NOW + HOUR)
    mesh.proxy("web")
    assert run(mesh, "install")["changed"] is False
    assert phases(run(mesh, "rotate", root_dir=second)) == ["trust", "sign", "drop"]
    root, signer = mesh.loaded.root, mesh.loaded.signer
    assert phases(run(mesh, "renew", root_dir=second)) == ["sign"]
    assert (mesh.loaded.root, mesh.loaded.signer == signer) == (root, False)
    assert secrets(mesh) == ["cacerts"]


def test_from_istiods_own_ca_and_back(mesh, monkeypatch):
    own = self_signed()
    mesh.running(own=own)
    killed_after(mesh, monkeypatch, "sign", action="install")
    assert secrets(mesh) == ["cacerts", "cacerts-next", "cacerts-previous", "istio-ca-secret"]
    assert phases(run(mesh, "abort")) == ["sign", "drop"]
    assert (mesh.loaded.signer, secrets(mesh)) == (own.signer, ["istio-ca-secret"])


def test_a_ca_of_istiods_own_making_in_cacerts_goes_back_as_it_was(mesh, monkeypatch):
    """USE_CACERTS_FOR_SELF_SIGNED_CA: the secret holds the only copy of that CA."""
    own = self_signed()
    mesh.running(own=own)
    del mesh.objects["Secret", "istio-system", "istio-ca-secret"]
    before = {
        "ca-cert.pem": own.certificate,
        "ca-key.pem": own.key,
        "cert-chain.pem": "",
        "root-cert.pem": own.certificate,
        "istio-generated": "",
    }
    mesh.secret("cacerts", before)
    killed_after(mesh, monkeypatch, "trust", action="install")
    assert "istio-generated" not in mesh.held()
    assert phases(run(mesh, "abort")) == ["drop"]
    assert (mesh.held(), secrets(mesh)) == (before, ["cacerts"])
    assert not mesh.objects["Secret", "istio-system", "cacerts"]["metadata"]["annotations"]


def test_an_istiod_that_is_just_starting_needs_no_other_restart(mesh):
    mesh.running(plugged=made())
    mesh.istiod("istiod-new", started=None)
    assert phases(run(mesh, "rotate", check=True)) == ["trust", "sign", "drop"]


def test_a_workload_that_is_not_ready_is_named_at_the_end(mesh):
    mesh.running(plugged=made())
    mesh.proxy("broken", ready=False)
    assert run(mesh, "rotate")["not_ready"] == ["app/broken (Deployment/broken)"]


@pytest.mark.parametrize("phase", ["trust", "sign", "drop"])
@pytest.mark.parametrize("action", ["rotate", "abort"])
def test_cacerts_is_put_back_where_it_was_deleted_in_the_middle(mesh, monkeypatch, phase, action):
    old, new = made(), made()
    mesh.running(plugged=old)
    files = {"ca_cert": new.certificate, "ca_key": new.key, "root_cert": new.roots}
    killed_after(mesh, monkeypatch, phase, source="files", files=files)
    del mesh.objects["Secret", "istio-system", "cacerts"]
    assert "was deleted in the middle" in run(mesh, "status")["warnings"][0]
    done = run(mesh, action)
    assert done["phases"][0]["phase"] == "adopt"
    wanted = {"rotate": new, "abort": old}[action]
    assert (mesh.loaded.signer, mesh.loaded.trusted) == (wanted.signer, wanted.trusted)
    assert trust_bundle.bundle_of(mesh.held()).signer == wanted.signer
    assert secrets(mesh) == ["cacerts"]


def test_cacerts_that_was_deleted_and_istiod_restarted_is_for_a_person(mesh, monkeypatch):
    mesh.running(plugged=made())
    killed_after(mesh, monkeypatch, "trust")
    del mesh.objects["Secret", "istio-system", "cacerts"]
    mesh.loaded = made()
    with pytest.raises(CannotRotate, match="delete cacerts-next and cacerts-previous"):
        run(mesh, "rotate")


# -- renewal --------------------------------------------------------------


@pytest.fixture
def renewable(mesh, tmp_path):
    mesh.running(plugged=made(root_dir=str(tmp_path / "root")))
    return mesh, str(tmp_path / "root")


def test_a_renewal_needs_no_proxy_that_takes_new_roots(renewable):
    mesh, place = renewable
    mesh.proxy("deaf", push=False)
    mesh.held_by["deaf"] = mesh.loaded
    mesh.proxy("ztunnel", push=False, args=("proxy", "ztunnel"))
    mesh.served = ["vm.app"]
    before = mesh.loaded.signer
    done = run(mesh, "renew", root_dir=place)
    assert (phases(done), done["restarted"]) == (["sign"], [])
    assert mesh.loaded.signer != before
    assert [kind for _verb, kind, _name in mesh.writes if kind not in ("Secret", "Pod")] == []


def test_a_renewal_without_istio_multiroot_mesh_keeps_the_bytes_of_the_roots(mesh, tmp_path):
    mesh.multi_root = False
    mesh.running(plugged=made(root_dir=str(tmp_path / "root")))
    mesh.held_by["web"] = before = mesh.loaded
    told = run(mesh, "renew", root_dir=str(tmp_path / "root"))
    assert "leaves follow as each expires" in told["phases"][0]["words"]
    assert (mesh.loaded.signer == before.signer, mesh.loaded.roots) == (False, before.roots)


def test_a_rotation_needs_all_that_a_renewal_does_not(renewable):
    mesh, place = renewable
    mesh.proxy("deaf", push=False)
    mesh.proxy("ztunnel", push=False, args=("proxy", "ztunnel"))
    with pytest.raises(CannotRotate) as refusal:
        run(mesh, "rotate")
    for words in (
        "app/deaf",
        "ca_restart_proxies: true",
        "istioctl ztunnel-config certificates",
        "restart the DaemonSet",
    ):
        assert words in str(refusal.value)
    assert mesh.writes == []


def test_a_renewal_that_would_change_the_roots_is_refused(mesh, tmp_path):
    old = made(root_dir=str(tmp_path / "root"))
    following = made(root_dir=str(tmp_path / "root"))
    mesh.running(plugged=dataclasses.replace(old, roots=old.roots + made().roots))
    files = {"ca_cert": following.certificate, "ca_key": following.key, "root_cert": old.roots}
    for check in (True, False):
        with pytest.raises(CannotRotate, match="a renewal changes no root, use the entry point rotate"):
            run(mesh, "renew", check, source="files", files=files)
    files["root_cert"] = mesh.held()["root-cert.pem"]
    assert phases(run(mesh, "renew", source="files", files=files)) == ["sign"]


def test_a_secret_of_cert_manager_is_not_renewed(renewable):
    mesh, place = renewable
    mesh.secret("cacerts", mesh.held(), **{"cert-manager.io/issuer-name": "mesh"})
    for check in (True, False):
        with pytest.raises(CannotRotate, match="cert-manager"):
            run(mesh, "renew", check, root_dir=place)


# -- whose proxies --------------------------------------------------------


def test_the_proxies_of_another_control_plane_are_left_alone(mesh):
    mesh.running(plugged=made())
    mesh.istiod("istiod-b", "istio-b")
    mesh.put("Secret", "cacerts", "istio-b", data=encoded(trust_bundle.secret_data(made())))
    mesh.proxy("theirs", push=False, address="istiod.istio-b.svc:15012")
    mesh.held_by["theirs"] = made()
    assert [phase["proxies"] for phase in run(mesh, "rotate")["phases"]] == [1, 1, 1]
    assert [each["proxy"] for each in run(mesh, "status")["status"]["leaves"]] == ["app/web"]


def test_proxies_that_are_no_pods_are_named_and_hold_the_rotation_up(mesh, monkeypatch):
    monkeypatch.setattr(procedure.Mesh.unseen_proxies, "__defaults__", (0,))
    mesh.running(plugged=made())
    mesh.served = ["web.app", "vm-1.legacy"]
    with pytest.raises(CannotRotate, match=r"1 proxies that are no pods of this cluster \(vm-1.legacy\)"):
        run(mesh, "rotate")
    assert mesh.writes == []
    assert run(mesh, "status")["status"]["unseen_proxies"] == ["vm-1.legacy"]
    assert phases(run(mesh, "rotate", unproven_proxies=True)) == ["trust", "sign", "drop"]


def test_each_revision_counts_by_its_own_mesh_config(mesh):
    mesh.running(plugged=made(trust_domains=("cluster.local", "canary.example")))
    mesh.istiod("istiod-canary", revision="canary")
    mesh.config("{trustDomain: canary.example, trustDomainAliases: [old.example]}", "istio-canary")
    run(mesh, "rotate")
    assert permitted(mesh) == ["canary.example", "cluster.local", "old.example"]
    with pytest.raises(MeshopsError, match="wrong_trust_domain.*canary.example"):
        run(mesh, "rotate", trust_domains=["cluster.local"])
    mesh.proxy("deaf", push=False, revision="canary")
    with pytest.raises(CannotRotate, match="new ones of the revision canary would not either"):
        run(mesh, "rotate", check=True, restart_proxies=True)


# -- the trust domain -----------------------------------------------------


def permitted(mesh):
    extension = trust_bundle.bundle_of(mesh.held()).signer.x509.extensions
    return [
        each.value
        for each in extension.get_extension_for_class(certificates.x509.NameConstraints).value.permitted_subtrees
    ]


def test_before_the_control_plane_its_mesh_config_tells_the_trust_domain(mesh):
    run(mesh, "install", mesh_config={"trustDomain": "mesh.example", "trustDomainAliases": ["old.example"]})
    assert permitted(mesh) == ["mesh.example", "old.example"]


def test_a_trust_domain_that_nothing_tells_is_warned_of(mesh):
    for check in (True, False):
        assert "cluster.local alone" in run(mesh, "install", check)["warnings"][0]
    mesh.objects.pop(("Secret", "istio-system", "cacerts"))
    assert "warnings" not in run(mesh, "install", trust_domains=["mesh.example"])


def test_a_ca_for_another_trust_domain_is_told_and_not_brought_in(mesh):
    mesh.running(plugged=made())
    mesh.config(f"trustDomain: mesh.example\n{PUSH}")
    (warning,) = [each for each in run(mesh, "status")["warnings"] if "trust domain" in each]
    assert "ca_trust_domains: [mesh.example]" in warning
    other = made(trust_domains=("elsewhere.example",))
    files = {"ca_cert": other.certificate, "ca_key": other.key, "root_cert": other.roots}
    with pytest.raises(MeshopsError, match="wrong_trust_domain"):
        run(mesh, "rotate", source="files", files=files)
    with pytest.raises(MeshopsError, match="the CA in the secret cacerts can't be used: wrong_trust_domain"):
        run(mesh, "install")
    assert mesh.writes == []


# -- refusals -------------------------------------------------------------


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"intermediate_days": 20}, "intermediate_days is 20: it must be more than min_days"),
        ({"intermediate_days": -3}, "intermediate_days is -3"),
        ({"root_days": -1}, "root_days is -1"),
        ({"root_days": 10_000_000}, "root_days is 10000000: no certificate can be valid beyond"),
        ({"trust_domains": ["müsli.local"]}, "'müsli.local' can't be a trust domain"),
    ],
)
def test_check_mode_refuses_what_the_run_refuses_and_nothing_is_left_behind(mesh, tmp_path, check, spec, why):
    place = tmp_path / "root"
    for action in ("install", "rotate"):
        with pytest.raises(MeshopsError, match=why):
            run(mesh, action, check, root_dir=str(place), **spec)
        if action == "install":
            mesh.running(plugged=made())
    assert mesh.writes == []
    assert not place.exists()


@pytest.mark.parametrize("check", [True, False])
def test_a_directory_that_can_not_be_used_is_told_in_check_mode_too(mesh, tmp_path, check):
    place, other, file = tmp_path / "root", tmp_path / "other", tmp_path / "file"
    mesh.running(plugged=made(root_dir=str(place)))
    other.mkdir()
    (other / "notes").touch()
    file.touch()
    for folder, why in ((place, "holds the root in use"), (other, "holds other files"), (file / "root", "can't be")):
        with pytest.raises(MeshopsError, match=why):
            run(mesh, "rotate", check, root_dir=str(folder))
    assert mesh.writes == []


@pytest.mark.parametrize("source", ["generated", "files"])
def test_the_diff_tells_each_phase_in_words_and_fingerprints(mesh, source):
    old, new = made(), made()
    mesh.running(plugged=old)
    mesh.proxy("deaf", push=False)
    files = {"ca_cert": new.certificate, "ca_key": new.key, "root_cert": new.roots}
    told = run(mesh, "rotate", check=True, source=source, files=files, restart_proxies=True)
    lines = told["diff"]["after"].splitlines()
    assert "restart first: Deployment app/deaf" in lines
    assert [f"phase {step['phase']}: {step['words']}" for step in told["phases"]] == lines[-3:]
    assert certificates.short(old.root.fingerprint) in lines[-1]
    assert source == "generated" or certificates.short(new.root.fingerprint) in lines[-1]
    assert "PRIVATE KEY" not in json.dumps(told)
    assert "phase" not in told["diff"]["before"]
    assert "phase trust: " not in run(mesh, "install")["diff"]["after"], "nothing is to be done"


def test_check_mode_names_a_root_that_was_prepared(mesh, tmp_path):
    prepared = made(root_dir=str(tmp_path / "root"))
    mesh.running(plugged=made())
    told = run(mesh, "rotate", check=True, root_dir=str(tmp_path / "root"))
    assert certificates.short(prepared.root.fingerprint) in told["phases"][0]["words"]
    assert "a new root" not in json.dumps(told)
    told = run(mesh, "rotate", check=True, root_dir=str(tmp_path / "none"))
    assert "trust a new root (EC-P256, 3650 days) beside" in told["phases"][0]["words"]
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("check", [True, False])
def test_an_incomplete_cacerts_is_not_written_over(mesh, tmp_path, check):
    mesh.secret("cacerts", {"tls.crt": "x", "tls.key": "y"}, **{"cert-manager.io/issuer-name": "mesh"})
    with pytest.raises(CannotRotate, match=r"lacks ca.crt.*cert-manager"):
        run(mesh, "install", check, root_dir=str(tmp_path / "root"))
    assert mesh.writes == []
    assert not (tmp_path / "root").exists()


def test_what_can_not_be_read_is_named_with_its_field(mesh):
    good = made()
    mesh.running(plugged=good)
    mesh.secret("cacerts", {**mesh.held(), "ca-cert.pem": "nothing"})
    for action in ("rotate", "renew", "install"):
        with pytest.raises(CannotRotate, match=r"the secret cacerts can't be used: ca-cert.pem holds no certificate"):
            run(mesh, action)
    assert "ca-cert.pem holds no certificate" in run(mesh, "status")["warnings"][0]
    mesh.secret("cacerts", trust_bundle.secret_data(good))
    mesh.config("a: [b")
    with pytest.raises(MeshopsError, match=r"the ConfigMap istio-system/istio holds no mesh config.*line 1"):
        run(mesh, "rotate")
    assert "istio-system/istio" in run(mesh, "status")["warnings"][0]


def test_the_roots_in_use_are_told_where_istiod_looks_after_other_namespaces_only(mesh, monkeypatch):
    mesh.running(plugged=made())
    mesh.loaded = made()
    mesh.put("Namespace", "app", None, status={})
    monkeypatch.setattr(mesh, "homes", lambda: ["app"])
    with pytest.raises(CannotRotate, match="does not take the change"):
        run(mesh, "rotate")


# -- the report -----------------------------------------------------------


def test_a_report_that_can_not_be_written_is_told_before_anything_is_changed(mesh, tmp_path):
    mesh.running(plugged=made())
    for check in (True, False):
        with pytest.raises(MeshopsError, match=r"none isn't a directory"):
            run(mesh, "rotate", check, report=str(tmp_path / "none" / "ca.html"))
    assert mesh.writes == []


def test_check_mode_writes_no_report(mesh, tmp_path):
    mesh.running(plugged=made())
    for action in ("status", "rotate"):
        run(mesh, action, check=True, report=str(tmp_path / "ca.html"))
    assert list(tmp_path.iterdir()) == []


def test_what_was_done_is_told_even_where_the_report_fails(mesh, tmp_path, monkeypatch):
    def fails(*_arguments):
        raise MeshopsError("the disk is full")

    monkeypatch.setattr(actions, "write_report", fails)
    monkeypatch.setattr(actions, "status", lambda *_a: {"warnings": []})
    mesh.running(plugged=made())
    done = run(mesh, "rotate", report=str(tmp_path / "ca.html"))
    assert (phases(done), done["warnings"]) == (["trust", "sign", "drop"], ["the disk is full"])


# -- others who use or write the CA -----------------------------------------


def remote_secret(mesh):
    mesh.put("Secret", "istio-remote-secret-west", metadata={"labels": {"istio/multiCluster": "true"}}, data={})


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("action", ["rotate", "install"])
def test_a_root_that_another_cluster_shares_is_not_rotated(mesh, tmp_path, monkeypatch, check, action):
    mesh.running(**({"plugged": made()} if action == "rotate" else {"own": self_signed()}))
    remote_secret(mesh)
    with pytest.raises(CannotRotate, match="istio-remote-secret-west") as caught:
        run(mesh, action, check, root_dir=str(tmp_path / "root"))
    assert [each["reason"] for each in caught.value.result["reasons"]] == ["shared_root"]
    assert (mesh.writes, (tmp_path / "root").exists()) == ([], False)
    assert run(mesh, action, check, accept_shared_root=True)["changed"]


def test_a_root_that_another_cluster_shares_is_renewed(renewable):
    mesh, place = renewable
    remote_secret(mesh)
    assert phases(run(mesh, "renew", root_dir=place)) == ["sign"]


def test_a_shared_root_can_be_rotated_phase_by_phase(mesh):
    old, new = made(), made()
    mesh.running(plugged=old)
    remote_secret(mesh)
    for bundle, roots, phase in ((old, (old, new), "trust"), (new, (old, new), "sign"), (new, (new,), "drop")):
        files = {"ca_cert": bundle.certificate, "ca_key": bundle.key, "cert_chain": bundle.chain}
        files["root_cert"] = "".join(each.roots for each in roots)
        assert phases(run(mesh, "rotate", source="files", files=files, accept_shared_root=True)) == [phase]
        assert set(mesh.loaded.trusted) == {each.root for each in roots}
    assert (mesh.loaded.signer, secrets(mesh)) == (new.signer, ["cacerts", "istio-remote-secret-west"])


def test_several_networks_are_found(mesh):
    mesh.running(plugged=made())
    mesh.objects["Namespace", None, "istio-system"]["metadata"]["labels"] = {"topology.istio.io/network": "east"}
    mesh.put("ConfigMap", "istio", data={"mesh": PUSH, "meshNetworks": "networks: {east: {}, west: {}}"})
    with pytest.raises(CannotRotate, match=r"several networks \(east, west\)"):
        run(mesh, "rotate")
    mesh.config(PUSH)
    mesh.put("Service", "istio-eastwestgateway", metadata={"labels": {"topology.istio.io/network": "east"}})
    with pytest.raises(CannotRotate, match="istio-system/istio-eastwestgateway"):
        run(mesh, "rotate")
    assert mesh.writes == []


def test_a_control_plane_of_another_namespace_with_the_same_root_is_found(mesh):
    old = made()
    mesh.running(plugged=old)
    mesh.istiod("istiod-other", "other-system")
    mesh.put("Secret", "cacerts", "other-system", data=encoded({"root-cert.pem": old.roots}))
    with pytest.raises(CannotRotate, match="the istiod in the namespace other-system trusts the same root"):
        run(mesh, "rotate")
    mesh.put(
        "Secret", "cacerts", "other-system", data={"root-cert.pem": base64.b64encode(made().roots.encode()).decode()}
    )
    assert run(mesh, "rotate", check=True)["changed"]


@pytest.mark.parametrize("action", ["rotate", "renew"])
def test_a_secret_that_another_tool_manages_is_not_written(renewable, tmp_path, action):
    mesh, place = renewable
    owner = {"kind": "ExternalSecret", "name": "mesh-ca", "controller": True}
    mesh.objects["Secret", "istio-system", "cacerts"]["metadata"]["ownerReferences"] = [owner]
    folder = place if action == "renew" else str(tmp_path / "new")
    with pytest.raises(CannotRotate, match="ExternalSecret mesh-ca"):
        run(mesh, action, root_dir=folder)
    assert mesh.writes == []
    assert run(mesh, action, root_dir=folder, accept_managed_secret=True)["changed"]


@pytest.mark.parametrize("action", ["rotate", "abort"])
def test_an_immutable_secret_is_refused(mesh, monkeypatch, action):
    mesh.running(plugged=made())
    if action == "abort":
        killed_after(mesh, monkeypatch, "trust")
    mesh.objects["Secret", "istio-system", "cacerts"]["immutable"] = True
    with pytest.raises(CannotRotate, match="immutable"):
        run(mesh, action)
    assert mesh.writes == []


# -- what must not get lost -------------------------------------------------


def test_an_abort_without_the_previous_ca_fails(mesh, monkeypatch):
    mesh.running(plugged=made())
    killed_after(mesh, monkeypatch, "sign")
    del mesh.objects["Secret", "istio-system", "cacerts-previous"]
    for check in (True, False):
        with pytest.raises(CannotRotate, match="cacerts-previous: the rotation can't be taken back"):
            run(mesh, "abort", check)
    del mesh.objects["Secret", "istio-system", "cacerts-next"]
    with pytest.raises(CannotRotate, match="in phase sign"):
        run(mesh, "abort")
    assert mesh.writes == []


def test_an_abort_where_no_rotation_is_under_way_changes_nothing(mesh):
    mesh.running(plugged=made())
    assert run(mesh, "abort")["changed"] is False
    run(mesh, "rotate")
    assert run(mesh, "abort")["changed"] is False


NOT_TEXT = base64.b64encode(b"\xff\xfe\x00").decode()


@pytest.mark.parametrize("way", ["rotate", "abort", "deleted"])
def test_further_keys_of_the_secret_survive(mesh, monkeypatch, way):
    mesh.running(plugged=made())
    mesh.objects["Secret", "istio-system", "cacerts"]["data"]["keystore.p12"] = NOT_TEXT
    killed_after(mesh, monkeypatch, "sign")
    if way == "deleted":
        del mesh.objects["Secret", "istio-system", "cacerts"]
    run(mesh, "abort" if way == "abort" else "rotate")
    assert mesh.objects["Secret", "istio-system", "cacerts"]["data"]["keystore.p12"] == NOT_TEXT
    assert secrets(mesh) == ["cacerts"]


def test_the_key_of_a_former_ca_is_named_in_the_status(mesh):
    mesh.running(own=self_signed())
    run(mesh, "install")
    (warning,) = [each for each in run(mesh, "status")["warnings"] if "istio-ca-secret" in each]
    assert "delete istio-ca-secret" in warning


def test_pods_keep_no_annotation_of_a_rotation(mesh):
    mesh.running(plugged=made())
    mesh.objects["Pod", "app", "web"]["metadata"]["annotations"] = {"meshops.istio/ca-nudge": "then"}
    run(mesh, "rotate")
    for (kind, _namespace, _name), obj in mesh.objects.items():
        if kind == "Pod":
            assert "meshops.istio/ca-nudge" not in (obj["metadata"].get("annotations") or {})


def test_a_second_run_is_refused_while_the_first_renews_its_lease(mesh, monkeypatch):
    monkeypatch.setattr(lock, "_PATIENCE", 0)
    mesh.running(plugged=made())
    mesh.put("Lease", "meshops-ca-rotation", spec={"holderIdentity": "other/1/x"})
    with pytest.raises(CannotRotate, match="other/1/x"):
        run(mesh, "rotate")
    assert mesh.writes == []
    assert run(mesh, "rotate", check=True)["changed"], "check mode writes nothing, so it needs no lock"


def test_a_run_leaves_no_lease(mesh):
    mesh.running(plugged=made())
    run(mesh, "rotate")
    assert [key for key in mesh.objects if key[0] == "Lease"] == []
