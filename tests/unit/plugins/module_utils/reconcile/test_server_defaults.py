# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the API server fills in, drops, and writes in another way."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.compare import (
    apply_differences,
    value_differences,
)
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.schema import Schema
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.server_defaults import quantity, same
from fakes.applied import US, built_in, live, policy, virtual_service

GATEWAY_SCHEMA = Schema(
    {
        "properties": {
            "spec": {
                "properties": {
                    "rules": {
                        "items": {
                            "properties": {
                                "matches": {
                                    "items": {
                                        "properties": {"path": {"default": {"type": "PathPrefix", "value": "/"}}}
                                    },
                                    "default": [{"path": {"type": "PathPrefix", "value": "/"}}],
                                },
                                "weight": {"default": 1},
                            }
                        }
                    }
                }
            }
        }
    }
)


@pytest.mark.parametrize(
    ("rule", "differs"),
    [
        ({"weight": 1}, False),
        ({"weight": 2}, True),
        ({"matches": [{"path": {"type": "PathPrefix", "value": "/"}}]}, False),
        ({"matches": [{"path": {"type": "Exact", "value": "/"}}]}, True),
    ],
)
def test_defaults_inside_an_atomic_list(rule, differs):
    route = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "r", "namespace": "shop"},
        "spec": {"rules": [{"name": "a"}]},
    }
    found = live(route)
    found["spec"]["rules"][0].update(rule)
    reasons = apply_differences(route, found, US, lambda obj: GATEWAY_SCHEMA)
    assert bool(reasons) == differs
    assert apply_differences(route, found, US), "without a schema, doubt counts as a difference"


def test_quantities_of_built_in_kinds():
    def pod(cpu):
        return {
            "apiVersion": "v1",
            "kind": "LimitRange",
            "metadata": {"name": "x", "namespace": "shop"},
            "spec": {"limits": [{"type": "Container", "max": {"cpu": cpu}}]},
        }

    assert apply_differences(pod("1000m"), live(pod("1")), US) == []
    assert apply_differences(pod("1001m"), live(pod("1")), US)
    custom = virtual_service(limits={"cpu": "1000m"})
    assert apply_differences(custom, live(virtual_service(limits={"cpu": "1"})), US), (
        "only built-in kinds have quantities"
    )


def endpoints(**conditions):
    found = [{"addresses": ["192.0.2.1"], "conditions": conditions}]
    return built_in("discovery.k8s.io/v1", "EndpointSlice", addressType="IPv4", endpoints=found)


