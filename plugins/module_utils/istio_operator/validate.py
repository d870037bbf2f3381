# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether an IstioOperator document is one: fields, types, and the few values that can be judged without a cluster."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ..errors import MeshopsError
from ..helm.patches import BadPath, read_path
from ..mesh.schema import Checker, Problem, is_newer, schema_for

API_VERSION = "install.istio.io/v1alpha1"
KIND = "IstioOperator"

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_TAG = re.compile(r"[\w][\w.-]{0,127}")
_HUB = re.compile(r"[a-zA-Z0-9]([\w.-]*[a-zA-Z0-9])?(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")


def document_error(problems: t.Sequence[str], source: str = "") -> MeshopsError:
    """The error of a document that can't be used; its text has a line for each problem."""
    return MeshopsError(f"the IstioOperator document{source} is not valid:\n  " + "\n  ".join(problems))


def check_document(document: t.Any, source: str = "", istio: str | None = None) -> None:
    """Checks a whole document, its mesh configuration included.

    :param source: where it comes from, for the error's text, such as C( in mesh.yaml)
    :param istio: the version that is to be installed: of one that is newer than all tables, unknown fields pass
    :raises MeshopsError: an unknown field, a wrong type, or a value that can't work
    """
    problems = list(_head_problems(document))
    if not problems:
        checker = Checker(schema_for(istio), strict=not is_newer(istio))
        problems = [_with_way_out(problem) for problem in checker.problems(document, KIND, "")]
        problems = problems or list(_value_problems(document.get("spec") or {}, checker))
    if problems:
        raise document_error(problems, source)


def _with_way_out(problem: Problem) -> str:
    """A problem in words; below the values there is a place for what Istio doesn't know."""
    way_out = " (values that Istio does not know can be in spec.unvalidatedValues)"
    return f"{problem}{way_out if problem.path.startswith('spec.values') and problem.unknown else ''}"


def _head_problems(document: t.Any) -> t.Iterator[str]:
    if not isinstance(document, dict):
        yield f"must be a dictionary with apiVersion, kind and spec, got {document!r}"
        return
    if document.get("apiVersion") != API_VERSION:
        yield f"apiVersion: must be {API_VERSION}, not {document.get('apiVersion')!r}"
    if document.get("kind") != KIND:
        yield f"kind: must be {KIND}, not {document.get('kind')!r}"


# -- values -------------------------------------------------------------------


def _value_problems(spec: t.Mapping[str, t.Any], checker: Checker) -> t.Iterator[str]:
    unvalidated = (spec.get("unvalidatedValues") or {}).get("meshConfig")
    if unvalidated is not None:  # istiod drops the whole mesh configuration where one field of it has a typo
        yield from map(str, checker.problems(unvalidated, "MeshConfig", "spec.unvalidatedValues.meshConfig"))
    components, values = spec.get("components") or {}, spec.get("values") or {}
    if spec.get("hub") and not _HUB.fullmatch(spec["hub"]):
        yield f"spec.hub: {spec['hub']!r} is not a valid image registry: write it as in registry.istio.io/release"
    if spec.get("tag") is not None and not _TAG.fullmatch(str(spec["tag"])):
        yield f"spec.tag: {spec['tag']!r} is not a valid image tag: write it as in 1.31.0"
    if spec.get("revision") and not _DNS_LABEL.fullmatch(spec["revision"]):
        yield (
            f"spec.revision: {spec['revision']!r} is not a valid DNS label: use lower case letters, digits and -,"
            " as in 1-31-0, and no more than 63"
        )
    for field in ("ingressGateways", "egressGateways"):
        for index, gateway in enumerate(components.get(field) or []):
            yield from _gateway_problems(gateway or {}, f"spec.components.{field}[{index}]", field, values)
    for name, component in components.items():
        for index, one in enumerate(component if isinstance(component, list) else [component]):
            path = f"spec.components.{name}" + (f"[{index}]" if isinstance(component, list) else "")
            yield from _overlay_problems((one or {}).get("k8s") or {}, f"{path}.k8s")
    yield from _proxy_problems((values.get("global") or {}).get("proxy") or {})


def _gateway_problems(
    gateway: t.Mapping[str, t.Any], path: str, field: str, values: t.Mapping[str, t.Any]
) -> t.Iterator[str]:
    name = gateway.get("name")
    if not name and gateway.get("enabled") is not False:
        yield f"{path}.name: is missing; the gateway's objects are named after it"
    if name and not _OBJECT_NAME.fullmatch(name):
        yield f"{path}.name: {name!r} can't name an object: use lower case letters, digits, - and ."
    chart = "istio-ingressgateway" if field == "ingressGateways" else "istio-egressgateway"
    if ((values.get("gateways") or {}).get(chart) or {}).get("runAsRoot"):
        return
    ports = ((gateway.get("k8s") or {}).get("service") or {}).get("ports") or []
    for index, port in enumerate(ports):
        target = port.get("targetPort") or 0
        if isinstance(target, str) or (target == 0 and (port.get("port") or 0) > 1024) or target >= 1024:
            continue
        yield (
            f"{path}.k8s.service.ports[{index}].targetPort: {target or port.get('port')} needs root;"
            f" give a targetPort above 1023, or set values.gateways.{chart}.runAsRoot"
        )


def _overlay_problems(settings: t.Mapping[str, t.Any], path: str) -> t.Iterator[str]:
    for index, overlay in enumerate(settings.get("overlays") or []):
        here = f"{path}.overlays[{index}]"
        for field in ("kind", "name"):
            if not overlay.get(field):
                yield f"{here}.{field}: is missing; it says which object to patch"
        for number, patch in enumerate(overlay.get("patches") or []):
            try:
                read_path(patch.get("path") or "")
            except BadPath as error:
                yield f"{here}.patches[{number}].path: {error}"


def _proxy_problems(proxy: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    for field in ("includeIPRanges", "excludeIPRanges"):
        for part in _parts(proxy.get(field)):
            if not _is_range(part):
                yield f"spec.values.global.proxy.{field}: {part!r} is not a valid address range such as 10.0.0.0/8"
    for field in ("includeInboundPorts", "excludeInboundPorts"):
        for part in _parts(proxy.get(field)):
            if part != "*" and not (part.isdigit() and int(part) < 65536):
                yield f"spec.values.global.proxy.{field}: {part!r} is not a valid port"


def _parts(text: str | None) -> list[str]:
    return text.split(",") if text and text != "*" else []


def _is_range(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text
