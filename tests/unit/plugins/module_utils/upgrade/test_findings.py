# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.upgrade.findings import (
    deprecated_fields,
    envoy_filter_findings,
    lone_workloads,
    removed_kinds,
    schema_problems,
    storage_problems,
)

# -- deprecated ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "spec", "place"),
    [
        ("VirtualService", {"http": [{}, {"fault": {"delay": {"percent": 5}}}]}, "http[1].fault.delay.percent"),
        ("VirtualService", {"http": [{"corsPolicy": {"allowOrigin": ["*"]}}]}, "http[0].corsPolicy.allowOrigin"),
        (
            "DestinationRule",
            {"subsets": [{"trafficPolicy": {"loadBalancer": {"simple": "LEAST_CONN"}}}]},
            "subsets[0].trafficPolicy.loadBalancer.simple LEAST_CONN",
        ),
        (
            "DestinationRule",
            {"trafficPolicy": {"portLevelSettings": [{"outlierDetection": {"consecutiveErrors": 3}}]}},
            "trafficPolicy.portLevelSettings[0].outlierDetection.consecutiveErrors",
        ),
        ("Gateway", {"servers": [{"port": {"number": 80, "targetPort": 8080}}]}, "servers[0].port.targetPort"),
        ("MeshConfig", {"defaultConfig": {"zipkinAddress": "z:9411"}}, "defaultConfig.zipkinAddress"),
        ("MeshConfig", {"extensionProviders": [{"opencensus": {"port": 1}}]}, "extensionProviders[0].opencensus"),
    ],
)
def test_a_deprecated_field_is_named_with_its_place(kind, spec, place):
    (found,) = deprecated_fields(kind, spec, "it")
    assert found.startswith(f"it: {place} is deprecated: ")


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("VirtualService", {"http": [{"fault": {"delay": {"percentage": {"value": 5}}}}]}),
        ("VirtualService", {"http": [{"fault": {"delay": {"percent": 0}}}]}),
        ("DestinationRule", {"trafficPolicy": {"loadBalancer": {"simple": "LEAST_REQUEST"}}}),
        ("AuthorizationPolicy", {"rules": []}),
        ("VirtualService", None),
    ],
)
def test_what_is_up_to_date_is_not_named(kind, spec):
    assert deprecated_fields(kind, spec, "it") == []


def envoy_filter(patch, target="HTTP_FILTER", **more):
    spec = {"configPatches": [{"applyTo": target, "patch": {"operation": patch}, **more}]}
    return {"kind": "EnvoyFilter", "metadata": {"name": "f", "namespace": "n"}, "spec": spec}


def test_an_envoy_filter_for_the_proxies_of_now_only():
    match = {"match": {"proxy": {"proxyVersion": r"^1\.30.*"}}}
    (found,) = envoy_filter_findings(envoy_filter("MERGE", **match), ["1.30.0"], "1.31.0")
    assert r"configPatches[0] is for proxies of version ^1\.30.*, and has no effect on 1.31.0" in found
    assert envoy_filter_findings(envoy_filter("MERGE", **match), ["1.29.0"], "1.30.2") == []


def test_an_envoy_filter_that_depends_on_others():
    (found,) = envoy_filter_findings(envoy_filter("INSERT_BEFORE"), [], "1.31.0")
    assert "EnvoyFilter n/f: configPatches[0]: INSERT_BEFORE depends on what other filters do first" in found
    first = envoy_filter("INSERT_BEFORE")
    first["spec"]["priority"] = 10
    assert envoy_filter_findings(first, [], "1.31.0") == []
    (found,) = envoy_filter_findings(envoy_filter("ADD", "HTTP_ROUTE"), [], "1.31.0")
    assert "ADD has no effect on HTTP_ROUTE" in found


def definition(name="things.networking.istio.io", versions=("v1",), stored=("v1",), schema=None, kind="Thing"):
    return {
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name},
        "spec": {
            "group": name.partition(".")[2],
            "names": {"kind": kind},
            "versions": [
                {"name": v, "schema": {"openAPIV3Schema": {"properties": {"spec": schema or {}}}}} for v in versions
            ],
        },
        "status": {"storedVersions": list(stored)},
    }


def test_kinds_that_istio_has_no_more():
    (found,) = removed_kinds([definition("serviceroles.rbac.istio.io"), definition()])
    assert found == "serviceroles.rbac.istio.io: Istio has removed this kind; use AuthorizationPolicy"


# -- refused ------------------------------------------------------------------


def test_objects_stored_in_a_version_that_goes():
    live = [definition(versions=["v1", "v1alpha3"], stored=["v1alpha3", "v1"]), definition("other.istio.io")]
    (found,) = storage_problems(live, [definition(), definition("new.istio.io")])
    assert "things.networking.istio.io: objects may be stored as v1alpha3" in found
    assert storage_problems(live, []) == []


SCHEMA = {
    "type": "object",
    "required": ["host"],
    "properties": {
        "host": {"type": "string"},
        "mode": {"type": "string", "enum": ["A", "B"]},
        "ports": {"type": "array", "items": {"type": "object", "properties": {"number": {"type": "integer"}}}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "free": {"type": "object", "properties": {"a": {}}, "x-kubernetes-preserve-unknown-fields": True},
        "either": {"x-kubernetes-int-or-string": True},
    },
}


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({}, "spec.host is missing, and the new version needs it"),
        ({"host": 1}, "spec.host must be of type string"),
        ({"host": "h", "mode": "C"}, "spec.mode can't be 'C': it is one of A, B"),
        ({"host": "h", "ports": [{"nummer": 1}]}, "spec.ports[0].nummer is not known to the new version"),
        ({"host": "h", "labels": {"a": 1}}, "spec.labels.a must be of type string"),
    ],
)
def test_an_object_that_the_new_version_refuses(spec, problem):
    thing = {"apiVersion": "networking.istio.io/v1", "kind": "Thing", "metadata": {"name": "t", "namespace": "n"}}
    (found,) = schema_problems([{**thing, "spec": spec}], [definition(schema=SCHEMA)])
    assert found.startswith(f"Thing n/t: {problem}")


def test_an_object_that_fits():
    spec = {"host": "h", "mode": "A", "ports": [{"number": 1}], "free": {"x": 1}, "either": "1", "labels": None}
    thing = {"apiVersion": "networking.istio.io/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": spec}
    other = {**thing, "kind": "Other"}
    assert schema_problems([thing, other], [definition(schema=SCHEMA)]) == []


# -- lost requests ------------------------------------------------------------


def workload(replicas=1, strategy="RollingUpdate", hook=False):
    container = {"name": "app", **({"lifecycle": {"preStop": {"sleep": {"seconds": 5}}}} if hook else {})}
    spec = {"replicas": replicas, "strategy": {"type": strategy}, "template": {"spec": {"containers": [container]}}}
    return {"kind": "Deployment", "metadata": {"name": "w", "namespace": "n"}, "spec": spec}


def test_workloads_whose_restart_may_lose_requests():
    assert lone_workloads([workload(2), workload(1, hook=True), workload(0, "Recreate")]) == []
    (alone,) = lone_workloads([workload(1)])
    assert alone.startswith("Deployment n/w (one pod")
    (stops,) = lone_workloads([workload(3, "Recreate")])
    assert stops.startswith("Deployment n/w (it stops all of its pods")
