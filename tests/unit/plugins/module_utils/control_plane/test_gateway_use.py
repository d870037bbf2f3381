# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.control_plane import gateway_use
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.gateway_use import gateway_users, min_open
from fakes.api_server import ApiServer
from fakes.objects import gateway, gateway_pod, obj, workload

EDGE, OTHER = gateway("edge"), gateway("other", istio="edge")
SERVICE = obj("Service", "edge", "edge", ports=[{"port": 80}])
STATS = """listener.0.0.0.0_8080.downstream_cx_active: {http}
listener.0.0.0.0_8080.worker_0.downstream_cx_active: {http}
listener.0.0.0.0_15021.downstream_cx_active: 3
listener.0.0.0.0_15090.downstream_cx_active: 1
listener.admin.downstream_cx_active: 1
http.outbound_0.0.0.0_8080.downstream_cx_active: {http}
"""


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(gateway_use, "_PAUSE", 0)


def selecting(name: str, **selector: str) -> dict:
    return obj("Gateway", name, "shop", "networking.istio.io/v1", selector=selector, servers=[])


def users(*live: dict, deleted=(EDGE, SERVICE)) -> list[str]:
    return gateway_users(ApiServer([*deleted, gateway_pod(EDGE), *live]), list(deleted))


def test_gateway_object_that_selects_only_these_pods():
    assert users(selecting("public", istio="edge"), selecting("private", istio="inner")) == ["Gateway shop/public"]


def test_gateway_object_that_selects_another_gateway_too_does_not_count():
    assert users(selecting("public", istio="edge"), OTHER, gateway_pod(OTHER)) == []
    assert users(selecting("public"), OTHER, gateway_pod(OTHER)) == []
    assert users(selecting("public")) == ["Gateway shop/public"]


def test_pod_that_is_no_gateway_does_not_serve_a_gateway_object():
    sidecar = gateway_pod(OTHER) | {"spec": {"containers": [{"name": "app"}]}}
    assert users(selecting("public", istio="edge"), sidecar) == ["Gateway shop/public"]


@pytest.mark.parametrize(
    ("addresses", "found"),
    [
        (["edge.edge.svc.cluster.local"], ["Gateway shop/api"]),
        (["edge.edge"], ["Gateway shop/api"]),
        (["edge"], []),  # the Service of that name in the Gateway's own namespace
        (["edge.edge", "other.edge"], []),
        ([], []),
    ],
)
def test_gateway_of_the_gateway_api_by_its_addresses(addresses, found):
    spec = {"addresses": [{"type": "Hostname", "value": value} for value in addresses]}
    assert users(obj("Gateway", "api", "shop", "gateway.networking.k8s.io/v1", spec=spec)) == found


def test_open_connections_but_those_of_health_checks():
    server = ApiServer([EDGE, gateway_pod(EDGE)])
    server.outputs["edge-1"] = STATS.format(http=2)
    assert gateway_users(server, [EDGE]) == ["2 open connections to Pod edge/edge-1"]
    server.outputs["edge-1"] = STATS.format(http=0)
    assert gateway_users(server, [EDGE]) == []


def test_connection_that_is_over_by_the_next_sample_does_not_count():
    answers = [STATS.format(http=1), STATS.format(http=0)]

    class Server(ApiServer):
        def execute(self, *_arguments, **_options):
            return answers.pop(0)

    assert min_open(Server(), gateway_pod(EDGE)) == 0
    assert answers == []


def test_what_can_not_be_read_uses_nothing():
    server = ApiServer([EDGE, gateway_pod(EDGE), selecting("public", istio="edge")])
    server.refuse(lambda request: ApiError("no", 403) if request.kind and request.kind.kind == "Gateway" else None)
    assert gateway_users(server, [EDGE]) == []


def test_other_workloads_are_not_asked():
    server = ApiServer([selecting("public", app="web")])
    assert gateway_users(server, [workload("Deployment", "web")]) == []
    assert server.requests == []
