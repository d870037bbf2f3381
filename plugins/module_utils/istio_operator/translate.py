# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""IstioOperator documents (C(install.istio.io/v1alpha1)), translated to Helm releases and patches.

The translation does what C(istioctl manifest generate) does with the same document (C(operator/pkg/render) in
istio/istio); only gateways become releases of the C(gateway) chart. docs/istio-operator.md lists the differences.
"""

from __future__ import annotations

import copy
import dataclasses
import os
import typing as t

from ..errors import MeshopsError
from ..helm.releases import Release, merged
from ..mesh.profiles import RELEASE_NAMES, RELEASE_ORDER, istiod_release_name, profile
from .gateways import GATEWAY_CHARTS, gateway_release
from .validate import check_document, document_error

try:
    import yaml
except ImportError:
    pass  # ansible-core itself needs it


@dataclasses.dataclass(frozen=True)
class _Component:
    """What a component's settings are applied to.

    :ivar chart: its chart
    :ivar root: where its values are below C(spec.values)
    :ivar kind: kind of its workload; empty where it has none
    :ivar workload: name of its workload, where no revision is part of it
    :ivar container: the workload's main container
    """

    chart: str
    root: str
    kind: str = ""
    workload: str = ""
    container: str = ""


_COMPONENTS = {
    "base": _Component("base", "global"),
    "cni": _Component("cni", "cni", "DaemonSet", "istio-cni-node", "install-cni"),
    "pilot": _Component("istiod", "pilot", "Deployment", "istiod", "discovery"),
    "ztunnel": _Component("ztunnel", "ztunnel", "DaemonSet", "ztunnel", "istio-proxy"),
}
_GATEWAYS = ("ingressGateways", "egressGateways")
#: Values that these charts don't read: left out, so that a change of them is no change of the release.
#: istiod's chart gets all of them, because it writes what it got into the ConfigMap C(values).
_ISTIODS = {"istiodRemote", "meshConfig", "pilot", "sidecarInjectorWebhook", "telemetry"}
_UNREAD = {"base": {"cni", "gateways", "ztunnel", *_ISTIODS}, "cni": {"gateways", "ztunnel", *_ISTIODS}}
#: Profiles whose ingress gateway, and whose egress gateway, is on.
_WITH_INGRESS = {"default", "demo", "openshift", "preview", "stable"}
_WITH_EGRESS = {"demo"}


@dataclasses.dataclass(frozen=True)
class TranslateOptions:
    """What the options beside a document declare.

    :ivar charts: where the charts come from
    :ivar version: the charts' version
    :ivar istio: the version of Istio that they install, where it is known
    :ivar hub: registry of the images, where the document has none
    :ivar tag: tag of the images, where the document has none
    :ivar namespace: the control plane's namespace, where the document has none
    """

    charts: str | None = None
    version: str | None = None
    istio: str | None = None
    hub: str | None = None
    tag: str | None = None
    namespace: str | None = None


@dataclasses.dataclass
class Translation:
    """What a document declares.

    :ivar releases: the releases, in their order
    :ivar warnings: fields of the document that have no effect
    :ivar namespace: the control plane's namespace
    :ivar revision: the control plane's revision; empty where it has none
    """

    releases: list[Release]
    warnings: list[str]
    namespace: str
    revision: str


def read_document(given: t.Any, istio: str | None = None) -> dict[str, t.Any]:
    """One document from what a user gives: a dict, a file's path, or a list of both, later ones over earlier ones.

    :param istio: the version that is to be installed
    :raises MeshopsError: a file can't be read or holds something else than one document, or a document is not valid
    """
    items = given if isinstance(given, list) else [given]
    documents = []
    for item in items:
        document, source = (_file(item), f" in {item}") if isinstance(item, (str, os.PathLike)) else (item, "")
        if isinstance(document, dict) and document.get("spec", 0) is None:
            document = {key: value for key, value in document.items() if key != "spec"}
        check_document(document, source, istio)
        documents.append(document)
    return merged(*documents)


def _file(path: str | os.PathLike[str]) -> t.Any:
    try:
        with open(os.path.expanduser(path), encoding="utf-8") as file:
            documents = [document for document in yaml.safe_load_all(file) if document is not None]
    except OSError as error:
        hint = "" if os.path.isabs(os.path.expanduser(path)) else f" (looked for in {os.getcwd()}: give its full path)"
        raise MeshopsError(f"the IstioOperator document {path} can't be read: {error.strerror}{hint}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise MeshopsError(f"the IstioOperator document {path} is not valid YAML: {error}") from error
    if len(documents) != 1:
        raise MeshopsError(
            f"{path} holds {len(documents)} documents: give one IstioOperator a file, and several files as a list;"
            " they are merged in their order"
        )
    return documents[0]


def revision_of(given: t.Any, istio: str | None = None) -> str:
    """The revision that a document names; empty where it names none.

    :param given: see C(read_document), as for C(istio)
    """
    _components, values, _warnings = _desired(read_document(given, istio).get("spec") or {}, {}, None)
    return str(values.get("revision") or "")


def translate(given: t.Any, options: TranslateOptions | None = None) -> Translation:
    """The releases that a document declares.

    :param given: see C(read_document)
    :raises MeshopsError: the document can't be read, is not valid, or has an unknown profile
    """
    options = options or TranslateOptions()
    document = read_document(given, options.istio or options.version)
    spec = document.get("spec") or {}
    if spec.get("installPackagePath"):
        raise document_error(
            ["spec.installPackagePath: is not supported; say where the charts are with charts (control_plane_charts)"]
        )
    components, values, warnings = _desired(spec, {"hub": options.hub, "tag": options.tag}, options.namespace)
    namespace = (values.get("global") or {}).get("istioNamespace") or "istio-system"
    revision = str(values.get("revision") or "")
    if spec.get("namespace") and spec["namespace"] != namespace:
        warnings.append(
            "spec.namespace has no effect, as with istioctl:"
            f" set spec.values.global.istioNamespace to {spec['namespace']}"
        )
    if components.get("istiodRemote"):
        warnings.append("spec.components.istiodRemote has no effect, as with istioctl: use the profile remote")

    chosen = {
        name: components.get(name) or {}
        for name in ("base", "pilot", "cni", "ztunnel")
        if _enabled(components.get(name), default=name in ("base", "pilot"))
    }
    names = {name: RELEASE_NAMES[_COMPONENTS[name].chart] for name in chosen}
    if "pilot" in names:
        names["pilot"] = istiod_release_name(revision)
    releases = []
    for name, component in chosen.items():
        warnings += _ineffective(name, component)
        release = _component_release(name, component, values, names[name], component.get("namespace") or namespace)
        release.after = _after(name, names)
        releases.append(release)
    after = [names["pilot"]] if "pilot" in names else []
    for field in _GATEWAYS:
        path = ("gateways", GATEWAY_CHARTS[field])
        always = ((values.get("gateways") or {}).get(GATEWAY_CHARTS[field]) or {}).get("enabled") is True
        for gateway in components.get(field) or []:
            if _enabled(gateway, default=True) or always:
                release = gateway_release(field, gateway, _with_replicas(path, gateway, values), warnings)
                release.namespace = gateway.get("namespace") or namespace
                release.patches += _patches(gateway, "Deployment", gateway["name"], "istio-proxy", is_gateway=True)
                release.after = after
                releases.append(release)
    for release in releases:
        release.charts, release.version = options.charts, options.version
    _check_names(releases)
    return Translation(releases, warnings, namespace, revision)


def _after(component: str, names: t.Mapping[str, str]) -> list[str]:
    """The releases that must be ready before a component's own."""
    charts = RELEASE_ORDER[_COMPONENTS[component].chart]
    by_chart = {_COMPONENTS[other].chart: name for other, name in names.items()}
    return [by_chart[chart] for chart in charts if chart in by_chart]


