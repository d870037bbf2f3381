# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Releases on a real API server without nodes, with Helm 3 and Helm 4: nothing becomes ready, all else is real."""

from __future__ import annotations

import base64
import concurrent.futures
import copy
import gzip
import itertools
import json
import pathlib
import shutil
import subprocess
import threading
import time

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.client import PatchOptions
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.helm import settled
from ansible_collections.meshops.istio.plugins.module_utils.helm.helm import Helm, HelmBusy
from ansible_collections.meshops.istio.plugins.module_utils.helm.holder import HOLDER_LABEL, Holder, machine
from ansible_collections.meshops.istio.plugins.module_utils.helm.releases import Release
from ansible_collections.meshops.istio.plugins.module_utils.helm.stored import decode
from ansible_collections.meshops.istio.plugins.module_utils.releases.apply import ApplyOptions, apply_releases
from ansible_collections.meshops.istio.plugins.module_utils.releases.diff import diff
from ansible_collections.meshops.istio.plugins.module_utils.releases.plan import PlanOptions, plan_releases
from ansible_collections.meshops.istio.plugins.module_utils.releases.takeover import Takeover, take_over

CHART = pathlib.Path(__file__).parents[2] / "charts/probe"
SECRET, DEPLOYMENT, SERVICE = KNOWN["", "Secret"], KNOWN["apps", "Deployment"], KNOWN["", "Service"]


@pytest.fixture(params=["LAB_HELM4", "LAB_HELM3"])
def helm(request, cluster, lab, api_server):
    binary = api_server[request.param]
    if not pathlib.Path(binary).exists():
        lab("prepare")
    with Helm(cluster, binary) as helm:
        yield helm


def probe(namespace, versions=("v1", "v2"), **more):
    values = {"image": "localhost/probe:1", "echo": {"versions": list(versions)}, "client": {"enabled": False}}
    return Release(**{"name": "probe", "chart": str(CHART), "namespace": namespace, "values": values, **more})


def run(cluster, helm, *releases, **options):
    """Plans and applies; gives the plans."""
    plans = plan_releases(cluster, helm, releases, PlanOptions(**options))
    apply_releases(cluster, helm, plans, ApplyOptions(wait=False))
    return plans


def records(cluster, namespace):
    found = [decode(s) for s in cluster.list(SECRET, namespace, labels="owner=helm")]
    return {one.revision: one.status for one in found}


def titles(cluster, plans):
    return {entry["after_header"]: bool(entry["before"]) for entry in diff(cluster, plans)}


def write_record(cluster, namespace, revision, status, modified, labels):
    """A record as a helm that was cut off leaves it: the newest one, once more with another status."""
    source = cluster.list(SECRET, namespace, labels="owner=helm")[0]
    content = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(source["data"]["release"]))))
    content["version"], content["info"]["status"] = revision, status
    secret = copy.deepcopy(source)
    name = f"sh.helm.release.v1.probe.v{revision}"
    own = {
        "name": "probe",
        "owner": "helm",
        "status": status,
        "version": str(revision),
        "modifiedAt": str(int(modified)),
    }
    secret["metadata"] = {"name": name, "namespace": namespace, "labels": {**own, **labels}}
    blob = base64.b64encode(gzip.compress(json.dumps(content).encode()))
    secret["data"] = {"release": base64.b64encode(blob).decode()}
    cluster.create(secret)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(settled, "GRACE", 0.2)


def test_install_then_nothing_then_upgrade_then_away(cluster, helm, namespace):
    plans = plan_releases(cluster, helm, [probe(namespace)])
    assert plans[0].action == "install"
    assert f"Deployment {namespace}/echo-v2" in titles(cluster, plans)
    assert cluster.list(DEPLOYMENT, namespace) == []

    run(cluster, helm, probe(namespace))
    (again,) = run(cluster, helm, probe(namespace))
    assert (again.changed, again.causes) == (False, ())
    assert records(cluster, namespace) == {1: "deployed"}

    plans = run(cluster, helm, probe(namespace, ["v1"]))
    assert plans[0].action == "upgrade"
    assert titles(cluster, plans) == {f"Deployment {namespace}/echo-v2": True}
    assert [d["metadata"]["name"] for d in cluster.list(DEPLOYMENT, namespace)] == ["echo-v1"]

    (gone,) = run(cluster, helm, probe(namespace, state="absent"))
    assert gone.action == "uninstall"
    assert records(cluster, namespace) == {}
    assert not run(cluster, helm, probe(namespace, state="absent"))[0].changed


