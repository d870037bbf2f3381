# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import copy

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.helm.patches import (
    BadPath,
    apply_patches,
    read_path,
    strategic_merge,
)
from hypothesis import given
from hypothesis import strategies as st

DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "istiod", "annotations": {"a.b/c": "1"}},
    "spec": {
        "replicas": 1,
        "template": {
            "spec": {
                "containers": [
                    {
                        "name": "discovery",
                        "args": ["discovery", "--keepalive", "30m"],
                        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "C", "value": "3"}],
                        "ports": [{"containerPort": 8080, "name": "http"}, {"containerPort": 15010}],
                    }
                ],
                "tolerations": [{"key": "old"}],
            }
        },
    },
}


def patched(**patch) -> dict:
    return apply_patches([DEPLOYMENT], [{"kind": "Deployment", "name": "istiod", **patch}])[0]


def container(obj: dict) -> dict:
    return obj["spec"]["template"]["spec"]["containers"][0]


# -- paths --------------------------------------------------------------------

CONTAINER = "spec.template.spec.containers.[name:discovery]"


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("a.b.c", ["a", "b", "c"]),
        (".a.b.", ["a", "b"]),
        ("a[0].b", ["a", "[0]", "b"]),
        ("a.[key:value].b", ["a", "[key:value]", "b"]),
        (r"metadata.annotations.example\.com/x", ["metadata", "annotations", "example.com/x"]),
        (r"webhooks.[name:rev\.istio\.io]", ["webhooks", "[name:rev.istio.io]"]),
    ],
)
def test_path_is_read(path: str, steps: list[str]) -> None:
    assert read_path(path) == steps


@pytest.mark.parametrize("path", ["", ".", "a.[name:x.y].z", "a.[0", "a.[]", "a.[(]"])
def test_bad_path_is_refused(path: str) -> None:
    with pytest.raises(BadPath, match="path"):
        read_path(path)


def test_item_by_key_and_value() -> None:
    obj = patched(path=f"{CONTAINER}.ports.[containerPort:8080].containerPort", value=1234)
    assert container(obj)["ports"] == [{"containerPort": 1234, "name": "http"}, {"containerPort": 15010}]


@pytest.mark.parametrize("step", ["[30m]", "[:30m]", "[:^30m$]", "[2]"])
def test_plain_item(step: str) -> None:
    assert container(patched(path=f"{CONTAINER}.args.{step}", value="60m"))["args"][2] == "60m"


@pytest.mark.parametrize("step", ["[-1]", "[99]"])
def test_item_is_appended(step: str) -> None:
    assert container(patched(path=f"{CONTAINER}.args.{step}", value="more"))["args"][3:] == ["more"]


def test_missing_dicts_and_lists_are_made() -> None:
    assert patched(path="spec.strategy.rollingUpdate.maxSurge", value=1)["spec"]["strategy"] == {
        "rollingUpdate": {"maxSurge": 1}
    }
    assert patched(path="spec.list.[0].name", value="x")["spec"]["list"] == [{"name": "x"}]


def test_text_that_is_a_yaml_dict_is_read() -> None:
    obj = patched(path=f"{CONTAINER}.env.[name:A].valueFrom", value="fieldRef:\n  fieldPath: x\n")
    assert container(obj)["env"][0]["valueFrom"] == {"fieldRef": {"fieldPath": "x"}}


@pytest.mark.parametrize("text", ['{"a": "b: c"}', "plain", "http://example.com:80", "[a: b", "a: b: c"])
def test_other_text_stays_text(text: str) -> None:
    assert patched(path="spec.text", value=text)["spec"]["text"] == text


def test_without_a_value_the_path_goes() -> None:
    obj = patched(path=f"{CONTAINER}.env.[name:B]")
    assert [item["name"] for item in container(obj)["env"]] == ["A", "C"]
    assert "args" not in container(patched(path=f"{CONTAINER}.args"))


def test_false_and_zero_are_values() -> None:
    assert patched(path="spec.replicas", value=0)["spec"]["replicas"] == 0
    assert patched(path="spec.paused", value=False)["spec"]["paused"] is False


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("spec.template.spec.containers.[name:other].image", "no item [name:other]"),
        ("spec.template.spec.containers.name", "there is a list"),
        ("spec.[0].x", "there is a dict"),
        ("spec.replicas.x", "below the plain value 1"),
    ],
)
def test_path_that_leads_nowhere_is_a_warning(path: str, reason: str) -> None:
    warnings: list[str] = []
    patch = {"kind": "Deployment", "name": "istiod", "path": path, "value": "x"}
    assert apply_patches([DEPLOYMENT], [patch], warnings) == [DEPLOYMENT]
    assert len(warnings) == 1
    assert f"patch of Deployment istiod at {path} changes nothing" in warnings[0]
    assert reason in warnings[0]