def _desired(
    spec: t.Mapping[str, t.Any], images: t.Mapping[str, str | None], namespace: str | None
) -> tuple[dict[str, t.Any], dict[str, t.Any], list[str]]:
    """Components and values of the profile, with the document's over them."""
    base = _profile(spec.get("profile") or "default")
    if namespace:
        base["values"]["global"]["istioNamespace"] = namespace
    own_values = spec.get("values")
    components = merged(base["components"], spec.get("components") or {})
    if "values" in spec and own_values is None:
        lost = "spec.values is null, which takes away hub, tag, revision and the profile's values, as with istioctl"
        return components, {"meshConfig": spec["meshConfig"]} if spec.get("meshConfig") else {}, [lost]
    values = merged(base["values"], own_values)
    for field, place in (("hub", "global"), ("tag", "global"), ("revision", ""), ("compatibilityVersion", "")):
        value = spec.get(field) if spec.get(field) is not None else images.get(field)
        if value is not None:
            value = str(value) if field in ("tag", "compatibilityVersion") else _set(value)
            values = merged(values, {place: {field: value}} if place else {field: value})
    if spec.get("meshConfig"):
        values = merged(values, {"meshConfig": spec["meshConfig"]})
    enabled = {name: bool((components.get(name) or {}).get("enabled")) for name in ("pilot", "cni")}
    values = merged(values, {"pilot": {"enabled": enabled["pilot"], "cni": {"enabled": enabled["cni"]}}})
    # The document's values win, but in the two places that istioctl fills last.
    again = {key: value for key, value in (own_values or {}).items() if key not in ("meshConfig", "pilot")}
    return components, merged(values, again, spec.get("unvalidatedValues")), []


