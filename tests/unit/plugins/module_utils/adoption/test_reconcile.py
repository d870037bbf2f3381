# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.adoption.legacy_operator import Installer
from ansible_collections.meshops.istio.plugins.module_utils.adoption.reconcile import document_of, leftovers
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.declared import desired_control_plane
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError


def document(name, revision=None, **more):
    spec = {"profile": "demo", **({"revision": revision} if revision else {}), **more}
    meta = {"name": name, "namespace": "istio-system", "finalizers": ["istio-finalizer.install.istio.io"], "uid": "1"}
    return {"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator", "metadata": meta, "spec": spec}


def test_document_is_what_a_user_would_write():
    found = document_of(Installer([], [document("mesh")]), "")
    assert found == {
        "apiVersion": "install.istio.io/v1alpha1",
        "kind": "IstioOperator",
        "metadata": {"name": "mesh"},
        "spec": {"profile": "demo"},
    }


def test_document_of_a_user_wins_over_istioctl_s_record():
    found = document_of(Installer([], [document("installed-state-mesh"), document("mesh")]), "")
    assert found["metadata"]["name"] == "mesh"
    assert document_of(Installer([], [document("installed-state")]), "")["metadata"]["name"] == "installed-state"


def test_document_of_the_revision():
    both = Installer([], [document("old"), document("canary", "next")])
    assert document_of(both, "next")["metadata"]["name"] == "canary"
    assert document_of(both, "")["metadata"]["name"] == "old"
    assert document_of(both, "other") is None


def test_several_documents_are_refused():
    with pytest.raises(MeshopsError, match=r"several IstioOperator objects: .*istio-system/a.*istio-system/b"):
        document_of(Installer([], [document("a"), document("b")]), "")


class Cluster:
    """Lists objects that istioctl has installed."""

    def __init__(self, *objects):
        self.objects = objects

    def list(self, kind, labels=""):
        assert labels == "operator.istio.io/managed=Reconcile"
        return [obj for obj in self.objects if obj["kind"] == kind.kind]


def managed(kind, name, revision="default", tag=None, release=None):
    labels = {"istio.io/rev": revision, **({"istio.io/tag": tag} if tag else {})}
    meta = {"name": name, "namespace": "istio-system", "labels": labels}
    if release:
        meta["annotations"] = {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": "istio-system"}
    return {"apiVersion": "v1", "kind": kind, "metadata": meta}


def names(objects):
    return [obj["metadata"]["name"] for obj in objects]


def test_leftovers_have_no_release_and_workloads_come_first():
    cluster = Cluster(
        managed("ServiceAccount", "mine"),
        managed("ServiceAccount", "left"),
        managed("ServiceAccount", "adopted", release="istiod"),
        managed("Deployment", "gateway"),
    )
    planned = {("", "ServiceAccount", "istio-system", "mine")}
    assert names(leftovers(cluster, planned, "")) == ["gateway", "left"]


def test_leftovers_exclude_other_revisions_and_their_tags():
    cluster = Cluster(managed("Service", "other", "next"), managed("Service", "tag", "default", "default"))
    assert names(leftovers(cluster, set(), "")) == ["tag"]
    cluster = Cluster(managed("Service", "mine", "next"), managed("Service", "tag", "next", "default"))
    assert names(leftovers(cluster, set(), "next")) == ["mine"]


def test_a_document_without_a_revision_has_the_validation_that_istioctl_install_adds():
    def base(spec):
        head = {"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator"}
        wanted = desired_control_plane({"istio_operator": {**head, "spec": spec}})
        return next(release for release in wanted.releases if release.chart == "base").values["defaultRevision"]

    assert base({}) == "default"
    assert base({"values": {"defaultRevision": "other"}}) == "other"
    assert base({"revision": "next"}) == ""
