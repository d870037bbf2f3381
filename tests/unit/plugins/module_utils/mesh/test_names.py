# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which groups, keys and kinds are Istio's."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.mesh import names


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("istio.io", True),
        ("networking.istio.io", True),
        ("sailoperator.io", True),
        ("notistio.io", False),
        ("istio.io.example.com", False),
        ("", False),
    ],
)
def test_groups(group, expected):
    assert names.istio_group(group) is expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("istio-injection", True),
        ("sidecar.istio.io/inject", True),
        ("istio.io/rev", True),
        ("istio.io", False),
        ("example.com/istio.io", False),
        ("istio-injection-x", False),
    ],
)
def test_keys(key, expected):
    assert names.istio_key(key) is expected


@pytest.mark.parametrize(("finalizer", "expected"), [("istio-finalizer.install.istio.io", True), ("kubernetes", False)])
def test_finalizers(finalizer, expected):
    assert names.istio_finalizer(finalizer) is expected


@pytest.mark.parametrize(
    ("kind", "expected"), [("Gateway", True), ("HTTPRoute", True), ("GatewayClass", False), ("ReferenceGrant", False)]
)
def test_kinds_of_the_gateway_api_that_users_write(kind, expected):
    assert names.gateway_api(names.GATEWAY_API, kind) is expected
    assert not names.gateway_api("networking.istio.io", kind)
