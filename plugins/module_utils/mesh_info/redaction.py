# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Removes secrets from objects and texts before they leave a cluster: rather too much than too little.

Values leave only where they are known to hold no secret. Environment variables and container arguments of workloads are
users' own: of a variable its name is shown, and its value only where it is one of Istio's own that hold none. Plugin
configuration, inline code and JWKS never leave.
"""

from __future__ import annotations

import re
import typing as t

from ..reconcile.types import K8sObject

REMOVED = "(removed)"
#: Words that name a secret, wherever they are in a name: C(AWS_SECRET_ACCESS_KEY), C(PASSWORD_1), C(dbPass).
_WORDS = (
    r"passwor[dt]|passwd|passphrase|pass|pwd|secret|token|pat|api[-_]?key|apikey|access[-_]?key|private[-_]?key"
    r"|signing[-_]?key|encryption[-_]?key|key[-_]?base|credentials?|creds?|auth|jwt|cookie|session|salt|signature"
)
#: A name is cut at C(_), C(-), C(.) and at changes of case before its words are compared.
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SENSITIVE = re.compile(rf"(?i)(^|[-_.]|\d)({_WORDS})s?($|[-_.]|\d)")
_SENSITIVE_ANYWHERE = re.compile(
    r"(?i)passwor[dt]|passwd|passphrase|secret|token|api[-_]?key|private[-_]?key|credential"
)
_AUTHORIZATION = re.compile(r"(?i)^(proxy-)?authorization$|^(set-)?cookie$")
#: Fields of the Kubernetes and Istio APIs whose names hold such a word and whose values name an object or a setting.
_NAMES_OF_OBJECTS = frozenset(
    {
        "credentialName",
        "credentialNames",
        "secretName",
        "secretNames",
        "imagePullSecrets",
        "automountServiceAccountToken",
        "serviceAccountToken",
        "fromCookies",
        "outputClaimToHeaders",
        "forwardOriginalToken",
        "tokenReview",
        "consistentHash",
        "httpCookie",
        "sessionAffinity",
        "sessionAffinityConfig",
        "jwtRules",
        "useSecrets",
        "allowCredentials",
        "bootstrapToken",
        "expirationSeconds",
        "authorizationPolicy",
        "fieldPath",
        "secretKeyRef",
    }
)
#: Fields whose whole value never leaves.
_NEVER = frozenset({"pluginConfig", "plugin_config", "inlineCode", "inline_code", "jwks", "vmConfig"})
#: How Envoy's configuration holds a secret below such a field.
_INLINE = ("inline_string", "inline_bytes", "inlineString", "inlineBytes")
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
#: Environment variables of istiod and proxies that support needs and that hold no secret.
_SHOWN_VARIABLES = re.compile(
    r"^(ISTIO_META_(APP_CONTAINERS|CLUSTER_ID|INTERCEPTION_MODE|MESH_ID|NETWORK|NODE_NAME|OWNER|POD_PORTS|REVISION"
    r"|WORKLOAD_NAME|DNS_CAPTURE|DNS_AUTO_ALLOCATE|ENABLE_HBONE)|PILOT_[A-Z_]+|ENABLE_[A-Z_]+|REVISION|CLUSTER_ID"
    r"|TRUST_DOMAIN|CA_ADDR|CA_ADDRESS|XDS_ADDRESS|PILOT_CERT_PROVIDER|JWT_POLICY|EXTERNAL_ISTIOD|GOMAXPROCS"
    r"|GOMEMLIMIT|PLATFORM)$"
)
#: A flag whose value is the next argument, C(--db-password hunter2), or follows it, C(--token=abc).
_FLAG = re.compile(r"^--?([\w.-]+)(=?)(.*)$", re.S)
_TEXTS = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S), REMOVED),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"), REMOVED),
    (re.compile(r"(?i)\b(bearer|basic)(\s+|%20)[\w.~+/=-]{6,}"), rf"\1 {REMOVED}"),
    (re.compile(r"(://[^\s/:@]*:)[^\s/@]+@"), rf"\1{REMOVED}@"),
    (  # YAML's block texts: the lines below the name that are indented deeper
        re.compile(
            r"(?im)^([ \t]*)([\w.-]*(?:passwor[dt]|passwd|passphrase|secret|token|api[-_]?key|private[-_]?key)[\w.-]*"
            r"[\"']?:[ \t]*[>|][-+0-9]*[ \t]*\n)((?:\1[ \t]+[^\n]*(?:\n|\Z)|[ \t]*\n)+)"
        ),
        rf"\1\2\1  {REMOVED}\n",
    ),
    (
        re.compile(
            r"(?i)([\w-]*(?:password|passwd|passphrase|secret|token|api[-_]?key|private[-_]?key|access[-_]?key)[\w-]*"
            r"[\"']?\s*[=:]\s*)(\"[^\"]*\"|'[^']*'|(?![>|][-+0-9]*\s)[^\s\"',;&}]+)"
        ),
        rf"\1{REMOVED}",
    ),
    (
        re.compile(r"(?i)(--?[\w-]*(?:pass|pwd|secret|token|api-?key|credential)[\w-]*\s+)(?!-)[^\s\"',;]+"),
        rf"\1{REMOVED}",
    ),
    (re.compile(r"(\"k\"\s*:\s*)\"[^\"]*\""), rf'\1"{REMOVED}"'),  # the key of a symmetric JWK
)


def redacted_text(text: str) -> str:
    """A text without private keys, tokens, passwords in URLs, and values that follow a name such as C(password=)."""
    for pattern, replacement in _TEXTS:
        text = pattern.sub(replacement, text)
    return text


def redacted_object(obj: t.Mapping[str, t.Any]) -> K8sObject:
    """An object without secrets, and without what only servers read. Of a Secret the names of its data remain."""
    shown = {k: v for k, v in obj.items() if k not in ("data", "stringData") or obj.get("kind") != "Secret"}
    meta = {k: v for k, v in obj["metadata"].items() if k != "managedFields"}
    if _LAST_APPLIED in (meta.get("annotations") or {}):
        meta["annotations"] = {k: v for k, v in meta["annotations"].items() if k != _LAST_APPLIED}
    shown = _fields({**shown, "metadata": meta}, inside=False)
    if obj.get("kind") == "Secret":
        names = sorted({**(obj.get("data") or {}), **(obj.get("stringData") or {})})
        shown["data"] = dict.fromkeys(names, REMOVED)
    return shown


def _redacted(value: t.Any, *, inside: bool) -> t.Any:
    if isinstance(value, dict):
        return _fields(value, inside=inside)
    if isinstance(value, list):
        return [_redacted(item, inside=inside) for item in value]
    return redacted_text(value) if isinstance(value, str) else value


def _fields(value: t.Mapping[str, t.Any], *, inside: bool) -> dict[str, t.Any]:
    named = value.get("name")
    if isinstance(named, str) and "value" in value and _names_a_secret(named):
        value = {**value, "value": REMOVED}  # a header, a parameter
    return {name: _field(name, item, inside=inside) for name, item in value.items()}


def _field(name: str, value: t.Any, *, inside: bool) -> t.Any:
    if name in _NEVER:
        return REMOVED
    if name in ("env", "environment") and isinstance(value, list):
        return [_variable(item) for item in value]
    if name in ("args", "command") and isinstance(value, list):
        return _arguments(value)
    secret = _names_a_secret(name)
    scalar = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    if scalar and (secret or (inside and name in _INLINE)):
        return REMOVED
    if secret and isinstance(value, list):
        return [REMOVED if isinstance(item, (str, int, float)) else _redacted(item, inside=True) for item in value]
    return _redacted(value, inside=inside or secret)


def _variable(item: t.Any) -> t.Any:
    """An environment variable: its name, where its value comes from, and the value of few."""
    if not isinstance(item, dict) or "value" not in item:
        return _redacted(item, inside=False)
    name, value = item.get("name"), item["value"]
    shown: t.Any = REMOVED
    if isinstance(name, str) and _SHOWN_VARIABLES.match(name) and (name == "JWT_POLICY" or not _names_a_secret(name)):
        shown = redacted_text(value) if isinstance(value, str) else _redacted(value, inside=False)
    rest = {key: field for key, field in item.items() if key != "value"}
    return {**_redacted(rest, inside=False), "value": shown}


def _arguments(words: t.Sequence[t.Any]) -> list[t.Any]:
    """A command without the values of flags that name a secret."""
    shown: list[t.Any] = []
    after_flag = False
    for word in words:
        if not isinstance(word, str):
            shown.append(_redacted(word, inside=False))
            after_flag = False
            continue
        flag = _FLAG.match(word)
        if after_flag and not flag:
            shown.append(REMOVED)
            after_flag = False
            continue
        secret = flag is not None and _names_a_secret(flag.group(1))
        if flag and secret and flag.group(2):
            shown.append(f"{word[: word.index('=')]}={REMOVED}")
        else:
            shown.append(redacted_text(word))
        after_flag = bool(flag and secret and not flag.group(2))
    return shown


def _names_a_secret(name: str) -> bool:
    if name in _NAMES_OF_OBJECTS:
        return False
    return bool(
        _SENSITIVE.search(_CAMEL.sub("_", name)) or _SENSITIVE_ANYWHERE.search(name) or _AUTHORIZATION.match(name)
    )
