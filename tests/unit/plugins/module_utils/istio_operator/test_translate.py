# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import copy
import pathlib

import pytest
import yaml
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.istio_operator.translate import (
    TranslateOptions,
    Translation,
    revision_of,
    translate,
)
from ansible_collections.meshops.istio.plugins.module_utils.mesh.profiles import PROFILES
from hypothesis import given
from hypothesis import strategies as st


def document(**spec) -> dict:
    return {"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator", "spec": spec}


def release(translation: Translation, name: str):
    return next(found for found in translation.releases if found.name == name)


def names(translation: Translation) -> list[str]:
    return [found.name for found in translation.releases]


# -- what is installed --------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ("default", ["istio-base", "istiod", "istio-ingressgateway"]),
        ("demo", ["istio-base", "istiod", "istio-ingressgateway", "istio-egressgateway"]),
        ("minimal", ["istio-base", "istiod"]),
        ("ambient", ["istio-base", "istiod", "istio-cni", "ztunnel"]),
        ("empty", []),
        ("remote", ["istio-base", "istiod"]),
        ("openshift", ["istio-base", "istiod", "istio-cni", "istio-ingressgateway"]),
    ],
)
def test_profile_decides_what_is_installed(profile: str, expected: list[str]) -> None:
    assert names(translate(document(profile=profile))) == expected


def test_no_profile_is_the_default() -> None:
    assert translate(document()) == translate(document(profile="default"))
    assert translate({**document(), "spec": None}) == translate(document())


def test_the_revision_that_a_document_names() -> None:
    gateway = {"name": "edge", "tag": "1.30.0"}  # whose hub isn't known here
    assert revision_of(document(revision="1-31", components={"ingressGateways": [gateway]})) == "1-31"
    assert revision_of(document(revision="1-31", values={"revision": "1-32"})) == "1-32"
    assert revision_of(document()) == ""


def test_unknown_profile() -> None:
    with pytest.raises(MeshopsError, match="unknown profile 'dmeo' .did you mean demo"):
        translate(document(profile="dmeo"))


def test_components_are_switched() -> None:
    components = {"pilot": {"enabled": False}, "cni": {"namespace": "kube-system"}, "ingressGateways": []}
    translation = translate(document(components=components))
    assert names(translation) == ["istio-base", "istio-cni"]
    assert release(translation, "istio-cni").namespace == "kube-system"


def test_gateway_by_values_alone() -> None:
    translation = translate(document(values={"gateways": {"istio-egressgateway": {"enabled": True}}}))
    assert "istio-egressgateway" in names(translation)


def test_every_release_waits_for_what_it_needs() -> None:
    translation = translate(document(profile="ambient", components={"ingressGateways": [{"name": "edge"}]}))
    assert {found.name: list(found.after) for found in translation.releases} == {
        "istio-base": [],
        "istiod": ["istio-base"],
        "istio-cni": ["istio-base"],
        "ztunnel": ["istio-cni", "istiod"],
        "edge": ["istiod"],
    }


def test_charts_and_version_reach_every_release() -> None:
    for found in translate(document(profile="demo"), TranslateOptions(charts="/charts", version="1.2.3")).releases:
        assert (found.charts, found.version) == ("/charts", "1.2.3")


# -- values -------------------------------------------------------------------


def test_settings_become_values() -> None:
    translation = translate(
        document(hub="example.com/hub", tag=1.5, revision="canary", meshConfig={"accessLogFile": "/dev/stdout"})
    )
    values = release(translation, "istiod-canary").values
    assert values["global"]["hub"] == "example.com/hub"
    assert values["global"]["tag"] == "1.5"
    assert values["revision"] == "canary"
    assert values["meshConfig"] == {"accessLogFile": "/dev/stdout"}
    assert translation.revision == "canary"


def test_documents_images_win_over_the_callers() -> None:
    def istiod(**spec) -> dict:
        return release(translate(document(**spec), TranslateOptions(hub="other", tag="2")), "istiod").values["global"]

    assert (istiod()["hub"], istiod()["tag"]) == ("other", "2")
    assert istiod(hub="mine", tag="1")["hub"] == "mine"
    assert istiod(values={"global": {"hub": "values"}})["hub"] == "values"


def test_base_has_no_values_of_others() -> None:
    spec = {"meshConfig": {"accessLogFile": "x"}, "values": {"pilot": {"env": {"A": "b"}}}}
    values = release(translate(document(**spec)), "istio-base").values
    assert not {"meshConfig", "pilot", "gateways", "ztunnel"} & set(values)


def test_namespace_is_that_of_the_values() -> None:
    translation = translate(document(namespace="other", values={"global": {"istioNamespace": "mesh"}}))
    assert {found.namespace for found in translation.releases} == {"mesh"}
    assert translation.namespace == "mesh"
    assert "spec.namespace has no effect" in translation.warnings[0]


def test_unvalidated_values_are_not_looked_at() -> None:
    values = release(translate(document(unvalidatedValues={"pilot": {"anything": 1}})), "istiod").values
    assert values["pilot"]["anything"] == 1


