# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Draws docs/architecture.svg: the four steps, and the layers of the import contract in pyproject.toml.

Usage: tools/draw_architecture.py > docs/architecture.svg
"""

from __future__ import annotations

import html
import pathlib
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[1]
WIDTH, ROW, GAP, TOP = 1080, 46, 14, 150
#: The four steps: what happens, and in which rooms.
STEPS = (
    ("desired", "declared objects, values,", "what charts render to"),
    ("plan", "reconcile: desired and live", "become changes and a diff"),
    ("apply", "cluster, helm: the only", "doors that write"),
    ("prove", "the mesh itself is asked:", "injector, proxies, routes"),
)
STYLE = (
    "text{font:14px sans-serif;fill:#1b2733}.s{font-weight:bold;font-size:16px}.n{font-size:12px;fill:#52606d}"
    ".b{fill:#eef4fb;stroke:#466bb0}.r{fill:#fff;stroke:#8a99a8}.l{fill:none;stroke:#466bb0;stroke-width:2}"
)


def layers() -> list[list[str]]:
    """The rooms, layer by layer, as import-linter checks them."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    contract = next(contract for contract in config["contracts"] if contract["type"] == "layers")
    return [[name.strip().rsplit(".", 1)[1] for name in layer.split("|")] for layer in contract["layers"]]


def box(x: float, y: float, width: float, height: float, name: str) -> str:
    return f'<rect class="{name}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6"/>'


def text(x: float, y: float, content: str, name: str = "") -> str:
    attribute = f' class="{name}"' if name else ""
    return f'<text{attribute} x="{x:g}" y="{y:g}" text-anchor="middle">{html.escape(content)}</text>'


def draw() -> str:
    rows = layers()
    height = TOP + len(rows) * (ROW + GAP) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        "<title>Four steps, and the rooms in which they happen; imports point downwards only</title>",
        f"<style>{STYLE}</style>",
        '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#466bb0"/></marker></defs>',
    ]
    width = (WIDTH - 2 * 20 - 3 * 40) / 4
    for number, (name, *notes) in enumerate(STEPS):
        x = 20 + number * (width + 40)
        parts += [box(x, 20, width, 90, "b"), text(x + width / 2, 46, name, "s")]
        parts += [text(x + width / 2, 68 + 18 * line, note, "n") for line, note in enumerate(notes)]
        if number:
            parts.append(f'<path class="l" d="M{x - 38:g} 65H{x - 3:g}" marker-end="url(#a)"/>')
    for number, rooms in enumerate(rows):
        y = TOP + number * (ROW + GAP)
        each = (WIDTH - 40 - 10 * (len(rooms) - 1)) / len(rooms)
        for index, room in enumerate(rooms):
            x = 20 + index * (each + 10)
            parts += [box(x, y, each, ROW, "r"), text(x + each / 2, y + ROW / 2 + 5, room)]
        if number:
            parts.append(f'<path class="l" d="M{WIDTH / 2:g} {y - GAP + 1:g}V{y - 2:g}" marker-end="url(#a)"/>')
    parts += [text(WIDTH / 2, height - 10, "a room imports only rooms below it, and none beside it", "n"), "</svg>"]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    print(draw(), end="")
