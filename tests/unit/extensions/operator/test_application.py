# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The variables with which an object is applied; with playbooks that the test stands in for."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.extensions.operator import application, documents
from ansible_collections.meshops.istio.extensions.operator.application import Applier
from ansible_collections.meshops.istio.extensions.operator.supervision import Heartbeat
from fakes.istio_operators import SETTINGS
from fakes.operator_runs import REF, Objects, Playbooks


@pytest.fixture
def playbooks(monkeypatch):
    found = Playbooks()
    monkeypatch.setattr(application.playbook, "run", found)
    return found


@pytest.fixture
def apply(playbooks):
    objects = Objects()
    objects.obj["spec"] = {"revision": "canary"}

    def run(left_over=(), retiring=()):
        share = documents.shares([objects.obj], SETTINGS)[REF]
        Applier(SETTINGS, objects, "kubeconfig").apply(share, left_over, retiring, Heartbeat())
        ((name, variables),) = playbooks.played
        return name, variables

    return run


def test_an_object_is_applied_as_a_document_and_removes_nothing_of_others(apply):
    name, variables = apply()
    assert name == "apply"
    assert variables["control_plane_istio_operator"]["spec"] == {"revision": "canary"}
    assert variables["control_plane_remove_undeclared"] is False
    assert variables["operator_left_over"] == []


def test_what_it_no_longer_declares_is_uninstalled(apply):
    _name, variables = apply([{"name": "istio-ingress", "namespace": "mesh", "chart": "gateway"}], ["default"])
    assert variables["operator_left_over"] == [{"name": "istio-ingress", "namespace": "mesh", "state": "absent"}]
    assert variables["control_plane_retiring"] == ["default"]
