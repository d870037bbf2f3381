# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a purge takes away, and the backup that it writes."""

from __future__ import annotations

import base64
import gzip
import json
import os
import pathlib
import stat

import pytest
import yaml
from ansible_collections.meshops.istio.plugins.module_utils.control_plane import gateways
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.purge import backup as purge_backup
from ansible_collections.meshops.istio.plugins.module_utils.purge.plan import plan_purge, plan_summary, plan_text

LABELS = {"operator.istio.io/component": "Pilot", "istio.io/rev": "default"}


def obj(kind, name, namespace="", api="v1", **rest):
    meta = {"name": name, **({"namespace": namespace} if namespace else {}), **rest.pop("meta", {})}
    return {"apiVersion": api, "kind": kind, "metadata": meta, **rest}


def mesh():
    return [
        obj("Namespace", "istio-system"),
        obj("Namespace", "app", meta={"labels": {"istio-injection": "enabled", "team": "a"}}),
        obj("Deployment", "istiod", "istio-system", "apps/v1", meta={"labels": LABELS}, spec={}),
        obj("MutatingWebhookConfiguration", "w", api="admissionregistration.k8s.io/v1", meta={"labels": LABELS}),
        obj("ClusterRole", "shared", meta={"labels": {"operator.istio.io/component": "Base"}}),
        obj("CustomResourceDefinition", "c", spec={"group": "networking.istio.io"}),
        obj(
            "Sidecar",
            "s",
            "app",
            "networking.istio.io/v1",
            meta={"resourceVersion": "7"},
            spec={"a": 1},
            status={"x": 1},
        ),
        obj("Secret", "cacerts", "istio-system", data={"ca-key.pem": "a2V5"}),
        obj(
            "Deployment",
            "shop",
            "app",
            "apps/v1",
            spec={"template": {"metadata": {"labels": {"app": "shop", "sidecar.istio.io/inject": "true"}}}},
        ),
        obj(
            "Pod",
            "shop-77-1",
            "app",
            meta={
                "annotations": {"sidecar.istio.io/status": '{"revision":"default"}'},
                "labels": {"pod-template-hash": "77"},
                "ownerReferences": [{"kind": "ReplicaSet", "name": "shop-77", "uid": "u", "controller": True}],
            },
        ),
    ]


def plan(**options):
    return plan_purge(mesh(), ["istio-system"], **options)


def test_everything_goes_in_order():
    assert plan().parts == [
        "webhooks",
        "injection",
        "sidecars",
        "control_plane",
        "mesh_objects",
        "ca",
        "crds",
        "namespaces",
    ]


@pytest.mark.parametrize(
    ("keep", "spared"),
    [
        (["crds"], {"crds"}),
        (["mesh_objects"], {"mesh_objects", "crds"}),
        (["ca"], {"ca", "namespaces"}),
        (["namespaces"], {"namespaces"}),
        (["crds", "ca"], {"crds", "ca", "namespaces"}),
    ],
)
def test_keep(keep, spared):
    kept = plan(keep=keep)
    assert set(plan().parts) - set(kept.parts) == spared
    assert {item.part for item in kept.stays if item.action == "leave"} == spared


GATEWAY_API = "gateway.networking.k8s.io/v1"


def gateway_api():
    """A user's Gateway and route, and what istiod made for it; beside a Gateway of Istio's own API of the same name."""
    spec = {"gatewayClassName": "istio"}
    made = {"labels": {"gateway.istio.io/managed": "istio.io-gateway-controller"}}
    return [
        obj("GatewayClass", "istio", "", GATEWAY_API, spec={"controllerName": "istio.io/gateway-controller"}),
        obj("Gateway", "front", "app", GATEWAY_API, spec=spec, status={"x": 1}),
        obj("Gateway", "front", "app", "networking.istio.io/v1", spec={"servers": []}),
        obj("TLSRoute", "front", "app", GATEWAY_API, spec={"parentRefs": [{"name": "front"}]}),
        obj("Deployment", "front-istio", "app", "apps/v1", meta=made, spec={"template": {}}),
    ]


