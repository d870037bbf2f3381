# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whole runs of ca_rotation, in a cluster in memory whose istiod and proxies follow the secret as the real ones do."""

from __future__ import annotations

import base64
import dataclasses
import json

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.ca import (
    actions,
    trust_bundle,
)
from ansible_collections.meshops.istio.plugins.module_utils.ca.gate import CannotRotate
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.mesh import certificates
from fakes.ca_mesh import HOUR, NOW, PUSH, Mesh, encoded, killed_after, made, phases, run, secrets, self_signed


@pytest.fixture
def mesh(monkeypatch):
    return Mesh(monkeypatch)


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
