# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Profiles, and the releases of a control plane."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.mesh import profiles


def test_an_unknown_profile_gets_a_suggestion():
    with pytest.raises(MeshopsError, match=r"unknown profile 'ambeint'.*ambient.*Istio has default, demo"):
        profiles.profile("ambeint")


@pytest.mark.parametrize("name", profiles.PROFILES)
def test_what_a_component_needs_is_part_of_its_profile(name):
    components = profiles.profile(name).components
    for component in components:
        assert set(profiles.RELEASE_ORDER[component]) <= {*components, "cni"}
    if "ztunnel" in components:
        assert {"cni", "istiod"} <= set(components)


def test_openshift_keeps_node_components_in_kube_system():
    assert profiles.profile("openshift").node_namespace == "kube-system"
    assert profiles.profile("default").node_namespace == ""


def test_names_of_releases():
    assert profiles.istiod_release_name(None) == "istiod"
    assert profiles.istiod_release_name("canary") == "istiod-canary"
    assert profiles.tag_release_name("prod") == "istio-tag-prod"