def _set(value: t.Any) -> t.Any:
    """A value as Helm's --set reads it, which istioctl hands some settings over with: digits become a number."""
    text = str(value)
    return int(text) if text.isdecimal() else text


def _profile(name: str) -> dict[str, t.Any]:
    """The components and values of a profile: C(manifests/profiles) in istio/istio, each over C(default)."""
    chosen = profile(name)
    node = {"namespace": chosen.node_namespace} if chosen.node_namespace else {}
    components: dict[str, t.Any] = {
        "base": {"enabled": "base" in chosen.components},
        "pilot": {"enabled": "istiod" in chosen.components},
        "ingressGateways": [{"name": "istio-ingressgateway", "enabled": name in _WITH_INGRESS}],
        "egressGateways": [{"name": "istio-egressgateway", "enabled": name in _WITH_EGRESS}],
    }
    for component in ("cni", "ztunnel"):
        if component in chosen.components:
            components[component] = {"enabled": True, **node}
    values: dict[str, t.Any] = {
        "defaultRevision": "",
        "global": {"istioNamespace": "istio-system", "configValidation": True},
        "gateways": {"istio-ingressgateway": {}, "istio-egressgateway": {}},
        "ztunnel": {"resourceName": "ztunnel"},
    }
    if chosen.charts:
        values["profile"] = chosen.charts
    if chosen.platform:
        values["global"]["platform"] = chosen.platform
    return {"components": components, "values": values}


def _enabled(component: t.Mapping[str, t.Any] | None, *, default: bool) -> bool:
    if component is None:
        return default
    return component.get("enabled") is not False


def _component_release(
    name: str, settings: t.Mapping[str, t.Any], values: dict[str, t.Any], release_name: str, namespace: str
) -> Release:
    component = _COMPONENTS[name]
    own = {field: _set(settings[field]) for field in ("hub", "tag") if settings.get(field) is not None}
    values = merged(values, {component.root: own} if own else {})
    if component.kind == "Deployment":
        values = _with_replicas((component.root,), settings, values)
    cpu = _cpu(settings)
    if cpu:
        values = merged(values, {component.root: {"resources": cpu}})
    values = {key: value for key, value in values.items() if key not in _UNREAD.get(name, ())}
    if name == "ztunnel" and isinstance(values.get("ztunnel"), dict):
        plain = {key: value for key, value in values.items() if not isinstance(value, dict)}
        values = {"global": values.get("global"), **plain, **values["ztunnel"]}
    revision = values.get("revision")
    suffix = f"-{revision}" if name == "pilot" and revision and revision != "default" else ""
    return Release(
        name=release_name,
        chart=component.chart,
        namespace=namespace,
        values=values,
        patches=_patches(settings, component.kind, component.workload + suffix, component.container),
    )


def _with_replicas(
    root: t.Sequence[str], settings: t.Mapping[str, t.Any], values: dict[str, t.Any]
) -> dict[str, t.Any]:
    """Replicas that k8s settings ask for, as values too: by them charts decide on a disruption budget."""
    k8s = settings.get("k8s") or {}
    hpa = k8s.get("hpaSpec") or {}
    found = {
        "autoscaleMin": hpa.get("minReplicas"),
        "autoscaleMax": hpa.get("maxReplicas") or None,
        "replicaCount": k8s.get("replicaCount") or None,
    }
    above: dict[str, t.Any] = {key: value for key, value in found.items() if value is not None}
    if not above:
        return values
    for key in reversed(root):
        above = {key: above}
    return merged(values, above)