def test_drift_is_repaired_by_the_plan_alone(cluster, helm, namespace):
    run(cluster, helm, probe(namespace))
    cluster.delete(SERVICE, "echo", namespace)
    cluster.patch(DEPLOYMENT, "echo-v1", {"spec": {"replicas": 7}}, namespace, PatchOptions(manager="kubectl-scale"))
    (plan,) = plan_releases(cluster, helm, [probe(namespace)])
    assert plan.action == "none"
    assert {c.title for c in plan.repairs} == {f"Service {namespace}/echo", f"Deployment {namespace}/echo-v1"}

    run(cluster, helm, probe(namespace))
    assert cluster.get(SERVICE, "echo", namespace)["metadata"]["annotations"]["meta.helm.sh/release-name"] == "probe"
    assert cluster.get(DEPLOYMENT, "echo-v1", namespace)["spec"]["replicas"] == 1
    assert records(cluster, namespace) == {1: "deployed"}
    assert not run(cluster, helm, probe(namespace))[0].changed


def edit(cluster, namespace):
    """What somebody adds by kubectl: an environment variable, a node selector, a key in a Service's selector."""
    container = {"name": "echo", "env": [{"name": "ADDED", "value": "1"}]}
    pod = {"containers": [container], "nodeSelector": {"disk": "ssd"}}
    template = {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}, "spec": pod}
    change = {"metadata": {"annotations": {"note": "mine"}}, "spec": {"template": template}}
    cluster.patch(DEPLOYMENT, "echo-v1", change, namespace, PatchOptions(how="strategic", manager="kubectl-edit"))
    cluster.patch(
        SERVICE, "echo", {"spec": {"selector": {"version": "none"}}}, namespace, PatchOptions(manager="kubectl-patch")
    )


def assert_nothing_is_left_of_it(cluster, namespace):
    live = cluster.get(DEPLOYMENT, "echo-v1", namespace)
    template = live["spec"]["template"]
    assert "nodeSelector" not in template["spec"]
    assert "env" not in template["spec"]["containers"][0]
    assert template["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] == "now"
    assert live["metadata"]["annotations"]["note"] == "mine"
    assert "version" not in cluster.get(SERVICE, "echo", namespace)["spec"]["selector"]


def test_what_was_added_by_hand_is_taken_away(cluster, helm, namespace):
    run(cluster, helm, probe(namespace))
    edit(cluster, namespace)
    (plan,) = run(cluster, helm, probe(namespace))
    assert plan.action == "none"
    told = {c.title: c.reasons for c in plan.repairs}
    assert told[f"Service {namespace}/echo"] == [
        "spec.selector.version was added",
        "spec.selector.version was added by kubectl-patch",
    ]
    assert sorted(told[f"Deployment {namespace}/echo-v1"]) == [
        "spec.template.spec.containers[name=echo].env was added by kubectl-edit",
        "spec.template.spec.nodeSelector was added by kubectl-edit",
    ]
    assert_nothing_is_left_of_it(cluster, namespace)
    assert not run(cluster, helm, probe(namespace))[0].changed

    edit(cluster, namespace)  # and now helm has to run, too
    values = {**probe(namespace).values, "image": "localhost/probe:2"}
    assert run(cluster, helm, probe(namespace, values=values))[0].action == "upgrade"
    assert_nothing_is_left_of_it(cluster, namespace)
    assert not run(cluster, helm, probe(namespace, values=values))[0].changed


def test_an_upgrade_leaves_the_replicas_to_their_autoscaler(cluster, helm, namespace):
    run(cluster, helm, probe(namespace, ["v1"]))
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "echo-v1"}
    meta = {"name": "echo", "namespace": namespace}
    spec = {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 5}
    scaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": meta, "spec": spec}
    cluster.create(scaler)
    cluster.patch(
        DEPLOYMENT, "echo-v1", {"spec": {"replicas": 3}}, namespace, PatchOptions(manager="kube-controller-manager")
    )
    values = {**probe(namespace, ["v1"]).values, "image": "localhost/probe:2"}
    (plan,) = run(cluster, helm, probe(namespace, values=values))
    assert plan.report()["kept"] == [f"Deployment {namespace}/echo-v1: replicas belong to its HorizontalPodAutoscaler"]
    live = cluster.get(DEPLOYMENT, "echo-v1", namespace)["spec"]
    assert (live["replicas"], live["template"]["spec"]["containers"][0]["image"]) == (3, "localhost/probe:2")
    assert not run(cluster, helm, probe(namespace, values=values))[0].changed

    cluster.delete(KNOWN["autoscaling", "HorizontalPodAutoscaler"], "echo", namespace)
    run(cluster, helm, probe(namespace, values=values))
    assert cluster.get(DEPLOYMENT, "echo-v1", namespace)["spec"]["replicas"] == 1
    assert not run(cluster, helm, probe(namespace, values=values))[0].changed


