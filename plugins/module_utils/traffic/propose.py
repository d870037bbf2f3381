# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Proposes AuthorizationPolicies by which the observed traffic passes, and nothing else. Pure; nothing is applied.

A proposal starts from deny-all: a policy without rules for each namespace, and beside it one for each workload, with
what was seen to be needed. What an earlier proposal allows is retained; only what it lacks is added.

Callers choose paths and methods, so nothing that AuthorizationPolicies read as a pattern is ever taken from them.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
import hashlib
import re
import typing as t

from ..mesh.untrusted import printable
from ..reconcile.types import K8sObject
from ..reconcile.yaml_text import to_yaml
from .flows import Flow, ObservedWorkload, Refused, describe

#: On every policy that was proposed here, so that the next proposal adds to it.
LABEL = "meshops.istio/proposed"
#: Denies everything; the name is that of Istio's documentation.
DENY_ALL = "allow-nothing"
_ANY = "{*}"
#: The characters that Envoy accepts in a segment of a path beside {*}, and that {*} matches.
_SEGMENT = r"[a-zA-Z0-9._~%!$&'()+,;:@=-]+"
_LITERAL = re.compile(_SEGMENT)
#: Segments that name one of many things: numbers, UUIDs, long hexadecimal ones.
_IDENTIFIER = re.compile(r"\d+|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|(?=.*\d)[0-9a-fA-F]{16,}")
#: An AuthorizationPolicy reads * at either end of these as a wildcard, and braces in a path as a template.
_METHOD, _PRINCIPAL = re.compile(r"[A-Za-z0-9_-]+"), re.compile(r"[^\s*,{}]+")
_PATH = re.compile(r"/[^{}]*(?<!\*)")


class Reason(enum.Enum):
    """What a finding is about."""

    PLAIN_TEXT = "plain_text"
    REFUSED = "refused"
    NO_TRAFFIC = "no_traffic"
    OWN_PERMISSIONS = "own_permissions"
    OPEN_GATEWAY = "open_gateway"
    NOT_A_LITERAL = "not_a_literal"
    GENERALISED = "generalised"


class Finding(t.TypedDict):
    """What a reviewer has to know: what would break, and what was left out."""

    reason: str
    workload: str
    message: str


@dataclasses.dataclass(frozen=True)
class Options:
    """How to propose.

    :ivar include_refused: also allow what AuthorizationPolicies refuse now
    :ivar most_paths: where more segments than this were seen at one place of a path, any segment is allowed there
    """

    root_namespace: str = "istio-system"
    include_refused: bool = False
    most_paths: int = 10


@dataclasses.dataclass(frozen=True)
class Proposal:
    """What is proposed.

    :ivar policies: AuthorizationPolicies, each namespace's deny-all first
    :ivar evidence: for each policy, by C(namespace/name), the traffic that it was made from, as text
    """

    policies: list[K8sObject] = dataclasses.field(default_factory=list)
    findings: list[Finding] = dataclasses.field(default_factory=list)
    evidence: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    def add(self, policy: K8sObject, evidence: list[str]) -> None:
        """Adds a policy with what it was made from."""
        self.policies.append(policy)
        self.evidence[f"{policy['metadata']['namespace']}/{policy['metadata']['name']}"] = evidence

    def note(self, reason: Reason, workload: str, text: str) -> None:
        """Adds a finding."""
        message = printable(f"{workload}: {text}")
        self.findings.append({"reason": reason.value, "workload": workload, "message": message})


def propose(
    workloads: t.Sequence[ObservedWorkload],
    flows: t.Sequence[Flow],
    policies: t.Sequence[K8sObject] = (),
    gateways: t.Sequence[ObservedWorkload] = (),
    options: Options = Options(),  # noqa: B008, it is frozen
) -> Proposal:
    """Policies by which what was seen passes.

    :param policies: every AuthorizationPolicy that is there
    :param gateways: what comes in there wasn't seen, and deny-all would shut them
    """
    meshed, doors = _merge(workloads), _merge(gateways)
    flows_of: dict[tuple[str, str], list[Flow]] = collections.defaultdict(list)
    for flow in flows:
        flows_of[flow["namespace"], flow["workload"]].append(flow)
    proposal = Proposal()
    for namespace in sorted({namespace for namespace, _name in [*meshed, *doors]}):
        proposal.add(_policy(namespace, DENY_ALL, {}), ["nothing may, but for what the policies below allow"])
    for key, workload in sorted(meshed.items()):
        _propose_workload(proposal, workload, flows_of.get(key, []), policies, options)
    for _key, gateway in sorted(doors.items()):
        _propose_gateway(proposal, gateway, policies, options)
    return proposal


