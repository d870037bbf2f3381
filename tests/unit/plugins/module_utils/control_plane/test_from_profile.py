# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.from_profile import desired_releases
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.options import ControlPlaneOptions
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.mesh.profiles import PROFILES


def by_name(**variables):
    return {release.name: release for release in desired_releases(ControlPlaneOptions.of(variables))}


def releases_there(**variables):
    return [name for name, release in by_name(**variables).items() if release.state == "present"]


@pytest.mark.parametrize(
    ("profile", "names"),
    [
        ("default", ["istio-base", "istiod"]),
        ("minimal", ["istio-base", "istiod"]),
        ("demo", ["istio-base", "istiod"]),
        ("preview", ["istio-base", "istiod"]),
        ("remote", ["istio-base", "istiod"]),
        ("stable", ["istio-base", "istiod"]),
        ("ambient", ["istio-base", "istio-cni", "istiod", "ztunnel"]),
        ("openshift", ["istio-base", "istio-cni", "istiod"]),
        ("openshift-ambient", ["istio-base", "istio-cni", "istiod", "ztunnel"]),
        ("empty", []),
    ],
)
def test_profiles_have_their_releases(profile, names):
    assert list(by_name(profile=profile)) == names


def test_every_profile_is_known_here():
    assert set(PROFILES) == {
        "default", "demo", "minimal", "ambient", "empty", "preview", "remote", "stable", "openshift",
        "openshift-ambient",
    }  # fmt: skip


def test_order():
    releases = by_name(profile="ambient")
    assert releases["istio-base"].after == []
    assert releases["istio-cni"].after == ["istio-base"]
    assert releases["istiod"].after == ["istio-base"]
    assert releases["ztunnel"].after == ["istio-cni", "istiod"]


def test_charts_are_told_the_profile_and_the_platform():
    istiod = by_name(profile="openshift-ambient")["istiod"]
    assert istiod.values["profile"] == "ambient"
    assert istiod.values["global"]["platform"] == "openshift"
    assert "profile" not in by_name(profile="default")["istiod"].values


def test_node_components_live_where_openshift_lets_them():
    releases = by_name(profile="openshift")
    assert releases["istio-cni"].namespace == "kube-system"
    assert releases["istiod"].namespace == "istio-system"


def test_a_user_s_values_win():
    releases = by_name(hub="a", tag="1", values={"istiod": {"global": {"hub": "b"}}})
    assert releases["istiod"].values["global"] == {"istioNamespace": "istio-system", "hub": "b", "tag": "1"}
    assert releases["istio-base"].values["global"] == {"istioNamespace": "istio-system"}, "it has no images"


def test_mesh_config_goes_over_that_of_the_values():
    given = {"istiod": {"meshConfig": {"accessLogFile": "x", "trustDomain": "td"}}}
    found = by_name(mesh_config={"accessLogFile": "y"}, values=given)["istiod"].values["meshConfig"]
    assert (found["accessLogFile"], found["trustDomain"]) == ("y", "td")


def test_cni_when_asked_for():
    releases = by_name(profile="default", cni=True)
    assert list(releases) == ["istio-base", "istio-cni", "istiod"]
    assert releases["istiod"].values["cni"] == {"enabled": True}
    assert "istio-cni" not in releases_there(profile="default")
    assert "istio-cni" not in releases_there(profile="ambient", cni=False)
    assert by_name(cni=False)["istio-cni"].state == "absent"


def test_a_revision_names_release_and_values():
    releases = by_name(revision="1-31", tags=["prod", "default"])
    assert list(releases) == ["istio-base", "istiod-1-31", "istio-tag-prod", "istio-tag-default"]
    assert releases["istiod-1-31"].values["revision"] == "1-31"
    assert releases["istio-base"].values["defaultRevision"] == "1-31"


def test_a_tag_is_a_release_of_its_own_objects():
    tag = by_name(revision="1-31", tags=["prod"])["istio-tag-prod"]
    assert tag.chart == "istiod"
    assert tag.labels == {"istio.io/tag": "prod"}
    assert tag.values["revisionTags"] == ["prod"]
    assert tag.after == ["istiod-1-31"]


def test_typos_are_answered_with_what_was_meant():
    with pytest.raises(MeshopsError, match=r"unknown profile 'ambiant' \(did you mean ambient\?\)"):
        desired_releases(ControlPlaneOptions.of({"profile": "ambiant"}))
    with pytest.raises(MeshopsError, match=r"values has no chart 'istoid' \(did you mean istiod\?\)"):
        desired_releases(ControlPlaneOptions.of({"values": {"istoid": {}}}))
    with pytest.raises(MeshopsError, match=r"values\.base must be a dict"):
        desired_releases(ControlPlaneOptions.of({"values": {"base": []}}))


def test_values_for_what_is_not_installed_are_an_error():
    with pytest.raises(MeshopsError, match="values has cni, which profile demo doesn't install: set cni to true"):
        desired_releases(ControlPlaneOptions.of({"profile": "demo", "values": {"cni": {"cniBinDir": "/x"}}}))
    assert by_name(cni=True, values={"cni": {"cniBinDir": "/x"}})["istio-cni"].values["cniBinDir"] == "/x"
