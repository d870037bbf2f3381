# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What mesh_objects does to a real API server: create, change, drop, remove, prune, adopt, refuse."""

from __future__ import annotations

import copy
import datetime
import json
import re
import threading
import time

import pytest
import yaml
from ansible_collections.meshops.istio.plugins.module_utils.cluster.client import Cluster, PatchOptions
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.objects.kinds import MESH_GROUPS
from ansible_collections.meshops.istio.plugins.module_utils.objects.result import ObjectsFailed
from ansible_collections.meshops.istio.plugins.module_utils.objects.schemas import _KEYED
from ansible_collections.meshops.istio.plugins.module_utils.objects.sources import declared_objects

VIRTUAL_SERVICE = KNOWN["networking.istio.io", "VirtualService"]
DESTINATION_RULE = KNOWN["networking.istio.io", "DestinationRule"]


def virtual_service(namespace, name="reviews", **spec):
    spec = {"hosts": [name], "http": [{"route": [{"destination": {"host": name}}]}], **spec}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def destination_rule(namespace, name="reviews", subsets=("v1",)):
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"host": name, "subsets": [{"name": s, "labels": {"version": s}} for s in subsets]},
    }


def rights(namespace, user, groups, resources, *verbs):
    """A Role with its RoleBinding."""
    head = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": user, "namespace": namespace}}
    return [
        {**head, "kind": "Role", "rules": [{"apiGroups": groups, "resources": resources, "verbs": list(verbs)}]},
        {
            **head,
            "kind": "RoleBinding",
            "roleRef": {"kind": "Role", "name": user},
            "subjects": [{"kind": "User", "name": user}],
        },
    ]


def wait_for_right(cluster, user, verb, group, resource, namespace=""):
    """The API server goes by a new right a moment after it is written."""
    attributes = {"verb": verb, "group": group, "resource": resource, "namespace": namespace}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "metadata": {},
        "spec": {"user": user, "resourceAttributes": attributes},
    }
    deadline = time.monotonic() + 30
    while not cluster.create(review)["status"]["allowed"]:
        assert time.monotonic() < deadline, attributes
        time.sleep(0.05)


def actions(result):
    return [entry["action"] for entry in result["objects"]]


def test_create_then_nothing_then_change_then_drop(reconcile, cluster, namespace):
    wanted = [destination_rule(namespace), virtual_service(namespace, exportTo=["."])]
    assert actions(reconcile(wanted)) == ["created", "created"]
    again = reconcile(wanted)
    assert (again["changed"], again["diff"], actions(again)) == (False, [], ["unchanged", "unchanged"])

    wanted[1]["spec"]["hosts"] = ["reviews", "ratings"]
    changed = reconcile(wanted)
    assert actions(changed) == ["unchanged", "updated"]
    [entry] = changed["diff"]
    assert entry["before_header"] == entry["after_header"] == f"VirtualService {namespace}/reviews"
    assert "ratings" in entry["after"]
    assert "ratings" not in entry["before"]
    assert "managedFields" not in entry["before"] + entry["after"]

    del wanted[1]["spec"]["exportTo"]
    dropped = reconcile(wanted)
    assert actions(dropped) == ["unchanged", "updated"]
    assert "exportTo" in dropped["diff"][0]["before"]
    assert "exportTo" not in cluster.get(VIRTUAL_SERVICE, "reviews", namespace)["spec"]
    assert not reconcile(wanted)["changed"]


def http_route(namespace, *rules):
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "books", "namespace": namespace},
        "spec": {"parentRefs": [{"name": "edge"}], "rules": list(rules)},
    }


@pytest.mark.parametrize("check_mode", [True, False])
def test_the_diff_shows_nothing_that_the_server_fills_in(reconcile, namespace, check_mode):
    def rule(name, **more):
        return {"backendRefs": [{"name": name, "port": 80, **more}]}

    before = http_route(namespace, rule("new", weight=1), {**rule("old"), "timeouts": {"request": "5s"}})
    after = http_route(namespace, rule("new", weight=2), rule("old"))
    reconcile([before])
    [entry] = reconcile([after], check_mode=check_mode)["diff"]
    assert (yaml.safe_load(entry["before"]), yaml.safe_load(entry["after"])) == (before, after)


