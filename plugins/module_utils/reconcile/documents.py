# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""YAML text to objects, with errors that name the file, the line and the number of the document.

Reads as kubectl does, which differs from PyYAML: dates, and C(12:30), are strings; a key given twice is an error.
"""

from __future__ import annotations

import dataclasses
import math
import re
import typing as t

from .identity import text_fields

try:
    import yaml

    _LOADER: t.Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
except ImportError:
    yaml = None
    _LOADER = object


class DocumentError(ValueError):
    """A text that can't be read as Kubernetes objects; the message says where and why."""


@dataclasses.dataclass
class Document:
    """One object and where it was written.

    :ivar source: the file, or another name of the text
    :ivar number: which document of the file, from 1
    :ivar line: the line it begins at, from 1
    :ivar obj: the object
    """

    source: str
    number: int
    line: int
    obj: dict[str, t.Any]

    @property
    def place(self) -> str:
        """C(FILE, document N, line L)."""
        return f"{self.source}, document {self.number}, line {self.line}"


_STRING = "tag:yaml.org,2002:str"
_MAPPING = "tag:yaml.org,2002:map"
_SEQUENCE = "tag:yaml.org,2002:seq"
_MERGE = "tag:yaml.org,2002:merge"
_PLAIN = "plain"
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_OTHER_INTEGER = re.compile(r"([-+]?)(?:0b([01]+)|0x([0-9a-fA-F]+)|0o?([0-7]+))\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_NO_NUMBER = re.compile(r"([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))\Z")
_WORDS: dict[str, t.Any] = {"": None, "~": None}
for _word, _value in (
    ("null", None),
    ("true", True),
    ("yes", True),
    ("on", True),
    ("false", False),
    ("no", False),
    ("off", False),
):
    _WORDS.update(dict.fromkeys((_word, _word.capitalize(), _word.upper()), _value))


class _Loader(_LOADER):
    """A loader whose resolver only tells plain scalars from others; values are made by C(_construct)."""

    def resolve(self, kind: t.Any, value: t.Any, implicit: t.Any) -> str:
        if kind is yaml.ScalarNode:
            return _PLAIN if implicit[0] else _STRING
        return _MAPPING if kind is yaml.MappingNode else _SEQUENCE

    def descend_resolver(self, current_node: t.Any, current_index: t.Any) -> None:
        pass

    def ascend_resolver(self) -> None:
        pass


def parse(text: str, source: str, *, twice: bool = False) -> list[Document]:
    """The objects in a text of one or more YAML (or JSON) documents; a List gives its items.

    :param source: how messages call the text, such as its file name
    :param twice: let a key be given twice, the last counts: as Helm reads what charts render
    :raises DocumentError: not YAML, or a document that is not a Kubernetes object
    """
    loader = _Loader(text)
    found = []
    number = 0
    try:
        while loader.check_node():
            number += 1
            node = loader.get_node()
            place = f"{source}, document {number}, line {node.start_mark.line + 1}"
            value = _construct(node, place, twice=twice)
            if value is None:
                continue
            found += [Document(source, number, node.start_mark.line + 1, obj) for obj in objects(value, place)]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise DocumentError(
            f"{source}, document {max(number, 1)}{where}: not YAML: {error.problem or error.context}"
        ) from error
    except yaml.YAMLError as error:
        raise DocumentError(f"{source}, document {max(number, 1)}: not YAML: {error}") from error
    except RecursionError as error:
        text = "an alias leads to what it is in, or it is nested too deeply"
        raise DocumentError(f"{source}, document {max(number, 1)}: {text}") from error
    finally:
        loader.dispose()
    return found


def objects(value: t.Any, place: str) -> list[dict[str, t.Any]]:
    """The objects that a document or a user's dict contains: itself, or a List's items.

    :param place: how messages call it
    :raises DocumentError: it is not a Kubernetes object; the message says what is missing
    """
    if not isinstance(value, dict):
        raise DocumentError(f"{place}: a Kubernetes object is a mapping with apiVersion, kind and metadata.name")
    if isinstance(value.get("items"), list) and str(value.get("kind", "")).endswith("List"):
        return [obj for n, item in enumerate(value["items"], 1) for obj in objects(item, f"{place}, item {n}")]
    for field in ("apiVersion", "kind"):
        if not isinstance(value.get(field), str) or not value[field]:
            raise DocumentError(f"{place}: {field} is missing: a Kubernetes object names its apiVersion and its kind")
    meta = value.get("metadata")
    if not isinstance(meta, dict) or meta.get("name") in (None, ""):
        raise DocumentError(f"{place}: {value['kind']} without metadata.name: give the object a name")
    _check(value, meta, f"{place}: {value['kind']} {meta['name']}")
    return [value]


def _check(value: dict[str, t.Any], meta: dict[str, t.Any], what: str) -> None:
    """What the plan compares must have its type, whatever else the API server will say.

    :raises DocumentError: it hasn't
    """
    texts = {field: meta[field] for field in ("name", "namespace") if meta.get(field) is not None}
    if isinstance(meta["name"], int) and not isinstance(meta["name"], bool):
        del texts["name"]  # a number is taken as its text
    for field in ("labels", "annotations"):
        pairs = meta.get(field) or {}
        if not isinstance(pairs, dict):
            raise DocumentError(f"{what}: metadata.{field} must be a mapping: write `name: value` without dashes")
        texts.update({f"{field}.{name}": text for name, text in pairs.items()})
    for field, text in texts.items():
        if not isinstance(text, str):
            raise DocumentError(
                f"{what}: metadata.{field} is {text!r}: quote it, it must be a string; or write it with `| string`"
                " where it comes from a template"
            )
    for field in text_fields(value):
        pairs = value.get(field) or {}
        if not isinstance(pairs, dict):
            raise DocumentError(f"{what}: {field} must be a mapping: write `name: value` below it")
        for name, text in pairs.items():
            if text is not None and not isinstance(text, str):
                raise DocumentError(f"{what}: {field}.{name} must be a string, not {_no_text(name, text)}")


def _no_text(name: str, value: t.Any) -> str:
    """What a value is that should be a text, and the remedy. It may be secret, so only its type is reported."""
    if isinstance(value, (dict, list)):
        kind = "a mapping" if isinstance(value, dict) else "a list"
        return f"{kind}: write it as text below `{name}: |`, or with `| to_json` where it comes from a template"
    kind = "true or false" if isinstance(value, bool) else "a number"
    return f"{kind}: quote it, or write it with `| string` where it comes from a template"


def _construct(node: t.Any, place: str, *, twice: bool) -> t.Any:
    if isinstance(node, yaml.ScalarNode):
        tag = node.tag
        if tag == _PLAIN:
            return _plain(node, place)
        if tag == _STRING or tag == "!" or node.style in ("'", '"', "|", ">"):
            return node.value
        return _tagged(node, place)
    if isinstance(node, yaml.SequenceNode):
        return [_construct(child, place, twice=twice) for child in node.value]
    mapping: dict[str, t.Any] = {}
    merged: list[dict[str, t.Any]] = []
    for key_node, value_node in node.value:
        name = key_node.value
        if key_node.tag == _PLAIN and name == "<<":
            merges = _construct(value_node, place, twice=twice)
            merges = merges if isinstance(merges, list) else [merges]
            if not all(isinstance(one, dict) for one in merges):
                raise DocumentError(f"{place}: line {key_node.start_mark.line + 1}: << must lead to a mapping")
            merged += merges
            continue
        if not isinstance(name, str):
            raise DocumentError(f"{place}: line {key_node.start_mark.line + 1}: a key must be a string")
        if name in mapping and not twice:
            raise DocumentError(
                f"{place}: line {key_node.start_mark.line + 1}: the key {name!r} is given twice: leave one out"
            )
        mapping[name] = _construct(value_node, place, twice=twice)
    for other in merged:
        mapping = {**other, **mapping}
    return mapping


def _tagged(node: t.Any, place: str) -> t.Any:
    kind = node.tag.rsplit(":", 1)[-1]
    if kind in ("int", "float", "bool", "null"):
        return _plain(node, place)
    raise DocumentError(f"{place}: line {node.start_mark.line + 1}: the tag {node.tag} has no meaning in Kubernetes")


def _plain(node: t.Any, place: str) -> t.Any:
    """The value of a plain scalar, by the rules of YAML 1.1 as the Go libraries apply them."""
    text = node.value
    if text in _WORDS:
        return _WORDS[text]
    first = text[0]
    if not (first.isdigit() or first in "+-."):
        return text
    number = text.replace("_", "")
    if _INTEGER.match(number):
        return int(number)
    other = _OTHER_INTEGER.match(number)
    if other:
        sign, binary, hexadecimal, octal = other.groups()
        digits, base = next((d, b) for d, b in ((binary, 2), (hexadecimal, 16), (octal, 8)) if d)
        return int(sign + digits, base)
    if _FLOAT.match(number):
        value = float(number)
        return value if math.isfinite(value) else text  # such as a commit's name, 12e4567
    if _NO_NUMBER.match(text):
        where = f"{place}: line {node.start_mark.line + 1}"
        raise DocumentError(f"{where}: {text} is a number that JSON has no word for: quote it if the text is meant")
    return text
