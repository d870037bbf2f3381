# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From a module's options to its object."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.module import _with_api_host
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.objects.typed_module import OBJECT_SPEC, build
from ansible_collections.meshops.istio.plugins.modules import destination_rule, workload_entry

NOTHING = dict.fromkeys(OBJECT_SPEC)


def built(fields, **params):
    given = {**NOTHING, **dict.fromkeys(fields), "metadata_labels": None, "name": "x", "namespace": "shop", **params}
    return build("networking.istio.io/v1", "Kind", fields, given)


def test_fields_have_the_names_of_the_crd_and_unset_ones_are_left_out():
    obj = built(destination_rule.SPEC, host="reviews", traffic_policy={"tls": {"mode": "DISABLE"}}, export_to=[])
    assert obj == {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Kind",
        "metadata": {"name": "x", "namespace": "shop"},
        "spec": {"host": "reviews", "trafficPolicy": {"tls": {"mode": "DISABLE"}}, "exportTo": []},
    }


def test_an_object_without_options_has_an_empty_spec():
    assert built(destination_rule.SPEC)["spec"] == {}


def test_labels_and_annotations_become_strings():
    meta = built(destination_rule.SPEC, labels={"v": 1, "on": True}, annotations={"a": "b"})["metadata"]
    assert meta["labels"] == {"v": "1", "on": "true"}
    assert meta["annotations"] == {"a": "b"}


def test_labels_that_are_a_field_are_not_the_objects():
    obj = built(workload_entry.SPEC, labels={"app": "a"}, metadata_labels={"team": "t"})
    assert obj["metadata"]["labels"] == {"team": "t"}
    assert obj["spec"]["labels"] == {"app": "a"}


@pytest.mark.parametrize("value", [None, {}, ["a"]])
def test_a_label_that_is_no_single_value_is_refused(value):
    with pytest.raises(MeshopsError, match=r"shop/x: labels.a is .*: it must be a string"):
        built(destination_rule.SPEC, labels={"a": value})


CONNECTION = dict.fromkeys(("host", "api_host", "kubeconfig", "context", "api_key"))


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in ("K8S_AUTH_HOST", "K8S_AUTH_KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("params", "host"),
    [
        ({"host": "reviews"}, None),
        ({"host": "reviews", "api_host": "https://192.0.2.1:6443", "api_key": "t"}, "https://192.0.2.1:6443"),
        ({"host": "reviews", "api_key": "t", "context": "prod"}, None),
    ],
)
def test_the_api_server_is_api_host(params, host):
    assert _with_api_host({**CONNECTION, **params})["host"] == host


@pytest.mark.parametrize("params", [{"host": "https://192.0.2.1:6443"}, {"host": "reviews", "api_key": "t"}])
def test_a_host_that_may_be_meant_for_the_api_server_is_refused(params):
    """Else another cluster than the user wants would be changed: that of the default kubeconfig."""
    with pytest.raises(MeshopsError, match="as api_host, here or in module_defaults"):
        _with_api_host({**CONNECTION, **params})