def pod(env=None, term=None, **toleration):
    container = {"name": "c", "image": "i", "env": [{"name": "V", "value": env or "1"}]}
    rules = {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone", **(term or {})}]}
    spec = {
        "affinity": {"podAntiAffinity": rules},
        "containers": [container],
        "tolerations": [{"key": "k", "operator": "Exists", **toleration}],
    }
    return built_in("v1", "Pod", spec=spec)


def definition(default, **field):
    schema = {"type": "object", "properties": {"spec": {"type": "object", "default": default, **field}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return built_in(
        "apiextensions.k8s.io/v1", "CustomResourceDefinition", spec={"group": "x.io", "versions": [version]}
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (policy(podSelector={}, namespaceSelector={}), policy(podSelector={})),
        (policy(podSelector={}, namespaceSelector={}), policy(namespaceSelector={})),
        (policy(podSelector={"matchLabels": {"a": ""}}), policy(podSelector={"matchLabels": {"a": "", "b": ""}})),
        (endpoints(ready=False), endpoints()),
        (endpoints(ready=True, serving=False), endpoints(ready=True)),
        (pod(effect="NoExecute", tolerationSeconds=0), pod(effect="NoExecute")),
        (pod(term={"namespaceSelector": {}}), pod()),
        (pod(term={"labelSelector": {}}), pod(term={"namespaceSelector": {}})),
        (pod(env="1.10"), pod(env="1.1")),
        (built_in("v1", "ConfigMap", data={"value": "1.20"}), built_in("v1", "ConfigMap", data={"value": "1.2"})),
        (definition({}), definition({"paused": False})),
        (definition({"a": ""}), definition({})),
        (definition({"cpu": "1.10"}), definition({"cpu": "1.1"})),
    ],
)
def test_empty_values_and_texts_like_numbers_that_make_a_difference(one, other):
    for before, now in ((one, other), (other, one)):
        assert apply_differences(now, live(before), US), (before, now)
    assert value_differences(one, other) or value_differences(other, one)


def test_an_annotation_called_value_is_no_quantity():
    before, now = built_in("v1", "ConfigMap"), built_in("v1", "ConfigMap")
    before["metadata"]["annotations"], now["metadata"]["annotations"] = {"value": "1.20"}, {"value": "1.2"}
    assert value_differences(now, before) == ["metadata.annotations.value differs"]


def test_empty_values_that_the_server_drops():
    role = built_in("rbac.authorization.k8s.io/v1", "RoleBinding")
    account = {"kind": "ServiceAccount", "name": "a", "namespace": "shop"}
    assert (
        apply_differences(
            {**role, "subjects": [{**account, "apiGroup": ""}]}, live({**role, "subjects": [account]}), US
        )
        == []
    )
    spec = {"hostNetwork": False, "nodeSelector": {}, "tolerations": [], "containers": [{"name": "c", "tty": False}]}
    spec["containers"][0]["env"] = [{"name": "V", "value": ""}]
    kept = {"containers": [{"name": "c", "env": [{"name": "V"}]}]}
    assert value_differences(built_in("v1", "Pod", spec=spec), built_in("v1", "Pod", spec=kept)) == []
    assert apply_differences(definition({}, nullable=False), live(definition({})), US) == []


def test_empty_values_that_are_gone_from_what_helm_applied():
    spec = {
        "automountServiceAccountToken": False,
        "containers": [{"name": "c", "securityContext": {"privileged": False}}],
    }
    kept = {"containers": [{"name": "c", "securityContext": {}}]}
    assert value_differences(built_in("v1", "Pod", spec=spec), built_in("v1", "Pod", spec=kept)) == [
        "spec.automountServiceAccountToken is not set",
        "spec.containers[name=c].securityContext.privileged is not set",
    ]
    assert value_differences(virtual_service(exportTo=[]), virtual_service()) == ["spec.exportTo is not set"]


def test_quantities_of_an_autoscaler():
    def autoscaler(value):
        metric = {
            "type": "External",
            "external": {"metric": {"name": "m"}, "target": {"type": "Value", "value": value}},
        }
        return built_in("autoscaling/v2", "HorizontalPodAutoscaler", spec={"maxReplicas": 3, "metrics": [metric]})

    assert apply_differences(autoscaler("1000m"), live(autoscaler("1")), US) == []
    assert apply_differences(autoscaler("1001m"), live(autoscaler("1")), US)


def test_what_the_server_fills_into_claims_of_a_stateful_set():
    claim = {"metadata": {"name": "v"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    wanted = built_in("apps/v1", "StatefulSet", spec={"volumeClaimTemplates": [claim]})
    found = live(wanted)
    found["spec"]["volumeClaimTemplates"][0].update(
        apiVersion="v1", kind="PersistentVolumeClaim", status={"phase": "Pending"}
    )
    found["spec"]["volumeClaimTemplates"][0]["spec"]["volumeMode"] = "Filesystem"
    assert apply_differences(wanted, found, US) == []
    found["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"] = ""
    assert apply_differences(wanted, found, US)


def test_a_default_of_a_maps_values_fills_in_no_key():
    text = {"type": "string", "default": ""}
    labels = Schema(
        {
            "properties": {
                "spec": {"properties": {"podSelector": {"properties": {"matchLabels": {"additionalProperties": text}}}}}
            }
        }
    )
    wanted, before = (
        built_in("networking.k8s.io/v1", "NetworkPolicy", spec={"podSelector": {"matchLabels": m}})
        for m in ({"b": ""}, {"a": "", "b": ""})
    )
    found = live(before)
    found["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:podSelector"] = {}
    assert apply_differences(wanted, found, US, lambda obj: labels) == ["spec.podSelector differs"]


@pytest.mark.parametrize(
    ("one", "other"), [("1", 1), ("1000m", 1), ("1Gi", "1024Mi"), ("0.5", "500m"), ("1e3", "1k"), ("100u", "0.1m")]
)
def test_quantity(one, other):
    assert quantity(one) is not None
    assert quantity(one) == quantity(other)


@pytest.mark.parametrize("text", ["", "1x", "Mi", "v1", True, "1.2.3"])
def test_no_quantity(text):
    assert quantity(text) is None


def test_true_is_not_one():
    assert not same(True, 1)
    assert not same([{"a": 1}], [{"a": True}])
    assert same([{"a": 1}], [{"a": 1.0}])