@pytest.mark.parametrize("check_mode", [True, False])
def test_the_diff_shows_nothing_that_others_have_in_a_list(reconcile, cluster, namespace, check_mode):
    def deployment(*containers):
        labels = {"app": "books"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": list(containers)}}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "books", "namespace": namespace},
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
        }

    def container(**env):
        variables = [{"name": name, "value": value} for name, value in env.items()]
        return {"name": "books", "image": "books:1", "env": variables, "ports": [{"containerPort": 80}]}

    before, after = deployment(container(A="1.10", B="x")), deployment(container(A="1.1"))
    reconcile([before])
    others = deployment({"name": "agent", "image": "agent:1"}, {**container(C="y"), "ports": []})
    cluster.apply(others, manager="rival", force=True)
    [entry] = reconcile([after], check_mode=check_mode)["diff"]
    assert (yaml.safe_load(entry["before"]), yaml.safe_load(entry["after"])) == (before, after)


def test_absent(reconcile, cluster, namespace):
    wanted = [virtual_service(namespace)]
    reconcile(wanted)
    by_name = [{k: v for k, v in wanted[0].items() if k != "spec"}]
    assert actions(reconcile(by_name, state="absent", check_mode=True)) == ["deleted"]
    assert cluster.get(VIRTUAL_SERVICE, "reviews", namespace)
    assert actions(reconcile(by_name, state="absent", wait=True)) == ["deleted"]
    assert cluster.get(VIRTUAL_SERVICE, "reviews", namespace) is None
    assert actions(reconcile(by_name, state="absent")) == ["unchanged"]


def test_check_mode_says_what_the_run_does_and_changes_nothing(reconcile, cluster, namespace):
    reconcile([destination_rule(namespace)])
    wanted = [destination_rule(namespace, subsets=("v1", "v2")), virtual_service(namespace)]
    before = cluster.get(DESTINATION_RULE, "reviews", namespace)
    checked = reconcile(wanted, check_mode=True)
    assert cluster.get(DESTINATION_RULE, "reviews", namespace) == before
    assert cluster.get(VIRTUAL_SERVICE, "reviews", namespace) is None
    done = reconcile(wanted)
    assert checked == done
    assert actions(done) == ["updated", "created"]


def test_check_mode_lets_the_server_speak(reconcile, namespace):
    wrong = virtual_service(namespace, hosts=["a"], http=[{"route": [{"destination": {"host": 5}}]}])
    with pytest.raises(ObjectsFailed, match=r"spec.http\[0\].route\[0\].destination.host"):
        reconcile([wrong], check_mode=True)


def test_what_the_server_takes_for_the_same_is_unchanged_in_check_mode_too(reconcile, namespace):
    """The plan can't know that; the server's answer tells."""
    lines = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "lines", "namespace": namespace},
        "binaryData": {"text": "YWJj\nYWJj\n"},
    }
    reconcile([lines])
    for check_mode in (True, False):
        result = reconcile([lines], check_mode=check_mode)
        assert (result["changed"], actions(result)) == (False, ["unchanged"]), check_mode


def test_check_mode_goes_on_where_the_namespace_is_to_come(reconcile, namespace):
    to_come = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"{namespace}-2"}}
    result = reconcile([virtual_service(f"{namespace}-2"), to_come], check_mode=True)
    assert actions(result) == ["created", "created"]
    assert "is created in the same run" in result["objects"][0]["note"]
    result = reconcile([virtual_service(f"{namespace}-3")], check_mode=True)
    assert "does not exist yet" in result["objects"][0]["note"]
    with pytest.raises(ObjectsFailed, match=f"namespace {namespace}-3 does not exist: create it first"):
        reconcile([virtual_service(f"{namespace}-3")])


def test_namespace_and_content_in_one_run(reconcile, cluster, namespace):
    name = f"{namespace}-2"
    wanted = [virtual_service(name), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}]
    assert actions(reconcile(wanted)) == ["created", "created"]
    assert not reconcile(wanted)["changed"]
    assert actions(reconcile(wanted, state="absent")) == ["deleted", "deleted"]


