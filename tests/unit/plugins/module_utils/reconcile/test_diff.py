# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a diff shows: what is declared, and what the run removes."""

from __future__ import annotations

import yaml
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.diff import diff
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.plan import Change


def rule(**spec):
    meta = {"name": "reviews", "namespace": "shop"}
    return {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": meta, "spec": spec}


def change(action, before=None, after=None):
    kind = (after or before)["kind"]
    return Change(action, "networking.istio.io/v1", kind, "shop", "reviews", before=before, after=after)


def test_an_update_shows_what_is_declared_and_what_was_declared_by_us():
    before = rule(host="a", subsets=[], exportTo=["."], trafficPolicy={"tls": {}, "portLevelSettings": []})
    before["metadata"].update(
        uid="1",
        labels={"theirs": "x"},
        managedFields=[
            {
                "manager": "meshops.istio",
                "operation": "Apply",
                "apiVersion": "networking.istio.io/v1",
                "fieldsV1": {"f:spec": {"f:host": {}, "f:exportTo": {}}},
            }
        ],
    )
    [entry] = diff([change("update", before, rule(host="b"))])
    assert entry["before_header"] == entry["after_header"] == "DestinationRule shop/reviews"
    assert yaml.safe_load(entry["before"]) == rule(host="a", exportTo=["."])
    assert yaml.safe_load(entry["after"]) == rule(host="b")
    assert entry["after"].startswith("apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n")


def updated(before, after, answer):
    """What the diff shows of a spec that is updated, given the specs: live, declared, and as the server has it then."""
    one = change("update", rule(**before), rule(**after))
    [entry] = diff([one], answers={one.key: rule(**answer)})
    return yaml.safe_load(entry["before"])["spec"]


def test_what_the_server_fills_in_again_is_not_shown_as_removed():
    matches = [{"path": {"type": "PathPrefix", "value": "/"}}]

    def backend(weight):
        return {"name": "a", "group": "", "kind": "Service", "port": 80, "weight": weight}

    declared_rule = {"backendRefs": [{"name": "a", "port": 80, "weight": 2}]}
    shown = updated(
        {"rules": [{"backendRefs": [backend(1)], "matches": matches}]},
        {"rules": [declared_rule]},
        {"rules": [{"backendRefs": [backend(2)], "matches": matches}]},
    )
    assert shown == {"rules": [{"backendRefs": [{"name": "a", "port": 80, "weight": 1}]}]}


def test_what_goes_is_shown():
    other = [{"path": {"type": "PathPrefix", "value": "/"}}]
    exact = [{"path": {"type": "Exact", "value": "/x"}}]
    shown = updated(
        {
            "rules": [{"name": "a", "matches": exact, "timeouts": {"request": "1s"}}],
            "labels": {"a": "x", "theirs": "x"},
        },
        {"rules": [{"name": "a"}]},
        {"rules": [{"name": "a", "matches": other}], "labels": {"theirs": "x"}},
    )
    assert shown == {"rules": [{"name": "a", "matches": exact, "timeouts": {"request": "1s"}}], "labels": {"a": "x"}}


def test_items_of_others_in_a_list_are_not_shown():
    def item(name, **more):
        return {"name": name, "protocol": "TCP", **more}

    theirs, ours, gone = item("theirs"), item("ours", port=1), item("gone")
    shown = updated(
        {"ports": [theirs, gone, ours]},
        {"ports": [{"name": "ours", "port": 2}]},
        {"ports": [theirs, item("ours", port=2)]},
    )
    assert shown == {"ports": [gone, {"name": "ours", "port": 1}]}


def test_items_that_move_are_shown_as_they_are_declared():
    one, two = ({"port": n, "protocol": "TCP"} for n in (1, 2))
    shown = updated({"ports": [two]}, {"ports": [{"port": 1}, {"port": 2}]}, {"ports": [one, two]})
    assert shown == {"ports": [{"port": 2}]}
    old, new = {"port": 3, "protocol": "TCP", "weight": 5}, {"port": 4, "protocol": "TCP"}
    shown = updated({"ports": [old, one]}, {"ports": [{"port": 1}, {"port": 4}]}, {"ports": [one, new]})
    assert shown == {"ports": [{"port": 3, "weight": 5}, {"port": 1}]}
    assert updated({"hosts": ["a", "b"]}, {"hosts": ["b"]}, {"hosts": ["b"]}) == {"hosts": ["a", "b"]}


def test_creation_deletion_and_nothing():
    created, deleted = diff(
        [change("create", after=rule(host="a")), change("unchanged", rule()), change("delete", rule())]
    )
    assert created["before"] == ""
    assert yaml.safe_load(created["after"]) == rule(host="a")
    assert deleted["after"] == ""


def test_secrets_are_not_shown():
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "reviews", "namespace": "shop"},
        "data": {"k": "cGFzcw=="},
    }
    other = {**secret, "data": {"k": "d29yZA=="}}
    shown = str(diff([change("create", after=secret), change("update", secret, other), change("delete", other)]))
    assert "cGFzcw" not in shown
    assert "d29yZA" not in shown
    assert "changed" in shown
