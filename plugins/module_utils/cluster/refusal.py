# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why an API server refuses an object, in words that name the field and the remedy. Pure.

A server speaks in two ways. What doesn't fit the schema's types it tells in the text of one message, a line a
field; what breaks a rule of the schema it tells as causes.
Sources: sigs.k8s.io/structured-merge-diff, typed/validate.go; k8s.io/apimachinery, util/validation/field/errors.go.
"""

from __future__ import annotations

import base64
import json
import re
import typing as t

from ..reconcile.schema import Schema

_TYPED = "failed to create typed patch object"
_LINE = re.compile(r"^\s*\.(?P<path>.+?): (?P<problem>.+)$", re.M)
_STRICT = re.compile(r'unknown field "(?P<path>[^"]+)"')
_STEP = re.compile(r'\.?([^.\[\]]+)|\[(\d+)\]|\[(\w+)="([^"]*)"\]')
_KEYLESS = re.compile(r'element (\d+): associative list with keys has an element that omits .*?"(\w+)"')
_TWICE = re.compile(r"duplicate entries for key \[(.*)\]")
_EXPECTED = re.compile(r"expected (numeric|string|boolean|list|map)\b")
_GOT = re.compile(r", got .*")
_REMOVED = "(removed)"
_TYPES = {"numeric": "a number", "string": "a string", "boolean": "true or false", "list": "a list", "map": "a mapping"}
_REMEDIES = {
    "numeric": "write it without quotes, or with `| int` where it comes from a template",
    "boolean": "write it without quotes, or with `| bool` where it comes from a template",
    "list": "write each item on a line of its own that begins with a dash",
    "map": "write its fields below it, without dashes",
}
_TEMPLATE = ", or with `| string` where it comes from a template"
#: What servers put before the words that matter.
_LEAD = re.compile(r"""^Invalid value: (?:"[^"]*"|[^\s:"]+): |^\S+ in body |.* evaluating rule: """)
_DURATION = re.compile(r"type conversion error from 'string' to 'google.protobuf.Duration'|must be a valid duration")
_WEBHOOK = re.compile(
    r'^admission webhook "(?P<name>[^"]*istio\.io)" denied the request: (?:configuration is invalid: )?'
)
_SILENT = re.compile(r'failed calling webhook "(?P<name>[^"]*)": (?P<why>.*)', re.S)
_COUNT = re.compile(r"^\d+ errors? occurred:\s*")
#: A cause that only says that other causes have to be dealt with first.
_UNCHECKED = "some validation rules were not checked"


def sentences(
    message: str,
    causes: t.Iterable[t.Mapping[str, str]],
    obj: t.Mapping[str, t.Any],
    schema: t.Callable[[], Schema | None],
) -> list[str]:
    """One sentence for each field that the server complains of; none where the message is about something else.

    Of a Secret no value is reported.

    :param message: the server's message
    :param causes: the causes of its Status
    :param obj: the object that was sent
    :param schema: gives the schema of its kind; called only where a field is unknown
    """
    if obj.get("kind") == "Secret":
        causes = [{**cause, "message": hushed(cause.get("message", ""), obj)} for cause in causes]
        obj, message = {}, _GOT.sub("", message)
    if _TYPED in message:
        found = [(m["path"], m["problem"]) for m in _LINE.finditer(message.partition("): ")[2])]
        return [_misfit(path, problem, obj, schema) for path, problem in found]
    webhook = _WEBHOOK.match(message)
    if webhook:
        return [_denied(message[webhook.end() :], obj)]
    if silent := _SILENT.search(message):
        return [_silent(silent["name"], silent["why"])]
    unknown = [m["path"] for m in _STRICT.finditer(message)]
    if unknown:
        return [_unknown(path, schema()) for path in dict.fromkeys(unknown)]
    return [_broken_rule(cause, obj) for cause in causes if _UNCHECKED not in cause.get("message", "")]


def hushed(text: str, *objs: t.Mapping[str, t.Any] | None) -> str:
    """A server's message without the values of Secrets, whether it tells them itself or repeats the words of a webhook.

    :param objs: the object as it is and as it was sent; of anything but a Secret all may be reported
    :returns: the text, without what the server got, and with C((removed)) for each value that it repeats
    """
    secrets = [obj for obj in objs if obj and obj.get("kind") == "Secret"]
    if not secrets:
        return text
    text = _GOT.sub("", text)
    values = [
        value for obj in secrets for field in ("data", "stringData") for _path, value in _leaves(obj.get(field), "")
    ]
    words = {word for value in values if value is not None for word in _ways_to_write(str(value))}
    for word in sorted(words, key=len, reverse=True):
        whole = r"(?<!\w){}(?!\w)" if len(word) < 8 else "{}"  # a short one may be in a word that tells nothing
        text = re.sub(whole.format(re.escape(word)), _REMOVED, text)
    return text


def _ways_to_write(value: str) -> t.Iterator[str]:
    """How a Secret's value may stand in a message; what is shorter than a password is left in, as it is any word."""
    texts = [value]
    try:
        texts.append(base64.b64decode("".join(value.split()), validate=True).decode())
    except ValueError:
        pass
    for text in texts:
        for part in (text, text.strip(), *text.splitlines()):
            for written in (part, json.dumps(part)[1:-1], json.dumps(part, ensure_ascii=False)[1:-1]):
                if len(written) > 3:
                    yield written