def test_what_users_have_written_for_the_gateway_api_is_kept_with_what_it_needs():
    kept = plan_purge([*mesh(), *gateway_api()], ["istio-system"], keep=["mesh_objects"])
    names = {i.name for i in kept.items}
    assert not names & {"istio", "front", "front-istio", "s"}
    assert {"istiod", "w"} <= names


def test_what_users_have_written_for_the_gateway_api_is_backed_up():
    listed = [*mesh(), *gateway_api()]
    files = purge_backup.backup_files(plan_purge(listed, ["istio-system"]), listed)
    assert {name for name in files if name.startswith("mesh_objects/")} == {
        "mesh_objects/sidecar.app.s.yml",
        "mesh_objects/gateway.app.front.yml",
        "mesh_objects/gateway.gateway.networking.k8s.io.app.front.yml",
        "mesh_objects/tlsroute.gateway.networking.k8s.io.app.front.yml",
    }


def test_a_gateway_of_the_users_own_manifest_is_backed_up():
    template = {
        "metadata": {"annotations": {"inject.istio.io/templates": "gateway"}},
        "spec": {"containers": [{"name": "istio-proxy", "image": "auto"}]},
    }
    listed = [*mesh(), obj("Deployment", "edge", "app", "apps/v1", spec={"template": template})]
    files = purge_backup.backup_files(plan_purge(listed, ["istio-system"]), listed)
    assert files["mesh_objects/deployment.app.edge.yml"]["spec"] == {"template": template}
    assert not [document for document in files.values() if "gateways_list" in document]


def test_what_an_operator_made_a_mesh_from_is_backed_up():
    listed = [
        *mesh(),
        obj("IstioOperator", "mesh", "istio-system", "install.istio.io/v1alpha1", spec={"profile": "demo"}),
    ]
    files = purge_backup.backup_files(plan_purge(listed, ["istio-system"]), listed)
    assert files["operators/istiooperator.istio-system.mesh.yml"]["spec"] == {"profile": "demo"}


def test_sidecars_stay_where_restarts_are_not_wanted():
    without = plan(restart_workloads=False)
    assert "sidecars" not in without.parts
    assert any("restart it yourself" in item.why[0] for item in without.stays)
    assert any("sidecars stay in Deployment app/shop" in text for text in without.warnings)


def test_sidecars_that_no_restart_takes_out_are_a_warning():
    assert plan().warnings == ()
    alone = obj("Pod", "alone", "app", meta={"annotations": {"sidecar.istio.io/status": "{}"}})
    warned = plan_purge([*mesh(), alone], ["istio-system"]).warnings
    assert ["sidecars stay in Pod app/alone" in text for text in warned] == [True]


def test_a_revision_in_use_is_refused_and_names_the_users():
    with pytest.raises(MeshopsError, match=r"namespace app, proxy app/shop-77-1.*revisions here: default"):
        plan(revision="default")


def test_a_revision_takes_only_what_is_its_own():
    unused = [o for o in mesh() if o["kind"] != "Pod" and o["metadata"]["name"] != "app"]
    going = plan_purge(unused, ["istio-system"], revision="default")
    assert [item.where for item in going.items] == ["MutatingWebhookConfiguration w", "Deployment istio-system/istiod"]


def test_an_unknown_revision_is_gone_already_or_mistyped():
    unknown = plan(revision="1-30")
    assert unknown.items == ()
    assert unknown.warnings == ("there is no revision 1-30 to purge; revisions here: default",)
    assert plan_purge([], [], revision="1-30").warnings == ()


