# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whole runs of a purge, a bundle and mesh_info in a cluster with a tenant that writes what it likes."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
import pathlib
import re
import tempfile

import pytest
import yaml
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.footprint.charts import CHART_PARTS
from ansible_collections.meshops.istio.plugins.module_utils.footprint.listing import read_footprint
from ansible_collections.meshops.istio.plugins.module_utils.mesh_info.read import read_mesh
from ansible_collections.meshops.istio.plugins.module_utils.mesh_info.support_bundle import collect
from ansible_collections.meshops.istio.plugins.module_utils.purge.run import PurgeOptions, purge
from fakes.api_server import ApiServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

EVIL = [
    "{{ 1/0 }}",
    "{% raw %}",
    "<script>alert(1)</script>",
    "!!python/object/apply:os.system [id]",
    "../../../../etc/cron.d/x",
    "a\n---\nb: c",
    "\x1b[31m",
    "$(touch pwned)",
]
TEXT = st.sampled_from([*EVIL, "x", "istio", "true", "istiod", "tenant", "bank", "canary"])
NAMES = st.sampled_from(["istiod", "istio-system", "cacerts", "edge", "istio-leader", "gw", "data"])
KINDS = [
    ("v1", "Service"),
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "ServiceAccount"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "DaemonSet"),
    ("v1", "Pod"),
]
LABELS = st.dictionaries(
    st.sampled_from(
        [
            "operator.istio.io/component",
            "istio.io/rev",
            "istio.io/config",
            "app",
            "app.kubernetes.io/part-of",
            "app.kubernetes.io/managed-by",
            "helm.sh/chart",
        ]
    ),
    st.sampled_from(["Pilot", "Cni", "istio", "true", "Helm", "istiod", "canary", "istiod-1.31.0"]),
    max_size=4,
)
ANNOTATIONS = st.dictionaries(
    st.sampled_from(
        [
            "meta.helm.sh/release-name",
            "meta.helm.sh/release-namespace",
            "meshops.istio/purge",
            "sidecar.istio.io/status",
            "note",
        ]
    ),
    TEXT,
    max_size=4,
)
#: What others have: nothing of it is Istio's.
OTHERS = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system"}},
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}},
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bank"}},
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "tenant"}},
    *(
        {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "bank"}}
        for api, kind in KINDS
        if kind != "Pod"
        for name in ("istiod", "edge", "data")
    ),
    {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "cluster-admin"}},
]


def namespace(name, **meta):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, **meta}}


@st.composite
def objects_of_the_tenant(draw):
    api, kind = draw(st.sampled_from(KINDS))
    meta = {"name": draw(NAMES), "namespace": "tenant", "labels": draw(LABELS), "annotations": draw(ANNOTATIONS)}
    made = {"apiVersion": api, "kind": kind, "metadata": meta}
    if kind in ("Deployment", "DaemonSet"):
        containers = [{"name": "discovery", "image": draw(TEXT)}]
        template = {
            "metadata": {"labels": draw(LABELS), "annotations": draw(ANNOTATIONS)},
            "spec": {"containers": containers},
        }
        made["spec"] = {"selector": {"matchLabels": {"app": "x"}}, "template": template, "replicas": 0}
    elif kind == "Pod":
        made["spec"] = {"containers": [{"name": "istio-proxy", "image": draw(TEXT), "args": [draw(TEXT)]}]}
        made["status"] = {"phase": "Running", "containerStatuses": [{"name": draw(TEXT), "ready": True}]}
    elif kind == "ConfigMap":
        made["data"] = {"mesh": draw(TEXT)}
    return made


@st.composite
def records_of_the_tenant(draw):
    """A Secret that pretends to be Helm's record of a release, with a manifest that names objects of others."""
    manifest = draw(st.lists(st.sampled_from([o for o in OTHERS if o["kind"] != "Namespace"]), max_size=4))
    release = {
        "name": draw(TEXT),
        "namespace": draw(TEXT),
        "version": 1,
        "info": {"status": draw(st.sampled_from(["deployed", "failed", "uninstalled"]))},
        "config": {draw(TEXT): draw(TEXT)},
        "manifest": yaml.safe_dump_all(manifest),
        "chart": {
            "metadata": {
                "name": draw(st.sampled_from(sorted(CHART_PARTS))),
                "version": draw(TEXT),
                "sources": ["https://github.com/istio/istio"],
            }
        },
    }
    data = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(release).encode()))).decode()
    labels = {"owner": "helm", "name": "x", "version": "1", "status": "deployed"}
    meta = {"name": "sh.helm.release.v1.x.v1", "namespace": "tenant", "labels": labels}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "helm.sh/release.v1",
        "metadata": meta,
        "data": {"release": data},
    }


@dataclasses.dataclass
class Run:
    """A cluster, and a folder that holds the backup and nothing else."""

    server: ApiServer
    folder: pathlib.Path

    def outside(self) -> list[str]:
        """The writes that are neither in the tenant's namespace nor on the namespace itself."""
        own = re.compile(r"/api(s/[^/]+)?/v\w+/namespaces/tenant(/|$)")
        return [write for write in self.server.writes if not own.match(write.partition(" ")[2])]


