# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The shape of the house: rooms, walls, namesake tests, signatures. docs/architecture.md describes it."""

from __future__ import annotations

import ast
import collections
import json
import pathlib
import subprocess
import sys
import tomllib

import pytest
import yaml
from sources import MODULE_UTILS, OPERATOR, ROOT, compare_with_baseline, product_files, python_files, relative

LARGEST_FOLDER = 15
LARGEST_SHARE = 0.20
PACKAGE = "ansible_collections.meshops.istio."
#: What plugins do for which only Ansible itself has a folder.
PLUGIN_TYPES = ("modules", "filter", "action", "callback", "inventory", "lookup")


def lines_of(paths: list[pathlib.Path]) -> int:
    return sum(len(path.read_text().splitlines()) for path in paths)


def test_no_folder_of_module_utils_has_more_than_15_files():
    counts = collections.Counter(
        relative(path.parent) for path in python_files(MODULE_UTILS) if path.name != "__init__.py"
    )
    assert {folder: count for folder, count in counts.items() if count > LARGEST_FOLDER} == {}


def test_no_room_has_more_than_a_fifth_of_the_product():
    rooms = [*(path for path in MODULE_UTILS.iterdir() if path.is_dir()), OPERATOR]
    total = lines_of(product_files())
    shares = {relative(room): lines_of(python_files(room)) / total for room in rooms}
    assert {room: round(share, 3) for room, share in shares.items() if share > LARGEST_SHARE} == {}


def test_rooms_have_a_docstring_and_nothing_else_in_their_init_file():
    for path in MODULE_UTILS.rglob("__init__.py"):
        body = ast.parse(path.read_text()).body
        assert len(body) <= 1, relative(path)
        if path.parent != MODULE_UTILS:
            assert body, relative(path)
            assert isinstance(body[0], ast.Expr), relative(path)


def test_every_room_has_its_place_in_the_import_contract():
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    contract = next(contract for contract in config["contracts"] if contract["type"] == "layers")
    placed = {name.strip() for layer in contract["layers"] for name in layer.replace("|", ":").split(":")}
    names = {path.stem for path in MODULE_UTILS.iterdir() if path.is_dir() and path.name != "__pycache__"}
    names |= {path.stem for path in MODULE_UTILS.glob("*.py") if path.stem != "__init__"}
    rooms = {f"{PACKAGE}plugins.module_utils.{name}" for name in names} | {f"{PACKAGE}extensions.operator"}
    rooms |= {f"{PACKAGE}plugins.{name}" for name in PLUGIN_TYPES if list((ROOT / "plugins" / name).glob("*.py"))}
    assert placed == rooms


def namesake(path: pathlib.Path) -> pathlib.Path:
    """The test file of a product file."""
    folder = ROOT / "tests/unit" / path.parent.relative_to(ROOT)
    return folder / f"test_{path.stem.strip('_')}.py"


def test_every_product_file_has_its_test_file():
    paths = [path for path in python_files(MODULE_UTILS, OPERATOR) if path.name != "__init__.py"]
    missing = {relative(path): 1 for path in paths if not namesake(path).exists()}
    assert compare_with_baseline("test-files", missing) == []


def bare_types(tree: ast.Module) -> list[str]:
    """Public functions and methods with `dict`, `list`, `tuple` or `set` without what is in it in their signature."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or node.name.startswith("_"):
            continue
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
        annotations = [argument.annotation for argument in arguments if argument and argument.annotation]
        annotations += [node.returns] if node.returns else []
        for annotation in annotations:
            parsed = (
                ast.parse(annotation.value, mode="eval")
                if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str)
                else annotation
            )
            inside = {id(sub.value) for sub in ast.walk(parsed) if isinstance(sub, ast.Subscript)}
            for name in ast.walk(parsed):
                if (
                    isinstance(name, ast.Name)
                    and name.id in ("dict", "list", "tuple", "set")
                    and id(name) not in inside
                ):
                    found.append(f"{node.name}: {name.id}")
    return found


def test_no_public_signature_has_a_bare_dict_or_list():
    counts = {
        relative(path): len(bare_types(ast.parse(path.read_text()))) for path in python_files(MODULE_UTILS, OPERATOR)
    }
    assert compare_with_baseline("bare-types", {path: count for path, count in counts.items() if count}) == []


@pytest.mark.parametrize(
    ("signature", "count"),
    [
        ("def f(a: dict) -> list: ...", 2),
        ("def f(a: dict[str, int], *, b: set | None) -> None: ...", 1),
        ("def _f(a: dict): ...", 0),
    ],
)
def test_bare_types_are_found(signature, count):
    assert len(bare_types(ast.parse(signature))) == count


def ruff_counts(rule: str) -> dict[str, int]:
    """How often a file breaks a rule of ruff."""
    command = [ROOT / ".venv/bin/ruff", "check", "--no-cache", "--isolated", "--line-length=120", f"--select={rule}"]
    command += ["--config=lint.mccabe.max-complexity=12", "--config=lint.pylint.max-args=6", "--output-format=json"]
    done = subprocess.run(
        [str(word) for word in [*command, ROOT / "plugins", OPERATOR]], capture_output=True, text=True, check=False
    )
    return collections.Counter(relative(pathlib.Path(hit["filename"])) for hit in json.loads(done.stdout))


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ("C901", "complexity"),  # at most 12
        ("PLR0913", "parameters"),  # at most 6
        ("FBT001", "boolean-parameters"),  # booleans are keyword-only
        ("FBT003", "boolean-arguments"),
    ],
)
def test_functions_keep_their_shape(rule, name):
    assert compare_with_baseline(name, ruff_counts(rule)) == []


def redirects() -> list[tuple[str, str, str]]:
    """Type, old name and new name of each redirect in meta/runtime.yml."""
    runtime = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())
    return [
        (kind, old, entry["redirect"])
        for kind, names in (runtime.get("plugin_routing") or {}).items()
        for old, entry in names.items()
        if "redirect" in entry
    ]


def test_every_redirect_leads_from_a_free_name_to_a_plugin_that_exists():
    for kind, old, new in redirects():
        assert new.startswith("meshops.istio."), f"{kind} {old}"
        folder = ROOT / "plugins" / kind
        assert (folder / f"{new.rsplit('.', 1)[1]}.py").exists(), f"{kind} {old} -> {new}"
        assert not (folder / f"{old}.py").exists(), f"{kind} {old} exists, its redirect would hide it"


def test_the_picture_of_the_architecture_is_up_to_date():
    done = subprocess.run(
        [sys.executable, ROOT / "tools/draw_architecture.py"], capture_output=True, text=True, check=True
    )
    assert (ROOT / "docs/architecture.svg").read_text() == done.stdout, (
        "run tools/draw_architecture.py > docs/architecture.svg"
    )


def test_the_documentation_names_every_room():
    text = (ROOT / "docs/architecture.md").read_text()
    assert [
        path.name
        for path in MODULE_UTILS.iterdir()
        if path.is_dir() and f"`{path.name}`" not in text and path.name != "__pycache__"
    ] == []
