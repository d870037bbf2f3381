# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.mesh.schema import (
    Checker,
    is_newer,
    schema_for,
    value_typos,
)

PLAIN = {"any", "bool", "count", "dict", "duration", "int", "int_or_string", "number", "quantity", "string", "tag"}


@pytest.mark.parametrize("version", ["1.30.0", "1.31.0"])
def test_schema_names_only_types_that_it_has(version):
    """A misspelt type in the table would accept anything, or fail at the user's."""
    schema = schema_for(version)
    for name, fields in schema.types.items():
        for field, kind in fields.items():
            plain = kind.replace("[]", "").replace("{}", "")
            assert plain in PLAIN or plain in schema.types or plain in schema.enums, f"{name}.{field}"


def test_schema_of_a_version():
    assert schema_for("1.30.4").version == (1, 30)
    assert schema_for("v1.31.0").version == schema_for(None).version == schema_for("1.99.0").version == (1, 31)
    assert schema_for("1.12.0").version == (1, 30)
    assert (is_newer("1.32.0"), is_newer("1.31.9"), is_newer(None)) == (True, False, False)


def test_schema_has_the_zero_value_of_an_enum_first():
    assert schema_for().enums["MeshConfigOutboundTrafficPolicyMode"][:2] == ["REGISTRY_ONLY", "ALLOW_ANY"]
    assert schema_for().enums["MeshConfigAccessLogEncoding"] == ["TEXT", "JSON"]


def test_schema_differs_by_version():
    config = {"zoneAwareLbSetting": {"enabled": True}}
    assert not list(Checker(schema_for("1.31.0")).problems(config, "MeshConfig", "mesh_config"))
    (problem,) = Checker(schema_for("1.30.1")).problems(config, "MeshConfig", "mesh_config")
    assert (problem.path, problem.unknown) == ("mesh_config.zoneAwareLbSetting", True)


@pytest.mark.parametrize(
    ("chart", "values", "said"),
    [
        ("istiod", {"resource": {}}, "values.resource: the chart has no such value; did you mean resources?"),
        (
            "istiod",
            {"global": {"imagePullPolicyy": "x"}},
            "values.global.imagePullPolicyy: the chart has no",
        ),
        ("gateway", {"service": {"typ": "ClusterIP"}}, "values.service.typ: the chart has no such value"),
        ("cni", {"cniBinDirr": "/x"}, "did you mean cniBinDir?"),
    ],
)
def test_value_typos_names_a_misspelt_value(chart, values, said):
    (problem,) = value_typos(chart, values, "values", schema_for())
    assert said in str(problem)


@pytest.mark.parametrize(
    ("chart", "values"),
    [
        ("istiod", {"resources": {"limits": {"cpu": 1}}, "pilot": {"env": {"A": "b"}}, "autoscaleMin": 2}),
        ("istiod", {"global": {"proxy": {"resources": {}}}, "mine": {"of": "my fork"}, "podAnnotations": {"a": "b"}}),
        ("ztunnel", {"env": {"L7_ENABLED": "true"}, "nodeSelector": {"kubernetes.io/os": "linux"}}),
        ("another", {"resource": 1}),
    ],
)
def test_value_typos_leaves_other_values_alone(chart, values):
    assert value_typos(chart, values, "values", schema_for()) == []
