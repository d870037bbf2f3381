# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The variables that make the same mesh again."""

from __future__ import annotations

import base64
import gzip
import json

import pytest
import yaml
from ansible_collections.meshops.istio.plugins.module_utils.control_plane import gateways
from ansible_collections.meshops.istio.plugins.module_utils.purge.plan import plan_purge
from ansible_collections.meshops.istio.plugins.module_utils.purge.site import site_files
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.identity import key


def obj(kind, name, namespace="", api="v1", **rest):
    meta = {"name": name, **({"namespace": namespace} if namespace else {}), **rest.pop("meta", {})}
    return {"apiVersion": api, "kind": kind, "metadata": meta, **rest}


def release(name, chart, values, manifest="", namespace="istio-system"):
    chart = {"metadata": {"name": chart, "version": "1.31.0", "sources": ["https://github.com/istio/istio"]}}
    stored = {"name": name, "namespace": namespace, "manifest": manifest, "config": values, "chart": chart}
    data = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(stored).encode()))).decode()
    meta = {"labels": {"owner": "helm", "name": name, "version": "1"}}
    secret = f"sh.helm.release.v1.{name}.v1"
    return obj("Secret", secret, namespace, meta=meta, type="helm.sh/release.v1", data={"release": data})


def role_of(name, namespace="istio-system"):
    """A cluster-scoped object that Helm installed with a release."""
    annotations = {"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": namespace}
    meta = {"annotations": annotations, "labels": {"app.kubernetes.io/managed-by": "Helm"}}
    return obj("ClusterRole", f"istiod-of-{name}", api="rbac.authorization.k8s.io/v1", meta=meta)


ROLE = "{kind: ClusterRole, apiVersion: rbac.authorization.k8s.io/v1, metadata: {name: istiod-of-%s}}"


def backup(*listed):
    return site_files(plan_purge(list(listed), []), {key(obj): obj for obj in listed})


def injects(name, revision):
    return obj("Namespace", name, meta={"labels": {"istio.io/rev": revision}})


def test_namespaces_that_name_a_tag_name_it_again_when_the_mesh_is_made_anew():
    values = {"revision": "stable", "revisionTags": ["prod", "next"]}
    stable = [release("istiod-stable", "istiod", values, ROLE % "istiod-stable"), role_of("istiod-stable")]
    one = backup(*stable, injects("a", "prod"))
    assert {k: v for k, v in one["site.yml"].items() if k.startswith("injection")} == {
        "injection_revision": "prod",
        "injection_namespaces": ["a"],
    }
    by_default = backup(*stable, obj("Namespace", "a", meta={"labels": {"istio-injection": "enabled"}}))
    assert "injection_namespaces" not in by_default["site.yml"], "no tag default points at it"
    several = backup(*stable, injects("a", "stable"), injects("b", "prod"), injects("c", "next"), injects("d", "next"))
    shown = {n: (v.get("injection_revision"), v["injection_namespaces"]) for n, v in several.items() if n[:4] == "site"}
    assert shown == {
        "site.yml": (None, ["a"]),
        "site.stable.prod.yml": ("prod", ["b"]),
        "site.stable.next.yml": ("next", ["c", "d"]),
    }
    assert several["site.stable.next.yml"]["control_plane_tags"] == ["prod", "next"]


@pytest.mark.parametrize("told", [True, {"host": "shop.example", "port": "https", "annotations": {"a": "b"}}])
def test_the_route_of_a_gateway_is_told_again(told):
    """A gateway's variables, read from what they made, make the same again."""
    (made,) = gateways.gateway_releases([{"name": "edge", "namespace": "edge", "openshift_route": told}])
    service = obj("Service", "edge", "edge", meta={**role_of("edge", "edge")["metadata"], "name": "edge"})
    manifest = yaml.safe_dump_all([obj("Service", "edge"), *made.objects])
    site = backup(
        release("istiod", "istiod", {}, ROLE % "istiod"),
        role_of("istiod"),
        release("edge", "gateway", made.values, manifest, "edge"),
        service,
    )["site.yml"]
    (again,) = site["gateways_list"]
    assert gateways.gateway_releases([again]) == [made]


def test_gateways_come_with_the_last_control_plane_and_tags_are_those_of_the_cluster():
    """Two revisions, a tag that no release declares, and a gateway of the second revision."""
    tag = obj("MutatingWebhookConfiguration", "t", meta={"labels": {"istio.io/tag": "prod", "istio.io/rev": "1-31-0"}})
    labels = {"app.kubernetes.io/managed-by": "Helm"}
    annotations = {"meta.helm.sh/release-name": "edge", "meta.helm.sh/release-namespace": "edge"}
    files = backup(
        release("istiod", "istiod", {}, ROLE % "istiod"),
        role_of("istiod"),
        release("istiod-1-31-0", "istiod", {"revision": "1-31-0"}, ROLE % "istiod-1-31-0"),
        role_of("istiod-1-31-0"),
        release(
            "edge", "gateway", {"revision": "1-31-0"}, "{kind: Service, apiVersion: v1, metadata: {name: edge}}", "edge"
        ),
        obj("Service", "edge", "edge", meta={"labels": labels, "annotations": annotations}),
        tag,
        injects("shop", "prod"),
    )
    assert list(files) == ["site.yml", "site.1-31-0.yml"]
    assert "gateways_list" not in files["site.yml"]
    last = files["site.1-31-0.yml"]
    assert last["control_plane_tags"] == ["prod"]
    assert [gateway["name"] for gateway in last["gateways_list"]] == ["edge"]
    assert (last["injection_revision"], last["injection_namespaces"]) == ("prod", ["shop"])


def test_a_release_that_a_tenant_claims_decides_no_control_plane():
    """Its Deployment says that it is of the release; the tenant can't create a ClusterRole that says so."""
    labels = {"app.kubernetes.io/managed-by": "Helm"}
    annotations = {"meta.helm.sh/release-name": "istiod", "meta.helm.sh/release-namespace": "tenant"}
    manifest = "{kind: Deployment, apiVersion: apps/v1, metadata: {name: istiod}}"
    deployment = obj("Deployment", "istiod", "tenant", "apps/v1", meta={"labels": labels, "annotations": annotations})
    claimed = release("istiod", "istiod", {"global": {"hub": "evil.example.com"}}, manifest, "tenant")
    assert backup(claimed, deployment) == {}
    assert backup(claimed, role_of("istiod"), deployment) == {}


def test_file_names_hold_no_path():
    evil = {"revision": "../../x"}
    files = backup(release("istiod", "istiod", {}, ROLE % "istiod"), role_of("istiod"),
                   release("other", "istiod", evil, ROLE % "other"), role_of("other"))  # fmt: skip
    assert list(files) == ["site.yml", "site..._.._x.yml"]
