# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The diff that Ansible shows: one entry an object, only what is declared, never a secret."""

from __future__ import annotations

import typing as t

from .identity import Key, declared
from .managed_fields import applied_fields
from .plan import Change
from .server_defaults import same
from .yaml_text import to_yaml


def diff(
    changes: t.Iterable[Change],
    manager: str = "meshops.istio",
    answers: t.Mapping[Key, dict[str, t.Any]] | None = None,
) -> list[dict[str, str]]:
    """An entry for every change but C(unchanged): C(before_header), C(after_header), C(before), C(after).

    Headers say C(Kind namespace/name). An update's C(before) shows of the live object what is declared now,
    and what is removed or becomes another value by the update. Of a Secret only that it changes.

    :param answers: the objects as the server has them after the update, or would have them. Without an
        object's answer everything is removed that was declared by us before, and lists are shown whole.
    """
    return [
        _entry(change, manager, (answers or {}).get(change.key)) for change in changes if change.action != "unchanged"
    ]


def _entry(change: Change, manager: str, answer: dict[str, t.Any] | None) -> dict[str, str]:
    header = change.title
    if change.kind == "Secret":
        texts = {"create": ("", "created"), "update": ("as it was", "changed"), "delete": ("as it was", "")}
        was, becomes = texts[change.action]
        return {"before_header": header, "after_header": header, "before": _line(was), "after": _line(becomes)}
    after = change.after or {}
    before = declared(change.before) if change.before else {}
    if change.action == "update":
        if answer is None:
            before = project(before, after, applied_fields(change.before or {}, manager) or {})
        else:
            before = _until(before, after, declared(answer))
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


#: Stands for what isn't declared, and for what needn't be shown.
_NOTHING: t.Any = object()


def _until(live: t.Any, want: t.Any, answer: t.Any) -> t.Any:
    """Of a live value what is declared now (C(want), or _NOTHING), and what the server's answer has no longer."""
    if same(live, answer):
        return want  # as it is declared: without what the server fills in, and a number as it is spelled there
    if isinstance(live, dict) and isinstance(answer, dict) and (want is _NOTHING or isinstance(want, dict)):
        wanted = {} if want is _NOTHING else want
        parts = {
            name: _until(value, wanted.get(name, _NOTHING), answer[name]) if name in answer else value
            for name, value in live.items()
        }
        shown: t.Any = {name: part for name, part in parts.items() if part is not _NOTHING}
    elif isinstance(live, list) and isinstance(answer, list) and (want is _NOTHING or isinstance(want, list)):
        shown = _items_until(live, [] if want is _NOTHING else want, answer)
    else:
        return live
    return _NOTHING if want is _NOTHING and not shown else shown


def _items_until(live: list[t.Any], want: list[t.Any], answer: list[t.Any]) -> list[t.Any]:
    becomes = _pairs(live, answer, same)
    # Where others have items in a list, it is longer than what is declared.
    declares = _pairs(answer, want, _holds) if len(answer) != len(want) else dict(enumerate(range(len(want))))
    shown = []
    for number, item in enumerate(live):
        if number in becomes:
            place = becomes[number]
            item = _until(item, want[declares[place]] if place in declares else _NOTHING, answer[place])
        if item is not _NOTHING:
            shown.append(item)
    return shown


def _pairs(ones: list[t.Any], others: list[t.Any], alike: t.Callable[[t.Any, t.Any], bool]) -> dict[int, int]:
    """Which item of one list is which of another one: alike, of its name, in its place, or left over."""
    left = dict(enumerate(others))
    pairs: dict[int, int] = {}
    rules: list[t.Callable[[int, int], bool]] = [
        lambda n, m: alike(ones[n], others[m]),
        lambda n, m: _name(ones[n]) is not None and _name(ones[n]) == _name(others[m]),
        lambda n, m: n == m,
        lambda n, m: True,
    ]
    for fits in rules:
        for number in range(len(ones)):
            found = next((m for m in left if number not in pairs and fits(number, m)), None)
            if found is not None:
                pairs[number] = found
                del left[found]
    return pairs


def _name(item: t.Any) -> t.Any:
    return item.get("name") if isinstance(item, dict) else None


def _holds(value: t.Any, part: t.Any) -> bool:
    """Whether a value has all of another one."""
    if isinstance(part, dict):
        return isinstance(value, dict) and all(k in value and _holds(value[k], v) for k, v in part.items())
    if isinstance(part, list):
        return isinstance(value, list) and len(value) == len(part) and all(map(_holds, value, part))
    return same(value, part)
