# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which kinds a namespace is listed by."""

from __future__ import annotations

import concurrent.futures

from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.footprint.footprint import footprint
from ansible_collections.meshops.istio.plugins.module_utils.footprint.listing import namespaced_kinds


class Apis:
    """An API server with groups of several versions.

    :param served: group version -> the kinds that it serves
    :param broken: group versions that do not answer
    """

    def __init__(self, served, broken=()):
        self.served, self.broken = served, broken

    def request(self, _method, path):
        if path == "/apis":
            groups = {}
            for version in self.served:
                groups.setdefault(version.partition("/")[0], []).append({"groupVersion": version})
            return {"groups": [{"preferredVersion": found[0], "versions": found} for found in groups.values()]}
        name = path.removeprefix("/apis/").removeprefix("/api/")
        if name in self.broken:
            raise ApiError("no backend", 503)
        kinds = self.served.get(name, ())
        return {
            "groupVersion": name,
            "resources": [{"kind": k, "name": k.lower(), "namespaced": True, "verbs": ["list"]} for k in kinds],
        }


def kinds_of(apis):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return namespaced_kinds(apis, pool)


def test_kinds_that_only_another_version_serves_are_listed_each_once():
    served = {
        "monitoring.coreos.com/v1": ["ServiceMonitor"],
        "monitoring.coreos.com/v1alpha1": ["ServiceMonitor", "ScrapeConfig"],
    }
    kinds, unanswered = kinds_of(Apis(served))
    assert [(kind.version, kind.kind) for kind in kinds] == [("v1", "ServiceMonitor"), ("v1alpha1", "ScrapeConfig")]
    assert unanswered == []


def test_an_api_that_does_not_answer_is_named():
    _kinds, unanswered = kinds_of(Apis({"custom.metrics.k8s.io/v1": []}, broken=["custom.metrics.k8s.io/v1"]))
    assert unanswered == ["custom.metrics.k8s.io/v1"]
    labels = {"operator.istio.io/component": "Pilot"}
    istiod = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "istiod", "namespace": "istio-system", "labels": labels},
    }
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-system"}}
    whole = footprint([namespace, istiod], [], unanswered)
    assert not whole.part("namespaces")
    assert "custom.metrics.k8s.io/v1 does not answer" in whole.unsure[0].why[1]