@pytest.fixture
def rendered(helm, monkeypatch):
    """The names of the releases whose charts helm has rendered."""
    names, template = [], helm.template
    monkeypatch.setattr(helm, "template", lambda one, *more: names.append(one.name) or template(one, *more))
    return names


def test_what_helm_has_stored_is_not_rendered_again(cluster, helm, namespace, rendered, tmp_path):
    run(cluster, helm, probe(namespace))
    rendered.clear()
    assert not run(cluster, helm, probe(namespace))[0].changed
    cluster.delete(SERVICE, "echo", namespace)
    (repaired,) = run(cluster, helm, probe(namespace))
    assert [c.title for c in repaired.repairs] == [f"Service {namespace}/echo"]
    assert rendered == []

    # The same version of the chart with other content, other values, and a manifest that isn't of these values.
    own = tmp_path / "probe"
    shutil.copytree(CHART, own)
    template = own / "templates/echo.yaml"
    template.write_text(template.read_text().replace("metadata:", "metadata:\n  annotations: {other: content}", 1))
    assert plan_releases(cluster, helm, [probe(namespace, chart=str(own))])[0].causes[0].text.startswith("its manifest")
    assert run(cluster, helm, probe(namespace, ["v1"]))[0].action == "upgrade"
    assert set(rendered) == {"probe"}
    helm.rollback("probe", namespace, 1)
    assert run(cluster, helm, probe(namespace, ["v1"]))[0].action == "upgrade"
    assert len(cluster.list(DEPLOYMENT, namespace)) == 1


@pytest.mark.parametrize("status", ["pending-install", "pending-upgrade", "pending-rollback"])
def test_a_release_that_a_killed_run_left_pending_is_recovered(cluster, helm, namespace, impatient, status):
    run(cluster, helm, probe(namespace))
    write_record(cluster, namespace, 2, status, time.time(), {HOLDER_LABEL: Holder(2, machine(), "killed").label})
    if status == "pending-install":
        cluster.delete(SECRET, "sh.helm.release.v1.probe.v1", namespace)
    (plan,) = run(cluster, helm, probe(namespace))
    assert plan.causes[0].text == f"an operation was interrupted ({status}, revision 2)"
    assert set(records(cluster, namespace).values()) <= {"deployed", "superseded"}
    assert not run(cluster, helm, probe(namespace))[0].changed


def test_another_helm_at_work_is_not_disturbed(cluster, helm, namespace, impatient):
    run(cluster, helm, probe(namespace))
    write_record(cluster, namespace, 2, "pending-upgrade", time.time(), {})
    with pytest.raises(
        HelmBusy, match=rf"release {namespace}/probe: another Helm operation is in progress \(pending-upgrade\)"
    ):
        run(cluster, helm, probe(namespace, ["v1"]))
    assert records(cluster, namespace) == {1: "deployed", 2: "pending-upgrade"}
    assert len(cluster.list(DEPLOYMENT, namespace)) == 2


def test_another_helm_that_died_long_ago_is_recovered(cluster, helm, namespace, impatient):
    run(cluster, helm, probe(namespace))
    write_record(cluster, namespace, 2, "pending-upgrade", time.time() - 3600, {})
    run(cluster, helm, probe(namespace))
    assert set(records(cluster, namespace).values()) == {"deployed", "superseded"}


def test_a_failed_release_is_upgraded(cluster, helm, namespace):
    run(cluster, helm, probe(namespace))
    write_record(cluster, namespace, 2, "failed", time.time(), {})
    (plan,) = run(cluster, helm, probe(namespace))
    assert plan.causes[0].text.startswith("its last revision is failed")
    assert records(cluster, namespace)[3] == "deployed"


