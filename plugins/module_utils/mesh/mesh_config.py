# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A strict check of meshConfig: istiod drops the whole mesh configuration where one field of it has a typo."""

from __future__ import annotations

import re
import typing as t

from ..errors import MeshopsError
from ..reconcile.types import K8sObject
from .schema import ENUMS, TYPES, Checker, camel_case, is_newer, known_field, schema_for

try:
    import yaml
except ImportError:
    pass  # ansible-core itself needs it


def check(mesh_config: t.Mapping[str, t.Any], istio: str | None = None, where: str = "mesh_config") -> None:
    """Checks names and types of every field.

    :param istio: the version that is to be installed: of one that is newer than all tables, unknown fields pass
    :param where: how messages call the mesh configuration
    :raises MeshopsError: something is wrong; the text names every such field and what was probably meant
    """
    checker = Checker(schema_for(istio), strict=not is_newer(istio))
    problems = list(checker.problems(mesh_config, "MeshConfig", where))
    if problems:
        raise MeshopsError("; ".join(map(str, problems)))


def running(config_map: K8sObject) -> dict[str, t.Any]:
    """The mesh configuration that istiod reads: key C(mesh) of its ConfigMap.

    :raises MeshopsError: it isn't YAML
    """
    text = (config_map.get("data") or {}).get("mesh", "")
    try:
        return yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        name = f"{config_map['metadata']['namespace']}/{config_map['metadata']['name']}"
        raise MeshopsError(f"key mesh of ConfigMap {name} isn't YAML: {error}") from error


# -- what runs, compared with what is wanted ----------------------------------

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def differences(wanted: t.Any, running: t.Any, kind: str = "MeshConfig", path: str = "") -> list[str]:
    """Where a running mesh configuration, as istiod shows it, differs from the wanted one; a line a field.

    istiod writes the JSON form of protocol buffers: it leaves out a field that has its type's zero value, which for an
    enum is the first name; it names enums that were given as numbers; and it writes durations in its own way.

    :param kind: type of the value in the table of fields; empty where the table does not know it
    """
    if isinstance(wanted, dict) and isinstance(running, (dict, type(None))):
        lines = []
        for name, value in wanted.items():
            other = (running or {}).get(name, (running or {}).get(camel_case(str(name))))
            lines += differences(value, other, _kind_of(kind, str(name)), f"{path}.{name}" if path else str(name))
        return lines
    if isinstance(wanted, list) and isinstance(running, list):
        return _list_differences(wanted, running, kind.removeprefix("[]"), path)
    if _same(wanted, running, kind):
        return []
    return [f"{path} is not set, expected {wanted!r}" if running is None else f"{path} is {running!r}, not {wanted!r}"]


def _kind_of(kind: str, name: str) -> str:
    if kind.startswith("{}"):
        return kind[2:]
    fields = TYPES.get(kind, {})
    return fields.get(known_field(fields, name, kind) or "", "")


def _list_differences(wanted: list[t.Any], running: list[t.Any], kind: str, path: str) -> list[str]:
    if all(isinstance(item, dict) and "name" in item for item in wanted):
        by_name = {item.get("name"): item for item in running}  # istiod adds providers of its own
        pairs = [(item["name"], item, by_name.get(item["name"])) for item in wanted]
    elif len(wanted) == len(running):
        pairs = [(n, *both) for n, both in enumerate(zip(wanted, running, strict=True))]
    else:
        return [f"{path} has {len(running)} items, not {len(wanted)}"]
    return [line for n, w, r in pairs for line in differences(w, r, kind, f"{path}[{n}]")]


def _same(wanted: t.Any, running: t.Any, kind: str) -> bool:
    """Whether two plain values mean the same to istiod."""
    if wanted == running or (not wanted and not running) or str(wanted) == str(running):
        return True
    if kind in ENUMS:
        return _enum_value(wanted, kind) == _enum_value(running, kind)
    if kind in ("count", "number"):
        return _number(wanted) is not None and _number(wanted) == _number(running or 0)
    if isinstance(wanted, str) and isinstance(running, (str, type(None))):
        seconds = _seconds(wanted)
        return seconds is not None and seconds == (_seconds(running) if running else 0)
    return False


def _enum_value(value: t.Any, kind: str) -> t.Any:
    """The name of an enum's value, which may be given as its number; what is missing is the first."""
    number = 0 if value is None else value
    if isinstance(number, str) and number.isdecimal():
        number = int(number)
    names = ENUMS[kind]
    return names[number] if isinstance(number, int) and 0 <= number < len(names) else value


def _number(value: t.Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _seconds(text: str) -> float | None:
    """A duration in seconds, rounded to a microsecond, or None where the text is not a duration."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|h|m|s)", text)
    if not parts or "".join(n + u for n, u in parts) != text:
        return None
    return round(sum(float(n) * _SECONDS[u] for n, u in parts), 6)
