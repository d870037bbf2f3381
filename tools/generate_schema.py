# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Generates plugins/module_utils/mesh/schema_X_Y.py from Istio's own sources: one table for each supported version.

The mesh configuration comes from the protocol definitions of istio.io/api (C(mesh/v1alpha1), C(networking/v1alpha3)),
the values of an IstioOperator from C(operator/pkg/apis/values_types.proto) of istio.io/istio, and the charts' values
from C(values.yaml) and the templates of the charts there. Both modules are looked for in Go's module cache, in which
the lab keeps them.

    python tools/generate_schema.py            # writes the tables
    python tools/generate_schema.py --check    # exit code 1 where a table is out of date
"""

from __future__ import annotations

import argparse
import pathlib
import re
import subprocess
import sys
import textwrap
import typing as t

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
#: Istio's version -> the version of the Go module istio.io/istio that it is generated from.
MODULES = {"1.30": "v0.0.0-20260423205519-b01690e6db7d", "1.31": "v0.0.0-20260827124520-eed52ebb66ad"}
#: chart -> its folder below manifests/charts
CHARTS = {
    "base": "base",
    "cni": "istio-cni",
    "gateway": "gateway",
    "istiod": "istio-control/istio-discovery",
    "ztunnel": "ztunnel",
}
_MESH_FILES = (
    "mesh/v1alpha1/config.proto",
    "mesh/v1alpha1/proxy.proto",
    "networking/v1alpha3/destination_rule.proto",
    "networking/v1alpha3/virtual_service.proto",
    "networking/v1alpha3/workload_group.proto",
    "networking/v1beta1/proxy_config.proto",
)
_DEFAULTS = "_internal_defaults_do_not_set"

_SCALARS = {"bool": "bool", "string": "string", "bytes": "string", "double": "number", "float": "number"}
_SCALARS |= dict.fromkeys(("int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64"), "count")
_GOOGLE = {
    "Duration": "duration", "Struct": "dict", "Value": "any", "Any": "any", "ListValue": "any", "BoolValue": "bool",
    "StringValue": "string", "DoubleValue": "number", "FloatValue": "number", "Int32Value": "count",
    "Int64Value": "count", "UInt32Value": "count", "UInt64Value": "count",
}  # fmt: skip
#: Fields of values that are typed as anything in the definition, and that Istio reads as these.
_MEANT = {"tag": "tag", "meshConfig": "MeshConfig"}
#: Fields of values that are typed as any object in the definition, and that Istio reads as these of Kubernetes' API.
_KUBERNETES = {
    "affinity": "Affinity", "alwaysInjectSelector": "LabelSelector", "defaultTolerations": "Toleration",
    "lifecycle": "Lifecycle", "neverInjectSelector": "LabelSelector", "seccompProfile": "SeccompProfile",
    "toleration": "Toleration", "tolerations": "Toleration", "topologySpreadConstraints": "TopologySpreadConstraint",
    "volumeMounts": "VolumeMount", "volumes": "Volume",
}  # fmt: skip


class Definitions:
    """Messages and enums of protocol definitions, by their full names without the package."""

    def __init__(self) -> None:
        self.messages: dict[str, dict[str, tuple[str, str]]] = {}
        self.enums: dict[str, list[str]] = {}

    def read(self, text: str) -> None:
        text = re.sub(r"/\*.*?\*/", "", re.sub(r'"[^"\n]*//[^"\n]*"', '""', text), flags=re.S)
        text = re.sub(r"//[^\n]*", "", text)
        tokens = re.findall(r'"[^"]*"|[\w.\-]+|[{}\[\]=;<>,()]', text)
        self._block(tokens, 0, [])

    def add(self, text: str) -> None:
        """Reads a further file; of two packages' messages of one name the first stays."""
        other = Definitions()
        other.read(text)
        self.messages = {**other.messages, **self.messages}
        self.enums = {**other.enums, **self.enums}

    def _block(self, tokens: list[str], at: int, scope: list[str]) -> int:
        while at < len(tokens):
            word = tokens[at]
            if word == "}":
                return at + 1
            if word in ("message", "enum") and tokens[at + 2] == "{":
                name = ".".join([*scope, tokens[at + 1]])
                if word == "message":
                    self.messages[name] = {}
                    at = self._block(tokens, at + 3, [*scope, tokens[at + 1]])
                else:
                    at = self._enum(tokens, at + 3, name)
            elif word == "oneof":
                at = self._block(tokens, at + 3, scope)
            elif word == "service":
                at = self._skip_block(tokens, at)
            else:
                end = self._statement_end(tokens, at)
                self._field(tokens[at:end], scope)
                at = end + 1
        return at

    @staticmethod
    def _skip_block(tokens: list[str], at: int) -> int:
        depth = 0
        while True:
            depth += {"{": 1, "}": -1}.get(tokens[at], 0)
            at += 1
            if depth == 0 and tokens[at - 1] == "}":
                return at

    @staticmethod
    def _statement_end(tokens: list[str], at: int) -> int:
        while tokens[at] != ";":
            at += 1
        return at

    def _enum(self, tokens: list[str], at: int, name: str) -> int:
        values: dict[int, str] = {}
        while tokens[at] != "}":
            end = self._statement_end(tokens, at)
            if tokens[at] not in ("option", "reserved") and tokens[at + 1] == "=":
                values.setdefault(int(tokens[at + 2]), tokens[at])
            at = end + 1
        self.enums[name] = [values[number] for number in sorted(values)]
        return at + 1

    def _field(self, words: list[str], scope: list[str]) -> None:
        if not scope or words[0] in ("option", "reserved", "extensions", "syntax", "package", "import"):
            return
        kind = ""
        if words[0] == "repeated":
            kind, words = "[]", words[1:]
        elif words[0] == "optional":
            words = words[1:]
        if words[0] == "map":
            kind, words = "{}", [words[4], *words[6:]]
        type_name, name = words[0], words[1]
        json_name = re.search(r'json_name = "([^"]+)"', " ".join(words))
        self.messages[".".join(scope)][json_name[1] if json_name else name] = (kind, type_name)

    def resolve(self, type_name: str, scope: str) -> str:
        """The full name of a message or enum, as a field of the message C(scope) names it."""
        parts, known = scope.split("."), {**self.messages, **self.enums}
        for length in range(len(parts), -1, -1):
            name = ".".join([*parts[:length], type_name])
            if name in known:
                return name
        parts = type_name.split(".")
        for start in range(1, len(parts)):
            if ".".join(parts[start:]) in known:
                return ".".join(parts[start:])
        return ""


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def table(
    definitions: Definitions, root: str, name_of: t.Callable[[str], str], spell: t.Callable[[str], list[str]]
) -> list[str]:
    """The lines of all messages that a root message reaches, and of their enums."""
    lines, enums, waiting, seen = [], {}, [root], {root}
    while waiting:
        message = waiting.pop(0)
        fields = []
        for name, (kind, type_name) in definitions.messages[message].items():
            below = _SCALARS.get(type_name) or (
                _GOOGLE[type_name.rpartition(".")[2]] if ".protobuf." in type_name else ""
            )
            if below == "any" and name in _MEANT:
                below = _MEANT[name]
            if below == "dict":
                below = _KUBERNETES.get(name, "dict")
            if not below:
                full = definitions.resolve(type_name, message)
                if full in definitions.enums:
                    enums[name_of(full)] = definitions.enums[full]
                    below = name_of(full)
                elif full == "IntOrString":
                    below = "int_or_string"
                elif full:
                    below = name_of(full)
                    if full not in seen:
                        seen.add(full)
                        waiting.append(full)
                else:  # of Kubernetes' API
                    below = type_name.rpartition(".")[2]
            for spelling in spell(name):
                fields.append(spelling + ("" if kind + below == "string" else f":{kind}{below}"))
        lines.append(f"{name_of(message)}: {' '.join(fields)}".rstrip())
    return lines + [f"={name}: {' '.join(values)}" for name, values in sorted(enums.items())]