@pytest.mark.parametrize(("keep", "marked"), [([], False), (["namespaces"], True), (["ca"], True)])
def test_the_mark_of_a_purge_is_taken_off_a_namespace_that_stays(keep, marked):
    listed = [o for o in mesh() if o["metadata"]["name"] not in ("istio-system", "istiod")]
    listed.append(obj("Namespace", "istio-system", meta={"annotations": {"meshops.istio/purge": "control-plane"}}))
    plan = plan_purge(listed, ["istio-system"], keep=keep)
    assert [i.where for i in plan.part("proof")] == (["Namespace istio-system"] if marked else [])


def test_the_namespaces_of_control_planes_that_stay():
    assert plan().control_planes == ()
    assert plan(keep=["namespaces"]).control_planes == ("istio-system",)
    assert plan(keep=["ca"]).control_planes == ("istio-system",)


def test_the_text_names_every_object_and_reason_once():
    before, after = plan_text(plan())
    assert "webhooks:\n  delete MutatingWebhookConfiguration w: label operator.istio.io/component=Pilot\n" in before
    assert "take off Namespace app: label istio-injection" in before
    assert "restart Deployment app/shop and take off template label sidecar.istio.io/inject" in before
    assert after == ""
    assert plan_summary(plan())["ClusterRole"] == 1


def test_the_backup_holds_what_can_be_applied_again():
    files = purge_backup.backup_files(plan(), mesh())
    assert files["mesh_objects/sidecar.app.s.yml"] == {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Sidecar",
        "metadata": {"name": "s", "namespace": "app"},
        "spec": {"a": 1},
    }
    assert files["namespaces/namespace.app.yml"]["metadata"] == {
        "name": "app",
        "labels": {"istio-injection": "enabled"},
    }
    assert files["workloads/deployment.app.shop.yml"]["spec"]["template"]["metadata"] == {
        "labels": {"sidecar.istio.io/inject": "true"}
    }
    assert files["ca/secret.istio-system.cacerts.yml"]["data"] == {"ca-key.pem": "a2V5"}


def test_the_ca_may_stay_out_of_the_backup():
    assert not [name for name in purge_backup.backup_files(plan(), mesh(), with_ca=False) if name.startswith("ca/")]


def test_backup_files_are_for_the_user_alone(tmp_path):
    folder = tmp_path / "backup"
    old_umask = os.umask(0)
    try:
        paths = purge_backup.write_backup(str(folder), {"ca/a.yml": {"b": 1}})
    finally:
        os.umask(old_umask)
    assert [stat.S_IMODE(os.stat(path).st_mode) for path in paths] == [0o600]
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "ca")] == [0o700, 0o700]


def test_an_interrupted_purges_backup_is_added_to(tmp_path):
    """What lives is saved as it is now; what was taken off, as the first run saw it; what has gone keeps its file."""
    first = ["workloads/a.yml", "site.yml", "mesh_objects/a.yml", "mesh_objects/gone.yml", "ca/a.yml"]
    purge_backup.write_backup(str(tmp_path), {name: {"first": 1} for name in first})
    (tmp_path / "mesh_objects/a.yml").write_text("fir")
    purge_backup.write_backup(str(tmp_path), {name: {"second": 1} for name in [*first, "b.yml"] if "gone" not in name})
    seen = {name: [*yaml.safe_load((tmp_path / name).read_text())] for name in [*first, "b.yml"]}
    assert seen == {
        "workloads/a.yml": ["first"],
        "site.yml": ["first"],
        "mesh_objects/a.yml": ["second"],
        "mesh_objects/gone.yml": ["first"],
        "ca/a.yml": ["second"],
        "b.yml": ["second"],
    }


class KilledError(BaseException):
    pass


def test_a_backup_that_is_killed_leaves_no_half_of_a_file(tmp_path, monkeypatch):
    purge_backup.write_backup(str(tmp_path), {"ca/a.yml": {"first": 1}})

    def dump(_document, file, **_options):
        file.write("sec")
        file.flush()
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(purge_backup.yaml, "safe_dump", dump)
        with pytest.raises(KilledError):
            purge_backup.write_backup(str(tmp_path), {"ca/a.yml": {"second": 1}, "site.yml": {}})
    assert yaml.safe_load((tmp_path / "ca/a.yml").read_text()) == {"first": 1}
    purge_backup.write_backup(str(tmp_path), {"ca/a.yml": {"second": 1}, "site.yml": {}})
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["a.yml", "site.yml"]


