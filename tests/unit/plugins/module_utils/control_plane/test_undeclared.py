# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import types

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.control_plane import undeclared
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.declared import desired_control_plane
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.undeclared import add_removals
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from fakes.api_server import ApiServer
from fakes.objects import pod, workload


def record(marked: bool = True, revision: str = "") -> types.SimpleNamespace:
    values = {"revision": revision} if revision else {}
    return types.SimpleNamespace(labels={"meshops.istio": "0123"} if marked else {}, values=values)


def tag(name: str, revision: str = "default") -> dict:
    marks = {"meta.helm.sh/release-name": f"istio-tag-{name}", "meta.helm.sh/release-namespace": "istio-system"}
    labels = {"istio.io/tag": name, "istio.io/rev": revision}
    meta = {"name": f"istio-revision-tag-{name}", "labels": labels, "annotations": marks}
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": meta}


def namespace(name: str, **labels: str) -> dict:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


@pytest.fixture
def removals(monkeypatch):
    def removals(records: dict, *live: dict, remove: bool = True, **options):
        """The releases to be uninstalled, and the warnings."""
        by_id = {tuple(name.split("/")): [found] for name, found in records.items()}
        monkeypatch.setattr(
            undeclared, "stored_releases", lambda _cluster, ids: {i: by_id[i] for i in ids if i in by_id}
        )
        wanted = desired_control_plane(options)
        add_removals(ApiServer(live), wanted, remove=remove)
        return [f"{r.namespace}/{r.name}" for r in wanted.releases if r.state == "absent"], wanted.warnings

    return removals


PROD = {"istio-system/istio-tag-prod": record()}
CNI = {"istio-system/istio-cni": record()}
AMBIENT = CNI | {"istio-system/ztunnel": record()}
MADE_FOR_CNI = pod("web-1", init_containers=("istio-validation",))


def test_an_undeclared_tag_is_removed(removals):
    assert removals(PROD, tag("prod"), tag("kept"), tags=["kept"]) == (["istio-system/istio-tag-prod"], [])


def test_tags_of_another_revision_and_of_others_are_left_alone(removals):
    assert removals(PROD, tag("prod", "blue"), revision="green") == ([], [])
    assert removals({"istio-system/istio-tag-prod": record(marked=False)}, tag("prod")) == ([], [])
    assert removals({}, tag("prod")) == ([], [])


def test_an_undeclared_tag_stays_while_tags_are_held(removals):
    assert removals(PROD, tag("prod"), tags=["next"], hold_tags=True) == ([], [])


@pytest.mark.parametrize(
    ("user", "said"),
    [
        (namespace("shop", **{"istio.io/rev": "prod"}), "Namespace shop"),
        (workload("Deployment", "web", "shop", template_labels={"istio.io/rev": "prod"}), "Deployment shop/web"),
    ],
)
def test_a_tag_in_use_is_not_removed(removals, user, said):
    with pytest.raises(MeshopsError, match=f"Refusing to remove the tag prod, .* in use by {said}"):
        removals(PROD, tag("prod"), user)


def test_what_is_undeclared_is_retained_on_request(removals):
    absent, warnings = removals(PROD | AMBIENT, tag("prod"), remove=False)
    assert (absent, len(warnings)) == ([], 3)
    assert "Tag prod is no longer declared, and is retained" in warnings[0]


def test_undeclared_node_components_are_removed(removals):
    assert removals(AMBIENT) == (["istio-system/ztunnel", "istio-system/istio-cni"], [])
    assert removals({"kube-system/istio-cni": record()}) == (["kube-system/istio-cni"], [])
    assert removals(AMBIENT, profile="ambient") == ([], [])


def test_node_components_of_another_revision_are_left_alone(removals):
    assert removals(AMBIENT, revision="canary") == ([], [])


def test_node_components_are_not_removed_from_under_an_ambient_mesh(removals):
    with pytest.raises(MeshopsError, match="ztunnel, .* the ambient mesh needs it, with Namespace shop"):
        removals(
            AMBIENT,
            {**namespace("shop"), "metadata": {"name": "shop", "labels": {"istio.io/dataplane-mode": "ambient"}}},
        )


@pytest.mark.parametrize("cni", [None, False])
def test_the_cni_plugin_is_retained_while_pods_were_made_for_it(removals, cni):
    absent, (warning,) = removals(CNI, MADE_FOR_CNI, cni=cni)
    assert absent == []
    assert "still running: Pod shop/web-1. Restart their workloads" in warning


def test_a_namespace_whose_records_may_not_be_read_has_no_release_of_ours(monkeypatch):
    def stored(_cluster, ids):
        if ("kube-system", "istio-cni") in ids or ("kube-system", "ztunnel") in ids:
            raise ApiError("secrets is forbidden", status=403, reason="Forbidden")
        return {}

    monkeypatch.setattr(undeclared, "stored_releases", stored)
    wanted = desired_control_plane({})
    add_removals(ApiServer([]), wanted, remove=True)
    assert [r.name for r in wanted.releases if r.state == "absent"] == []
