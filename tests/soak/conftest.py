# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stories that take longer than a test run may; they share the clusters and helpers of tests/e2e."""

from __future__ import annotations

import datetime
import importlib.util
import os
import pathlib
import re
import sys
import textwrap

import pytest

PAGE = pathlib.Path(__file__).parents[2] / "docs/soak.md"
HEAD = """# What the soak suite has seen

Written by `make soak`: each test notes its last run here, when it has passed. The seconds depend on the machine.
"""
E2E = pathlib.Path(__file__).parents[1] / "e2e"
sys.path[:0] = [str(E2E), str(pathlib.Path(__file__).parent)]
_spec = importlib.util.spec_from_file_location("e2e_fixtures", E2E / "conftest.py")
_fixtures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_fixtures)

mesh = _fixtures.mesh
own_cluster = _fixtures.own_cluster
own_mesh = _fixtures.own_mesh
pytest_runtest_makereport = _fixtures.pytest_runtest_makereport


@pytest.fixture(scope="session")
def note():
    """Writes what a story has seen into docs/soak.md, in place of what it wrote there before: note(title, text).

    Paragraphs and tables are separated by empty lines.
    """

    def write(title: str, text: str) -> None:
        old = PAGE.read_text() if PAGE.exists() else HEAD
        head, *sections = re.split(r"^## ", old, flags=re.MULTILINE)
        told = {section.partition("\n")[0]: section for section in sections}
        told[title] = f"{title}\nSeen on {datetime.date.today()}, {os.cpu_count()} cores.\n\n" + "\n\n".join(
            part if part.startswith("|") else textwrap.fill(part, 120) for part in text.split("\n\n")
        )
        parts = [head.rstrip(), *(f"## {told[name].rstrip()}" for name in sorted(told))]
        PAGE.write_text("\n\n".join(parts) + "\n")

    return write
