# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.edit import ObjectRef, edit
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN, POD
from ansible_collections.meshops.istio.plugins.module_utils.objects.executor import conflict_of
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.managed_fields import applied_fields, paths

from fakes.api_server import ApiServer
from fakes.objects import obj, pod

RULES = KNOWN["networking.istio.io", "DestinationRule"]


def rule(**spec):
    return obj("DestinationRule", "reviews", host="reviews", **spec)


def test_apply_owns_what_it_declares_and_removes_what_it_no_longer_declares():
    server = ApiServer()
    server.apply(rule(trafficPolicy={"tls": {"mode": "ISTIO_MUTUAL"}}))
    live = server.find("DestinationRule", "reviews", "shop")
    assert paths(applied_fields(live, "meshops.istio")) == ["spec.host", "spec.trafficPolicy.tls.mode"]
    version = live["metadata"]["resourceVersion"]
    assert server.apply(rule(trafficPolicy={"tls": {"mode": "ISTIO_MUTUAL"}}))["metadata"]["resourceVersion"] == version
    assert server.apply(rule())["spec"] == {"host": "reviews"}


def test_apply_keeps_what_others_own_and_names_them_in_conflicts():
    server = ApiServer()
    server.put(rule(trafficPolicy={"tls": {"mode": "DISABLE"}}), manager="kubectl-edit")
    with pytest.raises(ApiError) as error:
        server.apply(rule(trafficPolicy={"tls": {"mode": "ISTIO_MUTUAL"}}))
    assert conflict_of("", error.value).owners == {"kubectl-edit": ["spec.trafficPolicy.tls.mode"]}
    server.apply(rule(trafficPolicy={"tls": {"mode": "ISTIO_MUTUAL"}}), force=True)
    assert server.apply(rule())["spec"]["trafficPolicy"] == {"tls": {}}  # the maps are still the other's


def test_a_field_that_two_managers_own_stays_until_both_drop_it():
    server = ApiServer()
    server.put(rule(exportTo=["."]), manager="kubectl-client-side-apply")
    server.apply(rule(exportTo=["."]))
    assert server.apply(rule())["spec"] == {"host": "reviews", "exportTo": ["."]}


def test_items_of_keyed_lists_are_merged_by_their_keys():
    server = ApiServer()

    def entry(*names):
        ports = [{"number": 80 + n, "name": name} for n, name in enumerate(names)]
        return obj("ServiceEntry", "partner", hosts=["p.example.com"], ports=ports)

    server.put(entry("http"), manager="kubectl-client-side-apply")
    merged = server.apply(
        {**entry("web"), "spec": {"hosts": ["p.example.com"], "ports": [{"number": 80, "name": "web"}]}}
    )
    assert [port["name"] for port in merged["spec"]["ports"]] == ["web", "http"]


def test_edits_conflict_by_resource_version_and_deletions_by_uid():
    server = ApiServer([obj("ConfigMap", "c", data={"a": "1"})])
    kind = KNOWN["", "ConfigMap"]
    wrote = []

    def other_writer(request):
        if request.method == "PATCH" and not wrote:
            wrote.append(server.put(obj("ConfigMap", "c", data={"a": "2"})))

    server.on_request(other_writer)
    patched = edit(server, ObjectRef(kind, "c", "shop"), lambda live: [{"op": "add", "path": "/data/b", "value": "3"}])
    assert patched["data"] == {"a": "2", "b": "3"}
    with pytest.raises(ApiError, match="Precondition"):
        server.delete(kind, "c", "shop", uid="another")
    assert server.delete(kind, "c", "shop", uid=patched["metadata"]["uid"])
    assert server.get(kind, "c", "shop") is None


def test_lists_come_in_pages_by_selector_and_unserved_kinds_are_empty():
    server = ApiServer([pod(f"p{n}", labels={"app": "a" if n % 2 else "b"}) for n in range(7)], unserved=[RULES_KEY])
    assert len(server.list(POD, page=2)) == 7
    assert [p["metadata"]["name"] for p in server.list(POD, "shop", labels="app in (a, c)")] == ["p1", "p3", "p5"]
    assert len(server.list(POD, labels="app!=a", fields="metadata.name=p0")) == 1
    assert server.list(RULES) == []
    assert server.served(RULES) is None


RULES_KEY = ("networking.istio.io", "DestinationRule")


def test_dry_runs_keep_nothing_and_definitions_bring_kinds():
    server = ApiServer()
    server.apply(rule(), dry_run=True)
    assert server.all() == [] and server.writes == []
    names = {"kind": "Thing", "plural": "things"}
    spec = {"group": "x.org", "scope": "Cluster", "names": names, "versions": [{"name": "v1", "served": True}]}
    server.apply(obj("CustomResourceDefinition", "things.x.org", spec=spec))
    assert server.kind("x.org/v1", "Thing").plural == "things"


def test_a_finalizer_keeps_a_deleted_object_and_a_namespace_takes_its_objects_along():
    held = obj("ConfigMap", "held", finalizers=["x.org/keep"])
    server = ApiServer([obj("Namespace", "shop"), held, pod()], namespaces=True)
    server.delete(KNOWN["", "ConfigMap"], "held", "shop")
    assert server.find("ConfigMap", "held", "shop")["metadata"]["deletionTimestamp"]
    server.patch(KNOWN["", "ConfigMap"], "held", {"metadata": {"finalizers": []}}, "shop")
    assert server.all("ConfigMap") == []
    server.delete(KNOWN["", "Namespace"], "shop")
    assert server.all() == []
    with pytest.raises(ApiError, match='namespaces "shop" not found'):
        server.apply(rule())
