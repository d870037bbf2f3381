# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the plan decides, without a server: what is ours, what is dropped, what a default is, who owns what."""

from __future__ import annotations

import copy
import doctest

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.reconcile import plan as planning
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.compare import (
    apply_differences,
    lacks_empty_list,
    quantity,
    same,
    value_differences,
)
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.identity import declared
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.plan import PlanError, PlanOptions, plan
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.schema import Schema
from hypothesis import given
from hypothesis import strategies as st

US = "meshops.istio"


def virtual_service(name="reviews", labels=None, **spec):
    meta = {"name": name, "namespace": "shop"}
    if labels:
        meta["labels"] = labels
    return {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": meta, "spec": spec}


def tree(value):
    """The FieldsV1 tree of an Istio object's part: granular objects, atomic lists."""
    if isinstance(value, dict):
        return {f"f:{k}": tree(v) for k, v in value.items()}
    return {}


def live(obj, manager=US, **more):
    """An object as the server has it after we applied it."""
    found = copy.deepcopy(obj)
    owned = {k: v for k, v in obj.items() if k not in ("apiVersion", "kind", "metadata")}
    fields = tree(owned)
    if "labels" in obj["metadata"]:
        fields["f:metadata"] = {"f:labels": tree(obj["metadata"]["labels"])}
    found["metadata"].update(
        uid="1",
        resourceVersion="7",
        managedFields=[{"manager": manager, "operation": "Apply", "apiVersion": obj["apiVersion"], "fieldsV1": fields}],
        **more,
    )
    return found


def actions(changes):
    return [(change.action, change.name) for change in changes]


def test_actions():
    a, b, c = (virtual_service(name, hosts=[name]) for name in "abc")
    changed = virtual_service("b", hosts=["x"])
    found = plan([a, changed, c], [live(a), live(b)])
    assert actions(found) == [("unchanged", "a"), ("update", "b"), ("create", "c")]
    assert found[1].reasons == ["spec.hosts differs"]
    assert found[1].title == "VirtualService shop/b"


def test_absent():
    a, b = virtual_service("a"), virtual_service("b")
    assert actions(plan([a, b], [live(a)], PlanOptions(state="absent"))) == [("delete", "a"), ("unchanged", "b")]


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


def test_an_object_that_declares_only_its_name_is_unchanged():
    obj = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
    found = live(obj)
    del found["metadata"]["managedFields"]
    assert actions(plan([obj], [found])) == [("unchanged", "shop")]


GATEWAY_SCHEMA = Schema(
    {
        "properties": {
            "spec": {
                "properties": {
                    "rules": {
                        "items": {
                            "properties": {
                                "matches": {
                                    "items": {
                                        "properties": {"path": {"default": {"type": "PathPrefix", "value": "/"}}}
                                    },
                                    "default": [{"path": {"type": "PathPrefix", "value": "/"}}],
                                },
                                "weight": {"default": 1},
                            }
                        }
                    }
                }
            }
        }
    }
)


@pytest.mark.parametrize(
    ("rule", "differs"),
    [
        ({"weight": 1}, False),
        ({"weight": 2}, True),
        ({"matches": [{"path": {"type": "PathPrefix", "value": "/"}}]}, False),
        ({"matches": [{"path": {"type": "Exact", "value": "/"}}]}, True),
    ],
)
def test_defaults_inside_an_atomic_list(rule, differs):
    route = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "r", "namespace": "shop"},
        "spec": {"rules": [{"name": "a"}]},
    }
    found = live(route)
    found["spec"]["rules"][0].update(rule)
    reasons = apply_differences(route, found, US, lambda obj: GATEWAY_SCHEMA)
    assert bool(reasons) == differs
    assert apply_differences(route, found, US), "without a schema, doubt counts as a difference"


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


def test_quantities_of_built_in_kinds():
    def pod(cpu):
        return {
            "apiVersion": "v1",
            "kind": "LimitRange",
            "metadata": {"name": "x", "namespace": "shop"},
            "spec": {"limits": [{"type": "Container", "max": {"cpu": cpu}}]},
        }

    assert apply_differences(pod("1000m"), live(pod("1")), US) == []
    assert apply_differences(pod("1001m"), live(pod("1")), US)
    custom = virtual_service(limits={"cpu": "1000m"})
    assert apply_differences(custom, live(virtual_service(limits={"cpu": "1"})), US), (
        "only built-in kinds have quantities"
    )


def built_in(api_version, kind, **parts):
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "namespace": "shop"}, **parts}


def policy(**peer):
    spec = {"podSelector": {}, "ingress": [{"from": [peer]}]}
    return built_in("networking.k8s.io/v1", "NetworkPolicy", spec=spec)


