# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tables of what Istio knows are those that its sources give."""

from __future__ import annotations

import importlib.util
import pathlib
import re
import shutil

import pytest

_ROOT = pathlib.Path(__file__).parent.parent.parent
_SCRIPT = _ROOT / "tools" / "generate_schema.py"


@pytest.fixture(scope="module")
def generator():
    specification = importlib.util.spec_from_file_location("generate_schema", _SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("version", ["1.30", "1.31"])
def test_schema_is_up_to_date(generator, version):
    if not shutil.which("go"):
        pytest.skip("go is not installed")
    modules = generator.module_cache()
    if not (modules / f"istio.io/istio@{generator.MODULES[version]}").is_dir():
        pytest.skip(f"Go's module cache does not have Istio {version}: tests/lab/lab build")
    assert generator.generated(version, modules) == generator.target(version).read_text("utf-8"), (
        "run tools/generate_schema.py"
    )


def test_schema_has_the_versions_of_the_lab(generator):
    text = (_ROOT / "tests" / "lab" / "versions.py").read_text("utf-8")
    lab = {found[1]: found[2] for found in re.finditer(r'"(\d+\.\d+)\.\d+": "(v0\.0\.0-[^"]+)"', text)}
    assert lab == generator.MODULES
