# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which CA a mesh works with, from its secrets, its roots in use and the times its istiods started."""

from __future__ import annotations

import datetime
import functools
import json

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.ca.gate import CannotRotate, Istiod, Reason
from ansible_collections.meshops.istio.plugins.module_utils.ca.present import (
    CACERTS,
    NEXT,
    ORIGIN,
    PREVIOUS,
    RECORD,
    SELF_SIGNED,
    HeldSecret,
    cacerts_obstacles,
    managing_tools,
    present_ca,
    record_of,
)
from ansible_collections.meshops.istio.plugins.module_utils.ca.trust_bundle import plugged, secret_data
from ansible_collections.meshops.istio.plugins.module_utils.mesh import certificates as c

NOW = datetime.datetime(2026, 11, 1, 12, tzinfo=datetime.timezone.utc)
MINUTE = datetime.timedelta(minutes=1)


@functools.cache
def bundle(letter):
    root, key = c.make_root("cluster.local", 3650, "EC-P256", NOW, f"Root {letter}")
    return plugged(*c.make_intermediate(root, key, ["cluster.local"], 365, "EC-P256", NOW), [root])


@functools.cache
def own():
    return plugged(*c.make_root("cluster.local", 3650, "EC-P256", NOW), [])


def secret(held, **annotations):
    return HeldSecret(secret_data(held), NOW, meta={"annotations": annotations})


def made_by_istiod():
    return HeldSecret({"ca-cert.pem": own().certificate, "ca-key.pem": own().key}, NOW)


def roots(held):
    return c.fingerprints(held.roots)


def started(when, **more):
    return Istiod("istio-system", "istiod-1", started=when, **more)


BEFORE, AFTER = NOW - MINUTE, NOW + MINUTE


def test_self_signed():
    found = present_ca({SELF_SIGNED: made_by_istiod()}, roots(own()), [started(AFTER)])
    assert (found.bundle, found.plugged, found.watched) == (own(), False, False)


def test_plugged_in():
    found = present_ca(
        {CACERTS: secret(bundle("A")), SELF_SIGNED: made_by_istiod()}, roots(bundle("A")), [started(AFTER)]
    )
    assert (found.bundle, found.plugged, found.watched) == (bundle("A"), True, True)


def test_half_way_through_a_rotation():
    secrets = {
        CACERTS: secret(bundle("A")),
        NEXT: secret(bundle("B")),
        PREVIOUS: secret(bundle("A"), **{ORIGIN: "self-signed"}),
    }
    found = present_ca(secrets, roots(bundle("A")), [started(AFTER)])
    assert (found.following, found.previous, found.origin) == (bundle("B"), bundle("A"), "self-signed")


def test_before_there_is_a_control_plane():
    assert present_ca({}, frozenset(), []).bundle is None
    assert present_ca({CACERTS: secret(bundle("A"))}, frozenset(), []).plugged


def test_a_copy_of_the_self_signed_ca_that_istiod_was_not_restarted_for():
    secrets = {CACERTS: secret(own()), SELF_SIGNED: made_by_istiod()}
    found = present_ca(secrets, roots(own()), [started(BEFORE)])
    assert (found.bundle, found.watched) == (own(), False)
    assert present_ca(secrets, roots(own()), [started(AFTER), started(BEFORE, terminating=True)]).watched


def test_a_ca_that_waits_for_a_restart_is_where_to_go_and_not_what_is_there():
    found = present_ca({CACERTS: secret(bundle("B")), SELF_SIGNED: made_by_istiod()}, roots(own()), [started(BEFORE)])
    assert (found.bundle, found.pending, found.watched) == (own(), bundle("B"), False)


def test_a_foreign_root_that_istiod_refuses_and_nobody_has_the_key_of_the_old_one():
    with pytest.raises(CannotRotate, match="cut the mesh in two"):
        present_ca({CACERTS: secret(bundle("B"))}, roots(bundle("A")), [started(AFTER)])


def test_istiod_counts_from_the_adoption_where_the_secret_was_there_before():
    adopted = json.dumps({"not_watching": ["u1"]})
    secrets = {CACERTS: secret(own(), **{RECORD: adopted}), SELF_SIGNED: made_by_istiod()}
    assert not present_ca(secrets, roots(own()), [started(AFTER, uid="u1"), started(AFTER, uid="u2")]).watched
    assert present_ca(secrets, roots(own()), [started(BEFORE, uid="u2")]).watched


def test_an_annotation_that_somebody_has_spoilt_tells_nothing():
    for spoilt in ("[]", "{", ""):
        assert record_of({RECORD: spoilt}) == {}


def test_a_ca_that_istiod_made_for_itself_in_cacerts_is_not_plugged_in():
    made = secret(own())
    made.data["istio-generated"] = ""
    found = present_ca({CACERTS: made}, roots(own()), [started(AFTER)])
    assert (found.bundle.signer, found.plugged) == (own().signer, False)