def endpoints(**conditions):
    found = [{"addresses": ["192.0.2.1"], "conditions": conditions}]
    return built_in("discovery.k8s.io/v1", "EndpointSlice", addressType="IPv4", endpoints=found)


def pod(env=None, term=None, **toleration):
    container = {"name": "c", "image": "i", "env": [{"name": "V", "value": env or "1"}]}
    rules = {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone", **(term or {})}]}
    spec = {
        "affinity": {"podAntiAffinity": rules},
        "containers": [container],
        "tolerations": [{"key": "k", "operator": "Exists", **toleration}],
    }
    return built_in("v1", "Pod", spec=spec)


def definition(default, **field):
    schema = {"type": "object", "properties": {"spec": {"type": "object", "default": default, **field}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return built_in(
        "apiextensions.k8s.io/v1", "CustomResourceDefinition", spec={"group": "x.io", "versions": [version]}
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (policy(podSelector={}, namespaceSelector={}), policy(podSelector={})),
        (policy(podSelector={}, namespaceSelector={}), policy(namespaceSelector={})),
        (policy(podSelector={"matchLabels": {"a": ""}}), policy(podSelector={"matchLabels": {"a": "", "b": ""}})),
        (endpoints(ready=False), endpoints()),
        (endpoints(ready=True, serving=False), endpoints(ready=True)),
        (pod(effect="NoExecute", tolerationSeconds=0), pod(effect="NoExecute")),
        (pod(term={"namespaceSelector": {}}), pod()),
        (pod(term={"labelSelector": {}}), pod(term={"namespaceSelector": {}})),
        (pod(env="1.10"), pod(env="1.1")),
        (built_in("v1", "ConfigMap", data={"value": "1.20"}), built_in("v1", "ConfigMap", data={"value": "1.2"})),
        (definition({}), definition({"paused": False})),
        (definition({"a": ""}), definition({})),
        (definition({"cpu": "1.10"}), definition({"cpu": "1.1"})),
    ],
)
def test_empty_values_and_texts_like_numbers_that_make_a_difference(one, other):
    for before, now in ((one, other), (other, one)):
        assert apply_differences(now, live(before), US), (before, now)
    assert value_differences(one, other) or value_differences(other, one)


def test_an_annotation_called_value_is_no_quantity():
    before, now = built_in("v1", "ConfigMap"), built_in("v1", "ConfigMap")
    before["metadata"]["annotations"], now["metadata"]["annotations"] = {"value": "1.20"}, {"value": "1.2"}
    assert value_differences(now, before) == ["metadata.annotations.value differs"]


def test_empty_values_that_the_server_drops():
    role = built_in("rbac.authorization.k8s.io/v1", "RoleBinding")
    account = {"kind": "ServiceAccount", "name": "a", "namespace": "shop"}
    assert (
        apply_differences(
            {**role, "subjects": [{**account, "apiGroup": ""}]}, live({**role, "subjects": [account]}), US
        )
        == []
    )
    spec = {"hostNetwork": False, "nodeSelector": {}, "tolerations": [], "containers": [{"name": "c", "tty": False}]}
    spec["containers"][0]["env"] = [{"name": "V", "value": ""}]
    kept = {"containers": [{"name": "c", "env": [{"name": "V"}]}]}
    assert value_differences(built_in("v1", "Pod", spec=spec), built_in("v1", "Pod", spec=kept)) == []
    assert apply_differences(definition({}, nullable=False), live(definition({})), US) == []


def test_empty_values_that_are_gone_from_what_helm_applied():
    spec = {
        "automountServiceAccountToken": False,
        "containers": [{"name": "c", "securityContext": {"privileged": False}}],
    }
    kept = {"containers": [{"name": "c", "securityContext": {}}]}
    assert value_differences(built_in("v1", "Pod", spec=spec), built_in("v1", "Pod", spec=kept)) == [
        "spec.automountServiceAccountToken is not set",
        "spec.containers[name=c].securityContext.privileged is not set",
    ]
    assert value_differences(virtual_service(exportTo=[]), virtual_service()) == ["spec.exportTo is not set"]


def test_a_peer_of_a_network_policy_is_compared_whole():
    found = policy(podSelector={}, namespaceSelector={})
    assert value_differences(policy(podSelector={}), found) == ["spec.ingress[0].from[0].namespaceSelector was added"]


def test_quantities_of_an_autoscaler():
    def autoscaler(value):
        metric = {
            "type": "External",
            "external": {"metric": {"name": "m"}, "target": {"type": "Value", "value": value}},
        }
        return built_in("autoscaling/v2", "HorizontalPodAutoscaler", spec={"maxReplicas": 3, "metrics": [metric]})

    assert apply_differences(autoscaler("1000m"), live(autoscaler("1")), US) == []
    assert apply_differences(autoscaler("1001m"), live(autoscaler("1")), US)


def test_what_the_server_fills_into_claims_of_a_stateful_set():
    claim = {"metadata": {"name": "v"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    wanted = built_in("apps/v1", "StatefulSet", spec={"volumeClaimTemplates": [claim]})
    found = live(wanted)
    found["spec"]["volumeClaimTemplates"][0].update(
        apiVersion="v1", kind="PersistentVolumeClaim", status={"phase": "Pending"}
    )
    found["spec"]["volumeClaimTemplates"][0]["spec"]["volumeMode"] = "Filesystem"
    assert apply_differences(wanted, found, US) == []
    found["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"] = ""
    assert apply_differences(wanted, found, US)


def test_a_default_of_a_maps_values_fills_in_no_key():
    text = {"type": "string", "default": ""}
    labels = Schema(
        {
            "properties": {
                "spec": {"properties": {"podSelector": {"properties": {"matchLabels": {"additionalProperties": text}}}}}
            }
        }
    )
    wanted, before = (
        built_in("networking.k8s.io/v1", "NetworkPolicy", spec={"podSelector": {"matchLabels": m}})
        for m in ({"b": ""}, {"a": "", "b": ""})
    )
    found = live(before)
    found["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:podSelector"] = {}
    assert apply_differences(wanted, found, US, lambda obj: labels) == ["spec.podSelector differs"]


@pytest.mark.parametrize(
    ("one", "other"), [("1", 1), ("1000m", 1), ("1Gi", "1024Mi"), ("0.5", "500m"), ("1e3", "1k"), ("100u", "0.1m")]
)
def test_quantity(one, other):
    assert quantity(one) is not None
    assert quantity(one) == quantity(other)


@pytest.mark.parametrize("text", ["", "1x", "Mi", "v1", True, "1.2.3"])
def test_no_quantity(text):
    assert quantity(text) is None


def test_true_is_not_one():
    assert not same(True, 1)
    assert not same([{"a": 1}], [{"a": True}])
    assert same([{"a": 1}], [{"a": 1.0}])


def test_the_whole_of_kubectl_get_can_be_declared():
    obj = virtual_service(hosts=["a"])
    pasted = live(
        obj,
        generation=3,
        creationTimestamp="2026-01-01T00:00:00Z",
        annotations={"kubectl.kubernetes.io/last-applied-configuration": "{}"},
    )
    pasted["status"] = {"x": 1}
    assert declared(pasted) == obj


def test_nulls_are_not_declared_and_the_given_object_stays():
    given_object = virtual_service(hosts=["a"], http=None)
    before = copy.deepcopy(given_object)
    assert declared(given_object) == virtual_service(hosts=["a"])
    assert given_object == before


def test_string_data_of_a_secret():
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s"},
        "stringData": {"a": "b"},
        "data": {"c": "ZA=="},
    }
    assert declared(secret)["data"] == {"a": "Yg==", "c": "ZA=="}
    assert "stringData" not in declared(secret)


# -- owners -----------------------------------------------------------------

OURS = {"meshops.istio/owner": "us"}
THEIRS = {"meshops.istio/owner": "them"}


def test_prune_takes_only_what_is_the_owners():
    declared_one = virtual_service("a")
    found = [
        live(virtual_service(name, labels)) for name, labels in (("a", OURS), ("b", OURS), ("c", THEIRS), ("d", None))
    ]
    changes = plan([declared_one], found, PlanOptions(owner="us", prune=True))
    assert actions(changes) == [("unchanged", "a"), ("delete", "b")]
    assert actions(plan([declared_one], found, PlanOptions(owner="us"))) == [("unchanged", "a")]


def test_prune_leaves_what_others_have_made_with_copied_labels():
    generated = live(virtual_service("gateway-istio", OURS), manager="istio.io/gateway-controller")
    assert plan([], [generated], PlanOptions(owner="us", prune=True)) == []


@pytest.mark.parametrize("kind", ["Namespace", "CustomResourceDefinition"])
def test_what_holds_others_objects_is_not_pruned(kind):
    [change] = plan([], [live({**virtual_service("a", OURS), "kind": kind})], PlanOptions(owner="us", prune=True))
    assert change.action == "unchanged"
    assert change.note.startswith("not pruned, as everything in it would be deleted")


def test_what_is_about_to_go_is_neither_there_nor_deleted_again():
    going = live(virtual_service("a", OURS), deletionTimestamp="2026-11-25T10:00:00Z", finalizers=["example.com/hold"])
    told = "VirtualService shop/a is being deleted since 2026-11-25T10:00:00Z, and waits for example.com/hold: run this"
    with pytest.raises(PlanError, match=told):
        plan([virtual_service("a")], [going])
    assert actions(plan([virtual_service("a")], [going], PlanOptions(state="absent"))) == [("unchanged", "a")]
    assert actions(plan([], [going], PlanOptions(owner="us", prune=True))) == [("unchanged", "a")]


def test_what_is_read_twice_is_planned_once():
    wanted, dropped = live(virtual_service("a", OURS)), live(virtual_service("b", OURS))
    changes = plan([virtual_service("a")], [wanted, dropped, dropped, wanted], PlanOptions(owner="us", prune=True))
    assert actions(changes) == [("unchanged", "a"), ("delete", "b")]
    with pytest.raises(PlanError) as error:
        plan([virtual_service("a")], [wanted, wanted], PlanOptions(owner="them"))
    assert len(error.value.problems) == 1


@pytest.mark.parametrize("state", ["present", "absent"])
def test_an_object_of_another_owner_is_a_problem(state):
    with pytest.raises(PlanError, match="VirtualService shop/a belongs to owner 'them', not to 'us'"):
        plan([virtual_service("a")], [live(virtual_service("a", THEIRS))], PlanOptions(owner="us", state=state))


def test_an_object_of_nobody_is_taken_into_the_set_or_a_problem():
    found = [live(virtual_service("a"))]
    assert actions(plan([virtual_service("a")], found, PlanOptions(owner="us"))) == [("update", "a")]
    with pytest.raises(PlanError, match="shop/a exists already and is unmanaged: give it the label"):
        plan([virtual_service("a")], found, PlanOptions(owner="us", adopt=False))
    ours = [live(virtual_service("a", OURS))]
    assert actions(plan([virtual_service("a")], ours, PlanOptions(owner="us", adopt=False))) == [("unchanged", "a")]
    assert actions(plan([virtual_service("a")], found, PlanOptions(state="absent", owner="us", adopt=False))) == [
        ("delete", "a")
    ]


def test_without_an_owner_an_object_keeps_the_one_it_has():
    [change] = plan([virtual_service("a", hosts=["x"])], [live(virtual_service("a", OURS))])
    assert change.after["metadata"]["labels"] == OURS
    assert change.reasons == ["spec is not set"] or change.action == "update"


def test_without_an_owner_an_object_can_be_handed_over_by_its_label():
    [change] = plan([virtual_service("a", THEIRS)], [live(virtual_service("a", OURS))])
    assert (change.action, change.after["metadata"]["labels"]) == ("update", THEIRS)


def test_declared_twice():
    with pytest.raises(PlanError, match="VirtualService shop/a is declared twice"):
        plan([virtual_service("a"), {**virtual_service("a"), "apiVersion": "networking.istio.io/v1beta1"}], [])


def test_another_key_in_what_selects_is_a_difference():
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"selector": {"app": "a"}}}
    found = copy.deepcopy(service)
    found["spec"].update(selector={"app": "a", "version": "none"}, clusterIP="10.0.0.1")
    assert value_differences(service, found) == ["spec.selector.version was added"]
    entry = {"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": "s"}, "spec": {}}
    entry["spec"]["selector"] = {"app": "a"}
    assert value_differences(entry, {**entry, "spec": {"selector": {"app": "a", "b": "c"}}}) == []


