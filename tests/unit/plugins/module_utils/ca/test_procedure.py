# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a rotation reads of a mesh, and what it keeps; in a cluster in memory."""

from __future__ import annotations

import base64

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.ca import (
    lock,
    procedure,
    trust_bundle,
)
from ansible_collections.meshops.istio.plugins.module_utils.ca.gate import CannotRotate
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.mesh import certificates
from fakes.ca_mesh import PUSH, Mesh, encoded, killed_after, made, phases, run, secrets, self_signed


@pytest.fixture
def mesh(monkeypatch):
    return Mesh(monkeypatch)


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
