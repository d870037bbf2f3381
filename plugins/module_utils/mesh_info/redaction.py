# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Takes secrets out of objects and texts before they leave a cluster. Rather too much than too little."""

from __future__ import annotations

import re
import typing as t

REMOVED = "(removed)"
_SENSITIVE = re.compile(
    r"(?i)(passwor[dt]|passwd|passphrase|secret|token|api[-_]?key|private[-_]?key|credentials?|auth)$"
)
_AUTHORIZATION = re.compile(r"(?i)^(proxy-)?authorization$|^(set-)?cookie$")
#: How Envoy's configuration holds a secret below such a field.
_INLINE = ("inline_string", "inline_bytes", "inlineString", "inlineBytes")
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_TEXTS = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S), REMOVED),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"), REMOVED),
    (re.compile(r"(?i)\b(bearer|basic)(\s+|%20)[\w.~+/=-]{6,}"), rf"\1 {REMOVED}"),
    (re.compile(r"(://[^\s/:@]*:)[^\s/@]+@"), rf"\1{REMOVED}@"),
    (
        re.compile(
            r"(?i)([\w-]*(?:password|passwd|passphrase|secret|token|api[-_]?key|private[-_]?key)[\"']?\s*[=:]\s*)"
            r"(\"[^\"]*\"|'[^']*'|[^\s\"',;&}]+)"
        ),
        rf"\1{REMOVED}",
    ),
)


def redacted_text(text: str) -> str:
    """A text without private keys, tokens, passwords in URLs, and values that follow a name such as C(password=)."""
    for pattern, replacement in _TEXTS:
        text = pattern.sub(replacement, text)
    return text


def redacted_object(obj: t.Mapping[str, t.Any]) -> dict:
    """An object without secrets, and without what only servers read. Of a Secret the names of its data remain."""
    shown = {k: v for k, v in obj.items() if k not in ("data", "stringData") or obj.get("kind") != "Secret"}
    meta = {k: v for k, v in obj["metadata"].items() if k != "managedFields"}
    if _LAST_APPLIED in (meta.get("annotations") or {}):
        meta["annotations"] = {k: v for k, v in meta["annotations"].items() if k != _LAST_APPLIED}
    shown = _redacted({**shown, "metadata": meta}, inside=False)
    if obj.get("kind") == "Secret":
        names = sorted({**(obj.get("data") or {}), **(obj.get("stringData") or {})})
        shown["data"] = dict.fromkeys(names, REMOVED)
    return shown


def _redacted(value: t.Any, inside: bool) -> t.Any:
    if isinstance(value, dict):
        if isinstance(value.get("name"), str) and "value" in value and _names_a_secret(value["name"]):
            value = {**value, "value": REMOVED}  # an environment variable, or a header
        return {k: _field(k, v, inside) for k, v in value.items()}
    if isinstance(value, list):
        return [_redacted(item, inside) for item in value]
    return redacted_text(value) if isinstance(value, str) else value


def _field(name: str, value: t.Any, inside: bool) -> t.Any:
    secret = _names_a_secret(name)
    if (
        isinstance(value, (str, int, float))
        and not isinstance(value, bool)
        and (secret or (inside and name in _INLINE))
    ):
        return REMOVED
    return _redacted(value, inside or secret)


def _names_a_secret(name: str) -> bool:
    return bool(_SENSITIVE.search(name) or _AUTHORIZATION.match(name))
