# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What writing an object would change: what is ours, what is dropped, and what others wrote."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.compare import (
    apply_differences,
    lacks_empty_list,
    value_differences,
)
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.server_defaults import same
from fakes.applied import SPECS, US, live, policy, virtual_service
from hypothesis import given


def test_what_is_dropped_differs_and_what_others_wrote_does_not():
    before = virtual_service(hosts=["a"], exportTo=["."])
    now = virtual_service(hosts=["a"])
    assert apply_differences(now, live(before), US) == ["spec.exportTo is no longer declared"]
    theirs = live(now)
    theirs["spec"]["gateways"] = ["mesh"]
    assert apply_differences(now, theirs, US) == []


def test_what_another_manager_applied_is_not_ours_yet():
    obj = virtual_service(hosts=["a"])
    reasons = apply_differences(obj, live(obj, manager="helm"), US)
    assert reasons[0] == "it was not applied by meshops.istio before"
    assert value_differences(obj, live(obj, manager="helm")) == []


def test_a_field_taken_over_by_another_manager_differs_even_with_the_same_value():
    obj = virtual_service(hosts=["a"], exportTo=["."])
    found = live(obj)
    del found["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:exportTo"]
    assert apply_differences(obj, found, US) == ["spec.exportTo is not ours yet"]


def test_another_version_of_the_api_is_a_change():
    obj = virtual_service(hosts=["a"])
    found = live({**obj, "apiVersion": "networking.istio.io/v1beta1"})
    found["apiVersion"] = "networking.istio.io/v1"
    assert apply_differences(obj, found, US) == ["it was applied as networking.istio.io/v1beta1 before"]


def service(ports, **spec):
    spec = {**spec, "ports": ports}
    meta = {"name": "s", "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}


def live_service(ports, owned):
    found = live(service(ports))
    found["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"] = {"f:ports": owned}
    return found


def keyed(port, protocol="TCP", **fields):
    return {f'k:{{"port":{port},"protocol":"{protocol}"}}': {".": {}, "f:port": {}, **fields}}


def test_lists_with_keys():
    found = live_service(
        [{"port": 80, "protocol": "TCP", "targetPort": 80}, {"port": 443, "protocol": "TCP", "targetPort": 443}],
        {**keyed(80), **keyed(443)},
    )
    assert apply_differences(service([{"port": 80}, {"port": 443}]), found, US) == []
    swapped = service([{"port": 443}, {"port": 80}])
    assert apply_differences(swapped, found, US) == ["spec.ports is in another order"]
    fewer = service([{"port": 80}])
    assert apply_differences(fewer, found, US) == ["spec.ports[port=443,protocol=TCP] is no longer declared"]
    more = service([{"port": 80}, {"port": 443}, {"port": 9}])
    assert apply_differences(more, found, US) == ["spec.ports has an item that is not ours yet"]
    other = service([{"port": 80, "targetPort": 8080}, {"port": 443}])
    assert apply_differences(other, found, US) == ["spec.ports[port=80,protocol=TCP].targetPort is not ours yet"]


def test_a_peer_of_a_network_policy_is_compared_whole():
    found = policy(podSelector={}, namespaceSelector={})
    assert value_differences(policy(podSelector={}), found) == ["spec.ingress[0].from[0].namespaceSelector was added"]


def test_another_key_in_what_selects_is_a_difference():
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"selector": {"app": "a"}}}
    found = copy.deepcopy(service)
    found["spec"].update(selector={"app": "a", "version": "none"}, clusterIP="10.0.0.1")
    assert value_differences(service, found) == ["spec.selector.version was added"]
    entry = {"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": "s"}, "spec": {}}
    entry["spec"]["selector"] = {"app": "a"}
    assert value_differences(entry, {**entry, "spec": {"selector": {"app": "a", "b": "c"}}}) == []


@given(SPECS)
def test_what_was_applied_is_unchanged(spec):
    obj = virtual_service(**spec)
    assert apply_differences(obj, live(obj), US) == []
    assert value_differences(obj, live(obj)) == []


@given(SPECS, SPECS)
def test_another_spec_differs(one, other):
    first, second = virtual_service(**one), virtual_service(**other)
    assert bool(apply_differences(second, live(first), US)) == (not same(one, other))


@pytest.mark.parametrize(
    ("want", "have", "lacks"),
    [
        ({"ports": []}, {}, True),
        ({"ports": []}, {"ports": []}, False),
        ({"vmConfig": {"env": []}}, {}, True),
        ({"vmConfig": {"env": []}}, {"vmConfig": {}}, True),
        ({"vmConfig": {}}, {}, False),
        ({"ports": [{"name": "a"}]}, {}, False),
    ],
)
def test_a_list_without_items_that_the_server_has_dropped(want, have, lacks):
    crd = {"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry"}
    assert lacks_empty_list({**crd, "spec": want}, {**crd, "spec": have}) is lacks
    built_in = {"apiVersion": "v1", "kind": "Service"}
    assert not lacks_empty_list({**built_in, "spec": want}, {**built_in, "spec": have})
