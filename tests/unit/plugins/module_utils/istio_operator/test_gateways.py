# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.helm.releases import Release
from ansible_collections.meshops.istio.plugins.module_utils.istio_operator.translate import translate


def document(**spec) -> dict:
    return {"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator", "spec": spec}


def release(gateway: dict, **spec) -> Release:
    """The release of the only ingress gateway of a document."""
    translation = translate(document(components={"ingressGateways": [gateway]}, **spec))
    return next(release for release in translation.releases if release.name == gateway["name"])


def test_gateways_own_labels_select_its_pods() -> None:
    gateway = {"name": "edge", "namespace": "edge", "label": {"istio": "edge", "team": "web"}}
    edge = release(gateway)
    assert (edge.chart, edge.namespace) == ("gateway", "edge")
    assert edge.values["labels"] == {"app": "istio-ingressgateway", "istio": "edge", "team": "web"}
    assert edge.values["service"]["selectorLabels"] == {"team": "web"}
    assert edge.patches[0]["merge"] == {"spec": {"selector": {"matchLabels": {"team": "web"}}}}


def test_ports_of_a_gateway_are_values() -> None:
    ports = [{"name": "tls", "port": 15443, "targetPort": 15443}]
    gateway = {"name": "edge", "k8s": {"service": {"ports": ports, "type": "NodePort"}}}
    edge = release(gateway)
    assert edge.values["service"]["ports"] == ports
    assert edge.patches == [{"kind": "Service", "name": "edge", "merge": {"spec": {"type": "NodePort"}}}]


def test_image_of_a_gateway() -> None:
    gateway = {"name": "edge", "tag": "special"}
    edge = release(gateway, hub="example.com/hub")
    image = "example.com/hub/proxyv2:special"
    assert edge.values["podAnnotations"]["sidecar.istio.io/proxyImage"] == image
    with pytest.raises(MeshopsError, match="set both"):
        release(gateway)


def test_value_that_a_gateway_can_not_have_is_named() -> None:
    values = {"gateways": {"istio-ingressgateway": {"podAntiAffinityLabelSelector": [{"key": "app"}]}}}
    warnings = translate(document(values=values)).warnings
    assert len(warnings) == 1
    assert "istio-ingressgateway.podAntiAffinityLabelSelector has no effect" in warnings[0]
