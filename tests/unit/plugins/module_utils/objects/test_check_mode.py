# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What check mode can and cannot try on the server."""

from __future__ import annotations

from ansible_collections.meshops.istio.plugins.module_utils.objects.check_mode import Untried, _untriable, _untried
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.plan import plan
from fakes.objects import obj


def test_what_needs_a_namespace_or_a_kind_of_this_run_is_not_tried():
    declared = [
        obj("Namespace", "shop", namespace=None),
        obj("VirtualService", "inside"),
        obj("VirtualService", "outside", namespace="other"),
        obj("Gateway", "g", namespace="other"),
    ]
    changes = plan(declared, [])
    tried, outcomes = _untried(changes, {(declared[3]["apiVersion"], "Gateway")})
    assert [change.name for change in tried] == ["shop", "outside"]
    assert {change.name: outcomes[change.key].reason for change in changes if change.key in outcomes} == {
        "inside": "NamespaceCreatedInThisRun",
        "g": "KindNotServedYet",
    }


def test_an_object_that_exists_is_tried_in_a_namespace_that_is_created():
    live = obj("VirtualService", "a", hosts=["a"])
    changes = plan([obj("Namespace", "shop", namespace=None), obj("VirtualService", "a", hosts=["b"])], [live])
    tried, outcomes = _untried(changes, set())
    assert len(tried) == 2
    assert outcomes == {}


def test_an_outcome_that_could_not_be_checked_tells_what_would_be_done():
    [change] = plan([obj("VirtualService", "a")], [])
    outcome = _untriable(change, Untried.NAMESPACE_MISSING, "why")
    assert (outcome.action, outcome.note, outcome.reason, outcome.error) == (
        "created",
        "why",
        "NamespaceMissing",
        None,
    )
