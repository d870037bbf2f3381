# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is removed with an object, and what is retained; with playbooks that the test stands in for."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.extensions.operator import removal
from ansible_collections.meshops.istio.extensions.operator.objects import Uses
from ansible_collections.meshops.istio.extensions.operator.playbook import PlayResult
from ansible_collections.meshops.istio.extensions.operator.removal import Remover, StillUsed
from ansible_collections.meshops.istio.extensions.operator.supervision import Heartbeat
from ansible_collections.meshops.istio.extensions.operator.turns import Turns
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from fakes.istio_operators import SETTINGS
from fakes.operator_runs import REF, Objects, Playbooks, played


@pytest.fixture
def objects():
    return Objects()


@pytest.fixture
def playbooks(monkeypatch):
    found = Playbooks()
    monkeypatch.setattr(removal.playbook, "run", found)
    return found


@pytest.fixture
def remove(objects, playbooks):
    remover = Remover(SETTINGS, objects, "kubeconfig", Turns())
    return lambda: remover.remove(REF, Heartbeat())


def footprint(**more):
    return played({"purged": [{"part": "control_plane", "action": "delete", "api_version": "v1", **more}]})


def test_nothing_goes_while_something_may_not(objects, playbooks, remove):
    playbooks.ends = [footprint(kind="Service", namespace="shop", name="echo")]
    objects.refused = "echo"
    with pytest.raises(StillUsed, match=r"may not change Service shop/echo \(forbidden\)"):
        remove()
    assert [name for name, _given in playbooks.played] == ["footprint"]
    assert objects.obj["status"]["state"] == "Deleting"


def test_users_hold_the_removal(objects, playbooks, remove):
    objects.used = {"default": Uses(tags=("prod", "default")), "prod": Uses(users=("namespace shop",))}
    with pytest.raises(StillUsed, match="still used by namespace shop"):
        remove()
    assert playbooks.played == []


def test_a_tag_that_nobody_uses_goes_with_the_last_object(objects, playbooks, remove):
    objects.used = {"default": Uses(tags=("prod", "default"))}
    playbooks.ends = [footprint(kind="Service", namespace="istio-system", name="istiod"), PlayResult()]
    remove()
    assert [name for name, _given in playbooks.played] == ["footprint", "remove"]


def test_where_others_stay_a_tag_is_a_user(objects, playbooks, remove):
    objects.used = {"default": Uses(tags=("prod",))}
    objects.control_planes = lambda: {"default", "another"}
    with pytest.raises(StillUsed, match="still used by tag prod"):
        remove()
    assert playbooks.played == []


def test_with_the_last_object_all_goes_but_what_is_kept(playbooks, remove):
    playbooks.ends = [footprint(kind="Service", namespace="istio-system", name="istiod"), PlayResult()]
    remove()
    _footprint, (name, given) = playbooks.played
    assert (name, given["operator_is_last"], given["operator_keep"]) == ("remove", True, ["operators", "namespaces"])


def test_a_removal_that_fails_says_why(objects, playbooks, remove):
    playbooks.ends = [footprint(kind="Service", name="istiod"), PlayResult("the API server is away")]
    with pytest.raises(MeshopsError, match="the API server is away"):
        remove()
    assert objects.obj["status"]["message"] == "the API server is away"


def test_the_default_validator_goes_to_the_object_that_remains(objects, playbooks, remove):
    other = {**objects.obj, "spec": {"revision": "canary"}}
    other["metadata"] = {**objects.obj["metadata"], "name": "other", "uid": "2"}
    objects.all = lambda: [objects.obj, other]
    objects.control_planes = lambda: {"default", "canary"}
    remove()
    (first, applied), (second, removed) = playbooks.played
    assert (first, second) == ("apply", "remove")
    assert applied["control_plane_istio_operator"]["spec"]["revision"] == "canary"
    assert applied["control_plane_retiring"] == ["default"]
    assert (removed["operator_is_last"], removed["operator_revision"]) == (False, "default")


def item(part, kind, name, namespace=None, api_version="v1", action="delete"):
    found = {"part": part, "action": action, "api_version": api_version, "kind": kind, "name": name}
    return {**found, "namespace": namespace} if namespace else found


def test_what_users_have_written_stays():
    route = item("mesh_objects", "VirtualService", "shop", "shop")
    crd = item("crds", "CustomResourceDefinition", "virtualservices.networking.istio.io")
    istiod = item("control_plane", "Deployment", "istiod", "istio-system")
    key = item("ca", "Secret", "cacerts", "istio-system")
    assert removal.kept([istiod, crd]) == ["operators", "namespaces"]
    keep = removal.kept([route, crd, istiod, key])
    assert keep == ["operators", "namespaces", "mesh_objects", "ca"]
    assert removal.removed([route, crd, istiod, key], keep) == [istiod]
