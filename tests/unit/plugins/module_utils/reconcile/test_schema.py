# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading an OpenAPI schema as the API server publishes it."""

from __future__ import annotations

from ansible_collections.meshops.istio.plugins.module_utils.reconcile.schema import Schema

PORT = {"type": "object", "properties": {"number": {"type": "integer", "default": 80}, "name": {"type": "string"}}}
DOCUMENT = {
    "components": {
        "schemas": {
            "Thing": {
                "properties": {
                    "spec": {
                        "properties": {
                            "ports": {"items": {"$ref": "#/components/schemas/Port"}, "x-kubernetes-list-type": "map"},
                            "labels": {"additionalProperties": {"type": "string"}},
                            "target": {"allOf": [{"$ref": "#/components/schemas/Port"}], "default": {}},
                            "whole": {"type": "object", "x-kubernetes-map-type": "atomic"},
                            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        }
                    }
                },
                "x-kubernetes-group-version-kind": [{"group": "example.com", "version": "v1", "kind": "Thing"}],
            },
            "Port": PORT,
        }
    }
}
SPEC = Schema.of_kind(DOCUMENT, "example.com", "v1", "Thing").child("spec")


def test_a_kind_is_found_by_group_version_and_name():
    assert Schema.of_kind(DOCUMENT, "example.com", "v2", "Thing") is None
    assert "ports" in SPEC.fields


def test_references_are_followed_and_a_default_beside_one_is_kept():
    assert SPEC.child("ports").item().child("number").default == 80
    assert SPEC.child("target").default == {}
    assert SPEC.child("target").child("name").type == "string"


def test_lists_and_maps_say_how_they_are_merged():
    assert SPEC.child("ports").list_type == "map"
    assert SPEC.child("whole").atomic
    assert not SPEC.child("target").atomic
    assert SPEC.child("free").open


def test_a_free_map_has_a_schema_for_each_value_and_no_fields():
    assert SPEC.child("labels").fields == []
    assert SPEC.child("labels").child("anything").type == "string"
    assert SPEC.child("missing") is None


def test_the_holder_of_a_field_below_a_list_suggests_names():
    holder = SPEC.at(["ports"])
    assert holder.nearest("numbr") == "number"
