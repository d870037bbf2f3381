# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import types

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.istio_operator.custom_resource import (
    reconcile_istio_operator,
)

DOCUMENT = {"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator", "spec": {"profile": "demo"}}
#: A cluster that has never seen an operator.
CLUSTER = types.SimpleNamespace(discover=lambda _api_version: {})


def module(**more):
    params = {"definition": DOCUMENT, "name": "mesh", "namespace": "istio-system", "state": "present", **more}
    params |= {"wait": True, "wait_timeout": 1}
    return types.SimpleNamespace(check_mode=params.pop("check_mode", True), _diff=True, params=params)


def test_check_mode_foresees_the_object_where_its_kind_is_yet_to_come():
    result = reconcile_istio_operator(module(), CLUSTER)
    assert (result["changed"], result["action"], result["components"]) == (True, "created", [])
    assert result["diff"]["after_header"] == "IstioOperator istio-system/mesh"
    assert "profile: demo" in result["diff"]["after"]


def test_check_mode_foresees_nothing_to_delete_there():
    result = reconcile_istio_operator(module(state="absent"), CLUSTER)
    assert (result["changed"], result["action"]) == (False, "unchanged")
    assert "diff" not in result


def test_without_check_mode_the_remedy_is_told():
    with pytest.raises(MeshopsError, match="install the operator first, with the role meshops.istio.operator"):
        reconcile_istio_operator(module(check_mode=False), CLUSTER)


def test_check_mode_checks_the_document_all_the_same():
    with pytest.raises(MeshopsError, match="profle"):
        reconcile_istio_operator(module(definition={**DOCUMENT, "spec": {"profle": "demo"}}), CLUSTER)
