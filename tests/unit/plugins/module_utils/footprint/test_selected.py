# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Labels of namespaces that others select by."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.footprint.footprint import footprint
from ansible_collections.meshops.istio.plugins.module_utils.footprint.item import Reason


def obj(kind, name, namespace="", api="v1", **rest):
    meta = {"name": name, "uid": f"{kind}/{namespace}/{name}", **rest.pop("meta", {})}
    if namespace:
        meta["namespace"] = namespace
    return {"apiVersion": api, "kind": kind, "metadata": meta, **rest}


SELECTOR = {"matchLabels": {"istio-injection": "enabled"}}
PEER = [{"namespaceSelector": SELECTOR}]


@pytest.mark.parametrize(
    "other",
    [
        obj("NetworkPolicy", "p", "bank", "networking.k8s.io/v1", spec={"ingress": [{"from": PEER}]}),
        obj("NetworkPolicy", "p", "bank", "networking.k8s.io/v1", spec={"egress": [{"to": PEER}]}),
        obj("ValidatingWebhookConfiguration", "w", api="admissionregistration.k8s.io/v1",
            webhooks=[{"name": "a.example.com", "namespaceSelector": SELECTOR}]),
    ],
)  # fmt: skip
def test_a_namespaces_label_that_others_select_by_is_retained(other):
    whole = footprint([obj("Namespace", "shop", meta={"labels": {"istio-injection": "enabled"}}), other])
    assert whole.items == ()
    assert [item.where for item in whole.unsure if item.has(Reason.KEY_SELECTED)] == ["Namespace shop"]


def test_istios_own_webhooks_keep_no_label():
    webhook = {"name": "rev.namespace.sidecar-injector.istio.io", "namespaceSelector": SELECTOR}
    hook = obj("MutatingWebhookConfiguration", "w", api="admissionregistration.k8s.io/v1", webhooks=[webhook])
    whole = footprint([obj("Namespace", "shop", meta={"labels": {"istio-injection": "enabled"}}), hook])
    assert [item.action for item in whole.part("injection")] == ["strip"]
