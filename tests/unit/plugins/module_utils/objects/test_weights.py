# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from ansible_collections.meshops.istio.plugins.module_utils.objects.weights import with_live_weights


def service(weights, *more):
    route = [{"destination": {"host": host}, "weight": weight} for host, weight in weights.items()]
    http = [*more, {"name": "primary", "route": route}]
    return {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "spec": {"hosts": ["web"], "http": http}}


def test_live_weights_stay_also_behind_a_new_route():
    new = {"name": "new", "route": [{"destination": {"host": "other"}}]}
    declared = service({"stable": 100, "canary": 0}, new)
    kept = with_live_weights(declared, service({"canary": 30, "stable": 70}))
    assert kept == service({"stable": 70, "canary": 30}, new)


def test_a_route_with_a_new_destination_has_the_declared_weights():
    declared = service({"stable": 50, "next": 50})
    assert with_live_weights(declared, service({"stable": 70, "canary": 30})) == declared


def test_what_has_no_routes_stays_as_declared():
    gateway = {"apiVersion": "v1", "kind": "Gateway", "spec": {"http": []}}
    assert with_live_weights(gateway, gateway) is gateway


def test_gateway_api_routes_are_matched_by_their_backends():
    def route(**weights):
        refs = [{"name": name, "port": 80, "weight": weight} for name, weight in weights.items()]
        return {"apiVersion": "g/v1", "kind": "HTTPRoute", "spec": {"rules": [{"backendRefs": refs}]}}

    assert with_live_weights(route(a=100, b=0), route(a=5, b=95)) == route(a=5, b=95)
