# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A strict check of meshConfig: istiod drops the whole mesh configuration where one field of it has a typo."""

from __future__ import annotations

import difflib
import re
import typing as t

from ..errors import MeshopsError
from .mesh_config_fields import ENUMS, ISTIO, MESSAGES

try:
    import yaml
except ImportError:
    pass  # ansible-core itself needs it

_DURATION = re.compile(r"-?(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$")


class BadMeshConfig(MeshopsError):
    """A mesh configuration that istiod wouldn't take as it is meant; the text names each wrong field."""


def _read(table: str) -> dict[str, list[str]]:
    lines: dict[str, list[str]] = {}
    words: list[str] = []
    for line in table.strip("\n").splitlines():
        if not line.startswith(" "):
            words = []
            name, *rest = line.split()
            lines[name] = words
        else:
            rest = line.split()
        words += rest
    return lines


_FIELDS = {name: dict(f.split(":", 1) for f in fields) for name, fields in _read(MESSAGES).items()}
_VALUES = _read(ENUMS)


def check(mesh_config: t.Mapping[str, t.Any], istio: str | None = None, where: str = "mesh_config") -> None:
    """Checks names and types of every field.

    :param istio: the version that is to be installed: of a newer one than this table is from, unknown fields pass
    :param where: how messages call the mesh configuration
    :raises BadMeshConfig: something is wrong; the text names every such field and what was probably meant
    """
    found: list[str] = []
    _message(mesh_config, "MeshConfig", where, found, strict=not _newer(istio))
    if found:
        raise BadMeshConfig("; ".join(found))


def _newer(istio: str | None) -> bool:
    numbers = re.match(r"v?(\d+)\.(\d+)", istio or "")
    return bool(numbers) and (int(numbers[1]), int(numbers[2])) > ISTIO


def _message(value: t.Any, message: str, path: str, found: list[str], strict: bool) -> None:
    if not isinstance(value, dict):
        found.append(f"{path} must be a dict with {_some(_FIELDS[message])}, not {value!r}")
        return
    for name, item in value.items():
        field = camel(str(name)) if str(name) not in _FIELDS[message] else str(name)
        kind = _FIELDS[message].get(field)
        if kind is not None:
            _field(item, kind, f"{path}.{name}", found, strict)
        elif strict:
            found.append(f"{path} has no field {name!r}{_hint(str(name), _FIELDS[message])}")


def _field(value: t.Any, kind: str, path: str, found: list[str], strict: bool) -> None:
    if value is None:
        return
    if kind.startswith("*"):
        if not isinstance(value, list):
            found.append(f"{path} must be a list, not {value!r}")
            return
        for number, item in enumerate(value):
            _field(item, kind[1:], f"{path}[{number}]", found, strict)
    elif kind.startswith("%"):
        if not isinstance(value, dict):
            found.append(f"{path} must be a dict, not {value!r}")
            return
        for name, item in value.items():
            _field(item, kind[1:], f"{path}.{name}", found, strict)
    elif kind in _FIELDS:
        _message(value, kind, path, found, strict)
    elif kind in _VALUES:
        known = f": it is one of {', '.join(_VALUES[kind])}"
        if isinstance(value, bool):  # what YAML makes of a bare OFF
            found.append(f"{path} can't be {value!r}{known}; put it in quotes")
        elif not isinstance(value, (str, int)) or (strict and isinstance(value, str) and value not in _VALUES[kind]):
            found.append(f"{path} can't be {value!r}{_hint(str(value), _VALUES[kind]) or known}")
    elif not _fits(value, kind):
        found.append(f"{path} must be {_SAID[kind]}, not {value!r}{_quote(value, kind)}")


_SAID = {
    "string": "a string",
    "bool": "true or false",
    "int": "a whole number",
    "number": "a number",
    "duration": "a duration such as 5s",
}


def _fits(value: t.Any, kind: str) -> bool:
    if kind == "any":
        return True
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "string":
        return isinstance(value, str)
    if kind == "duration":
        return isinstance(value, str) and bool(_DURATION.match(value))
    if isinstance(value, str):  # numbers may be quoted in the JSON form of protocol buffers
        return bool(re.fullmatch(r"-?\d+" if kind == "int" else r"-?\d+(\.\d+)?", value))
    return not isinstance(value, bool) and isinstance(value, int if kind == "int" else (int, float))


def _quote(value: t.Any, kind: str) -> str:
    return ": put it in quotes" if kind == "string" and isinstance(value, (bool, int, float)) else ""


def camel(name: str) -> str:
    """A field's name as JSON writes it: C(access_log_file) -> C(accessLogFile)."""
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def _hint(name: str, known: t.Iterable[str]) -> str:
    plain = {k.lower(): k for k in known}
    near = difflib.get_close_matches(name.lower(), plain, 1, 0.6)
    return f" (did you mean {plain[near[0]]}?)" if near else ""


def _some(fields: t.Mapping[str, str]) -> str:
    names = list(fields)
    return "fields " + ", ".join(names[:4]) + (" and more" if len(names) > 4 else "")


def running(config_map: t.Mapping[str, t.Any]) -> dict:
    """The mesh configuration that istiod reads: key C(mesh) of its ConfigMap.

    :raises BadMeshConfig: it isn't YAML
    """
    text = (config_map.get("data") or {}).get("mesh", "")
    try:
        return yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        name = f"{config_map['metadata']['namespace']}/{config_map['metadata']['name']}"
        raise BadMeshConfig(f"key mesh of ConfigMap {name} isn't YAML: {error}") from error


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
            other = (running or {}).get(name, (running or {}).get(camel(str(name))))
            lines += differences(value, other, _kind_of(kind, str(name)), f"{path}.{name}" if path else str(name))
        return lines
    if isinstance(wanted, list) and isinstance(running, list):
        return _list_differences(wanted, running, kind.removeprefix("*"), path)
    if _same(wanted, running, kind):
        return []
    return [f"{path} is not set, expected {wanted!r}" if running is None else f"{path} is {running!r}, not {wanted!r}"]


def _kind_of(kind: str, name: str) -> str:
    if kind.startswith("%"):
        return kind[1:]
    fields = _FIELDS.get(kind, {})
    return fields.get(name) or fields.get(camel(name)) or ""


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
    if kind in _VALUES:
        return _enum_value(wanted, kind) == _enum_value(running, kind)
    if kind in ("int", "number"):
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
    names = _VALUES[kind]
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
