# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What of an object counts as declared."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.identity import declared
from fakes.applied import live, virtual_service


def obj(kind, api_version="v1", **fields):
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}, **fields}


def test_a_null_among_texts_is_an_empty_one():
    secret = obj("Secret", stringData={"a": None, "b": "x"}, data={"c": None, "d": "eA=="})
    assert declared(secret) == obj("Secret", data={"a": "", "b": "eA==", "c": "", "d": "eA=="})
    assert secret["stringData"] == {"a": None, "b": "x"}, "the given one stays"
    texts = obj("ConfigMap", data={"a": None, "b": "x"}, binaryData=None)
    assert declared(texts) == obj("ConfigMap", data={"a": "", "b": "x"})
    other = obj("ConfigMap", "example.com/v1", data={"a": None, "b": "x"})
    assert declared(other) == obj("ConfigMap", "example.com/v1", data={"b": "x"})


def test_another_groups_secret_is_left_as_it_is():
    foreign = obj("Secret", "example.com/v1", stringData={"a": "b", "c": True})
    assert declared(foreign) == foreign


@pytest.mark.parametrize("value", [True, 4711, {"a": "b"}, ["a"]])
def test_what_is_no_text_is_never_made_one(value):
    secret = obj("Secret", stringData={"a": value})
    assert declared(secret) == secret


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
