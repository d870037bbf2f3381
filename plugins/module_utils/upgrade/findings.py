# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What in a mesh's configuration blocks an upgrade: a pure reading of objects and of the new CRDs.

Problems are what the new version refuses; warnings are deprecated fields, and what has no effect any more.
"""

from __future__ import annotations

import re
import typing as t

from ..reconcile.identity import api_group, title
from ..reconcile.types import K8sObject

#: kind (MeshConfig for the mesh configuration), path, and what to write instead. C([]) stands for each item of a list,
#: C(=) for a value. From the fields that istio/api marks as deprecated, and Istio's analyzer of them
#: (pkg/config/analysis/analyzers/deprecation).
_DEPRECATED = """
VirtualService http[].fault.delay.percent             write percentage
VirtualService http[].mirrorPercent                   write mirrorPercentage
VirtualService http[].corsPolicy.allowOrigin          write allowOrigins
DestinationRule POLICY.loadBalancer.simple=LEAST_CONN write LEAST_REQUEST
DestinationRule POLICY.loadBalancer.consistentHash.minimumRingSize write ringHash.minimumRingSize
DestinationRule POLICY.outlierDetection.consecutiveErrors write consecutive5xxErrors or consecutiveGatewayErrors
Sidecar         outboundTrafficPolicy.egressProxy     it has no effect: leave it out
Sidecar         ingress[].port.targetPort             it has no effect: leave it out
Sidecar         egress[].port.targetPort              it has no effect: leave it out
Gateway         servers[].port.targetPort             it has no effect: leave it out
MeshConfig      certificates                          let another provisioner sign certificates for DNS names
MeshConfig      verifyCertificateAtClient             it has no effect: leave it out
MeshConfig      extensionProviders[].lightstep        use the provider opentelemetry
MeshConfig      extensionProviders[].opencensus       use the provider opentelemetry
MeshConfig      extensionProviders[].envoyExtAuthzHttp.includeHeadersInCheck write includeRequestHeadersInCheck
MeshConfig      defaultConfig.discoveryRefreshDelay   it has no effect: leave it out
MeshConfig      defaultConfig.zipkinAddress           write tracing.zipkin.address
MeshConfig      defaultConfig.envoyMetricsServiceAddress write envoyMetricsService
MeshConfig      defaultConfig.availabilityZone        it has no effect: leave it out
MeshConfig      defaultConfig.sds                     it has no effect: leave it out
"""
#: Where a DestinationRule has a traffic policy.
_POLICIES = (
    "trafficPolicy",
    "trafficPolicy.portLevelSettings[]",
    "subsets[].trafficPolicy",
    "subsets[].trafficPolicy.portLevelSettings[]",
)

#: Groups that Istio has had and has no more.
_REMOVED_GROUPS = {"rbac.istio.io": "AuthorizationPolicy", "authentication.istio.io": "PeerAuthentication"}


def _read(table: str) -> dict[str, list[tuple[str, str | None, str]]]:
    rules: dict[str, list[tuple[str, str | None, str]]] = {}
    for line in table.strip("\n").splitlines():
        kind, where, remedy = line.split(None, 2)
        path, equals, value = where.partition("=")
        for start in _POLICIES if path.startswith("POLICY.") else [""]:
            full = path.replace("POLICY", start) if start else path
            rules.setdefault(kind, []).append((full, value if equals else None, remedy))
    return rules


_RULES = _read(_DEPRECATED)


# -- deprecated ---------------------------------------------------------------


def deprecated_fields(kind: str, spec: t.Any, about: str) -> list[str]:
    """Which deprecated fields are set, and what to write instead.

    :param kind: the object's kind, or C(MeshConfig)
    :param spec: the object's spec, or the mesh configuration
    :param about: what messages call it
    """
    found = []
    for path, value, remedy in _RULES.get(kind, ()):
        for place, has in _values(spec, path.split(".")):
            if has not in (None, False, 0, "", [], {}) and value in (None, has):
                shown = f" {value}" if value else ""
                found.append(f"{about}: {place}{shown} is deprecated: {remedy}")
    return found


def _values(node: t.Any, steps: t.Sequence[str], place: str = "") -> t.Iterator[tuple[str, t.Any]]:
    if not steps:
        yield place, node
        return
    name, is_list = steps[0].removesuffix("[]"), steps[0].endswith("[]")
    if not isinstance(node, dict) or name not in node:
        return
    here = f"{place}.{name}" if place else name
    for number, item in enumerate(node[name] or []) if is_list else [(None, node[name])]:
        yield from _values(item, steps[1:], here if number is None else f"{here}[{number}]")


def envoy_filter_findings(envoy_filter: t.Mapping[str, t.Any], old: t.Iterable[str], new: str) -> list[str]:
    """What an EnvoyFilter says of the proxies' version, and what Istio's analyzers warn of.

    :param old: the versions of the proxies that run
    :param new: the version to upgrade to
    """
    spec, about, found = envoy_filter.get("spec") or {}, title(envoy_filter), []
    for number, patch in enumerate(spec.get("configPatches") or []):
        wanted = ((patch.get("match") or {}).get("proxy") or {}).get("proxyVersion")
        if wanted and any(_matches(wanted, version) for version in old) and not _matches(wanted, new):
            found.append(
                f"{about}: configPatches[{number}] is for proxies of version {wanted}, and has no effect on {new}:"
                " write it for the new version, too"
            )
        operation, target = (patch.get("patch") or {}).get("operation"), patch.get("applyTo")
        if operation in ("ADD", "REMOVE") and target in ("ROUTE_CONFIGURATION", "HTTP_ROUTE"):
            found.append(f"{about}: configPatches[{number}]: {operation} has no effect on {target}")
        elif operation in ("REMOVE", "REPLACE", "INSERT_BEFORE", "INSERT_AFTER") and not spec.get("priority"):
            found.append(
                f"{about}: configPatches[{number}]: {operation} depends on what other filters do first: set priority"
            )
    return found


def _matches(pattern: str, version: str) -> bool:
    try:
        return bool(re.search(pattern, version))
    except re.error:
        return True


def removed_kinds(definitions: t.Iterable[t.Mapping[str, t.Any]]) -> list[str]:
    """CustomResourceDefinitions of groups that Istio has no more: istiod doesn't read their objects."""
    return [
        f"{one['metadata']['name']}: Istio has removed this kind; use {_REMOVED_GROUPS[one['spec']['group']]}"
        for one in definitions
        if one["spec"]["group"] in _REMOVED_GROUPS
    ]


