# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import copy

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.releases.foreign_fields import (
    foreign_fields,
    with_live_values,
    without,
)


def texts(fields):
    return [field.text for field in fields if field.owner]


def webhooks(policy, manager="pilot-discovery", bundle="Q0E="):
    owned = {"f:webhooks": {'k:{"name":"a"}': {"f:failurePolicy": {}}}}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "v", "managedFields": [{"manager": manager, "fieldsV1": owned}]},
        "webhooks": [{"name": "a", "failurePolicy": policy, "clientConfig": {"caBundle": bundle}}],
    }


def wanted_webhooks():
    wanted = webhooks("Ignore", bundle="")
    del wanted["metadata"]["managedFields"]
    return wanted


def test_webhook_fields_that_istiod_owns_are_kept():
    wanted, live = wanted_webhooks(), webhooks("Fail")
    before = copy.deepcopy(wanted)
    fields = foreign_fields(wanted, live)
    assert without(wanted, fields)["webhooks"] == [{"name": "a", "clientConfig": {}}]
    assert texts(fields) == ["ValidatingWebhookConfiguration v: failurePolicy of a belongs to pilot-discovery"]
    assert with_live_values(wanted, live, fields)["webhooks"][0]["failurePolicy"] == "Fail"
    assert wanted == before


@pytest.mark.parametrize("manager", ["kubectl-edit", "helm", "meshops.istio"])
def test_webhook_fields_of_installers_are_drift(manager):
    fields = foreign_fields(wanted_webhooks(), webhooks("Fail", manager))
    assert without(wanted_webhooks(), fields)["webhooks"][0]["failurePolicy"] == "Ignore"
    assert texts(fields) == []


def deployment(replicas):
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "n"},
        "spec": {"replicas": replicas},
    }


def test_replicas_belong_to_an_autoscaler():
    fields = foreign_fields(deployment(1), deployment(5), lambda obj: True)
    assert "replicas" not in without(deployment(1), fields)["spec"]
    assert with_live_values(deployment(1), deployment(5), fields)["spec"] == {"replicas": 5}
    assert texts(fields) == ["Deployment n/d: replicas belong to its HorizontalPodAutoscaler"]
    assert foreign_fields(deployment(1), deployment(5), lambda obj: False) == []


@pytest.mark.parametrize(("manager", "selector"), [("admissionsenforcer", None), ("kubectl-edit", {"matchLabels": {}})])
def test_webhook_selector_of_a_cloud_controller_is_kept(manager, selector):
    wanted, live = wanted_webhooks(), webhooks("Ignore", manager)
    wanted["webhooks"][0]["namespaceSelector"] = {"matchLabels": {}}
    live["webhooks"][0]["namespaceSelector"] = {
        "matchExpressions": [{"key": "control-plane", "operator": "DoesNotExist"}]
    }
    live["metadata"]["managedFields"][0]["fieldsV1"]["f:webhooks"]['k:{"name":"a"}'] = {"f:namespaceSelector": {}}
    fields = foreign_fields(wanted, live)
    assert without(wanted, fields)["webhooks"][0].get("namespaceSelector") == selector
    told = ["ValidatingWebhookConfiguration v: namespaceSelector of a belongs to admissionsenforcer"]
    assert texts(fields) == ([] if selector else told)


@pytest.mark.parametrize(("manager", "kept"), [("rollouts-controller", True), ("kubectl-edit", False)])
def test_service_selector_of_a_controller_is_kept(manager, kept):
    def service(selector):
        meta = {"name": "s", "namespace": "n"}
        return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"selector": selector, "type": "x"}}

    live = service({"app": "a", "hash": "1"})
    live["metadata"]["managedFields"] = [{"manager": manager, "fieldsV1": {"f:spec": {"f:selector": {}}}}]
    fields = foreign_fields(service({"app": "a"}), live)
    assert without(service({"app": "a"}), fields)["spec"] == (
        {"type": "x"} if kept else {"selector": {"app": "a"}, "type": "x"}
    )
    assert texts(fields) == (["Service n/s: selector belongs to rollouts-controller"] if kept else [])
