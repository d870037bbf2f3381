# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A gate is met only by a mesh that is there, and names who isn't."""

from __future__ import annotations

import dataclasses
import datetime
import functools

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.ca import gate, rotation
from ansible_collections.meshops.istio.plugins.module_utils.ca.gate import Reason
from ansible_collections.meshops.istio.plugins.module_utils.ca.rotation import Expectation
from ansible_collections.meshops.istio.plugins.module_utils.ca.trust_bundle import plugged
from ansible_collections.meshops.istio.plugins.module_utils.mesh import certificates as c
from ansible_collections.meshops.istio.plugins.module_utils.proxies import proxy as proxies
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NOW = datetime.datetime(2026, 11, 1, tzinfo=datetime.timezone.utc)


@functools.cache
def bundle(letter):
    root, key = c.make_root("cluster.local", 3650, "EC-P256", NOW, f"Root {letter}")
    return plugged(*c.make_intermediate(root, key, ["cluster.local"], 365, "EC-P256", NOW), [root])


@functools.cache
def leaf(letter):
    issuer = bundle(letter)
    uri = x509.UniformResourceIdentifier("spiffe://cluster.local/ns/app/sa/web")
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.signer.x509.subject)
        .public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
        .serial_number(7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([uri]), critical=True)
        .sign(c.load_key(issuer.key), hashes.SHA256())
    )
    return c.Certificate(made.public_bytes(serialization.Encoding.PEM).decode())


A, B = (frozenset({bundle(letter).root.fingerprint}) for letter in "AB")
PRESENT, TRUST, SIGN, DROP = (
    rotation.expectation(held, bundle("B"), bundle("A"))
    for held in [bundle("A")] + [step.bundle for step in rotation.all_steps(bundle("A"), bundle("B"))]
)


def proxy(roots, letter, mounted=None, **more):
    mounted = roots if mounted is None else mounted
    return proxies.Proxy("app", "web-1", roots=roots, chain=(leaf(letter),), mounted=mounted, **more)


MET = [
    (PRESENT, proxy(A, "A")),
    (TRUST, proxy(A | B, "A")),
    (TRUST, proxy(A | B | {"of the mesh config"}, "A", mounted=A | B)),
    (SIGN, proxy(A | B, "B")),
    (DROP, proxy(B, "B")),
    (TRUST, proxies.Proxy("app", "starting", running=False)),
]


@pytest.mark.parametrize(("expected", "held"), MET)
def test_who_is_there_holds_nothing_up(expected, held):
    assert gate.proxy_blocker(expected, held) is None


NOT_MET = [
    (PRESENT, proxy(B, "A"), "does not trust"),
    (TRUST, proxy(A, "A"), "does not trust"),
    (TRUST, proxy(A | B, "A", mounted=A), "mounted root-cert.pem: lacks"),
    (TRUST, dataclasses.replace(proxy(A | B, "A"), mounted=None), "can't be read"),
    (TRUST, proxies.Proxy("app", "web-1", error="exec refused"), "exec refused"),
    (TRUST, proxies.Proxy("app", "web-1"), "holds no certificate"),
    (SIGN, proxy(A | B, "A"), "leaf is still issued by"),
    (DROP, proxy(A | B, "B", mounted=B), "still trusts"),
    (DROP, proxy(B, "B", mounted=A | B), "still holds"),
    (DROP, proxy(B, "A"), "leaf is still issued by"),
    (TRUST, proxy(A, "A", push=False), "PROXY_CONFIG_XDS_AGENT isn't set"),
    (TRUST, proxy(A, "A", ready=False), "the pod isn't ready"),
]


@pytest.mark.parametrize(("expected", "held", "why"), NOT_MET)
def test_who_is_not_there_is_named_with_the_reason(expected, held, why):
    blocker = gate.proxy_blocker(expected, held)
    assert blocker.what == "sidecar app/web-1"
    assert why in blocker.why


def test_renewal_does_not_wait_for_proxies_that_take_no_push():
    root, key = c.make_root("cluster.local", 3650, "EC-P256", NOW)
    old, new = (
        plugged(*c.make_intermediate(root, key, ["cluster.local"], 365, "EC-P256", NOW), [root]) for _n in range(2)
    )
    (step,) = rotation.all_steps(old, new)
    expected = rotation.expectation(step.bundle, new, old)
    held = proxies.Proxy("app", "web-1", roots=expected.roots, chain=(leaf("A"),), mounted=expected.roots)
    assert "leaf is still issued" in gate.proxy_blocker(expected, held).why
    assert gate.proxy_blocker(expected, dataclasses.replace(held, push=False)) is None


