# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading and writing IstioOperator objects, against an API server that the test stands in for."""

from __future__ import annotations

import json

import pytest
from ansible_collections.meshops.istio.extensions.operator.documents import IGNORE, LAST_GOOD
from ansible_collections.meshops.istio.extensions.operator.objects import Objects, Uses
from ansible_collections.meshops.istio.extensions.operator.publication import Event
from ansible_collections.meshops.istio.extensions.operator.status import Outcome
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from fakes.istio_operators import fail_with, obj

READY = Outcome("Ready", "Ready", "1 of 1 component ready")


class Cluster:
    """Records what is written; lists what the test puts into it."""

    def __init__(self) -> None:
        self.listed: dict[str, list[dict]] = {}
        self.patches: list[tuple] = []
        self.created: list[dict] = []
        self.error: Exception | None = None

    def get(self, _kind, name, _namespace):
        return next((o for o in self.listed.get("IstioOperator", []) if o["metadata"]["name"] == name), None)

    def list(self, kind, _namespace=None, labels=None):
        return self.listed.get(kind.kind, [])

    def pages(self, kind, page):
        yield self.listed.get(kind.kind, [])

    def kind(self, _api_version, kind):
        return kind

    def patch(self, _kind, name, patch, namespace, options=None, dry_run=False):
        fail_with(self.error)
        self.patches.append((name, patch, options and options.subresource))
        return {"status": patch.get("status")}

    def delete(self, _kind, name, namespace, dry_run):
        assert dry_run
        fail_with(self.error)

    def create(self, posted):
        fail_with(self.error)
        self.created.append(posted)


@pytest.fixture
def cluster():
    return Cluster()


@pytest.fixture
def objects(cluster):
    return Objects(cluster, ("istio-system",), "pod-0")


def test_the_status_is_written_once_and_the_new_object_returned(objects, cluster):
    before = obj()
    after = objects.tell(before, READY)
    assert after["status"]["state"] == "Ready"
    assert "status" not in before, "the object that was given is not changed"
    assert objects.tell(after, READY) is after
    assert [(name, subresource) for name, _patch, subresource in cluster.patches] == [("mesh", "status")]


def test_what_the_status_no_longer_has_is_cleared(objects, cluster):
    objects.tell(obj(status={"legacy": "field", "version": "1.30.0"}), READY)
    ((_name, patch, _subresource),) = cluster.patches
    assert patch["status"]["legacy"] is None
    assert patch["status"]["version"] == "1.30.0"


def test_a_status_that_cannot_be_written_leaves_the_object_as_it_is(objects, cluster):
    cluster.error = MeshopsError("no connection")
    before = obj()
    assert objects.tell(before, READY) is before
    objects.event(before, Event("Ready", "x"))
    objects.remember(before)


def test_an_event_names_object_reason_and_reporter(objects, cluster):
    objects.event(obj(), Event("Failed", "x" * 5000, is_warning=True))
    (posted,) = cluster.created
    assert (posted["type"], posted["reason"], len(posted["message"])) == ("Warning", "Failed", 1000)
    assert posted["involvedObject"]["uid"] == "mesh"
    assert posted["source"]["host"] == "pod-0"


def test_the_last_good_spec_is_written_where_it_differs(objects, cluster):
    document = obj(profile="demo")
    objects.remember(document)
    ((_name, patch, _subresource),) = cluster.patches
    assert json.loads(patch["metadata"]["annotations"][LAST_GOOD]) == {"profile": "demo"}
    document["metadata"]["annotations"] = patch["metadata"]["annotations"]
    objects.remember(document)
    assert len(cluster.patches) == 1


def test_ignored_objects_are_not_listed(objects, cluster):
    ignored = obj("record")
    ignored["metadata"]["annotations"] = {IGNORE: "true"}
    cluster.listed["IstioOperator"] = [obj(), ignored]
    assert [o["metadata"]["name"] for o in objects.all()] == ["mesh"]


def test_uses_tell_tags_from_users(objects, cluster):
    labels = {"istio.io/rev": "canary", "istio.io/tag": "prod"}
    cluster.listed["MutatingWebhookConfiguration"] = [{"metadata": {"name": "tag", "labels": labels}}]
    cluster.listed["Namespace"] = [{"metadata": {"name": "shop", "labels": {"istio.io/rev": "canary"}}}]
    uses = objects.uses("canary", set())
    assert uses == Uses(("prod",), ("namespace shop",))
    assert uses.all == ["tag prod", "namespace shop"]
    assert objects.uses("stable", set()) == Uses()


def test_workloads_without_a_pod_use_the_revision_that_they_choose(objects, cluster):
    template = {"template": {"metadata": {"labels": {"istio.io/rev": "canary"}}}}
    helm = {"meta.helm.sh/release-name": "edge", "meta.helm.sh/release-namespace": "ingress"}
    cluster.listed["Deployment"] = [
        {"metadata": {"name": "web", "namespace": "shop"}, "spec": {**template, "replicas": 0}},
        {"metadata": {"name": "edge", "namespace": "ingress", "annotations": helm}, "spec": template},
    ]
    cluster.listed["CronJob"] = [
        {"metadata": {"name": "nightly", "namespace": "shop"}, "spec": {"jobTemplate": {"spec": template}}}
    ]
    cluster.listed["StatefulSet"] = [{"metadata": {"name": "db", "namespace": "shop"}, "spec": template}]
    users = ("workload CronJob shop/nightly", "workload Deployment shop/web", "workload StatefulSet shop/db")
    assert objects.uses("canary", {("ingress", "edge")}) == Uses((), users)
    assert objects.uses("stable", set()) == Uses()


@pytest.mark.parametrize("text", ["{{ 1/0 }}", "{% raw %}", "a\n{{ 1/0 }}\x1b[31m", "\u202e\x07", "x\r\nSet-Cookie: a"])
def test_texts_of_the_cluster_are_plain_in_status_events_and_logs(objects, cluster, caplog, text):
    caplog.set_level("INFO", logger="operator")
    told = objects.tell(obj(), Outcome("Failed", "Failed", f"a release failed: {text}"))
    objects.event(obj(), Event("Failed", text, is_warning=True))
    texts = [told["status"]["message"], *(c["message"] for c in told["status"]["conditions"])]
    texts += [posted["message"] for posted in cluster.created] + [record.getMessage() for record in caplog.records]
    assert len(texts) >= 5
    for shown in texts:
        assert all(character.isprintable() for character in shown)
        assert "{{" not in shown
        assert "{%" not in shown


@pytest.mark.parametrize(("status", "refused"), [(403, True), (404, False), (409, False)])
@pytest.mark.parametrize("action", ["delete", "strip"])
def test_a_refusal_is_that_of_the_api_server(objects, cluster, status, refused, action):
    cluster.error = ApiError("forbidden", status=status)
    item = {"api_version": "v1", "kind": "Service", "name": "echo", "namespace": "shop", "action": action}
    assert bool(objects.refusal(item)) == refused


def test_control_planes_are_read_from_istiods_labels(objects, cluster):
    cluster.listed["Deployment"] = [{"metadata": {"labels": {"istio.io/rev": "canary"}}}, {"metadata": {}}]
    assert objects.control_planes() == {"canary", "default"}