def test_objects_of_someone_else_are_not_taken(cluster, helm, namespace):
    service = {"ports": [{"name": "http", "port": 80}], "selector": {"a": "b"}}
    cluster.create(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "echo", "namespace": namespace}, "spec": service}
    )
    with pytest.raises(MeshopsError, match=rf"Service {namespace}/echo \(no release\).*take_ownership"):
        run(cluster, helm, probe(namespace))
    assert records(cluster, namespace) == {}
    run(cluster, helm, probe(namespace), take_ownership=True)
    assert cluster.get(SERVICE, "echo", namespace)["spec"]["selector"]["app"] == "echo"


def test_objects_of_another_release_are_not_taken_over(cluster, helm, namespace):
    run(cluster, helm, probe(namespace))
    second = probe(namespace, name="second")
    with pytest.raises(
        MeshopsError, match=rf"echo belongs to release {namespace}/probe \(Conflict\), which would go on writing"
    ):
        run(cluster, helm, second, take_ownership=True)
    assert records(cluster, namespace) == {1: "deployed"}
    for secret in cluster.list(SECRET, namespace, labels="owner=helm"):  # and now Helm knows of it no more
        cluster.delete(SECRET, secret["metadata"]["name"], namespace)
    run(cluster, helm, probe(namespace), take_ownership=True)
    assert records(cluster, namespace) == {1: "deployed"}


def test_what_helm_can_not_upgrade_is_taken_back(cluster, helm, namespace):
    """The server refuses one object when helm has written others already."""
    run(cluster, helm, probe(namespace, ["v1"]))
    patch = {"kind": "Deployment", "name": "echo-v1", "merge": {"spec": {"selector": {"matchLabels": {"other": "1"}}}}}
    values = {**probe(namespace).values, "image": "localhost/probe:2"}
    plans = plan_releases(cluster, helm, [probe(namespace, values=values, patches=[patch])])
    with pytest.raises(MeshopsError, match=r"release probe in namespace .*has been rolled back to revision 1"):
        apply_releases(cluster, helm, plans, ApplyOptions(atomic=True))
    assert records(cluster, namespace) == {1: "superseded", 2: "failed", 3: "deployed"}
    assert [one["metadata"]["name"] for one in cluster.list(DEPLOYMENT, namespace)] == ["echo-v1"]


def foreign(namespace, manager="istio-operator"):
    """A Deployment echo-v1 as another installer would have made it, with things that the chart doesn't know."""
    labels = {"app": "echo", "version": "v1", "app.kubernetes.io/instance": "probe"}
    container = {"name": "echo", "image": "localhost/probe:0", "env": [{"name": "OLD", "value": "1"}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "echo-v1", "namespace": namespace, "labels": {"operator.istio.io/managed": "Reconcile"}},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container], "hostNetwork": True}},
        },
    }


