# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The examples in README and docs: valid YAML, and every module, role, playbook, option and variable in them exists."""

from __future__ import annotations

import functools
import json
import pathlib
import re
import subprocess
import typing as t

import pytest
import yaml
from test_language import Tolerant, markdown_files

ROOT = pathlib.Path(__file__).parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir())
#: What a task may have beside its module.
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


class Block(t.NamedTuple):
    """A fenced block of a page: C(line) is where it starts."""

    path: pathlib.Path
    line: int
    language: str
    text: str


def blocks(path: pathlib.Path, content: str) -> list[Block]:
    """The fenced blocks of a page, without the indentation of the list that they are in."""
    return [
        Block(
            path, content[: match.start()].count("\n") + 1, match[2], re.sub(rf"^{match[1]}", "", match[3], flags=re.M)
        )
        for match in FENCE.finditer(content)
    ]


BLOCKS = [block for path in markdown_files() for block in blocks(path, path.read_text())]


@functools.cache
def documentation() -> dict[str, t.Any]:
    """What ansible-doc knows of the modules: their options, fragments included."""
    command = [ROOT / ".venv/bin/ansible-doc", "--metadata-dump", "--no-fail-on-errors", "meshops.istio"]
    dumped = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout)
    return {name: entry["doc"].get("options") or {} for name, entry in dumped["all"]["module"].items()}


@functools.cache
def variables() -> dict[str, dict[str, t.Any]]:
    """The variables of the roles, with their specification, and those that only playbooks read, without."""
    known: dict[str, dict[str, t.Any]] = {}
    for role in ROLES:
        specs = yaml.safe_load((ROOT / "roles" / role / "meta/argument_specs.yml").read_text())["argument_specs"]
        for entry_point in specs.values():
            known |= entry_point.get("options", {})
    for path in (ROOT / "playbooks").glob("*.yml"):
        for name in re.findall(
            r"\b((?:{})_\w+) \| default\(".format("|".join([*ROLES, "site", "report", "bundle"])), path.read_text()
        ):
            known.setdefault(name, {})
    return known


def option_problems(given: t.Any, options: t.Mapping[str, t.Any], where: str) -> t.Iterator[str]:
    """Options that do not exist, also in the lists and dictionaries of options."""
    known = {name: spec for key, spec in options.items() for name in (key, *(spec.get("aliases") or ()))}
    for entry in given if isinstance(given, list) else [given]:
        if not isinstance(entry, dict):
            continue
        for name, value in entry.items():
            if name not in known:
                yield f"{where} has no option {name}"
                continue
            below = known[name].get("suboptions") or known[name].get("options")
            if below:
                yield from option_problems(value, below, f"{where}.{name}")


def variable_problems(given: t.Any) -> t.Iterator[str]:
    """Variables with the prefix of a role that the role does not have."""
    for name, value in given.items() if isinstance(given, dict) else ():
        if name not in variables() and str(name).startswith(tuple(f"{role}_" for role in ROLES)):
            yield f"there is no variable {name}"
        spec = variables().get(name, {})
        if spec.get("options"):
            yield from option_problems(value, spec["options"], name)


def problems(node: t.Any) -> t.Iterator[str]:
    """What does not exist in a play, a task, an inventory or a file of variables."""
    if isinstance(node, list):
        for entry in node:
            yield from problems(entry)
    if not isinstance(node, dict):
        return
    if "apiVersion" in node and "kind" in node:
        return
    yield from variable_problems(node)
    for name, value in node.items():
        module = str(name).removeprefix("meshops.istio.")
        if module != name:
            if f"meshops.istio.{module}" in documentation():
                yield from option_problems(value, documentation()[f"meshops.istio.{module}"], module)
            else:
                yield f"there is no module {name}"
        elif name in (
            "role",
            "import_role",
            "include_role",
            "ansible.builtin.include_role",
            "ansible.builtin.import_role",
        ):
            yield from role_problems(value["name"] if isinstance(value, dict) else value)
        elif name == "roles":
            for entry in value:
                yield from role_problems(entry) if isinstance(entry, str) else problems(entry)
        elif name not in variables():
            yield from problems(value)


def role_problems(name: str) -> t.Iterator[str]:
    if name.startswith("meshops.istio.") and name.removeprefix("meshops.istio.") not in ROLES:
        yield f"there is no role {name}"


def command_problems(text: str) -> t.Iterator[str]:
    """Playbooks that do not exist in the commands of a page, and variables that no role or playbook has."""
    for line in text.replace("\\\n", " ").splitlines():
        line = line.strip().removeprefix("$ ")
        if not line.startswith("ansible-playbook "):
            continue
        for name in re.findall(r"\bmeshops\.istio\.([\w.]+)", line):
            if not (ROOT / "playbooks" / f"{name.replace('.', '/')}.yml").exists():
                yield f"there is no playbook meshops.istio.{name}"
        for name in re.findall(r"\bplaybooks/([\w/]+\.yml)", line):
            yield f"an installed collection has no playbooks/{name}: write meshops.istio.NAME"
        yield from variable_problems(dict.fromkeys(re.findall(r"-e '?(\w+)=", line)))


def page(block: Block) -> str:
    return f"{block.path.relative_to(ROOT)}:{block.line}"


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language in ("yaml", "yml")], ids=page)
def test_yaml_in_the_documentation_is_valid_and_what_it_names_exists(block):
    documents = list(yaml.load_all(block.text, Loader=Tolerant))
    assert [problem for document in documents for problem in problems(document)] == []


@pytest.mark.parametrize("path", markdown_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_the_documentation_name_playbooks_and_variables_that_exist(path):
    assert list(command_problems(path.read_text())) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- meshops.istio.virtual_service: {name: a, hostz: [b]}", "virtual_service has no option hostz"),
        ("- meshops.istio.releases:\n    releases: [{nam: a}]", "releases.releases has no option nam"),
        ("- meshops.istio.virtual_services: {name: a}", "no module meshops.istio.virtual_services"),
        ("- hosts: all\n  roles: [meshops.istio.gateway]", "no role meshops.istio.gateway"),
        ("control_plane_mesh_configs: {}", "no variable control_plane_mesh_configs"),
        ("all: {vars: {gateways_list: [{nam: a}]}}", "gateways_list has no option nam"),
    ],
)
def test_what_does_not_exist_is_found(text, words):
    assert any(words in problem for problem in problems(yaml.safe_load(text)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("    ansible-playbook meshops.istio.sites -i a", "no playbook meshops.istio.sites"),
        ("$ ansible-playbook -i a playbooks/site.yml", "no playbooks/site.yml"),
        ("ansible-playbook meshops.istio.purge \\\n  -e purge_confirmed=true", "no variable purge_confirmed"),
    ],
)
def test_a_command_that_does_not_exist_is_found(text, words):
    assert any(words in problem for problem in command_problems(text))