def test_ztunnels_values_stand_by_themselves() -> None:
    spec = {"profile": "ambient", "values": {"ztunnel": {"logLevel": "debug"}}}
    values = release(translate(document(**spec), TranslateOptions(hub="h")), "ztunnel").values
    assert (values["logLevel"], values["resourceName"], values["global"]["hub"]) == ("debug", "ztunnel", "h")
    assert "ztunnel" not in values


# -- patches ------------------------------------------------------------------


def test_settings_become_patches() -> None:
    k8s = {"replicaCount": 3, "env": [{"name": "A", "value": "b"}], "podDisruptionBudget": {"maxUnavailable": 1}}
    translation = translate(document(revision="r1", components={"pilot": {"k8s": k8s}}))
    assert release(translation, "istiod-r1").patches == [
        {
            "kind": "Deployment",
            "name": "istiod-r1",
            "merge": {"spec": {"template": {"spec": {"containers": [{"name": "discovery", "env": k8s["env"]}]}}}},
        },
        {
            "kind": "PodDisruptionBudget",
            "name": "istiod-r1",
            "merge": {"spec": {"maxUnavailable": 1, "minAvailable": None}},
        },
        {"kind": "Deployment", "name": "istiod-r1", "merge": {"spec": {"replicas": 3}}},
    ]
    assert release(translation, "istiod-r1").values["pilot"]["replicaCount"] == 3


def test_overlays_become_patches() -> None:
    overlay = {
        "kind": "Service",
        "name": "istiod",
        "patches": [{"path": "spec.type", "value": "NodePort"}, {"path": "spec.ports"}],
    }
    translation = translate(document(components={"pilot": {"k8s": {"overlays": [overlay]}}}))
    assert release(translation, "istiod").patches == [
        {"kind": "Service", "name": "istiod", "path": "spec.type", "value": "NodePort"},
        {"kind": "Service", "name": "istiod", "path": "spec.ports"},
    ]


def test_settings_without_effect_are_named() -> None:
    components = {
        "base": {"k8s": {"replicaCount": 1}},
        "pilot": {"k8s": {"volumes": [{"name": "x", "emptyDir": {}}]}},
        "istiodRemote": {"enabled": True},
    }
    assert [warning.split(" has no effect")[0] for warning in translate(document(components=components)).warnings] == [
        "spec.components.istiodRemote",
        "spec.components.base.k8s.replicaCount",
        "spec.components.pilot.k8s.volumes",
    ]


def test_same_name_twice() -> None:
    gateways = {"ingressGateways": [{"name": "edge"}], "egressGateways": [{"name": "edge"}]}
    with pytest.raises(MeshopsError, match="edge in namespace istio-system is declared twice"):
        translate(document(components=gateways))


# -- files --------------------------------------------------------------------


def test_files_are_merged_in_their_order(tmp_path: pathlib.Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text(yaml.safe_dump(document(profile="minimal", hub="one", tag="1")))
    second.write_text(yaml.safe_dump(document(hub="two")))
    given = [str(first), str(second), document(tag="3")]
    assert translate(given) == translate(document(profile="minimal", hub="two", tag="3"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not valid YAML"),
        ("", "holds 0 documents"),
        ("a: 1\n---\nb: 2\n", "holds 2 documents"),
        ("[]", "in .*mesh.yaml is not valid:\n  must be a dictionary"),
    ],
)
def test_bad_file(tmp_path: pathlib.Path, text: str, message: str) -> None:
    path = tmp_path / "mesh.yaml"
    path.write_text(text)
    with pytest.raises(MeshopsError, match=message):
        translate(str(path))


def test_missing_file(tmp_path: pathlib.Path) -> None:
    with pytest.raises(MeshopsError, match="none.yaml can't be read: No such file"):
        translate(str(tmp_path / "none.yaml"))


def test_install_package_path_is_refused_with_the_way_out() -> None:
    with pytest.raises(MeshopsError, match="control_plane_charts"):
        translate(document(installPackagePath="/tmp"))


# -- always -------------------------------------------------------------------

TREES = st.recursive(
    st.one_of(st.none(), st.integers(0, 9), st.booleans()),
    lambda below: st.dictionaries(st.sampled_from(["a", "b", "pilot", "cni", "global"]), below, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(PROFILES)), st.dictionaries(st.sampled_from(["x", "y", "pilot"]), TREES, max_size=3))
def test_any_unvalidated_values_reach_istiod_and_nothing_given_is_changed(profile: str, values: dict) -> None:
    given_document = document(profile=profile, components={"pilot": {"enabled": True}}, unvalidatedValues=values)
    kept = copy.deepcopy(given_document)
    found = release(translate(given_document), "istiod").values
    assert given_document == kept

    def holds(have: object, want: object) -> bool:
        if isinstance(want, dict):
            return isinstance(have, dict) and all(holds(have.get(key), value) for key, value in want.items())
        return have == want

    assert holds(found, values)