def test_a_definition_and_its_objects_in_one_run(reconcile, cluster, namespace):
    group = f"{namespace}.example.org"
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"things.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": "Thing", "plural": "things", "singular": "thing", "listKind": "ThingList"},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}},
                        }
                    },
                }
            ],
        },
    }
    thing = {
        "apiVersion": f"{group}/v1",
        "kind": "Thing",
        "metadata": {"name": "one", "namespace": namespace},
        "spec": {"size": 1},
    }
    try:
        checked = reconcile([thing, definition], check_mode=True)
        assert actions(checked) == ["created", "created"]
        assert "does not serve Thing" in checked["objects"][0]["note"]
        assert actions(reconcile([thing, definition])) == ["created", "created"]
        assert not reconcile([thing, definition])["changed"]
        assert actions(reconcile([thing, definition], state="absent", wait=True)) == ["deleted", "deleted"]
    finally:
        cluster.delete(KNOWN["apiextensions.k8s.io", "CustomResourceDefinition"], f"things.{group}")
    with pytest.raises(MeshopsError, match="Thing test-.*/one: the API server does not serve Thing"):
        reconcile([thing])
    with pytest.raises(MeshopsError, match="does not serve Thing"):
        reconcile([thing], check_mode=True, state="absent")
    to_come = reconcile([thing], check_mode=True)["objects"][0]
    assert (to_come["action"], to_come["error"]) == ("created", None)
    assert "does not serve Thing" in to_come["note"]
    try:
        cluster.create(definition)
        assert actions(reconcile([thing])) == ["created"], "a kind that is not Established yet is waited for"
        assert actions(reconcile([thing], check_mode=True)) == ["unchanged"]
        richer = copy.deepcopy(definition)
        schema = richer["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        schema["properties"]["spec"]["properties"]["color"] = {"type": "string"}
        colored = [{**thing, "spec": {"size": 1, "color": "red"}}, richer]
        checked = reconcile(colored, check_mode=True, force_conflicts=True)
        assert actions(checked) == ["updated", "updated"]
        assert f"things.{group} is changed in the same run, so the API server" in checked["objects"][0]["note"]
        assert actions(reconcile(colored, force_conflicts=True)) == ["updated", "updated"]
        wrong = {**thing, "apiVersion": f"{group}/v2"}
        with pytest.raises(MeshopsError, match=f"use apiVersion {group}/v1, which it serves"):
            reconcile([wrong], check_mode=True)
    finally:
        cluster.delete(KNOWN["apiextensions.k8s.io", "CustomResourceDefinition"], f"things.{group}")


@pytest.mark.parametrize(
    ("api_version", "kind"), [("networking.istio.io/v1", "VirtualServce"), ("apps/v1", "Deploiment"), ("v1", "Sekret")]
)
def test_a_kind_that_no_definition_can_bring_is_an_error_in_check_mode_too(reconcile, namespace, api_version, kind):
    obj = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "a", "namespace": namespace}}
    with pytest.raises(MeshopsError, match=f"{kind} .*/a: the API server does not serve {kind}"):
        reconcile([obj], check_mode=True)


def test_what_is_malformed_is_told_and_stops_no_other(reconcile, namespace):
    with pytest.raises(MeshopsError, match="VirtualService .*metadata.name 'a/status' is not a valid"):
        reconcile([virtual_service(namespace, "a/status")])
    reconcile([destination_rule(namespace, "a"), destination_rule(namespace, "b")])
    text = {**destination_rule(namespace, "a"), "spec": "text"}
    route = virtual_service(namespace, http=[{"route": [{"destination": {"host": ["a"], "subset": "v1"}}]}])
    with pytest.raises(ObjectsFailed) as failure:
        reconcile([text, route, destination_rule(namespace, "b", ["v2"])])
    assert actions(failure.value.result) == ["failed", "failed", "updated"]
    assert "spec must be a mapping" in failure.value.result["objects"][0]["error"]
    assert "spec.http[0].route[0].destination.host must be a string" in failure.value.result["objects"][1]["error"]


def test_prune_deletes_only_what_is_the_owners(reconcile, cluster, namespace):
    ours = [virtual_service(namespace, "a"), destination_rule(namespace, "b")]
    owner = namespace
    reconcile(ours, owner=owner)
    reconcile([virtual_service(namespace, "theirs")], owner=f"{owner}-2")
    reconcile([virtual_service(namespace, "nobodys")])
    checked = reconcile(ours[:1], owner=owner, prune=True, check_mode=True)
    pruned = reconcile(ours[:1], owner=owner, prune=True)
    assert checked == pruned
    assert [(e["name"], e["action"]) for e in pruned["objects"]] == [("a", "unchanged"), ("b", "deleted")]
    assert cluster.get(DESTINATION_RULE, "b", namespace) is None
    assert {o["metadata"]["name"] for o in cluster.list(VIRTUAL_SERVICE, namespace)} == {"a", "theirs", "nobodys"}

    with pytest.raises(MeshopsError, match="nothing is declared"):
        reconcile([], owner=owner, prune=True)
    with pytest.raises(MeshopsError, match="set the option owner"):
        reconcile(ours, prune=True)
    reconcile([], owner=owner, prune=True, prune_all=True)
    assert {o["metadata"]["name"] for o in cluster.list(VIRTUAL_SERVICE, namespace)} == {"theirs", "nobodys"}