def test_an_istiod_that_is_just_starting_reads_what_is_there_then():
    secrets = {CACERTS: secret(bundle("A"))}
    assert present_ca(secrets, roots(bundle("A")), [started(AFTER), started(None)]).watched
    assert not present_ca(secrets, roots(bundle("A")), [started(BEFORE), started(None)]).watched


def test_secrets_that_lack_something_are_left_alone():
    lacking = secret(bundle("A"))
    del lacking.data["root-cert.pem"]
    (found,) = cacerts_obstacles(lacking)
    assert (found.reason, "lacks root-cert.pem" in found.message) == (Reason.INCOMPLETE_SECRET, True)
    assert cacerts_obstacles(HeldSecret({}, NOW)) == []


def test_secrets_that_others_write_are_left_alone():
    assert cacerts_obstacles(None) == cacerts_obstacles(secret(bundle("A"))) == []
    (found,) = cacerts_obstacles(secret(bundle("A"), **{"cert-manager.io/issuer-name": "mesh"}))
    assert (found.reason, "cert-manager" in found.message) == (Reason.MANAGED_SECRET, True)
    listed = secret(bundle("A"))
    listed.data["ca-crl.pem"] = "a list"
    (found,) = cacerts_obstacles(listed)
    assert (found.reason, "revocation list" in found.message) == (Reason.REVOCATION_LIST, True)


def fields(manager, operation="Update", **more):
    return {"managedFields": [{"manager": manager, "operation": operation, "fieldsV1": {"f:data": {}}, **more}]}


@pytest.mark.parametrize(
    ("meta", "tool"),
    [
        ({"ownerReferences": [{"kind": "ExternalSecret", "name": "ca", "controller": True}]}, "ExternalSecret ca"),
        (
            {"ownerReferences": [{"kind": "VaultStaticSecret", "apiVersion": "secrets.hashicorp.com/v1", "name": "v"}]},
            "v",
        ),
        ({"annotations": {"reconcile.external-secrets.io/data-hash": "1"}}, "External Secrets"),
        ({"annotations": {"sealedsecrets.bitnami.com/managed": "true"}}, "Sealed Secrets"),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "mesh:/Secret:istio-system/cacerts"}}, "Argo CD"),
        ({"labels": {"argocd.argoproj.io/instance": "mesh"}}, "Argo CD"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "mesh"}}, "Flux"),
        ({"labels": {"app.kubernetes.io/managed-by": "hashicorp-vso"}}, "Vault Secrets Operator"),
        ({"labels": {"controller.cert-manager.io/fao": "true"}}, "cert-manager"),
        ({"annotations": {"meta.helm.sh/release-name": "mesh-ca"}}, "Helm"),
        (fields("externalsecrets.external-secrets.io/ca", "Apply"), "externalsecrets.external-secrets.io/ca"),
        (fields("argocd-controller", "Apply"), "argocd-controller"),
        (fields("kustomize-controller", "Apply"), "kustomize-controller"),
        (fields("controller"), "controller"),
        (fields("Terraform", "Apply"), "Terraform"),
    ],
)
def test_secrets_that_another_tool_manages_are_refused(meta, tool):
    held = HeldSecret(secret_data(bundle("A")), NOW, meta=meta)
    (found,) = cacerts_obstacles(held)
    assert found.reason is Reason.MANAGED_SECRET and tool in found.message
    assert cacerts_obstacles(held, accept_managed=True) == []


@pytest.mark.parametrize(
    "meta",
    [
        fields("kubectl-create"),
        fields("kubectl", "Apply"),
        fields("meshops.istio"),
        fields("pilot-discovery"),
        fields("OpenAPI-Generator"),
        {"managedFields": [{"manager": "argocd-controller", "fieldsV1": {"f:metadata": {}}}]},
        {"annotations": {"argocd.argoproj.io/compare-options": "IgnoreExtraneous"}},
        {
            "labels": {"kustomize.toolkit.fluxcd.io/name": "mesh"},
            "annotations": {"kustomize.toolkit.fluxcd.io/reconcile": "disabled"},
        },
        {"annotations": {"replicator.v1.mittwald.de/replicate-to": "other"}},
        {"labels": {"app.kubernetes.io/managed-by": "me"}},
    ],
)
def test_secrets_that_a_person_wrote_are_not_managed(meta):
    assert managing_tools(meta) == []


def test_an_immutable_secret_is_refused_whatever_is_accepted():
    held = HeldSecret(secret_data(bundle("A")), NOW, immutable=True)
    (found,) = cacerts_obstacles(held, accept_managed=True)
    assert found.reason is Reason.IMMUTABLE_SECRET


def test_a_secret_never_shows_its_data():
    assert "PRIVATE" not in repr(secret(bundle("A")))