def _cpu(settings: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The CPU that k8s settings ask for, as values too: charts set environment variables by it."""
    resources = (settings.get("k8s") or {}).get("resources") or {}
    return {
        side: {"cpu": str(resources[side]["cpu"])}
        for side in ("limits", "requests")
        if (resources.get(side) or {}).get("cpu")
    }


def _patches(
    settings: t.Mapping[str, t.Any], kind: str, workload: str, container: str, *, is_gateway: bool = False
) -> list[t.Mapping[str, t.Any]]:
    """The patches that k8s settings mean."""
    k8s = copy.deepcopy(settings.get("k8s") or {})
    if is_gateway and k8s.get("service"):
        k8s["service"].pop("ports", None)  # they are values of the chart: strategic merges mix up service ports
    budget = k8s.get("podDisruptionBudget") or {}
    if budget.get("maxUnavailable") is not None:
        budget["minAvailable"] = None  # only one of them may be set, and charts set minAvailable
    if isinstance(budget.get("selector"), dict):
        budget["selector"]["$patch"] = "replace"
    found: list[t.Mapping[str, t.Any]] = []
    for field, (target, wrap) in _SETTINGS.items():
        if kind and k8s.get(field) is not None:
            patch = wrap(k8s[field], container)
            found.append({"kind": target or kind, "name": workload, "merge": patch})
    for overlay in k8s.get("overlays") or []:
        for patch in overlay.get("patches") or []:
            found.append({"kind": overlay["kind"], "name": overlay["name"], **patch})
    return found


def _in_pod(field: str) -> tuple[str, t.Callable[[t.Any, str], dict[str, t.Any]]]:
    return "", lambda value, container: {"spec": {"template": {"spec": {field: value}}}}


def _in_container(field: str) -> tuple[str, t.Callable[[t.Any, str], dict[str, t.Any]]]:
    return "", lambda value, name: {"spec": {"template": {"spec": {"containers": [{"name": name, field: value}]}}}}


#: setting -> kind of the object that is patched (empty: the workload), and the patch
_SETTINGS: dict[str, tuple[str, t.Callable[[t.Any, str], dict[str, t.Any]]]] = {
    "affinity": _in_pod("affinity"),
    "env": _in_container("env"),
    "hpaSpec": ("HorizontalPodAutoscaler", lambda value, container: {"spec": value}),
    "imagePullPolicy": _in_container("imagePullPolicy"),
    "nodeSelector": _in_pod("nodeSelector"),
    "podAnnotations": ("", lambda value, container: {"spec": {"template": {"metadata": {"annotations": value}}}}),
    "podDisruptionBudget": ("PodDisruptionBudget", lambda value, container: {"spec": value}),
    "priorityClassName": _in_pod("priorityClassName"),
    "readinessProbe": _in_container("readinessProbe"),
    "replicaCount": ("", lambda value, container: {"spec": {"replicas": value}}),
    "resources": _in_container("resources"),
    "securityContext": _in_pod("securityContext"),
    "service": ("Service", lambda value, container: {"spec": value}),
    "serviceAnnotations": ("Service", lambda value, container: {"metadata": {"annotations": value}}),
    "strategy": ("", lambda value, container: {"spec": {"strategy": value}}),
    "tolerations": _in_pod("tolerations"),
}


def _ineffective(name: str, settings: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    """Settings that are accepted and do nothing, as in istioctl."""
    for field in settings.get("k8s") or {}:
        if field in ("volumes", "volumeMounts") or name == "base" and field != "overlays":
            yield f"spec.components.{name}.k8s.{field} has no effect, as with istioctl: write it as k8s.overlays"


def _check_names(releases: t.Sequence[Release]) -> None:
    seen = set()
    for release in releases:
        if (release.namespace, release.name) in seen:
            twice = f"{release.name} in namespace {release.namespace}"
            raise document_error([f"spec.components: {twice} is declared twice: rename one of them"])
        seen.add((release.namespace, release.name))
