# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""YAML text to objects."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.documents import DocumentError, objects, parse

ONE = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n"


def test_many_documents():
    found = parse(f"{ONE}---\n---\n# nothing\n---\n{ONE}data: {{x: y}}\n", "mesh.yml")
    assert [(d.number, d.line, d.place) for d in found] == [
        (1, 1, "mesh.yml, document 1, line 1"),
        (4, 9, "mesh.yml, document 4, line 9"),
    ]
    assert found[1].obj["data"] == {"x": "y"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-1", -1),
        ("0o17", 15),
        ("0644", 420),
        ("0x1F", 31),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("yes", True),
        ("Off", False),
        ("~", None),
        ("", None),
        ('"12"', "12"),
        ("2024-01-01", "2024-01-01"),
        ("12:30", "12:30"),
        ("5s", "5s"),
        ("1.2.3", "1.2.3"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("!!str 12", "12"),
        ("y", "y"),
        ("1_000", 1000),
        ("0_", 0),
        ("0b_", "0b_"),
        ("0x_", "0x_"),
        ("1__.5", 1.5),
        ("12e4567", "12e4567"),
        ("-1e999", "-1e999"),
        (".iNf", ".iNf"),
        ('".inf"', ".inf"),
    ],
)
def test_scalars_are_read_as_kubectl_reads_them(text, value):
    [document] = parse(f"{ONE}spec:\n  x: {text}\n", "x")
    assert document.obj["spec"]["x"] == value
    assert type(document.obj["spec"]["x"]) is type(value)


def test_anchors_and_merges():
    text = f"{ONE}a: &a {{x: 1, y: 2}}\nb:\n  <<: *a\n  y: 3\nc: *a\n"
    [document] = parse(text, "x")
    assert document.obj["b"] == {"x": 1, "y": 3}
    assert document.obj["c"] == {"x": 1, "y": 2}


def test_a_list_stands_for_its_items():
    text = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [yaml.safe_load(ONE), yaml.safe_load(ONE)]})
    assert [d.obj["metadata"]["name"] for d in parse(text, "x")] == ["a", "a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{ONE}---\na: b\n c: d\n", r"mesh.yml, document 2, line 7, column 3: not YAML: mapping values"),
        (f"{ONE}---\nkind: Gateway\n", r"mesh.yml, document 2, line 6: apiVersion is missing"),
        ("apiVersion: v1\nkind: Gateway\n", r"document 1, line 1: Gateway without metadata.name"),
        (
            f"{ONE}---\n{ONE}spec:\n  x: .inf\n",
            r"mesh.yml, document 2, line 6: line 11: .inf is a number that JSON has",
        ),
        (f"{ONE}spec: [-.INF]\n", r"mesh.yml, document 1, line 1: line 5: -.INF is a number that JSON has no word for"),
        (f"{ONE}spec: !!float .NaN\n", r"mesh.yml, document 1, line 1: line 5: .NaN is .*: quote it"),
        (f"{ONE}data:\n  x: 1\n  x: 2\n", r"document 1, line 1: line 7: the key 'x' is given twice"),
        ("- a\n", r"a Kubernetes object is a mapping"),
        (f"{ONE}  labels: {{version: 1}}\n", r"ConfigMap a: metadata.labels.version is 1: quote it"),
        ("x: !!python/object:os.system a\n", r"the tag .* has no meaning in Kubernetes"),
        ("a: \x00", r"mesh.yml, document 1: not YAML"),
        (f"{ONE}---\na: &x [*x]\n", r"mesh.yml, document 2: an alias leads to what it is in"),
        (f"{ONE}<<: 5\n", r"mesh.yml, document 1, line 1: line 5: << must lead to a mapping"),
        (f"{ONE}  namespace: 5\n", r"mesh.yml, document 1, line 1: ConfigMap a: metadata.namespace is 5: quote it"),
        (f"{ONE}  labels: [x]\n", r"ConfigMap a: metadata.labels must be a mapping"),
        (f"{ONE}  annotations: x\n", r"ConfigMap a: metadata.annotations must be a mapping"),
        (ONE.replace("name: a", "name: yes"), r"ConfigMap True: metadata.name is True: quote it"),
        (ONE.replace("name: a", "name: [a]"), r"metadata.name is \['a'\]: quote it"),
        (ONE.replace("ConfigMap", "Secret") + "stringData: {a: b}\ndata: x\n", r"Secret a: data must be a mapping"),
    ],
)
def test_errors_say_where(text, message):
    with pytest.raises(DocumentError, match=message):
        parse(text, "mesh.yml")


def test_objects_given_as_values():
    with pytest.raises(DocumentError, match=r"^objects\[2\]: kind is missing"):
        objects({"apiVersion": "v1"}, "objects[2]")


@pytest.mark.parametrize(
    "kind", [("Secret", "stringData"), ("Secret", "data"), ("ConfigMap", "data"), ("ConfigMap", "binaryData")]
)
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4711, r"must be a string, not a number: quote it, or write it with `\| string`"),
        (47.11, r"must be a string, not a number: quote it"),
        (True, r"must be a string, not true or false: quote it"),
        ({"pin": 4711}, r"must be a string, not a mapping: write it as text below `c.json: \|`, or with `\| to_json`"),
        ([4711], r"must be a string, not a list: write it as text"),
    ],
)
def test_what_holds_texts_holds_nothing_else(kind, value, text):
    kind, field = kind
    obj = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}, field: {"b": "text", "c.json": value}}
    with pytest.raises(DocumentError, match=rf"^objects\[0\]: {kind} a: {field}.c.json {text}") as told:
        objects(obj, "objects[0]")
    assert "47" not in str(told.value)
    with pytest.raises(DocumentError, match=rf"mesh.yml, document 1, line 1: {kind} a: {field}.c.json {text}"):
        parse(yaml.safe_dump(obj), "mesh.yml")
    for other in ({**obj, "apiVersion": "example.com/v1"}, {**obj, field: {"c": None}}, {**obj, field: None}):
        assert objects(other, "objects[0]") == [other]


# -- diff -------------------------------------------------------------------
