# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Texts for people use the words of Kubernetes, Istio and Ansible: glossary.yml has those that they do not use."""

from __future__ import annotations

import ast
import json
import pathlib
import re
import typing as t

import pytest
import yaml
from sources import ROOT, product_files, python_files, relative

GLOSSARY = yaml.safe_load((pathlib.Path(__file__).parent / "glossary.yml").read_text())
FORBIDDEN = {
    **{rf"\b(?:{word})\b": advice for word, advice in GLOSSARY["words"].items()},
    **{rf"\b{re.escape(text)}\b": advice for text, advice in GLOSSARY["errors"].items()},
}
#: Texts in which such a word is right, by what is around it.
ALLOWED = (
    r"former_operator",  # the redirected name of legacy_operator
    r"\]\([^)\s]*\)",  # addresses of links
    r"tests/[\w/.]*",
    r"\blooks? like\b",  # resembles
    r"\bthere is (?:no|none of)\b",
    r"\basks for (?:confirmation|deletions|objects to be deleted)\b",  # of a person, of the API server
)
#: Keys of YAML files whose values people read.
READ_KEYS = {
    "name",
    "description",
    "short_description",
    "msg",
    "fail_msg",
    "success_msg",
    "prompt",
    "summary",
    "title",
    "notes",
    "release_summary",
    "warn",
    "deprecated",
    "label",
}


def hits(text: str) -> list[str]:
    """The words of a text that the glossary replaces, with what to write."""
    for allowed in ALLOWED:
        text = re.sub(allowed, "", text, flags=re.IGNORECASE)
    text = re.sub(r"\s+", " ", text)
    return [
        f"{match[0]!r} in {text[max(0, match.start() - 40) : match.end() + 30]!r}: {advice}"
        for pattern, advice in FORBIDDEN.items()
        for match in re.finditer(pattern, text, re.IGNORECASE)
    ]


def prose(markdown: str) -> str:
    """Markdown without its code blocks and code spans."""
    return re.sub(r"`[^`\n]*`", "`code`", re.sub(r"^ *```.*?^ *```", "", markdown, flags=re.DOTALL | re.MULTILINE))


def strings(source: str) -> t.Iterator[str]:
    """The string constants of a Python file, docstrings and documentation included."""
    tree = ast.parse(source)
    parts = {id(value) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for value in node.values}
    for node in ast.walk(tree):
        if id(node) in parts:
            continue
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(v.value) if isinstance(v, ast.Constant) else "…" for v in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.value


def read_values(node: t.Any, key: str = "") -> t.Iterator[str]:
    """The values of a YAML or JSON document that people read."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from read_values(value, str(name))
    elif isinstance(node, list):
        for value in node:
            yield from read_values(value, key)
    elif isinstance(node, str) and key in READ_KEYS:
        yield node


def markdown_files() -> list[pathlib.Path]:
    return [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("roles/*/README.md"),
        *ROOT.glob("charts/*/README.md"),
    ]


def yaml_files() -> list[pathlib.Path]:
    globs = (
        "playbooks/**/*.yml",
        "roles/*/tasks/*.yml",
        "roles/*/meta/*.yml",
        "roles/*/handlers/*.yml",
        "meta/*.yml",
        "extensions/operator/playbooks/*.yml",
        "galaxy.yml",
    )
    return [path for pattern in globs for path in sorted(ROOT.glob(pattern))]


def texts(path: pathlib.Path) -> list[str]:
    """What people read of a file."""
    content = path.read_text()
    if path.suffix == ".md":
        return [prose(content)]
    if path.suffix == ".py":
        return list(strings(content))
    if path.suffix == ".json":
        return list(read_values(json.loads(content)))
    if path.name == "values.yaml" or path.parts[-3:-1] == ("changelogs", "fragments") or path.name == "changelog.yaml":
        return [prose(content)]
    comments = [line.strip("# ") for line in content.splitlines() if line.startswith("#")]
    return [*comments, *read_values(yaml.load(content, Loader=Tolerant))]


class Tolerant(yaml.SafeLoader):
    """Reads Ansible's own tags too."""


Tolerant.add_multi_constructor("!", lambda loader, _suffix, node: loader.construct_scalar(node))


def read_files() -> list[pathlib.Path]:
    others = [
        *ROOT.glob("changelogs/fragments/*.yml"),
        *ROOT.glob("changelogs/changelog.yaml"),
        *ROOT.glob("charts/*/values.yaml"),
        *ROOT.glob("charts/*/files/*.json"),
    ]
    return [*markdown_files(), *yaml_files(), *product_files(), *python_files(ROOT / "plugins/doc_fragments"), *others]


def test_texts_for_people_use_the_words_of_the_field():
    counts: dict[str, int] = {}
    for path in dict.fromkeys(read_files()):
        for text in texts(path):
            for hit in hits(text):
                print(f"{relative(path)}: {hit}")
                counts[relative(path)] = counts.get(relative(path), 0) + 1
    assert counts == {}


def title_problems(path: pathlib.Path) -> list[str]:
    """Short descriptions that are longer than 60 characters."""
    match = re.search(r"^short_description: *(.+)$", path.read_text(), re.MULTILINE)
    return [match[1]] if match and len(match[1].strip("'\"")) > 60 else []


def test_short_descriptions_fit_60_characters():
    counts = {relative(path): len(title_problems(path)) for path in (ROOT / "plugins/modules").glob("*.py")}
    assert {path: count for path, count in counts.items() if count} == {}


@pytest.mark.parametrize(
    "text",
    [
        "X isn't gone after 300 s",
        "what goes is named",
        "Pods are taken\nout",
        "2x is no duration",
        "it belongs to nobody",
        "takes Istio out of the cluster",
        "The Story of a mesh",
        "the operator of old",
    ],
)
def test_a_word_of_the_glossary_is_found(text):
    assert hits(text)


@pytest.mark.parametrize(
    "text",
    [
        "it is no longer served",
        "there is no pod yet",
        "it looks like Istio",
        "See former_operator",
        "history",
        "an understanding",
    ],
)
def test_other_words_are_none(text):
    assert hits(text) == []
