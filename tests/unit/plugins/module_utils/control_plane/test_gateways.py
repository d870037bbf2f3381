# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.filter.gateway_releases import releases as filtered
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.gateways import (
    READINESS_PROBE,
    gateway_releases,
)
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError


def test_ingress_keeps_the_chart_s_own_service_and_egress_stays_inside():
    ingress, egress = gateway_releases([{"name": "in"}, {"name": "out", "direction": "egress", "namespace": "edge"}])
    assert (ingress.name, ingress.chart, ingress.namespace, ingress.values) == (
        "in",
        "gateway",
        "istio-system",
        {"service": {}, "readinessProbe": READINESS_PROBE},
    )
    assert (egress.namespace, egress.values["service"]) == ("edge", {"type": "ClusterIP"})


def test_service_and_values_come_over_it():
    given = {"name": "g", "direction": "egress", "service": {"type": "NodePort"}, "values": {"labels": {"a": "b"}}}
    (release,) = gateway_releases([given], "edge", revision="1-31", platform="openshift")
    assert release.values == {
        "service": {"type": "NodePort"},
        "labels": {"a": "b"},
        "revision": "1-31",
        "platform": "openshift",
        "readinessProbe": READINESS_PROBE,
    }


def test_a_readiness_probe_of_one_s_own_is_taken_as_it_is():
    own = {"tcpSocket": {"port": 15021}}
    (release,) = gateway_releases([{"name": "g", "values": {"readinessProbe": own}}])
    assert release.values["readinessProbe"] == own


def test_a_route_needs_no_load_balancer():
    given = {"name": "g", "openshift_route": {"host": "shop.example.com", "tls": {"termination": "passthrough"}}}
    release, other = gateway_releases([given, {"name": "other"}], "edge")
    assert release.values["service"] == {"type": "ClusterIP"}
    assert other.objects == []
    (route,) = release.objects
    assert route["metadata"] == {"name": "g", "namespace": "edge"}
    assert route["spec"] == {
        "to": {"kind": "Service", "name": "g", "weight": 100},
        "port": {"targetPort": "http2"},
        "host": "shop.example.com",
        "tls": {"termination": "passthrough"},
    }
    (plain,) = gateway_releases([{"name": "g", "openshift_route": True}])
    assert plain.objects[0]["spec"]["port"] == {"targetPort": "http2"}


@pytest.mark.parametrize(
    ("gateway", "said"),
    [
        ({}, "at least a name"),
        ("in", "at least a name"),
        ({"name": "g", "directoin": "egress"}, r"gateway g has no field 'directoin' \(did you mean direction\?\)"),
        ({"name": "g", "direction": "both"}, "direction can't be 'both': it is ingress or egress"),
        ({"name": "g", "state": "gone"}, "state can't be 'gone': it is present or absent"),
        ({"name": "g", "service": "NodePort"}, "service must be a dict, not 'NodePort'"),
        (
            {"name": "g", "openshift_route": {"hots": "x"}},
            r"openshift_route has no field 'hots' \(did you mean host\?\)",
        ),
        ({"name": "g", "openshift_route": "yes"}, "openshift_route must be true or a dict"),
    ],
)
def test_mistakes_are_named(gateway, said):
    with pytest.raises(MeshopsError, match=said):
        gateway_releases([gateway])


def test_what_is_said_of_the_chart_stands_in_each_release():
    given = [{"name": "g"}]
    (plain,) = filtered(given)
    assert set(plain) == {"name", "namespace", "chart", "values", "objects"}
    (pinned,) = filtered(
        given, source={"digests": {"gateway": "sha256:1", "base": "sha256:2"}, "charts": "oci://x", "version": "1.31.0"}
    )
    assert (pinned["digest"], pinned["charts"], pinned["version"]) == ("sha256:1", "oci://x", "1.31.0")


def test_absent_gateway():
    (absent,) = filtered([{"name": "g", "state": "absent", "service": {}}], "edge", source={"version": "1.31.0"})
    assert absent == {"name": "g", "namespace": "edge", "chart": "gateway", "state": "absent"}
