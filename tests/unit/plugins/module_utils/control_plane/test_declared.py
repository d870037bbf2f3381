# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.meshops.istio.plugins.filter.declared_control_plane import declared
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.declared import desired_control_plane
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError


def of_document(spec=None, **variables):
    document = {"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator", "spec": spec or {}}
    return desired_control_plane({"istio_operator": document, **variables})


def names(wanted):
    return [release.name for release in wanted.releases if release.chart != "gateway"]


# -- beside a document --------------------------------------------------------


def test_a_document_says_revision_namespace_and_platform():
    values = {"global": {"istioNamespace": "mesh"}}
    wanted = of_document({"revision": "1-31", "profile": "openshift", "values": values})
    assert (wanted.revision, wanted.namespace, wanted.platform) == ("1-31", "mesh", "openshift")
    (gateway,) = [release for release in wanted.releases if release.chart == "gateway"]
    assert (gateway.values["revision"], gateway.values["platform"]) == ("1-31", "openshift")


def test_what_gateways_must_know_is_told_beforehand():
    values = {"global": {"istioNamespace": "mesh"}}
    document = {"profile": "openshift", "revision": "1-31", "values": values}
    document = {"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator", "spec": document}
    told = {"namespace": "mesh", "revision": "1-31", "platform": "openshift"}
    assert declared({"istio_operator": document, "profile": None, "cni": None}) == told
    assert declared({"profile": "openshift", "revision": "1-31", "namespace": "mesh"}) == told
    assert declared({"revision": "default", "values": '{"istiod": {}}', "cni": "false"}) == {
        "namespace": "istio-system",
        "revision": "",
        "platform": "",
    }
    for wrong, words in (
        ({"istio_operator": document, "revision": "1-30"}, "the IstioOperator document has 1-31"),
        ({"cni": "perhaps"}, "perhaps"),
    ):
        with pytest.raises(AnsibleFilterError, match=words):
            declared(wrong)


def test_what_is_said_twice_must_be_the_same():
    assert of_document({"revision": "1-31"}, revision="1-31").revision == "1-31"
    assert of_document({}, revision="default").revision == ""
    with pytest.raises(
        MeshopsError, match=r"revision is 1-31, and the IstioOperator document has 1-30 \(spec.revision"
    ):
        of_document({"revision": "1-30"}, revision="1-31")
    mesh = {"values": {"global": {"istioNamespace": "mesh"}}}
    assert of_document(mesh, namespace="mesh").namespace == "mesh"
    with pytest.raises(MeshopsError, match="namespace is other, and the IstioOperator document has mesh"):
        of_document(mesh, namespace="other")
    with pytest.raises(MeshopsError, match="cni can't be given beside istio_operator"):
        of_document({}, cni=False)


def test_the_namespace_of_a_document_that_names_none():
    wanted = of_document({}, namespace="mesh")
    assert wanted.namespace == "mesh"
    assert {release.namespace for release in wanted.releases} == {"mesh"}
    assert wanted.releases[0].values["global"]["istioNamespace"] == "mesh"


def test_tags_beside_a_document_and_in_it_are_releases_of_their_own():
    beside = of_document({"revision": "1-31"}, tags=["prod"])
    within = of_document({"revision": "1-31", "values": {"revisionTags": ["prod"]}})
    for wanted in (beside, within):
        assert names(wanted) == ["istio-base", "istiod-1-31", "istio-tag-prod"]
        assert wanted.tags == ["prod"]
        tag = wanted.releases[-1]
        assert (tag.labels, tag.values["revisionTags"], tag.after) == (
            {"istio.io/tag": "prod"},
            ["prod"],
            ["istiod-1-31"],
        )
        assert "revisionTags" not in wanted.releases[1].values
    with pytest.raises(MeshopsError, match=r"tags is \['test'\], and the IstioOperator document has \['prod'\]"):
        of_document({"revision": "1-31", "values": {"revisionTags": ["prod"]}}, tags=["test"])
    with pytest.raises(MeshopsError, match="installs no istiod"):
        of_document({"components": {"pilot": {"enabled": False}}}, tags=["prod"])


def test_held_tags_are_left_where_they_are():
    wanted = desired_control_plane({"revision": "1-31", "tags": ["prod"], "hold_tags": True})
    assert names(wanted) == ["istio-base", "istiod-1-31"]
    assert (wanted.tags, wanted.held_tags) == ([], ["prod"])


# -- names, digests, versions -------------------------------------------------


def test_the_revision_default_is_none():
    wanted = desired_control_plane({"revision": "default"})
    assert (wanted.revision, names(wanted)) == ("", ["istio-base", "istiod"])
    assert wanted.releases[0].values["defaultRevision"] == "default"
    with pytest.raises(MeshopsError, match="leave spec.revision out"):
        of_document({"revision": "default"})


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"revision": "1.31.0"}, r"revision '1.31.0' can't be part .* such as 1-31-0"),
        ({"revision": "Bad_Rev"}, r"revision 'Bad_Rev' .* such as bad-rev"),
        ({"revision": "r" * 47}, "up to 46 small letters"),
        ({"revision": "next", "tags": ["Prod"]}, "tag 'Prod' .* such as prod"),
        ({"revision": "next", "tags": ["next"]}, "the tag next is called like the revision"),
        ({"namespace": "istio_system"}, "namespace 'istio_system' .* such as istio-system"),
    ],
)
def test_what_can_not_be_a_name_is_told_before_anything_is_done(variables, said):
    with pytest.raises(MeshopsError, match=said):
        desired_control_plane(variables)


def test_a_digest_that_would_pin_nothing_is_an_error():
    digest = "sha256:" + "0" * 64
    wanted = desired_control_plane({"digests": {"istiod": digest, "gateway": digest}})
    assert [release.digest for release in wanted.releases] == [None, digest]
    with pytest.raises(MeshopsError, match=r"digests has no chart 'istoid' \(did you mean istiod\?\)"):
        desired_control_plane({"digests": {"istoid": digest}})
    with pytest.raises(MeshopsError, match="digests.istiod is 'sha256:1': write sha256: and 64 digits"):
        desired_control_plane({"digests": {"istiod": "sha256:1"}})


def test_nothing_is_dropped_in_silence_where_no_istiod_is_installed():
    with pytest.raises(MeshopsError, match="tags and mesh_config can have no effect, because profile empty"):
        desired_control_plane({"profile": "empty", "tags": ["prod"], "mesh_config": {"accessLogFile": "x"}})


# -- the mesh configuration ---------------------------------------------------

NEWER = {"accessLogFile": "/dev/stdout", "fromTheFuture": True}
SPEC = {"unvalidatedValues": {"meshConfig": NEWER}}


@pytest.mark.parametrize(
    "variables",
    [
        {"mesh_config": NEWER},
        {"istio_operator": {"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator", "spec": SPEC}},
    ],
)
def test_fields_of_a_newer_istio_pass_by_the_version_of_its_chart(variables):
    asked = []

    def app_version(release):
        asked.append(release.chart)
        return "1.99.0"

    assert desired_control_plane(variables, app_version).releases
    assert asked == ["istiod"]
    assert desired_control_plane({**variables, "version": "1.99.0"}).releases
    for version in ("1.31.0", "unknown"):
        with pytest.raises(MeshopsError, match="meshConfig.fromTheFuture: unknown field"):
            desired_control_plane(variables, lambda _release, version=version: version)
    with pytest.raises(MeshopsError, match="meshConfig.fromTheFuture: unknown field"):
        desired_control_plane({**variables, "version": "1.31.0"}, app_version)