# -- properties ---------------------------------------------------------------

VALUES = st.recursive(
    st.one_of(st.booleans(), st.integers(-3, 3), st.sampled_from(["", "a", "b"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("xyz"), inner, min_size=1, max_size=3)
    ),
    max_leaves=12,
)
SPECS = st.dictionaries(st.sampled_from(["hosts", "http", "tcp"]), VALUES, max_size=3)


@given(SPECS)
def test_what_was_applied_is_unchanged(spec):
    obj = virtual_service(**spec)
    assert apply_differences(obj, live(obj), US) == []
    assert value_differences(obj, live(obj)) == []


@given(SPECS, SPECS)
def test_another_spec_differs(one, other):
    first, second = virtual_service(**one), virtual_service(**other)
    assert bool(apply_differences(second, live(first), US)) == (not same(one, other))


@given(st.lists(st.tuples(st.sampled_from("abcdef"), SPECS), unique_by=lambda pair: pair[0]), st.randoms())
def test_the_order_of_what_is_live_does_not_matter(pairs, random):
    wanted = [virtual_service(name, hosts=["x"]) for name, _spec in pairs[::2]]
    found = [live(virtual_service(name, OURS, **spec)) for name, spec in pairs]
    shuffled = random.sample(found, len(found))
    once, again = (plan(wanted, each, PlanOptions(owner="us", prune=True)) for each in (found, shuffled))
    assert sorted(actions(once)) == sorted(actions(again))


def test_the_examples_of_the_plan():
    assert doctest.testmod(planning).failed == 0


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
