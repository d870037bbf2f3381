# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kinds, and the paths that lead to their objects."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN, Kind, known, split_api_version


@pytest.mark.parametrize(
    ("api_version", "parts"), [("v1", ("", "v1")), ("networking.istio.io/v1", ("networking.istio.io", "v1"))]
)
def test_the_core_group_has_no_name(api_version, parts):
    assert split_api_version(api_version) == parts
    assert Kind(*parts, "Thing", "things", namespaced=True).api_version == api_version


def test_paths_of_namespaced_and_cluster_scoped_kinds():
    pod, node = KNOWN["", "Pod"], KNOWN["", "Node"]
    assert pod.path("shop", "web") == "/api/v1/namespaces/shop/pods/web"
    assert pod.path(None) == "/api/v1/pods"
    assert node.path(None, "n1") == "/api/v1/nodes/n1"
    assert KNOWN["apps", "Deployment"].path("shop") == "/apis/apps/v1/namespaces/shop/deployments"


def test_a_kind_is_known_in_its_own_group_alone():
    assert known("networking.istio.io/v1", "Gateway").plural == "gateways"
    assert known("gateway.networking.k8s.io/v1", "Gateway").group == "gateway.networking.k8s.io"
    assert known("example.com/v1", "Gateway") is None
