# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether writing an object would change anything: what is declared against what is live.

Two questions with two answers:

- C(apply_differences): would server-side apply under our field manager change the object? That is so where
  a declared value isn't the live one, where a declared field isn't ours yet, and where a field is ours that
  is no longer declared. Our entry in managedFields tells lists and maps with keys from atomic ones, so that
  no schema is needed, save for one doubt: an atomic value may hold more than was declared because the
  server filled in defaults. Then, and only then, the schema is read.
- C(value_differences): does the live object have every declared value, and no other key in what selects? Who wrote it
  doesn't matter.

Both give a list of sentences, one a field, and an empty list where nothing differs.
Source: sigs.k8s.io/structured-merge-diff (merge/update.go, typed/tofieldset.go).
"""

from __future__ import annotations

import json
import typing as t

from .managed_fields import applied_entry, step_text
from .server_defaults import (
    EXACT_ITEMS,
    EXACT_MAPS,
    Path,
    SchemaSource,
    Server,
    empty,
    field_of,
    is_built_in,
    is_item,
    same,
)
from .types import K8sObject

#: Left out of the comparison: they name the object.
_IDENTITY = ("apiVersion", "kind")
_NAME = ("name", "namespace")


def lacks_empty_list(desired: K8sObject, applied: K8sObject) -> bool:
    """Whether an object that was just applied lacks a list that is declared without items.

    When the last item of a keyed list is removed from a custom resource, the API server removes the list, or the whole
    object around it, and sets it when the same is applied once more (Kubernetes 1.34, ServiceEntry C(ports: [])).
    """
    return not is_built_in(desired["apiVersion"]) and _lacks_empty_list(desired, applied)


def _lacks_empty_list(want: t.Any, have: t.Any) -> bool:
    if want == []:
        return have is None
    if not isinstance(want, dict) or not (have is None or isinstance(have, dict)):
        return False
    return any(_lacks_empty_list(value, (have or {}).get(name)) for name, value in want.items())


def apply_differences(
    desired: t.Mapping[str, t.Any],
    live: dict[str, t.Any],
    manager: str,
    schemas: SchemaSource | None = None,
) -> list[str]:
    """What server-side apply of C(desired) under C(manager) would change in C(live); empty: nothing.

    :param desired: as C(identity.declared) gives it
    :param live: with its managedFields
    :param schemas: where to get the kind's schema from in case of doubt; without it, doubt counts as difference
    """
    entry: t.Mapping[str, t.Any] | None = applied_entry(live, manager)
    if entry is None:
        entry = {"apiVersion": desired["apiVersion"]}  # none is kept for what declares no more than a name
        adopted = [f"it was not applied by {manager} before"]
    else:
        adopted = []
    if entry["apiVersion"] != desired["apiVersion"]:
        return [f"it was applied as {entry['apiVersion']} before"]
    comparison = _Comparison(desired, schemas)
    fields = entry.get("fieldsV1") or {}
    for name, value in desired.items():
        if name in _IDENTITY:
            continue
        if name == "metadata":
            value = {k: v for k, v in value.items() if k not in _NAME}
            comparison.fields(value, live["metadata"], fields.get("f:metadata") or {}, ("metadata",))
        else:
            comparison.field(name, value, live, fields, ())
    for name in fields:
        if name != "." and name[2:] not in desired:
            comparison.dropped(name, fields[name], ())
    return adopted + comparison.found if comparison.found else []


def value_differences(
    desired: t.Mapping[str, t.Any],
    live: t.Mapping[str, t.Any],
    schemas: SchemaSource | None = None,
) -> list[str]:
    """What C(desired) declares that C(live) doesn't have; empty: it has all of it. See the module's text."""
    comparison = _Comparison(desired, schemas)
    for name, value in desired.items():
        if name not in _IDENTITY:
            comparison.covered(value, live.get(name), (name,))
    return comparison.found


class _Comparison:
    def __init__(self, desired: t.Mapping[str, t.Any], schemas: SchemaSource | None) -> None:
        self.found: list[str] = []
        self._server = Server(desired, schemas)

    def _report(self, path: Path, what: str) -> None:
        self.found.append(f"{_text(path)} {what}")

    # -- by ownership -----------------------------------------------------

    def fields(self, want: dict[str, t.Any], have: dict[str, t.Any], owned: dict[str, t.Any], path: Path) -> None:
        for name, value in want.items():
            self.field(name, value, have, owned, path)
        for name, node in owned.items():
            if name != "." and name[2:] not in want:
                self.dropped(name, node, path)

    def dropped(self, step: str, node: dict[str, t.Any], path: Path) -> None:
        self._report(path + (step,), "is no longer declared")

    def field(self, name: str, want: t.Any, have: dict[str, t.Any], owned: dict[str, t.Any], path: Path) -> None:
        node = owned.get("f:" + name)
        here = path + (name,)
        if node is None:
            if not self._leaves_no_trace(want, have.get(name), here):
                self._report(here, "is not ours yet" if name in have else "is not set")
        elif name not in have:
            if not (self._server.built_in and empty(want)):
                self._report(here, "is not set")
        else:
            self._value(want, have[name], node, here)

    def _value(self, want: t.Any, have: t.Any, node: dict[str, t.Any], path: Path) -> None:
        if not node or node.keys() == {"."}:
            if not same(want, have) and not self._server.same(want, have, path):
                self._report(path, "differs")
            elif want and isinstance(want, dict) and not self._server.atomic(path):
                self._report(path, "was declared empty before")
        elif isinstance(want, dict) and isinstance(have, dict):
            self.fields(want, have, node, path)
        elif isinstance(want, list) and isinstance(have, list):
            self._keyed_list(want, have, node, path)
        else:
            self._report(path, "differs")

    def _leaves_no_trace(self, want: t.Any, have: t.Any, path: Path) -> bool:
        """Whether a field leaves no entry in managedFields: a keyed list without items, or an object of such lists."""
        if want and isinstance(want, dict) and isinstance(have, dict):
            below = (self._leaves_no_trace(value, have.get(name), path + (name,)) for name, value in want.items())
            return all(below) and not self._server.atomic(path)
        if want != [] or (have is None and not self._server.built_in):
            return False
        schema = self._server.schema(path)
        return schema is not None and schema.list_type != "atomic"

    def _keyed_list(self, want: list[t.Any], have: list[t.Any], node: dict[str, t.Any], path: Path) -> None:
        unclaimed = {step: child for step, child in node.items() if step != "."}
        order = []
        for item in want:
            step = _claim(item, unclaimed)
            if step is None:
                self._report(path, "has an item that is not ours yet")
                continue
            child = unclaimed.pop(step)
            position = _position(step, have, item)
            if position is None:
                self._report(path + (step,), "is not set")
                continue
            order.append(position)
            if isinstance(item, dict):
                self._value(item, have[position], child, path + (step,))
        for step in unclaimed:
            self._report(path + (step,), "is no longer declared")
        if order != sorted(order):
            self._report(path, "is in another order")

    # -- by value ---------------------------------------------------------

    def covered(self, want: t.Any, have: t.Any, path: Path) -> None:
        if isinstance(want, dict) and isinstance(have, dict):
            for name, value in want.items():
                self.covered(value, have.get(name), path + (name,))
            if self._server.built_in and (
                path[-1] in EXACT_MAPS or (is_item(path[-1]) and field_of(path) in EXACT_ITEMS)
            ):
                for name in sorted(have.keys() - want.keys()):
                    self._report(path + (name,), "was added")
        elif isinstance(want, list) and isinstance(have, list) and want and have:
            self._covered_list(want, have, path)
        elif not same(want, have) and not self._server.equivalent(want, have, path):
            if have is not None:
                self._report(path, "differs")
            elif not self._server.drops(want, path):
                self._report(path, "is not set")

    def _covered_list(self, want: list[t.Any], have: list[t.Any], path: Path) -> None:
        if all(isinstance(i, dict) and "name" in i for i in (*want, *have)):
            by_name = {i["name"]: i for i in have}
            for item in want:
                step = path + (f"k:{json.dumps({'name': item['name']})}",)
                if item["name"] in by_name:
                    self.covered(item, by_name[item["name"]], step)
                else:
                    self._report(step, "is not set")
        elif len(want) != len(have):
            self._report(path, "differs")
        else:
            for number, (item, other) in enumerate(zip(want, have, strict=True)):
                self.covered(item, other, path + (f"i:{number}",))


def _claim(item: t.Any, steps: dict[str, t.Any]) -> str | None:
    """The managedFields step of a list's item, or None."""
    if not isinstance(item, dict):
        wanted = "v:" + json.dumps(item, separators=(",", ":"), ensure_ascii=False)
        return wanted if wanted in steps else next((s for s in steps if s[:2] == "v:" and _is(s[2:], item)), None)
    for step in steps:
        if step.startswith("k:") and all(item.get(k, v) == v for k, v in json.loads(step[2:]).items()):
            return step
    return None


def _is(text: str, value: t.Any) -> bool:
    return same(json.loads(text), value)


def _position(step: str, have: list[t.Any], item: t.Any) -> int | None:
    if isinstance(item, dict):
        keys = json.loads(step[2:])
        return next((n for n, h in enumerate(have) if all(h.get(k, v) == v for k, v in keys.items())), None)
    return next((n for n, h in enumerate(have) if same(item, h)), None)


def _text(path: Path) -> str:
    text = ""
    for step in path:
        text += step_text(step if step[:2] in ("f:", "k:", "v:", "i:") else f"f:{step}", text)
    return text
