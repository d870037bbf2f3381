# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The chart's CustomResourceDefinition is the one that the collection's table of types makes, and it is structural."""

from __future__ import annotations

import pathlib
import re

import pytest
from ansible_collections.meshops.istio.extensions.operator import crd

CHART = pathlib.Path(__file__).parents[4] / "charts/operator"


def schema() -> dict:
    return crd.definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def test_the_chart_holds_what_the_table_makes():
    assert (CHART / "files/crd.json").read_text() == crd.text(), (
        "make it anew: python -m ansible_collections.meshops.istio.extensions.operator.crd"
        " > charts/operator/files/crd.json"
    )


def test_known_fields_are_typed_and_none_is_kept_unknown_where_fields_are_known():
    def walk(node: dict, path: str) -> None:
        keeps = node.get("x-kubernetes-preserve-unknown-fields")
        assert not (keeps and "properties" in node), path
        assert keeps or "type" in node or node.get("x-kubernetes-int-or-string"), path
        for name, below in (node.get("properties") or {}).items():
            walk(below, f"{path}.{name}")
        for field in ("items", "additionalProperties"):
            if isinstance(node.get(field), dict):
                walk(node[field], f"{path}[]")

    walk(schema(), "")


def test_fields_by_their_types():
    spec = schema()["properties"]["spec"]["properties"]
    pilot = spec["components"]["properties"]["pilot"]["properties"]
    assert pilot["enabled"] == {"type": "boolean"}
    assert pilot["k8s"]["properties"]["replicaCount"] == {"type": "integer"}
    assert spec["deletionPolicy"]["enum"] == ["Delete", "Retain"]
    assert {"accessLogFile", "access_log_file"} <= set(spec["meshConfig"]["properties"])
    assert "profle" not in spec


def test_columns():
    names = [c["name"] for c in crd.definition()["spec"]["versions"][0]["additionalPrinterColumns"]]
    assert names == ["Profile", "Version", "Revision", "State", "Age", "Message"]


@pytest.mark.parametrize("name", ["{{ x }}", "..", "a b", "A", "-a", "a\nb", "", "a" * 64])
def test_names_in_the_status_have_a_pattern(name):
    status = schema()["properties"]["status"]["properties"]
    component = status["components"]["items"]["properties"]
    for field in (component["name"], component["namespace"], component["chart"], status["revision"]):
        assert not re.search(field["pattern"].replace("$", r"\Z"), name) or len(name) > field["maxLength"]
        assert re.search(field["pattern"], "istiod-1-30")
