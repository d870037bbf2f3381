# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.checks import (
    check_default_tag,
    check_kubernetes,
    check_platform,
)
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.declared import desired_control_plane
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError

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
    with pytest.raises(MeshopsError, match=said):
        check_platform(groups.__contains__, desired_control_plane(variables).releases)


@pytest.mark.parametrize(("kubernetes", "istio"), [("1.32.0", "1.31.0"), ("1.31.4", "1.29.1"), ("1.20.0", "1.19.0")])
def test_a_kubernetes_that_is_new_enough(kubernetes, istio):
    check_kubernetes(kubernetes, istio)


@pytest.mark.parametrize(
    ("kubernetes", "istio", "needed"),
    [
        ("v1.31.9", "1.30.2", "1.32"),
        ("v1.31.9", "1.99.0", "1.32"),
        ("v1.24.0", "1.29.1", "1.31"),
        ("v1.24.9", "1.20.0", "1.25"),
    ],
)
def test_a_kubernetes_that_is_too_old(kubernetes, istio, needed):
    with pytest.raises(MeshopsError, match=f"runs Kubernetes {kubernetes}, and Istio {istio} needs {needed} or newer"):
        check_kubernetes(kubernetes, istio)


# -- what the label istio-injection=enabled means ------------------------------


class Cluster:
    """Has the injectors of some revisions, and what validates objects without a revision."""

    def __init__(self, *injectors, validator=None):
        self.injectors, self.validator = injectors, validator

    def list(self, _kind, labels):
        found = []
        for one in self.injectors:
            has = one["metadata"]["labels"]
            tagged = has.get("istio.io/tag") == "default" and has["istio.io/rev"] != "default"
            own = has["istio.io/rev"] == "default" and "istio.io/tag" not in has
            if {"istio.io/tag=default,istio.io/rev!=default": tagged, "istio.io/rev=default,!istio.io/tag": own}[
                labels
            ]:
                found.append(one)
        return found

    def get(self, _kind, name):
        assert name == "istiod-default-validator"
        return self.validator


def injector(revision, selector=None, **labels):
    selector = selector or {"matchExpressions": [{"key": "istio-injection", "operator": "In", "values": ["enabled"]}]}
    meta = {"name": "istio-sidecar-injector", "labels": {"istio.io/rev": revision, **labels}}
    return {"metadata": meta, "webhooks": [{"namespaceSelector": selector}]}


def test_the_tag_default_and_a_control_plane_without_a_revision_can_not_be_both():
    next_, none = ({"revision": "next", "tags": ["default"]}, {})
    tagged = injector("old", **{"istio.io/tag": "default"})
    with pytest.raises(MeshopsError, match="the tag default can't point to revision next while .*injection_revision"):
        check_default_tag(Cluster(injector("default")), desired_control_plane(next_))
    with pytest.raises(MeshopsError, match="the tag default can't point"):
        check_default_tag(Cluster(injector("default")), desired_control_plane({**next_, "hold_tags": True}))
    with pytest.raises(MeshopsError, match="the tag default points to revision old"):
        check_default_tag(Cluster(tagged), desired_control_plane(none))

    deactivated = injector("default", {"matchLabels": {"istio.io/deactivated": "never-match"}})
    check_default_tag(Cluster(deactivated, tagged), desired_control_plane(next_))
    check_default_tag(Cluster(tagged), desired_control_plane({"tags": ["default"]}))
    check_default_tag(Cluster(injector("default")), desired_control_plane({"revision": "next", "tags": ["prod"]}))
    check_default_tag(Cluster(injector("default")), desired_control_plane(none))