def test_prune_takes_other_kinds_too_and_leaves_what_holds_others_objects(reconcile, cluster, namespace):
    def core(kind, name, **more):
        return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}, **more}

    room = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"{namespace}-room"}}
    service = core("Service", "shop", spec={"ports": [{"port": 80}]})
    reconcile([service, core("Secret", "shop"), room], owner=namespace)
    generated = core("Service", "shop-istio", spec={"ports": [{"port": 80}]})
    generated["metadata"]["labels"] = {"meshops.istio/owner": namespace}
    cluster.apply(generated, manager="istio.io/gateway-controller")
    pruned = reconcile([], owner=namespace, prune=True, prune_all=True)
    assert {(e["kind"], e["name"], e["action"]) for e in pruned["objects"]} == {
        ("Service", "shop", "deleted"),
        ("Secret", "shop", "deleted"),
    }, "a Namespace is looked for only where some are declared"
    kept = reconcile([{**room, "metadata": {"name": namespace}}], owner=namespace, prune=True)
    assert [(e["name"], e["action"]) for e in kept["objects"]] == [
        (namespace, "updated"),
        (f"{namespace}-room", "unchanged"),
    ]
    assert "delete it with state absent" in kept["objects"][1]["note"]
    assert cluster.get(KNOWN["", "Service"], "shop-istio", namespace)


def test_nothing_is_pruned_when_what_takes_its_place_is_refused(reconcile, cluster, namespace):
    reconcile([virtual_service(namespace, "old")], owner=namespace)
    typo = virtual_service(namespace, "new", http=[{"rotue": []}])
    with pytest.raises(ObjectsFailed, match="VirtualService .*/old: not pruned, as VirtualService .*/new failed"):
        reconcile([typo], owner=namespace, prune=True)
    assert cluster.get(VIRTUAL_SERVICE, "old", namespace)
    with pytest.raises(MeshopsError, match="namespace is empty: name the namespace of objects that name none"):
        reconcile([virtual_service(namespace, "old")], owner=namespace, prune=True, namespace="")


def test_what_is_being_deleted_is_told_and_waited_for(reconcile, cluster, namespace):
    held = virtual_service(namespace)
    held["metadata"]["finalizers"] = ["example.com/hold"]
    reconcile([held])
    assert actions(reconcile([held], state="absent")) == ["deleted"]
    assert actions(reconcile([held], state="absent")) == ["unchanged"]
    with pytest.raises(MeshopsError, match=r"reviews is being deleted since .*, and waits for example.com/hold: run"):
        reconcile([held])
    with pytest.raises(ObjectsFailed, match=r"not gone after .*reviews: it is held by the finalizers example.com/hold"):
        reconcile([held], state="absent", wait=True, wait_timeout=1)
    cluster.patch(VIRTUAL_SERVICE, "reviews", {"metadata": {"finalizers": None}}, namespace)
    assert actions(reconcile([held])) == ["created"]
    cluster.patch(VIRTUAL_SERVICE, "reviews", {"metadata": {"finalizers": None}}, namespace)


def test_what_goes_from_a_namespace_that_is_listed_is_pruned_once(reconcile, namespace):
    wanted = [virtual_service(namespace, f"vs-{n}") for n in range(6)]
    reconcile(wanted, owner=namespace)
    pruned = reconcile(wanted[:5], owner=namespace, prune=True)
    assert actions(pruned) == ["unchanged"] * 5 + ["deleted"]
    assert pruned["summary"]["deleted"] == len(pruned["diff"]) == 1


def test_two_owners_dont_touch_each_others_objects(reconcile, cluster, namespace):
    reconcile([virtual_service(namespace)], owner="one")
    with pytest.raises(MeshopsError, match="belongs to owner 'one', not to 'two'"):
        reconcile([destination_rule(namespace), virtual_service(namespace, hosts=["x"])], owner="two")
    assert cluster.get(DESTINATION_RULE, "reviews", namespace) is None, "nothing is changed before the problem is told"
    with pytest.raises(MeshopsError, match="belongs to owner 'one'"):
        reconcile([virtual_service(namespace)], owner="two", state="absent")
    reconcile([virtual_service(namespace, hosts=["x"])])
    assert cluster.get(VIRTUAL_SERVICE, "reviews", namespace)["metadata"]["labels"] == {"meshops.istio/owner": "one"}


def test_adopt_what_kubectl_created(reconcile, cluster, kubectl, namespace):
    wanted = virtual_service(namespace)
    kubectl("apply", "-f", "-", text=json.dumps(wanted))
    assert actions(reconcile([wanted])) == ["updated"], "the fields become ours too"
    assert not reconcile([wanted])["changed"]

    wanted["spec"]["hosts"] = ["reviews", "ratings"]
    with pytest.raises(ObjectsFailed, match="'kubectl-client-side-apply' owns spec.hosts.*force_conflicts"):
        reconcile([wanted])
    assert actions(reconcile([wanted], force_conflicts=True)) == ["updated"]
    assert not reconcile([wanted])["changed"]