def unserved(what: str, api_version: str, kind: str, serving: str | None = None) -> str:
    """Says that a server doesn't serve a kind, and what to do.

    :param what: the object, or the objects, in words
    :param serving: the apiVersion in which it serves the kind, where it does
    """
    group = api_version.rpartition("/")[0]
    if serving:
        remedy = f"use apiVersion {serving}, which it serves"
    elif group.endswith("istio.io"):
        remedy = "install Istio's CustomResourceDefinitions first (the role control_plane, or the chart base)"
    elif group == "gateway.networking.k8s.io":
        remedy = "install the Gateway API's CustomResourceDefinitions first"
    elif group == "route.openshift.io":
        remedy = "only OpenShift has Routes; for a gateway of another cluster leave out openshift_route"
    else:
        remedy = "check apiVersion and kind, or declare the CustomResourceDefinition among the objects"
    return f"{what}: the API server does not serve {kind} in {api_version}: {remedy}"


def _misfit(path: str, problem: str, obj: t.Mapping[str, t.Any], schema: t.Callable[[], Schema | None]) -> str:
    if problem == "field not declared in schema":
        return _unknown(path, schema())
    if keyless := _KEYLESS.match(problem):
        return f"{path}[{keyless[1]}].{keyless[2]} is missing: it tells the items of this list apart"
    if twice := _TWICE.match(problem):
        return f"{path}: two items have {twice[1]}: it must tell the items of this list apart"
    expected = _EXPECTED.match(problem)
    if not expected:
        return f"{path}: {problem}"
    value = value_at(obj, path)
    given = f", not {_brief(value)}" if value is not None else ""
    remedy = _REMEDIES.get(expected[1]) or _as_string(path, value)
    return f"{path} must be {_TYPES[expected[1]]}{given}: {remedy}"


def _as_string(path: str, value: t.Any) -> str:
    if isinstance(value, bool):
        return f'write "{str(value).lower()}"{_TEMPLATE}'
    if value is None:
        return "write it in quotes"
    if not isinstance(value, (int, float)):
        return "write a single value"
    text = f'write "{value}"' if "abels" in path else f'write "{value}", or "{value}s" where it is a duration'
    return text + _TEMPLATE


