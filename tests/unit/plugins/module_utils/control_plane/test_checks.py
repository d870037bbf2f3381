# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.checks import WrongPlatform, check_platform
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.declared import desired_control_plane

ALL = {"security.openshift.io", "k8s.cni.cncf.io"}


@pytest.mark.parametrize(
    ("variables", "groups"),
    [
        ({"profile": "demo", "cni": True}, set()),
        ({"profile": "openshift"}, ALL),
        ({"profile": "openshift-ambient"}, ALL),
        ({"profile": "openshift", "cni": False}, {"security.openshift.io"}),
        ({"profile": "openshift", "values": {"cni": {"provider": "default"}}}, {"security.openshift.io"}),
    ],
)
def test_a_cluster_of_the_platform(variables, groups):
    check_platform(groups.__contains__, desired_control_plane(variables).releases)


@pytest.mark.parametrize(
    ("variables", "groups", "said"),
    [
        ({"profile": "openshift"}, set(), "this cluster has no API of security.openshift.io: choose another profile"),
        ({"istio_operator": {"profile": "openshift"}}, set(), "no API of security.openshift.io"),
        ({"values": {"istiod": {"global": {"platform": "openshift"}}}}, set(), "no API of security.openshift.io"),
        ({"profile": "openshift"}, {"security.openshift.io"}, "no API of k8s.cni.cncf.io: enable Multus"),
    ],
)
def test_another_cluster_is_refused(variables, groups, said):
    if "istio_operator" in variables:
        document = {"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator"}
        variables = {"istio_operator": [{**document, "spec": variables["istio_operator"]}]}
    with pytest.raises(WrongPlatform, match=said):
        check_platform(groups.__contains__, desired_control_plane(variables).releases)
