# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.helm.releases import Release
from ansible_collections.meshops.istio.plugins.module_utils.helm.stored import Stored
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.plan import Change
from ansible_collections.meshops.istio.plugins.module_utils.releases.model import (
    Action,
    Cause,
    Reason,
    ReleasePlan,
)


def stored(revision, status="deployed"):
    return Stored("r", "n", revision, status, "", {}, "c", "1", "", {}, "csa", 0, {})


@pytest.mark.parametrize(
    ("newest", "action", "revision"),
    [
        (None, Action.INSTALL, 1),
        (stored(3), Action.UPGRADE, 4),
        (stored(3, "failed"), Action.UPGRADE, 4),
        (stored(3), Action.NONE, 3),
        (stored(3, "pending-upgrade"), Action.UPGRADE, 3),
        (stored(3, "uninstalling"), Action.INSTALL, 1),
    ],
)
def test_revision_that_helm_creates(newest, action, revision):
    assert ReleasePlan(Release("r", "c", "n"), action, stored=newest).revision == revision


def test_report_has_a_code_for_each_reason():
    drift = Change("update", "v1", "Service", "n", "s", reasons=["spec.x is not 1"])
    causes = (Cause(Reason.OWNER, "its record is labelled"),)
    plan = ReleasePlan(Release("r", "c", "n"), causes=causes, repairs=(drift,), relabel=True)
    report = plan.report()
    assert plan.changed
    assert report["action"] == "repair"
    assert report["reasons"] == ["its record is labelled", "Service n/s: spec.x is not 1"]
    assert report["reason_codes"] == ["owner", "drift"]
    assert not ReleasePlan(Release("r", "c", "n")).changed
