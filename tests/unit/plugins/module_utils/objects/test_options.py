# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.objects.options import ApplyOptions


@pytest.mark.parametrize(
    ("options", "takes"),
    [
        ({}, set()),
        ({"force_conflicts": True}, {"kubectl-edit", "rollouts-controller"}),
        ({"force_conflicts_from": ("kubectl-edit",)}, {"kubectl-edit"}),
        ({"force_conflicts": True, "force_conflicts_from": ("kubectl-edit",)}, {"kubectl-edit"}),
    ],
)
def test_conflicts_are_forced_only_where_asked_for(options, takes):
    managers = ("kubectl-edit", "rollouts-controller")
    assert {manager for manager in managers if ApplyOptions(**options).takes_over(manager)} == takes


def test_items_of_controllers_are_removed_only_by_name():
    assert not ApplyOptions(force_conflicts=True).takes_items("rollouts-controller")
    assert ApplyOptions(force_conflicts=True).takes_items("kubectl-client-side-apply")
    assert ApplyOptions(force_conflicts_from=("rollouts-controller",)).takes_items("rollouts-controller")


@pytest.mark.parametrize(
    ("options", "declared", "message"),
    [
        ({"namespace": ""}, 1, "namespace is empty"),
        ({"settle": -1}, 1, "settle is -1"),
        ({"prune": True}, 1, "set the option owner"),
        ({"prune": True, "owner": "o"}, 0, "prune_all"),
        ({"prune": True, "owner": "o", "state": "absent"}, 1, "contradict each other"),
    ],
)
def test_contradictions_are_refused(options, declared, message):
    with pytest.raises(MeshopsError, match=message):
        ApplyOptions(**options).check(declared)