def test_fields_of_others_stay(reconcile, cluster, kubectl, namespace):
    wanted = virtual_service(namespace)
    reconcile([wanted])
    kubectl("-n", namespace, "label", "virtualservice", "reviews", "team=blue")
    kubectl("-n", namespace, "patch", "virtualservice", "reviews", "--type=merge", '-p={"spec":{"gateways":["mesh"]}}')
    assert not reconcile([wanted])["changed"]
    wanted["spec"]["exportTo"] = ["."]
    assert actions(reconcile([wanted])) == ["updated"]
    live = cluster.get(VIRTUAL_SERVICE, "reviews", namespace)
    assert live["metadata"]["labels"] == {"team": "blue"}
    assert live["spec"]["gateways"] == ["mesh"]


def test_fight_with_a_foreign_manager(reconcile, cluster, kubectl, namespace):
    wanted = virtual_service(namespace)
    reconcile([wanted])
    kubectl(
        "-n",
        namespace,
        "patch",
        "virtualservice",
        "reviews",
        "--type=merge",
        "--field-manager=rival",
        '-p={"spec":{"hosts":["stolen"]}}',
    )
    with pytest.raises(ObjectsFailed) as failure:
        reconcile([wanted, virtual_service(namespace, "other")])
    assert "VirtualService" in str(failure.value)
    assert "'rival' owns spec.hosts" in str(failure.value)
    assert actions(failure.value.result) == ["failed", "created"]
    reconcile([wanted], force_conflicts=True)
    assert cluster.get(VIRTUAL_SERVICE, "reviews", namespace)["spec"]["hosts"] == ["reviews"]


def test_one_invalid_of_ten(reconcile, cluster, namespace):
    wanted = [virtual_service(namespace, f"vs-{n}") for n in range(10)]
    wanted[4]["spec"]["https"] = []
    with pytest.raises(ObjectsFailed) as failure:
        reconcile(wanted)
    result = failure.value.result
    assert result["summary"] == {"created": 9, "updated": 0, "deleted": 0, "unchanged": 0, "failed": 1}
    failed = result["objects"][0]  # first, where it is seen
    assert (failed["name"], failed["action"]) == ("vs-4", "failed")
    assert "unknown field spec.https: did you mean http?" in failed["error"]
    assert len(cluster.list(VIRTUAL_SERVICE, namespace)) == 9
    del wanted[4]["spec"]["https"]
    assert actions(reconcile(wanted)) == ["unchanged"] * 4 + ["created"] + ["unchanged"] * 5


def test_a_keyed_list_that_is_emptied_takes_one_run(reconcile, namespace):
    def entry(**spec):
        meta = {"name": "a", "namespace": namespace}
        spec = {"hosts": ["a.example.com"], "resolution": "NONE", **spec}
        return {"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": meta, "spec": spec}

    reconcile([entry(ports=[{"name": "a", "number": 1, "protocol": "TCP"}])])
    assert actions(reconcile([entry(ports=[])])) == ["updated"]
    assert actions(reconcile([entry(ports=[])])) == ["unchanged"]


def test_values_of_secrets_are_never_shown(reconcile, namespace):
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "key", "namespace": namespace},
        "stringData": {"key": "very-secret"},
    }
    told = str(reconcile([secret], return_objects=True))
    secret["stringData"]["key"] = "more-secret"
    changed = reconcile([secret], return_objects=True)
    assert actions(changed) == ["updated"]
    assert [(e["before"], e["after"]) for e in changed["diff"]] == [("as it was\n", "changed\n")]
    for word in ("very-secret", "more-secret", "dmVyeS1zZWNyZXQ", "bW9yZS1zZWNyZXQ"):
        assert word not in told + str(changed)
    assert not reconcile([secret])["changed"]
    for value in (12345678, {"a": "very-secret\n .x: very-secret"}, ["very-secret"]):
        for check_mode in (True, False):
            with pytest.raises(ObjectsFailed) as failure:
                reconcile([{**secret, "stringData": {}, "data": {"key": value}}], check_mode=check_mode)
            assert str(failure.value).endswith("data.key must be a string: write it in quotes")


def test_a_key_with_a_space_tells_no_value_of_a_secret(reconcile, namespace):
    meta = {"name": "key", "namespace": namespace}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": {"my key": 12345678, "my: pin": 4711}}
    for objects in ([secret], [{**secret, "data": {"my key": 12345678}}]):
        with pytest.raises(ObjectsFailed) as failure:
            reconcile(objects)
        told = str(failure.value) + str(failure.value.result)
        assert "data.my key must be a string: write it in quotes" in told
        assert "12345678" not in told
        assert "4711" not in told