def mesh_lines(api: pathlib.Path) -> list[str]:
    definitions = Definitions()
    for file in _MESH_FILES:
        definitions.add((api / file).read_text("utf-8"))

    def name_of(full: str) -> str:
        plain = full.replace(".", "")
        return plain if plain.startswith("Mesh") else f"Mesh{plain}"

    return table(definitions, "MeshConfig", name_of, lambda name: [camel(name)])


def values_lines(istio: pathlib.Path) -> list[str]:
    definitions = Definitions()
    definitions.read((istio / "operator/pkg/apis/values_types.proto").read_text("utf-8"))
    return table(
        definitions, "Values", lambda full: full.replace(".", ""), lambda name: list(dict.fromkeys((name, camel(name))))
    )


def chart_lines(istio: pathlib.Path) -> list[str]:
    """The names that each chart knows: its own, and those below a value that has names of its own."""
    lines = []
    for chart, folder in CHARTS.items():
        base = istio / "manifests/charts" / folder
        values = yaml.safe_load((base / "values.yaml").read_text("utf-8")) or {}
        values = {**values, **(values.pop(_DEFAULTS, None) or {})}
        known: dict[str, set[str]] = {"": set(values)}
        for name, value in values.items():
            if isinstance(value, dict):
                known[name] = set(value)
        for path in sorted(base.rglob("*")):
            if (
                path.is_file()
                and path.suffix in (".yaml", ".tpl", ".txt")
                and path.parent.name in ("templates", "files")
            ):
                for found in re.finditer(r"\.Values\.(\w+)(?:\.(\w+))?", path.read_text("utf-8")):
                    known[""].add(found[1])
                    if found[2]:
                        known.setdefault(found[1], set()).add(found[2])
        schema = base / "values.schema.json"
        if schema.exists():
            properties = yaml.safe_load(schema.read_text("utf-8"))["$defs"]["values"]["properties"]
            known[""] |= set(properties)
            for name, below in properties.items():
                if below.get("properties"):
                    known[name] = known.get(name, set()) | set(below["properties"])
        known[""] -= {_DEFAULTS}
        for name, names in sorted(known.items()):
            if names:
                lines.append(f"{chart}{'.' + name if name else ''}: {' '.join(sorted(names))}")
    return lines


