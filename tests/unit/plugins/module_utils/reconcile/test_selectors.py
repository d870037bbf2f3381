# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.selectors import matches


@pytest.mark.parametrize(
    ("selector", "met"),
    [
        ({"matchLabels": {"mesh": "yes"}}, True),
        ({"matchLabels": {"mesh": "no"}}, False),
        ({"matchExpressions": [{"key": "mesh", "operator": "In", "values": ["yes"]}]}, True),
        ({"matchExpressions": [{"key": "mesh", "operator": "NotIn", "values": ["yes"]}]}, False),
        ({"matchExpressions": [{"key": "other", "operator": "Exists"}]}, False),
        ({"matchExpressions": [{"key": "other", "operator": "DoesNotExist"}]}, True),
    ],
)
def test_matches(selector, met):
    assert matches(selector, {"mesh": "yes"}) is met
