# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which object owns what, and what the control_plane role gets; without a cluster."""

from __future__ import annotations

import json

import pytest
from ansible_collections.meshops.istio.extensions.operator import documents
from fakes.istio_operators import SETTINGS, obj, release


def test_the_operators_own_field_is_no_part_of_the_document():
    assert "deletionPolicy" not in documents.document(obj(deletionPolicy="Retain", profile="demo"))["spec"]


@pytest.mark.parametrize(
    ("tag", "version"),
    [("1.30.0", "1.30.0"), ("1.30.0-distroless", "1.30.0"), ("1.32.0-rc.1", "1.32.0-rc.1"), ("latest", "1.31.0")],
)
def test_a_tag_names_the_charts_version(tag, version):
    assert documents.chart_version(obj(tag=tag), SETTINGS) == version


def test_a_namespace_that_is_not_managed_is_refused_with_the_remedy():
    gateways = [{"name": "gw", "enabled": True, "namespace": "elsewhere"}]
    with pytest.raises(documents.Invalid, match="namespace elsewhere: add it to managedNamespaces"):
        documents.desired(obj(components={"egressGateways": gateways}), SETTINGS)
    gateways[0]["namespace"] = "ingress"
    names = [r.name for r in documents.desired(obj(components={"egressGateways": gateways}), SETTINGS).releases]
    assert names == ["istio-base", "istiod", "istio-ingressgateway", "gw"]


def test_a_bad_document_is_refused_with_the_path():
    with pytest.raises(documents.Invalid, match="spec.components.pilot.k8s.overlays.0..name: is missing"):
        documents.desired(obj(components={"pilot": {"k8s": {"overlays": [{"kind": "Deployment"}]}}}), SETTINGS)


def shares(*objects):
    return {name: share for (_namespace, name), share in documents.shares(objects, SETTINGS).items()}


def names(share):
    return [r.name for r in share.control_plane.releases] if share.control_plane else []


LATER = "2026-02-01T00:00:00Z"


def test_of_several_objects_the_newest_version_has_what_there_is_one_of():
    old, new = obj("old", tag="1.30.0"), obj("new", created=LATER, tag="1.31.0", revision="new")
    found = shares(old, new)
    assert names(found["old"]) == ["istiod"]
    assert names(found["new"]) == ["istio-base", "istiod-new", "istio-ingressgateway"]
    assert {r.name: owner for r, owner in found["old"].not_owned} == dict.fromkeys(
        ("istio-base", "istio-ingressgateway"), "IstioOperator istio-system/new"
    )
    assert names(shares(old)["old"]) == ["istio-base", "istiod", "istio-ingressgateway"]


def test_of_several_objects_of_one_version_the_oldest_has_it():
    one, two = obj("one"), obj("two", created=LATER, revision="two")
    found = shares(two, one)
    assert names(found["one"]) == ["istio-base", "istiod", "istio-ingressgateway"]
    assert names(found["two"]) == ["istiod-two"]
    assert [(r.name, owner) for r, owner in found["two"].not_owned if r.chart == "gateway"] == [
        ("istio-ingressgateway", "IstioOperator istio-system/one")
    ]


def test_a_gateway_of_its_own_is_an_objects_beside_one_that_another_has():
    gateways = [
        {"name": "istio-ingressgateway"},
        {"name": "mine"},
        {"name": "istio-ingressgateway", "namespace": "ingress"},
    ]
    two = obj("two", created=LATER, revision="two", components={"ingressGateways": gateways})
    found = [
        (r.namespace, r.name) for r in shares(obj("one"), two)["two"].control_plane.releases if r.chart == "gateway"
    ]
    assert found == [("istio-system", "mine"), ("ingress", "istio-ingressgateway")]


def test_what_a_profile_enables_has_one_owner_too():
    ambient = {"profile": "ambient"}
    found = shares(obj("one", **ambient), obj("two", created=LATER, revision="two", **ambient))
    assert set(names(found["one"])) == {"istio-base", "istio-cni", "istiod", "ztunnel"}
    assert names(found["two"]) == ["istiod-two"]


def test_a_cni_that_another_object_installs_is_relied_on():
    enabled = {"components": {"cni": {"enabled": True}}}
    one, two = obj("one", **enabled), obj("two", created=LATER, revision="two", **enabled)
    wanted = {r.chart: r for r in shares(one, two)["two"].control_plane.releases}
    assert "cni" not in wanted
    assert wanted["istiod"].values["pilot"]["cni"]["enabled"] is True


def test_a_second_object_of_a_revision_is_invalid_and_has_nothing():
    found = shares(obj("two", created=LATER, tag="1.32.0"), obj("one"))
    assert found["one"].problem == ""
    assert found["two"].problem.startswith("spec.revision: default already belongs to IstioOperator istio-system/one")
    assert found["two"].control_plane is None
    gateways_only = obj("gw", created=LATER, profile="empty", components={"ingressGateways": [{"name": "more"}]})
    assert names(shares(obj("one"), gateways_only)["gw"]) == ["more"]


def test_a_revision_stays_with_the_object_that_has_installed_it():
    istiod = {"name": "istiod", "namespace": "istio-system", "chart": "istiod", "state": "Ready"}
    older, has_it = obj("older"), obj("has-it", created=LATER, status={"components": [istiod]})
    found = shares(older, has_it)
    assert found["has-it"].problem == ""
    assert "already belongs to IstioOperator istio-system/has-it" in found["older"].problem
    istiod["state"] = "Superseded"
    assert shares(older, has_it)["older"].problem == ""


def good(found, **spec):
    found["metadata"]["annotations"] = {documents.LAST_GOOD: json.dumps(spec)}
    return found


def test_an_object_that_is_bad_now_keeps_what_it_had():
    bad = good(obj("mesh", revision="Not_A_Name"), profile="minimal")
    share = shares(bad)["mesh"]
    assert "Not_A_Name" in share.problem
    assert names(share) == ["istio-base", "istiod"]
    assert shares(obj(revision="Not_A_Name"))["mesh"].control_plane is None
    assert documents.last_good(good(obj(profile="demo"), profile="demo")) is None, "it is the same"


def test_an_object_that_wants_the_revision_of_another_keeps_its_own():
    two = good(obj("two", created=LATER), revision="two", profile="minimal")
    found = shares(obj("one"), two)
    assert "already" in found["two"].problem
    assert names(found["two"]) == ["istiod-two"]


def test_an_object_is_left_alone_where_it_says_so():
    record = obj("installed-state")
    assert not documents.is_ignored(record)
    record["metadata"]["annotations"] = {"install.istio.io/ignoreReconcile": "true"}
    assert documents.is_ignored(record)


@pytest.mark.parametrize("name", ['{{ lookup("pipe", "id") }}', "..", "UPPER", "a b", "a\nb", "", "x" * 64, None])
def test_components_with_names_that_kubernetes_refuses_are_ignored(name):
    """Whoever may write the status could otherwise choose what the operator removes, or what its playbooks evaluate."""
    listed = [
        {"name": name, "namespace": "istio-system"},
        {"name": "gw", "namespace": name},
        {"name": "gw", "namespace": "a"},
    ]
    assert documents.components(obj(status={"components": listed})) == [{"name": "gw", "namespace": "a"}]


def test_left_over_is_what_nobody_asks_for_any_more():
    had = [{"name": n, "namespace": "istio-system", "chart": "gateway"} for n in ("kept", "dropped", "others")]
    other = obj("other", status={"components": [{"name": "others", "namespace": "istio-system"}]})
    found = documents.left_over(had, [release("kept")], [other])
    assert [one["name"] for one in found] == ["dropped"]
