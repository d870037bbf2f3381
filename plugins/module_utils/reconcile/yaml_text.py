# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Objects as the YAML that diffs show."""

from __future__ import annotations

import functools
import typing as t

try:
    import yaml
except ImportError:
    yaml = None


def to_yaml(value: t.Any) -> str:
    """YAML as a reader expects it: apiVersion, kind and metadata first; empty for nothing."""
    if not value:
        return ""
    first = [k for k in ("apiVersion", "kind", "metadata") if k in value]
    ordered = {k: value[k] for k in [*first, *sorted(k for k in value if k not in first)]}
    return yaml.dump(_sorted(ordered, top=True), Dumper=_dumper(), sort_keys=False, default_flow_style=False)


@functools.cache
def _dumper() -> t.Any:
    """A dumper that writes text of several lines as a block, as in a ConfigMap with a file."""

    base: t.Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    blocks: t.Any = type("Blocks", (base,), {})

    def text(dumper: t.Any, value: str) -> t.Any:
        style = "|" if "\n" in value.strip("\n") else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    blocks.add_representer(str, text)
    return blocks


def _sorted(value: t.Any, *, top: bool = False) -> t.Any:
    if isinstance(value, dict):
        return {k: _sorted(value[k]) for k in (value if top else sorted(value))}
    if isinstance(value, list):
        return [_sorted(v) for v in value]
    return value
