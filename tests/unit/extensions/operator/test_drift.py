# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which changes count as drift."""

from __future__ import annotations

from ansible_collections.meshops.istio.extensions.operator.drift import Table, token

HELM = {"meta.helm.sh/release-name": "istiod", "meta.helm.sh/release-namespace": "istio-system"}


def meta(name="istiod", time="1", generation=1, **more):
    fields = [
        {"manager": "helm", "time": time},
        {"manager": "kubelet", "time": more.pop("seen", "1"), "subresource": "status"},
    ]
    return {"name": name, "generation": generation, "managedFields": fields, "annotations": HELM, **more}


def test_status_alone_is_no_drift():
    assert token(meta(seen="1")) == token(meta(seen="2"))
    assert token(meta()) != token(meta(time="2"))
    assert token(meta()) != token(meta(generation=2))
    assert token(meta()) != token(meta(labels={"a": "b"}))


def test_the_first_list_is_no_drift_and_later_ones_are_compared():
    table = Table()
    assert table.replace([meta(), meta("other")]) == []
    assert table.replace([meta(), meta("other")]) == []
    assert table.replace([meta(time="2")]) and len(table.replace([])) == 1


def test_events_of_a_watch():
    table = Table()
    table.replace([meta()])
    assert table.event("MODIFIED", meta(seen="7")) == []
    assert table.event("MODIFIED", meta(time="3")) == [(("istio-system", "istiod"), "istiod")]
    assert table.event("DELETED", meta(time="3")) == [(("istio-system", "istiod"), "istiod")]
    assert table.event("DELETED", meta(time="3")) == []
    assert table.event("ADDED", {**meta("users"), "annotations": {}}) == []
