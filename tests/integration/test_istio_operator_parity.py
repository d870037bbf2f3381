# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The same IstioOperator document, rendered by istioctl and by this collection, gives the same objects.

Needs no cluster, but what the lab builds: istioctl, helm, and Istio's source, for its charts and for the documents that
Istio tests istioctl with.
"""

from __future__ import annotations

import concurrent.futures
import copy
import functools
import pathlib
import shutil
import subprocess

import pytest
import yaml
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.helm.helm import Helm, RenderOptions
from ansible_collections.meshops.istio.plugins.module_utils.helm.releases import Release
from ansible_collections.meshops.istio.plugins.module_utils.istio_operator.translate import (
    TranslateOptions,
    Translation,
    translate,
)
from ansible_collections.meshops.istio.plugins.module_utils.mesh.profiles import PROFILES
from ansible_collections.meshops.istio.plugins.module_utils.releases.render import render

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INPUTS = "operator/cmd/mesh/testdata/manifest-generate/input"
#: The Kubernetes that istioctl renders for where it sees no cluster (MinK8SVersion in its source).
_KUBERNETES = "1.32.0"
#: Labels that say who has installed an object, and from which chart.
_INSTALLER = {
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/version",
    "helm.sh/chart",
    "release",
}
_GATEWAYS = {"IngressGateways", "EgressGateways"}
#: Istio's test documents that its istioctl renders.
_ACCEPTED = """
    all_off all_on autoscaling_ingress_v2 autoscaling_v2 bare_spec bare_values bogus_cps component_hub_tag
    default duplicate_mwc empty flag_output gateway_hpa_pdb gateways-with-custom-tags-and-no-labels gateways
    helm_values_enablement ingressgateway_k8s_settings install_package_path istio-cni istio-cni_tolerations
    istiod_remote istiod_remote_config istiod_remote_ipv6 istiod_remote_local minimal-revisioned minimal
    networkpolicy_enabled pilot_default pilot_disable_tracing pilot_env_var_from pilot_hpa_pdb
    pilot_k8s_settings pilot_merge_meshconfig pilot_override_kubernetes pilot_override_values sidecar_template
    ztunnel ztunnel_tolerations
