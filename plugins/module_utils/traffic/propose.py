# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From traffic that was seen to AuthorizationPolicies that let it pass, and nothing else. Pure; nothing is applied.

It starts from deny-all: a policy without rules for each namespace, and beside it one for each workload, with what was
seen to be needed. What a former proposal of ours allows stays; only what it lacks is added.
"""

from __future__ import annotations

import collections
import hashlib
import re
import typing as t

from ..reconcile.yaml_text import to_yaml
from .observe import describe

#: On every policy that was proposed here, so that the next proposal goes on from it.
LABEL = "meshops.istio/proposed"
#: Denies everything, as Istio's documentation calls it.
DENY_ALL = "allow-nothing"
_ANY = "{*}"
#: What Envoy takes as a segment of a path beside {*}, and lets {*} stand for.
_SEGMENT = r"[a-zA-Z0-9._~%!$&'()+,;:@=-]+"
_LITERAL = re.compile(_SEGMENT)
#: Segments that name one of many things: numbers, UUIDs, long hexadecimal ones.
_IDENTIFIER = re.compile(r"\d+|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|(?=.*\d)[0-9a-fA-F]{16,}")
_Flow = t.Mapping[str, t.Any]


class Proposal(t.NamedTuple):
    """What is proposed.

    :ivar policies: AuthorizationPolicies, each namespace's deny-all first
    :ivar findings: what a reviewer has to know: what would break, and what was left out
    :ivar seen: for each policy, by C(namespace/name), what it is made of, in words
    """

    policies: list[dict]
    findings: list[str]
    seen: dict[str, list[str]]


def propose(
    workloads: t.Sequence[_Flow],
    flows: t.Sequence[_Flow],
    policies: t.Sequence[dict] = (),
    root_namespace: str = "istio-system",
    include_refused: bool = False,
    most_paths: int = 10,
    gateways: t.Sequence[_Flow] = (),
) -> Proposal:
    """Policies by which what was seen passes.

    :param workloads: as observed_traffic.observe() gives them
    :param flows: likewise
    :param policies: every AuthorizationPolicy that is there
    :param include_refused: also allow what AuthorizationPolicies refuse now
    :param most_paths: where more segments than this were seen at one place of a path, any segment is allowed there
    :param gateways: as the workloads; what comes in there wasn't seen, and deny-all would shut them
    """
    merged = _merge(workloads)
    doors = _merge(gateways)
    wanted: dict[tuple[str, str], list[_Flow]] = collections.defaultdict(list)
    for flow in flows:
        wanted[flow["namespace"], flow["workload"]].append(flow)
    findings: list[str] = []
    seen: dict[str, list[str]] = {}
    found: list[dict] = []
    for namespace in sorted({namespace for namespace, _name in [*merged, *doors]}):
        found.append(_policy(namespace, DENY_ALL, {}))
        seen[f"{namespace}/{DENY_ALL}"] = ["nothing may, but for what the policies below allow"]
    for key, workload in sorted(merged.items()):
        title = "/".join(key)
        own, others = _policies_for(workload, policies, root_namespace)
        # A workload with permissions of its own refuses the rest already: what passes there needs nothing.
        passing = not others or include_refused
        needed, words = _needed(title, wanted.get(key, []), include_refused, passing and not others, findings)
        if others:
            findings.append(f"{title} keeps its own permissions ({', '.join(sorted(others))})")
        base = [rule for policy in own for rule in policy["spec"].get("rules") or []]
        lacking = [flow for flow in needed if not allows(base, flow)]
        rules = base + rules_for(lacking, most_paths)
        if rules:
            name = _name(key[1])
            found.append(_policy(key[0], name, _permission(workload, rules)))
            seen[f"{key[0]}/{name}"] = words or ["as it was proposed before"]
        elif not others:
            findings.append(f"{title}: nothing was seen to come in, so nothing may")
    for key, gateway in sorted(doors.items()):
        own, others = _policies_for(gateway, policies, root_namespace)
        title = f"{'/'.join(key)}, a gateway,"
        if others:
            findings.append(f"{title} keeps its own permissions ({', '.join(sorted(others))})")
            continue
        rules = [rule for policy in own for rule in policy["spec"].get("rules") or []] or [{}]
        name = _name(key[1])
        found.append(_policy(key[0], name, _permission(gateway, rules)))
        seen[f"{key[0]}/{name}"] = ["a gateway, at which nobody has looked"]
        if rules == [{}]:
            findings.append(f"{title} lets everybody in, as before: say in {name} who may")
    return Proposal(found, findings, seen)


def document(proposal: Proposal) -> str:
    """A proposal as a file to review: YAML, with comments that say what each policy was made from."""
    lines = [
        "# AuthorizationPolicies proposed from traffic that was seen. Nothing of this is applied yet. They refuse what",
        "# wasn't seen, such as what comes once a month. Read them, change them, then apply them.",
    ]
    lines += [f"# Mind: {finding}" for finding in proposal.findings]
    texts = ["\n".join(lines) + "\n"]
    for policy in proposal.policies:
        meta = policy["metadata"]
        comments = [f"# {words}\n" for words in proposal.seen[f"{meta['namespace']}/{meta['name']}"]]
        texts.append(f"---\n{''.join(comments)}{to_yaml(policy)}")
    return "".join(texts)


def _merge(workloads: t.Iterable[_Flow]) -> dict[tuple[str, str], dict]:
    """Workloads by namespace and name, with the labels that all of their pods have."""
    merged: dict[tuple[str, str], dict] = {}
    for workload in workloads:
        key = workload["namespace"], workload["workload"]
        labels = dict(workload.get("labels") or workload["selector"])
        if key in merged:
            labels = {k: v for k, v in merged[key]["labels"].items() if labels.get(k) == v}
        merged[key] = {**workload, "labels": labels}
    return merged


def _permission(workload: _Flow, rules: list[dict]) -> dict:
    return {"selector": {"matchLabels": dict(workload["selector"])}, "action": "ALLOW", "rules": rules}


def _policies_for(workload: _Flow, policies: t.Iterable[dict], root_namespace: str) -> tuple[list[dict], list[str]]:
    """Our own policy for a workload, and the names of others that allow it something."""
    own, others = [], []
    for policy in policies:
        meta, spec = policy["metadata"], policy.get("spec") or {}
        if spec.get("action", "ALLOW") != "ALLOW" or not spec.get("rules"):
            continue
        if meta["namespace"] not in (workload["namespace"], root_namespace) or spec.get("targetRefs"):
            continue
        selector = (spec.get("selector") or {}).get("matchLabels") or {}
        if LABEL in (meta.get("labels") or {}):
            if meta["namespace"] == workload["namespace"] and meta["name"] == _name(workload["workload"]):
                own.append(policy)
        elif selector.items() <= dict(workload["labels"]).items():
            others.append(f"{meta['namespace']}/{meta['name']}")
    return own, others


def _needed(
    title: str, flows: t.Iterable[_Flow], include_refused: bool, passing: bool, findings: list[str]
) -> tuple[list[_Flow], list[str]]:
    """The flows that a policy has to allow, and the same in words."""
    needed, words = [], []
    for flow in flows:
        what = describe(flow)
        if flow["refused"] == "check":
            continue
        if not flow["source"]:
            client = flow.get("client") or flow["address"] or "somebody"
            findings.append(
                f"{title}: {client} came in plain text, so a policy can't know it: {what}; bring it into the mesh first"
            )
        elif flow["refused"] and not include_refused:
            findings.append(f"{title}: {flow['source']} was refused, and stays so: {what}")
        elif flow["refused"] or passing:
            needed.append(flow)
            words.append(f"{flow['source']}: {what}")
    return needed, words


def _name(workload: str) -> str:
    """The name of a workload's policy; where the workload's own can't be in it, no two have the same."""
    slug = re.sub(r"[^a-z0-9-]+", "-", workload.lower()).strip("-")[:54].rstrip("-")
    if slug != workload:
        slug = f"{slug[:45]}-{hashlib.sha256(workload.encode()).hexdigest()[:8]}".lstrip("-")
    return f"{slug}-proposed"


