# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When a Deployment's own strategy would end an istiod too early."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.ca import istiod_restart
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


def test_wait_for_new_finds_the_pods_of_its_own_deployment():
    def pod(name, deployment, token):
        owner = {"controller": True, "kind": "ReplicaSet", "name": f"{deployment}-h"}
        meta = {"name": name, "labels": {"pod-template-hash": "h"}, "ownerReferences": [owner]}
        meta["annotations"] = {istiod_restart._RESTARTED: token}
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        return {"metadata": meta, "spec": {"containers": [{"name": "discovery"}]}, "status": ready}

    class Pods:
        def list(self, _kind, _namespace):
            return [pod("old", "istiod", "1"), pod("new", "istiod", "2"), pod("other", "istiod-canary", "1")]

    deployment = {"metadata": {"name": "istiod", "namespace": "istio-system"}, "spec": {}}
    old = istiod_restart._wait_for_new(Pods(), deployment, "2", timeout=0)
    assert [each["metadata"]["name"] for each in old] == ["old"]