""".split()
#: The ones of Istio's test documents that its istioctl refuses.
_REFUSED = {
    "autoscaling_v2beta1_k8s_and_values.yaml": "spec.components.ingressGateways[0].k8s.hpaSpec.metrics[0].resource",
    "deprecated_autoscaling_k8s_spec.yaml": "spec.components.pilot.k8s.hpaSpec.metrics[0].resource",
    "flag_force.yaml": "spec.values.global.badKey: unknown field",
    "invalid-k8s-values.yaml": "spec.values.global.defaultTolerations[0].thats: unknown field",
    "invalid-k8s.yaml": "spec.components.ztunnel.k8s.tolerations[0].thats: unknown field",
    "multiple_iops.yaml": "holds 2 documents",
}
_POD_SETTINGS = {
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}]}]
            }
        }
    },
    "env": [{"name": "FIRST", "value": "1"}, {"name": "POD_NAME", "value": "mine"}, {"name": "LAST", "value": "2"}],
    "imagePullPolicy": "IfNotPresent",
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "podAnnotations": {"example.com/one": "1", "prometheus.io/scrape": "false"},
    "priorityClassName": "system-node-critical",
    "readinessProbe": {"httpGet": {"path": "/other"}, "initialDelaySeconds": 7},
    "resources": {"requests": {"cpu": "123m", "memory": "77Mi"}, "limits": {"cpu": 3}},
    "securityContext": {"fsGroup": 1234, "seccompProfile": {"type": "RuntimeDefault"}},
    "tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}],
}
_DEPLOYMENT_SETTINGS = {
    **_POD_SETTINGS,
    "hpaSpec": {"minReplicas": 2, "maxReplicas": 7, "scaleTargetRef": {"kind": "Deployment", "name": "other"}},
    "podDisruptionBudget": {"maxUnavailable": "30%", "unhealthyPodEvictionPolicy": "AlwaysAllow"},
    "replicaCount": 3,
    "service": {"internalTrafficPolicy": "Local", "sessionAffinity": "ClientIP"},
    "serviceAnnotations": {"example.com/service": "yes"},
    "strategy": {"rollingUpdate": {"maxSurge": 2, "maxUnavailable": "10%"}},
}
#: Documents of our own, for what Istio's don't touch.
_OWN = {
    **{f"profile {name}": {"profile": name} for name in PROFILES},
    "every k8s setting": {
        "profile": "ambient",
        "components": {
            "pilot": {"k8s": _DEPLOYMENT_SETTINGS},
            "cni": {"k8s": _POD_SETTINGS},
            "ztunnel": {"k8s": _POD_SETTINGS},
            "ingressGateways": [
                {"name": "edge", "namespace": "edge", "label": {"team": "web"}, "k8s": _DEPLOYMENT_SETTINGS}
            ],
            "egressGateways": [
                {"name": "out", "k8s": {"service": {"type": "NodePort", "ports": [{"name": "tls", "port": 15443}]}}}
            ],
        },
        "values": {"global": {"networkPolicy": {"enabled": True}, "istioNamespace": "mesh"}},
    },
    "overlays by every kind of path": {
        "revision": "canary",
        "components": {
            "pilot": {
                "k8s": {
                    "overlays": [
                        {
                            "kind": "Deployment",
                            "name": "istiod-canary",
                            "patches": [
                                {"path": "spec.template.spec.containers.[name:discovery].args.[30m]", "value": "45m"},
                                {"path": "spec.template.spec.containers.[name:discovery].args.[-1]", "value": "--more"},
                                {"path": "spec.template.spec.containers[0].ports.[containerPort:8080]"},
                                {"path": "spec.template.spec.containers.[name:discovery].env.[name:REVISION]"},
                                {"path": "spec.template.spec.hostAliases", "value": [{"ip": "1.2.3.4"}]},
                                {"path": r"metadata.annotations.example\.com/dotted", "value": "yes"},
                                {
                                    "path": "spec.template.spec.containers.[0].lifecycle",
                                    "value": "preStop:\n  sleep: 5",
                                },
                                {"path": "spec.revisionHistoryLimit", "value": 3},
                                {"path": "spec.template.spec.containers.[name:nobody].image", "value": "none"},
                            ],
                        },
                        {"kind": "Service", "name": "nobody", "patches": [{"path": "spec", "value": {}}]},
                        {
                            "kind": "MutatingWebhookConfiguration",
                            "name": "istio-sidecar-injector-canary",
                            "patches": [
                                {
                                    "path": r"webhooks.[name:rev\.object\.sidecar-injector\.istio\.io].timeoutSeconds",
                                    "value": 3,
                                }
                            ],
                        },
                    ]
                }
            }
        },
    },
    "values of gateways": {
        "hub": "example.com/hub",
        "tag": 1.5,
        "values": {
            "gateways": {
                "istio-ingressgateway": {
                    "type": "NodePort",
                    "autoscaleEnabled": False,
                    "replicaCount": 2,
                    "externalTrafficPolicy": "Local",
                    "serviceAnnotations": {"example.com/a": "1"},
                    "ports": [{"name": "http", "port": 8080, "targetPort": 8080, "nodePort": 30000}],
                    "rollingMaxUnavailable": 0,
                    "serviceAccount": {"annotations": {"example.com/role": "edge"}},
                    "tolerations": [{"key": "edge", "operator": "Exists"}],
                    "resources": {"requests": {"cpu": "5m"}},
                    "loadBalancerSourceRanges": ["10.0.0.0/8"],
                }
            }
        },
    },
    "mesh configuration in both places": {
        "meshConfig": {"accessLogFile": "/dev/stdout", "defaultConfig": {"proxyMetadata": {"A": "1"}}},
        "compatibilityVersion": "1.28",
        "values": {"meshConfig": {"accessLogFile": "/dev/null", "trustDomain": "example.com"}, "defaultRevision": "x"},
        "unvalidatedValues": {"pilot": {"nobodyKnows": 1, "env": {"SOME": "thing"}}},
    },
}


def _document(spec: dict) -> dict:
    return {"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator", "spec": spec}


class Istio:
    """What istioctl makes of every document, and the charts and documents that it was built with."""

    def __init__(self, env: dict[str, str], folder: pathlib.Path) -> None:
        self.env = env
        self.helm = shutil.which("helm", path=env["PATH"])
        source = pathlib.Path(env["LAB_ISTIO_SOURCE"])
        self.charts = str(source / "manifests" / "charts")
        self.inputs = {path.name: [path] for path in sorted((source / _INPUTS).glob("*.yaml"))}
        for name, spec in _OWN.items():
            path = folder / f"{name.replace(' ', '-')}.yaml"
            path.write_text(yaml.safe_dump(_document(spec)))
            self.inputs[name] = [path]
        base, above = self.inputs["pilot_k8s_settings.yaml"], self.inputs["pilot_merge_meshconfig.yaml"]
        self.inputs["two files"] = [*base, *above]
        self.hub, self.tag = self._images()
        self._rendered: dict[str, list[dict]] = {}
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            self.answers = dict(zip(self.inputs, pool.map(self._generate, self.inputs.values()), strict=True))

    def _generate(self, paths: list[pathlib.Path]) -> subprocess.CompletedProcess:
        files = [word for path in paths for word in ("-f", str(path))]
        istioctl = shutil.which("istioctl", path=self.env["PATH"])
        return subprocess.run(
            [istioctl, "manifest", "generate", *files], capture_output=True, text=True, timeout=120, check=False
        )

    def _images(self) -> tuple[str, str]:
        """The hub and tag that this istioctl was built with."""
        answer = self._generate(self.inputs["flag_output.yaml"])
        image = next(o for o in _objects(answer.stdout) if o["kind"] == "Deployment")["spec"]["template"]["spec"]
        hub, _slash, name = image["containers"][0]["image"].rpartition("/")
        return hub, name.partition(":")[2]

    def render(self, helm: Helm, release: Release) -> list[dict]:
        """A release's objects, from memory where an equal one was rendered before."""
        key = repr(release)
        if key not in self._rendered:
            self._rendered[key] = render(helm, release, options=RenderOptions(_KUBERNETES))
        return self._rendered[key]

    def translate(self, name: str) -> Translation:
        given = [str(path) for path in self.inputs[name]]
        return translate(given, TranslateOptions(charts=self.charts, hub=self.hub, tag=self.tag))