def test_a_policy_that_repeats_a_secret_tells_none_of_it(reconcile, cluster, namespace):
    """A denial by the API server's own policies, which may say anything as a webhook may."""
    group = "admissionregistration.k8s.io"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["secrets"]}
    policy = {
        "apiVersion": f"{group}/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": namespace},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [rule]},
            "variables": [{"name": "password", "expression": "string(object.data['password'])"}],
            "validations": [
                {
                    "expression": "variables.password == ''",
                    "messageExpression": "'too weak: ' + variables.password",
                }
            ],
        },
    }
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": namespace},
        "spec": {
            "policyName": namespace,
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": selector},
        },
    }
    meta = {"name": "key", "namespace": namespace}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"password": "hunter2"}}
    try:
        reconcile([policy, binding])
        deadline = time.monotonic() + 30
        while True:  # until the policy is in force
            secret["metadata"]["annotations"] = {"try": str(time.monotonic())}
            try:
                reconcile([secret])
            except ObjectsFailed as error:
                told = str(error) + str(error.result)
                break
            assert time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        reconcile([policy, binding], state="absent")
    assert "too weak: " in told
    assert "hunter2" not in told
    assert "aHVudGVyMg" not in told


def test_only_texts_become_the_values_of_a_secret(reconcile, cluster, namespace, tmp_path):
    meta = {"name": "key", "namespace": namespace}
    wrong = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"c.json": {"a": "b"}, "on": True}}
    file = tmp_path / "secret.yml"
    file.write_text(json.dumps(wrong))
    for source in (([wrong], []), ([], [str(file)])):
        with pytest.raises(MeshopsError, match=r"Secret key: stringData.c.json must be a string, not a mapping"):
            reconcile(declared_objects(*source))
    with pytest.raises(ObjectsFailed, match=r"stringData.on must be a string"):  # given without that check
        reconcile([wrong])
    assert cluster.get(KNOWN["", "Secret"], "key", namespace) is None

    texts = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"empty": None, "a": "b"}}
    secret = {**wrong, "stringData": {"empty": None, "a": "b"}}
    assert actions(reconcile(declared_objects([secret, texts], []))) == ["created", "created"]
    assert cluster.get(KNOWN["", "Secret"], "key", namespace)["data"] == {"empty": "", "a": "Yg=="}
    assert cluster.get(KNOWN["", "ConfigMap"], "key", namespace)["data"] == {"empty": "", "a": "b"}
    assert not reconcile([secret, texts])["changed"]


def test_what_a_version_looks_like_is_sent_as_it_is_written(reconcile, cluster, namespace, tmp_path):
    file = tmp_path / "rule.yml"
    text = json.dumps(destination_rule(namespace, subsets=["12e4567"]))
    file.write_text(text.replace('"version": "12e4567"', '"version": 12e4567'))
    reconcile(declared_objects([], [str(file)]))
    [subset] = cluster.get(DESTINATION_RULE, "reviews", namespace)["spec"]["subsets"]
    assert subset["labels"] == {"version": "12e4567"}


def test_a_policy_is_no_lack_of_rights(reconcile, kubeconfig, cluster, namespace):
    enforce = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.patch(KNOWN["", "Namespace"], namespace, {"metadata": {"labels": enforce}})
    meta = {"name": "a", "namespace": namespace}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    with pytest.raises(ObjectsFailed) as failure:
        reconcile([pod])
    assert "violates PodSecurity" in str(failure.value)
    assert "give the user" not in str(failure.value)
    user = f"user-{namespace}"
    reconcile(rights(namespace, user, ["networking.istio.io"], ["*"], "get", "list"))
    wait_for_right(cluster, user, "get", "networking.istio.io", "virtualservices", namespace)
    with pytest.raises(ObjectsFailed, match=r"cannot patch .* \(give the user of this kubeconfig the right to do so\)"):
        reconcile([virtual_service(namespace)], on=Cluster({"kubeconfig": kubeconfig, "impersonate_user": user}))


def test_two_runs_at_once_end_in_one_state(reconcile, kubeconfig, cluster, namespace):
    wanted = [
        obj for n in range(40) for obj in (destination_rule(namespace, f"o-{n}"), virtual_service(namespace, f"o-{n}"))
    ]
    errors, results = [], []

    def run():
        try:
            results.append(reconcile(wanted, on=Cluster({"kubeconfig": kubeconfig}), owner=namespace, prune=True))
        except Exception as error:
            errors.append(error)

    for _round in range(2):
        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for obj in wanted:
            obj["metadata"]["labels"] = {"round": "2"}
    assert not errors
    assert len(results) == 6
    assert len(cluster.list(VIRTUAL_SERVICE, namespace)) == len(cluster.list(DESTINATION_RULE, namespace)) == 40
    reconcile(wanted, owner=namespace)
    assert not reconcile(wanted, owner=namespace)["changed"]


