# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether an object is ready, and why not."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.readiness import unready


def obj(api_version, kind, status=None, generation=2, spec=None):
    meta = {"name": "x", "namespace": "shop", "generation": generation}
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, "spec": spec or {}, "status": status or {}}


def condition(kind, status="True", generation=2, **more):
    return {"type": kind, "status": status, "observedGeneration": generation, **more}


def refused(kind, generation):
    return condition(kind, "False", generation, reason="TargetNotFound", message="not bound")


FOUND = {"level": "ERROR", "type": {"name": "ReferencedResourceNotFound"}}
UNBOUND = {
    "type": "istio.io/WaypointBound",
    "status": "False",
    "reason": "WaypointIsNotReady",
    "message": 'waypoint "shop/w" is not ready',
}
DONE = {"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1, "readyReplicas": 1}
GATEWAY = "gateway.networking.k8s.io/v1"
REF = {"name": "gw"}
ROUTE = {"parentRefs": [REF]}
ACCEPTED = [condition("Accepted"), condition("ResolvedRefs")]


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (obj("apps/v1", "Deployment", DONE), None),
        (obj("apps/v1", "Deployment", {**DONE, "observedGeneration": 1}), "has not seen the change"),
        (obj("apps/v1", "Deployment", {**DONE, "updatedReplicas": 0}), "0 of 1 pods are of the new version"),
        (obj("apps/v1", "Deployment", {**DONE, "replicas": 2}), "1 pods of the old version"),
        (obj("apps/v1", "Deployment", {**DONE, "availableReplicas": 0}), "0 of 1 pods are available"),
        (obj("apps/v1", "Deployment", {"observedGeneration": 2}, spec={"replicas": 0}), None),
        (
            obj(
                "apps/v1",
                "DaemonSet",
                {"observedGeneration": 2, "desiredNumberScheduled": 2, "updatedNumberScheduled": 2},
            ),
            "available on 0 of 2 nodes",
        ),
        (obj("apps/v1", "StatefulSet", {**DONE, "readyReplicas": 0}), "0 of 1 pods are ready"),
        (obj("apps/v1", "StatefulSet", DONE), None),
        (obj("batch/v1", "Job", {"conditions": [condition("Complete")]}), None),
        (obj("batch/v1", "Job", {"conditions": [condition("Failed", message="too bad")]}), "too bad"),
        (obj("v1", "Service", spec={"type": "LoadBalancer"}), "no address yet"),
        (obj("v1", "Service", spec={"type": "ClusterIP"}), None),
        (obj("apiextensions.k8s.io/v1", "CustomResourceDefinition"), "not Established yet"),
        (obj("apiextensions.k8s.io/v1", "CustomResourceDefinition", {"conditions": [condition("Established")]}), None),
        (obj(GATEWAY, "Gateway", {"conditions": [condition("Accepted"), condition("Programmed")]}), None),
        (
            obj(GATEWAY, "Gateway", {"conditions": [condition("Accepted"), condition("Programmed", generation=1)]}),
            "Programmed is not reported yet",
        ),
        (
            obj(GATEWAY, "Gateway", {"conditions": [condition("Accepted", "False", reason="Invalid", message="no")]}),
            "Accepted is False: Invalid no",
        ),
        (obj(GATEWAY, "HTTPRoute", spec=ROUTE), "parent gw has not reported yet"),
        (
            obj(GATEWAY, "HTTPRoute", {"parents": [{"parentRef": REF, "conditions": ACCEPTED}]}, spec=ROUTE),
            None,
        ),
        (
            obj(
                GATEWAY,
                "HTTPRoute",
                {"parents": [{"parentRef": REF, "conditions": [condition("Accepted")]}]},
                spec=ROUTE,
            ),
            "parent gw: the condition ResolvedRefs is not reported yet",
        ),
        (
            obj(
                GATEWAY,
                "HTTPRoute",
                {"parents": [{"parentRef": {**REF, "namespace": "other"}, "conditions": ACCEPTED}]},
                spec=ROUTE,
            ),
            "parent gw has not reported yet",
        ),
        (obj("networking.istio.io/v1", "VirtualService"), None),
        (
            obj("networking.istio.io/v1", "VirtualService", {"validationMessages": [FOUND]}),
            "istiod reports ReferencedResourceNotFound",
        ),
        (
            obj("networking.istio.io/v1", "VirtualService", {"validationMessages": [FOUND], "observedGeneration": 2}),
            "istiod reports ReferencedResourceNotFound",
        ),
        (
            obj("networking.istio.io/v1", "VirtualService", {"validationMessages": [FOUND], "observedGeneration": "1"}),
            "istiod has not looked at the change yet",
        ),
        (obj("networking.istio.io/v1", "VirtualService", {"observedGeneration": "1"}), None),
        (
            obj("networking.istio.io/v1", "ServiceEntry", {"conditions": [UNBOUND]}),
            'istio.io/WaypointBound is False: WaypointIsNotReady waypoint "shop/w" is not ready',
        ),
        (
            obj("networking.istio.io/v1", "ServiceEntry", {"conditions": [{**UNBOUND, "status": "True"}]}),
            None,
        ),
        (
            obj("security.istio.io/v1", "AuthorizationPolicy", {"conditions": [refused("WaypointAccepted", "2")]}),
            "WaypointAccepted is False: TargetNotFound not bound",
        ),
        (obj("security.istio.io/v1", "AuthorizationPolicy", {"conditions": [refused("WaypointAccepted", 1)]}), None),
        (obj("security.istio.io/v1", "AuthorizationPolicy", {"conditions": [refused("ZtunnelAccepted", 2)]}), None),
        (
            obj(
                "networking.istio.io/v1",
                "ServiceEntry",
                {"conditions": [condition("istio.io/WaypointMissing"), condition("istio.io/VisibilityApplied")]},
            ),
            None,
        ),
        (obj("v1", "ConfigMap"), None),
    ],
)
def test_unready(found, reason):
    told = unready(found)
    if reason is None:
        assert told is None
    else:
        assert reason in told


def test_what_is_being_deleted_is_not_ready():
    going = obj("v1", "ConfigMap")
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert unready(going) == "it is being deleted"
