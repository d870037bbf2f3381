# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stories that take longer than a test run may; they share the clusters and helpers of tests/e2e."""

from __future__ import annotations

import importlib.util
import pathlib
import sys

E2E = pathlib.Path(__file__).parents[1] / "e2e"
sys.path.insert(0, str(E2E))
_spec = importlib.util.spec_from_file_location("e2e_fixtures", E2E / "conftest.py")
_fixtures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_fixtures)

mesh = _fixtures.mesh
own_cluster = _fixtures.own_cluster
own_mesh = _fixtures.own_mesh
pytest_runtest_makereport = _fixtures.pytest_runtest_makereport
