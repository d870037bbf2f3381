# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.selectors import matches
from ansible_collections.meshops.istio.plugins.module_utils.upgrade.check import (
    UpgradeOptions,
    check_validation,
    overlap_problems,
    skew_problems,
)
from fakes.upgrade import control_plane, proxy

# -- versions -----------------------------------------------------------------


def skew(control_planes, proxies, revision, version, rollback=False, external=False):
    options = UpgradeOptions(revision, version, rollback=rollback)
    return skew_problems(control_planes, proxies, options, external=external)


def test_newer_canary_beside_an_upgrade_in_place_is_left_alone():
    planes = [control_plane("1.30.0", proxies=9), control_plane("1.32.0", "1-32-0")]
    assert skew(planes, [], "default", "1.31.0") == []


def test_old_control_plane_of_another_team_does_not_block_an_upgrade():
    planes = [control_plane("1.30.0", "1-30", proxies=9), control_plane("1.28.0", "b", namespace="team-b", proxies=3)]
    assert skew(planes, [], "1-31", "1.31.0") == []


def test_upgrade_by_a_revision_starts_from_the_control_plane_that_has_proxies():
    planes = [control_plane("1.30.0", "1-30", proxies=9), control_plane("1.32.0", "1-32")]
    assert skew(planes, [], "1-31", "1.31.0") == []


def test_remote_cluster_has_no_control_plane_of_its_own():
    assert skew([], [], "default", "1.31.0", external=True) == []


@pytest.mark.parametrize(
    ("have", "have_revision", "to", "revision", "rollback"),
    [
        ("1.30.0", "default", "1.31.0", "default", False),
        ("1.31.0", "default", "1.31.0", "default", False),
        ("1.31.0", "default", "1.31.2", "default", False),
        ("1.29.0", "1-29", "1.31.0", "1-31", False),
        ("1.31.0", "default", "1.30.0", "default", True),
        ("latest", "default", "1.31.0", "default", False),
        ("1.20.0", "default", "latest", "default", False),
    ],
)
def test_version_that_is_near_enough(have: str, have_revision: str, to: str, revision: str, rollback: bool) -> None:
    assert skew([control_plane(have, have_revision)], [], revision, to, rollback) == []


@pytest.mark.parametrize(
    ("have", "have_revision", "to", "revision", "problem"),
    [
        ("1.29.0", "default", "1.31.0", "default", "2 minor versions newer: go to 1.30 first"),
        ("1.28.0", "1-28", "1.31.0", "1-31", "3 minor versions newer: go to 1.30 first"),
        ("1.31.0", "default", "1.30.5", "default", "is older: to roll back, set upgrade_rollback to true"),
        ("1.31.2", "default", "1.31.1", "default", "is older: to roll back, set upgrade_rollback to true"),
    ],
)
def test_version_that_is_too_far(have: str, have_revision: str, to: str, revision: str, problem: str) -> None:
    found = skew([control_plane(have, have_revision)], [], revision, to)
    assert len(found) == 1
    assert problem in found[0]
    assert have in found[0]


def test_proxy_that_is_too_old() -> None:
    proxies = [proxy("new"), proxy("old", "1.28.0")]
    found = skew([control_plane("1.30.0")], proxies, "default", "1.31.0")
    assert found == [
        "1 proxies are 1.28.0, too old for an istiod 1.31.0: restart shop/old with the istiod that runs now"
    ]


def test_nothing_to_upgrade() -> None:
    assert "no istiod runs" in skew([], [], "default", "1.31.0")[0]


# -- webhooks -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (None, True),
        ({}, True),
        ({"matchLabels": {"a": "1"}}, True),
        ({"matchLabels": {"a": "2"}}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, True),
        ({"matchExpressions": [{"key": "b", "operator": "In", "values": ["1"]}]}, False),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, False),
        ({"matchExpressions": [{"key": "b", "operator": "NotIn", "values": ["1"]}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, False),
    ],
)
def test_selector(selector: dict | None, expected: bool) -> None:
    assert matches(selector, {"a": "1"}) is expected


def webhook(revision: str, label: str, value: str) -> dict:
    selector = {"matchExpressions": [{"key": label, "operator": "In", "values": [value]}]}
    return {
        "metadata": {"name": f"injector-{revision}", "labels": {"istio.io/rev": revision}},
        "webhooks": [{"namespaceSelector": selector}],
    }


def test_namespace_of_two_revisions() -> None:
    webhooks = [webhook("default", "istio-injection", "enabled"), webhook("1-31", "istio.io/rev", "1-31")]
    shop = {"metadata": {"name": "shop", "labels": {"istio-injection": "enabled", "istio.io/rev": "1-31"}}}
    other = {"metadata": {"name": "other", "labels": {"istio-injection": "enabled"}}}
    found = overlap_problems([shop, other, {"metadata": {"name": "plain"}}], webhooks)
    assert len(found) == 1
    assert "pods in namespace shop would be injected by the revisions 1-31 and default" in found[0]


def test_the_tag_default_beside_a_control_plane_without_a_revision() -> None:
    tag = webhook("1-31", "istio-injection", "enabled")
    tag["metadata"]["labels"]["istio.io/tag"] = "default"
    other = {"metadata": {"name": "other", "labels": {"istio-injection": "enabled"}}}
    (found,) = overlap_problems([other], [webhook("default", "istio-injection", "enabled"), tag])
    assert "both mean istio-injection=enabled. Give the namespace the label istio.io/rev=1-31 instead" in found


def test_tag_of_the_same_revision_is_no_second_one() -> None:
    webhooks = [webhook("1-31", "istio.io/rev", "1-31"), webhook("1-31", "istio.io/rev", "1-31")]
    shop = {"metadata": {"name": "shop", "labels": {"istio.io/rev": "1-31"}}}
    assert overlap_problems([shop], webhooks) == []


# -- validation by the new revision -------------------------------------------


class Validating:
    """A cluster with two objects, of which a revision's istiod refuses one."""

    def __init__(self) -> None:
        self.asked: list[tuple] = []

    def served(self, kind):
        return kind if kind.kind != "WasmPlugin" else None

    def list(self, kind) -> list[dict]:
        assert kind.kind != "WasmPlugin"
        if kind.kind != "VirtualService":
            return []
        return [
            {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name, "namespace": "shop"}}
            for name in ("good", "bad")
        ]

    def kind(self, _version: str, _kind: str):
        return KNOWN["networking.istio.io", "VirtualService"]

    def request(self, *request) -> None:
        self.asked.append(request)
        if request[1].endswith("/bad"):
            raise ApiError("no route", 400)


def test_what_the_new_istiod_refuses_is_named() -> None:
    cluster = Validating()
    with pytest.raises(MeshopsError, match="(?s)revision next refuses.*VirtualService shop/bad: no route") as error:
        check_validation(cluster, "next")
    assert len(error.value.result["problems"]) == 1
    assert [(method, query, body) for method, _path, query, body, _type in cluster.asked] == [
        ("PATCH", {"dryRun": "All"}, {"metadata": {"labels": {"istio.io/rev": "next"}}})
    ] * 2