def _policy(namespace: str, name: str, spec: dict) -> dict:
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": name, "namespace": namespace, "labels": {LABEL: "true"}},
        "spec": spec,
    }


# -- rules ----------------------------------------------------------------


def rules_for(flows: t.Iterable[_Flow], most_paths: int = 10) -> list[dict]:
    """Rules of an AuthorizationPolicy for what these flows need: callers that need the same are in one."""
    needs: dict[str, dict[int, dict[str, set[str]]]] = {}
    for flow in flows:
        methods = needs.setdefault(flow["source"], {}).setdefault(flow["port"], {})
        paths = methods.setdefault(flow["method"], set())
        if flow["protocol"] == "http":
            paths.add(flow["path"])
    callers: dict[str, tuple[list[str], list[dict]]] = {}
    for source, ports in sorted(needs.items()):
        operations = [one for port, methods in sorted(ports.items()) for one in _operations(port, methods, most_paths)]
        callers.setdefault(str(operations), ([], operations))[0].append(source)
    return [
        {"from": [{"source": {"principals": sources}}], "to": [{"operation": one} for one in operations]}
        for sources, operations in callers.values()
    ]


def _operations(port: int, methods: t.Mapping[str, set[str]], most_paths: int) -> list[dict]:
    same: dict[tuple[str, ...], list[str]] = {}
    for method, paths in sorted(methods.items()):
        same.setdefault(tuple(path_patterns(paths, most_paths)), []).append(method)
    operations = []
    for paths, names in same.items():
        operation: dict[str, t.Any] = {"ports": [str(port)]}
        if names != [""]:
            operation["methods"] = names
        if paths:
            operation["paths"] = list(paths)
        operations.append(operation)
    return operations


