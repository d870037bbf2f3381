# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is told of proxies."""

from __future__ import annotations

from ansible_collections.meshops.istio.plugins.module_utils.proxies import report
from fakes.ca_status import NOW


def test_proxies_of_some_namespaces_are_listed_there_alone():
    asked = []

    class Pods:
        concurrency = 1

        def list(self, _kind, namespace=None):
            asked.append(namespace)
            return []

    for namespaces in (["b", "a", "b"], []):
        assert report.read_all(Pods(), namespaces, sync=False, now=NOW) == []
    assert asked == ["b", "a", None]
