# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether proxies have what istiod has sent."""

from __future__ import annotations

from ansible_collections.meshops.istio.plugins.module_utils.proxies import sync


def test_sync_states():
    state = {"cluster_sent": "1", "cluster_acked": "1", "listener_sent": "2", "listener_acked": "1"}
    assert sync.sync_of(state) == {
        "cluster": "synced",
        "listener": "stale",
        "route": "not sent",
        "endpoint": "not sent",
    }
    assert sync.sync_of(None) is None