def path_patterns(paths: t.Iterable[str], most: int = 10) -> list[str]:
    """Paths as an AuthorizationPolicy says them: as they are, or with C({*}) for a segment that differs each time."""
    every = set(paths)
    if any(not path.startswith("/") for path in every):
        return []  # CONNECT and OPTIONS can be for what is no path, which has no pattern
    split = {tuple(path[1:].split("/")) for path in every}
    plain = {segments for segments in split if all(map(_LITERAL.fullmatch, segments))}
    patterns = {"/" + "/".join(segments) for segments in _generalise(plain, most)}
    return sorted(patterns | {_exact("/" + "/".join(segments)) for segments in split - plain})


def _exact(path: str) -> str:
    """A path that isn't for templates, as far as Istio can say it: no braces, and no star at the end that is one."""
    odd = re.search(r"[{}]|\*$", path)
    return path[: odd.start()] + "*" if odd else path


def _generalise(paths: set[tuple[str, ...]], most: int) -> set[tuple[str, ...]]:
    """Puts C({*}) where a segment is an identifier, or one of more than C(most) at this place."""
    longer = {path for path in paths if path}
    if not longer:
        return paths
    firsts = {path[0] for path in longer}
    many = len({first for first in firsts if not _IDENTIFIER.fullmatch(first)}) > most
    below: dict[str, set[tuple[str, ...]]] = collections.defaultdict(set)
    for first, *rest in longer:
        below[_ANY if many or _IDENTIFIER.fullmatch(first) else first].add(tuple(rest))
    found = {(first, *rest) for first, group in below.items() for rest in _generalise(group, most)}
    return found | (paths - longer)


# -- what a rule allows ---------------------------------------------------


def allows(rules: t.Iterable[t.Mapping[str, t.Any]], flow: _Flow) -> bool:
    """Whether rules as made here allow a flow; rules with other conditions are taken not to."""
    return any(_rule_allows(rule, flow) for rule in rules)


def _rule_allows(rule: t.Mapping[str, t.Any], flow: _Flow) -> bool:
    if set(rule) - {"from", "to"}:
        return False
    sources = [one.get("source") or {} for one in rule.get("from") or []]
    operations = [one.get("operation") or {} for one in rule.get("to") or []]
    known = any(set(one) == {"principals"} and flow["source"] in one["principals"] for one in sources)
    return known and any(_operation_allows(one, flow) for one in operations)


def _operation_allows(operation: t.Mapping[str, t.Any], flow: _Flow) -> bool:
    if set(operation) - {"ports", "methods", "paths"}:
        return False
    if "ports" in operation and str(flow["port"]) not in operation["ports"]:
        return False
    if flow["protocol"] != "http":
        return not {"methods", "paths"} & set(operation)
    if "methods" in operation and flow["method"] not in operation["methods"]:
        return False
    return "paths" not in operation or any(path_fits(one, flow["path"]) for one in operation["paths"])


def path_fits(pattern: str, path: str) -> bool:
    """Whether a path fits a pattern of an AuthorizationPolicy."""
    if _ANY in pattern:
        return re.fullmatch(re.escape(pattern).replace(re.escape(_ANY), _SEGMENT), path) is not None
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern
