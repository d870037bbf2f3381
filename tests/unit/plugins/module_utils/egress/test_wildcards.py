# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible_collections.meshops.istio.plugins.module_utils.egress.objects import egress_objects
from ansible_collections.meshops.istio.plugins.module_utils.egress.options import read_options
from ansible_collections.meshops.istio.plugins.module_utils.egress.wildcards import lookup_cluster_host, lookup_filter


def test_routes_of_a_wildcard_lead_to_the_clusters_that_resolve_its_hosts():
    objects = egress_objects(read_options([{"host": "*.example.com", "ports": [80, 443]}], {"through_gateway": True}))
    specs = {obj["kind"]: obj["spec"] for obj in objects}
    assert [s["tls"]["mode"] for s in specs["Gateway"]["servers"]] == ["ISTIO_MUTUAL", "PASSTHROUGH"]
    patches = specs["EnvoyFilter"]["configPatches"]
    assert [p["applyTo"] for p in patches] == ["CLUSTER", "CLUSTER", "HTTP_FILTER", "NETWORK_FILTER"]
    clusters = [p["patch"]["value"]["name"] for p in patches[:2]]
    to_hosts = [
        obj["spec"] for obj in objects if obj["kind"] == "VirtualService" and obj["spec"]["gateways"] != ["mesh"]
    ]
    routes = [route for spec in to_hosts for route in [*spec.get("http", []), *spec.get("tls", [])]]
    targets = [route["route"][0]["destination"] for route in routes]
    assert clusters == [f"outbound|{target['port']['number']}||{target['host']}" for target in targets]
    caches = [p["patch"]["value"].get("cluster_type", p["patch"]["value"])["typed_config"] for p in patches]
    assert len({str(cache["dns_cache_config"]) for cache in caches}) == 1, "Envoy refuses two definitions of one cache"


def test_filter_selects_the_gateway_and_one_chain_for_each_host():
    (host,) = read_options([{"host": "*.example.com", "ports": [80]}], {"through_gateway": True}).hosts
    spec = lookup_filter(host, {"istio": "out"})
    assert spec["workloadSelector"] == {"labels": {"istio": "out"}}
    cluster, http = spec["configPatches"]
    assert cluster["patch"]["value"]["name"] == f"outbound|80||{lookup_cluster_host(host)}"
    assert http["match"]["listener"]["filterChain"]["sni"] == "*.example.com"
