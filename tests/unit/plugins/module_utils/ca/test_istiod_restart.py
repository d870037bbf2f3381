# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When a Deployment's own strategy would end an istiod too early."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.ca.istiod_restart import may_end_early


@pytest.mark.parametrize(
    ("replicas", "strategy", "early"),
    [
        (1, {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "100%", "maxUnavailable": "25%"}}, False),
        (3, {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "100%", "maxUnavailable": "25%"}}, False),
        (4, {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "100%", "maxUnavailable": "25%"}}, True),
        (4, {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}, False),
        (1, {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}, True),
        (1, {"type": "Recreate"}, True),
        (1, {}, False),
    ],
)
def test_strategies(replicas, strategy, early):
    assert may_end_early({"replicas": replicas, "strategy": strategy}) is early