def _propose_workload(
    proposal: Proposal,
    workload: ObservedWorkload,
    flows: t.Sequence[Flow],
    policies: t.Sequence[K8sObject],
    options: Options,
) -> None:
    title = f"{workload['namespace']}/{workload['workload']}"
    own, others = _policies_for(workload, policies, options.root_namespace)
    # A workload with permissions of its own refuses the rest already: what passes there needs nothing.
    needed = _needed(proposal, title, flows, options, passes=not others)
    if others:
        proposal.note(Reason.OWN_PERMISSIONS, title, f"keeps its own permissions ({', '.join(sorted(others))})")
    base = [rule for policy in own for rule in policy["spec"].get("rules") or []]
    added = rules_for([flow for flow in needed if not allows(base, flow)], options.most_paths)
    for pattern in sorted({path for path in _paths(added) if _ANY in path}):
        proposal.note(Reason.GENERALISED, title, f"{pattern} allows any one segment for {_ANY}, also unseen ones")
    rules = base + added
    if rules:
        evidence = [printable(f"{flow['source']}: {describe(flow)}") for flow in needed]
        policy = _policy(workload["namespace"], _name(workload["workload"]), _permission(workload, rules))
        proposal.add(policy, evidence or ["as proposed before"])
    elif not others:
        proposal.note(Reason.NO_TRAFFIC, title, "nothing was seen to come in, so nothing may")


def _propose_gateway(
    proposal: Proposal, gateway: ObservedWorkload, policies: t.Sequence[K8sObject], options: Options
) -> None:
    own, others = _policies_for(gateway, policies, options.root_namespace)
    title, name = f"{gateway['namespace']}/{gateway['workload']}", _name(gateway["workload"])
    if others:
        text = f"this gateway keeps its own permissions ({', '.join(sorted(others))})"
        proposal.note(Reason.OWN_PERMISSIONS, title, text)
        return
    rules = [rule for policy in own for rule in policy["spec"].get("rules") or []] or [{}]
    proposal.add(_policy(gateway["namespace"], name, _permission(gateway, rules)), ["a gateway, which isn't observed"])
    if rules == [{}]:
        text = f"this gateway lets everybody in, as before: restrict it in {name}"
        proposal.note(Reason.OPEN_GATEWAY, title, text)


def document(proposal: Proposal) -> str:
    """A proposal as a file to review: YAML, with comments that say what each policy was made from."""
    lines = [
        "# AuthorizationPolicies proposed from observed traffic. None of them is applied yet. They refuse what",
        "# wasn't seen, such as what comes once a month. Review them, change them, then apply them.",
    ]
    lines += [f"# Mind: {printable(finding['message'])}" for finding in proposal.findings]
    texts = ["\n".join(lines) + "\n"]
    for policy in proposal.policies:
        meta = policy["metadata"]
        evidence = proposal.evidence[f"{meta['namespace']}/{meta['name']}"]
        comments = [f"# {printable(text)}\n" for text in evidence]
        texts.append(f"---\n{''.join(comments)}{to_yaml(policy)}")
    return "".join(texts)


def _merge(workloads: t.Iterable[ObservedWorkload]) -> dict[tuple[str, str], ObservedWorkload]:
    """Workloads by namespace and name, with the labels that all of their pods have."""
    merged: dict[tuple[str, str], ObservedWorkload] = {}
    for workload in workloads:
        key = workload["namespace"], workload["workload"]
        labels = dict(workload.get("labels") or workload["selector"])
        if key in merged:
            labels = {k: v for k, v in merged[key]["labels"].items() if labels.get(k) == v}
        merged[key] = {**workload, "labels": labels}
    return merged


def _permission(workload: ObservedWorkload, rules: list[K8sObject]) -> K8sObject:
    return {"selector": {"matchLabels": dict(workload["selector"])}, "action": "ALLOW", "rules": rules}


def _policies_for(
    workload: ObservedWorkload, policies: t.Iterable[K8sObject], root_namespace: str
) -> tuple[list[K8sObject], list[str]]:
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


def _needed(proposal: Proposal, title: str, flows: t.Iterable[Flow], options: Options, *, passes: bool) -> list[Flow]:
    """The flows that a policy has to allow; the others become findings.

    :param passes: whether what isn't refused needs a policy
    """
    needed = []
    for flow in flows:
        refused = Refused(flow["refused"])
        if refused is Refused.CHECK:
            continue
        if not flow["source"]:
            client = flow.get("client") or flow["address"] or "an unknown client"
            text = f"{client} came in plain text, so a policy can't identify it: {describe(flow)}"
            text += "; bring it into the mesh first"
            proposal.note(Reason.PLAIN_TEXT, title, text)
        elif refused is Refused.POLICY and not options.include_refused:
            text = f"{flow['source']} was refused, and remains so: {describe(flow)}"
            proposal.note(Reason.REFUSED, title, text)
        elif refused is Refused.NOBODY and not passes:
            continue
        elif not is_literal(flow):
            text = (
                f"{flow['source']}: {describe(flow)} has characters that a policy reads as a pattern, so it is left out"
            )
            proposal.note(Reason.NOT_A_LITERAL, title, text)
        else:
            needed.append(flow)
    return needed


