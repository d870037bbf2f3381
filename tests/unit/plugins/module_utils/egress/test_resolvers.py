# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.egress.resolvers import find_resolvers, local_addresses
from fakes.api_server import ApiServer
from fakes.objects import obj, pod


def node_local(*words, field="args"):
    containers = [{"name": "node-cache", field: list(words)}]
    labels = {"k8s-app": "node-local-dns"}
    spec = {"template": {"spec": {"containers": containers}}}
    return obj("DaemonSet", "node-local-dns", "kube-system", labels=labels, spec=spec)


@pytest.mark.parametrize(
    "words",
    [
        ("-localip", "169.254.20.10,10.96.0.10", "-conf", "/etc/Corefile"),
        ("-conf", "/etc/Corefile", "-localip=169.254.20.10,10.96.0.10"),
        ("--localip", "169.254.20.10,10.96.0.10"),
    ],
)
@pytest.mark.parametrize("field", ["args", "command"])
def test_node_local_dns_answers_at_its_local_addresses(words, field):
    resolvers = find_resolvers(ApiServer([node_local(*words, field=field)]))
    assert (resolvers.addresses, resolvers.unread) == (["10.96.0.10", "169.254.20.10"], [])


@pytest.mark.parametrize(
    "words", [(), ("-localip",), ("-localip", "__PILLAR__LOCAL__DNS__,{{ 1/0 }}"), ("localip", "1.2.3.4")]
)
def test_arguments_that_are_not_addresses_are_ignored(words):
    assert local_addresses(node_local(*words)) == []


def test_dns_pods_in_the_network_of_a_node_are_resolvers_and_others_are_not():
    def dns(name, address, **spec):
        made = pod(name, "kube-system")
        made["metadata"]["labels"] = {"k8s-app": "kube-dns"}
        made["spec"].update(spec)
        made["status"].update({"podIP": address, "podIPs": [{"ip": address}]})
        return made

    server = ApiServer([dns("a", "10.244.0.2"), dns("b", "192.0.2.1", hostNetwork=True)])
    assert find_resolvers(server).addresses == ["192.0.2.1"]


def test_missing_permission_is_reported_and_other_errors_are_raised():
    server = ApiServer([node_local("-localip", "169.254.20.10")])
    server.refuse(lambda request: ApiError("no", status=403) if request.path.endswith("/pods") else None)
    assert find_resolvers(server).unread == ["pods"]
    assert find_resolvers(server).addresses == ["169.254.20.10"]
    server.refuse(lambda request: ApiError("down", status=500))
    with pytest.raises(ApiError, match="down"):
        find_resolvers(server)