def test_routes_follow_their_subsets_after_the_time_that_settle_gives(reconcile, cluster, namespace):
    """The API server's own times, which are of whole seconds."""
    route = [{"route": [{"destination": {"host": "reviews", "subset": "v1"}}]}]
    wanted = [virtual_service(namespace, http=route), destination_rule(namespace)]
    with pytest.raises(MeshopsError, match="settle is -1: give the seconds that proxies need"):
        reconcile(wanted, settle=-1)
    assert cluster.get(DESTINATION_RULE, "reviews", namespace) is None
    reconcile(wanted, settle=3.1)
    rule, then = (
        datetime.datetime.fromisoformat(cluster.get(kind, "reviews", namespace)["metadata"]["creationTimestamp"])
        for kind in (DESTINATION_RULE, VIRTUAL_SERVICE)
    )
    assert (then - rule).total_seconds() >= 3


def test_a_subset_goes_after_the_routes_that_used_it(reconcile, cluster, namespace):
    def route(subset):
        return [{"route": [{"destination": {"host": "reviews", "subset": subset}}]}]

    reconcile([destination_rule(namespace), virtual_service(namespace, http=route("v1"))])
    versions = []
    apply = cluster.apply

    def watched(obj, **options):
        versions.append((obj["kind"], [s["name"] for s in obj["spec"].get("subsets", [])]))
        return apply(obj, **options)

    cluster.apply = watched
    try:
        reconcile([virtual_service(namespace, http=route("v2")), destination_rule(namespace, subsets=("v2",))])
    finally:
        del cluster.apply
    assert versions == [("DestinationRule", ["v2", "v1"]), ("VirtualService", []), ("DestinationRule", ["v2"])]
    live = cluster.get(DESTINATION_RULE, "reviews", namespace)
    assert [s["name"] for s in live["spec"]["subsets"]] == ["v2"]


def test_new_subsets_that_stay_beside_the_old_ones_are_a_change(reconcile, cluster, namespace):
    reconcile([destination_rule(namespace), virtual_service(namespace)])
    route = {"route": [{"destination": {"host": "reviews", "subset": "v2"}}], "tmeout": "5s"}
    kept = "what is to be deleted was left beside what is new, as it may be needed by"
    with pytest.raises(ObjectsFailed, match=kept) as failure:
        reconcile([destination_rule(namespace, subsets=("v2",)), virtual_service(namespace, http=[route])])
    assert failure.value.result["changed"]
    live = cluster.get(DESTINATION_RULE, "reviews", namespace)
    assert [s["name"] for s in live["spec"]["subsets"]] == ["v2", "v1"]


def test_a_version_that_the_server_lacks(reconcile, namespace):
    account = {"apiVersion": "apps/v2", "kind": "Deployment", "metadata": {"name": "app", "namespace": namespace}}
    for check_mode in (True, False):
        with pytest.raises(MeshopsError, match="app: .* use apiVersion apps/v1, which it serves"):
            reconcile([account], check_mode=check_mode)


def test_the_table_has_every_kind_of_the_mesh(cluster):
    """What is missing there would not be pruned, and a list with keys would be compared wrongly."""
    keyed = set()
    for definition in cluster.list(KNOWN["apiextensions.k8s.io", "CustomResourceDefinition"]):
        spec, names = definition["spec"], definition["spec"]["names"]
        if spec["group"] not in MESH_GROUPS:
            continue
        kind = KNOWN[spec["group"], names["kind"]]
        assert (kind.plural, kind.namespaced) == (names["plural"], spec["scope"] == "Namespaced")
        assert kind.version in [version["name"] for version in spec["versions"] if version["served"]], kind
        schemas = json.dumps(
            [version["schema"]["openAPIV3Schema"]["properties"]["spec"] for version in spec["versions"]]
        )
        if spec["group"].endswith("istio.io"):
            assert not re.search('"default":|"x-kubernetes-map-type"', schemas), kind
            keyed |= {kind.kind} if '"x-kubernetes-list-type"' in schemas else set()
    assert keyed == set(_KEYED)


def test_a_kind_of_the_mesh_is_taken_in_any_version(reconcile, cluster, namespace):
    route = {
        "apiVersion": "gateway.networking.k8s.io/v1alpha2",
        "kind": "TCPRoute",
        "metadata": {"name": "echo", "namespace": namespace},
        "spec": {"parentRefs": [{"name": "gateway"}], "rules": [{"backendRefs": [{"name": "echo", "port": 9000}]}]},
    }
    assert actions(reconcile([route], owner=namespace)) == ["created"]
    assert not reconcile([route], owner=namespace, prune=True)["changed"]
    assert actions(reconcile([route], check_mode=True, state="absent")) == ["deleted"]
    pruned = reconcile([], owner=namespace, prune=True, prune_all=True)
    assert [(e["kind"], e["action"]) for e in pruned["objects"]] == [("TCPRoute", "deleted")]