@pytest.fixture(scope="module")
def istio(api_server: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Istio:
    return Istio(api_server, tmp_path_factory.mktemp("documents"))


def _objects(text: str) -> list[dict]:
    found = [_object(part) for part in text.split("\n---\n")]
    return [obj for obj in found if obj]


@functools.cache  # most documents have the same CustomResourceDefinitions
def _object(text: str) -> dict | None:
    return yaml.load(text, Loader=_LOADER)


def _key(obj: dict) -> tuple[str, str, str]:
    return obj["kind"], obj["metadata"].get("namespace") or "", obj["metadata"]["name"]


def _plain(obj: dict) -> dict:
    """An object without the labels of its installer, and without what two ways of writing YAML differ in.

    Null is no field; and istioctl cuts the line break that a text at a document's end ends with.
    """
    obj = copy.deepcopy(obj)
    template = (obj.get("spec") or {}).get("template") or {}
    for metadata in (obj["metadata"], template.get("metadata") or {}):
        metadata["labels"] = {k: v for k, v in (metadata.get("labels") or {}).items() if k not in _INSTALLER}
    return _read(obj)


def _read(value):
    if isinstance(value, dict):
        return {key: _read(item) for key, item in value.items() if item is not None}
    if isinstance(value, str):
        return value.rstrip("\n")
    return [_read(item) for item in value] if isinstance(value, list) else value


def _sorted(objects: list[dict]) -> list[dict]:
    return sorted((_plain(o) for o in objects), key=lambda o: (_key(o), str(o.get("spec"))[:40]))


def _component(obj: dict) -> str:
    return (obj["metadata"].get("labels") or {}).get("operator.istio.io/component", "")


def _gateways(objects: list[dict]) -> list[dict]:
    """What is compared of gateways: all but roles, which have other names and say the same."""
    found = [_comparable(o) for o in objects if o["kind"] not in ("Role", "RoleBinding")]
    return sorted(found, key=lambda o: o["key"])


def _comparable(obj: dict) -> dict:
    """What istioctl's and the gateway chart's objects have in common; docs/istio-operator.md lists the rest."""
    obj = _plain(obj)
    spec, metadata = obj.get("spec") or {}, obj["metadata"]
    same: dict = {"key": _key(obj)}
    if obj["kind"] == "Service":
        ports = [{k: v for k, v in port.items() if (k, v) != ("targetPort", 0)} for port in spec["ports"]]
        return same | {"annotations": metadata.get("annotations") or {}, "spec": {**spec, "ports": ports}}
    if obj["kind"] == "ServiceAccount":
        return same | {"annotations": metadata.get("annotations") or {}}
    if obj["kind"] != "Deployment":
        return same | {"spec": spec}
    pod = spec["template"]["spec"]
    container = pod["containers"][0]
    assert container["name"] == "istio-proxy"
    chosen = spec["selector"]["matchLabels"]
    assert chosen.items() <= spec["template"]["metadata"]["labels"].items()
    affinity = {k: v for k, v in (pod.get("affinity") or {}).items() if v}
    return same | {
        "replicas": spec.get("replicas"),
        "selector": spec["selector"],
        "strategy": spec.get("strategy"),
        "affinity": affinity,
        "container": {k: container.get(k) for k in ("resources", "imagePullPolicy")},
        "security": _security(container),
        **{k: pod.get(k) for k in ("serviceAccountName", "tolerations", "nodeSelector", "priorityClassName")},
    }


def _security(container: dict) -> dict:
    """What a gateway's container may do. Which user it runs as, the injector says: on OpenShift the project's."""
    context = container.get("securityContext") or {}
    return {k: v for k, v in context.items() if k not in ("runAsUser", "runAsGroup", "runAsNonRoot")}


def test_a_gateway_of_openshift_brings_no_user_of_its_own(istio: Istio) -> None:
    (release,) = [one for one in istio.translate("profile openshift").releases if one.chart == "gateway"]
    assert release.values["platform"] == "openshift"
    with Helm(binary=istio.helm) as helm:
        deployment = next(o for o in istio.render(helm, release) if o["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    contexts = [pod.get("securityContext") or {}, pod["containers"][0].get("securityContext") or {}]
    assert not [context for context in contexts if {"runAsUser", "runAsGroup"} & set(context)]


def test_every_document_of_istio_is_here(istio: Istio) -> None:
    istios = {name for name in istio.inputs if name.endswith(".yaml")}
    assert istios == {f"{name}.yaml" for name in _ACCEPTED} | set(_REFUSED)
    assert {name for name in istios if istio.answers[name].returncode} == set(_REFUSED)


@pytest.mark.parametrize("name", [*(f"{name}.yaml" for name in _ACCEPTED), *_OWN, "two files"])
def test_same_objects(istio: Istio, name: str) -> None:
    answer = istio.answers[name]
    assert answer.returncode == 0, answer.stderr
    theirs = _objects(answer.stdout)
    translation = istio.translate(name)
    ours, gateways = [], []
    with Helm(binary=istio.helm) as helm:
        for release in translation.releases:
            objects = istio.render(helm, release)
            (gateways if release.chart == "gateway" else ours).extend(objects)

    components = [o for o in theirs if _component(o) not in _GATEWAYS]
    for mine, other in zip(_sorted(ours), _sorted(components), strict=False):
        assert mine == other
    assert len(ours) == len(components)

    assert _gateways(gateways) == _gateways([o for o in theirs if _component(o) in _GATEWAYS])


@pytest.mark.parametrize("name", _REFUSED)
def test_same_refusals(istio: Istio, name: str) -> None:
    with pytest.raises(MeshopsError) as refusal:
        istio.translate(name)
    message = str(refusal.value)
    assert _REFUSED[name] in message
    assert name in message, "it says which file"


def test_settings_reach_a_gateway(istio: Istio) -> None:
    """The settings whose place istioctl fills by itself, so that they can't be compared."""
    translation = istio.translate("every k8s setting")
    release = next(release for release in translation.releases if release.name == "edge")
    with Helm(binary=istio.helm) as helm:
        deployment = next(
            o for o in render(helm, release, options=RenderOptions(_KUBERNETES)) if o["kind"] == "Deployment"
        )
    pod = deployment["spec"]["template"]
    container = pod["spec"]["containers"][0]
    assert container["env"] == _POD_SETTINGS["env"]
    assert container["readinessProbe"] == _POD_SETTINGS["readinessProbe"]
    assert pod["metadata"]["annotations"].items() >= _POD_SETTINGS["podAnnotations"].items()
    assert pod["spec"]["securityContext"].items() >= _POD_SETTINGS["securityContext"].items()


def test_patches_that_hit_nothing_are_named(istio: Istio) -> None:
    translation = istio.translate("overlays by every kind of path")
    warnings: list[str] = []
    with Helm(binary=istio.helm) as helm:
        for release in translation.releases:
            render(helm, release, warnings, options=RenderOptions(_KUBERNETES))
    assert [warning.split(" changes nothing")[0] for warning in warnings] == [
        "patch of Deployment istiod-canary at spec.template.spec.containers.[name:nobody].image",
        "patch of Service nobody at spec",
    ]
