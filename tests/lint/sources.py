# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the lint tests share: the product's files."""

from __future__ import annotations

import pathlib

ROOT = pathlib.Path(__file__).parents[2]
MODULE_UTILS = ROOT / "plugins/module_utils"
OPERATOR = ROOT / "extensions/operator"


def python_files(*roots: pathlib.Path) -> list[pathlib.Path]:
    """Python files below folders, sorted, caches aside."""
    return [path for root in roots for path in sorted(root.rglob("*.py")) if "__pycache__" not in path.parts]


def product_files() -> list[pathlib.Path]:
    """All Python files that users run."""
    return python_files(ROOT / "plugins", OPERATOR)


def relative(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))
