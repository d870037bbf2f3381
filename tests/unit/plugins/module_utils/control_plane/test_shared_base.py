# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import types

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.control_plane import shared_base
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.declared import desired_control_plane
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.shared_base import settle_base
from fakes.api_server import ApiServer
from fakes.objects import workload

HELM = types.SimpleNamespace(app_version=lambda _release: "1.31.0")


def validator(revision: str, release: str = "istio-base") -> dict:
    marks = {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": "istio-system"}
    meta = {"name": "istiod-default-validator", "labels": {"istio.io/rev": revision}, "annotations": marks}
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": meta}


def istiod(revision: str) -> dict:
    return workload(
        "Deployment", f"istiod-{revision}", "istio-system", labels={"app": "istiod", "istio.io/rev": revision}
    )


def tag(name: str, revision: str) -> dict:
    meta = {"name": f"istio-revision-tag-{name}", "labels": {"istio.io/tag": name, "istio.io/rev": revision}}
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": meta}


def of_document(spec: dict):
    head = {"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator"}
    return desired_control_plane({"istio_operator": {**head, "spec": spec}})


def settled(wanted, *live: dict, **options) -> str:
    settle_base(ApiServer(live), HELM, wanted, **{"hold": False, **options})
    return wanted.releases[0].values["defaultRevision"]


NEXT = {"revision": "next"}


@pytest.mark.parametrize(
    ("wanted", "live", "options", "revision"),
    [
        (NEXT, [], {}, "next"),
        (NEXT, [validator("default")], {}, "next"),  # its istiod is gone
        (NEXT, [validator("default"), istiod("default")], {}, "default"),
        (NEXT, [validator("default"), istiod("default")], {"retiring": ["default"]}, "next"),
        (NEXT, [validator("blue"), istiod("blue")], {}, "blue"),
        (NEXT | {"tags": ["default"]}, [validator("blue"), istiod("blue")], {}, "next"),
        (NEXT | {"tags": ["default"]}, [validator("blue"), istiod("blue")], {"hold": True}, "blue"),
        (NEXT | {"tags": ["prod"]}, [validator("blue"), istiod("blue"), tag("prod", "blue")], {}, "next"),
        (NEXT | {"tags": ["canary"]}, [validator("blue"), istiod("blue"), tag("prod", "blue")], {}, "blue"),
        (NEXT, [validator("next"), istiod("blue"), istiod("next")], {}, "next"),
        ({}, [validator("next"), istiod("next")], {}, "default"),
    ],
)
def test_settle_base_gives_the_default_validator_to_one_revision(wanted, live, options, revision):
    if options.get("hold"):
        wanted = {**wanted, "hold_tags": True}
    assert settled(desired_control_plane(wanted), *live, **options) == revision


@pytest.mark.parametrize(
    ("spec", "live", "hold", "revision"),
    [
        (NEXT, validator("default"), True, "default"),
        (NEXT, validator("default"), False, "next"),
        (NEXT, validator("default", "other"), False, ""),
        (NEXT, None, False, ""),
        ({}, validator("next"), False, "default"),
    ],
)
def test_settle_base_of_a_document(spec, live, hold, revision):
    assert settled(of_document(spec), *filter(None, [live]), hold=hold) == revision


def test_two_inventories_do_not_change_base_in_turns():
    """Each run declares what the other's has left."""
    live = [validator("blue"), istiod("blue"), istiod("green")]
    blue, green = desired_control_plane({"revision": "blue"}), desired_control_plane({"revision": "green", "hub": "x"})
    settled(blue, *live)
    settled(green, *live)
    assert blue.releases[0].values == green.releases[0].values


@pytest.mark.parametrize(("stored", "retained"), [("1.32.0", True), ("1.31.0", False), ("1.30.9", False)])
def test_newer_definitions_of_another_revision_are_retained(monkeypatch, stored, retained):
    record = types.SimpleNamespace(status="deployed", version=stored)
    monkeypatch.setattr(shared_base, "stored_releases", lambda _cluster, ids: {ids[0]: [record]})
    wanted = desired_control_plane(NEXT)
    settle_base(ApiServer([istiod("blue")]), HELM, wanted, hold=False)
    assert ("istio-base" not in [release.name for release in wanted.releases]) is retained
    assert bool(wanted.warnings) is retained
    istiod_release = next(release for release in wanted.releases if release.chart == "istiod")
    assert istiod_release.after == ([] if retained else ["istio-base"])


def test_definitions_are_taken_back_where_no_other_revision_runs(monkeypatch):
    record = types.SimpleNamespace(status="deployed", version="1.32.0")
    monkeypatch.setattr(shared_base, "stored_releases", lambda _cluster, ids: {ids[0]: [record]})
    wanted = desired_control_plane(NEXT)
    settle_base(ApiServer([istiod("next")]), HELM, wanted, hold=False)
    assert wanted.releases[0].name == "istio-base"
