# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The diff that Ansible shows: one entry an object, only what is declared, never a secret."""

from __future__ import annotations

import typing as t

from .identity import declared
from .managed_fields import applied_fields
from .plan import Change

try:
    import yaml
except ImportError:
    yaml = None  # type: ignore[assignment]


def diff(changes: t.Iterable[Change], manager: str = "meshops.istio") -> list[dict[str, str]]:
    """An entry for every change but C(unchanged): C(before_header), C(after_header), C(before), C(after).

    Headers say C(Kind namespace/name). An update's C(before) shows of the live object what is declared now,
    and what was declared by us before. Of a Secret only that it changes.
    """
    return [_entry(change, manager) for change in changes if change.action != "unchanged"]


def _entry(change: Change, manager: str) -> dict[str, str]:
    header = change.title
    if change.kind == "Secret":
        texts = {"create": ("", "created"), "update": ("as it was", "changed"), "delete": ("as it was", "")}
        before, after = texts[change.action]
        return {"before_header": header, "after_header": header, "before": _line(before), "after": _line(after)}
    after = change.after or {}
    before = declared(change.before) if change.before else {}
    if change.action == "update":
        ours = applied_fields(change.before or {}, manager) or {}
        before = project(before, after, ours)
    return {
        "before_header": header,
        "after_header": header,
        "before": to_yaml(before),
        "after": to_yaml(after),
    }


def _line(text: str) -> str:
    return f"{text}\n" if text else ""


def project(live: t.Any, want: t.Any, owned: t.Mapping[str, t.Any]) -> t.Any:
    """Of a live value what is declared now (C(want)) or is owned by us (C(owned), a FieldsV1 tree)."""
    if not isinstance(live, dict) or not isinstance(want, dict):
        return live
    shown = {}
    for name, value in live.items():
        node = owned.get("f:" + name)
        if name in want:
            shown[name] = project(value, want[name], node or {})
        elif node is not None:
            shown[name] = _owned(value, node)
    return shown


def _owned(value: t.Any, node: t.Mapping[str, t.Any]) -> t.Any:
    if not isinstance(value, dict) or not any(k.startswith("f:") for k in node):
        return value
    return {k: _owned(v, node["f:" + k]) for k, v in value.items() if "f:" + k in node}


def to_yaml(value: t.Any) -> str:
    """YAML as a reader expects it: apiVersion, kind and metadata first; empty for nothing."""
    if not value:
        return ""
    first = [k for k in ("apiVersion", "kind", "metadata") if k in value]
    ordered = {k: value[k] for k in [*first, *sorted(k for k in value if k not in first)]}
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return yaml.dump(_sorted(ordered, top=True), Dumper=dumper, sort_keys=False, default_flow_style=False)


def _sorted(value: t.Any, top: bool = False) -> t.Any:
    if isinstance(value, dict):
        return {k: _sorted(value[k]) for k in (value if top else sorted(value))}
    if isinstance(value, list):
        return [_sorted(v) for v in value]
    return value
