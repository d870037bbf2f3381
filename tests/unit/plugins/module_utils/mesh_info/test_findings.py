# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What mesh_info complains of."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.mesh_info.findings import findings

ISTIOD = {"namespace": "istio-system", "name": "istiod", "revision": "default", "replicas": 1, "ready": 1}
PROXY = {"namespace": "shop", "pod": "a-1", "version": "1.31.0", "ready": True, "outdated": False}
GATEWAY = {"namespace": "edge", "name": "ingress", "type": "gateway", "ready": 1, "services": [{"name": "ingress"}]}
ROOT = {"subject": "O=x", "fingerprint": "0123456789abcdef", "not_after": "2036-01-01T00:00:00Z", "days_left": 900}
NAMESPACE = {"name": "shop", "mode": "sidecar", "revision": "default"}


def report(istiod=None, tags=(), proxy=None, gateway=None, root=None, complete=True, namespace=None):
    return {
        "control_planes": [{**ISTIOD, **(istiod or {})}],
        "tags": list(tags),
        "proxies": [{**PROXY, **(proxy or {})}],
        "gateways": [{**GATEWAY, **(gateway or {})}],
        "ca": {"roots": [{**ROOT, **(root or {})}], "complete": complete},
        "namespaces": [{**NAMESPACE, **(namespace or {})}],
    }


def test_a_mesh_in_order_has_none():
    assert findings(report()) == []
    assert findings({}) == []


@pytest.mark.parametrize(
    ("changes", "severity", "about", "words"),
    [
        ({"istiod": {"ready": 0}}, "error", "control plane istio-system/istiod", "no ready pods"),
        ({"istiod": {"replicas": 2}}, "warning", "control plane istio-system/istiod", "only 1 of 2"),
        (
            {"tags": [{"name": "prod", "revision": "old"}]},
            "error",
            "tag prod",
            "revision old, which has no control plane",
        ),
        ({"namespace": {"revision": "old"}}, "error", "namespace shop", "revision old, which has no control plane"),
        ({"proxy": {"ready": False}}, "warning", "proxy shop/a-1", "not ready"),
        ({"proxy": {"outdated": True}}, "warning", "namespace shop", "1 proxies of version 1.31.0"),
        ({"gateway": {"ready": 0}}, "error", "gateway edge/ingress", "no ready pods"),
        ({"gateway": {"services": []}}, "warning", "gateway edge/ingress", "no Service selects"),
        ({"complete": False}, "error", "trusted roots", "not every namespace"),
        ({"root": {"days_left": -1}}, "error", "root O=x (0123456789ab)", "has expired on 2036"),
        ({"root": {"days_left": 29}}, "error", "root O=x (0123456789ab)", "in 29 days"),
        ({"root": {"days_left": 89}}, "warning", "root O=x (0123456789ab)", "in 89 days"),
    ],
)
def test_what_is_wrong_is_found(changes, severity, about, words):
    (found,) = findings(report(**changes))
    assert (found["severity"], found["about"]) == (severity, about)
    assert words in found["text"]


def test_errors_come_first():
    found = findings(report(proxy={"ready": False}, root={"days_left": 0}))
    assert [finding["severity"] for finding in found] == ["error", "warning"]


def test_a_control_plane_in_another_cluster_is_no_error():
    given = report(namespace={"revision": "old"})
    given["control_planes"] = []
    assert findings(given) == []