HEAD = '''# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Istio {version} knows of a mesh configuration, of IstioOperator values, and of its charts' values.

Generated by tools/generate_schema.py from istio.io/istio {istio} and istio.io/api
{api}. The format is described in schema.py.
"""

from __future__ import annotations
'''


def wrapped(name: str, lines: list[str]) -> str:
    text = "\n".join(
        textwrap.fill(line, 118, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
        for line in lines
    )
    return f'\n{name} = """\n{text}\n"""\n'


def generated(version: str, modules: pathlib.Path) -> str:
    istio = modules / f"istio.io/istio@{MODULES[version]}"
    requirement = re.search(r"^\s*istio\.io/api (\S+)", (istio / "go.mod").read_text("utf-8"), re.M)
    assert requirement
    api = modules / f"istio.io/api@{requirement[1]}"
    head = HEAD.format(version=version, istio=MODULES[version], api=requirement[1])
    return (
        head
        + wrapped("MESH_CONFIG", mesh_lines(api))
        + wrapped("VALUES", values_lines(istio))
        + wrapped("CHARTS", chart_lines(istio))
    )


def target(version: str) -> pathlib.Path:
    return ROOT / "plugins/module_utils/mesh" / f"schema_{version.replace('.', '_')}.py"


def module_cache() -> pathlib.Path:
    return pathlib.Path(subprocess.check_output(["go", "env", "GOMODCACHE"], text=True).strip())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit with code 1 where a table is out of date")
    parser.add_argument(
        "--modules", type=pathlib.Path, help="Go's module cache (default: as `go env GOMODCACHE` has it)"
    )
    arguments = parser.parse_args()
    modules, stale = arguments.modules or module_cache(), []
    for version in MODULES:
        text, path = generated(version, modules), target(version)
        if not path.exists() or path.read_text("utf-8") != text:
            stale.append(path.name)
            if not arguments.check:
                path.write_text(text, "utf-8")
    print(
        f"out of date: {', '.join(stale)}" if arguments.check and stale else f"written: {', '.join(stale) or 'nothing'}"
    )
    return 1 if arguments.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
