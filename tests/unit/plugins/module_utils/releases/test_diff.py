# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import copy

import pytest
import yaml
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.helm.releases import Release
from ansible_collections.meshops.istio.plugins.module_utils.releases.diff import diff
from ansible_collections.meshops.istio.plugins.module_utils.releases.plan import plan_releases
from fakes.api_server import ApiServer
from fakes.helm import FakeHelm, installed, record
from fakes.objects import obj

SHOP = Release("shop", "shop", "shop")
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
DEFINITION = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
WEBHOOK = {
    "name": "a.example.com",
    "clientConfig": {"service": {"name": "a", "namespace": "shop"}},
    "failurePolicy": "Ignore",
    "rules": [{"operations": ["CREATE"]}],
}


def validator(**more) -> dict:
    return obj("ValidatingWebhookConfiguration", "v", labels={"app": "a"}, webhooks=[{**WEBHOOK, **more}])


class Server(ApiServer):
    """Merges webhooks by their names in a dry run, as the real one does."""

    def apply(self, obj, **options):
        made = super().apply(obj, **options)
        live = self.find(obj["kind"], obj["metadata"]["name"])
        for webhook in made.get("webhooks", ()):
            before = next(w for w in live["webhooks"] if w["name"] == webhook["name"])
            client = {**before["clientConfig"], **webhook["clientConfig"]}
            webhook |= {**before, **webhook, "clientConfig": client}
        return made


def shown(live: list[dict], chart: dict, refuses: bool = False) -> list[dict]:
    server = Server([NAMESPACE])
    for made in live:
        server.put(made, manager="helm")
    if refuses:
        server.refuse(lambda request: ApiError("no", 500) if request.query.get("dryRun") else None)
    (plan,) = plan_releases(server, FakeHelm({"shop": [chart]}), [SHOP])
    entries = diff(server, [plan])
    assert server.writes == []
    return entries


@pytest.fixture
def live():
    """A validator as istiod has completed it."""
    (made,) = installed(SHOP, validator())
    made = copy.deepcopy(made)
    made["webhooks"][0] |= {"timeoutSeconds": 10, "matchPolicy": "Equivalent"}
    made["webhooks"][0]["clientConfig"] |= {"caBundle": "abc"}
    return [record(SHOP, validator()), made]


def test_what_others_have_in_a_list_is_not_shown_as_removed(live):
    changed = validator(rules=[{"operations": ["CREATE", "UPDATE"]}])
    (entry,) = shown(live, changed)
    assert "UPDATE" not in entry["before"]
    assert "UPDATE" in entry["after"]
    for word in ("caBundle", "timeoutSeconds", "matchPolicy"):
        assert word not in entry["before"]


def test_without_an_answer_the_live_list_is_shown(live):
    (entry,) = shown(live, validator(rules=[{"operations": ["UPDATE"]}]), refuses=True)
    assert "timeoutSeconds" in entry["before"]


def test_definitions_are_shown_without_their_schemas():
    def definition(field: str) -> dict:
        version = {"name": "v1", "served": True, "schema": {"openAPIV3Schema": {"properties": {field: {}}}}}
        names = {"kind": "Thing", "plural": "things"}
        spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
        meta = {"name": "things.example.com"}
        return {**DEFINITION, "metadata": meta, "spec": spec}

    (entry,) = shown([], definition("one"))
    assert yaml.safe_load(entry["after"])["spec"]["versions"][0].startswith("v1 (schema ")
    assert entry["after"].count("\n") < 10
    (entry,) = shown([record(SHOP, definition("one")), *installed(SHOP, definition("one"))], definition("two"))
    assert entry["before"] != entry["after"]
    assert "two" not in entry["after"]