def run_purge(server: ApiServer, folder: pathlib.Path) -> None:
    options = PurgeOptions(
        confirm=True,
        accept_outages=True,
        backup_dir=str(folder / "backup"),
        backup_anywhere=True,
        wait_timeout=0.2,
        finalizer_timeout=0.1,
    )
    try:
        purge(server, options)
    except MeshopsError:
        pass  # something is left, or no pod starts: here only what it writes counts


def cluster_of(objects, record=None) -> ApiServer:
    return ApiServer(
        [*OTHERS, *({(o["kind"], o["metadata"]["name"]): o for o in objects}).values(), *([record] if record else [])]
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(objects_of_the_tenant(), max_size=5), records_of_the_tenant())
def test_a_purge_writes_nothing_outside_the_namespace_of_a_tenant(objects, record):
    server = cluster_of(objects, record)
    before = {name for name in server.all() if "tenant" not in name}
    with tempfile.TemporaryDirectory() as folder:
        run = Run(server, pathlib.Path(folder))
        run_purge(server, run.folder)
        assert run.outside() == []
        assert before <= set(server.all())
        assert {path.name for path in run.folder.iterdir()} <= {"backup"}
        for path in run.folder.rglob("*"):
            assert re.fullmatch(r"[A-Za-z0-9._-]+", path.name), path.name
            assert not path.is_symlink()
            if path.suffix == ".yml" and path.parent.name == "backup":
                for line in path.read_text().splitlines():
                    assert "{{" not in line or "!unsafe" in line or "'{{ 1" not in line, line


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(objects_of_the_tenant(), max_size=5), records_of_the_tenant())
def test_a_bundle_and_an_audit_write_nothing_and_name_files_plainly(objects, record):
    server = cluster_of(objects, record)
    files = collect(server, {}, 5)
    read_footprint(server)
    read_mesh(server, ["control_planes", "gateways", "namespaces", "proxies"])
    assert server.writes == []
    for path, text in files.items():
        assert re.fullmatch(r"[A-Za-z0-9._/-]+", path)
        assert ".." not in path.split("/")
        if path.endswith(".yaml"):  # a text stays a text, and a document one document
            loaded = list(yaml.safe_load_all(text))
            assert all(isinstance(document, dict) and "kind" in document for document in loaded)


@pytest.mark.parametrize("confirm", [True, False])
def test_identity_policies_refuse_a_purge_until_the_outage_is_accepted(confirm, tmp_path):
    """Nothing is written before: a pipeline that confirms does not accept requests that fail."""
    status = {"sidecar.istio.io/status": '{"revision": "default"}'}
    owner = [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "u", "controller": True}]
    istiod = {"operator.istio.io/component": "Pilot"}
    spec = {"selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {}, "spec": {"containers": []}}}
    policy = {"action": "ALLOW", "rules": [{"from": [{"source": {"principals": ["cluster.local/ns/shop/sa/web"]}}]}]}
    server = ApiServer(
        [
            *OTHERS,
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-system"}},
            namespace("shop", labels={"istio-injection": "enabled"}),
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "istio", "namespace": "istio-system", "labels": istiod},
            },
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": "web", "namespace": "shop"},
                "spec": spec,
            },
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "web-1", "namespace": "shop", "annotations": status, "ownerReferences": owner},
                "spec": {"containers": [{"name": "app"}, {"name": "istio-proxy"}]},
                "status": {"phase": "Running"},
            },
            {
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": {"name": "authorizationpolicies.security.istio.io"},
                "spec": {
                    "group": "security.istio.io",
                    "scope": "Namespaced",
                    "names": {"kind": "AuthorizationPolicy", "plural": "authorizationpolicies"},
                    "versions": [{"name": "v1", "served": True, "storage": True}],
                },
            },
        ]
    )
    server.put(
        {
            "apiVersion": "security.istio.io/v1",
            "kind": "AuthorizationPolicy",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": policy,
        }
    )
    options = PurgeOptions(confirm=confirm, backup_dir=str(tmp_path / "b"), backup_anywhere=True)
    with pytest.raises(MeshopsError, match="accept_outages" if confirm else "confirm") as refused:
        purge(server, options)
    assert server.writes == []
    assert not (tmp_path / "b").exists()
    if confirm:
        (outage,) = refused.value.result["outages"]
        assert (outage["reason"], outage["object"]) == ("IdentityPolicy", "AuthorizationPolicy shop/web")


def test_an_object_made_again_under_the_same_name_is_not_deleted():
    """What was planned is another object by the time of its deletion."""
    labels = {"operator.istio.io/component": "Pilot"}
    meta = {"name": "notes", "namespace": "istio-system", "labels": labels}
    server = ApiServer(
        [
            *OTHERS,
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-system"}},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**meta, "uid": "first"}},
        ]
    )
    mine = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**meta, "labels": {}, "uid": "second"}}
    replaced = []

    def replace(request):
        if request.method == "DELETE" and request.name == "notes" and not replaced:
            replaced.append(mine)
            server.delete(KNOWN["", "ConfigMap"], "notes", "istio-system")
            server.put(mine)

    server.on_request(replace)
    options = PurgeOptions(confirm=True, wait_timeout=1, finalizer_timeout=0.1, keep=("namespaces",))
    purge(server, options)
    assert replaced
    assert server.find("ConfigMap", "notes", "istio-system")["metadata"]["uid"] == "second"