def test_rights_in_namespaces_alone_are_enough(reconcile, cluster, kubeconfig, namespace):
    names = [f"{namespace}-{n}" for n in range(12)]
    user = f"user-{namespace}"
    given = []
    for name in names:
        given.append({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        given += rights(name, user, ["networking.istio.io"], ["*"], "*")
    reconcile(given)
    assert not reconcile(given)["changed"]
    for name in names:
        wait_for_right(cluster, user, "patch", "networking.istio.io", "virtualservices", name)
    limited = Cluster({"kubeconfig": kubeconfig, "impersonate_user": user})
    wanted = [virtual_service(name, f"vs-{n}") for name in names for n in range(5)]
    try:
        assert reconcile(wanted, on=limited)["summary"]["created"] == 60
        assert not reconcile(wanted, on=limited)["changed"]
        assert reconcile(wanted, on=limited, owner=namespace)["summary"]["updated"] == 60
        fewer = [obj for obj in wanted if obj["metadata"]["name"] != "vs-4"]
        assert reconcile(fewer, on=limited, owner=namespace, prune=True)["summary"]["deleted"] == 12
        with pytest.raises(MeshopsError, match="is forbidden"):
            reconcile([], on=limited, owner=namespace, prune=True, prune_all=True)
        role, binding = rights(namespace, user, list(MESH_GROUPS), ["*"], "*")
        everywhere = [
            {**role, "kind": "ClusterRole"},
            {**binding, "kind": "ClusterRoleBinding", "roleRef": {"kind": "ClusterRole", "name": user}},
        ]
        given += everywhere
        reconcile(everywhere)
        wait_for_right(cluster, user, "list", "networking.istio.io", "virtualservices")
        gone = reconcile([], on=limited, owner=namespace, prune=True, prune_all=True)
        assert gone["summary"]["deleted"] == 48, "rights for the mesh's own kinds are enough"
        with pytest.raises(MeshopsError, match="is forbidden"):
            reconcile([{**wanted[0], "apiVersion": "v1", "kind": "Secret"}], on=limited)
    finally:
        reconcile(given, state="absent")


def test_who_may_not_see_pods_waits_all_the_same(reconcile, cluster, kubeconfig, namespace):
    user = f"user-{namespace}"
    reconcile(rights(namespace, user, ["apps"], ["deployments"], "*"))
    wait_for_right(cluster, user, "patch", "apps", "deployments", namespace)
    pod = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}}
    workload = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "a", "namespace": namespace},
        "spec": {"selector": {"matchLabels": {"app": "a"}}, "template": pod},
    }
    limited = Cluster({"kubeconfig": kubeconfig, "impersonate_user": user})
    with pytest.raises(ObjectsFailed, match="a is not ready after 2 s") as failure:
        reconcile([workload], on=limited, wait=True, wait_timeout=2)
    assert (failure.value.result["changed"], actions(failure.value.result)) == (True, ["created"])


def test_wait_goes_by_the_conditions_of_the_present_generation(reconcile, cluster, namespace):
    gateway = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "gateway", "namespace": namespace},
        "spec": {"gatewayClassName": "nobody", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]},
    }
    with pytest.raises(ObjectsFailed, match=r"Gateway test-.*/gateway is not ready.*Waiting for controller") as failure:
        reconcile([gateway], wait=True, wait_timeout=1)
    assert actions(failure.value.result) == ["created"], "the object is there, it is not ready"

    def report(generation):
        conditions = [
            {
                "type": kind,
                "status": "True",
                "reason": "Done",
                "message": "",
                "observedGeneration": generation,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
            for kind in ("Accepted", "Programmed")
        ]
        status = {"status": {"conditions": conditions}}
        kind = KNOWN["gateway.networking.k8s.io", "Gateway"]
        cluster.patch(kind, "gateway", status, namespace, PatchOptions(subresource="status", manager="controller"))

    report(generation=1)
    assert not reconcile([gateway], wait=True, wait_timeout=30)["changed"]
    gateway["spec"]["listeners"][0]["port"] = 8080
    with pytest.raises(ObjectsFailed, match="not reported yet"):
        reconcile([gateway], wait=True, wait_timeout=1)
    controller = threading.Timer(2, report, [2])
    controller.start()
    assert not reconcile([gateway], wait=True, wait_timeout=60)["changed"]
    controller.join()