@pytest.mark.parametrize("manager", ["istio-operator", "kubectl"])
def test_what_another_installer_left_in_an_object_goes_with_its_claim(cluster, helm, namespace, manager):
    cluster.apply(foreign(namespace), manager=manager)
    own = {"metadata": {"annotations": {"own": "kept"}}}
    cluster.patch(DEPLOYMENT, "echo-v1", own, namespace, PatchOptions(manager="operator-x"))
    (plan,) = plan_releases(cluster, helm, [probe(namespace, ["v1"])], PlanOptions(take_ownership=True))
    assert plan.report()["taken_over"] == [f"Deployment {namespace}/echo-v1"] == plan.report()["restarted"]
    (shown,) = [e for e in diff(cluster, [plan]) if e["after_header"].startswith("Deployment")]
    assert "name: OLD" in shown["before"]
    assert "hostNetwork" in shown["before"]

    run(cluster, helm, probe(namespace, ["v1"]), take_ownership=True)
    live = cluster.get(DEPLOYMENT, "echo-v1", namespace)
    pod = live["spec"]["template"]["spec"]
    assert live["spec"]["replicas"] == 1
    assert "hostNetwork" not in pod
    assert "env" not in pod["containers"][0]
    assert live["metadata"]["annotations"]["own"] == "kept"
    assert "operator.istio.io/managed" not in live["metadata"]["labels"]
    assert {entry["manager"] for entry in live["metadata"]["managedFields"]} == {"helm", "operator-x"}
    assert not run(cluster, helm, probe(namespace, ["v1"]), take_ownership=True)[0].changed

    # Helm alone, without any option of force, finds nothing in its way.
    values = {"image": "localhost/probe:2", "echo": {"versions": ["v1"]}, "client": {"enabled": False}}
    command = [helm._binary, "upgrade", "probe", str(CHART), "-n", namespace, "-f", "-"]
    env = {"KUBECONFIG": helm._kubeconfig(), "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    subprocess.run(command, env=env, input=json.dumps(values), text=True, check=True, capture_output=True)
    (container,) = cluster.get(DEPLOYMENT, "echo-v1", namespace)["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "localhost/probe:2"


def test_a_takeover_that_was_cut_is_ended_by_the_next_run(cluster, helm, namespace):
    cluster.apply(foreign(namespace), manager="istio-operator")
    (plan,) = plan_releases(cluster, helm, [probe(namespace, ["v1"])], PlanOptions(take_ownership=True))
    for takeover in plan.takeovers:  # and helm isn't run any more
        take_over(cluster, takeover)
    assert records(cluster, namespace) == {}
    run(cluster, helm, probe(namespace, ["v1"]), take_ownership=True)
    assert records(cluster, namespace) == {1: "deployed"}
    assert not run(cluster, helm, probe(namespace, ["v1"]))[0].changed


def test_a_service_gets_the_node_port_that_the_release_gives_it_though_the_server_is_busy(cluster, namespace):
    """Its watch cache lags then; see take_over."""

    def service(name, how, **port):
        head = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace}}
        return {**head, "spec": {"type": how, "ports": [{"port": 80, **port}]}}

    def be_busy(who):
        for number in itertools.count():
            cluster.apply(service(f"busy-{who}", "ClusterIP", targetPort=1 + number % 1000))
            if done.is_set():
                return

    done = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(be_busy, who) for who in range(4)]
        try:
            for port in range(30001, 30061):
                name = f"gateway-{port}"
                live = cluster.apply(service(name, "NodePort"), manager="istio-operator")
                try:
                    take_over(cluster, Takeover(live, service(name, "NodePort", nodePort=port)))
                    (taken,) = cluster.get(SERVICE, name, namespace)["spec"]["ports"]
                    assert taken["nodePort"] == port
                finally:
                    cluster.delete(SERVICE, name, namespace)
        finally:
            done.set()
        for worker in workers:
            worker.result()


def test_a_selector_that_can_not_change_is_told_before_anything_is_done(cluster, helm, namespace):
    other = foreign(namespace)
    for labels in (other["spec"]["selector"]["matchLabels"], other["spec"]["template"]["metadata"]["labels"]):
        labels["version"] = "other"
    cluster.apply(other, manager="istio-operator")
    before = cluster.get(DEPLOYMENT, "echo-v1", namespace)
    with pytest.raises(MeshopsError, match=r"selects its pods by .*version=other, and the one of chart .*version=v1"):
        run(cluster, helm, probe(namespace, ["v1"]), take_ownership=True)
    assert cluster.get(DEPLOYMENT, "echo-v1", namespace) == before


def test_patches_and_chosen_objects_are_what_helm_stores(cluster, helm, namespace):
    patch = {"kind": "Deployment", "name": "echo-v1", "merge": {"spec": {"replicas": 3}}}
    patched = probe(namespace, ["v1"], patches=[patch])
    run(cluster, helm, patched)
    assert cluster.get(DEPLOYMENT, "echo-v1", namespace)["spec"]["replicas"] == 3
    assert not run(cluster, helm, patched)[0].changed
    assert run(cluster, helm, probe(namespace, ["v1"]))[0].changed
    assert cluster.get(DEPLOYMENT, "echo-v1", namespace)["spec"]["replicas"] == 1


def test_only_the_objects_with_a_label(cluster, helm, namespace):
    chosen = probe(namespace, labels={"app.kubernetes.io/name": "elsewhere"})
    with pytest.raises(MeshopsError, match="renders nothing"):
        run(cluster, helm, chosen)


def test_a_new_namespace_is_part_of_the_plan(cluster, helm, namespace):
    other = namespace + "-more"
    plans = plan_releases(cluster, helm, [probe(other)])
    assert titles(cluster, plans)[f"Namespace {other}"] is False
    run(cluster, helm, probe(other))
    assert records(cluster, other) == {1: "deployed"}
    cluster.delete(KNOWN["", "Namespace"], other)
