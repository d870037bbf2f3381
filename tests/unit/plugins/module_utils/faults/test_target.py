# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.faults.bookkeeping import ANNOTATION
from ansible_collections.meshops.istio.plugins.module_utils.faults.target import (
    Host,
    find_host,
    locate,
    with_faults,
    with_faults_for,
)
from fakes.api_server import ApiServer
from fakes.objects import obj

MARKED = {"name": "meshops-fault-injection-1-a", "route": [{"destination": {"host": "echo"}}]}


def virtual_service(name, hosts, **options):
    return obj("VirtualService", name, hosts=hosts, http=[{"route": []}], **options)


def located(objects, host="echo", **options):
    return locate(ApiServer([obj("Service", "echo"), *objects]), Host(host, "shop", **options))


@pytest.mark.parametrize("hostname", ["echo", "echo.shop", "echo.shop.svc", "echo.shop.svc.cluster.local"])
def test_host_of_a_service_is_fully_qualified(hostname):
    server = ApiServer([obj("Service", "echo")])
    assert find_host(server, Host(hostname, "shop")) == ("echo.shop.svc.cluster.local", "shop")


def test_host_of_a_service_entry_may_match_a_wildcard():
    server = ApiServer([obj("ServiceEntry", "out", "outside", hosts=["*.example.com"])])
    assert find_host(server, Host("a.example.com", "shop")) == ("a.example.com", "outside")


def test_unknown_host_is_refused_with_similar_names_in_printable_text():
    server = ApiServer([obj("Service", "echo"), obj("ServiceEntry", "out", hosts=["ecko.shop{{ 1/0 }}"])])
    with pytest.raises(MeshopsError, match="no ServiceEntry defines it .*Did you mean .*echo.shop") as error:
        find_host(server, Host("ecko", "shop"))
    assert "{{" not in str(error.value)


def test_target_is_the_virtual_service_of_the_host():
    target = located([virtual_service("routes", ["echo"])])
    assert (target.namespace, target.name, target.host) == ("shop", "routes", "echo.shop.svc.cluster.local")
    assert target.live["spec"]["hosts"] == ["echo"]


def test_target_of_a_host_without_virtual_service_does_not_exist_yet():
    target = located([])
    assert (target.name, target.live) == ("fault-injection-echo", None)


def test_target_that_is_named_must_exist():
    services = [virtual_service("one", ["echo"]), virtual_service("two", ["echo"])]
    assert located(services, virtual_service="two").name == "two"
    assert located(services, virtual_service="shop/one").name == "one"
    with pytest.raises(MeshopsError, match="VirtualService shop/three: it does not exist"):
        located(services, virtual_service="three")
    with pytest.raises(MeshopsError, match="several VirtualServices route it: shop/one, shop/two"):
        located(services)


def test_virtual_services_with_faults_are_found_by_route_annotation_host_and_name():
    routed = obj("VirtualService", "routed", hosts=["echo"], http=[MARKED])
    annotated = virtual_service(
        "gateway", ["a.example.com"], annotations={ANNOTATION: json.dumps({"host": "echo.shop.svc.cluster.local"})}
    )
    server = ApiServer([routed, annotated, virtual_service("clean", ["echo"])])

    def names(services):
        return sorted(service["metadata"]["name"] for service in services)

    assert (
        names(with_faults(server, None))
        == names(with_faults_for(server, Host("echo", "shop")))
        == ["gateway", "routed"]
    )
    assert with_faults(server, "other") == [] and with_faults_for(server, Host("other", "shop")) == []
    assert names(with_faults_for(server, Host("echo", "shop", "gateway"))) == ["gateway"]
