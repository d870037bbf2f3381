# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Nothing is decided by reading a sentence that this project itself wrote.

A sentence is a text with two or more words, or a value by one of the names that sentences have here. Comparing one,
searching one, or using one as a key makes the wording part of the program. Texts of other programs, which come as
text and nothing else, are in FOREIGN with the reason.
"""

from __future__ import annotations

import ast
import re

import pytest
from sources import ROOT, product_files, relative

#: Files that recognise texts of other programs, which have no typed form: the texts, and where they come from.
FOREIGN: dict[str, dict[str, str]] = {
    "plugins/module_utils/objects/executor.py": {
        "conflict with": "API server, message of a FieldManagerConflict cause: only there is the manager named",
        "message": "the same message",
    },
    "plugins/module_utils/cluster/client.py": {
        "str(error)": "OpenSSL's code CERTIFICATE_VERIFY_FAILED in urllib3's error",
        "failed to create typed patch object": "API server, server-side apply",
    },
    "plugins/module_utils/control_plane/manifests.py": {
        "# Written by meshops.istio": "the mark of files that this collection may overwrite: a format, not a message",
        "kind: Secret": "YAML that helm rendered",
    },
    "plugins/module_utils/faults/measure.py": {"not found": "container runtime: the program is not in the image"},
    "plugins/module_utils/injection/injector.py": {
        "exceeded quota": "API server, ResourceQuota",
        "failed calling webhook": "API server, admission",
    },
    "plugins/module_utils/mesh/certificates.py": {"BEGIN CERTIFICATE": "PEM, RFC 7468"},
    "plugins/module_utils/mesh_info/redaction.py": {"PRIVATE KEY": "PEM, RFC 7468"},
    "plugins/module_utils/objects/explain.py": {
        "forbidden: User": "API server, RBAC",
        "not found": "API server, NotFound",
    },
    "plugins/module_utils/cluster/refusal.py": {
        "unknown field": "API server, strict field validation",
        "associative list": "API server, structured-merge-diff",
        "duplicate entries for key": "API server, structured-merge-diff",
        "field not declared in schema": "API server, structured-merge-diff",
        "failed to create typed patch object": "API server, server-side apply",
        "problem": "API server, what structured-merge-diff says of one path",
        "message": "API server, message of a Status or of one of its causes",
        "Invalid value": "API server, validation by a CRD's schema",
        "google.protobuf.Duration": "API server, CEL rules of Istio's CRDs",
        "admission webhook": "API server, admission",
        "failed calling webhook": "API server, admission",
        "some validation rules were not checked": "API server, validation by a CRD's schema",
        "Required value": "API server, field.Required",
    },
}
#: Names of values that hold sentences.
SENTENCES = re.compile(
    r"^(_?(msg|message|messages|reason_text|reasons?|sentences?|failure|problem|problems|why|warnings?|refusal|remark|use))$"
)
METHODS = (
    "startswith",
    "endswith",
    "partition",
    "rpartition",
    "removeprefix",
    "removesuffix",
    "find",
    "rfind",
    "index",
    "count",
)
REGEX = ("match", "search", "fullmatch", "compile", "findall", "finditer", "split", "sub")
TWO_WORDS = re.compile(r"[A-Za-z'’,;:]{2,}(?: |\\s\+?|\[ \]\+?)[A-Za-z'’]{2,}")


#: A machine-readable reason, as Kubernetes writes them.
CODE = re.compile(r"[A-Z][A-Za-z]+")


def text_of(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


class Finder(ast.NodeVisitor):
    """Collects comparisons with sentences: (line, text)."""

    def __init__(self, tree: ast.Module) -> None:
        self.found: list[tuple[int, str]] = []
        self._constants: dict[str, ast.expr] = {}
        for node in tree.body:
            targets = (
                node.targets
                if isinstance(node, ast.Assign)
                else [node.target]
                if isinstance(node, ast.AnnAssign)
                else []
            )
            for target in targets:
                if isinstance(target, ast.Name) and node.value is not None:
                    self._constants[target.id] = node.value
        self.visit(tree)

    def sentence(self, node: ast.expr | None, depth: int = 0) -> str:
        """The sentence that an expression holds; empty where it holds none."""
        if node is None or depth > 3:
            return ""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value if TWO_WORDS.search(node.value) else ""
        if isinstance(node, ast.JoinedStr):
            text = "".join(v.value if isinstance(v, ast.Constant) else "xx" for v in node.values)
            return text if TWO_WORDS.search(text) else ""
        if isinstance(node, ast.BinOp):
            return self.sentence(node.left, depth + 1) or self.sentence(node.right, depth + 1)
        if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
            return next(filter(None, (self.sentence(item, depth + 1) for item in node.elts)), "")
        if isinstance(node, ast.Name) and node.id in self._constants:
            return self.sentence(self._constants[node.id], depth + 1)
        return ""

    def named(self, node: ast.expr) -> str:
        """The name by which an expression is a sentence: message, str(error), item.why[0]; empty where it has none."""
        if isinstance(node, ast.Subscript):
            key = node.slice
            if isinstance(key, ast.Constant) and isinstance(key.value, str) and SENTENCES.match(key.value):
                return key.value
            return self.named(node.value)
        if isinstance(node, ast.Attribute) and SENTENCES.match(node.attr):
            return node.attr
        if isinstance(node, ast.Name) and SENTENCES.match(node.id):
            return node.id
        if isinstance(node, ast.Call):
            name = (
                node.func.id
                if isinstance(node.func, ast.Name)
                else node.func.attr
                if isinstance(node.func, ast.Attribute)
                else ""
            )
            if (
                name == "str"
                and node.args
                and isinstance(node.args[0], ast.Name)
                and node.args[0].id in ("error", "exc", "err", "e")
            ):
                return "str(error)"
            if (
                name == "get"
                and node.args
                and isinstance(node.args[0], ast.Constant)
                and SENTENCES.match(str(node.args[0].value))
            ):
                return str(node.args[0].value)
            if name in ("lower", "strip") and isinstance(node.func, ast.Attribute):
                return self.named(node.func.value)
        return ""

    def add(self, node: ast.AST, text: str) -> None:
        if text:
            self.found.append((node.lineno, text))

    def visit_Compare(self, node: ast.Compare) -> None:
        sides = [node.left, *node.comparators]
        for operator, left, right in zip(node.ops, sides, sides[1:], strict=False):
            if isinstance(operator, (ast.Eq, ast.NotEq)):
                self.add(node, self.sentence(left) or self.sentence(right))
                text = next(
                    (
                        s
                        for s in (left, right)
                        if isinstance(s, ast.JoinedStr)
                        or (isinstance(s, ast.Constant) and isinstance(s.value, str) and s.value)
                    ),
                    None,
                )
                if text is not None:
                    self.add(node, "" if CODE.fullmatch(text_of(text)) else self.named(left) or self.named(right))
            elif isinstance(operator, (ast.In, ast.NotIn)):
                is_text = isinstance(left, ast.JoinedStr) or (
                    isinstance(left, ast.Constant) and isinstance(left.value, str)
                )
                self.add(node, self.sentence(left) or self.sentence(right) or (self.named(right) if is_text else ""))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute) and node.args:
            of, name = node.func.value, node.func.attr
            if isinstance(of, ast.Name) and of.id == "re" and name in REGEX:
                subject = node.args[1] if len(node.args) > 1 else None
                self.add(
                    node, self.sentence(node.args[0]) or (self.named(subject) if subject and name != "sub" else "")
                )
            elif name in METHODS:
                self.add(node, self.sentence(node.args[0]) or self.named(of))
            elif name == "get":
                self.add(node, self.sentence(node.args[0]))
            elif name in ("match", "search", "fullmatch"):
                self.add(node, self.named(node.args[0]))
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if isinstance(node.ctx, ast.Load):
            self.add(node, self.sentence(node.slice))
        self.generic_visit(node)

    def visit_MatchValue(self, node: ast.MatchValue) -> None:
        self.add(node, self.sentence(node.value))
        self.generic_visit(node)


def decisions(source: str, path: str = "") -> list[tuple[int, str]]:
    found = Finder(ast.parse(source)).found
    return [(line, text) for line, text in found if not any(foreign in text for foreign in FOREIGN.get(path, ()))]


def test_no_decision_reads_a_sentence():
    counts: dict[str, int] = {}
    for path in product_files():
        for line, text in decisions(path.read_text(), relative(path)):
            print(f"{relative(path)}:{line}: {text}")
            counts[relative(path)] = counts.get(relative(path), 0) + 1
    assert counts == {}


@pytest.mark.parametrize(
    "line",
    [
        'item.startswith("Helm release")',
        'x = "not ready" in text',
        'x = text == f"release {name} failed"',
        'x = use.partition(" ")',
        'x = "egress" in reason',
        'x = re.search(rf"\\b{name}\\b", failure)',
        'x = re.compile("could not be (.*) because")',
        'TITLE = "Install the control plane"\nx = results[TITLE]',
        'TITLE = "Install the control plane"\nx = results.get(TITLE, {})',
        'x = str(error).endswith("too old")',
        'x = item["why"][0] == f"Helm release {name}"',
        'x = "label" in change.reasons[0].lower()',
        'match text:\n  case "taken by another":\n    pass',
        'x = text in ("is ready", "is not there")',
        'PATTERN = re.compile(r"(\\d+)")\nx = PATTERN.search(message)',
    ],
)
def test_a_decision_by_a_sentence_is_found(tmp_path, line):
    path = tmp_path / "module.py"
    path.write_text(f"import re\n{line}\n")
    assert decisions(path.read_text())


@pytest.mark.parametrize(
    "line",
    [
        'x = kind == "Deployment"',
        'x = name.startswith(f"{release}-")',
        "x = reason is Reason.HELM_RELEASE",
        'x = re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name)',
        "x = reasons == []",
        'x = values["meshConfig"].get("defaultConfig", {})',
    ],
)
def test_a_decision_by_a_value_is_none(line):
    assert decisions(f"import re\n{line}\n") == []


@pytest.mark.parametrize("path", FOREIGN)
def test_texts_of_other_programs_are_still_recognised(path):
    """An entry of FOREIGN that nothing matches is removed."""
    texts = [text for _line, text in Finder(ast.parse((ROOT / path).read_text())).found]
    assert [foreign for foreign in FOREIGN[path] if not any(foreign in text for text in texts)] == []