def test_object_that_is_not_there_is_a_warning() -> None:
    warnings: list[str] = []
    patch = {"kind": "Service", "name": "istiod", "merge": {}}
    apply_patches([DEPLOYMENT], [patch, {**patch, "optional": True}], warnings)
    assert warnings == ["patch of Service istiod changes nothing: the chart renders no such object"]


KEYS = st.text("abcdefg-./", min_size=1, max_size=6).filter(lambda key: key.strip(".") == key)
VALUES = st.one_of(st.integers(), st.booleans(), st.text("abc", max_size=4), st.lists(st.integers(), max_size=2))


@given(st.lists(KEYS, min_size=1, max_size=4), VALUES)
def test_what_is_written_is_there_and_goes_again(keys: list[str], value: object) -> None:
    path = ".".join(["data", *(key.replace(".", r"\.") for key in keys)])
    patch = {"kind": "X", "name": "x", "path": path}
    before = {"kind": "X", "metadata": {"name": "x"}}
    after = apply_patches([before], [{**patch, "value": value}])[0]
    found = after["data"]
    for key in keys:
        found = found[key]
    assert found == value
    removed = apply_patches([after], [patch])[0]["data"]
    for key in keys[:-1]:
        removed = removed[key]
    assert removed == {}
    assert before == {"kind": "X", "metadata": {"name": "x"}}, "what was given stays as it was"


# -- strategic merges ---------------------------------------------------------


def merge(spec: dict) -> dict:
    return container(strategic_merge(DEPLOYMENT, {"spec": {"template": {"spec": spec}}}))


def test_lists_with_a_key_are_merged_in_place() -> None:
    env = [{"name": "B", "value": "new"}, {"name": "D", "value": "4"}]
    merged = merge({"containers": [{"name": "discovery", "env": env}]})["env"]
    assert [(item["name"], item["value"]) for item in merged] == [("A", "1"), ("B", "new"), ("D", "4"), ("C", "3")]


def test_patch_decides_the_order_of_its_own_items() -> None:
    env = [{"name": "C"}, {"name": "A"}]
    merged = merge({"containers": [{"name": "discovery", "env": env}]})["env"]
    assert [item["name"] for item in merged] == ["B", "C", "A"]


def test_other_lists_are_replaced() -> None:
    obj = strategic_merge(DEPLOYMENT, {"spec": {"template": {"spec": {"tolerations": [{"key": "new"}]}}}})
    assert obj["spec"]["template"]["spec"]["tolerations"] == [{"key": "new"}]


def test_null_and_directives_remove() -> None:
    assert "replicas" not in strategic_merge(DEPLOYMENT, {"spec": {"replicas": None}})["spec"]
    assert merge({"containers": [{"name": "discovery", "$patch": "delete"}, {"name": "x"}]}) == {"name": "x"}
    labels = strategic_merge({"kind": "X", "spec": {"a": 1, "b": 2}}, {"spec": {"$patch": "replace", "c": 3}})
    assert labels["spec"] == {"c": 3}


def test_ports_of_a_service_are_known_by_their_number() -> None:
    service = {"kind": "Service", "spec": {"ports": [{"port": 80, "name": "http"}, {"port": 443}]}}
    merged = strategic_merge(service, {"spec": {"ports": [{"port": 80, "nodePort": 30080}]}})
    assert merged["spec"]["ports"] == [{"port": 80, "name": "http", "nodePort": 30080}, {"port": 443}]


ITEMS = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 9), max_size=5).map(
    lambda found: [{"name": name, "value": str(value)} for name, value in found.items()]
)


@given(ITEMS, ITEMS)
def test_merged_list_holds_both_and_keeps_both_orders(old: list[dict], new: list[dict]) -> None:
    obj = {"kind": "X", "env": old}
    kept = copy.deepcopy(obj)
    merged = strategic_merge(obj, {"env": new})["env"]
    assert obj == kept
    names = [item["name"] for item in merged]
    assert len(names) == len(set(names))
    assert {item["name"]: item["value"] for item in merged} == {i["name"]: i["value"] for i in [*old, *new]}
    patch_names = {item["name"] for item in new}
    assert [name for name in names if name in patch_names] == [item["name"] for item in new]
    others = [item["name"] for item in old if item["name"] not in patch_names]
    assert [name for name in names if name not in patch_names] == others
    assert strategic_merge({"kind": "X", "env": merged}, {"env": new})["env"] == merged, "twice is as once"
