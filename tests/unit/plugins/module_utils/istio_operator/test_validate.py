# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.istio_operator.validate import check_document


def document(**spec) -> dict:
    return {"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator", "spec": spec}


def problems(**spec) -> list[str]:
    with pytest.raises(MeshopsError) as refusal:
        check_document(document(**spec))
    return [line.strip() for line in str(refusal.value).splitlines()[1:]]


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"profle": "demo"}, "spec.profle: unknown field; did you mean profile?"),
        ({"components": {"pilots": {}}}, "spec.components.pilots: unknown field; did you mean pilot?"),
        ({"components": {"pilot": {"label": {}}}}, "spec.components.pilot.label: unknown field"),
        ({"components": {"pilot": []}}, "spec.components.pilot: must be a dictionary, got []"),
        ({"components": {"ingressGateways": {}}}, "spec.components.ingressGateways: must be a list, got {}"),
        ({"components": {"cni": {"enabled": "yes"}}}, "cni.enabled: must be true or false, got 'yes'"),
        (
            {"components": {"pilot": {"k8s": {"tolerations": [{"keys": "a"}]}}}},
            "spec.components.pilot.k8s.tolerations[0].keys: unknown field; did you mean key?",
        ),
        (
            {"components": {"pilot": {"k8s": {"resources": {"limits": {"cpu": "lots"}}}}}},
            "spec.components.pilot.k8s.resources.limits.cpu: must be a quantity such as 100m or 1Gi, got",
        ),
        (
            {"components": {"pilot": {"k8s": {"podAnnotations": {"a": 1}}}}},
            "spec.components.pilot.k8s.podAnnotations.a: must be a string, got 1",
        ),
        (
            {"components": {"pilot": {"k8s": {"overlays": [{"name": "x", "patches": [{"path": "a.[b.c]"}]}]}}}},
            "spec.components.pilot.k8s.overlays[0].kind: is missing",
        ),
        ({"components": {"ingressGateways": [{"enabled": True}]}}, "components.ingressGateways[0].name: is missing"),
        (
            {"components": {"ingressGateways": [{"name": "a", "k8s": {"service": {"ports": [{"port": 80}]}}}]}},
            "spec.components.ingressGateways[0].k8s.service.ports[0].targetPort: 80 needs root",
        ),
        ({"values": {"pilot": {"autoscaleMin": "two"}}}, "spec.values.pilot.autoscaleMin: must be an int"),
        ({"values": {"global": {"proxy": {"includeIPRanges": "10.0.0.0"}}}}, "global.proxy.includeIPRanges"),
        ({"values": {"global": {"proxy": {"excludeInboundPorts": "80,x"}}}}, "'x' is not a valid port"),
        ({"meshConfig": {"accessLogFil": "x"}}, "spec.meshConfig.accessLogFil: unknown field; did you mean"),
        ({"meshConfig": {"defaultConfig": {"concurrency": []}}}, "defaultConfig.concurrency: must be an int"),
        ({"revision": "1.31"}, "spec.revision: '1.31' is not a valid DNS label"),
        ({"tag": "a b"}, "spec.tag: 'a b' is not a valid image tag"),
        ({"hub": "https://example.com"}, "spec.hub: 'https://example.com' is not a valid image registry"),
        ({"unvalidatedValues": "x"}, "spec.unvalidatedValues: must be a dictionary, got 'x'"),
    ],
)  # fmt: skip
def test_refusal_names_the_path(spec: dict, problem: str) -> None:
    assert any(problem in found for found in problems(**spec)), problems(**spec)


def test_every_problem_is_named_at_once() -> None:
    assert len(problems(profle="x", tags="y", values={"nope": 1})) == 3


@pytest.mark.parametrize("wrong", [{}, {"apiVersion": "v1"}, {"kind": "IstioOperator"}, [], "text", None])
def test_something_else_than_a_document(wrong: object) -> None:
    with pytest.raises(MeshopsError):
        check_document(wrong)


def test_mesh_configuration_may_be_written_in_protobufs_way() -> None:
    check_document(document(meshConfig={"access_log_file": "/dev/stdout", "enable_auto_mtls": True}))


NEWER = {"accessLogFile": "/dev/stdout", "fromTheFuture": True}


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"meshConfig": NEWER}, "spec.meshConfig.fromTheFuture"),
        ({"values": {"meshConfig": NEWER}}, "spec.values.meshConfig.fromTheFuture"),
        ({"unvalidatedValues": {"meshConfig": NEWER}}, "spec.unvalidatedValues.meshConfig.fromTheFuture"),
    ],
)
def test_mesh_configuration_is_checked_wherever_it_is_and_as_its_version_knows_it(spec: dict, path: str) -> None:
    assert [problem.partition(": unknown field")[0] for problem in problems(**spec)] == [path]
    check_document(document(**spec), istio="1.99.0")
