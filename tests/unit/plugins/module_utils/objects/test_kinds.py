# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.live import Live
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.objects.kinds import Kinds
from fakes.api_server import ApiServer
from fakes.objects import obj


@pytest.mark.parametrize(
    ("api_version", "kind", "suggestion"),
    [
        ("networking.istio.io/v1", "VirtualServce", "Did you mean VirtualService?"),
        ("apps/v1", "Deploymnet", "Did you mean Deployment?"),
        ("v1", "Deployment", "Did you mean apiVersion apps/v1?"),
    ],
)
def test_a_mistyped_kind_is_suggested(api_version, kind, suggestion):
    declared = [obj(kind, "a", api_version=api_version)]
    kinds = Kinds(ApiServer(), declared)
    kinds.placed(declared, "shop")
    with pytest.raises(MeshopsError) as error:
        kinds.raise_unknown(may_come=False)
    assert suggestion in str(error.value)


def test_objects_are_resolved_to_served_versions_and_their_namespace_once():
    server = ApiServer(versions={"networking.istio.io": ["v1beta1"]})
    declared = [obj("VirtualService", "a", namespace=None, hosts=["a"]), obj("Namespace", "shop")]
    kinds = Kinds(server, declared)
    placed = kinds.placed(declared, "shop")
    resolved = kinds.served(placed, Live(server, kinds.wanted(placed)))
    assert [(o["apiVersion"], o["metadata"].get("namespace")) for o in resolved] == [
        ("networking.istio.io/v1beta1", "shop"),
        ("v1", None),
    ]