def test_config_maps_of_every_namespace_not_only_of_those_that_have_one():
    blockers = gate.config_map_blockers(TRUST, ["app", "late", "old"], {"app": A | B, "old": A, "unserved": A})
    assert [(h.what, h.why.split()[0]) for h in blockers] == [
        ("ConfigMap in namespace late", "istiod"),
        ("ConfigMap in namespace old", "lacks"),
    ]


def test_webhooks():
    assert gate.webhook_blockers(DROP, {"injector": B}) == []
    (blocker,) = gate.webhook_blockers(DROP, {"injector": B, "validator": A | B})
    assert blocker.what == "caBundle of validator"


def istiod(**more):
    expiries = {"root_expiry": SIGN.root_expiry, "chain_expiry": SIGN.chain_expiry}
    return gate.Istiod("istio-system", "istiod-1", **{**expiries, **more})


@pytest.mark.parametrize(
    ("held", "why"),
    [
        (istiod(chain_expiry=1), "hasn't loaded"),
        (istiod(terminating=True), "shutting down"),
        (istiod(ready=False), "isn't ready"),
        (istiod(error="no metrics"), "no metrics"),
    ],
)
def test_istiod_that_is_not_there(held, why):
    assert gate.istiod_blockers(SIGN, [istiod()]) == []
    (blocker,) = gate.istiod_blockers(SIGN, [istiod(), held])
    assert why in blocker.why


def test_what_stands_against_a_rotation_comes_with_its_remedy():
    without, with_reload = proxy(A, "A", push=False), proxy(A, "A")
    assert gate.unprepared([istiod()], [with_reload], {"": True}) == ([], [])
    obstacles, found = gate.unprepared([istiod(multi_root=False)], [without, with_reload], {"default": False})
    assert found == [without]
    assert [each.reason for each in obstacles] == [Reason.NOT_MULTI_ROOT, Reason.NO_ROOT_RELOAD]
    assert "control_plane_values.istiod.env.ISTIO_MULTIROOT_MESH" in obstacles[0].message
    assert "proxyMetadata.PROXY_CONFIG_XDS_AGENT" in obstacles[1].message
    assert "app/web-1" in obstacles[1].message
    assert gate.unprepared([istiod()], [without], {"": True, "canary": False}) == ([], [without])


ROOT, OTHER = frozenset({"a" * 64}), frozenset({"b" * 64})


@pytest.mark.parametrize(
    ("neighbours", "shown"),
    [
        (gate.Neighbours(remote_secrets=("istio-system/istio-remote-secret-west",)), "istio-remote-secret-west"),
        (gate.Neighbours(networks=("net-east", "net-west")), "net-east, net-west"),
        (gate.Neighbours(gateways=("istio-system/istio-eastwestgateway",)), "istio-eastwestgateway"),
        (gate.Neighbours(control_planes={"other-system": ROOT | OTHER}), "the same root aaaaaaaaaaaa"),
        (gate.Neighbours(control_planes={"other-system": None}), "can't be read"),
    ],
)
def test_a_root_that_others_may_share_is_refused(neighbours, shown):
    (found,) = gate.shared_root(neighbours, ROOT)
    assert found.reason is Reason.SHARED_ROOT and shown in found.message
    assert "ca_accept_shared_root" in found.message


def test_a_root_that_nobody_shares_is_not_refused():
    assert gate.shared_root(gate.Neighbours(), ROOT) == []
    assert gate.shared_root(gate.Neighbours(control_planes={"other-system": OTHER}), ROOT) == []


def test_an_istiod_that_is_pending_says_why():
    pending = istiod(ready=False, trouble="it can't be scheduled: 0/1 nodes are available: 1 Insufficient cpu.")
    expected = Expectation(roots=ROOT, gone=frozenset(), signer=None, root_expiry=None, chain_expiry=None)
    (found,) = gate.istiod_blockers(expected, [pending])
    assert found.reason is gate.Why.ISTIOD_NOT_READY and "Insufficient cpu" in found.why