def test_the_backup_of_a_purge_that_has_ended_is_set_aside(tmp_path):
    folder = tmp_path / "backup"
    assert purge_backup.set_aside(str(folder)) is None
    purge_backup.write_backup(str(folder), {"a.yml": {"first": 1}})
    assert purge_backup.set_aside(str(folder)) is None, "that purge has not ended"
    purge_backup.close_backup(str(folder), {"ended": "2026-01-02T03:04:05Z"})
    moved = purge_backup.set_aside(f"{folder}/")
    assert moved == f"{folder}.2026-01-02T030405Z"
    assert yaml.safe_load((pathlib.Path(moved) / "a.yml").read_text()) == {"first": 1}
    assert not folder.exists()


def test_a_backup_that_can_not_be_set_aside_is_not_touched(tmp_path):
    purge_backup.write_backup(str(tmp_path), {"a.yml": {}})
    (tmp_path / "purged.yml").write_text("")
    with pytest.raises(MeshopsError, match="move it away, or name another folder"):
        purge_backup.set_aside(str(tmp_path))


def release(name, chart, values, manifest="", namespace="istio-system"):
    chart = {"metadata": {"name": chart, "version": "1.31.0", "home": "https://istio.io"}}
    stored = {"name": name, "namespace": namespace, "manifest": manifest, "config": values, "chart": chart}
    data = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(stored).encode()))).decode()
    meta = {"labels": {"owner": "helm", "name": name, "version": "1"}}
    secret = f"sh.helm.release.v1.{name}.v1"
    return obj("Secret", secret, namespace, meta=meta, type="helm.sh/release.v1", data={"release": data})


def backup(*listed):
    return purge_backup.backup_files(plan_purge(list(listed), []), list(listed))


def injects(name, revision):
    return obj("Namespace", name, meta={"labels": {"istio.io/rev": revision}})


def test_namespaces_that_name_a_tag_name_it_again_when_the_mesh_is_made_anew():
    stable = release("istiod-stable", "istiod", {"revision": "stable", "revisionTags": ["prod", "next"]})
    one = backup(stable, injects("a", "prod"))
    assert {k: v for k, v in one["site.yml"].items() if k.startswith("injection")} == {
        "injection_revision": "prod",
        "injection_namespaces": ["a"],
    }
    by_default = backup(stable, obj("Namespace", "a", meta={"labels": {"istio-injection": "enabled"}}))
    assert "injection_namespaces" not in by_default["site.yml"], "no tag default points at it"
    several = backup(stable, injects("a", "stable"), injects("b", "prod"), injects("c", "next"), injects("d", "next"))
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
    manifest = yaml.safe_dump_all([obj("Service", "edge"), *made.objects])
    (again,) = backup(release("istiod", "istiod", {}), release("edge", "gateway", made.values, manifest, "edge"))[
        "site.yml"
    ]["gateways_list"]
    assert gateways.gateway_releases([again]) == [made]


def test_operators_can_be_spared_with_the_definitions_of_what_they_read():
    listed = [
        *mesh(),
        obj("CustomResourceDefinition", "istiooperators.install.istio.io", spec={"group": "install.istio.io"}),
        obj("IstioOperator", "mesh", "istio-system", "install.istio.io/v1alpha1"),
    ]
    plan = plan_purge(listed, ["istio-system"], keep=["operators"])
    gone = {item.name for item in plan.items if item.action == "delete"}
    assert {"istiod", "w", "c", "s"} <= gone
    assert not gone & {"istiooperators.install.istio.io", "mesh", "istio-system"}
    everything = {item.name for item in plan_purge(listed, ["istio-system"]).items}
    assert {"istiooperators.install.istio.io", "mesh"} <= everything
