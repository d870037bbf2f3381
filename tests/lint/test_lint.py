# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Everything that is checked without running it. `make lint` runs this file."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[2]
BIN = ROOT / ".venv/bin"
ENV = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "NO_COLOR": "1"}


def check(*command: object, cwd: pathlib.Path = ROOT) -> None:
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, f"\n{done.stdout[-20000:]}"


@pytest.mark.parametrize(
    "command",
    [
        "ruff check .",
        "ruff format --check .",
        "yamllint -s .",
        "lint-imports",
        "mypy",
        "ansible-lint --offline -q",
        "antsibull-changelog lint",
    ],
)
def test_tool(command):
    check(*command.split())


def test_ansible_test_sanity():
    check(ROOT / "tests/lint/sanity")


def test_documentation_of_modules_builds(tmp_path):
    """antsibull-docs reads every module, role and filter as the documentation site does, with its own markup check."""
    check(
        "antsibull-docs", "lint-collection-docs", "--plugin-docs", "--validate-collection-refs", "self",
        "--skip-rstcheck", "--disallow-unknown-collection-refs", ROOT,
    )  # fmt: skip


def test_every_module_that_talks_to_a_cluster_is_in_the_action_group():
    runtime = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())
    paths = (ROOT / "plugins/modules").glob("*.py")
    modules = {path.stem for path in paths if "- meshops.istio.connection\n" in path.read_text()}
    assert set(runtime["action_groups"]["mesh"]) == modules


INCLUDES = ("ansible.builtin.include_tasks", "ansible.builtin.import_tasks")


def included(tasks: list[dict]) -> set[str]:
    """The tasks files that tasks include, by their names without the suffix."""
    found = set()
    for task in tasks:
        for block in ("block", "rescue", "always"):
            found |= included(task.get(block) or [])
        for given in (task[name] for name in INCLUDES if name in task):
            found.add(pathlib.Path(given["file"] if isinstance(given, dict) else given).stem)
    return found


def test_every_role_documents_every_entry_point():
    """An entry point is a tasks file that a user may name: not one that starts with _, nor a part of another one.

    A part of another one that has a specification is an entry point nevertheless.
    """
    for role in sorted((ROOT / "roles").iterdir()):
        specs = set(yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"])
        files = {path.stem: yaml.safe_load(path.read_text()) or [] for path in (role / "tasks").glob("*.yml")}
        parts = set().union(*map(included, files.values())) - specs
        assert specs == {name for name in files if not name.startswith("_")} - parts, role.name
        assert (role / "README.md").exists(), role.name


def test_the_readme_names_every_role_and_playbook():
    text = (ROOT / "README.md").read_text()
    playbooks = {f"meshops.istio.{path.stem}" for path in (ROOT / "playbooks").glob("*.yml")}
    playbooks.remove("meshops.istio.check_hosts")  # the beginning of the others, and of no use alone
    roles = {path.name for path in (ROOT / "roles").iterdir()}
    assert not {name for name in playbooks | roles if f"`{name}`" not in text}


def test_the_built_collection_holds_what_runs_and_nothing_else(tmp_path):
    check("ansible-galaxy", "collection", "build", "--output-path", tmp_path, ROOT)
    (package,) = tmp_path.glob("meshops-istio-*.tar.gz")
    names = subprocess.check_output(["tar", "-tzf", package], text=True).split()
    tops = {name.split("/")[0] for name in names}
    assert {"plugins", "roles", "playbooks", "charts", "meta", "README.md", "LICENSE"} <= tops
    assert not tops & {".venv", ".cache", ".ci", ".git", ".hypothesis", "build"}
    assert not [name for name in names if name.startswith(("tests/lab", "tests/e2e")) or "__pycache__" in name]