def _unknown(path: str, schema: Schema | None) -> str:
    said = f"unknown field {path}"
    names = [step for step in steps_of(path) if isinstance(step, str)]
    holder = schema.at(names[:-1]) if schema else None
    if schema is None or holder is None:
        return f"{said}: leave it out"
    near = holder.nearest(names[-1])
    if near:
        return f"{said}: did you mean {near}?"
    for length in range(len(names) - 2, 0, -1):
        above = schema.at(names[:length])
        if above is not None and names[-1] in above.fields:
            return f"{said}: it belongs to {'.'.join(names[:length])}"
    known = ", ".join(sorted(holder.fields))
    return f"{said}: known there: {known}" if known else f"{said}: leave it out"


def _broken_rule(cause: t.Mapping[str, str], obj: t.Mapping[str, t.Any]) -> str:
    path, text = cause.get("field") or "", cause.get("message", "")
    value = value_at(obj, path)
    if _DURATION.search(text):
        given = f", not {_brief(value)}" if value is not None else ""
        return f"{path} must be a duration such as 5s or 1h30m{given}"
    if text.startswith("Required value"):
        more = text.partition(": ")[2]
        return f"{path} is missing: {more}" if more else f"{path} is missing, and it is required"
    while lead := _LEAD.match(text):
        text = text[lead.end() :]
    shown = f" (it is {_brief(value)})" if isinstance(value, (str, int, float, bool)) and str(value) not in text else ""
    return f"{path or 'the object'}: {text}{shown}"


def _denied(text: str, obj: t.Mapping[str, t.Any]) -> str:
    """What istiod's validation says. It names no paths: they are found where a value or a field's name is reported."""
    lines = [line.lstrip("\t* ") for line in _COUNT.sub("", text).strip().splitlines() if line.strip()]
    path = _meant(text, obj.get("spec"))
    return f"istiod refuses it: {'; '.join(lines)}" + (f" (see {path})" if path else "")


def _silent(webhook: str, why: str) -> str:
    remedy = "see that its service runs, or remove the webhook configuration that an earlier installation left behind"
    if webhook.endswith("istio.io"):
        remedy = (
            "see that istiod runs and is ready; where that control plane is gone, remove its"
            " ValidatingWebhookConfiguration"
        )
    return f"the admission webhook {webhook} does not answer: {remedy} ({why})"


def _meant(text: str, spec: t.Any) -> str | None:
    """The path of the one leaf whose value is in a text, else of the one field whose name is."""
    leaves = list(_leaves(spec, "spec"))
    values = [(path, str(value)) for path, value in leaves if not isinstance(value, bool)]
    names = [(path, re.sub(r"\[\d+\]$", "", path.rpartition(".")[2])) for path, _value in leaves]
    for words in (
        [(path, f'"{value}"') for path, value in values if value],
        [(path, value) for path, value in values if len(value) > 1],
        [(path, name) for path, name in names if len(name) > 3],
    ):
        told = [path for path, word in words if re.search(rf"(?<![\w./*-]){re.escape(word)}(?![\w./*-])", text)]
        if len(told) == 1:
            return told[0]
    return None


def _leaves(value: t.Any, path: str) -> t.Iterator[tuple[str, t.Any]]:
    if isinstance(value, dict):
        for name, below in value.items():
            yield from _leaves(below, f"{path}.{name}")
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from _leaves(below, f"{path}[{number}]")
    else:
        yield path, value


def steps_of(path: str) -> list[str | int | tuple[str, str]]:
    """The steps of a path as servers write it: field names, list positions, and keys of list items."""
    return [name or (int(position) if position else (key, value)) for name, position, key, value in _STEP.findall(path)]


def value_at(obj: t.Any, path: str) -> t.Any:
    """The value at a path, or None."""
    for step in steps_of(path):
        if isinstance(step, tuple):
            items = obj if isinstance(obj, list) else []
            obj = next((i for i in items if isinstance(i, dict) and str(i.get(step[0])) == step[1]), None)
        elif isinstance(step, int):
            obj = obj[step] if isinstance(obj, list) and step < len(obj) else None
        else:
            obj = obj.get(step) if isinstance(obj, dict) else None
    return obj


def _brief(value: t.Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
