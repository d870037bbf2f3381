# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the lint tests share: the product's files, and baselines that may only shrink."""

from __future__ import annotations

import collections
import os
import pathlib
import typing as t

ROOT = pathlib.Path(__file__).parents[2]
BASELINES = pathlib.Path(__file__).parent / "baseline"
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


def compare_with_baseline(name: str, counts: t.Mapping[str, int]) -> list[str]:
    """What differs from a baseline of `count path` lines: more than it allows, or less, which must lower it.

    `MESHOPS_SHRINK_BASELINES=1` lowers it; nothing raises it.
    """
    path = BASELINES / f"{name}.txt"
    allowed: dict[str, int] = collections.defaultdict(int)
    if path.exists():
        for line in path.read_text().splitlines():
            count, key = line.split(" ", 1)
            allowed[key] = int(count)
    if os.environ.get("MESHOPS_SHRINK_BASELINES"):
        lowered = {key: min(count, counts.get(key, 0)) for key, count in allowed.items()}
        lines = [f"{count} {key}\n" for key, count in sorted(lowered.items()) if count]
        if lines:
            path.write_text("".join(lines))
        else:
            path.unlink(missing_ok=True)
        allowed.update(lowered)
    problems = [f"{key}: {n}, at most {allowed[key]} allowed" for key, n in sorted(counts.items()) if n > allowed[key]]
    stale = [key for key, n in allowed.items() if n > counts.get(key, 0)]
    return problems + [f"{key}: better than the baseline; run with MESHOPS_SHRINK_BASELINES=1" for key in stale]
