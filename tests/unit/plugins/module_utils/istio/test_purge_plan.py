# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a purge takes away, and the backup that it writes."""

from __future__ import annotations

import os
import stat

import pytest
import yaml
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ClusterError
from ansible_collections.meshops.istio.plugins.module_utils.istio import purge_backup
from ansible_collections.meshops.istio.plugins.module_utils.istio.purge_plan import plan_purge, plan_summary, plan_text

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


def test_sidecars_stay_where_restarts_are_not_wanted():
    without = plan(restart_workloads=False)
    assert "sidecars" not in without.parts
    assert any("restart it yourself" in item.why[0] for item in without.stays)


def test_a_revision_in_use_is_refused_and_names_the_users():
    with pytest.raises(ClusterError, match=r"namespace app, proxy app/shop-77-1.*revisions here: default"):
        plan(revision="default")


def test_a_revision_takes_only_what_is_its_own():
    unused = [o for o in mesh() if o["kind"] != "Pod" and o["metadata"]["name"] != "app"]
    going = plan_purge(unused, ["istio-system"], revision="default")
    assert [item.where for item in going.items] == ["MutatingWebhookConfiguration w", "Deployment istio-system/istiod"]


def test_an_unknown_revision_is_gone_already():
    assert plan(revision="long-gone").items == ()


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
    assert stat.S_IMODE((folder / "ca").stat().st_mode) == 0o700


def test_an_interrupted_purges_backup_is_added_to(tmp_path):
    purge_backup.write_backup(str(tmp_path), {"a.yml": {"first": 1}})
    purge_backup.write_backup(str(tmp_path), {"a.yml": {"second": 1}, "b.yml": {}})
    assert yaml.safe_load((tmp_path / "a.yml").read_text()) == {"first": 1}
    assert (tmp_path / "b.yml").exists()


def test_a_finished_backup_is_never_touched(tmp_path):
    purge_backup.write_backup(str(tmp_path), {"a.yml": {}})
    purge_backup.close_backup(str(tmp_path), {"ended": "now"})
    with pytest.raises(ClusterError, match="name another folder"):
        purge_backup.write_backup(str(tmp_path), {"a.yml": {}})


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
