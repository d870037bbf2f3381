# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A proxy that nothing is known of yet."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.proxies.proxy import Proxy


def test_a_proxy_is_named_by_its_pod():
    assert Proxy("shop", "web-1").name == "shop/web-1"


def test_what_was_not_read_is_not_empty():
    proxy = Proxy("shop", "web-1")
    assert proxy.roots is None
    assert proxy.mounted is None


def test_a_proxy_is_a_value():
    assert Proxy("shop", "web-1") == Proxy("shop", "web-1")
    with pytest.raises(dataclasses.FrozenInstanceError):
        Proxy("shop", "web-1").pod = "other"