# -- refused by the new version -----------------------------------------------


def storage_problems(live: t.Iterable[t.Mapping[str, t.Any]], new: t.Iterable[t.Mapping[str, t.Any]]) -> list[str]:
    """Versions in which objects are stored and that the new CustomResourceDefinitions don't have any more."""
    found = []
    wanted = {one["metadata"]["name"]: {v["name"] for v in one["spec"]["versions"]} for one in new}
    for one in live:
        name = one["metadata"]["name"]
        gone = [v for v in (one.get("status") or {}).get("storedVersions") or () if v not in wanted.get(name, {v})]
        if gone:
            found.append(
                f"CustomResourceDefinition {name}: objects may be stored as {', '.join(gone)}, which the new one"
                " doesn't have: write them all again, and take the version out of status.storedVersions"
            )
    return found


def schema_problems(objects: t.Iterable[K8sObject], definitions: t.Iterable[t.Mapping[str, t.Any]]) -> list[str]:
    """What of the live objects the new CustomResourceDefinitions refuse, or would drop."""
    schemas = {}
    for one in definitions:
        for version in one["spec"]["versions"]:
            place = one["spec"]["group"], version["name"], one["spec"]["names"]["kind"]
            schemas[place] = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    found = []
    for obj in objects:
        group, version = api_group(obj), obj["apiVersion"].rpartition("/")[2]
        schema = schemas.get((group, version, obj["kind"]))
        if schema is None:
            continue
        spec = (schema.get("properties") or {}).get("spec") or {}
        found += [f"{title(obj)}: {problem}" for problem in _misfits(obj.get("spec"), spec, "spec")]
    return found


def _misfits(value: t.Any, schema: t.Mapping[str, t.Any], path: str) -> t.Iterator[str]:
    """Unknown fields, missing ones, wrong types, and values that aren't among the possible ones."""
    if value is None or schema.get("x-kubernetes-int-or-string") or not schema:
        return
    kind = schema.get("type")
    fits: dict[t.Any, type | tuple[type, ...]] = {
        "object": dict,
        "array": list,
        "string": str,
        "boolean": bool,
        "integer": int,
        "number": (int, float),
    }
    if kind in fits and not isinstance(value, fits[kind]):
        yield f"{path} must be of type {kind}"
    elif isinstance(value, dict):
        known, further = schema.get("properties") or {}, schema.get("additionalProperties")
        for name, item in value.items():
            below = known.get(name) or (further if isinstance(further, dict) else None)
            if below is not None:
                yield from _misfits(item, below, f"{path}.{name}")
            elif known and not further and not schema.get("x-kubernetes-preserve-unknown-fields"):
                yield f"{path}.{name} is not known to the new version, which would drop it"
        for name in schema.get("required") or ():
            if name not in value:
                yield f"{path}.{name} is missing, and the new version needs it"
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _misfits(item, schema.get("items") or {}, f"{path}[{number}]")
    elif "enum" in schema and value not in schema["enum"]:
        yield f"{path} can't be {value!r}: it is one of {', '.join(map(str, schema['enum']))}"


# -- requests that may be lost ------------------------------------------------


def lone_workloads(workloads: t.Iterable[t.Mapping[str, t.Any]]) -> list[str]:
    """Workloads with sidecars whose restart may lose requests, with the reason.

    :param workloads: Deployments and StatefulSets
    """
    found = []
    for one in workloads:
        spec = one["spec"]
        pod = (spec.get("template") or {}).get("spec") or {}
        if (spec.get("strategy") or {}).get("type") == "Recreate" and spec.get("replicas", 1):
            found.append(f"{title(one)} (it stops all of its pods before it starts new ones)")
        elif spec.get("replicas", 1) == 1 and not any(
            (c.get("lifecycle") or {}).get("preStop") for c in pod.get("containers") or ()
        ):
            found.append(f"{title(one)} (one pod, that nothing lets go on serving while it ends)")
    return found
