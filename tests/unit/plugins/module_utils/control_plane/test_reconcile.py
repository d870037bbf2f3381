# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import types

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.control_plane import reconcile
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.declared import desired_control_plane
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.options import CONTROL_PLANE_OPTIONS
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.proof import Gap, NotProven, Proof, Unproven
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.reconcile import (
    add_proof,
    reconcile_control_plane,
)
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from fakes.api_server import ApiServer
from fakes.helm import FakeHelm
from fakes.objects import obj


class Module:
    """A module in check mode, with the options of meshops.istio.control_plane."""

    check_mode, _diff = True, False

    def __init__(self, **params):
        defaults = {"hold_tags": False, "retiring": [], "remove_undeclared": True, "prove": True, "wait": True}
        more = {"wait_timeout": 1, "take_ownership": False, "atomic": False}
        self.params = {**dict.fromkeys(CONTROL_PLANE_OPTIONS), **defaults, **more, **params}
        self.warnings = []

    def warn(self, line):
        self.warnings.append(line)


class Server(ApiServer):
    def server_version(self):
        return "v1.34.0"


TAG = obj("MutatingWebhookConfiguration", "istio-revision-tag-prod", labels={"istio.io/tag": "prod"})
HELM = FakeHelm({"base": [], "istiod": [TAG], "cni": []}, version="1.31.0")


def test_check_mode_plans_every_release_and_proves_nothing():
    server = Server()
    result = reconcile_control_plane(Module(revision="1-31", tags=["prod"], cni=True), server, HELM)
    assert [release["name"] for release in result["releases"]] == [
        "istio-base",
        "istio-cni",
        "istiod-1-31",
        "istio-tag-prod",
    ]
    reported = {name: result[name] for name in ("revision", "namespace", "tags", "platform")}
    assert reported == {"revision": "1-31", "namespace": "istio-system", "tags": ["prod"], "platform": ""}
    assert "proof" not in result
    assert server.writes == []


def test_cluster_is_checked_before_anything_is_planned():
    with pytest.raises(MeshopsError, match="no API of security.openshift.io"):
        reconcile_control_plane(Module(profile="openshift"), Server(), HELM)


def test_objects_of_istioctl_lead_to_adoption():
    with pytest.raises(MeshopsError, match="Set take_ownership .*is adopted by the playbook meshops.istio.adopt"):
        reconcile_control_plane(Module(), Server([TAG]), HELM)


@pytest.fixture
def proven(monkeypatch):
    gap = Unproven(Gap.POD_REFUSED, "a policy refuses its pod")
    found = Proof("1.31.0", "proxyv2:1.31.0", (gap,))
    monkeypatch.setattr(reconcile, "prove", lambda *_arguments: found)


def test_proof_is_returned_and_what_it_could_not_show_is_a_warning(proven):
    module, result = Module(), {}
    add_proof(module, None, desired_control_plane({}), result)
    assert result["proof"] == {
        "version": "1.31.0",
        "proxy_image": "proxyv2:1.31.0",
        "unproven": [{"reason": "pod_refused", "message": "a policy refuses its pod"}],
    }
    assert len(module.warnings) == 1


@pytest.mark.parametrize(
    ("params", "options"), [({"wait": False}, {}), ({}, {"profile": "empty"}), ({}, {"profile": "remote"})]
)
def test_what_is_not_waited_for_or_runs_elsewhere_is_not_proven(proven, params, options):
    result = {}
    add_proof(Module(**params), None, desired_control_plane(options), result)
    assert result == {}


def test_failed_proof_has_the_result_of_what_was_installed(monkeypatch):
    def fails(*_arguments):
        raise NotProven("istiod does not answer")

    monkeypatch.setattr(reconcile, "prove", fails)
    with pytest.raises(NotProven) as failure:
        add_proof(Module(), types.SimpleNamespace(), desired_control_plane({}), {"changed": True})
    assert failure.value.result == {"changed": True}
