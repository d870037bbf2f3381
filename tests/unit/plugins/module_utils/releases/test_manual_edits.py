# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import copy

from ansible_collections.meshops.istio.plugins.module_utils.reconcile.diff import diff
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.plan import Change
from ansible_collections.meshops.istio.plugins.module_utils.releases.manual_edits import (
    additions,
    take_away,
    with_additions_as_helms,
)
from fakes.api_server import ApiServer

WANTED = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "istiod", "namespace": "istio-system"},
    "spec": {
        "template": {
            "metadata": {"labels": {"app": "istiod"}},
            "spec": {"containers": [{"name": "discovery", "image": "i", "env": [{"name": "A", "value": "1"}]}]},
        }
    },
}
CONTAINER = 'k:{"name":"discovery"}'


def edited(fields, change, manager="kubectl-edit", **more):
    """The wanted object as somebody has left it."""
    live = copy.deepcopy(WANTED)
    change(live)
    live["metadata"]["resourceVersion"] = "7"
    live["metadata"]["managedFields"] = [
        {"manager": "helm", "operation": "Apply", "fieldsV1": in_pod({"f:containers": {CONTAINER: {"f:image": {}}}})},
        {"manager": manager, "operation": "Update", "fieldsV1": fields, **more},
    ]
    return live


def pod(obj):
    return obj["spec"]["template"]["spec"]


def in_pod(fields):
    return {"f:spec": {"f:template": {"f:spec": fields}}}


FOO = 'k:{"name":"FOO"}'
ENV = in_pod({"f:containers": {CONTAINER: {"f:env": {FOO: {".": {}, "f:name": {}, "f:value": {}}}}}})


def with_env(obj):
    pod(obj)["containers"][0]["env"].append({"name": "FOO", "value": "x"})


def texts(live):
    return [one.text for one in additions(WANTED, live)]


def test_what_a_kubectl_has_added_is_found():
    assert texts(edited(ENV, with_env)) == [
        "spec.template.spec.containers[name=discovery].env[name=FOO] was added by kubectl-edit"
    ]
    selector = in_pod({"f:nodeSelector": {}})
    live = edited(selector, lambda obj: pod(obj).update(nodeSelector={"disk": "ssd"}), "kubectl-patch")
    assert texts(live) == ["spec.template.spec.nodeSelector was added by kubectl-patch"]


def test_others_may_add():
    assert texts(edited(ENV, with_env, "some-operator")) == []
    assert texts(edited(ENV, with_env, subresource="status")) == []
    both = edited(ENV, with_env)
    both["metadata"]["managedFields"].append({"manager": "some-operator", "fieldsV1": ENV})
    assert texts(both) == []


def test_a_restart_and_the_number_of_replicas_are_left_alone():
    restarted = {".": {}, "f:kubectl.kubernetes.io/restartedAt": {}}
    fields = {"f:spec": {"f:replicas": {}, "f:template": {"f:metadata": {"f:annotations": restarted}}}}

    def change(obj):
        obj["spec"]["replicas"] = 3
        obj["spec"]["template"]["metadata"]["annotations"] = {"kubectl.kubernetes.io/restartedAt": "now"}

    assert texts(edited(fields, change, "kubectl-rollout")) == []
    fields = {"f:metadata": {"f:annotations": {".": {}, "f:note": {}}}}
    assert (
        texts(edited(fields, lambda obj: obj["metadata"].update(annotations={"note": "x"}), "kubectl-annotate")) == []
    )


SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "istiod", "namespace": "istio-system"},
    "spec": {"selector": {"app": "istiod"}},
}


def test_another_key_in_a_selector():
    live = copy.deepcopy(SERVICE)
    live["spec"]["selector"]["version"] = "none"
    live["metadata"]["managedFields"] = [{"manager": "kubectl-edit", "fieldsV1": {"f:spec": {"f:selector": {}}}}]
    assert [one.text for one in additions(SERVICE, live)] == ["spec.selector.version was added by kubectl-edit"]


def test_the_diff_shows_that_it_goes():
    selector = in_pod({"f:nodeSelector": {}})
    live = edited(selector, lambda obj: pod(obj).update(nodeSelector={"disk": "ssd"}, dnsPolicy="ClusterFirst"))
    shown = with_additions_as_helms(live, additions(WANTED, live))
    change = Change("update", "apps/v1", "Deployment", "istio-system", "istiod", before=shown, after=WANTED)
    (entry,) = diff([change], "helm")
    assert "disk: ssd" in entry["before"]
    assert "disk" not in entry["after"]
    assert "dnsPolicy" not in entry["before"]


def test_what_was_added_is_taken_away_the_last_item_first():
    def change(obj):
        with_env(obj)
        pod(obj)["containers"][0]["env"].append({"name": "BAR", "value": "y"})

    fields = copy.deepcopy(ENV)
    env = fields["f:spec"]["f:template"]["f:spec"]["f:containers"][CONTAINER]["f:env"]
    env['k:{"name":"BAR"}'] = {".": {}, "f:name": {}}
    cluster = ApiServer([edited(fields, change)])
    take_away(cluster, WANTED, cluster.find("Deployment", "istiod", "istio-system"))
    (container,) = pod(cluster.find("Deployment", "istiod", "istio-system"))["containers"]
    assert container["env"] == [{"name": "A", "value": "1"}]
    assert take_away(cluster, WANTED, cluster.find("Deployment", "istiod", "istio-system")) is None


def test_nothing_is_written_where_nothing_was_added():
    cluster = ApiServer([edited({}, lambda obj: None)])
    take_away(cluster, WANTED, cluster.find("Deployment", "istiod", "istio-system"))
    assert cluster.writes == []
