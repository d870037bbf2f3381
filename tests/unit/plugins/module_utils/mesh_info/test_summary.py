# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The summary in words at the end of a playbook."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.mesh_info.summary import MAX_LINES, summary

ISTIOD = {
    "namespace": "istio-system", "name": "istiod", "revision": "default", "version": "1.31.0", "tags": ["prod"],
    "replicas": 2, "ready": 2, "proxies": 7,
}  # fmt: skip
HTTP = {"name": "http2", "port": 80, "node_port": 30080}
SERVICE = {"name": "edge", "type": "NodePort", "addresses": [], "cluster_ip": "10.0.0.1", "ports": [HTTP]}
GATEWAY = {"namespace": "edge", "name": "edge", "type": "gateway", "services": [SERVICE]}


def release(name, action, *reasons):
    return {"namespace": "istio-system", "name": name, "action": action, "reasons": list(reasons)}


def test_a_summary_without_changes_says_so():
    unchanged = {"releases": [{"releases": [release("istiod", "none")]}], "injection": [{}], "objects": [{}]}
    assert summary(unchanged) == ["No changes: the cluster is as declared."]


def test_a_summary_lists_releases_with_their_reasons():
    results = {
        "releases": [
            {"releases": [release("istiod", "upgrade", "its values differ"), release("istio-base", "none")]},
            {"releases": [release("edge", "uninstall", "it is no longer declared")]},
            {},
        ]
    }
    assert summary(results) == [
        "Upgraded release istio-system/istiod: its values differ",
        "Uninstalled release istio-system/edge: it is no longer declared",
    ]


def test_a_summary_of_check_mode_is_a_plan_with_the_next_step():
    results = {"releases": [{"releases": [release("istiod", "install", "it is not installed")]}]}
    assert summary(results, check_mode=True) == [
        "Will install release istio-system/istiod",
        "Next: run without --check to apply this; --diff shows every object.",
    ]


def test_a_summary_lists_namespaces_workloads_and_objects():
    results = {
        "injection": [
            {
                "namespaces": [{"name": "shop", "action": "update"}, {"name": "demo", "action": "unchanged"}],
                "restarted": [{"kind": "Deployment", "namespace": "shop", "name": "cart", "reason": "no sidecar"}],
            }
        ],
        "objects": [
            {
                "objects": [
                    {"kind": "Gateway", "namespace": "shop", "name": "door", "action": "created"},
                    {"kind": "Namespace", "namespace": None, "name": "old", "action": "deleted"},
                    {"kind": "Gateway", "namespace": "shop", "name": "same", "action": "unchanged"},
                ]
            }
        ],
    }
    assert summary(results) == [
        "Updated the labels of namespace shop",
        "Restarted Deployment shop/cart: no sidecar",
        "Created Gateway shop/door",
        "Deleted Namespace old",
    ]


def test_a_summary_counts_what_is_too_much_to_list():
    objects = [{"kind": "Gateway", "namespace": "shop", "name": f"g{n}", "action": "created"} for n in range(300)]
    lines = summary({"objects": [{"objects": objects}]})
    assert len(lines) == MAX_LINES + 1
    assert lines[-1] == "... and 280 more"


def test_a_summary_names_control_planes_and_their_versions():
    lines = summary({"mesh": {"control_planes": [ISTIOD, {**ISTIOD, "version": None, "tags": []}]}})
    assert lines[1:] == [
        "Istio 1.31.0 runs as revision default in istio-system: 2 of 2 pods ready, 7 proxies, tags prod",
        "Istio of an unknown version runs as revision default in istio-system: 2 of 2 pods ready, 7 proxies",
    ]


@pytest.mark.parametrize(
    ("service", "words"),
    [
        ({}, "listens on every node, ports 30080 (for 80)"),
        ({"addresses": ["192.0.2.1"], "type": "LoadBalancer"}, "listens on 192.0.2.1, ports 80"),
        ({"type": "LoadBalancer"}, "waits for the address of its load balancer (Service edge, ports 80)"),
        (
            {"type": "ClusterIP", "ports": [{**HTTP, "node_port": 0}]},
            "listens inside the cluster, Service edge, ports 80",
        ),
    ],
)
def test_a_summary_says_where_gateways_listen(service, words):
    gateways = [{**GATEWAY, "services": [{**SERVICE, **service}]}, {**GATEWAY, "type": "waypoint"}]
    assert summary({"mesh": {"gateways": gateways}})[1:] == [f"Gateway edge/edge {words}"]


def test_a_summary_names_a_gateway_without_a_service_and_the_findings():
    finding = {"severity": "error", "about": "gateway edge/edge", "text": "no ready pods"}
    lines = summary({"mesh": {"gateways": [{**GATEWAY, "services": []}], "findings": [finding]}})
    assert lines[1:] == ["Gateway edge/edge has no Service", "Attention: gateway edge/edge: no ready pods"]


def test_a_mesh_that_could_not_be_read_leaves_its_lines_out():
    assert summary({"mesh": {"failed": True, "msg": "Forbidden"}}) == ["No changes: the cluster is as declared."]