def _paths(rules: t.Iterable[K8sObject]) -> t.Iterator[str]:
    for rule in rules:
        for target in rule["to"]:
            yield from target["operation"].get("paths") or []


def _name(workload: str) -> str:
    """The name of a workload's policy; where the workload's own can't be in it, no two have the same."""
    slug = re.sub(r"[^a-z0-9-]+", "-", workload.lower()).strip("-")[:54].rstrip("-")
    if slug != workload:
        slug = f"{slug[:45]}-{hashlib.sha256(workload.encode()).hexdigest()[:8]}".lstrip("-")
    return f"{slug}-proposed"


def _policy(namespace: str, name: str, spec: K8sObject) -> K8sObject:
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": name, "namespace": namespace, "labels": {LABEL: "true"}},
        "spec": spec,
    }


# -- rules ----------------------------------------------------------------


def is_literal(flow: Flow) -> bool:
    """Whether an AuthorizationPolicy reads the caller, method and path of a flow as they are, and not as a pattern."""
    if not _PRINCIPAL.fullmatch(flow["source"]):
        return False
    if flow["protocol"] != "http":
        return True
    return bool(_METHOD.fullmatch(flow["method"]) and _PATH.fullmatch(flow["path"]) and flow["path"].isprintable())


def rules_for(flows: t.Iterable[Flow], most_paths: int = 10) -> list[K8sObject]:
    """Rules of an AuthorizationPolicy for what these flows need: callers that need the same are in one.

    Flows that are not literal need what no rule can say, and are left out.
    """
    needs: dict[str, dict[int, dict[str, set[str]]]] = {}
    for flow in filter(is_literal, flows):
        methods = needs.setdefault(flow["source"], {}).setdefault(flow["port"], {})
        paths = methods.setdefault(flow["method"], set())
        if flow["protocol"] == "http":
            paths.add(flow["path"])
    callers: dict[str, tuple[list[str], list[K8sObject]]] = {}
    for source, ports in sorted(needs.items()):
        operations = [
            each for port, methods in sorted(ports.items()) for each in _operations(port, methods, most_paths)
        ]
        callers.setdefault(str(operations), ([], operations))[0].append(source)
    return [
        {"from": [{"source": {"principals": sources}}], "to": [{"operation": each} for each in operations]}
        for sources, operations in callers.values()
    ]


def _operations(port: int, methods: t.Mapping[str, set[str]], most_paths: int) -> list[K8sObject]:
    same: dict[tuple[str, ...], list[str]] = {}
    for method, paths in sorted(methods.items()):
        same.setdefault(tuple(path_patterns(paths, most_paths)), []).append(method)
    operations = []
    for patterns, names in same.items():
        operation: dict[str, t.Any] = {"ports": [str(port)]}
        if names != [""]:
            operation["methods"] = names
        if patterns:
            operation["paths"] = list(patterns)
        operations.append(operation)
    return operations


def path_patterns(paths: t.Iterable[str], most: int = 10) -> list[str]:
    """Literal paths as an AuthorizationPolicy has them: as they are, or with C({*}) for a segment that varies.

    The first segment never becomes C({*}): one request for C(/1) would open C(/admin).
    """
    every = set(paths)
    split = {tuple(path[1:].split("/")) for path in every}
    plain = {segments for segments in split if all(map(_LITERAL.fullmatch, segments))}
    below: dict[str, set[tuple[str, ...]]] = collections.defaultdict(set)
    for first, *rest in plain:
        below[first].add(tuple(rest))
    patterns = {(first, *rest) for first, group in below.items() for rest in _generalise(group, most)}
    return sorted({"/" + "/".join(segments) for segments in patterns | (split - plain)})


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


def allows(rules: t.Iterable[t.Mapping[str, t.Any]], flow: Flow) -> bool:
    """Whether rules as made here allow a flow; rules with other conditions are taken not to."""
    return any(_rule_allows(rule, flow) for rule in rules)


def _rule_allows(rule: t.Mapping[str, t.Any], flow: Flow) -> bool:
    if set(rule) - {"from", "to"}:
        return False
    sources = [one.get("source") or {} for one in rule.get("from") or []]
    operations = [one.get("operation") or {} for one in rule.get("to") or []]
    known = any(set(one) == {"principals"} and flow["source"] in one["principals"] for one in sources)
    return known and any(_operation_allows(one, flow) for one in operations)


def _operation_allows(operation: t.Mapping[str, t.Any], flow: Flow) -> bool:
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
