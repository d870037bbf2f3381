# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every module that talks to a cluster is in the action group, so that module_defaults reach it, and says so."""

from __future__ import annotations

import importlib
import pathlib

import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[3]
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))


def fragments(module: str) -> list[str]:
    code = importlib.import_module(f"ansible_collections.meshops.istio.plugins.modules.{module}")
    return yaml.safe_load(code.DOCUMENTATION).get("extends_documentation_fragment", [])


def test_the_action_group_holds_every_module_with_a_connection():
    runtime = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text("utf-8"))
    connected = [module for module in MODULES if "meshops.istio.connection" in fragments(module)]
    assert runtime["action_groups"]["mesh"] == connected


@pytest.mark.parametrize("module", MODULES)
def test_a_module_documents_its_group_where_it_has_a_connection(module):
    connected = "meshops.istio.connection" in fragments(module)
    documented = {"meshops.istio.attributes", "meshops.istio.attributes.info"} & set(fragments(module))
    assert bool(documented) == connected


@pytest.mark.parametrize("module", MODULES)
def test_only_a_module_without_a_connection_has_no_kubeconfig(module):
    source = (ROOT / "plugins" / "modules" / f"{module}.py").read_text("utf-8")
    runs = "run_module(" in source or "run_typed_module(" in source
    assert runs == ("meshops.istio.connection" in fragments(module))
