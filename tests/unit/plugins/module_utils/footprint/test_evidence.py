# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What proves that an object is Istio's, and what does not."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.footprint import item
from ansible_collections.meshops.istio.plugins.module_utils.footprint.evidence import Proven
from ansible_collections.meshops.istio.plugins.module_utils.footprint.item import Reason
from fakes.objects import obj

HOOK = {"name": "rev.namespace.sidecar-injector.istio.io"}


def reasons(one, *others):
    return [evidence.kind for evidence in Proven([one, *others], []).of(one)]


def test_every_reason_has_a_sentence_and_a_code():
    for reason in item.Reason:
        assert str(item.Evidence(reason, "x"))
    codes = [reason.value for reason in item.Reason]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (obj("VirtualService", "a"), Reason.API_GROUP),
        (obj("Deployment", "x", labels={"operator.istio.io/component": "Pilot"}), Reason.INSTALLER_LABEL),
        (obj("MutatingWebhookConfiguration", "x", webhooks=[HOOK]), Reason.WEBHOOK),
        (obj("Secret", "x", labels={"istio/multiCluster": "true"}), Reason.REMOTE_SECRET),
        (obj("Secret", "x", type="istio.io/key-and-cert"), Reason.SECRET_TYPE),
        (obj("ConfigMap", "istio-ca-root-cert", data={"root-cert.pem": "x"}), Reason.ROOT_CONFIG_MAP),
    ],
)
def test_an_object_proves_itself(one, reason):
    assert reason in reasons(one)


@pytest.mark.parametrize(
    "one",
    [
        obj("Secret", "x", labels={"operator.istio.io/component": "Pilot"}),
        obj("PersistentVolumeClaim", "x", api_version="v1", labels={"operator.istio.io/component": "Pilot"}),
        obj("ConfigMap", "istio-ca-root-cert", data={"root-cert.pem": "x", "mine": "y"}),
        obj("MutatingWebhookConfiguration", "x", webhooks=[HOOK, {"name": "mine.example.com"}]),
        obj("Deployment", "istiod", labels={"app": "istiod"}),
    ],
)
def test_a_label_or_a_name_that_anybody_can_write_proves_nothing(one):
    assert reasons(one) == []


def test_what_an_istio_object_owns_is_istios():
    istiod = obj("Deployment", "x", labels={"operator.istio.io/component": "Pilot"}, uid="1")
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x", "uid": "1"}
    mine = obj("ConfigMap", "made", ownerReferences=[owner])
    other = obj("ConfigMap", "other", ownerReferences=[{**owner, "uid": "2"}])
    assert reasons(mine, istiod) == [Reason.OWNER]
    assert reasons(other, istiod) == []


def test_the_cas_secret_is_one_only_beside_a_control_plane():
    istiod = obj("Deployment", "istiod", "mesh", labels={"operator.istio.io/component": "Pilot"})
    assert reasons(obj("Secret", "cacerts", "mesh"), istiod)
    assert reasons(obj("Secret", "cacerts", "elsewhere"), istiod) == []
