# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import doctest

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster import auth, proxy
from ansible_collections.meshops.istio.plugins.module_utils.cluster.proxy import bypasses


@pytest.mark.parametrize("module", [proxy, auth])
def test_examples(module):
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("server", "no_proxy", "expected"),
    [
        ("https://api.example.com:6443", "example.com", True),
        ("https://example.com", ".example.com", False),
        ("https://notexample.com", "example.com", False),
        ("https://api.example.com", "*.example.com", True),
        ("https://api.example.com:6443", "api.example.com:6443", True),
        ("https://10.0.0.1", "10.0.0.2,10.1.0.0/16", False),
        ("https://[fd00::1]:6443", "fd00::/8", True),
        ("https://anything", "*", True),
        ("https://anything", "", False),
    ],
)
def test_no_proxy_is_read_as_kubectl_reads_it(server, no_proxy, expected):
    assert bypasses(server, no_proxy) is expected
