# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every mesh that this collection installs can take another root CA while it runs."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.from_profile import desired_releases
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.options import ControlPlaneOptions


@pytest.mark.parametrize("profile", ["default", "demo", "minimal", "openshift"])
def test_istiod_and_proxies_follow_their_ca(profile):
    given = {"profile": profile, "mesh_config": {"defaultConfig": {"proxyMetadata": {"OTHER": "1"}}}}
    (istiod,) = (release for release in desired_releases(ControlPlaneOptions.of(given)) if release.chart == "istiod")
    assert istiod.values["env"]["ISTIO_MULTIROOT_MESH"] == "true"
    metadata = istiod.values["meshConfig"]["defaultConfig"]["proxyMetadata"]
    assert metadata == {"PROXY_CONFIG_XDS_AGENT": "true", "OTHER": "1"}


def test_a_user_may_have_it_otherwise():
    given = {"values": {"istiod": {"env": {"ISTIO_MULTIROOT_MESH": "false"}}}}
    (istiod,) = (release for release in desired_releases(ControlPlaneOptions.of(given)) if release.chart == "istiod")
    assert istiod.values["env"]["ISTIO_MULTIROOT_MESH"] == "false"
