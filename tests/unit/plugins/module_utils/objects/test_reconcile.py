# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A whole run on an API server in memory: what is read, planned, written and reported."""

from __future__ import annotations

import types

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.objects.options import ApplyOptions
from ansible_collections.meshops.istio.plugins.module_utils.objects.reconcile import reconcile_objects
from ansible_collections.meshops.istio.plugins.module_utils.objects.result import ObjectsFailed
from fakes.api_server import ApiServer
from fakes.objects import obj


def run(server, objects, *, check_mode=False, diff=False, **options):
    module = types.SimpleNamespace(check_mode=check_mode, _diff=diff)
    return reconcile_objects(module, server, objects, ApplyOptions(settle=0, **options))


def route(name, **spec):
    return obj("VirtualService", name, **{"hosts": [name], **spec})


def reasons(result):
    return [(entry["name"], entry["action"], entry.get("reason")) for entry in result["objects"]]


def test_a_second_run_changes_nothing_and_reads_one_list():
    server = ApiServer()
    declared = [route(f"r{number}") for number in range(10)]
    assert run(server, declared)["summary"]["created"] == 10
    server.requests.clear()
    result = run(server, declared)
    assert (result["changed"], result["summary"]["unchanged"]) == (False, 10)
    assert [f"{request.method} {request.path}" for request in server.requests] == [
        "GET /apis/networking.istio.io/v1/namespaces/shop/virtualservices"
    ]


def test_objects_are_written_in_the_version_that_the_server_serves():
    server = ApiServer(versions={"networking.istio.io": ["v1beta1"]})
    assert run(server, [route("a")])["summary"]["created"] == 1
    assert server.find("VirtualService", "a", "shop")["apiVersion"] == "networking.istio.io/v1beta1"
    again = run(server, [route("a")])
    assert not again["changed"]
    assert run(server, [route("a")], state="absent")["summary"]["deleted"] == 1


def test_a_refusal_has_the_reason_of_the_api_server():
    server = ApiServer()
    server.refuse(
        lambda request: (
            ApiError("no", status=403, reason="Forbidden") if request.writes and request.name == "a" else None
        )
    )
    with pytest.raises(ObjectsFailed) as caught:
        run(server, [route("a"), route("b")])
    assert reasons(caught.value.result) == [("a", "failed", "Forbidden"), ("b", "created", None)]


def test_a_conflict_of_field_managers_has_its_own_reason():
    server = ApiServer()
    run(server, [route("a")])
    server.put(route("a", hosts=["theirs"]), manager="controller")
    with pytest.raises(ObjectsFailed, match="'controller' owns spec.hosts") as caught:
        run(server, [route("a")])
    assert reasons(caught.value.result) == [("a", "failed", "FieldManagerConflict")]
    assert reasons(run(server, [route("a")], force_conflicts=True)) == [("a", "updated", None)]


def test_what_waits_for_a_failed_change_names_it_by_a_reason():
    rule = obj("DestinationRule", "a", host="a", subsets=[{"name": "v1"}])
    user = route("a", http=[{"route": [{"destination": {"host": "a", "subset": "v1"}}]}])
    server = ApiServer()
    server.refuse(
        lambda request: (
            ApiError("no", status=422, reason="Invalid")
            if request.writes and "destinationrules" in request.path
            else None
        )
    )
    with pytest.raises(ObjectsFailed) as caught:
        run(server, [rule, user])
    assert reasons(caught.value.result) == [("a", "failed", "Invalid"), ("a", "failed", "DependencyFailed")]


def test_pruning_names_by_a_reason_what_it_retains():
    server = ApiServer()
    run(server, [route("a"), obj("Namespace", "extra", namespace=None)], owner="team")
    others = route("copied")
    others["metadata"]["labels"] = {"meshops.istio/owner": "team"}
    server.put(others, manager="restore")
    result = run(server, [route("b")], owner="team", prune=True)
    assert ("a", "deleted", None) in reasons(result)
    assert ("copied", "unchanged", "NotAppliedByThisCollection") in reasons(result)
    assert "VirtualService shop/copied" in result["warnings"][0]


def test_nothing_is_pruned_where_a_declared_object_failed():
    server = ApiServer()
    run(server, [route("old")], owner="team")
    server.refuse(lambda request: ApiError("no", status=422) if request.writes and request.name == "new" else None)
    with pytest.raises(ObjectsFailed) as caught:
        run(server, [route("new")], owner="team", prune=True)
    assert ("old", "failed", "NotPruned") in reasons(caught.value.result)
    assert server.find("VirtualService", "old", "shop")


def test_check_mode_says_by_a_reason_what_it_could_not_check():
    server = ApiServer(namespaces=True)
    declared = [obj("Namespace", "shop", namespace=None), route("a")]
    result = run(server, declared, check_mode=True)
    assert reasons(result) == [("shop", "created", None), ("a", "created", "NamespaceCreatedInThisRun")]
    assert server.all() == []
    assert reasons(run(server, [route("a")], check_mode=True)) == [("a", "created", "NamespaceMissing")]
