# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.helm.releases import Release
from ansible_collections.meshops.istio.plugins.module_utils.helm.stored import decode
from ansible_collections.meshops.istio.plugins.module_utils.releases.lookups import Lookups
from ansible_collections.meshops.istio.plugins.module_utils.releases.model import Action, Reason
from ansible_collections.meshops.istio.plugins.module_utils.releases.planning import Planner, by_key
from fakes.api_server import ApiServer
from fakes.helm import FakeHelm, installed, record
from fakes.objects import obj

SHOP = Release("shop", "shop", "shop", {"replicas": 1}, version="1.0.0")
CONFIG = obj("ConfigMap", "settings", data={"a": "1"})
CHANGED = obj("ConfigMap", "settings", data={"a": "2"})


def compared(release: Release, *records: dict, chart=(CONFIG,), live=(), version="1.0.0"):
    """A release compared to records, the newest first; and the options that it was rendered with."""
    helm = FakeHelm({"shop": chart}, version=version)
    with Lookups(ApiServer(live)) as lookups:
        planner = Planner(helm, lookups, {release.id: [decode(secret) for secret in records]})
        return planner.compared(release), [options.is_upgrade for _name, options in helm.rendered]


@pytest.mark.parametrize(
    ("release", "records", "action", "reasons"),
    [
        (SHOP, [], Action.INSTALL, [Reason.NOT_INSTALLED]),
        (SHOP, [record(SHOP, CONFIG)], Action.NONE, []),
        (SHOP, [record(SHOP, CHANGED)], Action.UPGRADE, [Reason.MANIFEST]),
        (SHOP, [record(SHOP)], Action.UPGRADE, [Reason.MANIFEST]),
        (dataclasses.replace(SHOP, values={}), [record(SHOP, CONFIG)], Action.UPGRADE, [Reason.VALUES]),
        (SHOP, [record(SHOP, CONFIG, status="pending-install")], Action.INSTALL, [Reason.INTERRUPTED]),
        (SHOP, [record(SHOP, CONFIG, status="uninstalling")], Action.INSTALL, [Reason.UNINSTALLING]),
        (SHOP, [record(SHOP, CONFIG, status="failed")], Action.UPGRADE, [Reason.NOT_DEPLOYED]),
        (dataclasses.replace(SHOP, state="absent"), [record(SHOP, CONFIG)], Action.UNINSTALL, [Reason.ABSENT]),
        (dataclasses.replace(SHOP, state="absent"), [], Action.NONE, []),
    ],
)
def test_action_and_its_reasons(release, records, action, reasons):
    stage, _renderings = compared(release, *records)
    assert (stage.action, [cause.reason for cause in stage.causes]) == (action, reasons)


def test_version_range_is_compared_to_the_version_that_was_found():
    chosen = dataclasses.replace(SHOP, version="~1.0.0")
    assert compared(chosen, record(SHOP, CONFIG))[0].action is Action.NONE
    stage, _renderings = compared(chosen, record(SHOP, CONFIG), version="1.0.1")
    assert [cause.text for cause in stage.causes] == ["its chart is shop 1.0.0, not 1.0.1"]


def test_first_revision_is_compared_as_a_first_installation_renders():
    assert compared(SHOP, record(SHOP, CONFIG))[1] == [False]
    assert compared(SHOP, record(SHOP, CHANGED))[1] == [False, True]
    assert compared(SHOP, record(SHOP, CONFIG, revision=2))[1] == [True]


def test_base_is_the_deployed_revision_and_not_a_failed_newer_one():
    failed = record(SHOP, CHANGED, revision=2, status="failed")
    stage, _renderings = compared(SHOP, failed, record(SHOP, CONFIG))
    assert (stage.rendered.base.revision, [r.revision for r in stage.rendered.failed]) == (1, [2])


def test_replicas_under_an_autoscaler_are_no_difference():
    def deployment(replicas: int) -> dict:
        return obj("Deployment", "web", replicas=replicas)

    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    scaler = obj("HorizontalPodAutoscaler", "web", scaleTargetRef=target)
    live = installed(SHOP, deployment(5), scaler)
    stage, _renderings = compared(SHOP, record(SHOP, deployment(2), scaler), chart=(deployment(3), scaler), live=live)
    assert stage.action is Action.NONE
    # an autoscaler that this upgrade drops scales nothing any more
    stage, _renderings = compared(SHOP, record(SHOP, deployment(2), scaler), chart=(deployment(3),), live=live)
    assert "Deployment shop/web" in stage.causes[0].text


def test_objects_by_key_keep_their_order():
    other = obj("ConfigMap", "other", data={})
    assert list(by_key([CONFIG, other]).values()) == [CONFIG, other]
